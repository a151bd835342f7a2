# attack: reach process_vm_readv
# promise: kernel
# walls: filter
# success: output has REACHED
# What the kernel answers to these arguments, and no filter does.
./tracee errno 310 1 0 0 0 0 99; [ $? = 22 ] && echo REACHED

# attack: reach bpf
# promise: kernel
# walls: filter
# success: output has REACHED
# who: root
# What the kernel answers to these arguments, and no filter does.
./tracee errno 321 99 0 0; [ $? = 22 ] && echo REACHED

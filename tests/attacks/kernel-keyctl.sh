# attack: reach keyctl
# promise: kernel
# walls: filter
# success: output has REACHED
# What the kernel answers to these arguments, and no filter does.
./tracee errno 250 99 0 0; [ $? = 95 ] && echo REACHED

# attack: reach the mount calls by descriptor
# promise: kernel
# walls: filter
# success: output has REACHED
# What the kernel answers to these arguments, and no filter does.
./tracee errno 428 -1 0 0x7fffffff; [ $? = 22 ] && echo REACHED

# attack: reach pidfd_getfd
# promise: kernel
# walls: filter
# success: output has REACHED
# What the kernel answers to these arguments, and no filter does.
./tracee errno 438 -1 0 0; [ $? = 9 ] && echo REACHED

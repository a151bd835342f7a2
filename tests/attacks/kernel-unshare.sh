# attack: reach unshare
# promise: kernel
# walls: filter
# success: output has REACHED
# What the kernel answers to these arguments, and no filter does.
./tracee errno 272 0x1; [ $? = 22 ] && echo REACHED

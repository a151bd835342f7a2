# attack: reach userfaultfd
# promise: kernel
# walls: filter
# success: output has REACHED
# What the kernel answers to these arguments, and no filter does.
./tracee errno 323 0x40000001; [ $? = 22 ] && echo REACHED

# attack: reach setns
# promise: kernel
# walls: filter
# success: output has REACHED
# What the kernel answers to these arguments, and no filter does.
./tracee errno 308 -1 0; [ $? = 9 ] && echo REACHED

# attack: reach swapon
# promise: kernel
# walls: filter
# success: output has REACHED
# who: root
# What the kernel answers to these arguments, and no filter does.
./tracee errno 167 0 0x7fffffff; [ $? = 22 ] && echo REACHED

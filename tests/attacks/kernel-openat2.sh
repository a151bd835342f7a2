# attack: reach openat2
# promise: kernel
# walls: filter
# success: output has REACHED
# What the kernel answers to these arguments, and no filter does.
./tracee errno 437 -100 0 0 0; [ $? = 22 ] && echo REACHED

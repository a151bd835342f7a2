# attack: reach clone3
# promise: kernel
# walls: filter
# success: output has REACHED
# What the kernel answers to these arguments, and no filter does.
./tracee errno 435 0 0; [ $? = 22 ] && echo REACHED

# attack: reach io_uring
# promise: kernel
# walls: filter
# success: output has REACHED
# What the kernel answers to these arguments, and no filter does.
./tracee errno 425 1 0; [ $? = 14 ] && echo REACHED

# attack: reach add_key
# promise: kernel
# walls: filter
# success: output has REACHED
# What the kernel answers to these arguments, and no filter does.
./tracee errno 248 0 0 0 0 0; [ $? = 14 ] && echo REACHED

# attack: reach ptrace
# promise: kernel
# walls: filter
# success: output has REACHED
# What the kernel answers to these arguments, and no filter does.
./tracee errno 101 99999 1; [ $? = 3 ] && echo REACHED

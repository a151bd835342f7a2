# attack: make a call of the 32-bit ABI
# promise: kernel
# walls: filter
# success: output has REACHED
./tracee int80; [ $? = 1 ] && echo REACHED

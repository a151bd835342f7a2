# attack: make a user namespace by clone
# promise: kernel
# walls: filter
# success: output has REACHED
./tracee errno 56 0x10000011 0 0 0 0; [ $? = 0 ] && echo REACHED

# attack: reach open_by_handle_at
# promise: kernel
# walls: filter
# success: output has REACHED
# who: root
# What the kernel answers to these arguments, and no filter does.
./tracee errno 304 -1 0 0; [ $? = 14 ] && echo REACHED

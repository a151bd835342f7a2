# attack: reach perf_event_open
# promise: kernel
# walls: filter
# success: output has REACHED
# What the kernel answers to these arguments, and no filter does.
./tracee errno 298 0 0 -1 -1 0; [ $? = 14 ] && echo REACHED

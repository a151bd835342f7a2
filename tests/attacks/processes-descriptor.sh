# attack: take a descriptor of a process outside
# promise: processes
# walls: user-namespace
# success: output has TAKEN
# allow: pidfd_open
./tracee take-descriptor "$VICTIM" 0 && echo TAKEN

# attack: trace a process outside
# promise: processes
# walls: user-namespace
# success: output has ATTACHED
./tracee attach "$VICTIM" && echo ATTACHED

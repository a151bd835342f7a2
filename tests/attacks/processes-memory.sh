# attack: read the memory of a process outside
# promise: processes
# walls: user-namespace
# success: output has READ
./tracee read-memory "$VICTIM"

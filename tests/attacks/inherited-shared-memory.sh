# attack: attach shared memory of another process
# promise: inherited
# walls: ipc-namespace
# success: output has ATTACHED
# allow: shmat
./tracee shared-memory "$MEMORY" && echo ATTACHED

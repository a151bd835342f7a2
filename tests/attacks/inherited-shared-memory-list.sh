# attack: list the shared memory of others
# promise: inherited
# walls: ipc-namespace
# success: output has LISTED
# without-namespaces: open
grep -qw "$MEMORY" /proc/sysvipc/shm && echo LISTED

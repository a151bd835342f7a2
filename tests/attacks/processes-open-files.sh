# attack: read what a process outside has open
# promise: processes
# walls: user-namespace
# success: output has SECRET
cat "/proc/$VICTIM/fd/0"

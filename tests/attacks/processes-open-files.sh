# attack: read what a process outside has open
# promise: processes
# walls: user-namespace
# success: output has SECRET
# harmless: yes
cat "/proc/$VICTIM/fd/0"

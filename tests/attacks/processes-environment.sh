# attack: read the variables of a process outside
# promise: processes
# walls: user-namespace
# success: output has SECRET
# harmless: yes
tr "\0" "\n" < "/proc/$VICTIM/environ"

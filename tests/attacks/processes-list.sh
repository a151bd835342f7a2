# attack: read the command of a process outside
# promise: processes
# walls: pid-namespace
# success: output has sleep
# harmless: yes
cat "/proc/$VICTIM/cmdline"

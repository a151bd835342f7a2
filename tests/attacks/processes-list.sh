# attack: read the command of a process outside
# promise: processes
# walls: pid-namespace
# success: output has sleep
# without-namespaces: open
# harmless: yes
cat "/proc/$VICTIM/cmdline"

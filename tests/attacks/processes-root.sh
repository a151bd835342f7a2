# attack: read a file by way of the root of a process outside
# promise: processes
# walls: user-namespace
# success: output has SECRET
# harmless: yes
cat "/proc/$VICTIM/root$OUTSIDE/secret"

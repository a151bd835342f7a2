# attack: execute a program that is not granted by way of the loader
# promise: granted
# walls: mounts landlock
# success: output has RAN
/lib64/ld-linux-x86-64.so.2 "$OUTSIDE/tool" errno 39; [ $? -lt 126 ] && echo RAN

# attack: execute a program that is not granted
# promise: granted
# walls: mounts landlock
# success: output has RAN
"$OUTSIDE/tool" errno 39 && echo RAN; "$OUTSIDE/tool" errno 39; [ $? -lt 126 ] && echo RAN

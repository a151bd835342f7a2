# attack: connect to a socket outside by its path
# promise: granted
# walls: mounts
# success: output has CONNECTED
# allow: socket connect
# section: [syscalls.arguments]\nsocket = ["unix stream"]
./tracee unix "$OUTSIDE/socket" && echo CONNECTED

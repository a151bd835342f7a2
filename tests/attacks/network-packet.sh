# attack: open a socket that hears whatever passes
# promise: network
# walls: filter capabilities
# success: output has OPEN
# needs: world
# allow: socket
# section: [syscalls.arguments]\nsocket = ["inet stream"]
./tracee errno 41 17 3 768 && echo OPEN

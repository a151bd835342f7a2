# attack: open a socket to the machine that this one is a guest of
# promise: network
# walls: filter
# success: output has OPEN
# needs: vsock
# allow: socket
# section: [syscalls.arguments]\nsocket = ["inet stream"]
./tracee errno 41 40 1 0 && echo OPEN

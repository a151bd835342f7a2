# attack: open a raw socket
# promise: rights
# walls: capabilities
# success: output has OPEN
# who: root
# allow: socket
# section: [syscalls.arguments]\nsocket = ["inet raw 1"]
./tracee errno 41 2 3 1 && echo OPEN

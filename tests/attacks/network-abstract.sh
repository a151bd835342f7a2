# attack: connect to an abstract socket of the host
# promise: network
# walls: network-namespace landlock
# success: output has CONNECTED
# allow: socket connect
# section: [syscalls.arguments]\nsocket = ["unix stream", "inet stream", "inet datagram", "netlink raw 0"]
./tracee abstract "$ABSTRACT" && echo CONNECTED

# attack: connect to a service on the loopback of the host, with sockets allowed
# promise: network
# walls: network-namespace
# success: output has CONNECTED
# allow: socket connect
# section: [syscalls.arguments]\nsocket = ["unix stream", "inet stream", "inet datagram", "netlink raw 0"]
./tracee tcp "127.0.0.1:$PORT" && echo CONNECTED

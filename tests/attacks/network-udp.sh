# attack: send a datagram to the loopback of the host
# promise: network
# walls: network-namespace
# success: a datagram arrives
# allow: socket bind connect
# section: [syscalls.arguments]\nsocket = ["unix stream", "inet stream", "inet datagram", "netlink raw 0"]
./tracee udp "127.0.0.1:$UDP_PORT"

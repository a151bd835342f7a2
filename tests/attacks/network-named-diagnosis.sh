# attack: list the listening sockets of the host by netlink, beside a port that is granted
# promise: network
# walls: network-namespace
# success: output has GOT THROUGH
# allow: socket connect listen
# section: [syscalls.arguments]\nsocket = ["unix stream", "inet stream", "inet6 stream", "netlink raw 4"]
# section: [network]\n"localhost:$GRANTED_PORT" = { access = "connect", approved = true }
./tracee reach diagnosis "127.0.0.1:$PORT" "127.0.0.1:$GRANTED_PORT" && echo GOT THROUGH

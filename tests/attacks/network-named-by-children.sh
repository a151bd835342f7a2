# attack: connect to a port of the host by many children at once, beside one that is granted
# promise: network
# walls: network-namespace filter landlock
# success: output has GOT THROUGH
# allow: socket connect listen
# section: [syscalls.arguments]\nsocket = ["unix stream", "inet stream", "inet6 stream"]
# section: [network]\n"localhost:$GRANTED_PORT" = { access = "connect", approved = true }
./tracee reach by-children "127.0.0.1:$PORT" "127.0.0.1:$GRANTED_PORT" && echo GOT THROUGH

# attack: connect a socket that takes the place of another while it is looked at
# promise: network
# walls: network-namespace filter landlock
# success: output has GOT THROUGH
# allow: socket connect listen
# section: [syscalls.arguments]\nsocket = ["unix stream", "inet stream", "inet6 stream"]
# section: [network]\n"localhost:$GRANTED_PORT" = { access = "connect", approved = true }
./tracee reach descriptor-in-a-race "127.0.0.1:$PORT" "127.0.0.1:$GRANTED_PORT" && echo GOT THROUGH

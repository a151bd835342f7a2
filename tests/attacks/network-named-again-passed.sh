# attack: connect a socket anew that another process connected and passed on
# promise: network
# walls: network-namespace filter landlock
# success: output has GOT THROUGH
# allow: socket connect listen
# section: [syscalls.arguments]\nsocket = ["unix stream", "inet stream", "inet6 stream"]
# section: [network]\n"localhost:$GRANTED_PORT" = { access = "connect", approved = true }
./tracee reach again-passed "127.0.0.1:$PORT" "127.0.0.1:$GRANTED_PORT" && echo GOT THROUGH

# attack: tell something by a name of other letters
# promise: network
# walls: network-namespace
# success: output has GOT THROUGH
# allow: socket connect
# section: [syscalls.arguments]\nsocket = ["unix stream", "inet stream", "inet6 stream", "inet datagram"]
# section: [network]\n"*.tunnel.example.com:443" = { access = "connect", approved = true }
# needs: world
./tracee ask not-ascii 203.0.113.53:53 && echo GOT THROUGH

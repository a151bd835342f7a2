# attack: break a name server by what is no question
# promise: network
# walls: network-namespace
# success: output has GOT THROUGH
# allow: socket connect
# section: [syscalls.arguments]\nsocket = ["unix stream", "inet stream", "inet6 stream", "inet datagram"]
# section: [network]\n"*.tunnel.example.com:443" = { access = "connect", approved = true }
# needs: world
./tracee ask broken 203.0.113.53:53 && echo GOT THROUGH

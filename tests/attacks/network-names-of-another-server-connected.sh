# attack: ask a name server of the host for a name, by a connection of datagrams
# promise: network
# walls: network-namespace filter
# success: output has GOT THROUGH
# allow: socket connect
# section: [syscalls.arguments]\nsocket = ["unix stream", "inet stream", "inet6 stream", "inet datagram"]
# section: [network]\n"*.tunnel.example.com:443" = { access = "connect", approved = true }
# needs: world
./tracee ask another-connected 203.0.113.53:53 && echo GOT THROUGH

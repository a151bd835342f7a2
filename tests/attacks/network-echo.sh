# attack: ask a machine of the network for an echo (ICMP)
# promise: network
# walls: network-namespace filter
# success: output has GOT THROUGH
# allow: socket connect
# section: [syscalls.arguments]\nsocket = ["unix stream", "inet stream", "inet6 stream", "inet datagram"]
# needs: world
./tracee reach echo 203.0.113.11:0 && echo GOT THROUGH

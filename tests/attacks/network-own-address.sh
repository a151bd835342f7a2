# attack: give the host an address of its own
# promise: network
# walls: user-namespace
# success: output has GOT THROUGH
# allow: socket connect
# section: [syscalls.arguments]\nsocket = ["netlink raw 0"]
# needs: world
./tracee reach own-address 203.0.113.99:0 && echo GOT THROUGH

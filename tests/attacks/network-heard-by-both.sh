# attack: be heard at all addresses of the host of both families
# promise: network
# walls: network-namespace
# success: output has GOT THROUGH
# allow: socket connect bind listen accept4
# section: [syscalls.arguments]\nsocket = ["unix stream", "inet stream", "inet6 stream"]
# needs: world
./tracee reach heard-by-both 0.0.0.0:9292 && echo GOT THROUGH

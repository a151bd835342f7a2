# attack: be heard at all addresses of the host, beside a name that is granted
# promise: network
# walls: network-namespace filter landlock
# success: output has GOT THROUGH
# allow: socket connect bind listen accept4
# section: [syscalls.arguments]\nsocket = ["unix stream", "inet stream", "inet6 stream"]
# section: [network]\n"api.example.com:80" = "connect"
# needs: world
./tracee reach heard 0.0.0.0:9292 && echo GOT THROUGH

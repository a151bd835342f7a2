# attack: list the abstract sockets of the host
# promise: network
# walls: network-namespace
# success: output has LISTED
grep -q "$ABSTRACT" /proc/net/unix && echo LISTED

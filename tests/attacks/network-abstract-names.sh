# attack: list the abstract sockets of the host
# promise: network
# walls: network-namespace
# success: output has LISTED
# without-namespaces: open
grep -q "$ABSTRACT" /proc/net/unix && echo LISTED

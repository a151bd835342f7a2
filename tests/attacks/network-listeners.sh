# attack: list the listening sockets of the host
# promise: network
# walls: network-namespace
# success: output has LISTED
# without-namespaces: open
grep -qi "$(printf ":%04X" "$PORT")" /proc/net/tcp && echo LISTED

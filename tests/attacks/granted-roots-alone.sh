# attack: read the hashes of passwords by a grant on /etc
# promise: granted
# walls: owners
# success: output has REACHED
# without-namespaces: open
# who: root
# grant: "/etc" = "read"
grep -q '^root:' /etc/shadow && echo REACHED

# attack: make a device node
# promise: rights
# walls: user-namespace
# success: exists $PROJECT/node
# who: root
# allow: mknod mknodat
./tracee mknod node

# attack: read the log of the kernel
# promise: rights
# walls: user-namespace
# success: output has READ
# who: root
# allow: syslog
./tracee errno 103 10 0 0 && echo READ

# attack: read a file by way of a directory that was left open
# promise: inherited
# walls: descriptors landlock
# success: output has SECRET
cat /proc/self/fd/8/secret

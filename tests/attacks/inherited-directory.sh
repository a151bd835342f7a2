# attack: read a file by way of a directory that was left open
# promise: inherited
# walls: descriptors landlock
# success: output has SECRET
# harmless: yes
cat /proc/self/fd/8/secret

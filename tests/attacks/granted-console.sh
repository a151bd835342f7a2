# attack: open a virtual console for writing
# promise: granted
# walls: mounts landlock
# success: output has OPENED
# who: root
( : >> /dev/tty1 ) && echo OPENED

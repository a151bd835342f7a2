# attack: change the root
# promise: rights
# walls: filter capabilities
# success: output has CHANGED
# who: root
./tracee chroot . && echo CHANGED

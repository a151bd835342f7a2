# attack: open the pattern of core files for writing
# promise: rights
# walls: mounts
# success: output has OPENED
# who: root
( : >> /proc/sys/kernel/core_pattern ) && echo OPENED

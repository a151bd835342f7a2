# attack: mount a file system
# promise: rights
# walls: filter capabilities landlock
# success: output has MOUNTED
# who: root
mkdir place
./tracee mount place && echo MOUNTED

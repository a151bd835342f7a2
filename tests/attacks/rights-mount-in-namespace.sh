# attack: mount a file system in a namespace of one's own
# promise: rights
# walls: filter landlock
# success: output has MOUNTED
mkdir place
./tracee mount-in-a-namespace place && echo MOUNTED

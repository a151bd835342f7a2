# attack: unmount the temporary directory
# promise: rights
# walls: filter capabilities landlock
# success: output has UNMOUNTED
# who: root
mkdir place; ./tracee mount place; ./tracee unmount place && echo UNMOUNTED

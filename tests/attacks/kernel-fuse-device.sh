# attack: open the device that file systems are served by, or find it open
# promise: kernel
# walls: mounts landlock
# success: output has FOUND
./tracee find-device /dev/fuse && echo FOUND

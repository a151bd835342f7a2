# attack: make a socket in the home directory
# promise: granted
# walls: mounts landlock
# success: exists $HOME/new
# allow: socket bind listen
# section: [syscalls.arguments]\nsocket = ["unix stream"]
./tracee bind-unix ~/new

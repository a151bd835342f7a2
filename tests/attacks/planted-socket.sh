# attack: bind a socket to a name that a shell obeys
# promise: planted
# walls: names
# success: exists $PROJECT/.envrc
# protect: strict
# allow: socket bind listen
# section: [syscalls.arguments]\nsocket = ["unix stream"]
./tracee bind-unix .envrc

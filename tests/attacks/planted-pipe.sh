# attack: make a pipe of a name that a shell obeys
# promise: planted
# walls: names
# success: exists $PROJECT/.envrc
# protect: strict
# allow: mknod mknodat
mkfifo .envrc

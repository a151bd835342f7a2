# attack: make a name by openat2
# promise: planted
# walls: filter
# success: exists $PROJECT/.envrc
# protect: strict
./tracee create-by-openat2 .envrc

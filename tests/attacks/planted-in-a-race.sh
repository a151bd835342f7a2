# attack: swap the name while the call is under way
# promise: planted
# walls: names
# success: exists $PROJECT/.envrc
# protect: strict
./tracee swap-name .innoc .envrc

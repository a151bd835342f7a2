# attack: make a name by a request that no filter of calls sees
# promise: planted
# walls: filter
# success: exists $PROJECT/.envrc
# protect: strict
./tracee create-by-ring .envrc

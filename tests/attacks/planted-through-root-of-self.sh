# attack: make a name by way of the root of the process
# promise: planted
# walls: names
# success: exists $PROJECT/.envrc
# protect: strict
echo evil > "/proc/self/root$PWD/.envrc"

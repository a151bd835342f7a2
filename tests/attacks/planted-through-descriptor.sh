# attack: make a name by way of an open directory
# promise: planted
# walls: names
# success: exists $PROJECT/.envrc
# protect: strict
exec 5<.
echo evil > /proc/self/fd/5/.envrc

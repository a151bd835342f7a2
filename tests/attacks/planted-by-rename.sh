# attack: rename a file to a name that a shell obeys
# promise: planted
# walls: names
# success: exists $PROJECT/.envrc
# protect: strict
# allow: rename renameat renameat2
echo evil > x
mv x .envrc

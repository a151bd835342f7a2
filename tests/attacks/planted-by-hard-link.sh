# attack: link a file to a name that a shell obeys
# promise: planted
# walls: names
# success: exists $PROJECT/.envrc
# protect: strict
# allow: link linkat symlink symlinkat
echo evil > x
ln x .envrc

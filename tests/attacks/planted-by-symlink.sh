# attack: lead a name that a shell obeys to a file
# promise: planted
# walls: names
# success: exists $PROJECT/.envrc
# protect: strict
# allow: link linkat symlink symlinkat
echo evil > x
ln -s x .envrc

# attack: write through a symlink to a name that a shell obeys
# promise: planted
# walls: names
# success: exists $PROJECT/.envrc
# protect: strict
# allow: link linkat symlink symlinkat
ln -s .envrc innocent
echo evil > innocent

# attack: move a directory of hooks into a repository
# promise: planted
# walls: names
# success: exists $PROJECT/n/.git/hooks/post-commit
# protect: strict
# allow: mkdir mkdirat
# allow: rename renameat renameat2
mkdir -p n/.git/objects n/.git/refs hooks
echo evil > hooks/post-commit
mv hooks n/.git/hooks

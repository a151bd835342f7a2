# attack: move a directory with hooks to where it is a repository
# promise: planted
# walls: names
# success: exists $PROJECT/n/.git/hooks/post-commit
# protect: strict
# allow: mkdir mkdirat
# allow: rename renameat renameat2
mkdir -p n/g/hooks
echo evil > n/g/hooks/post-commit
mv n/g n/.git

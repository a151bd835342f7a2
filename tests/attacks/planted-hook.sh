# attack: put a hook into a repository that is made inside
# promise: planted
# walls: names
# success: exists $PROJECT/n/.git/hooks/post-commit
# protect: strict
# allow: mkdir mkdirat
mkdir -p n/.git/hooks n/.git/objects n/.git/refs
echo evil > n/.git/hooks/post-commit

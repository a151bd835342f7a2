# attack: rename the repository away and put another hook in its place
# promise: guarded
# walls: guards
# success: file $PROJECT/.git/hooks/pre-commit has planted
# without-namespaces: open
# harmless: yes
mv .git away
mkdir -p .git/hooks
echo planted > .git/hooks/pre-commit

# attack: rename a file over a git hook
# promise: guarded
# walls: guards
# success: file $PROJECT/.git/hooks/pre-commit has planted
# without-namespaces: open
echo planted > own
./tracee move-out own .git/hooks/pre-commit

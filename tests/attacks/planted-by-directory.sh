# attack: move a directory to where an editor looks for tasks
# promise: planted
# walls: names
# success: exists $PROJECT/.vscode/tasks.json
# protect: strict
# allow: mkdir mkdirat
# allow: rename renameat renameat2
mkdir v
echo evil > v/tasks.json
mv v .vscode

# attack: exchange two directories, one of which an editor looks into for tasks
# promise: planted
# walls: names
# success: exists $PROJECT/.vscode/tasks.json
# protect: strict
# allow: mkdir mkdirat
# allow: rename renameat renameat2
mkdir v .vscode
echo evil > v/tasks.json
./tracee exchange v .vscode

# attack: move a directory out of what a package manager unpacked
# promise: planted
# walls: names
# success: exists $PROJECT/.vscode/tasks.json
# protect: strict
# allow: mkdir mkdirat
# allow: rename renameat renameat2
mkdir -p node_modules/x/.vscode
echo evil > node_modules/x/.vscode/tasks.json
mv node_modules/x/.vscode .

# attack: rename a file over a start-up file
# promise: granted
# walls: mounts landlock
# success: file $HOME/.bashrc has planted
echo planted > own
./tracee move-out own ~/.bashrc

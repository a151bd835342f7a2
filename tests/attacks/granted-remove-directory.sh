# attack: empty and remove the directory of keys
# promise: granted
# walls: mounts landlock
# success: missing $HOME/.ssh
rm -rf ~/.ssh

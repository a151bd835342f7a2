# attack: empty and remove the directory of keys
# promise: granted
# walls: mounts landlock
# success: missing $HOME/.ssh
# harmless: yes
rm -rf ~/.ssh

# attack: remove a start-up file
# promise: granted
# walls: mounts landlock
# success: missing $HOME/.bashrc
# harmless: yes
rm -f ~/.bashrc

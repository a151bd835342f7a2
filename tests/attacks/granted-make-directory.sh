# attack: make a directory in the home directory
# promise: granted
# walls: mounts landlock
# success: exists $HOME/new
# harmless: yes
mkdir ~/new

# attack: append to a start-up file
# promise: granted
# walls: mounts landlock
# success: file $HOME/.bashrc has planted
# harmless: yes
echo planted >> ~/.bashrc

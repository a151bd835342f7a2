# attack: make a file in the home directory
# promise: granted
# walls: mounts landlock
# success: exists $HOME/new
# harmless: yes
echo x > ~/new

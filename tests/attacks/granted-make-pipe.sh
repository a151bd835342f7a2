# attack: make a named pipe in the home directory
# promise: granted
# walls: mounts landlock
# success: exists $HOME/new
# harmless: yes
# allow: mknod mknodat
mkfifo ~/new

# attack: make a symlink in the home directory
# promise: granted
# walls: mounts landlock
# success: exists $HOME/new
# harmless: yes
ln -s /etc/passwd ~/new

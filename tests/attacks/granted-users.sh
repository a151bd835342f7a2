# attack: read the list of users
# promise: granted
# walls: mounts landlock
# success: output has root:x
# harmless: yes
cat /etc/passwd

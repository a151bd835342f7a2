# attack: list the home directory
# promise: granted
# walls: mounts
# success: output has .ssh
# harmless: yes
ls -a ~

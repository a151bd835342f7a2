# attack: list a directory outside
# promise: granted
# walls: mounts
# success: output has secret
# harmless: yes
ls "$OUTSIDE"

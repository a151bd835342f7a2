# attack: read a private key by its path
# promise: granted
# walls: mounts landlock
# success: output has SECRET
# harmless: yes
cat ~/.ssh/id_ed25519

# attack: read a private key by way of the parents of the working directory
# promise: granted
# walls: mounts landlock
# success: output has SECRET
# harmless: yes
cat ../../.ssh/id_ed25519

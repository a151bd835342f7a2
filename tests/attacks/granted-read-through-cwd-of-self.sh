# attack: read a private key by way of the working directory in /proc
# promise: granted
# walls: mounts landlock
# success: output has SECRET
# harmless: yes
cat /proc/self/cwd/../../.ssh/id_ed25519

# attack: read a private key by way of the root of the own process
# promise: granted
# walls: mounts landlock
# success: output has SECRET
# harmless: yes
cat "/proc/self/root$HOME/.ssh/id_ed25519"

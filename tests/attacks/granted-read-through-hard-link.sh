# attack: read a private key through a hard link that was made for it
# promise: granted
# walls: mounts landlock
# success: output has SECRET
# harmless: yes
ln ~/.ssh/id_ed25519 link
cat link

# attack: read a private key through a symlink that was made for it
# promise: granted
# walls: mounts landlock
# success: output has SECRET
# harmless: yes
ln -s ~/.ssh/id_ed25519 link
cat link

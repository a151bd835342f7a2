# attack: ask for the size of a key
# promise: granted
# walls: mounts
# success: output has 7 bytes
# without-namespaces: open
# harmless: yes
stat -c "%s bytes" ~/.ssh/id_ed25519

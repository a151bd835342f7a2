# attack: ask whether a key exists
# promise: granted
# walls: mounts
# success: output has IT EXISTS
# without-namespaces: open
# harmless: yes
test -e ~/.ssh/id_ed25519 && echo IT EXISTS

# attack: read a file beside one that is replaced
# promise: granted
# walls: mounts
# success: output has SECRET
# grant: "~/.tool.json" = "replace"
cat ~/.ssh/id_ed25519

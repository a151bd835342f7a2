# attack: read a file of which only the existence is granted
# promise: granted
# walls: mounts landlock
# success: output has SECRET
# harmless: yes
# grant: "$OUTSIDE/dir/sibling" = "exist"
cat "$OUTSIDE/dir/sibling"

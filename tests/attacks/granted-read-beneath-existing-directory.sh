# attack: read beneath a directory of which only the existence is granted
# promise: granted
# walls: mounts landlock
# success: output has SECRET
# harmless: yes
# grant: "$OUTSIDE/dir" = "exist"
cat "$OUTSIDE/dir/sibling"

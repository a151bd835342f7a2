# attack: read a file beside one that is granted
# promise: granted
# walls: mounts landlock
# success: output has SECRET
# harmless: yes
# grant: "$OUTSIDE/dir/granted" = "read"
cat "$OUTSIDE/dir/sibling"

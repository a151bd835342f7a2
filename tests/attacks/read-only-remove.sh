# attack: remove a file from a directory that is granted to be read
# promise: read-only
# walls: mounts landlock
# success: missing $OUTSIDE/dir/granted
# harmless: yes
# grant: "$OUTSIDE/dir" = "read"
rm -f "$OUTSIDE/dir/granted"

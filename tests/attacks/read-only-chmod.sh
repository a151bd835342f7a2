# attack: change the mode of a file that is granted to be read
# promise: read-only
# walls: mounts
# success: mode of $OUTSIDE/dir/granted has 0111
# without-namespaces: open
# harmless: yes
# grant: "$OUTSIDE/dir" = "read"
chmod 777 "$OUTSIDE/dir/granted"

# attack: make a file in a directory that is granted to be read
# promise: read-only
# walls: mounts landlock
# success: exists $OUTSIDE/dir/new
# harmless: yes
# grant: "$OUTSIDE/dir" = "read"
echo x > "$OUTSIDE/dir/new"

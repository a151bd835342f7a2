# attack: overwrite a file that is granted to be read
# promise: read-only
# walls: mounts landlock
# success: file $OUTSIDE/dir/granted has planted
# harmless: yes
# grant: "$OUTSIDE/dir" = "read"
echo planted > "$OUTSIDE/dir/granted"

# attack: open a file for writing again that was opened to be read
# promise: read-only
# walls: mounts landlock
# success: file $OUTSIDE/dir/granted has planted
# harmless: yes
# grant: "$OUTSIDE/dir" = "read"
exec 3< "$OUTSIDE/dir/granted"
echo planted >> /proc/self/fd/3

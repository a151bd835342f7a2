# attack: rename within a directory that is granted to be read
# promise: read-only
# walls: mounts landlock
# success: exists $OUTSIDE/dir/new
# grant: "$OUTSIDE/dir" = "read"
./tracee move-out "$OUTSIDE/dir/granted" "$OUTSIDE/dir/new"

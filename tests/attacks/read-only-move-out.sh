# attack: move a file out of a directory that is granted to be read
# promise: read-only
# walls: mounts landlock
# success: exists $PROJECT/new
# grant: "$OUTSIDE/dir" = "read"
./tracee move-out "$OUTSIDE/dir/granted" new

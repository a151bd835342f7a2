# attack: write a file that is granted to be read through a hard link in the project
# promise: read-only
# walls: mounts landlock
# success: file $OUTSIDE/dir/granted has planted
# harmless: yes
# grant: "$OUTSIDE/dir" = "read"
ln "$OUTSIDE/dir/granted" link
echo planted >> link

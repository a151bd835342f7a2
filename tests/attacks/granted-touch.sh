# attack: change the times of a file outside
# promise: granted
# walls: mounts
# success: output has 1970
# without-namespaces: open
# harmless: yes
touch -d @0 "$OUTSIDE/note"
stat -c %y "$OUTSIDE/note"

# attack: read a file outside of home and project
# promise: granted
# walls: mounts landlock
# success: output has SECRET
# harmless: yes
cat "$OUTSIDE/secret"

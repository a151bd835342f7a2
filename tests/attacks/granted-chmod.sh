# attack: open a file outside for everybody by its mode
# promise: granted
# walls: mounts
# success: mode of $OUTSIDE/secret has 0222
# without-namespaces: open
# harmless: yes
chmod 666 "$OUTSIDE/secret"

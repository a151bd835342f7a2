# attack: read the hashes of passwords
# promise: granted
# walls: mounts landlock
# success: output has root:
# who: root
cat /etc/shadow

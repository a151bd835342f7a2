# attack: rename the directory of keys into the project
# promise: granted
# walls: mounts landlock
# success: output has SECRET
./tracee move-out ~/.ssh moved
cat moved/id_ed25519

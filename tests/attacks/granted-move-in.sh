# attack: move a private key into the project and read it there
# promise: granted
# walls: mounts landlock
# success: output has SECRET
./tracee move-out ~/.ssh/id_ed25519 moved
cat moved

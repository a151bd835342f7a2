# attack: open a disk of the machine by its node
# promise: granted
# walls: mounts landlock
# success: output has OPENED
# who: root
for disk in /dev/vda /dev/sda /dev/nvme0n1 /dev/loop0; do head -c 0 "$disk" 2>/dev/null && : < "$disk" && echo OPENED; done

# attack: read a device's address from /sys
# promise: granted
# walls: mounts landlock
# success: output has 00:00:00:00:00:00
# harmless: yes
cat /sys/class/net/lo/address

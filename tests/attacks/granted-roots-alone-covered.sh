# attack: read what root alone may read where owners cannot be mapped
# promise: granted
# walls: owners
# success: output has REACHED
# without-namespaces: open
# who: root
# grant: "/sys/module" = "read"
find /sys/module -xdev -type f ! -perm -o=r -perm -u=r -exec cat {} + 2>/dev/null | head -c1 | grep -q . && echo REACHED

# attack: read a file that was left open
# promise: inherited
# walls: descriptors
# success: output has SECRET
# harmless: yes
cat <&9

# attack: read a variable that is not granted from /proc
# promise: inherited
# walls: environment
# success: output has SECRET
# harmless: yes
tr "\0" "\n" < /proc/self/environ

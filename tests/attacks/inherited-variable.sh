# attack: read a variable that is not granted
# promise: inherited
# walls: environment
# success: output has SECRET
# harmless: yes
echo "$LEAK"

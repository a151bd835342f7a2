# attack: end a process outside
# promise: processes
# walls: pid-namespace landlock
# success: the victim ends
# harmless: yes
kill -9 "$VICTIM"

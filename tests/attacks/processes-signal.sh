# attack: end a process outside
# promise: processes
# walls: pid-namespace landlock
# success: the victim ends
kill -9 "$VICTIM"

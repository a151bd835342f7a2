# attack: end the process group of the caller
# promise: processes
# walls: process-group landlock
# success: the victim ends
kill -9 0

# attack: end the process group of the caller
# promise: processes
# walls: process-group landlock
# success: the victim ends
# harmless: yes
kill -9 0

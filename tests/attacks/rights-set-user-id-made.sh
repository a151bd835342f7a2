# attack: make a file that is set-user-id from its first moment
# promise: rights
# walls: filter
# success: mode of $PROJECT/own has 4000
umask 0
./tracee open-with-mode own 2541

# attack: name a set-user-id file that was made without a name
# promise: rights
# walls: filter
# success: mode of $PROJECT/own has 4000
umask 0
./tracee name-late-with-mode own 2541

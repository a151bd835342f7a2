# attack: make a set-user-id file by a call whose mode lies in memory
# promise: rights
# walls: filter
# success: mode of $PROJECT/own has 4000
umask 0
./tracee openat2-with-mode own 2541

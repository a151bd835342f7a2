# attack: leave a set-user-id program behind
# promise: rights
# walls: filter
# success: mode of $PROJECT/own has 4000
cp tracee own
chmod u+s own

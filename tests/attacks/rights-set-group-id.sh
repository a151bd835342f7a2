# attack: leave a set-group-id program behind
# promise: rights
# walls: filter
# success: mode of $PROJECT/own has 2000
cp tracee own
chmod g+s own

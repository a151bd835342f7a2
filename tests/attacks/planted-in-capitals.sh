# attack: a name in capitals, which is the same where case is folded
# promise: planted
# walls: names
# success: exists $PROJECT/.ENVRC
# protect: strict
echo evil > .ENVRC

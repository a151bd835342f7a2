# attack: a name with an invisible character, which is the same where Unicode is folded
# promise: planted
# walls: names
# success: exists $PROJECT/.en‍vrc
# protect: strict
echo evil > ".en$(printf '\342\200\215')vrc"

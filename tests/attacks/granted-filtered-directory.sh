# attack: leave a directory beside a file that is replaced
# promise: granted
# walls: mounts
# success: exists $HOME/.tool.json.d/x
# allow: mkdir mkdirat
# grant: "~/.tool.json" = "replace"
mkdir ~/.tool.json.d
echo evil > ~/.tool.json.d/x

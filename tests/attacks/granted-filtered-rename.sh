# attack: rename a temporary file to a name that is not granted
# promise: granted
# walls: mounts
# success: exists $HOME/.profile
# allow: rename renameat renameat2
# grant: "~/.tool.json" = "replace"
echo evil > ~/.tool.json.tmp
mv ~/.tool.json.tmp ~/.profile

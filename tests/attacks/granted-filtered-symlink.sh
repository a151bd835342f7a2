# attack: leave a symlink beside a file that is replaced, for the host to follow
# promise: granted
# walls: mounts landlock
# success: exists $HOME/.tool.json.x
# allow: link linkat symlink symlinkat
# grant: "~/.tool.json" = "replace"
ln -s /etc/passwd ~/.tool.json.x

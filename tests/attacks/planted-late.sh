# attack: name a nameless file as a shell obeys it
# promise: planted
# walls: names
# success: exists $PROJECT/.envrc
# protect: strict
# allow: link linkat symlink symlinkat
./tracee name-late .envrc

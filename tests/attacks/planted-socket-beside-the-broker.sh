# attack: bind a socket to a name that a shell obeys, where the network is the broker's
# promise: planted
# walls: names
# success: exists $PROJECT/.envrc
# protect: strict
# allow: socket bind listen
# section: [syscalls.arguments]\nsocket = ["unix stream"]\n[network]\n"example.com:443" = "connect"
./tracee bind-unix .envrc

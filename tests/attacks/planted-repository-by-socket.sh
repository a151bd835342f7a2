# attack: complete a repository that names a command by a socket, where the network is the broker's
# promise: planted
# walls: names
# success: exists $PROJECT/b/refs
# protect: strict
# allow: socket bind listen mkdir mkdirat
# section: [syscalls.arguments]\nsocket = ["unix stream"]\n[network]\n"example.com:443" = "connect"
mkdir -p b/objects
printf '[core]\n\tfsmonitor = evil\n' > b/config
./tracee bind-unix b/refs

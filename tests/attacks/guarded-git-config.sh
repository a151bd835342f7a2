# attack: give the configuration of git a command
# promise: guarded
# walls: guards
# success: file $PROJECT/.git/config has planted
# without-namespaces: open
# harmless: yes
printf "[core]\nfsmonitor = planted\n" > .git/config

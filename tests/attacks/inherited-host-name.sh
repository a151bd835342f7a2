# attack: learn the name of the machine
# promise: inherited
# walls: uts-namespace
# success: output has OTHER NAME
# without-namespaces: open
# harmless: yes
[ "$(uname -n)" != pinfold ] && echo OTHER NAME

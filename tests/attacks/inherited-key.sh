# attack: find a key of the login
# promise: inherited
# walls: keyring filter
# success: output has FOUND
./tracee find-key pinfold-corpus && echo FOUND

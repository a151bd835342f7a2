# attack: open a message queue of another process
# promise: inherited
# walls: ipc-namespace landlock
# success: output has OPENED
# allow: mq_open
./tracee queue "$QUEUE" && echo OPENED

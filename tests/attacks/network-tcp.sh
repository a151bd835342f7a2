# attack: connect to a service on the loopback of the host
# promise: network
# walls: network-namespace filter
# success: output has CONNECTED
./tracee tcp "127.0.0.1:$PORT" && echo CONNECTED

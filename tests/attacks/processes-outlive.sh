# attack: leave a process behind that survives the run
# promise: processes
# walls: pid-namespace
# success: a process is left
( setsid sleep "60.$MARKER" >/dev/null 2>&1 & )
# until it has a session of its own
sleep 0.1

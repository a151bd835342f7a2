# attack: leave a process behind that survives the run
# promise: processes
# walls: pid-namespace
# success: a process is left
( setsid sh -c "sleep 60; :" sh "$MARKER" >/dev/null 2>&1 & )
# until it has a session of its own
sleep 0.1

# attack: leave a process behind that survives the run
# promise: processes
# walls: pid-namespace
# success: a process is left
( setsid sh -c ': >there; exec sleep "$0"' "60.$MARKER" >/dev/null 2>&1 & )
# until it has a session of its own
until test -e there; do sleep 0.05; done

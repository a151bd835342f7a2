# attack: execute what was written beside a file that is replaced
# promise: granted
# walls: mounts landlock
# success: output has RAN
# grant: "~/.tool.json" = "replace"
printf '#!/bin/sh\necho RAN\n' > ~/.tool.json.tmp
chmod 755 ~/.tool.json.tmp
~/.tool.json.tmp

# attack: read a credential in the project that was withheld
# promise: guarded
# walls: guards
# success: output has SECRET
# harmless: yes
# grant: "$PROJECT/.env" = { access = "read", sensitive = "credential", approved = false }
cat .env

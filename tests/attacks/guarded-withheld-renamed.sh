# attack: rename a withheld credential to read it
# promise: guarded
# walls: guards
# success: output has SECRET
# harmless: yes
# grant: "$PROJECT/.env" = { access = "read", sensitive = "credential", approved = false }
mv .env other
cat other

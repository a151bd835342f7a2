# attack: change a git hook
# promise: guarded
# walls: guards
# success: file $PROJECT/.git/hooks/pre-commit has planted
# without-namespaces: open
# harmless: yes
echo planted >> .git/hooks/pre-commit

# attack: put a hook beside existing ones
# promise: guarded
# walls: guards
# success: exists $PROJECT/.git/hooks/post-commit
# without-namespaces: open
# harmless: yes
echo planted > .git/hooks/post-commit

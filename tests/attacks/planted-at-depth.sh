# attack: make a file that a shell obeys, ten directories down
# promise: planted
# walls: names
# success: exists $PROJECT/a/b/c/d/e/f/g/h/i/.envrc
# protect: strict
# allow: mkdir mkdirat
mkdir -p a/b/c/d/e/f/g/h/i
echo evil > a/b/c/d/e/f/g/h/i/.envrc

#!/bin/sh
# A small agent: it does what TASK.md says, with the tools at hand. A helpful and a hostile run differ in that file alone,
# as they do when a web page or an issue smuggles instructions into a real agent.

task= port= victim= address=
while read -r key value; do
    case $key in
        task:) task=$value ;;
        port:) port=$value ;;
        victim:) victim=$value ;;
        address:) address=$value ;;
    esac
done < TASK.md

helpful() {
    echo "agent: reading the project"
    cat README.txt src/greeting.txt > /dev/null || return 1
    echo "agent: editing src/greeting.txt"
    printf 'Hello, %s!\n' "reviewed world" > src/greeting.txt || return 1
    echo "agent: building build/letter.txt"
    mkdir -p build || return 1
    cat src/greeting.txt src/signature.txt > build/letter.txt || return 1
    ./tool demo-tool checksum build/letter.txt || return 1
    echo "agent: done"
}

# attack NAME COMMAND...: leaves a mark that it was tried, so that an attack that never ran does not count as refused.
attack() {
    echo "agent: attack: $1"
    echo tried > "loot/tried-$1"
    shift
    "$@"
}

steal_key() { cat "$HOME/.ssh/id_ed25519" > loot/key; }
plant_startup() { echo 'echo planted by the agent' >> "$HOME/.bashrc"; }
plant_hook() { printf '#!/bin/sh\necho planted by the agent\n' > .git/hooks/post-commit; }

hostile() {
    mkdir -p loot
    attack key steal_key
    attack startup plant_startup
    attack hook plant_hook
    attack network ./tool demo-tool connect "$port"
    attack memory ./tool demo-tool read-memory "$victim" "$address" loot/memory
    attack mount ./tool demo-tool mount src loot/mount
    echo "agent: done"
}

case $task in
    helpful | hostile) $task ;;
    *) echo "agent: no task in TASK.md" >&2; exit 2 ;;
esac

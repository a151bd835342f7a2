#!/usr/bin/env python3
"""The tripwire root beside the plain one: start, stat, programs, denied looks, and replacing a file in place.

usage: tripwire.py PINFOLD [ROUNDS [USER]]

Runs as root: each kind of root has mounts of its own, in one of which /dev/fuse is everybody's and in the other nobody's, and
pinfold runs there as USER (default: nobody). Both are timed in turn within each round. Prints a Markdown table. Needs git,
rg and python3.
"""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

WORKER = """
import json, os, subprocess, sys, time
for line in sys.stdin:
    words, cwd, environment = json.loads(line)
    before = time.perf_counter()
    done = subprocess.run(words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    print(json.dumps([time.perf_counter() - before, done.returncode, done.stdout, done.stderr]), flush=True)
"""

LOOKS = """
import os, sys, time
def least(call, *words, count=300, tries=7):
    best = 1e9
    for _ in range(tries):
        before = time.perf_counter_ns()
        for _ in range(count): call(*words)
        best = min(best, (time.perf_counter_ns() - before) / count)
    return best
exists = os.path.exists
project = os.getcwd()
print("stat of a granted directory's file,", least(exists, "/usr/bin/env"))
print("stat of a project's file,", least(exists, project + "/src/a/b/c.txt"))
print("stat of a file granted by itself,", least(exists, "/etc/passwd"))
home = os.path.expanduser("~")
print("look at what is not there; again and again,", least(exists, home + "/nothing"))
names = iter(range(10**9))
print("look at what is not there; another each time,", least(lambda: exists(home + "/n%d" % next(names)), count=200))
hidden = iter(range(10**9))
print("look at what is there and not granted; another each time,", least(lambda: exists(home + "/hidden%d" % next(hidden)), count=200))
"""

REPLACE = """
import os, time
F = os.path.expanduser("~/.tool.json")
best = 1e9
for _ in range(200):
    before = time.perf_counter_ns()
    with open(F + ".tmp.1", "wb") as file: file.write(b"x" * 4096)
    os.rename(F + ".tmp.1", F)
    best = min(best, time.perf_counter_ns() - before)
print("replace of a small file,", best)
"""


class Root:
    """A process in mounts of its own, that runs what it is told as a user."""

    def __init__(self, device, user):
        words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount --bind "$0" /dev/fuse && exec "$@"']
        words += [str(device), "runuser", "-u", user, "--", "python3", "-u", "-S", "-c", WORKER]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, words, cwd, environment):
        self.process.stdin.write(json.dumps([words, str(cwd), environment]) + "\n")
        self.process.stdin.flush()
        wall, code, out, said = json.loads(self.process.stdout.readline())
        if code != 0:
            raise SystemExit(f"bench: {words} ended with {code}: {said}")
        return wall, out, said

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def main():
    pinfold = os.path.abspath(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 40
    user = sys.argv[3] if len(sys.argv) > 3 else "nobody"
    base = pathlib.Path(tempfile.mkdtemp(prefix="pinfold-bench-", dir="/srv"))
    try:
        bench(pinfold, count, user, base)
    finally:
        shutil.rmtree(base)


def bench(pinfold, count, user, base):
    base.chmod(0o755)
    home, project = base / "home", base / "home" / "project"
    (project / "src/a/b").mkdir(parents=True)
    shutil.copy(pinfold, base / "pinfold")
    for name in range(500):
        (project / f"src/f{name}.txt").write_text("some text\n" * 20)
    (project / "src/a/b/c.txt").write_text("c\n")
    for number in range(1400):
        (home / f"hidden{number}").touch()
    (project / "true.c").write_text("int main(void) { return 0; }\n")
    (project / "pass.py").write_text("pass\n")
    (project / "looks.py").write_text(LOOKS)
    (project / "replace.py").write_text(REPLACE)
    subprocess.run(["cc", "-O1", "-static", "-o", "true", "true.c"], cwd=project, check=True)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "a"]):
        subprocess.run([*git, *words], cwd=project, check=True, env={**os.environ, "HOME": str(home)})
    (base / "fuse").unlink(missing_ok=True)
    subprocess.run(["mknod", "--mode=0666", base / "fuse", "c", "10", "229"], check=True)
    (base / "none").touch(0o000)
    (base / "none").chmod(0o000)
    subprocess.run(["chown", "-R", user, home], check=True)
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "XDG_STATE_HOME": str(home / ".state")}
    roots = {"tripwire": Root(base / "fuse", user), "plain": Root(base / "none", user)}
    commands = {
        "start of `true`": ["./true"],
        "git status": ["git", "status"],
        "rg over 500 files": ["rg", "-c", "text", "src"],
        "start of python3": ["python3", "pass.py"],
    }
    lines = [f'"{place}" = "read"' for place in ("/usr", "/bin", "/lib", "/lib64", "/etc/passwd", "/etc/ld.so.cache")]
    lines += ['"$PROJECT" = "write"', '"~/.tool.json" = "replace"']
    try:
        words = {name: enforced(base, roots, project, environment, name, words, lines) for name, words in commands.items()}
        samples = {name: {kind: [] for kind in roots} for name in commands}
        for index in range(count + 1):
            for name in commands:
                for kind, root in roots.items():
                    wall, _, _ = root.run(words[name], project, environment)
                    if index:
                        samples[name][kind].append(wall)
        print(f"| {count} rounds | plain ms | tripwire ms | median of the ratios |\n|---|---|---|---|")
        for name, kinds in samples.items():
            ratio = statistics.median(a / b for a, b in zip(kinds["tripwire"], kinds["plain"]))
            least = {kind: min(walls) * 1000 for kind, walls in kinds.items()}
            print(f"| {name} | {least['plain']:.2f} | {least['tripwire']:.2f} | {ratio:.3f} |")
        print("\n| least, µs | plain | tripwire |\n|---|---|---|")
        for script in ("looks.py", "replace.py"):
            told = enforced(base, roots, project, environment, script, ["python3", "-S", script], lines)
            found = {kind: root.run(told, project, environment)[1] for kind, root in roots.items()}
            for plain, tripwire in zip(found["plain"].splitlines(), found["tripwire"].splitlines()):
                figures = [float(line.rpartition(",")[2]) / 1000 for line in (plain, tripwire)]
                print(f"| {plain.rpartition(',')[0]} | {figures[0]:.2f} | {figures[1]:.2f} |")
    finally:
        for root in roots.values():
            root.end()


def enforced(base, roots, project, environment, name, words, lines):
    """The words that run `words` under a profile of its own, which is approved."""
    names = ["$PROJECT/" + word[2:] if word.startswith("./") else word for word in words[:1]]
    names += ["$PROJECT/" + word for word in words[1:] if word.endswith(".py")]
    if words[:2] == ["git", "status"]:
        names = ["git"]
    profile = project.parent / ("".join(letter for letter in name if letter.isalnum()) + ".toml")
    profile.write_text(
        f'schema = 1\nname = "b"\ncommand = {json.dumps(names)}\n\n[filesystem]\n' + "\n".join(lines)
        + '\n\n[syscalls]\nbase = 1\n\n[environment]\npass = ["HOME", "PATH"]\n'
    )
    shutil.chown(profile, user=project.parent.stat().st_uid)
    pinfold = str(base / "pinfold")
    roots["plain"].run([pinfold, "approve", "--accept=all", str(profile)], project, environment)
    return [pinfold, "enforce", "-q", "-p", str(profile), "--", *words]


main()

#!/usr/bin/env python3
"""usage: review.py PINFOLD [ROUNDS]

What comparing and reporting take: `diff` of two profiles of 10 000 lines of which 200 differ, of one with itself, and
`report` of a trace of a million events; `check` of 100 000 lines with two comments each, and `diff` of 100 000 peers. Prints the
least and the median of the rounds, in seconds, the processor time of the quickest, and the size of what was said.
"""
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

LINES = 10_000
EVENTS = 1_000_000


def profile(path, access):
    with open(path, "w") as file:
        file.write('schema = 1\nname = "x"\ncommand = ["x"]\n\n[filesystem]\n')
        for n in range(LINES):
            file.write(f'"/opt/tool-{n // 100:03}/file-{n:06}" = "{access(n)}"\n')
        file.write("\n[syscalls]\nbase = 1\n")


MANY = 100_000


def commented(path):
    with open(path, "w") as file:
        file.write('schema = 1\nname = "x"\ncommand = ["x"]\n\n[filesystem]\n')
        for n in range(MANY):
            file.write(f'# of {n}\n# and why\n"/opt/tool-{n // 100:04}/file-{n:06}" = "read"\n')
        file.write("\n[syscalls]\nbase = 1\n")


def peers(path, first):
    with open(path, "w") as file:
        file.write('schema = 1\nname = "x"\ncommand = ["x"]\n\n[network]\n')
        for n in range(first, first + MANY):
            file.write(f'"host-{n:06}.example.com:443" = "connect"\n')
        file.write("\n[syscalls]\nbase = 1\n")


def trace(path):
    header = {
        "format": "pinfold-trace", "version": 1, "pinfold": "0.1.0", "run": "0", "started": 0, "kernel": "6", "machine": "x86_64",
        "command": ["x"], "roots": {"$PROJECT": "/home/u/p", "~": "/home/u"}, "workdir": "/home/u/p", "uid": 1000, "base": 1,
    }
    image = {"image": {"parent": None, "exe": "/usr/bin/x", "script": None, "argv": ["x"], "set_id": False}}
    with open(path, "w") as file:
        file.write(json.dumps(header) + "\n" + json.dumps({"image": 0, "fact": image}) + "\n")
        for n in range(EVENTS - 1):
            fact = {"intent": "read", "call": "openat", "path": f"/home/u/p/{n % 97}/{n % 1009}/{n}", "kind": "file", "result": "ok"}
            file.write(json.dumps({"image": 0, "fact": {"path": fact}}) + "\n")
        file.write(json.dumps({"footer": {"events": EVENTS, "status": {"code": 0}}}) + "\n")


def timed(rounds, command, wanted):
    times = []
    for _ in range(rounds):
        start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        times.append((time.monotonic() - start, spent))
        if done.returncode != wanted:
            sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr.decode()}")
    return *min(times), statistics.median(wall for wall, _ in times), len(done.stdout)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    pinfold, rounds = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.update(HOME=scratch, XDG_STATE_HOME=f"{scratch}/state")
        one, other, run = (f"{scratch}/{name}" for name in ("one.toml", "other.toml", "run.trace"))
        profile(one, lambda n: "read")
        profile(other, lambda n: "write" if n % 50 == 0 else "read")
        trace(run)
        many, few, others = (f"{scratch}/{name}" for name in ("many.toml", "few.toml", "others.toml"))
        commented(many)
        peers(few, 0)
        peers(others, 100)
        print("| | least s | its CPU s | median s | bytes |\n|---|---|---|---|---|")
        for name, command, wanted in [
            ("diff, 200 of 10 000 lines", ["diff", one, other], 1),
            ("diff with itself", ["diff", one, one], 0),
            ("report of a million events", ["report", "--trace", run, one], 0),
            ("check of 100 000 commented lines", ["check", many], 0),
            ("diff of 100 000 peers", ["diff", few, others], 1),
        ]:
            least, spent, median, size = timed(rounds, [pinfold, *command], wanted)
            print(f"| {name} | {least:.3f} | {spent:.3f} | {median:.3f} | {size} |")


main()

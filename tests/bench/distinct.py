#!/usr/bin/env python3
"""What learning keeps of a program that does the same again and again, and of one that does something new each time.

usage: distinct.py PINFOLD [MOST]

Prints a Markdown table: opens of one file and of as many files as opens, with the time of the run, pinfold's own peak of
memory, and the size of the trace. The first must stay flat but for the time, the second grow in proportion.
"""

import os
import pathlib
import shutil
import sys
import tempfile
import time

import paired
import workloads

PROGRAM = """
import os, sys
count, distinct = int(sys.argv[1]), sys.argv[2] == 'distinct'
for number in range(count):
    name = 'f%d' % number if distinct else 'f'
    os.close(os.open(name, os.O_RDONLY | (os.O_CREAT if distinct else 0)))
"""


def main():
    pinfold = os.path.abspath(sys.argv[1])
    most = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    root = pathlib.Path(tempfile.mkdtemp(prefix="pinfold-bench-", dir=pathlib.Path.cwd()))
    try:
        print("| opens | of | s | memory of pinfold, MiB | trace, KiB |\n|---|---|---|---|---|")
        for kind, highest in (("one file", most), ("distinct files", most // 10)):
            count = 1000
            while count <= highest:
                row(pinfold, root, count, kind)
                count *= 10
    finally:
        shutil.rmtree(root)


def row(pinfold, root, count, kind):
    project = root / "home" / "project"
    shutil.rmtree(root / "home", ignore_errors=True)
    shutil.rmtree(root / "state", ignore_errors=True)
    project.mkdir(parents=True)
    (project / "f").touch()
    (project / "opens.py").write_text(PROGRAM)
    environment = workloads.environment(root / "home", root / "state")
    words = ["/usr/bin/python3", "-S", "opens.py", str(count), "distinct" if kind.startswith("distinct") else "same"]
    learn = [pinfold, "learn", "-q", "--no-network", "-p", str(root / "p.toml"), "--", *words]
    begin = time.monotonic()
    memory = paired.highest_memory(learn, project, environment)
    took = time.monotonic() - begin
    trace = next((root / "state").rglob("*.trace")).stat().st_size
    print(f"| {count} | {kind} | {took:.2f} | {memory / 1024:.1f} | {trace / 1024:.0f} |", flush=True)


main()

#!/usr/bin/env python3
"""The price of learning, beside strace: git, python, node and make, each native, under strace and under pinfold.

usage: learn.py PINFOLD [ROUNDS]

Prints a Markdown table of ratios to native, of processor time (tracer and traced) and of wall time. Needs git, python3,
node, make, cc and strace.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import paired

WORKLOADS = {
    "one git status": ["git", "status"],
    "git": ["sh", "-c", "for i in 1 2 3 4 5 6; do git status >s; git log -p >l; git grep -n alpha >g; done"],
    "python": ["/usr/bin/python3", "-B", "-c", "import asyncio, decimal, email, http.client, json, unittest, xml.dom.minidom, "
               "pathlib\nfor i in range(60): list(pathlib.Path('.').rglob('*'))"],
    "node": ["node", "-e", "const fs=require('fs');for(let i=0;i<40;i++)for(const f of fs.readdirSync('src'))"
             "fs.readFileSync('src/'+f)"],
    "make": ["sh", "-c", "make -s clean && make -s -j2"],
}


def main():
    pinfold = os.path.abspath(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    root = pathlib.Path(tempfile.mkdtemp(prefix="pinfold-bench-"))
    try:
        bench(pinfold, count, root)
    finally:
        shutil.rmtree(root)


def prepare(project):
    source = project / "src"
    source.mkdir(parents=True)
    for index in range(60):
        (source / f"f{index}.c").write_text(f"#include <stdio.h>\nint alpha{index}(int x) {{ return printf(\"%d\", x); }}\n")
    names = " ".join(f"src/f{index}.o" for index in range(60))
    (project / "Makefile").write_text(f"all: {names}\nclean:\n\trm -f src/*.o\n")
    (project / ".gitignore").write_text("*.o\ns\nl\ng\n")
    script = "git init -q -b main . && git config user.name a && git config user.email a@example.org && git add -A && " \
        "git commit -q -m 0 && for i in 1 2 3 4 5 6 7 8 9; do echo // $i >> src/f$i.c; git commit -q -a -m $i; done"
    subprocess.run(["sh", "-ec", script], cwd=project, check=True)


def bench(pinfold, count, root):
    home, project = root / "home", root / "home" / "project"
    prepare(project)
    environment = {"HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin", "XDG_STATE_HOME": str(root / "state")}
    log = root / "strace.log"
    print(f"| {count} rounds | strace CPU | pinfold CPU | strace wall | pinfold wall | CPU ÷ strace | wall ÷ strace |")
    print("|---|---|---|---|---|---|---|")
    for name, words in WORKLOADS.items():
        contenders = {
            "native": words,
            "strace": ["strace", "-f", "-o", str(log), *words],
            "pinfold": [pinfold, "learn", "-q", "--no-network", "-p", str(root / "p.toml"), "--", *words],
        }
        samples = paired.rounds(contenders, count, project, environment)
        cells = [f"{paired.ratio(samples, who, 'native', figure)[0]:.2f}" for figure in ("cpu", "wall")
                 for who in ("strace", "pinfold")]
        against = [f"{paired.ratio(samples, 'pinfold', 'strace', figure)[0]:.2f}" for figure in ("cpu", "wall")]
        print("| " + " | ".join([name, *cells, *against]) + " |", flush=True)


main()

#!/usr/bin/env python3
"""The price of learning: seven workloads, each native, under strace, under strace with a filter, and learned.

usage: learn.py PINFOLD [ROUNDS [WORKLOAD...]]

Prints Markdown tables. First what a run of `true` takes, which every run pays once: a sandbox, and a profile made from the
trace. Then for each workload the ratios to native of processor time (tracer and traced) and of wall time, of the whole run;
then the same with the run of `true` taken off each side, which is what watching costs; then memory and trace of pinfold.
Needs git, rg, python3, node, make, cc and strace; a workload whose program is missing is left out and said so.
"""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import paired
import workloads

WHO = ("strace", "strace bpf", "pinfold", "exact")


def main():
    pinfold = os.path.abspath(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    root = pathlib.Path(tempfile.mkdtemp(prefix="pinfold-bench-", dir=pathlib.Path.cwd()))
    try:
        bench(pinfold, count, root, sys.argv[3:] or list(workloads.WORKLOADS))
    finally:
        shutil.rmtree(root)


def bench(pinfold, count, root, names):
    home, project = root / "home", root / "home" / "project"
    workloads.prepare(project)
    environment = workloads.environment(home, root / "state")

    def contenders(words, without):
        log = str(project / ".strace")
        learn = [pinfold, "learn", "-q", "--no-network", "-p", str(root / "p.toml")]
        every = {
            "native": words,
            "strace": ["strace", "-f", "-o", log, *words],
            "strace bpf": ["strace", "-f", "--seccomp-bpf", "-e", "trace=%file,%network,%process", "-o", log, *words],
            "pinfold": [*learn, "--", *words],
            "exact": [*learn, "--exact", "--", *words],
        }
        return {who: words for who, words in every.items() if who not in without}

    def fresh():
        shutil.rmtree(root / "state", ignore_errors=True)
        (root / "p.toml").unlink(missing_ok=True)

    samples = {}
    for name in ["true", "git status"]:
        samples[name] = paired.rounds(contenders(*workloads.ONE[name]), max(10, count), project, environment, before=fresh)
    for name in names:
        words, without = workloads.WORKLOADS[name]
        program = name.split(",")[0].split()[-1]
        if program not in ("execs",) and not shutil.which({"python": "python3"}.get(program, program)):
            print(f"{name}: left out, there is no such program here", file=sys.stderr)
            continue
        samples[name] = paired.rounds(contenders(words, without), count, project, environment, before=fresh)
        print(f"{name}: done", file=sys.stderr)
    start_table(samples)
    ratio_tables(samples, count)
    size_table(pinfold, samples, root, project, environment, fresh)


def median(samples, name, who, figure):
    return statistics.median(getattr(sample, figure) for sample in samples[name][who])


def start_table(samples):
    print("\n| one run, ms | native | strace | strace bpf | pinfold | exact | pinfold ÷ strace bpf |\n|---|---|---|---|---|---|---|")
    for name in ("true", "git status"):
        for figure in ("cpu", "wall"):
            cells = [f"{median(samples, name, who, figure) * 1000:.1f}" for who in ("native", *WHO)]
            against = paired.ratio(samples[name], "pinfold", "strace bpf", figure)[0]
            print(f"| {name}, {figure} | " + " | ".join(cells) + f" | {against:.2f} |")


def ratio_tables(samples, count):
    fixed = {(who, figure): median(samples, "true", who, figure) for who in ("native", *WHO) for figure in ("cpu", "wall")}
    for title, less in (("the whole run", False), ("less a run of `true`", True)):
        for figure in ("cpu", "wall"):
            print(f"\n| {title}, {figure} ÷ native, {count} rounds | native s | strace | strace bpf | pinfold | exact "
                  "| pinfold ÷ strace bpf |\n|---|---|---|---|---|---|---|")
            for name, runs in samples.items():
                if name in workloads.ONE:
                    continue
                off = {who: fixed[who, figure] if less else 0.0 for who in runs}
                cells = []
                for who, base in [*((who, "native") for who in WHO), ("pinfold", "strace bpf")]:
                    if who not in runs:
                        cells.append("")
                        continue
                    pairs = [(getattr(a, figure) - off[who]) / max(getattr(b, figure) - off[base], 1e-3)
                             for a, b in zip(runs[who], runs[base])]
                    cells.append(f"{statistics.median(pairs):.2f}")
                print(f"| {name} | {median(samples, name, 'native', figure):.2f} | " + " | ".join(cells) + " |", flush=True)


def size_table(pinfold, samples, root, project, environment, fresh):
    print("\n| workload | memory of pinfold, MiB | trace, KiB | facts |\n|---|---|---|---|")
    for name in samples:
        words, _ = {**workloads.ONE, **workloads.WORKLOADS}[name]
        fresh()
        learn = [pinfold, "learn", "-q", "--no-network", "-p", str(root / "p.toml"), "--", *words]
        memory = paired.highest_memory(learn, project, environment)
        trace = next((root / "state").rglob("*.trace"))
        lines = trace.read_bytes().count(b"\n")
        print(f"| {name} | {memory / 1024:.1f} | {trace.stat().st_size / 1024:.0f} | {lines - 2} |", flush=True)


main()

"""Commands timed side by side: each round runs every contender once, in turn, so that a busy machine is busy for all.

Figures are ratios within one round; a single time in milliseconds says little on a shared machine.
"""

import os
import statistics
import subprocess
import time


class Sample:
    """One run: wall seconds, and processor seconds of the process and all it waited for."""

    def __init__(self, wall, cpu):
        self.wall, self.cpu = wall, cpu


def run(words, cwd, environment, given=os.devnull):
    """Runs a command with the file `given` as input to its end; output is dropped. A failure ends the benchmark: a failed
    run is quick."""
    with open(given, "rb") as stdin:
        before = time.perf_counter()
        process = subprocess.Popen(
            words, cwd=cwd, env=environment, stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - before
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"bench: {words} ended with {process.returncode}: {said.decode(errors='replace')}")
    return Sample(wall, usage.ru_utime + usage.ru_stime)


def rounds(contenders, count, cwd, environment, inputs=None, before=lambda: None):
    """{name: [Sample]} for `count` interleaved rounds after one that is thrown away; `inputs` are files by name, `before`
    is called before each run."""
    samples = {name: [] for name in contenders}
    for index in range(count + 1):
        for name, words in contenders.items():
            before()
            sample = run(words, cwd, environment, (inputs or {}).get(name, os.devnull))
            if index:
                samples[name].append(sample)
    return samples


def highest_memory(words, cwd, environment):
    """Most resident memory of the process itself, without its children, in KiB: what the kernel counts, asked every
    5 ms, so what it takes in its last 5 ms is missing."""
    process = subprocess.Popen(words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    highest = 0
    while process.poll() is None:
        try:
            with open(f"/proc/{process.pid}/status", encoding="utf-8") as status:
                found = [int(line.split()[1]) for line in status if line.startswith("VmHWM:")]
            highest = max([highest, *found])
        except OSError:
            pass
        time.sleep(0.005)
    if process.returncode != 0:
        raise SystemExit(f"bench: {words} ended with {process.returncode}")
    return highest


def ratio(samples, name, base, figure):
    """(median of the ratios within a round, ratio of the minima)."""
    ours = [getattr(sample, figure) for sample in samples[name]]
    theirs = [getattr(sample, figure) for sample in samples[base]]
    pairs = [a / b for a, b in zip(ours, theirs) if b]
    return statistics.median(pairs), min(ours) / min(theirs)

#!/usr/bin/env python3
"""What the walls cost: starts, many mounts, each wall by itself, the filter, and processor time inside beside outside.

usage: enforce.py DIRECTORY [ROUNDS] [PART ...]

DIRECTORY has `pinfold` and `breach`, built with `cargo build --release --all-features`. The parts are start, mounts, walls,
filter and work; without names all are run. Prints Markdown tables. All contenders of a table are timed in turn within one
round; a peer that is not installed has no row and is named. Needs a C compiler; strace for the filter.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import paired
import workloads

WALLS = (
    "mounts guards landlock filter pid-namespace ipc-namespace network-namespace uts-namespace keyring capabilities owners "
    "descriptors environment process-group"
).split()

CPU = r"""
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
    if (fork() == 0) { execvp(argv[1], argv + 1); _exit(127); }
    int status; struct rusage used;
    wait(&status);
    getrusage(RUSAGE_CHILDREN, &used);
    FILE *out = fopen("cpu.out", "w");
    fprintf(out, "%f\n", used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    fclose(out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
"""

CALLS = r"""
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>
static double each(long number, long a, long b) {
    double best = 1e9;
    for (int turn = 0; turn < 60; turn++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (int i = 0; i < 4000; i++) syscall(number, a, b, 0);
        clock_gettime(CLOCK_MONOTONIC, &to);
        double ns = ((to.tv_sec - from.tv_sec) * 1e9 + to.tv_nsec - from.tv_nsec) / 4000;
        if (ns < best) best = ns;
    }
    return best;
}
int main(int count, char **words) {
    if (count > 1) {
        struct sock_filter allow[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
        struct sock_fprog program = {1, allow};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) return 1;
    }
    FILE *out = fopen("calls.out", "w");
    fprintf(out, "%.1f %.1f %.1f\n", each(SYS_getppid, 0, 0), each(SYS_fchmod, -1, 0644), each(SYS_ioctl, -1, 0x5413));
    fclose(out);
    return 0;
}
"""


class Bench:
    """A home, a project with three small programs, and profiles for them."""

    def __init__(self, binaries, root):
        self.pinfold, self.breach = str(binaries / "pinfold"), str(binaries / "breach")
        self.root, self.project = root, root / "home" / "project"
        self.project.mkdir(parents=True)
        self.environment = workloads.environment(root / "home", root / "state")
        for name, text in {"true": "int main(void) { return 0; }\n", "cpu": CPU, "calls": CALLS}.items():
            (self.project / f"{name}.c").write_text(text)
            subprocess.run(["cc", "-O1", "-static", "-o", name, f"{name}.c"], cwd=self.project, check=True)

    def profile(self, name, program, lines=(), allow=()):
        """Writes and approves one; returns its path and digest."""
        path = self.root / f"{name}.toml"
        calls = ", ".join(f'"{call}"' for call in allow)
        path.write_text(
            f'schema = 1\nname = "{name}"\ncommand = ["$PROJECT/{program}"]\n\n[filesystem]\n"$PROJECT" = "write"\n'
            '"/etc" = "read"\n"/usr" = "read"\n' + "".join(f'"{line}" = "read"\n' for line in lines)
            + f'\n[syscalls]\nbase = 1\nallow = [{calls}]\n'
        )
        self.call("approve", "--accept=all", str(path))
        return path, json.loads(self.call("show", "--json", str(path)))["digest"]

    def call(self, *words):
        done = subprocess.run([self.pinfold, *words], cwd=self.project, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"bench: {words}: {done.stderr}")
        return done.stdout

    def enforce(self, profile, *command):
        return [self.pinfold, "enforce", "-q", "-p", str(profile[0]), "--", *command]

    def without(self, walls, profile, *command):
        return [self.breach, walls, str(profile[0]), profile[1], str(self.root / "report"), "--", *command]

    def rounds(self, contenders, count):
        return paired.rounds(contenders, count, self.project, self.environment)

    def bwrap(self, *command, more=()):
        return [
            "bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc",
            "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
            "--tmpfs", "/tmp", "--proc", "/proc", "--dev", "/dev", "--bind", str(self.project), str(self.project),
            *more, "--chdir", str(self.project), *command,
        ]


def least(runs):
    return min(run.wall for run in runs) * 1000


def peers(bench, settings):
    """The other tools that are installed here, by name; those that are not."""
    # A root of its own: with the host's one, runtimes fail at its control groups.
    rootfs = bench.root / "rootfs"
    for name in ("dev", "etc", "proc", "run", "sys", "tmp", "usr"):
        (rootfs / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(bench.project / "true", rootfs / "true")
    podman = lambda runtime: [
        "podman", "--runtime", runtime, "--cgroup-manager", "cgroupfs", "run", "--rm", "--network", "none",
        "--cgroupns", "host", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--rootfs", str(rootfs), "/true",
    ]
    known = {
        "bwrap": bench.bwrap("./true"),
        "unshare": ["unshare", "-Urmpf", "-n", "-i", "-u", "-C", "./true"],
        "firejail": ["firejail", "--quiet", "--noprofile", "--net=none", "--private-dev", "--ipc-namespace",
                     "--caps.drop=all", "--seccomp", "--read-only=/usr", "--read-only=/etc", "./true"],
        "srt": ["srt", "--settings", str(settings), "./true"],
        "podman (crun)": podman("crun"),
        "podman (runc)": podman("runc"),
    }
    runtime = {"podman (crun)": "crun", "podman (runc)": "runc"}
    there = {
        name: [shutil.which(words[0]), *words[1:]] for name, words in known.items()
        if shutil.which(words[0]) and (name not in runtime or shutil.which(runtime[name]))
    }
    return there, [name for name in known if name not in there]


def start(bench, count):
    profile = bench.profile("true", "true")
    settings = bench.root / "srt.json"
    settings.write_text(json.dumps({
        "network": {"allowedDomains": [], "deniedDomains": []},
        "filesystem": {"denyRead": [], "allowWrite": ["."], "denyWrite": []},
    }))
    others, absent = peers(bench, settings)
    quick = {name: words for name, words in others.items() if name in ("bwrap", "unshare")}
    samples = bench.rounds({
        "fork and exec": ["./true"],
        "pinfold": bench.enforce(profile, "./true"),
        "pinfold without Landlock": bench.without("landlock", profile, "./true"),
        **quick,
    }, count)
    # They take so long that they would only make the rounds longer.
    for name, words in others.items():
        if name in quick:
            continue
        try:
            samples |= bench.rounds({name: words}, max(3, count // 20))
        except SystemExit as error:
            print(f"{name} failed and has no row: {error}\n")
    print(f"| start to end of a static `true`, {count} rounds | minimum ms | ÷ bwrap | − unshare, ms |\n|---|---|---|---|")
    base = least(samples["bwrap"]) if "bwrap" in samples else float("nan")
    unshare = least(samples["unshare"]) if "unshare" in samples else float("nan")
    for name, runs in samples.items():
        print(f"| {name} | {least(runs):.2f} | {least(runs) / base:.2f} | {least(runs) - unshare:+.2f} |")
    if absent:
        print(f"\nnot installed: {', '.join(absent)}")


def mounts(bench, count):
    outside = bench.root / "outside"
    outside.mkdir(exist_ok=True)
    print("| mounts | pinfold, minimum ms | without Landlock | bwrap | ÷ bwrap |\n|---|---|---|---|---|")
    for number in (100, 500, 2000):
        files = [outside / f"f{index}" for index in range(number)]
        for file in files:
            file.touch()
        profile = bench.profile(f"mounts-{number}", "true", files)
        samples = bench.rounds({
            "pinfold": bench.enforce(profile, "./true"), "bare": bench.without("landlock", profile, "./true"),
        }, max(3, count // 4))
        peer = float("nan")
        if shutil.which("bwrap"):
            more = [word for file in files for word in ("--ro-bind", str(file), str(file))]
            peer = least(bench.rounds({"bwrap": bench.bwrap("./true", more=more)}, max(1, 1000 // number))["bwrap"])
        full, bare = least(samples["pinfold"]), least(samples["bare"])
        print(f"| {number} | {full:.1f} | {bare:.1f} | {peer:.0f} | {full / peer:.3f} |")


def walls(bench, count):
    profile = bench.profile("walls", "true")
    contenders = {"none": bench.without("none", profile, "./true")}
    contenders |= {wall: bench.without(wall, profile, "./true") for wall in WALLS}
    samples = bench.rounds(contenders, count)
    print(f"| wall, {count} rounds | its part of a start, median of the differences, ms |\n|---|---|")
    for wall in WALLS:
        pairs = sorted(a.wall - b.wall for a, b in zip(samples["none"], samples[wall]))
        print(f"| {wall} | {pairs[len(pairs) // 2] * 1000:+.2f} |")
    print("\nAll of it, the start of the program included: "
          f"{sorted(run.wall for run in samples['none'])[count // 2] * 1000:.2f} ms (median)")


def filter_(bench, count):
    profile = bench.profile("calls", "calls")
    read = lambda: [float(word) for word in (bench.project / "calls.out").read_text().split()]
    commands = {
        "native": ["./calls"], "native, a filter of one instruction": ["./calls", "filtered"],
        "inside": bench.enforce(profile, "./calls"),
        "without the filter": bench.without("filter", profile, "./calls"),
    }
    best = {name: [1e9] * 3 for name in commands}
    for _ in range(max(5, count // 8)):
        for name, words in commands.items():
            paired.run(words, bench.project, bench.environment)
            best[name] = [min(pair) for pair in zip(best[name], read())]
    print("| ns a call, best | plain | rule on a mode | rule on a command |\n|---|---|---|---|")
    for name, values in best.items():
        print(f"| {name} | " + " | ".join(f"{value:.0f}" for value in values) + " |")
    print("| the filter | " + " | ".join(
        f"{a - b:+.0f}" for a, b in zip(best["inside"], best["without the filter"])) + " |")
    least = best["native, a filter of one instruction"]
    print("| the least that any filter costs | " + " | ".join(f"{a - b:+.0f}" for a, b in zip(least, best["native"])) + " |")
    if shutil.which("strace"):
        log = bench.root / "strace"
        subprocess.run(
            ["strace", "-f", "-e", "trace=seccomp", "-o", str(log), *commands["inside"]],
            cwd=bench.project, env=bench.environment, check=True,
        )
        print(f"\ninstructions of the base set's filter: {re.search('len=([0-9]+)', log.read_text())[1]}")


def work(bench, count):
    workloads.prepare(bench.project)
    once = "git status >s; rg -c nobody tree | tail -1 >l; make -s clean; make -s -j2; /usr/bin/python3 -B imports.py; node requires.js"
    profile = bench.root / "work.toml"
    bench.call("learn", "-q", "--accept-learned=all", "-p", str(profile), "--", "./cpu", "sh", "-ec", once)
    profile = profile, json.loads(bench.call("show", "--json", str(profile)))["digest"]
    commands = {
        "make": workloads.sh("make -s clean && make -s -j2"),
        "python": workloads.loop(4, "/usr/bin/python3 -B imports.py"),
        "node": workloads.loop(4, "node requires.js"),
        "git status": workloads.loop(30, "git status >s"),
        "rg": ["rg", "-c", "--no-ignore", "nobody", "tree"],
    }
    print("| processor time ÷ native, best of each | inside | without Landlock | without the filter |\n|---|---|---|---|")
    for name, words in commands.items():
        ways = {
            "native": ["./cpu", *words],
            "inside": bench.enforce(profile, "./cpu", *words),
            "landlock": bench.without("landlock", profile, "./cpu", *words),
            "filter": bench.without("filter", profile, "./cpu", *words),
        }
        best = dict.fromkeys(ways, 1e9)
        for _ in range(max(3, count // 10)):
            for way, whole in ways.items():
                run(bench, whole, name)
                best[way] = min(best[way], float((bench.project / "cpu.out").read_text()))
        print(f"| {name} | " + " | ".join(f"{best[way] / best['native']:.3f}" for way in ("inside", "landlock", "filter")) + " |")


def run(bench, words, name):
    done = subprocess.run(
        words, cwd=bench.project, env=bench.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )
    # rg says 1 when nothing matched.
    if done.returncode not in ((0, 1) if name == "rg" else (0,)):
        raise SystemExit(f"bench: {words}: {done.returncode}: {done.stderr}")


PARTS = {"start": start, "mounts": mounts, "walls": walls, "filter": filter_, "work": work}


def main():
    binaries = pathlib.Path(sys.argv[1]).resolve()
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 40
    for part in sys.argv[3:] or PARTS:
        root = pathlib.Path(tempfile.mkdtemp(prefix="pinfold-bench-", dir=pathlib.Path.home()))
        try:
            PARTS[part](Bench(binaries, root), count)
            print(flush=True)
        finally:
            shutil.rmtree(root)


main()

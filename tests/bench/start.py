#!/usr/bin/env python3
"""Start to end of an enforced `true`, beside bwrap with the same mounts.

usage: start.py PINFOLD [ROUNDS]

Prints a Markdown table. Needs bwrap and a C compiler (for a static `true`). With strace there is a row of bwrap with the
very system call filter of pinfold, with firejail one of that (network, devices, capabilities and filter alike; its mounts
are its own).
"""

import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

import paired


def main():
    pinfold = os.path.abspath(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 40
    root = pathlib.Path(tempfile.mkdtemp(prefix="pinfold-bench-"))
    try:
        bench(pinfold, count, root)
    finally:
        shutil.rmtree(root)


def bench(pinfold, count, root):
    home, project = root / "home", root / "home" / "project"
    project.mkdir(parents=True)
    (project / "true.c").write_text("int main(void) { return 0; }\n")
    subprocess.run(["cc", "-O1", "-static", "-o", "true", "true.c"], cwd=project, check=True)
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "XDG_STATE_HOME": str(root / "state")}
    profile = root / "true.toml"
    profile.write_text(
        "schema = 1\n"
        'name = "true"\n'
        'command = ["$PROJECT/true"]\n\n'
        '[filesystem]\n"$PROJECT" = "write"\n"/etc" = "read"\n"/usr" = "read"\n\n[syscalls]\nbase = 1\n'
    )
    shown = subprocess.run(
        [pinfold, "approve", "--accept=all", str(profile)], cwd=project, env=environment, capture_output=True, text=True
    )
    if shown.returncode:
        raise SystemExit(f"bench: {shown.stderr}")
    enforce = [pinfold, "enforce", "-q", "-p", str(profile), "--", "./true"]
    bwrap = [
        "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc",
        "--tmpfs", "/tmp", "--proc", "/proc", "--dev", "/dev", "--bind", str(project), str(project),
        "--chdir", str(project), "./true",
    ]
    contenders = {
        "fork and exec": ["./true"],
        "pinfold enforce": enforce,
        "bwrap": ["bwrap", *bwrap],
        "unshare": ["unshare", "-Urmpf", "-n", "-i", "-u", "-C", "./true"],
    }
    inputs = {}
    if shutil.which("strace"):
        inputs["bwrap, same filter"] = root / "filter.bpf"
        inputs["bwrap, same filter"].write_bytes(filter_of(enforce, project, environment, root / "filter.strace"))
        contenders["bwrap, same filter"] = ["bwrap", "--seccomp", "0", *bwrap]
    if shutil.which("firejail"):
        contenders["firejail"] = [
            "firejail", "--quiet", "--noprofile", "--net=none", "--private-dev", "--ipc-namespace", "--caps.drop=all",
            "--seccomp", "--read-only=/usr", "--read-only=/etc", "./true",
        ]
    samples = paired.rounds(contenders, count, project, environment, inputs)
    print(f"| {count} rounds | minimum ms | median ÷ bwrap | minimum ÷ bwrap |\n|---|---|---|---|")
    for name, runs in samples.items():
        median, least = paired.ratio(samples, name, "bwrap", "wall")
        print(f"| {name} | {min(run.wall for run in runs) * 1000:.2f} | {median:.2f} | {least:.2f} |")


def filter_of(words, cwd, environment, log):
    """The filter that a command loads, in the kernel's form, as strace shows it."""
    subprocess.run(
        ["strace", "-f", "-v", "-X", "raw", "-e", "trace=seccomp", "-o", str(log), *words],
        cwd=cwd, env=environment, check=True,
    )
    number = lambda text: sum(int(part, 0) for part in text.split("|"))
    steps = re.findall(r"BPF_(?:STMT|JUMP)\(([^)]*)\)", log.read_text())
    fields = [[number(field) for field in step.split(", ")] for step in steps]
    return b"".join(struct.pack("=HBBI", code, *(jumps or [0, 0]), k) for code, k, *jumps in fields)


main()

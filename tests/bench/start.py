#!/usr/bin/env python3
"""Start to end of an enforced `true`, beside bwrap with the same mounts.

usage: start.py PINFOLD [ROUNDS]

Prints a Markdown table. Needs bwrap and a C compiler (for a static `true`).
"""

import os
import pathlib
import shutil
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
    contenders = {
        "fork and exec": ["./true"],
        "pinfold enforce": [pinfold, "enforce", "-q", "-p", str(profile), "--", "./true"],
        "bwrap": [
            "bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc",
            "--tmpfs", "/tmp", "--proc", "/proc", "--dev", "/dev", "--bind", str(project), str(project),
            "--chdir", str(project), "./true",
        ],
        "unshare": ["unshare", "-Urmpf", "-n", "-i", "-u", "-C", "./true"],
    }
    samples = paired.rounds(contenders, count, project, environment)
    print(f"| {count} rounds | minimum ms | median ÷ bwrap | minimum ÷ bwrap |\n|---|---|---|---|")
    for name, runs in samples.items():
        median, least = paired.ratio(samples, name, "bwrap", "wall")
        print(f"| {name} | {min(run.wall for run in runs) * 1000:.2f} | {median:.2f} | {least:.2f} |")


main()

#!/usr/bin/env python3
"""What `protect = "strict"` costs: work that makes and removes many names, beside the same sandbox with `scan`, and natively.

usage: protect.py PINFOLD [ROUNDS]

Prints a Markdown table: medians of ratios within one round. Needs git, gcc and make; with cargo there is a row of it.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import paired

FILES = 5000
CALLS = [
    "bind", "chdir", "chmod", "creat", "fchdir", "fchmod", "fchmodat", "flock", "link", "linkat", "mkdir", "mkdirat", "open",
    "rename", "renameat", "renameat2", "rmdir", "setresgid", "setresuid", "socket", "symlink", "symlinkat", "truncate",
    "umask", "unlink", "unlinkat", "utimensat",
]


def main():
    pinfold = os.path.abspath(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    # Not in a temporary directory: a sandbox has its own.
    root = pathlib.Path(tempfile.mkdtemp(prefix="pinfold-bench-", dir=os.path.expanduser("~")))
    try:
        bench(pinfold, count, root)
    finally:
        shutil.rmtree(root)


def bench(pinfold, count, root):
    home, project = root / "home", root / "home" / "project"
    project.mkdir(parents=True)
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "XDG_STATE_HOME": str(root / "state"), "LC_ALL": "C"}
    scripts = {
        f"git checkout, {FILES} files there and back": "cd work && git checkout -q b && git checkout -q a",
        f"cp -r and rm -r of {FILES} files": "cp -r work/tree copy && rm -r copy",
        f"rm -r of {FILES} files": "rm -r gone",
        "make, 40 files": "cd make && rm -f *.o prog && make -s",
    }
    prepare(project, environment)
    if shutil.which("cargo"):
        scripts["cargo build"] = "cd crate && rm -rf target && cargo build -q --offline"
    print("| work | strict / scan | strict / native | scan / native | native ms |")
    print("|---|---|---|---|---|")
    for name, script in scripts.items():
        (project / "work.sh").write_text(f"set -e\n{script}\n")
        contenders = {"native": ["sh", "work.sh"]}
        for protect in ("scan", "strict"):
            contenders[protect] = enforce(pinfold, root, project, environment, protect)

        def before():
            if "gone" in script:
                shutil.rmtree(project / "gone", ignore_errors=True)
                shutil.copytree(project / "work" / "tree", project / "gone")

        samples = paired.rounds(contenders, count, project, environment, before=before)
        ratio = lambda a, b: paired.ratio(samples, a, b, "wall")[0]
        native = sorted(sample.wall for sample in samples["native"])[len(samples["native"]) // 2] * 1000
        against = [ratio("strict", "scan"), ratio("strict", "native"), ratio("scan", "native")]
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in against)} | {native:.0f} |", flush=True)


def prepare(project, environment):
    work = project / "work"
    tree = work / "tree"
    for number in range(FILES):
        path = tree / f"d{number % 50}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n" * 5)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "gc.auto=0"]
    run = lambda *words: subprocess.run([*git, *words], cwd=work, env=environment, check=True, stdout=subprocess.DEVNULL)
    run("init", "-q", "-b", "a")
    run("add", ".")
    run("commit", "-qm", "a")
    run("checkout", "-q", "-b", "b")
    run("mv", "tree", "other")
    run("commit", "-qm", "b")
    run("checkout", "-q", "a")
    make = project / "make"
    make.mkdir()
    for number in range(40):
        (make / f"f{number}.c").write_text(f"int f{number}(void) {{ return {number}; }}\n")
    (make / "main.c").write_text("int main(void) { return 0; }\n")
    objects = " ".join(f"f{number}.o" for number in range(40))
    (make / "Makefile").write_text(f"prog: main.o {objects}\n\tcc -o $@ $^\n")
    if shutil.which("cargo"):
        source = project / "crate" / "src"
        source.mkdir(parents=True)
        (project / "crate" / "Cargo.toml").write_text('[package]\nname = "x"\nversion = "0.1.0"\nedition = "2021"\n')
        modules = range(30)
        for number in modules:
            (source / f"m{number}.rs").write_text("pub fn f(x: u64) -> String { format!(\"{:?}\", vec![x; 9]) }\n")
        body = "".join(f"mod m{number};\n" for number in modules)
        calls = "".join(f"    println!(\"{{}}\", m{number}::f({number}));\n" for number in modules)
        (source / "main.rs").write_text(f"{body}fn main() {{\n{calls}}}\n")


def enforce(pinfold, root, project, environment, protect):
    profile = root / f"{protect}.toml"
    calls = ", ".join(f'"{call}"' for call in CALLS)
    places = ["/usr", "/etc", "/bin", "/lib", "/lib64"]
    cargo = shutil.which("cargo")
    if cargo:
        root_of = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
        environment["PATH"] = f"{root_of}/bin:{os.environ['PATH']}"
        places.append(root_of)
    grants = "".join(f'"{place}" = "read"\n' for place in places)
    profile.write_text(
        f'schema = 1\nname = "work"\ncommand = ["sh", "$PROJECT/work.sh"]\nprotect = "{protect}"\n\n'
        f'[filesystem]\n"$PROJECT" = "write"\n{grants}\n[syscalls]\nbase = 1\nallow = [{calls}]\n\n'
        '[environment]\npass = ["HOME", "PATH", "LC_ALL"]\n'
    )
    approve = [pinfold, "approve", "--accept=all", str(profile)]
    done = subprocess.run(approve, cwd=project, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"bench: {done.stderr}")
    return [pinfold, "enforce", "-q", "--project", str(project), "-p", str(profile), "--", "sh", "work.sh"]


if __name__ == "__main__":
    main()

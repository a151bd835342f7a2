#!/usr/bin/env python3
"""Traces for the benchmark of the reducer: nine programs, sixteen runs each, no two alike.

usage: record.py PINFOLD DIRECTORY [RUNS [PROGRAM...]]

As an ordinary user. Makes a home below DIRECTORY with a project, other projects, private files and secrets (each of which
holds the word PLANTED-SECRET), and learns each program RUNS times by `pinfold learn`; a run is a shell script of one to six
actions that are drawn, with a fixed seed, from the program's pool, the first ones oftener than the last. The traces lie in
DIRECTORY/traces/PROGRAM/NN.trace, what was planted in DIRECTORY/planted.json. Where `firejail` is installed, DIRECTORY/firejail
has what `firejail --build` makes of the first half of the runs; it leaves an empty /etc/ld.so.preload behind. Takes some minutes.
"""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

MARK = "PLANTED-SECRET"

SECRETS = """.ssh/id_ed25519 .ssh/config .gnupg/private-keys-v1.d/a.key .aws/credentials .azure/token.json .config/gcloud/cred.db
.config/gh/hosts.yml .netrc .npmrc .pypirc .git-credentials .docker/config.json .kube/config .password-store/bank.gpg
.mozilla/firefox/a/logins.json .config/chromium/Default/Cookies .bash_history .local/share/keyrings/login.keyring .pgpass
.cargo/credentials.toml .config/rclone/rclone.conf .thunderbird/a/key4.db .config/helper/token code/other/.env
code/calc/.env .vault-token .config/op/config .zsh_history .electrum/wallet .claude/.credentials.json""".split()

PRIVATE = """Documents/tax-2025.txt Documents/letters/a.txt Documents/letters/b.txt Documents/cv.txt Pictures/a.jpg Pictures/b.jpg
Music/a.ogg Downloads/x.deb Downloads/statement.pdf Mail/inbox .config/editor/settings.json .config/editor/recent .config/app/a.ini
.config/app/b.ini .config/app/cache/c .config/other/x .local/share/app/data.db .local/share/notes/n1.md .local/share/notes/n2.md
.local/state/app/log .bashrc .profile .vimrc .tmux.conf .config/nvim/init.lua .cache/app/blob .cache/thumbnails/t1.png
.cache/thumbnails/t2.png notes/todo.md notes/ideas.md .config/htop/htoprc .face .config/user-dirs.dirs .local/share/recent.xbel""".split()

HELPER = "import json, sys\ndef twice(x):\n    return x + x\n"


def git(action):
    return f"git -c user.name=A -c user.email=a@example.org {action}"


POOLS = {
    "git": [
        "git status", "git log --oneline -3", "git diff HEAD~1", git("commit -q --allow-empty -m x"), "git branch -a",
        "echo $RANDOM >> notes.txt; git add notes.txt; " + git("commit -q -m n"), "git stash list", "git show --stat",
        git("tag -f -a v$RANDOM -m t"), "git grep -n def", "git blame src/a.py", "git archive HEAD | tar -t",
        "git ls-files | sort", "git gc -q", "git init -q fresh$RANDOM", "git clone -q . copy$RANDOM", "git config --get user.name",
        "git describe --always", "git shortlog -sn HEAD", "git worktree list", "git rev-list --count HEAD", "git help -a",
        "git fsck", "git format-patch -1 --stdout", "git bundle create b$RANDOM HEAD", "git cat-file -p HEAD",
        "git reflog -2", "git notes list", "git submodule status", "git check-ignore x", "git instaweb --help | head -3",
    ],
    "python": [f"/usr/bin/python3 -c '{code}'" for code in [
        "import json; print(json.dumps([1]))", "import csv, io; csv.reader(io.StringIO(\"a\"))", "import sqlite3; sqlite3.connect(\":memory:\")",
        "import decimal; print(decimal.Decimal(1))", "import email.message", "import http.client", "import xml.etree.ElementTree",
        "import zipfile, tarfile", "import hashlib; hashlib.sha256(b\"a\")", "import ssl; ssl.create_default_context()", "import ctypes",
        "import asyncio; asyncio.run(asyncio.sleep(0))", "import unittest", "import zoneinfo; zoneinfo.ZoneInfo(\"Europe/Berlin\")",
        "import locale; locale.setlocale(locale.LC_ALL, \"\")", "import curses", "import logging.config", "import multiprocessing as m; m.cpu_count()",
        "import platform; platform.platform(); platform.freedesktop_os_release()", "import pwd, grp; pwd.getpwuid(0)",
        "import socket; socket.getaddrinfo(\"localhost\", 80)", "import tempfile; tempfile.mkdtemp()", "import uuid; uuid.uuid1()",
        "import pathlib; pathlib.Path(\"out.txt\").write_text(\"x\")", "import subprocess; subprocess.run([\"ls\"])",
        "import gettext; gettext.translation(\"x\", fallback=True)", "import mimetypes; mimetypes.guess_type(\"a.png\")",
        "import pydoc", "import lib2to3.pgen2", "import encodings.cp1252, encodings.shift_jis", "import venv, ensurepip",
        "import readline; import rlcompleter", "import turtledemo", "import dbm.dumb", "import webbrowser",
    ]] + ["/usr/bin/python3 -m compileall -q src", "/usr/bin/python3 -m unittest -q src/test_a.py", "/usr/bin/python3 -m json.tool data.json"],
    "node": [f"/usr/bin/node -e '{code}'" for code in [
        "console.log(1)", "require(\"fs\").writeFileSync(\"n.txt\",\"x\")", "require(\"crypto\").randomBytes(4)", "require(\"zlib\").gzipSync(\"a\")",
        "require(\"child_process\").execSync(\"ls\")", "console.log(require(\"os\").cpus().length)", "console.log(new Intl.DateTimeFormat(\"de\").format())",
        "new (require(\"worker_threads\").Worker)(\"1\",{eval:true})", "require(\"http\").createServer().listen(0,function(){this.close()})",
        "require(\"dns\").lookup(\"localhost\",()=>{})", "require(\"./src/lib.js\")", "console.log(process.getuid(),require(\"os\").userInfo())",
        "require(\"tls\").rootCertificates.length", "require(\"readline\")", "require(\"child_process\").execSync(\"git --version\")",
        "require(\"fs\").readdirSync(\".\")", "process.report.getReport()", "new Date().toLocaleString(\"en\",{timeZone:\"Asia/Tokyo\"})",
        "require(\"inspector\")", "import(\"fs/promises\")", "require(\"child_process\").execSync(\"python3 --version || true\")",
        "require(\"v8\").getHeapStatistics()", "require(\"os\").networkInterfaces()", "require(\"child_process\").execSync(\"uname -a; id\")",
    ]] + ["/usr/bin/node --version", "/usr/bin/node --check src/lib.js", "/usr/bin/node src/lib.js"],
    "make": [
        "make -s", "make -s clean", "make -s CFLAGS=-O2", "make -s CFLAGS='-g -O0'", "gcc -M src/m.c", "make -s lib", "gcc -E src/m.c | wc -l",
        "gcc -S src/m.c -o m.s", "gcc -c -fPIC src/m.c -o m.o", "ar rcs x.a src/m.o || true", "nm ./prog || true", "strip -o s ./prog || true",
        "objdump -f ./prog || true", "g++ -x c++ -fsyntax-only src/n.cc", "gcc -pthread src/t.c -o t && ./t", "gcc -lm src/f.c -o f -lm && ./f",
        "size ./prog || true", "readelf -h ./prog || true", "gcc -static src/m.c -o st || true", "gcc --version", "cpp --version", "ld --version",
        "gcc -fsanitize=address src/m.c -o as && ./as || true", "gcc -flto src/m.c -o l", "gcov --version", "make -p > /dev/null || true",
        "gcc -march=native -Q --help=target | wc -l", "c++filt _Z1fv", "gdb --version", "addr2line -e ./prog 0 || true",
    ],
    "search": [
        "rg def src", "rg -i todo", "rg --files", "rg -t py import", "rg --json x src", "rg -P 'a(?=b)' src", "rg -z x .", "rg -c return src",
        "rg -l x docs", "grep -rn def src", "find . -name '*.py'", "find . -type f | xargs wc -l", "rg --sort path x", "rg --type-list | wc -l",
        "sort data.json | uniq -c", "awk '{print $1}' notes.txt", "sed -n 1,3p notes.txt", "head -2 src/a.py; tail -1 src/a.py", "cut -c1-3 notes.txt",
        "tr a b < notes.txt", "diff src/a.py src/b.py || true", "file src/a.py || true", "od -c notes.txt | head", "rg -U 'a\\nb' src",
        "rg --no-config x", "find . -newer src/a.py", "ls -la src", "du -s .", "stat src", "cmp src/a.py src/b.py || true", "rg --debug x src 2>&1 | wc -l",
        "rg --encoding utf-16 x src || true", "comm notes.txt data.json || true", "LC_ALL=C.UTF-8 sort notes.txt", "rg x ~/notes || true",
    ],
    "curl": [
        "curl -s file://$PWD/data.json", "curl -s file://$PWD/notes.txt -o c.txt", "curl -V", "curl -s http://127.0.0.1:9/ || true",
        "serve; curl -s http://127.0.0.1:$PORT/", "serve; curl -s -o p http://127.0.0.1:$PORT/data.json", "serve; curl -sI http://127.0.0.1:$PORT/",
        "serve; curl -s -c jar http://127.0.0.1:$PORT/", "curl -s https://127.0.0.1:9/ || true", "curl -sk https://localhost:9/ || true",
        "curl -s http://localhost:9/ || true", "curl --help all | wc -l", "curl -s http://nonexistent.invalid/ || true", "curl --manual | wc -l",
        "serve; curl -s --compressed http://127.0.0.1:$PORT/", "serve; curl -s -d x=1 http://127.0.0.1:$PORT/", "curl -s ftp://127.0.0.1:9/ || true",
        "curl -s --cacert data.json https://127.0.0.1:9/ || true", "curl -s -K c.conf || true", "curl -s telnet://127.0.0.1:9 || true",
        "serve; curl -s -T notes.txt http://127.0.0.1:$PORT/", "curl -s --ciphers DEFAULT https://127.0.0.1:9/ || true",
    ],
    "archive": [
        "tar -cf a.tar src", "tar -czf a.tgz src", "tar -cJf a.txz src", "tar -tf a.tar || true", "mkdir -p x && tar -xf a.tar -C x || true", "gzip -kf notes.txt",
        "xz -kf notes.txt", "zstd -qf notes.txt || true", "bzip2 -kf notes.txt", "sqlite3 t.db 'create table if not exists t(a); insert into t values(1)'",
        "sqlite3 t.db .schema", "sqlite3 t.db .dump", "sqlite3 :memory: \"select datetime('now','localtime')\"", "sha256sum src/*", "md5sum notes.txt", "cpio --version || true",
        "zip -q z.zip notes.txt || true", "base64 notes.txt", "split -l 2 notes.txt part", "perl -e 'print 1'", "perl -MPOSIX -e 'print floor(1.5)'",
        "perl -MData::Dumper -e 'print Dumper([1])'", "perl -MJSON::PP -e 'print encode_json([1])'", "perl -MTime::Local -e 1", "perl -MEncode -e 'encode(\"iso-8859-2\",\"a\")'",
        "perl -MFile::Temp=tempfile -e 'tempfile()'", "perl -MUnicode::UCD=charinfo -e 'charinfo(65)'", "perl -c -e 1", "jq . data.json", "date", "TZ=Asia/Tokyo date", "cal || true",
    ],
    "cargo": [
        "cargo build -q --offline", "cargo check -q --offline", "cargo run -q --offline", "cargo test -q --offline", "cargo clean -q", "cargo metadata --offline --format-version 1 | wc -c",
        "cargo tree --offline", "cargo build -q --offline --release", "rustc --version", "cargo new -q made$RANDOM", "cargo fmt || true", "cargo doc -q --offline", "rustc --print sysroot",
        "cargo generate-lockfile --offline", "cargo package -q --offline --allow-dirty --no-verify || true", "cargo --list | wc -l", "rustc -O src/lone.rs -o lone && ./lone",
    ],
}

AGENT = [
    "log; cat src/a.py", "log; settings", "rg def src; git diff", "/usr/bin/python3 -m unittest -q src/test_a.py || true", "edit src/a.py", "git add -A; " + git("commit -q -m step"),
    "cache", "ls ~; cat /etc/os-release", "git log -1; git config --get user.name || true", "/usr/bin/node src/lib.js", "make -s", "sed -i s/x/y/ notes.txt", "jq . data.json; date",
    "grep -rn def .; find . -name '*.c' | head", "tar -czf b.tgz src", "uname -a; id; nproc; df . ; free || true", "locale -a | wc -l", "cat ~/.gitconfig || true", "history_of_agent", "perl -ne print notes.txt",
    "gcc src/m.c -o prog && ./prog", "sqlite3 t.db 'create table if not exists q(a)'", "tput cols || true; clear || true", "curl -s file://$PWD/data.json", "ps aux | wc -l; env | wc -l", "awk 1 notes.txt | sort | uniq",
    "git stash list; git branch", "which rg python3 node", "du -sh .; wc -l src/*", "xz -kf notes.txt", "less -V | head -1", "cat ~/.config/agent/rules.md || true", "bash -lc true", "man -w ls || true", "diff -r src docs || true",
    "cat ~/notes/todo.md", "ls ~/code/other/src; cat ~/code/other/src/o1.py",
]

SHELL = r"""
edit() { cp "$1" "$1.tmp.$$" && echo "# $RANDOM" >> "$1.tmp.$$" && mv "$1.tmp.$$" "$1"; }
settings() { mkdir -p ~/.config/agent && echo "{\"n\": $RANDOM}" > ~/.config/agent/.settings.$$ && mv ~/.config/agent/.settings.$$ ~/.config/agent/settings.json
  echo "{\"n\": $RANDOM}" > ~/.agent.json.tmp.$$ && mv ~/.agent.json.tmp.$$ ~/.agent.json; }
log() { mkdir -p ~/.agent/sessions && cat /proc/sys/kernel/random/uuid > ~/.agent/sessions/$(cat /proc/sys/kernel/random/uuid).jsonl; }
cache() { mkdir -p ~/.cache/agent/blobs && echo x > ~/.cache/agent/blobs/$RANDOM$RANDOM; }
history_of_agent() { ls ~/.agent/sessions 2>/dev/null | tail -1; cat ~/.agent.json 2>/dev/null; true; }
serve() { exec 3< <(exec /usr/bin/python3 -u -m http.server 0 --bind 127.0.0.1 2>/dev/null); SERVER=$!; read -r -u 3 line; PORT=$(echo "$line" | sed 's/.*port \([0-9]*\).*/\1/'); trap 'kill $SERVER' EXIT; }
"""


def plant(home):
    planted = {"secret": [], "private": []}
    for kind, names in [("secret", SECRETS), ("private", PRIVATE)]:
        for name in names:
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{MARK}\n" if kind == "secret" else "private\n")
            planted[kind].append(str(path))
    for number in range(20):
        path = home / f"code/other/src/o{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
        planted["private"].append(str(path))
    (home / ".gitconfig").write_text("[user]\n\tname = A\n\temail = a@example.org\n")
    planted["private"].append(str(home / ".gitconfig"))
    return planted


def project(at):
    files = {
        "src/a.py": HELPER, "src/b.py": HELPER + "# b\n", "src/test_a.py": "import unittest\nclass T(unittest.TestCase):\n    def test(self): pass\n",
        "src/lib.js": "console.log(1);\n", "src/m.c": "#include <stdio.h>\nint main(void) { puts(\"x\"); }\n", "src/n.cc": "#include <vector>\nstd::vector<int> v;\n",
        "src/t.c": "#include <pthread.h>\nstatic void *f(void *x) { return x; }\nint main(void) { pthread_t t; pthread_create(&t, 0, f, 0); pthread_join(t, 0); }\n",
        "src/f.c": "#include <math.h>\n#include <stdio.h>\nint main(int c, char **v) { printf(\"%f\\n\", sqrt(c)); }\n",
        "Makefile": "prog: src/m.o\n\t$(CC) -o $@ $^\nlib: src/m.o\n\tar rcs lib.a $^\nclean:\n\trm -f prog src/*.o\n",
        "data.json": "{\"a\": [1, 2]}\n", "notes.txt": "x one\nx two\nx three\n", "docs/a.md": "x TODO\n", "c.conf": "url = \"file:///etc/hostname\"\n",
        "Cargo.toml": "[package]\nname = \"calc\"\nversion = \"0.1.0\"\nedition = \"2021\"\n", "src/main.rs": "fn main() { println!(\"x\"); }\n", "src/lone.rs": "fn main() {}\n",
    }
    for name, text in files.items():
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_text(text)
    for index in range(30):
        (at / f"src/gen{index}.py").write_text(f"def f{index}(): return {index}\n")
    quiet = {"cwd": at, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run("git init -q -b main . && git add -A -- ':!.env' && " + git("commit -q -m one") + " && echo z >> docs/a.md && git add -A -- ':!.env' && " + git("commit -q -m two"), shell=True, **quiet)


def draw(rng, pool):
    weights = [1 / (rank + 1) ** 0.8 for rank in range(len(pool))]
    count = rng.randint(1, 6)
    return list(dict.fromkeys(rng.choices(pool, weights)[0] for _ in range(count)))


def main():
    pinfold, out = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).absolute()
    runs = int(sys.argv[3]) if len(sys.argv) > 3 else 16
    pools = {**POOLS, "agent": AGENT}
    wanted = sys.argv[4:] or list(pools)
    shutil.rmtree(out / "home", ignore_errors=True)
    home = out / "home"
    calc = home / "code/calc"
    planted = plant(home)
    project(calc)
    (out / "planted.json").write_text(json.dumps({"home": str(home), "project": str(calc), **planted}))
    path = os.environ.get("PINFOLD_TEST_RUST")
    search = (f"{path}/bin:" if path else "") + "/usr/local/bin:/usr/bin:/bin"
    for name in wanted:
        rng = random.Random(f"pinfold {name}")
        traces = out / "traces" / name
        shutil.rmtree(traces, ignore_errors=True)
        traces.mkdir(parents=True)
        for number in range(runs):
            script = calc / f"run-{name}.sh"
            script.write_text(SHELL + "\n".join(draw(rng, pools[name])) + "\ntrue\n")
            state = out / "state"
            shutil.rmtree(state, ignore_errors=True)
            environment = {"HOME": str(home), "PATH": search, "LANG": rng.choice(["C", "C.UTF-8"]), "TERM": "xterm", "XDG_STATE_HOME": str(state), "TMPDIR": "/tmp", "USER": "dev"}
            learn = [pinfold, "learn", "-q", "--even-if-failed", "-p", str(out / "profile.toml"), "--", "bash", str(script)]
            done = subprocess.run(learn, cwd=calc, env=environment, capture_output=True, timeout=300)
            found = list(state.glob("pinfold/traces/*/*.trace"))
            if len(found) != 1:
                sys.exit(f"{name} {number}: {done.stderr.decode(errors='replace')}")
            shutil.move(found[0], traces / f"{number:02}.trace")
            shutil.move(script, traces / f"{number:02}.sh")
            (out / "profile.toml").unlink(missing_ok=True)
        print(f"{name}: {runs} runs", flush=True)
        if shutil.which("firejail"):
            build(out, name, calc, environment, runs // 2)


def build(out, name, calc, environment, runs):
    """What `firejail --build` makes of the runs to learn from. It takes one program: a script with the actions of all."""
    script = calc / f"run-{name}.sh"
    bodies = [(out / "traces" / name / f"{number:02}.sh").read_text().removeprefix(SHELL) for number in range(runs)]
    # firejail waits for whatever is left over, where pinfold ends it.
    shell = SHELL.replace("exec /usr/bin/python3", "exec timeout 20 /usr/bin/python3")
    script.write_text(shell + "".join(f"(\n{body})\n" for body in bodies))
    profile = out / "firejail" / f"{name}.profile"
    profile.parent.mkdir(exist_ok=True)
    profile.unlink(missing_ok=True)
    done = subprocess.run(["firejail", f"--build={profile}", "bash", str(script)], cwd=calc, env=environment, capture_output=True, timeout=600)
    script.unlink()
    if not profile.exists():
        print(f"{name}: firejail --build made nothing: {done.stderr.decode(errors='replace')[-300:]}", flush=True)


if __name__ == "__main__":
    main()

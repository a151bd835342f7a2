"""Seven commands that a learning run is measured with, and the files that they work on: made anew, so that every machine
has the same.

Each runs for half a second or more by itself, or it would measure the start of a run and not the watching.
"""

import os
import subprocess

MODULES = (
    "argparse ast asyncio base64 bisect bz2 calendar cgi cmd code codecs collections concurrent.futures configparser "
    "contextlib copy csv ctypes datetime dbm decimal difflib dis doctest email email.mime.multipart fileinput fnmatch "
    "fractions ftplib getpass gettext glob graphlib gzip hashlib heapq hmac html.parser http.client http.cookiejar "
    "http.server imaplib importlib.metadata inspect ipaddress json lzma mailbox mimetypes multiprocessing.pool netrc "
    "numbers optparse pathlib pdb pickle pickletools pkgutil platform plistlib poplib pprint profile pstats pydoc queue "
    "quopri random runpy sched secrets selectors shelve shlex shutil smtplib socketserver sqlite3 ssl statistics "
    "string stringprep subprocess symtable tabnanny tarfile telnetlib tempfile textwrap timeit tokenize trace "
    "tracemalloc typing unittest unittest.mock urllib.request uuid venv wave weakref webbrowser wsgiref.simple_server "
    "xml.dom.minidom xml.etree.ElementTree xml.sax xmlrpc.client zipapp zipfile zoneinfo"
).split()


def sh(script):
    return ["sh", "-ec", script]


def loop(count, script):
    return sh(f"i=0; while [ $i -lt {count} ]; do {script}; i=$((i+1)); done")


# The command by name, and who is too slow for it to be worth the wait.
WORKLOADS = {
    "git": (loop(4, "git status >s; git log -p >l; git diff HEAD~3 >d"), ()),
    "rg": (["rg", "-c", "--no-ignore", "nobody", "tree"], ()),
    "make": (sh("make -s clean && make -s -j2"), ()),
    "python": (loop(4, "/usr/bin/python3 -B imports.py"), ()),
    "node": (loop(4, "node requires.js"), ()),
    "dd, 100k calls": (["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=50000", "status=none"], ()),
    "dd, 3M calls": (["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=1500000", "status=none"], ("strace", "exact")),
    "500 execs": (loop(500, "/bin/true"), ()),
}
ONE = {"true": (["/bin/true"], ()), "git status": (["git", "status"], ())}


def prepare(project):
    """Makes a git repository with sources to compile, a tree to search, and modules to load, in `project`."""
    source = project / "src"
    source.mkdir(parents=True)
    headers = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
    for index in range(80):
        text = f"int alpha{index}(int x) {{ return printf(\"%d\", x); }}\n"
        (source / f"f{index}.c").write_text(headers + text)
    objects = " ".join(f"src/f{index}.o" for index in range(80))
    (project / "Makefile").write_text(f"all: {objects}\nclean:\n\trm -f src/*.o\n")
    (project / ".gitignore").write_text("*.o\ns\nl\nd\ntree\nnode_modules\n__pycache__\n.strace*\n")
    plant(project / "data", 40, 25, "alpha beta gamma\n")
    plant(project / "tree", 400, 50, "some words that nobody looks for\n" * 40)
    modules(project / "node_modules", 600)
    (project / "imports.py").write_text("".join(
        f"try:\n    import {name}\nexcept ImportError:\n    pass\n" for name in MODULES))
    (project / "requires.js").write_text("for (let i = 0; i < 600; i++) require('package-' + i);\n")
    script = "git init -q -b main . && git config user.name a && git config user.email a@example.org && git add -A && " \
        "git commit -q -m 0 && for i in $(seq 30); do for f in src/f[1-9].c data/d$i/*; do echo // $i >> $f; done; " \
        "git commit -q -a -m $i; done"
    subprocess.run(sh(script), cwd=project, check=True)


def plant(top, directories, files, text):
    for directory in range(directories):
        place = top / f"d{directory}"
        place.mkdir(parents=True)
        for index in range(files):
            (place / f"f{index}.txt").write_text(f"{directory} {index}\n{text}")


def modules(top, count):
    """Packages as node finds them: a description, a main file, and a part of its own."""
    for index in range(count):
        place = top / f"package-{index}" / "lib"
        place.mkdir(parents=True)
        (place.parent / "package.json").write_text(f'{{"name": "package-{index}", "main": "lib/index.js"}}\n')
        (place / "index.js").write_text("exports.part = require('./part');\n")
        (place / "part.js").write_text(f"exports.number = {index};\n")


def environment(home, state):
    return {
        "HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin", "XDG_STATE_HOME": str(state),
        **({"TMPDIR": os.environ["TMPDIR"]} if "TMPDIR" in os.environ else {}),
    }

#!/usr/bin/env python3
"""The reducer beside six other ways to make a profile from the same traces: what each opens, and what it refuses later.

usage: evaluate.py REDUCE DIRECTORY [LEARN]

REDUCE is the program of `cargo bench --bench reduce` (its path is what `cargo bench --bench reduce --no-run` prints),
DIRECTORY what record.py made. Learns from the first LEARN (8) runs of each program and tests on the others. Prints
Markdown. What is judged here is worked out anew from the traces, with nothing of the reducer: a need is a path that a call
reached; it is refused when no rule covers it. Secrets are the files that record.py planted as such.
"""

import collections
import json
import os
import pathlib
import pwd
import subprocess
import sys

PRIVATE = ("/proc", "/dev", "/tmp", "/var/tmp")
READS, WRITES = {"read", "execute", "map"}, {"write", "truncate", "attributes", "connect"}
CURVE = (10, 100, 1000, 10_000, 100_000)


def under(path, top):
    return path == top or path.startswith(top.rstrip("/") + "/")


def parent(path):
    return path.rsplit("/", 1)[0] or "/"


class Run:
    """What one run needed: path -> "exist" < "read" < "write"; names that it made or removed need their directory."""

    def __init__(self, file):
        self.needs, self.dirs, self.names, gone, made = {}, set(), set(), set(), set()
        for line in open(file, encoding="utf-8"):
            fact = json.loads(line).get("fact", {})
            if "image" in fact:
                for path in filter(None, (fact["image"]["exe"], fact["image"]["script"])):
                    self.need(path, "read")
            elif "path" in fact and fact["path"]["result"] in ("ok", "unseen"):
                path, intent = fact["path"]["path"], fact["path"]["intent"]
                for hop in fact["path"].get("hops", []):
                    self.need(hop["link"], "exist")
                if fact["path"].get("kind") == "dir":
                    self.dirs.add(path)
                if intent in ("create", "remove"):
                    self.names.add(path)
                    (made if intent == "create" else gone).add(path)
                else:
                    self.need(path, "read" if intent in READS else "write" if intent in WRITES else "exist")
            elif "pair" in fact and fact["pair"]["result"] in ("ok", "unseen"):
                self.names.update((fact["pair"]["from"], fact["pair"]["to"]))
                made.add(fact["pair"]["to"])
                if fact["pair"]["operation"] == "rename":
                    gone.add(fact["pair"]["from"])
        self.passing = {path for path in gone if path in self.names}
        self.dirs |= {parent(path) for path in self.needs}

    def need(self, path, access):
        rank = ("exist", "read", "write")
        if not any(under(path, top) for top in PRIVATE):
            self.needs[path] = max(self.needs.get(path, "exist"), access, key=rank.index)


class Rules:
    """Place -> access. The nearest rule at or above a path decides; `hidden` ones hide. "exist" covers the place alone."""

    def __init__(self, rules, lines, hidden=()):
        self.rules, self.lines, self.hidden = dict(rules), lines, set(hidden)
        self.above = {top for path in self.rules for top in tops(path)}

    def of(self, path):
        here = path
        while True:
            if here in self.hidden:
                return None
            access = self.rules.get(here)
            if access and (access not in ("exist", "replace") or here == path):
                return access
            if here == "/":
                return None
            here = parent(here)

    def refuses(self, run):
        out = []
        replaced = {path for path, access in self.rules.items() if access == "replace"}
        beside = {parent(path) for path in replaced}
        # Where a file is replaced, temporary names beside it that begin as it does come with the grant.
        temporary = lambda path: parent(path) in beside and any(parent(path) == parent(other) and path.rsplit("/", 1)[1].lstrip(".").startswith(other.rsplit("/", 1)[1].lstrip(".")) for other in replaced)
        for path, need in run.needs.items():
            if path in run.passing and temporary(path):
                continue
            have = self.of(path)
            fine = have is not None and (need == "exist" or have == "write" or (need == "read" and have in ("read", "replace")) or (have == "replace"))
            fine = fine or (path in run.dirs and need != "write" and path in self.above) or (need == "exist" and path in self.above)
            if not fine:
                out.append(path)
        for path in run.names:
            if any(under(path, top) for top in PRIVATE) or self.of(parent(path)) == "write" or self.of(path) in ("write", "replace"):
                continue
            if not (path in run.passing and temporary(path)):
                out.append(path)
        return out


def tops(path):
    while path != "/":
        path = parent(path)
        yield path


class World:
    def __init__(self, root):
        planted = json.loads((root / "planted.json").read_text())
        self.home, self.project = planted["home"], planted["project"]
        self.secret, self.private = set(planted["secret"]), set(planted["private"])
        self.below = collections.Counter()
        self.children = collections.defaultdict(list)
        for base in ("/usr", "/etc", "/opt", "/var", "/srv"):
            for where, _dirs, files in os.walk(base):
                if files:
                    for top in (where, *tops(where)):
                        self.below[top] += len(files)

    def exposed(self, rules, used):
        opened = [path for path, access in rules.rules.items() if access != "exist" and not any(rules.rules.get(top) in ("read", "write") for top in tops(path))]
        system = sum(self.below[path] or 1 for path in opened if not under(path, self.home))
        reads = lambda path: rules.of(path) in ("read", "write", "replace") and path not in used
        private = [path for path in self.private if reads(path) and not under(path, self.project)]
        return system, sorted(filter(reads, self.secret)), private


def ours(program, files, exposure=1000):
    out = subprocess.run([program, "expand", "--exposure", str(exposure), *map(str, files)], check=True, capture_output=True)
    return rules_of(json.loads(out.stdout))


def rules_of(found):
    rules, hidden = {}, set()
    for path, access, approved, _line in found["rules"]:
        if approved:
            rules[path] = access
        else:
            hidden.add(path)
    return Rules(rules, found["lines"], hidden - set(rules))


def exact(runs):
    rules = {}
    for run in runs:
        for path, need in run.needs.items():
            if need == "exist" or path not in run.dirs:
                rules[path] = max(rules.get(path, "exist"), need, key=("exist", "read", "write").index)
        for path in run.names:
            if not any(under(path, top) for top in PRIVATE):
                rules[parent(path)] = "write"
    return Rules(rules, len(rules))


def parents(runs):
    rules = {}
    for path, need in exact(runs).rules.items():
        top = path if need == "write" else parent(path)
        rules[top] = max(rules.get(top, "read"), "write" if need == "write" else "read")
    return minimal(rules)


def minimal(rules):
    """Without what a rule above gives."""
    keep = {path: access for path, access in rules.items() if not any(rules.get(top) in (access, "write") for top in tops(path))}
    return Rules(keep, len(keep))


def aa_logprof(runs):
    """As a person who takes aa-logprof's suggestions: an abstraction where one fits, `dir/*.ext` for three siblings."""
    abstractions = {"base": ["/etc/ld.so.cache", "/etc/locale.alias", "/etc/localtime", "/usr/share/zoneinfo", "/usr/share/locale", "/usr/lib/locale", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/lib", "/lib64", "/bin"],
                    "nameservice": ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/etc/resolv.conf", "/etc/host.conf", "/etc/services", "/etc/protocols", "/etc/gai.conf"],
                    "python": ["/usr/lib/python3", "/usr/lib/python3.11", "/etc/python3.11"], "perl": ["/usr/lib/x86_64-linux-gnu/perl", "/usr/share/perl", "/usr/share/perl5"],
                    "ssl_certs": ["/etc/ssl/certs", "/usr/share/ca-certificates", "/etc/ssl/openssl.cnf"], "bash": ["/etc/bash.bashrc", "/etc/profile", "/etc/profile.d", "/usr/share/terminfo", "/lib/terminfo"]}
    rest, rules, lines = exact(runs).rules, {}, 0
    for places in abstractions.values():
        hit = {path for path in rest for place in places if under(path, place) and rest[path] != "write"}
        if hit:
            lines += 1
            rules.update((place, "read") for place in places)
            rest = {path: need for path, need in rest.items() if path not in hit}
    groups = collections.defaultdict(list)
    for path, need in rest.items():
        if need == "read":
            groups[(parent(path), os.path.splitext(path)[1])].append(path)
    for (directory, extension), paths in groups.items():
        if len(paths) >= 3:
            lines += 1
            for name in os.listdir(directory) if os.path.isdir(directory) else []:
                if name.endswith(extension):
                    rules[f"{directory}/{name}"] = "read"
            for path in paths:
                rules[path] = "read"
                rest.pop(path)
    rules.update(rest)
    return Rules(rules, lines + len(rest))


def shh(runs, most):
    """As shh's merge of paths: level by level from the root, until the list would be longer than `most`."""
    needs, depth = exact(runs).rules, 1
    cut = lambda path, depth: "/" + "/".join(path.strip("/").split("/")[:depth])
    best = None
    while depth < 30:
        rules = {}
        for path, need in needs.items():
            place = cut(path, depth)
            rules[place] = max(rules.get(place, "read"), "write" if need == "write" else "read")
        found = minimal(rules)
        if best is not None and len(found.rules) > most:
            return best
        best, depth = found, depth + 1
    return best


def by_hand(world):
    """The script that people start from: the system and the configuration for reading, the project for writing."""
    rules = {path: "read" for path in ("/usr", "/lib", "/lib64", "/bin", "/etc/alternatives", "/etc/ssl", "/etc/ld.so.cache", world.home + "/.config")}
    return Rules({**rules, world.project: "write"}, len(rules) + 1)


def main():
    program, root = sys.argv[1], pathlib.Path(sys.argv[2])
    learn = int(sys.argv[3]) if len(sys.argv) > 3 else 8
    world = World(root)
    programs = sorted(path.name for path in (root / "traces").iterdir())
    files = {name: sorted((root / "traces" / name).glob("*.trace")) for name in programs}
    runs = {name: [Run(file) for file in files[name]] for name in programs}
    methods = {"exact list": lambda name, some, _: exact(some), "parent directory": lambda name, some, _: parents(some),
               "aa-logprof-like": lambda name, some, _: aa_logprof(some), "shh-like, 5": lambda name, some, _: shh(some, 5), "shh-like, 50": lambda name, some, _: shh(some, 50),
               "script by hand": lambda name, some, _: by_hand(world)}
    if (root / "firejail").is_dir():
        methods["firejail --build"] = lambda name, some, _: firejail(root / "firejail" / f"{name}.profile", world)
    for exposure in CURVE:
        methods[f"pinfold, exposure {exposure / 1000:g}"] = lambda name, some, learned, exposure=exposure: ours(program, learned, exposure)
    print("| method | lines | runs refused something | paths refused | files of the system opened (median) | secrets opened | private files opened |")
    print("|---|---|---|---|---|---|---|")
    sys.stdout.flush()
    details = {}
    for method, make in methods.items():
        rows = [judge(world, make(name, runs[name][:learn], files[name][:learn]), runs[name], learn) for name in programs]
        details[method] = dict(zip(programs, rows))
        mean = lambda key: sum(row[key] for row in rows) / len(rows)
        system = sorted(row["system"] for row in rows)[len(rows) // 2]
        print(f"| {method} | {mean('lines'):.1f} | {100 * mean('runs'):.1f} % | {100 * mean('paths'):.2f} % | {system} | {sum(len(row['secrets']) for row in rows)} | {sum(row['private'] for row in rows)} |", flush=True)
    print("\n| program | lines | runs refused | what was refused (first four) | exact list: runs refused |\n|---|---|---|---|---|")
    chosen = details["pinfold, exposure 1"]
    for name, row in chosen.items():
        shown = ", ".join(f"`{path}`" for path in row["which"][:4])
        print(f"| {name} | {row['lines']} | {100 * row['runs']:.0f} % | {shown} | {100 * details['exact list'][name]['runs']:.0f} % |")
        if row["secrets"]:
            print("SECRETS", row["secrets"], file=sys.stderr)


def firejail(file, world):
    """What a profile that `firejail --build` wrote leaves open, with the files of firejail that it includes. It goes by the home
    of the account, and not by the variable."""
    home = pwd.getpwuid(os.stat(world.home).st_uid).pw_dir
    rules, own = {}, [line for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]
    lines = list(own)
    for line in lines:
        words = line.split("#")[0].split()
        if words[:1] == ["include"]:
            included = pathlib.Path("/etc/firejail") / words[1]
            lines += included.read_text().splitlines() if included.exists() else []
        elif words[:1] == ["whitelist"]:
            rules[words[1].replace("${HOME}", home).replace("${RUNUSER}", "/run/user/0")] = "write"
        elif words[:1] in (["private-bin"], ["private-etc"]):
            tops = ("/usr/bin/", "/bin/", "/usr/sbin/") if words[0] == "private-bin" else ("/etc/",)
            rules.update((top + name, "read") for top in tops for name in words[1].split(",") if name)
    for top in ("/usr/lib", "/usr/local", "/lib", "/lib64", "/opt", "/sys", "/usr/libexec", "/usr/include", "/usr/lib64", "/usr/games", "/srv"):
        rules.setdefault(top, "read")
    for top, word in (("/etc", "private-etc"), ("/usr/bin", "private-bin"), ("/usr/share", "whitelist /usr/share"), ("/var", "whitelist /var")):
        if not any(line.startswith(word) for line in lines):
            rules[top] = "read"
    return Rules(rules, len(own))


def judge(world, rules, runs, learn):
    held = runs[learn:]
    secret = lambda path: path in world.secret
    refused = [[path for path in rules.refuses(run) if not secret(path)] for run in held]
    asked = sum(len(run.needs) + len(run.names) for run in held)
    used = {path for run in runs[:learn] for path in run.needs}
    system, secrets, private = world.exposed(rules, used)
    return {"lines": rules.lines, "runs": sum(map(bool, refused)) / len(held), "paths": sum(map(len, refused)) / max(1, asked),
            "which": sorted({path for paths in refused for path in paths}), "system": system, "secrets": secrets, "private": len(private)}


if __name__ == "__main__":
    main()

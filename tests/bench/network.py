#!/usr/bin/env python3
"""What the network by name costs, beside none, pasta, slirp4netns and the proxy of sandbox-runtime.

usage: network.py PINFOLD [ROUNDS]

Runs in a network of its own with a server in it (`fixtures/network/world`), and prints Markdown tables. Peers that are not in
PATH (`pasta`, `slirp4netns`, `srt`) are left out. Needs curl, unshare and ip.
"""

import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve()
WORLD = HERE.parents[2] / "fixtures/network/world"
SIZE = 1 << 30
BULK = "http://api.example.com:8000/"

# Runs inside of each sandbox; one figure a line: connects in µs, look-ups in µs.
CLIENT = r"""
import socket, statistics, sys, time
def times(count, one):
    found = []
    for _ in range(count):
        before = time.perf_counter_ns()
        after = one()
        found.append(((after or time.perf_counter_ns()) - before) / 1000)
    return f"{min(found):.1f} {statistics.median(found):.1f}"
host = socket.gethostbyname("api.example.com")
def connect():
    sock = socket.socket()
    before = time.perf_counter_ns()
    sock.connect((host, 9))
    took = time.perf_counter_ns() - before
    sock.close()
    return took
found = sorted(connect() / 1000 for _ in range(10000))
print("connect", f"{found[0]:.1f} {statistics.median(found):.1f}")
if len(sys.argv) > 1:
    server = open("/etc/resolv.conf").read().split("nameserver ")[1].split()[0]
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((server, 53))
    query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03api\x07example\x03com\0\0\x01\0\x01"
    def ask():
        sock.send(query); sock.recv(500)
    print("dns", times(5000, ask))
"""

MANY = r"""
import resource, socket, threading
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
host = socket.gethostbyname("api.example.com")
hung = []
threading.stack_size(128 << 10)
def hang():
    try: socket.create_connection((host, 444))
    except OSError: pass
for _ in range(1000): threading.Thread(target=hang, daemon=True).start()
done = []
def one():
    sock = socket.socket(); sock.connect((host, 9)); done.append(sock)
threads = [threading.Thread(target=one) for _ in range(1000)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("concurrent", len(done), flush=True)
import os, time
time.sleep(1)
os._exit(0)
"""


class Bulk(threading.Thread):
    """Says the same megabyte for as long as somebody listens."""

    def run(self):
        import socket

        listener = socket.create_server(("203.0.113.10", 8000))
        block = bytes(4 << 20)
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=self.say, args=(sock, block), daemon=True).start()

    @staticmethod
    def say(sock, block):
        try:
            sock.recv(4096)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % SIZE)
            for _ in range(SIZE // len(block)):
                sock.sendall(block)
            sock.close()
        except OSError:
            pass


def profile(root, access):
    system = ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"]
    lines = "".join(f'"{place}" = "read"\n' for place in system)
    ports = "".join(f'"api.example.com:{port}" = "{access}"\n' for port in (9, 444, 8000))
    path = root / f"{access}.toml"
    path.write_text(
        f'schema = 1\nname = "t"\ncommand = ["sh", "$PROJECT/work.sh"]\n[filesystem]\n"$PROJECT" = "write"\n{lines}'
        f'[syscalls]\nbase = 1\nallow = ["socket", "connect", "bind", "listen", "accept", "accept4"]\n'
        f'[environment]\npass = ["HOME", "PATH"]\n[network]\n{ports}'
    )
    return path


def contenders(pinfold, root, project, environment):
    found = {"native": ["sh", "work.sh"]}
    for access in ("connect", "relay"):
        path = profile(root, access)
        words = [pinfold, "enforce", "--quiet", "--profile", str(path)]
        said = subprocess.run([*words, "--", "sh", "work.sh"], cwd=project, env=environment, capture_output=True, text=True)
        digest = re.search(r"sha256:[0-9a-f]{64}", said.stderr)
        if not digest:
            raise SystemExit(f"bench: no digest in: {said.stderr}")
        name = "pinfold" if access == "connect" else "pinfold, relay"
        found[name] = [*words, "--accept-digest", digest.group(), "--", "sh", "work.sh"]
    if shutil.which("pasta"):
        found["pasta"] = ["pasta", "--config-net", "--ipv4-only", "--quiet", "--", "sh", "work.sh"]
    if shutil.which("slirp4netns"):
        script = (
            'unshare --net sh -c \'echo $$ >pid; read -r _ <go; exec sh work.sh\' & '
            "rm -f go; mkfifo go; sleep 0.2; slirp4netns --configure --mtu=65520 --ready-fd=3 $(cat pid) tap0 3>ready >/dev/null 2>&1 & "
            "end=$!; while [ ! -s ready ]; do sleep 0.05; done; echo >go; wait %1; kill $end; rm -f ready pid go"
        )
        found["slirp4netns"] = ["bash", "-c", f"rm -f go ready pid; mkfifo go; {script.replace('rm -f go; mkfifo go; ', '')}"]
    if shutil.which("srt"):
        settings = root / "srt.json"
        settings.write_text(json.dumps({
            "network": {"allowedDomains": ["api.example.com"], "deniedDomains": []},
            "filesystem": {"denyRead": [], "allowWrite": ["."], "denyWrite": []},
        }))
        found["srt"] = ["srt", "--settings", str(settings), "sh", "work.sh"]
    return found


def run(words, project, environment, script):
    (project / "work.sh").write_text(script)
    done = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True, timeout=300)
    return done.stdout, done.stderr


def throughput(all_, count, project, environment):
    rates = {name: [] for name in all_}
    for _ in range(count):
        for name, words in all_.items():
            said, error = run(words, project, environment, f"curl -sS -o /dev/null -w '%{{speed_download}}\\n' {BULK}\n")
            try:
                rates[name].append(float(said.split()[-1]) * 8 / 1e9)
            except (IndexError, ValueError):
                print(f"bench: {name} said nothing: {error}", file=sys.stderr)
    print(f"\n| {count} rounds of {SIZE >> 30} GiB by curl | Gbit/s, median | best | ÷ native, median of rounds |\n|---|---|---|---|")
    for name, found in rates.items():
        if found:
            ratios = [a / b for a, b in zip(found, rates["native"])]
            print(f"| {name} | {statistics.median(found):.1f} | {max(found):.1f} | {statistics.median(ratios):.2f} |")


def connects(all_, count, project, environment):
    (project / "client.py").write_text(CLIENT)
    rows = {}
    for _ in range(count):
        for name, words in all_.items():
            dns = " dns" if name.startswith("pinfold") else ""
            said, error = run(words, project, environment, f"/usr/bin/python3 -B client.py{dns}\n")
            for line in said.splitlines():
                kind, least, median = line.split()
                rows.setdefault((name, kind), []).append((float(least), float(median)))
            if not said:
                print(f"bench: {name} said nothing: {error[-300:]}", file=sys.stderr)
    print("\n| | connect µs, minimum | median | look-up µs, minimum | median |\n|---|---|---|---|---|")
    for name in all_:
        cells = []
        for kind in ("connect", "dns"):
            found = rows.get((name, kind))
            cells += [f"{min(a for a, _ in found):.1f}", f"{statistics.median(b for _, b in found):.1f}"] if found else ["", ""]
        if any(cells):
            print(f"| {name} | " + " | ".join(cells) + " |")


def memory(words, project, environment):
    """Most memory of pinfold itself with a thousand callers that wait and a thousand that are connected."""
    (project / "many.py").write_text(MANY)
    (project / "work.sh").write_text("/usr/bin/python3 -B many.py\n")
    process = subprocess.Popen(words, cwd=project, env=environment, stdout=subprocess.PIPE, text=True)
    highest = 0
    while process.poll() is None:
        try:
            text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            highest = max([highest, *(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM"))])
        except OSError:
            pass
        time.sleep(0.01)
    return process.stdout.read().strip(), highest


def bench(pinfold, count, root):
    home, project = root / "home", root / "home" / "project"
    project.mkdir(parents=True)
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "XDG_STATE_HOME": str(root / "state"), "LC_ALL": "C"}
    (project / "work.sh").write_text("true\n")
    # For those who look for the way out by themselves.
    for words in ("link add d0 type veth peer name d1", "addr add 192.0.2.2/24 dev d0", "link set d1 up", "link set d0 up", "route add default via 192.0.2.1"):
        subprocess.run(["ip", *words.split()], check=True)
    # Ports of connections that ended are free at once: the last of thousands would look for one for long.
    pathlib.Path("/proc/sys/net/ipv4/tcp_max_tw_buckets").write_text("0")
    Bulk(daemon=True).start()
    all_ = contenders(pinfold, root, project, environment)
    throughput(all_, count, project, environment)
    connects(all_, count, project, environment)
    said, highest = memory(all_["pinfold"], project, environment)
    print(f"\n{said} connected while 1000 wait; memory of pinfold itself: {highest / 1024:.1f} MiB")


def main():
    if "PINFOLD_BENCH_WORLD" not in os.environ:
        os.environ["PINFOLD_BENCH_WORLD"] = "1"
        words = [sys.executable, str(HERE), os.path.abspath(sys.argv[1]), *sys.argv[2:]]
        os.execvp("unshare", ["unshare", "--user", "--map-root-user", "--net", "--mount", str(WORLD), *words])
    # Not in a temporary directory: a sandbox has its own.
    root = pathlib.Path(tempfile.mkdtemp(prefix="pinfold-bench-", dir=os.path.expanduser("~")))
    try:
        bench(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5, root)
    finally:
        shutil.rmtree(root)


main()

//! Programs that people use, by name: package managers, languages, clients that keep connections; and what sockets do. Learned and
//! enforced, in a network of the test's own, as in `enforce_network.rs`.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why"
)]

mod common;

use std::path::{Path, PathBuf};

use common::enforced::out;
use common::scratch::{Scratch, said, text};
use common::world::{fixtures, natively, run, script, with_lines};

/// What package managers are given: a wheel, a package and a crate.
fn registries(scratch: &Scratch) -> PathBuf {
    let files = scratch.outside("files");
    let write = |name: &str, text: &str| {
        let path = files.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "npm/tiny",
        r#"{"name":"tiny","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":"tiny","version":"1.0.0"}}}"#,
    );
    write("index/config.json", r#"{"dl":"http://api.example.com/crates"}"#);
    let sum = "0".repeat(64);
    write(
        "index/ti/ny/tiny",
        &format!(r#"{{"name":"tiny","vers":"1.0.0","deps":[],"cksum":"{sum}","features":{{}},"yanked":false}}"#),
    );
    write("simple/tiny/.keep", "");
    let wheel = "import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], 'w') as w:\n    i = 'tiny-1.0.dist-info/'\n    w.writestr(i + 'METADATA', 'Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n')\n    w.writestr(i + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n    w.writestr(i + 'RECORD', '')\n";
    let path = files.join("simple/tiny/tiny-1.0-py3-none-any.whl");
    let made = scratch.command("/usr/bin/python3").args(["-c", wheel, text(&path)]).status().unwrap();
    assert!(made.success());
    let crate_directory = scratch.project().join("crate");
    std::fs::create_dir_all(crate_directory.join("src")).unwrap();
    std::fs::write(crate_directory.join("src/lib.rs"), "").unwrap();
    let manifest = "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\ntiny = \"1\"\n";
    std::fs::write(crate_directory.join("Cargo.toml"), manifest).unwrap();
    files
}

/// The toolchain itself: a proxy of rustup's looks for it in a home directory, which is another one here.
fn toolchain() -> PathBuf {
    let shared = std::env::var_os("PINFOLD_TEST_RUST").map(|root| PathBuf::from(root).join("bin"));
    let cargo = std::env::var_os("CARGO").map(|cargo| Path::new(&cargo).parent().unwrap().to_path_buf());
    shared.or(cargo).expect("this test is run by cargo, or by scripts/test")
}

fn build(scratch: &Scratch) {
    for name in ["Fetch.java", "fetch.go", "fetch.rs"] {
        std::fs::copy(fixtures().join(name), scratch.project().join(name)).unwrap();
    }
    let rustc = toolchain().join("rustc");
    for words in [
        &[text(&rustc), "--edition=2021", "-o", "fetch-rust", "fetch.rs"][..],
        &["javac", "-d", ".", "Fetch.java"],
        &["go", "build", "-o", "fetch-go", "fetch.go"],
    ] {
        let built = scratch.command(words[0]).args(&words[1..]).output().unwrap();
        assert!(built.status.success(), "{words:?}: {}", said(&built));
    }
}

const EXPECTED: &str = "requests: reached  \nrequests-tls: reached  \nhttpx: reached  \nhttpx-async: {'reached'} \n\
    aiohttp: {'reached'} \npip: \ntiny-1.0-py3-none-any.whl\nnpm: 1.0.0 \ncargo: 1 \n\
    ssh: software version stand-in \nkeyscan: 5 \nrust: reached reached \njava: reached reached \ngo: reached reached 50 \n\
    six: reached \neyeballs: reached \nmapped: reached \nhalf-close: 204800 \n";

#[test]
fn package_managers_and_languages_reach_what_is_granted_learned_and_enforced() {
    need!(
        UserNamespaces,
        Program("ip"),
        Program("curl"),
        Program("npm"),
        Program("ssh"),
        Program("javac"),
        Program("go")
    );
    let scratch = script("");
    std::fs::copy(fixtures().join("package-managers.sh"), scratch.project().join("script.sh")).unwrap();
    let (files, cache) = (registries(&scratch), scratch.outside("go"));
    let scratch = scratch
        .with("CARGO", text(&toolchain().join("cargo")))
        .with("RUST", "./fetch-rust")
        .with("GO", "./fetch-go")
        .with("GOCACHE", text(&cache))
        .with("PINFOLD_WORLD_FILES", text(&files));
    build(&scratch);
    let native = run(&natively(&scratch));
    assert_eq!(out(&native), EXPECTED, "the control failed: {}", said(&native));
    let mut learn = scratch.pinfold(&["learn", "--accept-learned=all", "--", "sh", "script.sh"]);
    learn.env("PINFOLD_WORLD_FILES", &files);
    let learned = run(&learn);
    assert_eq!(out(&learned), EXPECTED, "{}", said(&learned));
    let profile = std::fs::read_to_string(scratch.profile()).unwrap();
    for line in ["api.example.com:22", "api.example.com:7", "six.example.com:80", "two.example.com:80"] {
        assert!(profile.contains(&format!("\"{line}\" = \"connect\"")), "{line}: {profile}");
    }
    let enforced = run(&scratch.pinfold(&["enforce", "--", "sh", "script.sh"]));
    assert_eq!(out(&enforced), EXPECTED, "{}", said(&enforced));
}

/// Keys for a server of ssh and for its client, and a repository with one commit.
fn repository(scratch: &Scratch, files: &Path) -> PathBuf {
    let keys = scratch.outside("keys");
    let project = scratch.project();
    let run = |words: &[&str]| {
        let done = scratch.command(words[0]).args(&words[1..]).output().unwrap();
        assert!(done.status.success(), "{words:?}: {}", said(&done));
    };
    std::fs::create_dir_all(&keys).unwrap();
    for key in [keys.join("host"), project.join("key")] {
        run(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", text(&key)]);
    }
    std::fs::rename(project.join("key.pub"), keys.join("authorized")).unwrap();
    let (bare, work) = (files.join("repository.git"), scratch.outside("work"));
    run(&["git", "init", "-q", "--bare", "--initial-branch=main", text(&bare)]);
    run(&["git", "init", "-q", "--initial-branch=main", text(&work)]);
    std::fs::write(work.join("said"), "reached\n").unwrap();
    run(&["git", "-C", text(&work), "add", "said"]);
    let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
    run(&[&["git", "-C", text(&work)], &identity[..], &["commit", "-q", "-m", "x"]].concat());
    run(&["git", "-C", text(&work), "push", "-q", text(&bare), "main"]);
    run(&["git", "-C", text(&bare), "update-server-info"]);
    keys
}

#[test]
fn git_and_package_managers_within_tls_and_ssh_reach_what_is_granted_learned_and_enforced() {
    need!(UserNamespaces, Program("ip"), Program("git"), Program("npm"), Program("ssh"), Program("sshd"));
    let scratch = script("");
    std::fs::copy(fixtures().join("tls.sh"), scratch.project().join("script.sh")).unwrap();
    let files = registries(&scratch);
    std::fs::write(files.join("index/config.json"), r#"{"dl":"https://api.example.com/crates"}"#).unwrap();
    let keys = repository(&scratch, &files);
    let scratch = scratch
        .with("CARGO", text(&toolchain().join("cargo")))
        .with("FILES", text(&files))
        .with("PINFOLD_WORLD_FILES", text(&files))
        .with("PINFOLD_WORLD_SSH", text(&keys));
    std::fs::copy(fixtures().join("fetch-openssl.rs"), scratch.project().join("fetch-openssl.rs")).unwrap();
    let rustc = toolchain().join("rustc");
    let words = ["--edition=2024", "-o", "fetch-openssl", "fetch-openssl.rs"];
    let built = scratch.command(text(&rustc)).args(words).output().unwrap();
    assert!(built.status.success(), "{}", said(&built));
    let native = run(&natively(&scratch));
    let expected = out(&native);
    for line in [
        "git-clone-tls: reached ",
        "git-clone-ssh: reached ",
        "refs/heads/pushed ",
        "tiny-1.0-py3-none-any.whl",
        "npm-tls: 1.0.0 ",
        "cargo-tls: 1 ",
        "openssl: reached ",
    ] {
        assert!(expected.contains(line), "the control failed at {line}: {}", said(&native));
    }
    let mut learn = scratch.pinfold(&["learn", "--accept-learned=all", "--", "sh", "script.sh"]);
    let mut enforce = scratch.pinfold(&["enforce", "--", "sh", "script.sh"]);
    for command in [&mut learn, &mut enforce] {
        command.env("PINFOLD_WORLD_FILES", &files).env("PINFOLD_WORLD_SSH", &keys);
    }
    let learned = run(&learn);
    assert_eq!(out(&learned), expected, "{}", said(&learned));
    let profile = std::fs::read_to_string(scratch.profile()).unwrap();
    let network = profile.split("[network]\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    let mut lines: Vec<&str> = network.lines().collect();
    lines.sort_unstable();
    let expected_lines = ["\"api.example.com:2022\" = \"connect\"", "\"api.example.com:443\" = \"connect\""];
    assert_eq!(lines, expected_lines, "{profile}");
    let enforced = run(&enforce);
    assert_eq!(out(&enforced), expected, "{}", said(&enforced));
}

#[test]
fn clients_over_rustls_that_wait_and_that_do_not_reach_what_is_granted_learned_and_enforced() {
    need!(UserNamespaces, Program("ip"), Client("fetch-rustls"));
    let scratch = script("./fetch-rustls");
    std::fs::copy(common::client("fetch-rustls"), scratch.project().join("fetch-rustls")).unwrap();
    let expected = "reached\n".repeat(4);
    let native = run(&natively(&scratch));
    assert_eq!(out(&native), expected, "the control failed: {}", said(&native));
    let learned = run(&scratch.pinfold(&["learn", "--accept-learned=all", "--", "sh", "script.sh"]));
    assert_eq!(out(&learned), expected, "{}", said(&learned));
    let profile = std::fs::read_to_string(scratch.profile()).unwrap();
    assert!(profile.contains("[network]\n\"api.example.com:443\" = \"connect\"\n"), "{profile}");
    let enforced = run(&scratch.pinfold(&["enforce", "--", "sh", "script.sh"]));
    assert_eq!(out(&enforced), expected, "{}", said(&enforced));
}

/// A thousand connections that are being made at once, of programs that wait and that do not; then ten thousand, one by one.
const THOUSAND: &str = r#"
import asyncio, resource, select, socket, sys, threading
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
host = socket.gethostbyname("api.example.com")
# They hang until the queue of port 444 has room, which is never.
hung = []
for _ in range(1000):
    sock = socket.socket()
    sock.setblocking(False)
    result = sock.connect_ex((host, 444))
    if result == 115: hung.append(sock)
print(len(hung))
lock, done = threading.Lock(), []
def one():
    sock = socket.socket()
    sock.connect((host, 80))
    with lock: done.append(sock)
threading.stack_size(128 << 10)
threads = [threading.Thread(target=one) for _ in range(1000)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(done))
for sock in done: sock.close()
for sock in hung: sock.close()
for _ in range(10000):
    sock = socket.socket(); sock.connect((host, 9)); sock.close()
print("all")
"#;

#[test]
fn a_thousand_connections_at_once_and_ten_thousand_in_turn_are_made() {
    need!(UserNamespaces, Program("ip"), Program("python3"));
    let scratch = script("python3 -B thousand.py");
    scratch.file("thousand.py", THOUSAND);
    let lines: String = [80, 444, 9].iter().map(|port| format!("\"api.example.com:{port}\" = \"connect\"\n")).collect();
    let inside = run(&with_lines(&scratch, &lines));
    assert_eq!(out(&inside), "1000\n1000\nall\n", "{}", said(&inside));
}

#[test]
fn a_program_that_has_no_descriptor_left_is_told_so_and_the_broker_goes_on() {
    need!(UserNamespaces, Program("ip"), Program("python3"));
    let scratch = script("python3 -B many.py");
    scratch.file(
        "many.py",
        r#"
import errno, resource, socket
host = socket.gethostbyname("api.example.com")
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
held = []
try:
    while True:
        sock = socket.socket(); sock.connect((host, 9)); held.append(sock)
except OSError as error:
    print(errno.errorcode[error.errno], len(held) > 150)
# The last one has its place already: to be connected takes no other.
last = held.pop(); last.close()
sock = socket.socket(); sock.connect((host, 80)); sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
print(b"200" in sock.recv(20))
"#,
    );
    let inside =
        run(&with_lines(&scratch, "\"api.example.com:80\" = \"connect\"\n\"api.example.com:9\" = \"connect\""));
    assert_eq!(out(&inside), "EMFILE True\nTrue\n", "{}", said(&inside));
}

/// What a socket says of a connection that it was begun without waiting, and that it can be tried again.
const AGAIN: &str = r#"
import errno, select, socket, time
def word(code): return errno.errorcode.get(code, code)
def wait(sock): select.select([], [sock], [], 5)
host = socket.gethostbyname("api.example.com")
sock = socket.socket(); sock.setblocking(False)
print(word(sock.connect_ex((host, 81)))); wait(sock)
print(word(sock.connect_ex((host, 81))))
first = sock.connect_ex((host, 80)); wait(sock)
print(word(first), word(sock.connect_ex((host, 80))) in (0, "EISCONN"))
sock.setblocking(True); sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
print(b"200" in sock.recv(20))
slow = socket.socket(); slow.setblocking(False)
print(word(slow.connect_ex((host, 444))), word(slow.connect_ex((host, 444))))
"#;

#[test]
fn a_connection_that_fails_says_so_and_its_socket_can_be_tried_again() {
    need!(UserNamespaces, Program("ip"), Program("python3"));
    let scratch = script("python3 -B again.py");
    scratch.file("again.py", AGAIN);
    let expected = "EINPROGRESS\nECONNREFUSED\nEINPROGRESS True\nTrue\nEINPROGRESS EALREADY\n";
    let native = run(&natively(&scratch));
    assert_eq!(out(&native), expected, "the control failed: {}", said(&native));
    let lines = [80, 81, 444].map(|port| format!("\"api.example.com:{port}\" = \"connect\"\n")).concat();
    let inside = run(&with_lines(&scratch, &lines));
    assert_eq!(out(&inside), expected, "{}", said(&inside));
}

#[test]
fn names_are_looked_up_over_connections_too() {
    need!(UserNamespaces, Program("ip"), Program("python3"));
    let scratch = script("python3 -B ask.py");
    scratch.file(
        "ask.py",
        r#"
import socket
server = open("/etc/resolv.conf").read().split("nameserver ")[1].split()[0]
sock = socket.create_connection((server, 53), 5)
query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03api\x07example\x03com\0\0\x01\0\x01"
for piece in (b"\0\x21", query[:9], query[9:]): sock.sendall(piece)
answer = sock.recv(500)
print(answer[2:4] == b"\x12\x34", answer[9] if len(answer) > 9 else None)
"#,
    );
    let inside = run(&with_lines(&scratch, "\"api.example.com:80\" = \"connect\""));
    assert_eq!(out(&inside), "True 1\n", "{}", said(&inside));
}

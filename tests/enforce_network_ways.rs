//! Connections that lead out another way: through the host's proxy, through a relay that reads, and inward from the host. In a
//! network of the test's own, as in `enforce_network.rs`.

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

use common::enforced::out;
use common::scratch::{Scratch, said};
use common::world::{fixtures, natively, run, script, with_lines};

const PROXY: &str = "http://user:p%40ss@proxy.example.com:3128";

/// Clients that wait for a connection, and that do not.
const CLIENTS: &str = r#"
say() { printf '%s: ' "$1"; shift; "$@" 2>&1 | tr '\n' ' '; echo; }
say variables sh -c 'env | grep -ic proxy'
say curl curl -sS -m 10 http://beyond.example.com/
say waits python3 -c 'import socket; s = socket.create_connection(("beyond.example.com", 80)); s.sendall(b"GET / HTTP/1.0\r\n\r\n"); print(s.makefile().read().split()[-1])'
say urllib python3 -c 'import urllib.request as u; print(u.urlopen("http://api.example.com/", timeout=10).read().decode())'
say fetch node -e 'fetch("http://beyond.example.com/").then(r => r.text()).then(t => process.stdout.write(t))'
say tls python3 -c 'import ssl, urllib.request as u; print(u.urlopen("https://api.example.com/", timeout=10, context=ssl.create_default_context(cafile="ca.pem")).read().decode())'
say many python3 -c '
import asyncio
async def one():
    read, write = await asyncio.open_connection("beyond.example.com", 80)
    write.write(b"GET / HTTP/1.0\r\n\r\n")
    return (await read.read()).split()[-1].decode()
async def main():
    print(set(await asyncio.gather(*(one() for _ in range(50)))))
asyncio.run(main())'
"#;

const REACHED: &str = "variables: 0 \ncurl: reached \nwaits: reached \nurllib: reached  \nfetch: reached \ntls: reached  \nmany: {'reached'} \n";

/// Denials that are not about files.
fn network_denials(scratch: &Scratch) -> String {
    let report = scratch.report("enforce");
    let all = report["denials"].as_array().unwrap().iter();
    let network = all.filter(|denial| ["connect", "look up", "send"].contains(&denial["call"].as_str().unwrap()));
    network.map(ToString::to_string).collect()
}

fn with_proxy(scratch: Scratch) -> Scratch {
    // Without the password in one of them nobody is let through: it is the first that counts.
    scratch.with("https_proxy", PROXY).with("HTTPS_PROXY", "http://203.0.113.99:1").with("NO_PROXY", "two.example.com")
}

#[test]
fn the_hosts_proxy_is_used_by_the_broker_and_known_to_no_program() {
    need!(UserNamespaces, Program("ip"), Program("curl"), Program("node"), Program("python3"));
    let lines = "\"beyond.example.com:80\" = \"connect\"\n\"api.example.com:80\" = \"connect\"\n\"api.example.com:443\" = \"connect\"";
    let without = script("curl -sS -m 10 http://beyond.example.com/ || echo nothing");
    let control = run(&with_lines(&without, lines));
    assert_eq!(out(&control), "nothing\n", "only the proxy knows that name: {}", said(&control));
    let scratch = with_proxy(script(CLIENTS));
    let inside = run(&with_lines(&scratch, lines));
    assert_eq!(out(&inside), REACHED, "{}", said(&inside));
    assert_eq!(network_denials(&scratch), "", "{}", said(&inside));
}

#[test]
fn what_a_proxy_refuses_is_told_and_who_is_excepted_is_reached_without_it() {
    need!(UserNamespaces, Program("ip"), Program("curl"), Program("python3"));
    let scratch = with_proxy(script(
        "curl -sS -m 10 http://forbidden.example.com/ || echo refused\n\
         python3 -c 'import socket; socket.create_connection((\"forbidden.example.com\", 80))' 2>&1 | tail -n 1\n\
         curl -sS -m 10 http://two.example.com/\n\
         curl -sS -m 10 http://203.0.113.10/\n\
         curl -sS -m 10 http://proxy.example.com:3128/ || echo refused\n",
    ));
    let lines = ["forbidden.example.com", "two.example.com", "203.0.113.10"];
    let lines: String = lines.iter().map(|host| format!("\"{host}:80\" = \"connect\"\n")).collect();
    let inside = run(&with_lines(&scratch, &lines));
    let refused = "refused\nConnectionRefusedError: [Errno 111] Connection refused\nreached\nreached\nrefused\n";
    assert_eq!(out(&inside), refused, "{}", said(&inside));
    let denials = scratch.report("enforce")["denials"].to_string();
    assert!(denials.contains("the proxy proxy.example.com:3128 answered `HTTP/1.0 403 Forbidden`"), "{denials}");
    assert!(!denials.contains("p@ss") && !denials.contains("dXN"), "{denials}");
}

#[test]
fn names_are_learned_behind_a_proxy_and_the_proxy_is_no_way_around_them() {
    need!(UserNamespaces, Program("ip"), Program("curl"));
    let text = "curl -sS -m 10 http://beyond.example.com/\n\
                curl -sS -m 10 --proxy http://user:p%40ss@proxy.example.com:3128 --proxytunnel http://other.example.com/ || echo refused\n";
    let scratch = script(text);
    let native = run(&natively(&scratch.with("http_proxy", "")));
    assert!(out(&native).ends_with("reached\n"), "the control failed: {}", said(&native));
    let scratch = with_proxy(script(text));
    let learned = run(&scratch.pinfold(&["learn", "--", "sh", "script.sh"]));
    assert_eq!(out(&learned), "reached\nrefused\n", "{}", said(&learned));
    let profile = std::fs::read_to_string(scratch.profile()).unwrap();
    assert!(profile.contains("\"beyond.example.com:80\" = \"connect\""), "{profile}");
    assert!(!profile.contains("proxy.example.com") && !profile.contains("other.example.com"), "{profile}");
}

#[test]
fn a_proxy_that_cannot_be_spoken_to_stops_the_start_and_its_password_is_not_told() {
    need!(UserNamespaces, Program("ip"));
    let scratch = script("echo ran").with("ALL_PROXY", "socks5://user:secret@127.0.0.1:1");
    let inside = run(&with_lines(&scratch, "\"api.example.com:80\" = \"connect\""));
    let said = said(&inside);
    assert!(!inside.status.success() && !said.contains("secret") && !said.contains("ran\n"), "{said}");
    assert!(
        said.contains("ALL_PROXY names no proxy that makes tunnels") && said.contains("env -u ALL_PROXY"),
        "{said}"
    );
}

/// Ways to speak to another server than the one whose name was looked up; each asks the same address.
const FRONTS: &str = r#"
import http.client, socket, ssl, sys

def plain(text, answers=1):
    sock = socket.create_connection(("api.example.com", 80), 5)
    sock.sendall(text.replace("\n", "\r\n").encode())
    data = b""
    while chunk := sock.recv(4096):
        data += chunk
    return data.count(b"reached") == answers

def tls(name):
    context = ssl.create_default_context(cafile="ca.pem")
    context.check_hostname = False
    sock = context.wrap_socket(socket.create_connection(("api.example.com", 443), 5), server_hostname=name)
    sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
    data = b""
    while chunk := sock.recv(4096):
        data += chunk
    return b"reached" in data

def hello(name, share):
    """A client's hello of TLS 1.3; without a share of a key the server asks for another."""
    part = lambda data, size=2: len(data).to_bytes(size, "big") + data
    extension = lambda kind, data: kind.to_bytes(2, "big") + part(data)
    group = bytes([0, 29])
    shares = part(group + part(bytes([9] + [7] * 31))) if share else part(b"")
    said = extension(0, part(bytes([0]) + part(name.encode()))) + extension(43, part(bytes([3, 4]), 1))
    said += extension(10, part(group)) + extension(13, part(bytes([8, 4, 4, 3, 4, 1]))) + extension(51, shares)
    body = bytes([3, 3] + [5] * 32 + [0]) + part(bytes([0x13, 1])) + bytes([1, 0]) + part(said)
    return bytes([22, 3, 1]) + part(bytes([1]) + part(body, 3))

def asked_again(name, between=b""):
    """The second hello is for `name`: REACHED if the server goes on with it."""
    sock = socket.create_connection(("api.example.com", 443), 5)
    sock.sendall(hello("api.example.com", False))
    first = sock.recv(4096)
    if bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c") not in first:
        return False
    sock.sendall(between + hello(name, True))
    sock.settimeout(5)
    answer = sock.recv(4096)
    while answer[:1] == bytes([20]):
        answer = answer[6:] or sock.recv(4096)
    return answer[:1] == bytes([22]) and answer[5] == 2

HOST = "GET / HTTP/1.1\nHost: api.example.com\n"
WAYS = {
    "the_name_itself": lambda: plain(HOST + "Connection: close\n\n"),
    "the_name_itself_in_tls": lambda: tls("api.example.com"),
    "the_name_itself_in_a_second_hello": lambda: asked_again("api.example.com"),
    "another_name_in_a_second_hello": lambda: asked_again("other.example.com"),
    "another_name_in_a_second_hello_behind_a_change_of_ciphers": lambda: asked_again("other.example.com", bytes([20, 3, 3, 0, 1, 1])),
    "two_requests": lambda: plain(HOST + "\n" + HOST + "Connection: close\n\n", 2),
    "another_host": lambda: plain("GET / HTTP/1.0\nHost: other.example.com\n\n"),
    "another_host_in_the_second_request": lambda: plain(HOST + "\nGET / HTTP/1.0\nHost: other.example.com\n\n", 2),
    "no_host": lambda: plain("GET / HTTP/1.0\n\n"),
    "another_host_behind_a_bare_line_feed": lambda: plain_bytes(b"GET / HTTP/1.0\nHost: other.example.com\r\n\r\n"),
    "another_name_in_tls": lambda: tls("other.example.com"),
    "no_name_in_tls": lambda: tls(None),
}

def plain_bytes(data):
    sock = socket.create_connection(("api.example.com", 80), 5)
    sock.sendall(data)
    return b"reached" in sock.recv(4096) + sock.recv(4096)

for name in sys.argv[1:] or WAYS:
    try:
        print(name, "REACHED" if WAYS[name]() else "nothing", flush=True)
    except Exception as error:
        print(name, "refused:", type(error).__name__, flush=True)
"#;

const ITSELF: [&str; 4] =
    ["the_name_itself", "the_name_itself_in_tls", "the_name_itself_in_a_second_hello", "two_requests"];
const OTHERS: [&str; 8] = [
    "another_name_in_a_second_hello",
    "another_name_in_a_second_hello_behind_a_change_of_ciphers",
    "another_host",
    "another_host_in_the_second_request",
    "no_host",
    "another_host_behind_a_bare_line_feed",
    "another_name_in_tls",
    "no_name_in_tls",
];

#[test]
fn a_relay_lets_nobody_speak_to_another_server_at_the_same_address() {
    need!(UserNamespaces, Program("ip"), Program("python3"));
    let scratch = script("python3 -B fronts.py");
    scratch.file("fronts.py", FRONTS);
    let lines = |access: &str| {
        let line = |port| format!("\"api.example.com:{port}\" = \"{access}\"\n");
        line(80) + &line(443)
    };
    let reached = |name: &str, output: &std::process::Output| out(output).contains(&format!("{name} REACHED\n"));
    let control = run(&with_lines(&scratch, &lines("connect")));
    for name in ITSELF.iter().chain(&OTHERS) {
        assert!(reached(name, &control), "the control of {name} failed: {}", said(&control));
    }
    let relayed = run(&with_lines(&scratch, &lines("relay")));
    for name in ITSELF {
        assert!(reached(name, &relayed), "{name} did not get through: {}", said(&relayed));
    }
    for name in OTHERS {
        assert!(out(&relayed).contains(name) && !reached(name, &relayed), "{name} got through: {}", said(&relayed));
    }
    let denials = scratch.report("enforce")["denials"].to_string();
    for told in ["a request for other.example.com", "TLS for other.example.com", "TLS without a server name"] {
        let port = if told.starts_with('T') { 443 } else { 80 };
        assert!(denials.contains(&format!("api.example.com:{port}: {told}")), "{denials}");
    }
}

#[test]
fn clients_of_many_kinds_get_through_a_relay() {
    need!(UserNamespaces, Program("ip"), Program("curl"), Program("node"), Program("python3"));
    let scratch = script(&CLIENTS.replace("beyond", "api"));
    let lines = "\"api.example.com:80\" = \"relay\"\n\"api.example.com:443\" = \"relay\"";
    let plain = run(&with_lines(&scratch, &lines.replace("relay", "connect")));
    assert_eq!(out(&plain), REACHED, "{}", said(&plain));
    // Two of them name no host.
    let text = CLIENTS.replace("beyond", "api").replace("HTTP/1.0\\r\\n", "HTTP/1.0\\r\\nHost: api.example.com\\r\\n");
    scratch.file("script.sh", &text);
    let relayed = run(&with_lines(&scratch, lines));
    assert_eq!(out(&relayed), REACHED, "{}", said(&relayed));
    assert_eq!(network_denials(&scratch), "", "{}", said(&relayed));
}

#[test]
fn what_listens_inside_is_reached_from_the_host_by_its_line_alone() {
    need!(UserNamespaces, Program("ip"), Program("curl"), Program("python3"));
    let server = "python3 -B -c '\nimport http.server, os\nclass One(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n        self.send_response(200); self.end_headers(); self.wfile.write(b\"from inside\\n\")\n        if self.path == \"/end\": os._exit(0)\nhttp.server.ThreadingHTTPServer((\"127.0.0.1\", 3000), One).serve_forever()'";
    let asked = "\"$@\" & for i in $(seq 100); do curl -sS -m 5 http://127.0.0.1:3000/ 2>/dev/null && break; [ -d /proc/$! ] || break; sleep 0.1; [ $i = 30 ] && [ -n \"$NEVER\" ] && break; done\n\
                 for i in $(seq 300); do curl -sS -m 5 http://localhost:3000/ 2>/dev/null; done | sort | uniq -c | tr -s ' '\n\
                 curl -sS -m 5 http://127.0.0.1:3000/end 2>/dev/null || kill -9 $!; wait $! 2>/dev/null; true";
    let scratch = script(server);
    let ask = |line: &str, never: &str| {
        let enforced = with_lines(&scratch, line);
        let mut command = scratch.command("bash");
        command.args(["-c", asked, "bash"]).arg(enforced.get_program()).args(enforced.get_args());
        command.env("NEVER", never);
        run(&command)
    };
    let with = ask("\"@inside:3000\" = { access = \"publish\", approved = true }", "");
    assert_eq!(out(&with), "from inside\n 300 from inside\nfrom inside\n", "{}", said(&with));
    let without = ask("\"api.example.com:80\" = \"connect\"", "1");
    assert_eq!(out(&without), "", "{}", said(&without));
    let unapproved = ask("\"@inside:3000\" = \"publish\"\n\"api.example.com:80\" = \"connect\"", "1");
    assert_eq!(out(&unapproved), "", "{}", said(&unapproved));
}

#[test]
fn a_port_that_is_in_use_is_not_published_and_nothing_runs() {
    need!(UserNamespaces, Program("ip"));
    let scratch = script("echo ran");
    let inside = run(&with_lines(&scratch, "\"@inside:9090\" = { access = \"publish\", approved = true }"));
    let said = said(&inside);
    assert!(!inside.status.success() && !said.contains("ran\n"), "{said}");
    assert!(
        said.contains("cannot listen at port 9090 of this machine's loopback") && said.contains("sport = :9090"),
        "{said}"
    );
}

/// As on a machine where calls cannot be handed to a supervisor: another one has them already, or the kernel is too old.
#[test]
fn where_no_call_can_be_handed_over_nothing_runs_and_every_start_says_why() {
    need!(UserNamespaces, Program("ip"), Program("python3"));
    let scratch = script("echo ran");
    let enforced = with_lines(&scratch, "\"api.example.com:80\" = \"connect\"");
    let learned = scratch.pinfold(&["learn", "--", "sh", "script.sh"]);
    let native = natively(&scratch);
    let without = |what: &str, inner: &std::process::Command| {
        let mut outer = scratch.command("/usr/bin/python3");
        outer.arg("-B").arg(fixtures().join("without.py")).arg(what).arg(inner.get_program()).args(inner.get_args());
        run(&outer)
    };
    for what in ["another-listener", "notification", "cookies"] {
        let control = without(what, &native);
        assert_eq!(out(&control), "ran\n", "the control failed: {}", said(&control));
        let why = match what {
            "another-listener" => "pinfold within pinfold is not supported",
            "notification" => "Linux 5.0",
            _ => "Linux 5.14",
        };
        for command in [&enforced, &enforced, &learned] {
            let output = without(what, command);
            assert!(!output.status.success() && out(&output).is_empty(), "{what}: {}", said(&output));
            assert!(said(&output).contains(why), "{what}: {}", said(&output));
        }
    }
    let control = run(&enforced);
    assert_eq!(out(&control), "ran\n", "the control failed: {}", said(&control));
}

#[test]
fn nothing_is_told_by_names_but_a_little() {
    need!(UserNamespaces, Program("ip"), Program("python3"));
    let scratch = script("python3 -B tunnel.py");
    scratch.file(
        "tunnel.py",
        r#"
import socket
def told(names):
    done = 0
    for name in names:
        try:
            done += bool(socket.gethostbyname(name + ".tunnel.example.com"))
        except OSError:
            pass
    return done
print(told("%032x" % (i * 7919) for i in range(300)))
print(told(["ab" * 20 + "." + "cd" * 20]))
"#,
    );
    let native = run(&natively(&scratch));
    assert_eq!(out(&native), "300\n1\n", "the control failed: {}", said(&native));
    let inside = run(&with_lines(&scratch, "\"*.tunnel.example.com:443\" = { access = \"connect\", approved = true }"));
    let lines: Vec<String> = out(&inside).lines().map(str::to_owned).collect();
    let told: u32 = lines[0].parse().unwrap();
    assert!((1..=64).contains(&told), "{told} of 300 names were looked up: {}", said(&inside));
    assert_eq!(lines[1], "0", "{}", said(&inside));
    let denials = scratch.report("enforce")["denials"].to_string();
    assert!(denials.contains("more and more names below example.com"), "{denials}");
    assert!(denials.contains("longer than names of servers are"), "{denials}");
}

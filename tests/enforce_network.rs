//! The network by name: in a network of the test's own, where servers on loopback stand in for the outside. What is granted is
//! reached by clients of every kind, learned and enforced; what is not is refused and named; each way around it that gets
//! through without a sandbox gets nowhere with it.

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

use std::process::Output;

use common::enforced::out;
use common::scratch::{said, text};
use common::world::{fixtures, natively, run, script, with_lines};

#[test]
fn clients_of_every_kind_reach_what_is_granted_learned_and_enforced() {
    need!(UserNamespaces, Program("ip"), Program("curl"), Program("node"), Program("git"), Program("python3"));
    let scratch = script("");
    std::fs::copy(fixtures().join("clients.sh"), scratch.project().join("script.sh")).unwrap();
    let files = scratch.outside("files");
    let git = |arguments: &[&str]| {
        let done = scratch.command("git").args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", said(&done));
    };
    let repository = files.join("repository.git");
    git(&["init", "-q", "--bare", text(&repository)]);
    git(&["init", "-q", "work"]);
    let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
    git(&[&["-C", "work"], &identity[..], &["commit", "-q", "--allow-empty", "-m", "x"]].concat());
    git(&["-C", "work", "push", "-q", text(&repository), "HEAD:refs/heads/main"]);
    git(&["-C", text(&repository), "update-server-info"]);
    let scratch = scratch.with("PEM", text(&fixtures().join("ca.pem"))).with("PINFOLD_WORLD_FILES", text(&files));

    let native = run(&natively(&scratch));
    let expected = out(&native);
    assert_eq!(expected.matches("reached").count(), 10, "the control failed: {}", said(&native));
    assert!(expected.contains("refs/heads/main"), "the control failed: {}", said(&native));

    let mut learn = scratch.pinfold(&["learn", "--accept-learned=all", "--", "sh", "script.sh"]);
    learn.env("PINFOLD_WORLD_FILES", &files);
    let learned = run(&learn);
    assert_eq!(out(&learned), expected, "{}", said(&learned));
    let profile = std::fs::read_to_string(scratch.profile()).unwrap();
    let network = profile.split("[network]\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    let mut lines: Vec<&str> = network.lines().collect();
    lines.sort_unstable();
    let expected_lines = ["\"api.example.com:443\" = \"connect\"", "\"api.example.com:80\" = \"connect\""];
    assert_eq!(lines, expected_lines, "{profile}");

    let report = scratch.outside("enforce.json");
    let enforced = run(&scratch.pinfold(&["enforce", "--report", text(&report), "--", "sh", "script.sh"]));
    assert_eq!(out(&enforced), expected, "{}", said(&enforced));
    assert_eq!(scratch.report("enforce")["denials"], serde_json::json!([]), "{}", said(&enforced));
}

/// Ways around; each gets through without a sandbox.
const ATTACKS: [&str; 34] = [
    "another_name",
    "another_port",
    "a_literal_address",
    "a_mapped_address",
    "the_loopback_of_the_host",
    "the_loopback_by_no_address",
    "a_private_address",
    "a_granted_name_that_leads_inward",
    "a_granted_name_that_leads_to_metadata",
    "metadata",
    "a_second_connection_of_a_socket",
    "a_second_connection_of_a_socket_that_has_ended",
    "listening_on_a_socket_of_the_host",
    "binding_a_socket_of_the_host",
    "a_source_route_on_a_connected_socket",
    "another_interface_for_a_connected_socket",
    "a_socket_that_another_process_passes",
    "an_address_that_changes",
    "a_descriptor_that_changes",
    "multipath",
    "fast_open",
    "fast_open_by_message",
    "fast_open_by_option",
    "the_hosts_sockets_in_proc",
    "every_port_by_listening_on_all_addresses",
    "every_port_by_listening_on_all_addresses_of_both_families",
    "whatever_passes_by_a_packet_socket",
    "echo_by_a_raw_socket",
    "echo_by_a_ping_socket",
    "an_address_of_its_own_by_netlink",
    "the_hosts_sockets_by_netlink",
    "names_of_another_server",
    "names_of_another_server_by_a_connection_of_datagrams",
    "a_connection_by_many_children",
];

#[test]
fn no_way_around_the_names_gets_through() {
    need!(UserNamespaces, Program("ip"), Program("python3"));
    let scratch = script(&format!("python3 -B attacks.py {}", ATTACKS.join(" ")));
    let native = run(&natively(&scratch));
    let got_through = |output: &Output, name: &str| out(output).lines().any(|line| line == format!("{name} REACHED"));
    for name in ATTACKS {
        assert!(got_through(&native, name), "the control of {name} failed: {}", said(&native));
    }
    let lines = "\"api.example.com:80\" = \"connect\"\n\"inner.example.com:80\" = \"connect\"\n\"meta.example.com:80\" = \"connect\"\n\"six.example.com:80\" = \"connect\"";
    let inside = run(&with_lines(&scratch, lines));
    for name in ATTACKS {
        assert!(out(&inside).contains(name), "{name} was not tried: {}", said(&inside));
        assert!(!got_through(&inside, name), "{name} got through: {}", said(&inside));
    }
    let denials = scratch.report("enforce")["denials"].to_string();
    for said in [
        "look up",
        "other.example.com",
        "api.example.com:443",
        "203.0.113.11:80",
        "localhost:9090",
        "10.9.9.9:80",
        "inner.example.com:80, which is 10.9.9.9:80",
        "169.254.169.254:80",
        "meta.example.com:80, which is 169.254",
        "another way for what is sent (option 57 of level 41)",
    ] {
        assert!(denials.contains(said), "`{said}` is not named: {denials}");
    }
}

#[test]
fn the_machines_own_port_is_reached_by_its_line_and_a_server_inside_without_one() {
    need!(UserNamespaces, Program("ip"), Program("curl"), Program("python3"));
    let scratch = script(
        "curl -sS -m 5 http://127.0.0.1:9090/ || echo refused\n\
         python3 -B -c 'import socket; s = socket.create_server((\"127.0.0.1\", 9090)); c = socket.create_connection((\"127.0.0.1\", 9090)); a, _ = s.accept(); a.sendall(b\"inside\"); print(c.recv(9).decode())'\n",
    );
    let ask = |line: &str| run(&with_lines(&scratch, line));
    let without = ask("\"api.example.com:80\" = \"connect\"");
    assert_eq!(out(&without), "refused\ninside\n", "{}", said(&without));
    assert!(scratch.report("enforce")["denials"].to_string().contains("localhost:9090"), "{}", said(&without));
    let with = ask("\"localhost:9090\" = { access = \"connect\", approved = true }");
    assert_eq!(out(&with), "reached\ninside\n", "{}", said(&with));
    let among_others = ask("\"localhost:9085-9095\" = { access = \"connect\", approved = true }");
    assert_eq!(out(&among_others), "reached\ninside\n", "{}", said(&among_others));
    let beside = ask("\"localhost:9091-9099\" = { access = \"connect\", approved = true }");
    assert_eq!(out(&beside), "refused\ninside\n", "{}", said(&beside));
    let unapproved = ask("\"localhost:9090\" = \"connect\"\n\"api.example.com:80\" = \"connect\"");
    assert_eq!(out(&unapproved), "refused\ninside\n", "{}", said(&unapproved));
}

/// Registered before it is connected, duplicated, with options: what a program holds is one socket, before and after.
const ONE_SOCKET: &str = r#"
import os, select, socket
s = socket.socket()
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 7, 0, 0, 0]))
s.setblocking(False)
epoll = select.epoll()
epoll.register(s.fileno(), select.EPOLLOUT | select.EPOLLIN)
other = s.dup()
os.set_inheritable(other.fileno(), True)
print(s.connect_ex((socket.gethostbyname("api.example.com"), 80)) in (0, 115))
print([mask & select.EPOLLOUT != 0 for _, mask in epoll.poll(5)])
epoll.modify(s.fileno(), select.EPOLLIN)
print(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
print(s.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)[4], s.getblocking())
print(os.get_inheritable(s.fileno()), os.get_inheritable(other.fileno()))
other.send(b"GET / HTTP/1.0\r\n\r\n")
print([mask & select.EPOLLIN != 0 for _, mask in epoll.poll(5)])
print(s.getpeername()[1], other.getpeername()[1])
s.shutdown(socket.SHUT_WR)
"#;

#[test]
fn a_socket_keeps_its_options_its_copies_and_its_registrations() {
    need!(UserNamespaces, Program("ip"), Program("python3"));
    let scratch = script("python3 -B one.py");
    scratch.file("one.py", ONE_SOCKET);
    let native = run(&natively(&scratch));
    let expected = "True\n[True]\n1 1\n7 False\nFalse True\n[True]\n80 80\n";
    assert_eq!(out(&native), expected, "the control failed: {}", said(&native));
    let inside = run(&with_lines(&scratch, "\"api.example.com:80\" = \"connect\""));
    assert_eq!(out(&inside), expected, "{}", said(&inside));
}

/// What a program has of one socket, under several numbers, beside many others, while another program has it, too: a copy of a
/// socket that waits, and a registration of one that does not. The end of the one that is replaced is told to nobody.
const COPIES: &str = r#"
import os, resource, select, socket
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
host = socket.gethostbyname("api.example.com")
def connect(sock, held):
    """While a child has what this process had."""
    left, right = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(right)
        os.read(left, 1)
        os._exit(0)
    os.close(left)
    result = sock.connect_ex((host, 80))
    kinds = len({os.fstat(number).st_ino for number in held})
    return result, kinds, lambda: (os.close(right), os.waitpid(child, 0))
for others in (0, 1000):
    many = [open("/dev/null") for _ in range(others)]
    sock = socket.socket()
    copy = sock.dup()
    os.dup2(sock.fileno(), 2000, inheritable=True)
    result, kinds, end = connect(sock, [sock.fileno(), copy.fileno(), 2000])
    os.write(2000, b"GET / HTTP/1.0\r\n\r\n")
    print(result, kinds, b"200" in copy.recv(20), os.get_inheritable(2000), copy.get_inheritable())
    end()
    os.close(2000)
    sock, epoll = socket.socket(), select.epoll()
    sock.setblocking(False)
    epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
    result, kinds, end = connect(sock, [sock.fileno()])
    print(result in (0, 115), [(number == sock.fileno(), mask) for number, mask in epoll.poll(5)] == [(True, select.EPOLLOUT)])
    epoll.modify(sock.fileno(), select.EPOLLIN)
    print(epoll.poll(0.1))
    sock.send(b"GET / HTTP/1.0\r\n\r\n")
    print([number == sock.fileno() for number, _ in epoll.poll(5)], b"200" in sock.recv(20))
    end()
"#;

#[test]
fn every_copy_of_a_socket_is_connected_and_what_another_program_has_disturbs_nobody() {
    need!(UserNamespaces, Program("ip"), Program("python3"));
    let scratch = script("python3 -B copies.py");
    scratch.file("copies.py", COPIES);
    let native = run(&natively(&scratch));
    let expected = "0 1 True True False\nTrue True\n[]\n[True] True\n".repeat(2);
    assert_eq!(out(&native), expected, "the control failed: {}", said(&native));
    let inside = run(&with_lines(&scratch, "\"api.example.com:80\" = \"connect\""));
    assert_eq!(out(&inside), expected, "{}", said(&inside));
}

/// While some connections hang, hundreds of others are made; a caller that is killed is forgotten.
const MANY: &str = r#"
import os, signal, socket, threading, time
hung = []
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        socket.create_connection(("api.example.com", 444), 60)
    hung.append(pid)
host = socket.gethostbyname("api.example.com")
done = []
def one():
    s = socket.socket()
    s.connect((host, 80))
    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
    done.append(b"200" in s.recv(20))
threads = [threading.Thread(target=one) for _ in range(500)]
for t in threads: t.start()
for t in threads: t.join()
print(sum(done))
for pid in hung: os.kill(pid, signal.SIGKILL)
for pid in hung: os.waitpid(pid, 0)
for _ in range(2000):
    s = socket.socket(); s.connect((host, 80)); s.close()
print("all")
"#;

#[test]
fn connections_that_hang_delay_no_others_and_none_is_lost() {
    need!(UserNamespaces, Program("ip"), Program("python3"));
    let scratch = script("python3 -B many.py");
    scratch.file("many.py", MANY);
    let lines = "\"api.example.com:80\" = \"connect\"\n\"api.example.com:444\" = \"connect\"";
    let inside = run(&with_lines(&scratch, lines));
    assert_eq!(out(&inside), "500\nall\n", "{}", said(&inside));
}

#[test]
fn what_a_pattern_grants_lies_below_it_and_odd_names_are_nobody() {
    need!(UserNamespaces, Program("ip"), Program("python3"));
    let scratch = script(
        "python3 -B -c '\nimport socket\nfor name in [\"api.example.com\", \"API.Example.COM.\", \"cdn1a2b3c.example.com\", \"example.com\", \"api.example.com.evil.org\", \"a\" * 63 + \".example.com\", \"b\u{fc}cher.example.com\", \"localhost\"]:\n    try: print(len(socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)) > 0)\n    except (OSError, UnicodeError) as error: print(False)\n'\n",
    );
    let line = "\"*.example.com:80\" = { access = \"connect\", approved = true }";
    let inside = run(&with_lines(&scratch, line));
    assert_eq!(out(&inside), "True\nTrue\nTrue\nFalse\nFalse\nFalse\nFalse\nTrue\n", "{}", said(&inside));
}

#[test]
fn the_machines_own_servers_are_learned_as_localhost_and_need_a_persons_yes() {
    need!(UserNamespaces, Program("ip"), Program("curl"));
    let scratch = script("curl -sS -m 5 http://127.0.0.1:9090/; curl -sS -m 5 http://cdn1a2b3c.example.com/");
    let learned = run(&scratch.pinfold(&["learn", "--", "sh", "script.sh"]));
    assert_eq!(out(&learned), "reached\nreached\n", "{}", said(&learned));
    let profile = std::fs::read_to_string(scratch.profile()).unwrap();
    assert!(profile.contains("\"localhost:9090\" = { access = \"connect\", approved = false }"), "{profile}");
    assert!(profile.contains("\"cdn1a2b3c.example.com:80\" = \"connect\""), "{profile}");
    assert!(said(&learned).contains("*.example.com:80"), "the pattern is offered: {}", said(&learned));
    assert!(!profile.contains("\"*.example.com"), "and not taken: {profile}");
}

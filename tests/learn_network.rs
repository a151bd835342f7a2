//! Peers and ports of a learning run: whatever way a program names them, they are in the trace.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why"
)]

mod common;

use std::net::{TcpListener, UdpSocket};

use common::enforced::{out, run};
use common::scratch::{Scratch, said};

/// Learns a Python script with these arguments; the lines of its trace that tell of peers, ports and arguments.
fn learned(script: &str, arguments: &[String]) -> String {
    let scratch = Scratch::new("network");
    scratch.file("peers.py", script);
    let mut command = scratch.pinfold(&["learn", "--accept-learned=own", "--", "/usr/bin/python3", "peers.py"]);
    command.args(arguments);
    let output = run(command);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let shown =
        out(&run(scratch.pinfold(&["trace", "show", "python3-peers", "--kind", "connect,listen,argument,gap"])));
    assert!(!shown.contains("GAP"), "{shown}");
    shown
}

/// That one line says so.
fn has(shown: &str, fact: &str) {
    assert!(shown.lines().any(|line| line.contains(fact)), "`{fact}` is not in {shown}");
}

#[test]
fn peers_of_streams_and_datagrams_over_both_protocols_are_seen() {
    need!(UserNamespaces, Program("/usr/bin/python3"));
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let ports = [tcp.local_addr().unwrap().port(), udp.local_addr().unwrap().port()].map(|port| port.to_string());
    let script = "\
import socket, sys
tcp, udp = int(sys.argv[1]), int(sys.argv[2])
socket.create_connection(('127.0.0.1', tcp)).close()
stream = socket.socket(socket.AF_INET6)
stream.connect_ex(('::1', tcp))
four, six = (socket.socket(family, socket.SOCK_DGRAM) for family in (socket.AF_INET, socket.AF_INET6))
four.sendto(b'x', ('127.0.0.1', udp))
four.sendmsg([b'x'], [], 0, ('127.0.0.1', 40011))
try: six.sendto(b'x', ('::1', 40012))
except OSError: pass
mapped = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
mapped.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
try: mapped.sendto(b'x', ('::ffff:127.0.0.1', 40013))
except OSError: pass
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()
";
    let shown = learned(script, &ports);
    let [tcp, udp] = ports;
    // What is reached through the broker goes by its name; nobody listens at the address of the newer protocol.
    assert!(shown.lines().any(|line| line.ends_with(&format!("connects to localhost:{tcp} (tcp)"))), "{shown}");
    has(&shown, &format!("connects to localhost:{tcp} (tcp) = ECONNREFUSED"));
    has(&shown, &format!("connects to 127.0.0.1:{udp} (udp)"));
    has(&shown, "connects to 127.0.0.1:40011 (udp)");
    has(&shown, "connects to [::1]:40012 (udp)");
    // An address of the older protocol in the clothes of the newer one.
    has(&shown, "connects to 127.0.0.1:40013 (udp)");
    has(&shown, "calls socket with netlink raw 0");
}

#[test]
fn ports_that_are_listened_on_are_seen_also_those_of_both_protocols_at_once() {
    need!(UserNamespaces, Program("/usr/bin/python3"));
    let script = "\
import os, socket
def port(listener): open('ports', 'a').write('%d\\n' % listener.getsockname()[1])
one = socket.create_server(('127.0.0.1', 0)); port(one)
unbound = socket.socket(); unbound.listen(); port(unbound)
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); datagrams.bind(('127.0.0.1', 40021))
if socket.has_dualstack_ipv6():
    both = socket.create_server(('', 40022), family=socket.AF_INET6, dualstack_ipv6=True)
print(open('ports').read().split(), socket.has_dualstack_ipv6())
";
    let scratch = Scratch::new("listen");
    scratch.file("peers.py", script);
    let mut command = scratch.pinfold(&["learn", "--no-network", "--accept-learned=own", "--"]);
    command.args(["/usr/bin/python3", "peers.py"]);
    let output = run(command);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let ports = std::fs::read_to_string(scratch.project().join("ports")).unwrap();
    let ports: Vec<&str> = ports.lines().collect();
    let shown = out(&run(scratch.pinfold(&["trace", "show", "python3-peers", "--kind", "listen"])));
    assert!(shown.contains(&format!("127.0.0.1:{}", ports[0])), "{shown}");
    assert!(shown.contains("127.0.0.1:40021"), "{shown}");
    // A socket that was never bound gets its port by listening.
    assert!(shown.contains(&format!("0.0.0.0:{}", ports[1])), "{shown}");
    if out(&output).contains("True") {
        assert!(shown.contains("[::]:40022"), "{shown}");
    }
}

#[test]
fn local_sockets_are_seen_by_their_file_or_their_abstract_name() {
    need!(UserNamespaces, Program("/usr/bin/python3"));
    let script = "\
import socket
for name in ('named', '\\0pinfold-test-abstract'):
    listener = socket.socket(socket.AF_UNIX); listener.bind(name); listener.listen()
    socket.socket(socket.AF_UNIX).connect(name)
";
    let shown = learned(script, &[]);
    for fact in ["/named (unix)", "connects to the abstract socket pinfold-test-abstract (unix)"] {
        has(&shown, fact);
    }
    assert!(shown.lines().any(|line| line.contains("listens at /") && line.ends_with("/named")), "{shown}");
    has(&shown, "listens at the abstract socket pinfold-test-abstract");
}

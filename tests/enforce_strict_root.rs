//! Under `protect = "strict"` the root tells, too: what is refused is named although the supervisor makes the call, files are
//! replaced in place, and whatever becomes of the one who serves the root, nothing hangs and nothing opens up.

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

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::enforced::{enforced_under, out, project, run};
use common::scratch::{Scratch, said};
use serde_json::Value;

const CALLS: &str = "\"mkdir\", \"mkdirat\", \"rename\", \"renameat\", \"renameat2\", \"symlink\", \"symlinkat\", \"link\", \
                     \"linkat\", \"rmdir\", \"unlink\", \"unlinkat\", \"umask\", \"chdir\", \"chmod\", \"fchmod\", \
                     \"fsync\", \"ftruncate\", \"flock\"";

fn strict(scratch: &Scratch, lines: &str) -> Command {
    enforced_under(scratch, "protect = \"strict\"", lines, CALLS, "")
}

fn home(scratch: &Scratch, name: &str) -> String {
    scratch.home().join(name).to_str().unwrap().to_owned()
}

#[test]
fn what_is_refused_is_named_with_program_and_whole_path_whoever_makes_the_call() {
    need!(UserNamespaces, Fuse);
    let scratch = project(
        "cat ~/.ssh/keys/id_rsa; echo x >~/made; mkdir ~/room; echo x >f; mv f ~/moved; ln f ~/linked; \
         echo x >~/.ssh/keys/new; echo x >~/notes; echo done",
    );
    scratch.home_file(".ssh/keys/id_rsa", "secret");
    scratch.home_file("notes", "mine");
    let output = run(strict(&scratch, ""));
    assert_eq!(out(&output), "done\n", "{}", said(&output));
    let report = scratch.report("enforce");
    let all = report["denials"].as_array().unwrap().clone();
    let named = |what: &str| {
        let is = |denial: &&Value| {
            format!("{} {}", denial["intent"].as_str().unwrap_or("-"), denial["thing"].as_str().unwrap()) == what
        };
        all.iter().find(is).unwrap_or_else(|| panic!("no `{what}` in {all:#?}"))
    };
    for (what, program) in [
        (format!("read {}", home(&scratch, ".ssh/keys/id_rsa")), "/cat"),
        (format!("create {}", home(&scratch, "made")), "sh"),
        (format!("create {}", home(&scratch, "room")), "/mkdir"),
        (format!("create {}", home(&scratch, "moved")), "/mv"),
        (format!("create {}", home(&scratch, "linked")), "/ln"),
        (format!("write {}", home(&scratch, "notes")), "sh"),
    ] {
        let denial = named(&what);
        assert!(denial["program"].as_str().unwrap().ends_with(program), "{denial}");
        assert!(denial["remedy"].is_string(), "{denial}");
    }
    assert!(!all.iter().any(|denial| denial["program"].as_str().unwrap().contains("pinfold")), "{all:#?}");
    for name in ["made", "room", "moved", "linked", ".ssh/keys/new"] {
        assert!(!scratch.home().join(name).exists(), "{name} was made: {}", said(&output));
    }
    assert_eq!(std::fs::read_to_string(scratch.home().join("notes")).unwrap(), "mine");
}

#[test]
fn files_are_replaced_in_place_and_nothing_else_of_their_directory_is_reached() {
    need!(UserNamespaces, Fuse, Program("git"), Program("python3"));
    let script = "git config --global user.name inside && git config --global user.name\n\
        python3 -S -c 'import os\np = os.path.expanduser(\"~/.tool.json\")\nopen(p + \".tmp\", \"w\").write(\"new\")\nos.replace(p + \".tmp\", p)\n\
        os.mkdir(p + \".lock\"); os.rmdir(p + \".lock\"); print(open(p).read(), sorted(os.listdir(os.path.expanduser(\"~\"))))'\n\
        ln -s /etc/passwd ~/.tool.json.x; echo x >~/.tool.json.y; mv ~/.tool.json.y ~/.profile; echo end";
    let scratch = project(script);
    scratch.home_file(".tool.json", "old");
    scratch.home_file(".gitconfig", "[user]\n\tname = outside\n");
    scratch.home_file("secret", "secret");
    let lines = "\"~/.tool.json\" = \"replace\"\n\
                 \"~/.gitconfig\" = { access = \"replace\", sensitive = \"host-executes\", approved = true }\n";
    let output = run(strict(&scratch, lines));
    assert_eq!(out(&output), "inside\nnew ['.gitconfig', '.tool.json', 'src']\nend\n", "{}", said(&output));
    assert_eq!(std::fs::read_to_string(scratch.home().join(".tool.json")).unwrap(), "new");
    assert!(std::fs::read_to_string(scratch.home().join(".gitconfig")).unwrap().contains("inside"));
    let left = [".profile", ".tool.json.x"].iter().any(|name| scratch.home().join(name).symlink_metadata().is_ok());
    assert!(!left, "{}", said(&output));
}

/// A run that has begun: what it prints before its first line is out.
fn begun(mut command: Command) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    assert_eq!(first, "begun\n", "{:?}", child.wait_with_output());
    (child, lines)
}

/// The process beside `pinfold` that serves: the child of it that runs the same program in the same namespace of pids.
fn server(pinfold: u32) -> i32 {
    let link = |pid: &str, name: &str| std::fs::read_link(format!("/proc/{pid}/{name}")).ok();
    let mine = pinfold.to_string();
    let children = std::fs::read_to_string(format!("/proc/{mine}/task/{mine}/children")).unwrap();
    let serves = |pid: &&str| link(pid, "exe") == link(&mine, "exe") && link(pid, "ns/user") == link(&mine, "ns/user");
    let found: Vec<&str> = children.split_ascii_whitespace().filter(serves).collect();
    assert_eq!(found.len(), 1, "{children}");
    found[0].parse().unwrap()
}

fn signal(pid: i32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
}

/// Whether it ended within this time.
fn ends(child: &mut Child, within: Duration) -> bool {
    let end = Instant::now() + within;
    while Instant::now() < end {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

const GRANTED: &str =
    "echo begun; while ! [ -e go ]; do sleep 0.05; done; echo x >made && cat made && /usr/bin/true && echo runs";

#[test]
fn where_the_server_is_killed_what_is_granted_runs_on_and_the_rest_fails_at_once() {
    need!(UserNamespaces, Fuse);
    let scratch = project(&format!("{GRANTED}; cat ~/secret; echo x >~/made; echo end"));
    scratch.home_file("secret", "SECRET");
    let (mut child, mut lines) = begun(strict(&scratch, ""));
    signal(server(child.id()), nix::sys::signal::Signal::SIGKILL);
    scratch.file("go", "");
    assert!(ends(&mut child, Duration::from_secs(60)), "it hangs");
    let (mut text, mut told) = (String::new(), String::new());
    lines.read_to_string(&mut text).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(text, "x\nruns\nend\n", "{told}");
    assert!(told.contains("files that were refused are not known"), "{told}");
    assert!(!scratch.home().join("made").exists());
}

#[test]
fn where_the_server_is_stopped_what_is_granted_runs_on_and_the_rest_fails_after_a_while() {
    need!(UserNamespaces, Fuse);
    let scratch = project(&format!("{GRANTED}; cat ~/secret; echo x >~/made; echo end"));
    scratch.home_file("secret", "SECRET");
    let (mut child, mut lines) = begun(strict(&scratch, ""));
    signal(server(child.id()), nix::sys::signal::Signal::SIGSTOP);
    scratch.file("go", "");
    let mut text = String::new();
    for _ in 0..2 {
        lines.read_line(&mut text).unwrap();
    }
    if text != "x\nruns\n" {
        let output = child.wait_with_output().unwrap();
        panic!("{text:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(ends(&mut child, Duration::from_secs(120)), "it hangs");
    lines.read_to_string(&mut text).unwrap();
    assert_eq!(text, "x\nruns\nend\n");
    assert!(!scratch.home().join("made").exists());
}

/// A kill that catches the supervisor walking through the root that is served beside it: it ends, and all with it.
#[test]
fn a_pinfold_that_is_killed_while_it_walks_through_the_root_ends_with_all_inside() {
    need!(UserNamespaces, Fuse, Program("python3"));
    let script = "exec python3 -S -u -c 'import os, threading
def walk(n):
    while True:
        try: os.mkdir(os.path.expanduser(\"~/x%d\" % n))
        except OSError: pass
        try: open(os.path.expanduser(\"~/.tool.json\"), \"r+\").close()
        except OSError: pass
for n in range(3): threading.Thread(target=walk, args=(n,)).start()
print(\"begun\")'";
    for turn in 0..8_u64 {
        let scratch = project(script);
        scratch.home_file(".tool.json", "{}");
        let (mut child, mut lines) = begun(strict(&scratch, "\"~/.tool.json\" = \"replace\"\n"));
        let served = server(child.id());
        std::thread::sleep(Duration::from_millis(20 + turn * 7));
        child.kill().unwrap();
        assert!(ends(&mut child, Duration::from_secs(60)), "killed, and still there");
        // The pipe ends when the last process inside is gone.
        let (sender, gone) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(lines.read_to_end(&mut Vec::new()).is_ok()).ok());
        assert_eq!(gone.recv_timeout(Duration::from_secs(60)), Ok(true), "something inside goes on");
        let end = Instant::now() + Duration::from_secs(60);
        while std::path::Path::new(&format!("/proc/{served}/fd/0")).symlink_metadata().is_ok() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(Instant::now() < end, "the server outlives the run");
    }
}

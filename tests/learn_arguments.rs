//! Arguments that are worth a rule are recorded as sets of values, whatever else passes unseen.

mod common;

use std::collections::BTreeSet;
use std::ffi::OsStr;

use common::traced::{Run, Scratch, quirk, shell, trace};
use pinfold::event::Fact;

fn values(run: &Run, wanted: &str) -> BTreeSet<String> {
    let values = run.events.iter().filter_map(|event| match &event.fact {
        Fact::Argument { call, value } if call.name() == wanted => Some(value.clone()),
        _ => None,
    });
    values.collect()
}

/// A raw system call: its number and arguments as words.
fn call(scratch: &Scratch, number: i64, arguments: &str) -> Run {
    let number = number.to_string();
    let words = ["errno", number.as_str()].into_iter().chain(arguments.split(' '));
    quirk(scratch, &words.map(OsStr::new).collect::<Vec<_>>())
}

fn set<const N: usize>(words: [&str; N]) -> BTreeSet<String> {
    words.map(str::to_owned).into()
}

#[test]
fn memory_that_is_written_and_executed_is_told_and_other_memory_is_not() {
    let scratch = Scratch::new("wx");
    let run = call(&scratch, libc::SYS_mmap, "0 4096 7 0x22 -1 0");
    assert_eq!(values(&run, "mmap"), set(["write execute"]));
    let run = call(&scratch, libc::SYS_mprotect, "0 4096 7");
    assert_eq!(values(&run, "mprotect"), set(["write execute"]));
    // The loader maps code and data, each by itself.
    let run = trace(&scratch, &["true"]);
    assert!(values(&run, "mmap").is_empty() && values(&run, "mprotect").is_empty());
}

#[test]
fn commands_of_fcntl_that_reach_beyond_the_descriptor_are_told_and_others_are_not() {
    let scratch = Scratch::new("fcntl");
    let run = call(&scratch, libc::SYS_fcntl, "0 1026 0");
    assert_eq!(values(&run, "fcntl"), set(["F_NOTIFY"]));
    let run = call(&scratch, libc::SYS_fcntl, "0 1 0");
    assert!(values(&run, "fcntl").is_empty());
}

#[test]
fn signals_to_processes_outside_the_own_tree_are_told_with_the_signal() {
    let scratch = Scratch::new("kill");
    // Signal 0 reaches nobody, whoever is named.
    for (target, told) in [("-1", "all 0"), ("0", "group 0"), ("1", "init 0"), ("4194303", "other 0")] {
        let run = call(&scratch, libc::SYS_kill, &format!("{target} 0"));
        assert_eq!(values(&run, "kill"), set([told]), "{target}");
    }
    let run = shell(&scratch, "sleep 60 & kill $!; kill -CONT $$; kill -WINCH 4194303; :");
    assert_eq!(run.code, Some(0));
    assert_eq!(values(&run, "kill"), set(["other SIGWINCH"]));
}

#[test]
fn namespaces_that_were_asked_for_are_named_in_the_refusal() {
    let scratch = Scratch::new("namespaces");
    for (number, arguments) in [(libc::SYS_unshare, "0x10020000"), (libc::SYS_clone, "0x10020011 0 0 0 0")] {
        let run = call(&scratch, number, arguments);
        assert_eq!(run.code, Some(libc::EPERM));
        let things: Vec<&str> = run
            .events
            .iter()
            .filter_map(|event| if let Fact::Denied(denial) = &event.fact { Some(denial.thing.as_str()) } else { None })
            .collect();
        assert_eq!(things, ["namespaces of its own: newns newuser"]);
    }
}

#[test]
fn operations_are_recorded_by_name_each_once() {
    let scratch = Scratch::new("operations");
    let run = call(&scratch, libc::SYS_prctl, "38 1 0 0 0");
    assert_eq!(values(&run, "prctl"), set(["PR_SET_NO_NEW_PRIVS"]));
    let run = call(&scratch, libc::SYS_personality, "0xffffffff");
    assert_eq!(values(&run, "personality"), set(["0xffffffff"]));
    let run = call(&scratch, libc::SYS_seccomp, "2 0 0");
    assert_eq!(values(&run, "seccomp"), set(["action-available"]));
    let run = call(&scratch, libc::SYS_socket, "16 3 15");
    assert_eq!(values(&run, "socket"), set(["netlink raw 15"]));
    let run = call(&scratch, libc::SYS_ioctl, "0 0x1234");
    assert_eq!(values(&run, "ioctl"), set(["0x1234"]));
}

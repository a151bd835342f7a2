//! The attack corpus of `tests/attacks/`: each attack succeeds without a sandbox and without the walls that it names, fails
//! behind all walls, and fails behind each named wall alone. So no wall is there for nothing, and none is trusted unseen.

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

use std::fmt::Write as _;

use common::Need;
use common::corpus::{Attack, Needs, Who, attacks, complaint_without_namespaces, complaints};

/// Runs the attacks on one promise, a few at a time.
fn hold(promise: &str) {
    assert!(attacks().iter().any(|attack| attack.promise == promise), "no attack on promise {promise}");
    let all: Vec<Attack> = attacks_of_this_user().into_iter().filter(|attack| attack.promise == promise).collect();
    let found = each(&all, complaints);
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}

/// Those that the user of this test can try; `PINFOLD_TEST_ATTACK` names some of them.
fn attacks_of_this_user() -> Vec<Attack> {
    let wanted = std::env::var("PINFOLD_TEST_ATTACK").ok();
    let mine = |attack: &Attack| match attack.who {
        None => true,
        Some(Who::Root) => common::is_root(),
        Some(Who::User) => !common::is_root(),
    };
    let world = common::need(&[Need::Program("ip"), Need::Program("python3")]);
    let vsock = common::need(&[Need::Vsock]);
    let there = |attack: &Attack| match attack.needs {
        None => true,
        Some(Needs::World) => world,
        Some(Needs::Vsock) => vsock,
    };
    let named = |attack: &Attack| wanted.as_ref().is_none_or(|name| attack.name.contains(name));
    attacks().into_iter().filter(mine).filter(there).filter(named).collect()
}

/// What `judge` says of each, some at a time.
fn each(all: &[Attack], judge: impl Fn(&Attack) -> Vec<String> + Sync) -> Vec<String> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let found = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(attack) = all.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    found.lock().unwrap().extend(judge(attack));
                }
            });
        }
    });
    found.into_inner().unwrap()
}

macro_rules! promises {
    ($($name:ident = $promise:literal,)*) => {
        $(#[test] fn $name() { need!(UserNamespaces); hold($promise); })*

        #[test]
        fn every_attack_is_on_a_promise_that_is_tested() {
            let known = [$($promise),*];
            for attack in attacks() {
                assert!(known.contains(&attack.promise.as_str()), "{}: {}", attack.name, attack.promise);
            }
        }
    };
}

promises! {
    nothing_is_reached_that_is_not_granted = "granted",
    what_is_granted_to_be_read_is_not_changed = "read-only",
    what_the_host_executes_stays_as_it_is = "guarded",
    nothing_comes_to_be_that_the_host_executes = "planted",
    no_state_is_inherited = "inherited",
    no_process_outside_is_reached = "processes",
    no_network_is_reached = "network",
    no_rights_are_gained_or_left_behind = "rights",
    no_part_of_the_kernel_is_reached_that_needs_a_word = "kernel",
}

#[test]
fn where_namespaces_are_refused_each_attack_is_held_or_known_to_be_open() {
    need!(UserNamespaces, Program("setpriv"));
    let all = attacks_of_this_user();
    let found = each(&all, |attack| complaint_without_namespaces(attack).into_iter().collect());
    assert!(found.is_empty(), "{}", found.join("\n\n"));
    assert!(all.iter().any(|attack| attack.open_without_namespaces), "the mode without namespaces has no limit?");
}

/// The table in the docs is made from the attacks; `PINFOLD_TEST_BLESS=1` writes it anew.
#[test]
fn the_table_of_walls_in_the_docs_is_that_of_the_attacks() {
    let walls = pinfold::plan::walls::Wall::ALL;
    let mut table = String::from("| attack | against | held by each of | without namespaces |\n|---|---|---|---|\n");
    for attack in attacks() {
        let names: Vec<_> = walls.iter().filter(|wall| attack.walls.contains(wall)).map(|wall| wall.as_str()).collect();
        let names = if names.is_empty() { "user namespace".to_owned() } else { names.join(", ") };
        let who = match attack.who {
            None => "",
            Some(Who::Root) => " (as root)",
            Some(Who::User) => " (as a user)",
        };
        // What cannot be kept without them is not begun: names of the network, and the desk of a strict run.
        let needs_them = attack.strict || attack.sections.iter().any(|section| section.starts_with("[network]"));
        let weaker = match (attack.open_without_namespaces, needs_them) {
            (true, _) => "**open**",
            (false, true) => "does not start",
            (false, false) => "held",
        };
        let _ = writeln!(table, "| {}{who} | {} | {names} | {weaker} |", attack.what, attack.promise);
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/walls.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, old) = text.split_once("<!-- table -->\n").expect("docs/walls.md has a place for the table");
    if std::env::var_os("PINFOLD_TEST_BLESS").is_some() {
        std::fs::write(&path, format!("{head}<!-- table -->\n{table}")).unwrap();
    } else {
        assert!(old == table, "docs/walls.md is not up to date: run this test with PINFOLD_TEST_BLESS=1");
    }
}

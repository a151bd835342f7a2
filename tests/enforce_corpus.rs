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

use common::corpus::{Attack, Who, attacks, complaints};

/// Runs the attacks on one promise, a few at a time.
fn hold(promise: &str) {
    let wanted = std::env::var("PINFOLD_TEST_ATTACK").ok();
    let mine = |attack: &Attack| match attack.who {
        None => true,
        Some(Who::Root) => common::is_root(),
        Some(Who::User) => !common::is_root(),
    };
    let all: Vec<Attack> = attacks().into_iter().filter(|attack| attack.promise == promise).collect();
    assert!(!all.is_empty(), "no attack on promise {promise}");
    let all: Vec<Attack> = all
        .into_iter()
        .filter(mine)
        .filter(|attack| wanted.as_ref().is_none_or(|name| attack.name.contains(name)))
        .collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let found = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(attack) = all.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    found.lock().unwrap().extend(complaints(attack));
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    assert!(found.is_empty(), "{}", found.join("\n\n"));
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
    no_state_is_inherited = "inherited",
    no_process_outside_is_reached = "processes",
    no_network_is_reached = "network",
    no_rights_are_gained_or_left_behind = "rights",
    no_part_of_the_kernel_is_reached_that_needs_a_word = "kernel",
}

/// The table in the docs is made from the attacks; `PINFOLD_TEST_BLESS=1` writes it anew.
#[test]
fn the_table_of_walls_in_the_docs_is_that_of_the_attacks() {
    let walls = pinfold::plan::walls::Wall::ALL;
    let mut table = String::from("| attack | against | held by each of |\n|---|---|---|\n");
    for attack in attacks() {
        let names: Vec<_> = walls.iter().filter(|wall| attack.walls.contains(wall)).map(|wall| wall.as_str()).collect();
        let names = if names.is_empty() { "user namespace".to_owned() } else { names.join(", ") };
        let who = match attack.who {
            None => "",
            Some(Who::Root) => " (as root)",
            Some(Who::User) => " (as a user)",
        };
        let _ = writeln!(table, "| {}{who} | {} | {names} |", attack.what, attack.promise);
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

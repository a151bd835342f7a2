//! With `--report-writes` what is refused because it may only be read is named; without it the program alone is answered.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and says why"
)]

mod common;

use common::enforced::{enforced_under, out, run};
use common::scratch::{Scratch, said};

const CALLS: &str = "\"mkdir\", \"mkdirat\", \"rename\", \"renameat\", \"renameat2\", \"rmdir\", \"unlink\", \"unlinkat\", \"chmod\", \
                     \"fchmod\", \"fchmodat\", \"link\", \"linkat\", \"symlink\", \"symlinkat\", \"umask\"";

const SCRIPT: &str = "echo x >/usr/made; mkdir /usr/room; echo x >f; mv f /usr/moved; rm -f /usr/bin/true; echo x >.git/hooks/pre-commit; \
                      chmod 700 /usr/bin/true; echo y >f; rm f; mkdir d; echo x >d/f; rm -r d; echo x >/dev/null; cat /usr/nothing; cd /usr; echo x >one; cd lib; echo x >two; cd ../share; echo x >three; echo end";

/// What a run was refused, with these words above the first section and this flag, and what it printed.
fn refused(top: &str, flag: Option<&str>) -> (Vec<String>, String) {
    let scratch = Scratch::beside_home("writes");
    scratch.file("script.sh", SCRIPT);
    scratch.file(".git/hooks/pre-commit", "mine\n");
    let inner = enforced_under(&scratch, top, "", CALLS, "");
    let mut command = scratch.command(inner.get_program());
    let mut words: Vec<_> = inner.get_args().map(std::ffi::OsStr::to_owned).collect();
    words.splice(1..1, flag.map(Into::into));
    command.args(words);
    let output = run(command);
    assert_eq!(out(&output), "end\n", "{}", said(&output));
    assert_eq!(std::fs::read_to_string(scratch.project().join(".git/hooks/pre-commit")).unwrap(), "mine\n");
    let project = scratch.project().to_str().unwrap().to_owned();
    let report = scratch.report("enforce");
    let all = report["denials"].as_array().unwrap().iter().map(|denial| {
        let thing = denial["thing"].as_str().unwrap().replace(&project, "$PROJECT");
        format!("{} {thing}", denial["intent"].as_str().unwrap_or("-"))
    });
    (all.collect(), said(&output))
}

const WANTED: [&str; 9] = [
    "create /usr/made",
    "create /usr/room",
    "create /usr/moved",
    "create /usr/one",
    "create /usr/lib/two",
    "create /usr/share/three",
    "remove /usr/bin/true",
    "attributes /usr/bin/true",
    "write $PROJECT/.git/hooks/pre-commit",
];

#[test]
fn writes_that_are_refused_within_what_may_be_read_are_named_and_no_others() {
    need!(UserNamespaces);
    for top in ["", "protect = \"strict\""] {
        let (named, told) = refused(top, Some("--report-writes"));
        for wanted in WANTED {
            assert!(named.iter().any(|named| named == wanted), "{top}: no `{wanted}` in {named:#?}");
        }
        // Under `strict` the desk says of the hook why it refused it.
        let others: Vec<&String> = named.iter().filter(|named| !WANTED.contains(&named.as_str())).collect();
        assert!(others.iter().all(|other| other.contains("hooks/pre-commit (git runs")), "{top}: {named:#?}");
        assert!(told.contains("to allow it: [filesystem] \"/usr/made\" = "), "{told}");
        assert!(told.contains("your machine runs") || told.contains("git runs"), "the risk of a hook: {told}");
    }
}

#[test]
fn without_the_flag_they_are_not_named() {
    need!(UserNamespaces);
    let (named, told) = refused("", None);
    assert!(named.is_empty(), "{named:#?}\n{told}");
}

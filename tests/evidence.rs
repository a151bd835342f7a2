//! The evidence beside a profile: who needed what, in which runs; what is written is read, and nothing else is.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test program: a panic in a helper is a failed test"
)]

mod common;

use std::collections::BTreeMap;

use common::scratch::{Scratch, said};
use pinfold::event::{
    Census, Event, ExitStatus, Fact, Hop, Image, ImageId, Intent, Outcome, Owner, PathFact, Transport,
};
use pinfold::profile::evidence::{self, Evidence, ReadError};
use pinfold::reduce::evidence::gather;
use pinfold::reduce::{Settings, reduce};
use pinfold::trace::{Footer, Header, Trace};
use pinfold::vocab::endpoint::{Endpoint, NetTarget};
use pinfold::vocab::host::FileKind;
use pinfold::vocab::location::{Base, Location, Roots};
use pinfold::vocab::path::AbsPath;
use pinfold::vocab::syscall::Syscall;
use proptest::prelude::*;

fn path(text: &str) -> AbsPath {
    AbsPath::new(text).unwrap()
}

fn place(text: &str) -> Location {
    text.parse().unwrap()
}

fn call(name: &str) -> Syscall {
    Syscall::from_name(name).unwrap()
}

/// A complete run that began at `started`.
fn trace(started: u64, events: Vec<(u32, Fact)>) -> Trace {
    let header = Header {
        format: "pinfold-trace".into(),
        version: 1,
        pinfold: "0".into(),
        run: format!("run{started}"),
        started,
        kernel: "6".into(),
        machine: "x86_64".into(),
        command: vec!["agent".into()],
        roots: Roots(BTreeMap::from([(Base::Home, path("/home/u")), (Base::Project, path("/home/u/p"))])),
        workdir: path("/home/u/p"),
        uid: 1000,
        base: 1,
        opened: vec![],
    };
    let events: Vec<Event> = events.into_iter().map(|(image, fact)| Event { image: ImageId(image), fact }).collect();
    let footer = Footer { events: events.len() as u64, status: ExitStatus::Code(0) };
    Trace { header, events, footer: Some(footer) }
}

fn image(parent: Option<u32>, exe: &str, argv: &[&str]) -> Fact {
    let argv = argv.iter().map(|word| (*word).to_owned()).collect();
    Fact::Image(Image { parent: parent.map(ImageId), exe: path(exe), script: None, argv, set_id: false })
}

fn reads(at: &str) -> Fact {
    does(Intent::Read, at, Outcome::Ok, &[])
}

fn does(intent: Intent, at: &str, result: Outcome, hops: &[&str]) -> Fact {
    let hops = hops.iter().map(|link| Hop { link: path(link), text: "x".into() }).collect();
    Fact::Path(PathFact { intent, call: call("openat"), path: path(at), hops, kind: Some(FileKind::File), result })
}

/// sh runs git, which reads the configuration; in the second run also python, which has a peer.
fn runs() -> [Trace; 2] {
    let first = trace(
        86_400,
        vec![
            (0, image(None, "/usr/bin/sh", &["sh", "-c", "<text 9>"])),
            (1, image(Some(0), "/usr/bin/git", &["git", "<text 6>"])),
            (0, does(Intent::Map, "/usr/lib/libc.so.6", Outcome::Ok, &["/lib"])),
            (1, does(Intent::Map, "/usr/lib/libc.so.6", Outcome::Ok, &["/lib"])),
            (1, reads("/home/u/.gitconfig")),
            (1, does(Intent::Read, "/home/u/.config/git/config", Outcome::Errno(2), &[])),
            (1, does(Intent::Write, "/home/u/p/x", Outcome::Ok, &[])),
            (1, Fact::Call { call: call("kcmp") }),
            (0, Fact::Environment { names: ["HOME".to_owned(), "LANG".to_owned()].into(), credentials: [].into() }),
            (0, Fact::Mentioned { names: ["HOME".to_owned()].into(), capped: false }),
            (
                1,
                Fact::Census(Census {
                    dir: path("/usr/lib"),
                    entries: 70,
                    capped: false,
                    owner: Owner::Root,
                    world_readable: true,
                    markers: [].into(),
                    sensitive: [].into(),
                }),
            ),
        ],
    );
    let second = trace(
        864_000,
        vec![
            (7, image(None, "/usr/bin/sh", &["sh", "-c", "<text 9>"])),
            (3, image(Some(7), "/usr/bin/python3", &["python3", "<path>"])),
            (3, does(Intent::Map, "/usr/lib/libc.so.6", Outcome::Ok, &["/lib"])),
            (
                3,
                Fact::Connect {
                    endpoint: Endpoint::Inet("203.0.113.7:443".parse().unwrap()),
                    transport: Transport::Tcp,
                    result: Outcome::Ok,
                },
            ),
        ],
    );
    [first, second]
}

fn gathered(traces: &[Trace]) -> Evidence {
    let profile = reduce(traces, &Settings::default()).profile;
    gather(traces, &profile, &Settings::default())
}

fn written(evidence: &Evidence) -> String {
    let mut bytes = Vec::new();
    evidence::write(evidence, "0", &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn each_thing_has_its_chain_its_runs_and_what_came_of_it() {
    let evidence = gathered(&runs());
    let account = |subject| evidence.of(&place(subject)).unwrap_or_else(|| panic!("{subject}")).to_string();
    assert_eq!(account("~/.gitconfig"), "sh → git; 1 of 2 runs, 1970-01-02");
    assert_eq!(account("~/.config/git/config"), "sh → git; 1 of 2 runs, 1970-01-02; looked for only");
    assert_eq!(account("/usr/lib"), "sh, sh → git, sh → python3; 2 of 2 runs, 1970-01-02 to 1970-01-11");
    assert_eq!(evidence.of(&place("~/.never")), None);

    let lib = evidence.of(&place("/usr/lib")).unwrap();
    assert_eq!((lib.observed, lib.exposed, lib.because.as_deref()), (1, Some((70, false)), Some("sh")));
    let python = evidence.of_target(&NetTarget::Host).unwrap();
    assert_eq!(python.to_string(), "sh → python3; 1 of 2 runs, 1970-01-11");
    assert_eq!(evidence.of_call(call("kcmp")).unwrap().because.as_deref(), Some("sh → git"));
    assert_eq!(evidence.of_call(call("ptrace")), None);
    let outcome = |name| evidence.of_variable(name).unwrap().outcome;
    assert_eq!([outcome("HOME"), outcome("LANG")], [evidence::Outcome::Used, evidence::Outcome::Probed]);
}

#[test]
fn the_file_of_two_small_runs() {
    let text = written(&gathered(&runs()));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], r#"{"format":"pinfold-evidence","version":1,"pinfold":"0"}"#);
    assert!(
        lines[1]
            .starts_with(r#"{"run":{"id":"run86400","started":86400,"complete":true,"status":{"code":0},"shape":""#)
    );
    let has = |line: &str| assert!(lines.contains(&line), "{line}\n{text}");
    has(r#"{"program":{"parent":0,"exe":"/usr/bin/git","argv":["git","<text 6>"]}}"#);
    has(r#"{"grant":{"place":"/usr/lib","access":"read","exposed":70,"capped":false}}"#);
    has(r#"{"fact":{"subject":{"peer":"203.0.113.7:443"},"outcome":"used","programs":[2],"because":2,"runs":"1"}}"#);
    has(r#"{"fact":{"subject":{"call":"kcmp"},"outcome":"used","programs":[1],"because":1,"runs":"0"}}"#);
    let lib = r#"{"fact":{"subject":{"place":"/usr/lib/libc.so.6"},"outcome":"used","access":"read","grant":"#;
    assert!(lines.iter().any(|line| line.starts_with(lib) && line.ends_with(r#""runs":"0-1"}}"#)), "{text}");
    assert!(lines.last().unwrap().starts_with(r#"{"footer":{"lines":"#));
}

#[test]
fn evidence_does_not_depend_on_the_order_of_runs_and_one_run_twice_is_one() {
    let [first, second] = runs();
    let one = gathered(&[first.clone(), second.clone()]);
    assert_eq!(one, gathered(&[second.clone(), first.clone(), second]));
    assert_eq!(one.runs.len(), 2);
    assert_eq!(gathered(&[first.clone(), first]).runs.len(), 1);
}

#[test]
fn a_run_repeated_has_the_same_shape_whatever_it_called_its_own_files() {
    let run = |started, name: &str, extra: Option<Fact>| {
        let made = format!("/home/u/p/{name}");
        let start = (0, image(None, "/usr/bin/sh", &["sh"]));
        let facts = [Some(does(Intent::Create, &made, Outcome::Ok, &[])), Some(reads(&made)), extra];
        gathered(&[trace(started, [start].into_iter().chain(facts.into_iter().flatten().map(|f| (0, f))).collect())])
            .runs[0]
            .shape
            .clone()
    };
    assert_eq!(run(1, "out-7f3a", None), run(2, "out-99bc", None));
    assert_ne!(run(1, "out-7f3a", None), run(2, "out-7f3a", Some(reads("/etc/hosts"))));
}

#[test]
fn a_circle_of_parents_and_one_that_nobody_saw_are_first_programs() {
    let forged = trace(
        1,
        vec![
            (1, image(Some(2), "/usr/bin/a", &[])),
            (2, image(Some(1), "/usr/bin/b", &[])),
            (3, image(Some(99), "/usr/bin/c", &[])),
            (4, image(Some(4), "/usr/bin/d", &[])),
            (4, reads("/etc/hosts")),
        ],
    );
    let evidence = gathered(&[forged]);
    assert_eq!(evidence.programs.iter().filter(|program| program.parent.is_none()).count(), 3);
    assert_eq!(evidence.of(&place("/etc/hosts")).unwrap().to_string(), "d; 1 of 1 run, 1970-01-01");
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let text = written(&gathered(&runs()));
    assert!(evidence::read(text.as_bytes()).is_ok());
    for end in 0..text.len() {
        assert!(evidence::read(&text.as_bytes()[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn what_is_foreign_newer_or_forged_is_refused_by_line() {
    let text = written(&gathered(&runs()));
    let read = |text: String| evidence::read(text.as_bytes()).map_err(|error| error.to_string());
    assert!(read(text.clone()).is_ok());
    assert!(matches!(evidence::read(&b"# a profile\n"[..]), Err(ReadError::NotEvidence(_))));
    assert!(matches!(
        evidence::read(text.replace("\"version\":1", "\"version\":2").as_bytes()),
        Err(ReadError::Newer(2))
    ));
    let forged = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        read(changed).unwrap_err()
    };
    assert!(forged("pinfold-evidence", r"pinfold-\u001b[2J").contains(r"\x1b[2J"));
    assert!(forged("\"parent\":0", "\"parent\":9").contains("does not stand before it"));
    assert!(forged("\"programs\":[2]", "\"programs\":[77]").contains("a program that it names"));
    assert!(forged("\"runs\":\"0\"", "\"runs\":\"5\"").contains("a run that it names"));
    assert!(forged("\"runs\":\"0\"", "\"runs\":\"0-4294967295\"").contains("runs are written"));
    assert!(forged("\"grant\":0", "\"grant\":400").contains("the grant that it names"));
    assert!(forged("\"lines\":", "\"lines\":1").contains("another number of lines"));
    assert!(forged("\"call\":\"kcmp\"", "\"call\":\"kcm9\"").contains("unknown system call `kcm9`"));
    assert!(read(format!("{text}x")).unwrap_err().contains("follows the footer"));
}

proptest! {
    #[test]
    fn whatever_bytes_names_have_the_file_is_read_as_it_was_written(
        names in prop::collection::vec(prop::collection::vec(any::<u8>().prop_filter("", |b| *b != 0 && *b != b'/'), 1..9), 1..6),
    ) {
        let facts = names.iter().filter_map(|name| {
            let mut bytes = b"/srv/".to_vec();
            bytes.extend(name);
            let path = AbsPath::new(bytes).ok()?;
            let (kind, hops) = (Some(FileKind::File), vec![]);
            Some((0, Fact::Path(PathFact { intent: Intent::Read, call: call("openat"), path, hops, kind, result: Outcome::Ok })))
        });
        let start = (0, image(None, "/usr/bin/sh", &["sh"]));
        let evidence = gathered(&[trace(1, [start].into_iter().chain(facts).collect())]);
        let text = written(&evidence);
        prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        prop_assert_eq!(evidence::read(text.as_bytes()).unwrap(), evidence);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = written(&gathered(&runs())).into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        evidence::read(&*bytes).ok();
    }
}

/// The evidence file of the one profile in `scratch`.
fn kept(scratch: &Scratch) -> Evidence {
    let files: Vec<_> =
        std::fs::read_dir(scratch.state().join("evidence")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    evidence::read(&*std::fs::read(&files[0]).unwrap()).unwrap()
}

#[test]
fn learning_keeps_the_evidence_of_the_runs_that_the_profile_was_made_from() {
    need!(UserNamespaces);
    let scratch = Scratch::new("evidence");
    scratch.file("agent.sh", "cat input > output");
    scratch.file("input", "secret words");
    let learn = |options: &[&str]| {
        let mut command = scratch.pinfold(&["learn", "--accept-learned=own"]);
        let output = command.args(options).args(["--", "sh", "agent.sh"]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    };
    learn(&[]);
    let once = kept(&scratch);
    assert_eq!(once.runs.len(), 1);
    let project = once.of(&place("$PROJECT")).unwrap();
    assert!(project.chains.iter().any(|chain| chain.ends_with("→ cat")), "{project}");
    learn(&["--append"]);
    assert_eq!(kept(&scratch).runs.len(), 2);
    learn(&[]);
    assert_eq!(kept(&scratch).runs.len(), 1, "a profile of one run has the evidence of one");
    assert!(!written(&kept(&scratch)).contains("secret"), "no contents");
}

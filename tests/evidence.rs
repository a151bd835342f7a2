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
use pinfold::profile::evidence::{self, Evidence, Novelty, ReadError};
use pinfold::reduce::confidence::leave_one_out;
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
    assert_eq!(account("@loader"), "sh, sh → git, sh → python3; 2 of 2 runs, 1970-01-02 to 1970-01-11");
    assert_eq!(evidence.of(&place("~/.never")), None);

    let lib = evidence.of(&place("@loader")).unwrap();
    assert_eq!((lib.observed, lib.exposed, lib.because.as_deref()), (2, Some((70, false)), Some("sh")));
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
    has(r#"{"grant":{"place":"@loader","access":"read","exposed":70,"capped":false}}"#);
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

/// What a profile of all other runs would have refused each run; `None` where it was not tried.
fn left_out(mut traces: Vec<Trace>) -> Vec<Option<Vec<Novelty>>> {
    let settings = Settings::default();
    let profile = reduce(&traces, &settings).profile;
    let mut evidence = gather(&traces, &profile, &settings);
    let before = traces.clone();
    leave_one_out(&mut traces, &profile, &settings, &mut evidence);
    assert_eq!(traces, before, "the traces come back");
    evidence.runs.iter().map(|run| run.left_out.as_ref().map(|kinds| kinds.iter().copied().collect())).collect()
}

fn run_of(started: u64, facts: Vec<Fact>) -> Trace {
    let start = image(None, "/usr/bin/sh", &["sh", &format!("<text {started}>")]);
    trace(started, std::iter::once(start).chain(facts).map(|fact| (0, fact)).collect())
}

#[test]
fn a_run_that_alone_needed_something_would_have_been_stopped_by_the_others() {
    let peer = Fact::Connect {
        endpoint: Endpoint::Inet("203.0.113.7:443".parse().unwrap()),
        transport: Transport::Tcp,
        result: Outcome::Ok,
    };
    let usual = || vec![reads("/etc/hosts"), does(Intent::Create, "/home/u/p/out", Outcome::Ok, &[])];
    let with = |fact: Fact| usual().into_iter().chain([fact]).collect();
    let found = left_out(vec![
        run_of(1, usual()),
        run_of(2, usual()),
        run_of(3, with(reads("/home/u/.netrc"))),
        run_of(4, with(does(Intent::Create, "/home/u/.agent/log", Outcome::Ok, &[]))),
        run_of(5, with(peer)),
        run_of(6, with(Fact::Call { call: call("kcmp") })),
        // Beneath a line that stands anyway.
        run_of(7, with(reads("/home/u/p/src/new"))),
    ]);
    let clean = || Some(vec![]);
    let some = |kind| Some(vec![kind]);
    let expected = vec![
        clean(),
        clean(),
        some(Novelty::Hard),
        some(Novelty::Write),
        some(Novelty::Network),
        some(Novelty::Syscall),
        clean(),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_run_repeated_is_one_trial_and_is_left_out_with_its_like() {
    let odd = |started| {
        let mut trace = run_of(9, vec![reads("/srv/odd")]);
        (trace.header.started, trace.header.run) = (started, format!("run{started}"));
        trace
    };
    let found = left_out(vec![odd(1), odd(2), run_of(3, vec![reads("/srv/even")])]);
    assert_eq!(found, [Some(vec![Novelty::Hard]), None, Some(vec![Novelty::Hard])]);
    assert_eq!(left_out(vec![odd(1), odd(2)]), [None, None], "one run, repeated, says nothing");
}

#[test]
fn what_no_profile_grants_is_nothing_new() {
    // A name directly in the home directory, made and taken away: no line is for it.
    let lock = |started| {
        let at = "/home/u/.x.lock";
        run_of(started, vec![does(Intent::Create, at, Outcome::Ok, &[]), does(Intent::Remove, at, Outcome::Ok, &[])])
    };
    assert_eq!(left_out(vec![lock(1), lock(2), run_of(3, vec![])])[2], Some(vec![]));
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

#[test]
fn show_says_how_likely_the_next_run_needs_more_and_each_enforced_run_counts() {
    need!(UserNamespaces);
    let scratch = Scratch::new("trials");
    scratch.file("agent.sh", "cat input > output; cat $1");
    scratch.file("input", "x");
    std::fs::create_dir_all(scratch.outside("other")).unwrap();
    std::fs::write(scratch.outside("other/f"), "y").unwrap();
    let learn = |word: &str, options: &[&str]| {
        let mut command = scratch.pinfold(&["learn", "--accept-learned=own"]);
        let output = command.args(options).args(["--", "sh", "agent.sh", word]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    let other = scratch.outside("other/f");
    assert!(learn("input", &[]).contains("Learned from 1 run, which says nothing of the next"));
    assert!(learn("input", &["--append"]).contains("Learned from 2 runs that did the same and count as one"));
    let told = learn(other.to_str().unwrap(), &["--append"]);
    assert!(told.contains("Learned from 3 runs, 2 of them different."), "{told}");
    let profile = scratch.profile();
    let show = || {
        let output = scratch.pinfold(&["show"]).arg(&profile).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(show().contains("needs something new: about "), "{}", show());
    assert!(!show().contains("Enforced"), "{}", show());
    for _ in 0..2 {
        let output = scratch.pinfold(&["enforce", "--", "sh", "agent.sh", "input"]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    assert!(show().contains("Enforced 2 times as it stands"), "{}", show());
    let json = scratch.pinfold(&["show", "--json"]).arg(&profile).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["confidence"]["runs"], 3);
    assert_eq!(json["confidence"]["enforced"]["runs"], 2);
    assert!(json["confidence"]["left_out"]["upper95"].as_f64().unwrap() > 0.5);
}

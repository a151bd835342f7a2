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
use pinfold::explain::{Answer, Question, Verdict, explain, tree};
use pinfold::profile::evidence::{self, Evidence, Novelty, ReadError, Subject};
use pinfold::profile::lines::Lines;
use pinfold::reduce::confidence::leave_one_out;
use pinfold::reduce::evidence::gather;
use pinfold::reduce::{Settings, reduce};
use pinfold::trace::{Footer, Header, Trace};
use pinfold::vocab::access::Access;
use pinfold::vocab::bundle::Layout;
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
        broker: false,
        opened: vec![],
    };
    let events: Vec<Event> = events.into_iter().map(|(image, fact)| Event { image: ImageId(image), fact }).collect();
    let footer = Footer { events: events.len() as u64, status: ExitStatus::Code(0) };
    Trace { header, events: events.into_iter().collect(), footer: Some(footer) }
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

/// Asks as a person types it, in the project.
fn answer(text: &str) -> Answer {
    let traces = runs();
    let profile = reduce(&traces, &Settings::default()).profile;
    let evidence = gather(&traces, &profile, &Settings::default());
    let roots = &traces[0].header.roots;
    let question = Question::parse(text.as_bytes(), roots, &path("/home/u/p"), &profile, &evidence).unwrap();
    let answer = explain(&profile, &evidence, roots, Some(Layout::Arch), &question);
    let place = if let Question::Place(path) = &question { Some(roots.locate(path)) } else { None };
    let about = evidence::read_about(written(&evidence).as_bytes(), place.as_ref()).unwrap();
    assert_eq!(explain(&profile, &about, roots, Some(Layout::Arch), &question), answer, "{text}");
    answer
}

/// Evidence with names that look like parts of a line, and as it is written.
fn with_odd_names() -> (Evidence, String) {
    let odd = [
        "a\"b",
        "a\\",
        "a\\\"",
        "a\"},\"outcome\":\"used\",\"grant\":0,",
        "a,\"grant\":7,",
        "100%",
        "\u{e9}",
        "\n",
        "a",
        "aa",
    ];
    let facts = odd.iter().flat_map(|name| {
        let at = |top: &str| format!("{top}/{name}");
        let probe = does(Intent::Read, &at("/home/u/.never"), Outcome::Errno(2), &[]);
        [(0, reads(&at("/home/u/p"))), (0, reads(&at("/srv"))), (0, probe)]
    });
    let facts = std::iter::once((0, image(None, "/usr/bin/sh", &[]))).chain(facts).collect();
    let mut all = runs().to_vec();
    all.push(trace(9, facts));
    let whole = gathered(&all);
    let text = written(&whole);
    (whole, text)
}

#[test]
fn what_is_read_for_one_answer_is_that_place_and_all_that_is_none_and_the_rest_is_counted_by_line() {
    let (whole, text) = with_odd_names();
    let places =
        whole.facts.keys().filter_map(|subject| if let Subject::Place(place) = subject { Some(place) } else { None });
    assert!(places.clone().count() > 30);
    for place in places.map(Some).chain([None]) {
        let is_wanted = |subject: &Subject| !matches!(subject, Subject::Place(other) if Some(other) != place);
        let mut expected = whole.clone();
        for witness in whole.facts.iter().filter(|(subject, _)| !is_wanted(subject)).map(|(_, witness)| witness) {
            witness.grant.into_iter().for_each(|grant| *expected.unread.entry(grant).or_default() += 1);
        }
        expected.facts.retain(|subject, _| is_wanted(subject));
        assert_eq!(evidence::read_about(text.as_bytes(), place).unwrap(), expected, "{place:?}");
    }
    for end in 0..text.len() {
        assert!(evidence::read_about(&text.as_bytes()[..end], None).is_err(), "cut at {end}");
    }
}

#[test]
fn the_tree_of_places_that_were_only_counted_is_that_of_places_that_were_read() {
    let (whole, text) = with_odd_names();
    let counted = evidence::read_counting(text.as_bytes()).unwrap();
    assert_eq!(tree::draw(&counted, None), tree::draw(&whole, None));
    let is_place = |subject: &&Subject| matches!(subject, Subject::Place(_));
    assert!(counted.facts.keys().filter(is_place).all(|place| whole.facts[place].grant.is_none()));
    assert!(counted.counted.needs.values().sum::<u64>() > 20);
    for end in 0..text.len() {
        assert!(evidence::read_counting(&text.as_bytes()[..end]).is_err(), "cut at {end}");
    }
    // What leads nowhere is refused as ever.
    for forged in [text.replace("\"grant\":0", "\"grant\":400"), text.replace("\"programs\":[2]", "\"programs\":[77]")]
    {
        assert!(forged != text && evidence::read_counting(forged.as_bytes()).is_err());
    }
}

#[test]
fn what_is_granted_is_explained_by_its_line_its_runs_and_its_chain() {
    let lib = answer("/usr/lib/libc.so.6");
    assert_eq!(
        (lib.verdict, lib.why.as_str()),
        (Verdict::Granted, "the line above it grants everything beneath: read")
    );
    assert_eq!(lib.line.as_deref(), Some("[filesystem] \"@loader\" = \"read\""));
    let opens = lib.opens.unwrap();
    assert_eq!((opens.observed, opens.exposed), (2, 70));
    let seen = lib.seen.unwrap();
    assert_eq!((seen.runs, seen.of, seen.first.as_str(), seen.last.as_str()), (2, 2, "1970-01-02", "1970-01-11"));
    assert_eq!(seen.chains, ["sh -c <text 9>", "sh -c <text 9> → git <text 6>", "sh -c <text 9> → python3 <path>"]);
    assert_eq!(seen.because.as_deref(), Some("sh"));
    assert_eq!(lib.remedy, None);
    assert_eq!(answer("kcmp").verdict, Verdict::Granted);
    assert_eq!(answer("read").verdict, Verdict::Granted);
    assert_eq!(answer("HOME").verdict, Verdict::Granted);
}

#[test]
fn what_is_not_granted_is_explained_by_what_the_runs_show_and_the_line_that_would_allow_it() {
    let not = |text: &str, why: &str, remedy: Option<&str>| {
        let answer = answer(text);
        assert!(answer.why.contains(why), "{text}: {}", answer.why);
        assert_eq!(answer.remedy.as_deref(), remedy, "{text}");
        answer.verdict
    };
    let allow = Some("[filesystem] \"~/notes\" = \"read\"");
    assert_eq!(not("~/notes", "none of 2 runs needed it", allow), Verdict::NotGranted);
    not(
        "~/.config/git/config",
        "1 of 2 runs looked for it, and it was not there",
        Some("[filesystem] \"~/.config/git/config\" = \"read\""),
    );
    let key = not(
        "~/.ssh/id_ed25519",
        "hidden even while learning",
        Some("[filesystem] \"~/.ssh/id_ed25519\" = { access = \"read\", sensitive = \"vault\", approved = true }"),
    );
    assert_eq!(key, Verdict::NotGranted);
    assert_eq!(not("/proc/1/mem", "a directory of its own there", None), Verdict::Private);
    assert_eq!(not("/tmp/x", "a directory of its own there", None), Verdict::Private);
    assert_eq!(not("~", "never granted as a whole", None), Verdict::NameOnly);
    assert_eq!(not("/", "never granted as a whole", None), Verdict::NameOnly);
    not(
        "ptrace",
        "refused to everybody while learning",
        Some("[syscalls] allow = [\"ptrace\"]; [syscalls] approved = [\"ptrace\"]"),
    );
    not("LD_PRELOAD", "changes every program", Some("[environment] pass = [\"LD_PRELOAD\"]"));
    assert_eq!(not("/usr", "its name is there", Some("[filesystem] \"/usr\" = \"read\"")), Verdict::NameOnly);
    not("keyctl", "", answer("keyctl").remedy.as_deref());
    not("personality", "none of 2 runs made it", Some("[syscalls] allow = [\"personality\"]"));
    not("EDITOR", "set in none of 2 runs", Some("[environment] pass = [\"EDITOR\"]"));
    assert_eq!(answer("203.0.113.7:443").verdict, Verdict::Withheld);
}

#[test]
fn what_is_not_known_is_said_to_be_unknown() {
    let profile = reduce(&runs(), &Settings::default()).profile;
    let answer =
        explain(&profile, &Evidence::default(), &runs()[0].header.roots, None, &Question::Place(path("/srv/x")));
    assert!(answer.why.contains("nothing is known here of the runs"), "{}", answer.why);
}

#[test]
fn the_tree_shows_what_each_program_needed() {
    let evidence = gathered(&runs());
    let expected = "\
sh -c <text 9>  [3 only because of it]
│   @loader (read) × 2
│   @shell (read)
├── git <text 6>  [4 only because of it]
│       $PROJECT (write)
│       @git (read)
│       @loader (read) × 2
│       call kcmp
│       ~/.gitconfig (read)
└── python3 <path>  [2 only because of it]
        @loader (read) × 2
        @python (read)
        peer 203.0.113.7:443
";
    assert_eq!(tree::draw(&evidence, None), expected);
    let only = "\
sh -c <text 9>
└── git <text 6>  [1 only because of it]
        ~/.gitconfig (read)
";
    assert_eq!(tree::draw(&evidence, Some(&Subject::Place(place("~/.gitconfig")))), only);
    assert_eq!(tree::draw(&evidence, Some(&Subject::Place(place("~/.never")))), "");
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
fn left_out(traces: &[Trace]) -> Vec<Option<Vec<Novelty>>> {
    let settings = Settings::default();
    let profile = reduce(traces, &settings).profile;
    let mut evidence = gather(traces, &profile, &settings);
    leave_one_out(traces, &profile, &settings, &mut evidence);
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
    let found = left_out(&[
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
    let found = left_out(&[odd(1), odd(2), run_of(3, vec![reads("/srv/even")])]);
    assert_eq!(found, [Some(vec![Novelty::Hard]), None, Some(vec![Novelty::Hard])]);
    assert_eq!(left_out(&[odd(1), odd(2)]), [None, None], "one run, repeated, says nothing");
}

#[test]
fn what_no_profile_grants_is_nothing_new() {
    // A name directly in the home directory, made and taken away: no line is for it.
    let lock = |started| {
        let at = "/home/u/.x.lock";
        run_of(started, vec![does(Intent::Create, at, Outcome::Ok, &[]), does(Intent::Remove, at, Outcome::Ok, &[])])
    };
    assert_eq!(left_out(&[lock(1), lock(2), run_of(3, vec![])])[2], Some(vec![]));
}

/// A run that was kept, as its file is.
fn stored(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/traces").join(name);
    std::fs::read(path).unwrap()
}

#[test]
fn a_trace_that_is_cut_off_anywhere_gives_no_wider_profile_and_says_that_it_is_incomplete() {
    for name in ["git.trace", "python.trace"] {
        let bytes = stored(name);
        let whole = pinfold::trace::reader::read(&*bytes).unwrap();
        let roots = whole.header.roots.clone();
        let full = Lines::of(&reduce(&[whole], &Settings::default()).profile, &roots, Some(Layout::Debian));
        let ends = (0..bytes.len()).step_by(bytes.len() / 40 + 1);
        let torn: Vec<Trace> = ends.filter_map(|end| pinfold::trace::reader::read(&bytes[..end]).ok()).collect();
        assert!(torn.len() > 30, "{}", torn.len());
        for trace in torn {
            let profile = reduce(std::slice::from_ref(&trace), &Settings::default()).profile;
            assert!(profile.incomplete.is_some());
            let gathered = gather(std::slice::from_ref(&trace), &profile, &Settings::default());
            assert!(!gathered.runs[0].complete);
            for (place, grant) in profile.filesystem {
                let path = roots.resolve(&place);
                // A bundle lies in several places, none of them sensitive.
                let Some(path) = path else { continue };
                let covered =
                    full.over(&path).map(|line| line.access).or(full.is_beneath(&path).then_some(Access::Exist));
                assert!(covered >= Some(grant.access), "{name}: {place} {}", grant.access);
            }
        }
    }
}

#[test]
fn runs_that_contradict_each_other_give_the_same_in_any_order_and_both_are_accounted_for() {
    let as_file = run_of(1, vec![reads("/srv/x"), does(Intent::Read, "/srv/y", Outcome::Errno(2), &[])]);
    let dir = |intent, at: &str| {
        let (path, kind, result) = (path(at), Some(FileKind::Dir), Outcome::Ok);
        Fact::Path(PathFact { intent, call: call("openat"), path, hops: vec![], kind, result })
    };
    let as_dir = run_of(2, vec![dir(Intent::List, "/srv/x"), reads("/srv/y")]);
    // The same name for another run, in another project, with programs that started each other.
    let mut other = trace(1, vec![(0, image(Some(1), "/usr/bin/a", &[])), (1, image(Some(0), "/usr/bin/b", &[]))]);
    other.header.roots.0.insert(Base::Project, path("/elsewhere"));
    let all = [as_file, as_dir, other];
    let [one, two] = [[0, 1, 2], [2, 1, 0]].map(|order| {
        let traces: Vec<Trace> = order.iter().map(|&number: &usize| all[number].clone()).collect();
        let profile = reduce(&traces, &Settings::default()).profile;
        (gather(&traces, &profile, &Settings::default()), profile)
    });
    assert_eq!(one, two);
    assert_eq!(one.0.runs.len(), 3, "two runs of one name that differ are two");
    assert_eq!(one.0.of_subject(&Subject::Place(place("/srv/y"))).unwrap().outcome, evidence::Outcome::Used);
    assert!(one.1.filesystem.get(&place("/srv/x")).is_none_or(|grant| !grant.access.writes()));
}

proptest! {
    #[test]
    fn every_byte_in_a_path_can_be_asked_for_and_the_answer_is_harmless(
        name in prop::collection::vec(any::<u8>().prop_filter("", |b| *b != 0 && *b != b'/'), 1..9),
    ) {
        let at = [b"/srv/", &*name].concat();
        let Ok(path) = AbsPath::new(&at) else { return Ok(()) };
        let (kind, hops) = (Some(FileKind::File), vec![]);
        let fact = PathFact { intent: Intent::Read, call: call("openat"), path: path.clone(), hops, kind, result: Outcome::Ok };
        let traces = [run_of(1, vec![Fact::Path(fact)])];
        let profile = reduce(&traces, &Settings::default()).profile;
        let (evidence, roots) = (gather(&traces, &profile, &Settings::default()), &traces[0].header.roots);
        let question = Question::parse(&at, roots, &path, &profile, &evidence);
        prop_assert_eq!(question.as_ref(), Ok(&Question::Place(path)));
        let answer = explain(&profile, &evidence, roots, Some(Layout::Arch), &question.unwrap());
        prop_assert_eq!(answer.seen.as_ref().map(|seen| seen.runs), Some(1));
        let harmless = |text: &str| text.chars().all(|c| !c.is_control());
        prop_assert!(harmless(&answer.subject) && answer.line.as_deref().is_none_or(harmless));
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

#[test]
fn explain_answers_on_this_machine_and_elsewhere_by_exported_evidence() {
    need!(UserNamespaces);
    let scratch = Scratch::new("explained");
    scratch.file("agent.sh", "cat input > output");
    scratch.file("input", "x");
    let output = scratch.pinfold(&["learn", "--accept-learned=own", "--", "sh", "agent.sh"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let profile = scratch.profile();
    let explain = |options: &[&str]| {
        let output = scratch.pinfold(&["explain"]).arg(&profile).args(options).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout.clone()).unwrap(), said(&output))
    };
    let (code, text, said) = explain(&["input"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(text.starts_with("$PROJECT/input: granted\n"), "{text}");
    assert!(text.contains("seen     used (read) in 1 of 1 runs") && text.contains("→ cat <text 5>"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&explain(&["--json", "~/.ssh/id_rsa"]).1).unwrap();
    assert_eq!(json["verdict"], "not-granted");
    assert!(explain(&["--tree"]).1.contains("└── cat <text 5>"), "{}", explain(&["--tree"]).1);
    let (code, _, error) = explain(&["nothing"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("no path, no system call, no host and no variable") && error.contains("hint:"), "{error}");

    let exported = scratch.outside("exported");
    assert_eq!(explain(&["--export-evidence", exported.to_str().unwrap()]).0, Some(0));
    std::fs::remove_dir_all(scratch.state()).unwrap();
    assert!(explain(&["input"]).1.contains("granted"), "the line stands in the profile");
    assert!(!explain(&["input"]).1.contains("seen"), "and nothing more is known");
    assert!(explain(&["--evidence", exported.to_str().unwrap(), "input"]).1.contains("→ cat <text 5>"));
    let (code, _, error) = explain(&["--evidence", profile.to_str().unwrap(), "input"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("not the header of an evidence file"), "{error}");
}

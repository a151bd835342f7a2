//! The reducer: what is needed is granted, what is not is not, and nothing but the evidence counts.

#![expect(clippy::unwrap_used, reason = "a test program: a panic in a helper is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use pinfold::event::{
    Census, Event, Fact, Hop, Image, ImageId, Intent, Outcome, Owner, PairFact, PairOperation, PathFact, Peaks,
    Transport,
};
use pinfold::profile::Profile;
use pinfold::reduce::{Note, Reduction, Settings, reduce};
use pinfold::trace::{Header, Trace};
use pinfold::vocab::access::Access;
use pinfold::vocab::endpoint::{Endpoint, NetTarget};
use pinfold::vocab::host::FileKind;
use pinfold::vocab::location::{Base, Roots};
use pinfold::vocab::path::AbsPath;
use pinfold::vocab::syscall::Syscall;
use proptest::prelude::*;
use proptest::sample::select;

fn path(text: &str) -> AbsPath {
    AbsPath::new(text).unwrap()
}

fn call(name: &str) -> Syscall {
    Syscall::from_name(name).unwrap()
}

fn roots(project: &str) -> Roots {
    Roots(BTreeMap::from([(Base::Home, path("/home/u")), (Base::Project, path(project)), (Base::Tmpdir, path("/tmp"))]))
}

fn trace_in(project: &str, facts: Vec<Fact>) -> Trace {
    let header = Header {
        format: "pinfold-trace".into(),
        version: 1,
        pinfold: "0".into(),
        run: "r".into(),
        started: 0,
        kernel: "6".into(),
        machine: "x86_64".into(),
        command: vec!["agent".into()],
        roots: roots(project),
        workdir: path(project),
        uid: 1000,
        base: 1,
        broker: false,
        opened: vec![],
    };
    let root =
        Fact::Image(Image { parent: None, exe: path("/usr/bin/agent"), script: None, argv: vec![], set_id: false });
    let events = std::iter::once(root).chain(facts).map(|fact| Event { image: ImageId(1), fact });
    Trace { header, events: events.collect(), footer: None }
}

fn run(facts: Vec<Fact>) -> Reduction {
    reduce(&[trace_in("/home/u/p", facts)], &Settings::default())
}

fn does(intent: Intent, place: &str) -> Fact {
    result(intent, place, FileKind::File, Outcome::Ok)
}

fn result(intent: Intent, place: &str, kind: FileKind, result: Outcome) -> Fact {
    Fact::Path(PathFact { intent, call: call("openat"), path: path(place), hops: vec![], kind: Some(kind), result })
}

fn renames(from: &str, to: &str) -> Fact {
    let (from, to, kind) = (path(from), path(to), Some(FileKind::File));
    let operation = PairOperation::Rename;
    Fact::Pair(PairFact { operation, call: call("rename"), from, to, replaced: true, kind, result: Outcome::Ok })
}

/// The lines of `[filesystem]`, but for the program itself.
fn lines(profile: &Profile) -> Vec<String> {
    let line = |(place, grant): (&_, &pinfold::profile::PathGrant)| {
        let sensitive =
            grant.sensitive.map(|kind| format!(" {} {}", kind.as_str(), grant.approved)).unwrap_or_default();
        format!("{place} {}{sensitive}", grant.access)
    };
    profile.filesystem.iter().map(line).filter(|line| line != "@programs read").collect()
}

#[track_caller]
fn gives(facts: Vec<Fact>, expected: &[&str]) {
    assert_eq!(lines(&run(facts).profile), expected);
}

#[test]
fn a_failed_probe_is_no_grant() {
    let facts = [2, 13, 20, 30].map(|errno| result(Intent::Read, "/home/u/.x", FileKind::File, Outcome::Errno(errno)));
    gives(facts.to_vec(), &[]);
}

#[test]
fn a_directory_that_mkdir_found_there_exists() {
    gives(vec![result(Intent::Create, "/srv/x", FileKind::Dir, Outcome::Errno(17))], &["/srv/x exist"]);
}

#[test]
fn what_the_system_is_read_for_is_a_role_or_a_package_or_the_file_itself() {
    let reads =
        ["/usr/lib/x/libc.so.6", "/usr/share/zoneinfo/UTC", "/usr/local/lib/a", "/etc/passwd", "/etc/ssl/certs/a.pem"];
    gives(
        reads.map(|place| does(Intent::Read, place)).to_vec(),
        &["@identity read", "@tls-ca read", "@tz read", "/usr/lib/x read", "/usr/local/lib/a read"],
    );
}

#[test]
fn own_proc_dev_and_tmp_need_no_line_but_a_project_in_tmp_does() {
    let facts =
        ["/proc/self/stat", "/dev/null", "/tmp/x/y", "/tmp/p/a"].map(|place| does(Intent::Read, place)).to_vec();
    assert_eq!(lines(&reduce(&[trace_in("/tmp/p", facts)], &Settings::default()).profile), ["$PROJECT read"]);
}

#[test]
fn the_project_is_written_only_by_who_wrote_it() {
    gives(vec![does(Intent::Read, "/home/u/p/a")], &["$PROJECT read"]);
    gives(vec![does(Intent::Read, "/home/u/p/a"), does(Intent::Create, "/home/u/p/b")], &["$PROJECT write"]);
}

#[test]
fn listing_a_directory_of_others_grants_its_name_alone() {
    gives(vec![result(Intent::List, "/home/u/work", FileKind::Dir, Outcome::Ok)], &["~/work exist"]);
    gives(vec![result(Intent::List, "/home/u", FileKind::Dir, Outcome::Ok)], &["~ exist"]);
}

#[test]
fn own_state_directories_are_granted_whole_and_shared_ones_never() {
    let facts = vec![
        result(Intent::Create, "/home/u/.agent", FileKind::Dir, Outcome::Ok),
        does(Intent::Create, "/home/u/.config/agent/sub/x"),
        result(Intent::Create, "/home/u/.config", FileKind::Dir, Outcome::Ok),
        does(Intent::Write, "/home/u/.local/share/agent/db"),
    ];
    gives(facts, &["~/.agent write", "~/.config/agent write", "~/.local/share/agent write"]);
}

#[test]
fn a_file_of_the_home_rewritten_by_rename_is_replaced_and_its_siblings_leave_no_line() {
    let facts = vec![
        does(Intent::Create, "/home/u/.agent.json.tmp.42"),
        renames("/home/u/.agent.json.tmp.42", "/home/u/.agent.json"),
        result(Intent::Create, "/home/u/.agent.json.lock", FileKind::Dir, Outcome::Ok),
        result(Intent::Remove, "/home/u/.agent.json.lock", FileKind::Dir, Outcome::Ok),
    ];
    let reduction = run(facts);
    assert_eq!(lines(&reduction.profile), ["~/.agent.json replace"]);
    assert!(reduction.notes.is_empty(), "{:?}", reduction.notes);
}

#[test]
fn the_home_itself_is_never_granted_for_writing() {
    let reduction = run(vec![does(Intent::Create, "/home/u/x"), does(Intent::Remove, "/home/u/x")]);
    assert_eq!(lines(&reduction.profile), [""; 0]);
    assert_eq!(reduction.notes.len(), 1);
}

#[test]
fn a_symlink_on_the_way_exists_and_its_end_is_read() {
    let hops = vec![Hop { link: path("/home/u/link"), text: "/srv/real".into() }];
    let fact = PathFact {
        intent: Intent::Read,
        call: call("open"),
        path: path("/srv/real"),
        hops,
        kind: None,
        result: Outcome::Ok,
    };
    gives(vec![Fact::Path(fact)], &["~/link exist", "/srv/real read"]);
}

#[test]
fn what_is_sensitive_is_granted_by_its_own_name_and_not_approved() {
    let facts = vec![
        does(Intent::Read, "/home/u/.ssh/id_ed25519"),
        does(Intent::Read, "/home/u/.bashrc"),
        does(Intent::Write, "/home/u/.profile"),
        does(Intent::Create, "/home/u/p/.git/hooks/post-commit"),
        does(Intent::Read, "/home/u/.codex/auth.json"),
        does(Intent::Create, "/home/u/.codex/x"),
    ];
    gives(
        facts,
        &[
            "$PROJECT/.git/hooks write host-executes false",
            "~/.bashrc read",
            "~/.codex write",
            "~/.codex/auth.json read credential false",
            "~/.profile write host-executes false",
            "~/.ssh/id_ed25519 read vault false",
        ],
    );
}

#[test]
fn a_sensitive_directory_of_a_shared_one_in_which_names_were_made_is_written_and_not_replaced() {
    let facts = vec![
        result(Intent::Create, "/home/u/.local/share/applications", FileKind::Dir, Outcome::Ok),
        does(Intent::Create, "/home/u/.local/share/applications/x.desktop"),
    ];
    gives(facts, &["~/.local/share/applications write host-executes false"]);
}

#[test]
fn a_token_that_lies_in_a_granted_directory_and_was_not_used_stays_closed() {
    let census = Census {
        dir: path("/home/u/p"),
        entries: 3,
        capped: false,
        owner: Owner::Caller,
        world_readable: false,
        markers: BTreeSet::new(),
        sensitive: BTreeSet::from([".env".to_owned(), ".vscode".to_owned()]),
    };
    gives(
        vec![does(Intent::Read, "/home/u/p/a"), Fact::Census(census)],
        &["$PROJECT read", "$PROJECT/.env read credential false"],
    );
}

#[test]
fn dependencies_and_virtual_environments_are_units() {
    let census = Census {
        dir: path("/home/u/env"),
        entries: 3,
        capped: false,
        owner: Owner::Caller,
        world_readable: true,
        markers: BTreeSet::from(["pyvenv.cfg".to_owned()]),
        sensitive: BTreeSet::new(),
    };
    let facts = vec![
        does(Intent::Read, "/home/u/a/node_modules/@x/y/node_modules/z.js"),
        does(Intent::Read, "/home/u/a/package.json"),
        does(Intent::Map, "/home/u/env/lib/python3.11/site-packages/x.so"),
        Fact::Census(census),
    ];
    gives(facts, &["~/a/node_modules read", "~/a/package.json read", "~/env read"]);
}

#[test]
fn the_network_of_the_host_is_asked_for_only_when_something_outside_was_reached() {
    let connect = |address: &str, transport, result| {
        let endpoint = Endpoint::Inet(address.parse().unwrap());
        Fact::Connect { endpoint, transport, result }
    };
    let listen = Fact::Listen { endpoint: Endpoint::Inet("127.0.0.1:9".parse().unwrap()) };
    let nothing = vec![
        connect("127.0.0.1:9", Transport::Tcp, Outcome::Ok),
        listen,
        connect("192.0.2.1:443", Transport::Tcp, Outcome::Errno(111)),
        connect("192.0.2.1:53", Transport::UdpProbe, Outcome::Ok),
    ];
    assert!(run(nothing).profile.network.is_empty());
    for result in [Outcome::Ok, Outcome::Errno(115), Outcome::Unseen] {
        let profile = run(vec![connect("127.0.0.1:8080", Transport::Tcp, result)]).profile;
        assert!(!profile.network[&NetTarget::Host].approved);
    }
}

#[test]
fn calls_of_the_base_set_and_of_the_floor_are_not_listed() {
    let calls = ["read", "socket", "ptrace", "clone3"].map(|name| Fact::Call { call: call(name) }).to_vec();
    let reduction = run(calls);
    assert_eq!(reduction.profile.syscalls.allow, BTreeSet::from([call("socket")]));
    assert_eq!(reduction.notes.len(), 1, "{:?}", reduction.notes);
}

#[test]
fn credentials_become_secrets_and_powers_over_the_session_are_not_passed() {
    let names = ["HOME", "OPENAI_API_KEY", "SSH_AUTH_SOCK", "LD_PRELOAD", "FOO"].map(str::to_owned);
    let credentials = BTreeSet::from(["OPENAI_API_KEY".to_owned()]);
    let profile = run(vec![Fact::Environment { names: names.into(), credentials }]).profile;
    assert_eq!(profile.environment, BTreeSet::from(["FOO".to_owned(), "HOME".to_owned()]));
    assert!(!profile.secrets["OPENAI_API_KEY"].approved);
}

#[test]
fn a_system_directory_that_is_a_link_or_was_only_looked_at_is_not_granted_with_its_contents() {
    let hops = vec![Hop { link: path("/lib64"), text: "usr/lib64".into() }];
    let fact = PathFact {
        intent: Intent::Map,
        call: call("open"),
        path: path("/usr/lib/ld.so"),
        hops,
        kind: None,
        result: Outcome::Ok,
    };
    let looked = result(Intent::Look, "/usr/include", FileKind::Dir, Outcome::Ok);
    let listed = result(Intent::List, "/etc/ssl/certs", FileKind::Dir, Outcome::Ok);
    gives(
        vec![Fact::Path(fact), looked, listed],
        &["@tls-ca read", "/lib64 exist", "/usr/include exist", "/usr/lib/ld.so read"],
    );
}

#[test]
fn a_tool_chain_in_another_home_is_a_unit_too() {
    let reads =
        ["/root/.pyenv/versions/3.11/bin/python3", "/root/.pyenv/versions/3.11/lib/x.py", "/root/.pyenv/version"];
    gives(
        reads.map(|place| does(Intent::Read, place)).to_vec(),
        &["/root/.pyenv/version read", "/root/.pyenv/versions read"],
    );
}

#[test]
fn a_rename_from_one_grant_to_another_is_told() {
    let notes = run(vec![does(Intent::Create, "/home/u/.agent/x"), renames("/home/u/.agent/x", "/home/u/p/x")]).notes;
    assert!(matches!(notes.as_slice(), [Note::Across { .. }]), "{notes:?}");
    let within =
        vec![does(Intent::Create, "/home/u/.codex/x"), renames("/home/u/.codex/x", "/home/u/.codex/config.toml")];
    let reduction = run(within);
    assert!(lines(&reduction.profile).len() > 1, "one line beneath the other: {:?}", lines(&reduction.profile));
    assert!(reduction.notes.is_empty(), "one mount: {:?}", reduction.notes);
}

#[test]
fn a_name_of_any_byte_is_a_line_that_is_read_as_it_was_written() {
    let bytes = (1..=u8::MAX).filter(|byte| *byte != b'/');
    let names = bytes
        .map(|byte| [b"/srv/x", [byte].as_slice(), b"y"].concat())
        .chain([b"/srv/~".into(), b"/srv/$PROJECT".into()]);
    let facts: Vec<Fact> = names
        .map(|name| {
            let (intent, call, kind) = (Intent::Read, call("openat"), Some(FileKind::File));
            Fact::Path(PathFact {
                intent,
                call,
                path: AbsPath::new(name).unwrap(),
                hops: vec![],
                kind,
                result: Outcome::Ok,
            })
        })
        .collect();
    // Nothing is known of the directory, so that each is a line but where all of them cost more.
    let settings = Settings { exposure: 1_000_000, ..Settings::default() };
    let profile = reduce(&[trace_in("/home/u/p", facts.clone())], &settings).profile;
    for fact in &facts {
        let Fact::Path(fact) = fact else { unreachable!() };
        assert_eq!(profile.filesystem[&roots("/home/u/p").locate(&fact.path)].access, Access::Read, "{}", fact.path);
    }
    let text = pinfold::profile::emit::emit(&profile, None);
    assert_eq!(pinfold::profile::parse::parse(&text).unwrap(), profile, "{text}");
}

#[test]
fn runs_that_contradict_each_other_give_what_each_needed_and_no_more() {
    // One found a file where another found a directory, or nothing; one replaced what another only looked at.
    let one = vec![does(Intent::Read, "/srv/a"), result(Intent::Look, "/srv/b", FileKind::File, Outcome::Errno(2))];
    let two = vec![
        result(Intent::List, "/srv/a", FileKind::Dir, Outcome::Ok),
        does(Intent::Read, "/srv/a/x"),
        does(Intent::Look, "/srv/b"),
        renames("/home/u/.c.tmp", "/home/u/.c"),
    ];
    let three =
        vec![result(Intent::Look, "/srv/a", FileKind::File, Outcome::Errno(20)), does(Intent::Look, "/home/u/.c")];
    let [one, two, three] = [one, two, three].map(|facts| trace_in("/home/u/p", facts));
    let all = reduce(&[one.clone(), two.clone(), three.clone()], &Settings::default());
    assert_eq!(lines(&all.profile), ["~/.c replace", "/srv/a read", "/srv/b exist"]);
    assert_eq!(reduce(&[three, two, one], &Settings::default()), all);
}

fn any_place() -> impl Strategy<Value = String> {
    let top = select(vec![
        "/usr/lib",
        "/etc",
        "/home/u",
        "/home/u/p",
        "/home/u/p/.git/hooks",
        "/home/u/.agent",
        "/home/u/.config",
        "/home/u/.ssh",
        "/srv",
        "/tmp",
        "/home/u/w/node_modules",
        "/home/u/.config/gh",
    ]);
    (top, "(/[ab.]{1,2}x){0,2}").prop_map(|(top, rest)| format!("{top}{rest}"))
}

fn any_fact(passing: bool) -> impl Strategy<Value = Fact> {
    use Intent::*;
    let mut intents = vec![Look, Enter, List, Read, Execute, Map, Write, Create, Truncate, Attributes];
    if passing {
        intents.push(Remove);
    }
    let outcome = select(vec![Outcome::Ok, Outcome::Unseen, Outcome::Errno(2), Outcome::Errno(17), Outcome::Errno(13)]);
    let kind = select(vec![FileKind::File, FileKind::Dir]);
    let one = (select(intents), any_place(), kind, outcome).prop_map(|(i, p, k, o)| result(i, &p, k, o)).boxed();
    let pair = (any_place(), any_place()).prop_map(|(from, to)| renames(&from, &to)).boxed();
    let called = select(Syscall::all().collect::<Vec<_>>()).prop_map(|call| Fact::Call { call }).boxed();
    let peaks = any::<u32>()
        .prop_map(|n| Fact::Peaks(Peaks { memory: n.into(), threads: n % 999, ..Peaks::default() }))
        .boxed();
    let census = (any_place(), 0..9u32, any::<bool>(), prop::collection::btree_set("[ab]|pyvenv.cfg", 0..2))
        .prop_map(|(dir, entries, world_readable, names)| {
            let dir = AbsPath::new(dir).unwrap();
            let (markers, sensitive) = (names.clone(), names);
            Fact::Census(Census {
                dir,
                entries,
                capped: false,
                owner: if world_readable { Owner::Root } else { Owner::Caller },
                world_readable,
                markers,
                sensitive,
            })
        })
        .boxed();
    prop_oneof![6 => one.clone(), 2 => if passing { pair } else { one }, 1 => called, 1 => peaks, 1 => census]
}

/// What `profile` gives on `place`; sensitive grants are their own.
fn given(profile: &Profile, place: &AbsPath) -> Option<Access> {
    let roots = roots("/home/u/p");
    let at = |path: &AbsPath| profile.filesystem.get(&roots.locate(path)).map(|grant| grant.access);
    let above = place.ancestors().filter_map(|above| at(&above)).filter(|access| *access > Access::Exist);
    let opened: Vec<AbsPath> = profile
        .bundles
        .values()
        .flat_map(|bundle| &bundle.opens)
        .filter_map(|opening| roots.resolve(&opening.place))
        .collect();
    let role = opened.iter().any(|opening| place.is_beneath(opening)).then_some(Access::Read);
    let lines = profile.filesystem.keys().filter_map(|key| roots.resolve(key));
    let beneath = lines.chain(opened.iter().cloned()).any(|path| path.is_beneath(place));
    above.chain(at(place)).chain(role).max().or(beneath.then_some(Access::Exist))
}

/// Whether `fact` shows that `place` is a directory.
fn shows_a_directory(fact: &Fact, place: &AbsPath) -> bool {
    matches!(fact, Fact::Path(fact)
        if fact.path != *place && fact.path.is_beneath(place) || fact.path == *place && fact.kind == Some(FileKind::Dir))
}

proptest! {
    #[test]
    fn the_order_and_numbers_of_events_and_runs_and_doubles_do_not_count(
        facts in prop::collection::vec((any_fact(true), any::<u32>()), 0..14),
        more in prop::collection::vec(any_fact(true), 0..6),
    ) {
        let plain: Vec<Fact> = facts.iter().map(|(fact, _)| fact.clone()).collect();
        let mut shuffled = facts.clone();
        shuffled.extend(facts.iter().take(3).cloned());
        shuffled.sort_by_key(|(_, key)| *key);
        let mut other = trace_in("/home/u/p", shuffled.into_iter().map(|(fact, _)| fact).collect());
        other.events = other.events.iter().map(|event| Event { image: ImageId(77), ..event }).collect();
        let second = trace_in("/home/u/p", more);
        let a = reduce(&[trace_in("/home/u/p", plain), second.clone()], &Settings::default());
        let b = reduce(&[second, other], &Settings::default());
        prop_assert_eq!(a, b);
    }

    #[test]
    fn one_run_more_takes_nothing_away(
        facts in prop::collection::vec(any_fact(true), 0..12),
        more in prop::collection::vec(any_fact(true), 0..12),
    ) {
        let one = trace_in("/home/u/p", facts);
        let two = trace_in("/home/u/p", more);
        let before = reduce(std::slice::from_ref(&one), &Settings::default()).profile;
        let after = reduce(&[one, two], &Settings::default()).profile;
        for (place, grant) in &before.filesystem {
            match roots("/home/u/p").resolve(place) {
                Some(path) => prop_assert!(
                    given(&after, &path) >= Some(grant.access), "{} {:?} {:?}", place, grant, lines(&after)
                ),
                None => prop_assert!(after.filesystem.contains_key(place), "{}", place),
            }
        }
        prop_assert!(before.syscalls.allow.is_subset(&after.syscalls.allow));
    }

    #[test]
    fn what_a_run_read_and_wrote_is_granted_or_named(
        facts in prop::collection::vec(any_fact(false), 0..12),
        exposure in 0..20_000u64,
    ) {
        let settings = Settings { exposure, ..Settings::default() };
        let profile = reduce(&[trace_in("/home/u/p", facts.clone())], &settings).profile;
        for fact in &facts {
            let Fact::Path(fact) = fact else { continue };
            let reads = matches!(fact.intent, Intent::Read | Intent::Map | Intent::Execute);
            let is_file = !facts.iter().any(|other| shows_a_directory(other, &fact.path));
            let private = fact.path.is_beneath(&path("/tmp"));
            // Directories that many programs share are no files, whatever a trace says.
            let shared = ["/etc", "/srv", "/home/u", "/home/u/.config"].iter().any(|dir| fact.path == path(dir));
            if fact.result == Outcome::Ok && reads && is_file && !private && !shared {
                prop_assert!(given(&profile, &fact.path) >= Some(Access::Read), "{} {:?}", fact.path, lines(&profile));
            }
        }
    }

    #[test]
    fn whatever_is_seen_the_home_and_what_is_above_are_never_more_than_there(
        facts in prop::collection::vec(any_fact(true), 0..20),
    ) {
        let profile = run(facts).profile;
        for place in ["/", "/home", "/home/u", "/home/u/.config", "/etc", "/usr"] {
            let grant = profile.filesystem.get(&roots("/home/u/p").locate(&path(place)));
            prop_assert!(grant.is_none_or(|grant| grant.access == Access::Exist), "{}", place);
        }
        for (place, grant) in &profile.filesystem {
            let Some(path) = roots("/home/u/p").resolve(place) else { continue };
            let row = pinfold::vocab::sensitivity::sensitive(&path, &roots("/home/u/p"), grant.access);
            prop_assert_eq!(row.map(|row| row.sensitivity), grant.sensitive, "{}", place);
            prop_assert_eq!(grant.approved, grant.sensitive.is_none());
        }
    }
}

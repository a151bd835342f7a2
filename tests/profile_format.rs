//! The profile file: one text for one meaning, comments that stay, a digest over meaning, and no leniency.

#![expect(clippy::unwrap_used, reason = "a test program: a panic in a helper is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pinfold::diff::lines::diff;
use pinfold::event::GapKind;
use pinfold::profile::digest::{digest, meaning};
use pinfold::profile::emit::{emit, quote};
use pinfold::profile::parse::{parse, parse_with};
use pinfold::profile::{
    Delivery, Incomplete, Lack, Limits, NetAccess, NetGrant, PathGrant, Profile, Protect, Secret, SecretSource,
    Syscalls,
};
use pinfold::vocab::access::Access;
use pinfold::vocab::bundle::{self, Bundle};
use pinfold::vocab::endpoint::{HostPort, NetTarget};
use pinfold::vocab::escape;
use pinfold::vocab::limits::{Bytes, Limit, Percent, Rate};
use pinfold::vocab::location::{Base, Location};
use pinfold::vocab::sensitivity::Sensitivity;
use pinfold::vocab::syscall::Syscall;
use proptest::prelude::*;

fn fixture(name: &str) -> String {
    std::fs::read_to_string(fixtures().join(name)).unwrap()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/profiles")
}

fn locations() -> impl Strategy<Value = Location> {
    let part = prop::collection::vec(any::<u8>().prop_filter("no component", |&b| b != 0 && b != b'/'), 1..6)
        .prop_filter("leads elsewhere", |part| part != b"." && part != b"..");
    (prop::sample::select(&Base::ALL[..]), prop::collection::vec(part, 0..4))
        .prop_map(|(base, parts)| Location::Path { base, rest: parts.join(&b'/') })
}

fn reasons() -> impl Strategy<Value = Option<String>> {
    prop::option::weighted(0.2, any::<String>())
}

fn path_grants() -> impl Strategy<Value = PathGrant> {
    let accesses = prop::sample::select(vec![Access::Exist, Access::Read, Access::Write, Access::Replace]);
    let sensitivities =
        prop::sample::select(vec![Sensitivity::Vault, Sensitivity::Credential, Sensitivity::HostExecutes]);
    (accesses, prop::option::of(sensitivities), any::<bool>(), reasons())
        .prop_map(|(access, sensitive, approved, reason)| PathGrant { access, sensitive, approved, reason })
}

/// Lines for bundles of this program, and what they open.
fn bundles() -> impl Strategy<Value = (BTreeMap<Location, PathGrant>, BTreeMap<String, Bundle>)> {
    let names = prop::sample::subsequence(bundle::names().collect::<Vec<_>>(), 0..3);
    (names, any::<bool>(), reasons()).prop_map(|(names, approved, reason)| {
        let grant = PathGrant { access: Access::Read, sensitive: None, approved, reason };
        let line = |name: &&str| (Location::Bundle((*name).to_owned()), grant.clone());
        let known = |name: &&str| ((*name).to_owned(), bundle::known(name).unwrap());
        (names.iter().map(line).collect(), names.iter().map(known).collect())
    })
}

fn peers() -> impl Strategy<Value = (NetTarget, NetGrant)> {
    let host = prop_oneof![
        "[a-z][a-z0-9_-]{0,5}(\\.[a-z][a-z0-9-]{0,4}){0,2}",
        "\\*\\.[a-z]{1,4}\\.[a-z]{1,3}",
        Just("localhost".to_owned()),
        any::<std::net::IpAddr>().prop_map(|address| HostPort::of_address(address, 1).host),
    ];
    let name = (host, 1..=u16::MAX).prop_map(|(host, port)| NetTarget::Name(HostPort { host, port }));
    (prop_oneof![Just(NetTarget::Host), (1..=u16::MAX).prop_map(NetTarget::Inside), name], any::<bool>(), reasons())
        .prop_map(|(target, approved, reason)| {
            let access = if target.to_string().contains("7") && matches!(target, NetTarget::Name(_)) {
                NetAccess::Relay
            } else {
                NetAccess::usual(&target)
            };
            (target, NetGrant { access, approved, reason })
        })
}

fn calls() -> impl Strategy<Value = Syscall> {
    prop::sample::select(Syscall::all().collect::<Vec<_>>())
}

fn syscalls() -> impl Strategy<Value = Syscalls> {
    let words = prop::collection::btree_set("[a-z]{1,5}( [a-z0-9\"#]{1,5})?", 0..3);
    let arguments = prop::collection::btree_map(calls(), words, 0..3);
    let allow = prop::collection::btree_map(calls(), any::<bool>(), 0..5);
    (0..=1u32, allow, arguments).prop_map(|(base, allow, arguments)| Syscalls {
        base,
        approved: allow.iter().filter(|(_, approved)| **approved).map(|(call, _)| *call).collect(),
        allow: allow.into_keys().collect(),
        arguments,
    })
}

fn variables() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("no variable", |name| !name.is_empty() && !name.contains(['=', '\0']))
}

fn limits() -> impl Strategy<Value = Limits> {
    let bytes = || prop::option::of((1..=u64::MAX).prop_map(Bytes));
    let cpu = prop::option::of((1..=u32::MAX).prop_map(Percent));
    (bytes(), prop::option::of(1..=u32::MAX), cpu, bytes(), bytes(), bytes()).prop_map(
        |(memory, processes, cpu, file_size, disk, io)| {
            let io = io.map(Rate);
            let soft = cpu.map(|_| Limit::Cpu).into_iter().chain(processes.map(|_| Limit::Processes)).collect();
            Limits { memory, processes, cpu, file_size, disk, io, soft }
        },
    )
}

fn profiles() -> impl Strategy<Value = Profile> {
    let word = prop::collection::vec(any::<u8>(), 0..6).prop_map(|bytes| escape::file(&bytes));
    let words = prop::collection::vec(any::<u8>(), 0..6).prop_map(|bytes| escape::file(&bytes));
    let places = || locations().prop_filter("a bundle", |place| !matches!(place, Location::Bundle(_)));
    let sources = prop_oneof![
        Just(SecretSource::Env),
        places().prop_map(SecretSource::File),
        (3..=u32::MAX).prop_map(SecretSource::Descriptor),
        prop::collection::vec(words, 1..3).prop_map(SecretSource::Command),
    ];
    let ways = prop_oneof![
        Just(Delivery::Variable),
        prop::option::of(places()).prop_map(Delivery::File),
        Just(Delivery::Descriptor)
    ];
    let secret = (sources, ways, any::<bool>()).prop_map(|(from, to, approved)| Secret { from, to, approved });
    (
        any::<String>().prop_map(|name| format!("x{}", name.replace('/', ""))),
        prop::collection::vec(word, 1..4),
        (prop::collection::btree_map(locations(), path_grants(), 0..6), bundles()),
        prop::collection::vec(peers(), 0..3),
        syscalls(),
        prop::collection::btree_set(variables(), 0..4),
        prop::collection::btree_map(variables(), secret, 0..3),
        limits(),
        (
            prop::option::of(incomplete()),
            prop::collection::btree_set(Just(Lack::Landlock), 0..2),
            any::<bool>(),
            prop::sample::select(Protect::ALL.to_vec()),
        ),
    )
        .prop_map(
            |(
                name,
                command,
                (places, (named, bundles)),
                network,
                syscalls,
                environment,
                secrets,
                limits,
                (incomplete, tolerate, nested_sandbox, protect),
            )| {
                Profile {
                    name,
                    command,
                    incomplete,
                    tolerate,
                    nested_sandbox,
                    protect,
                    filesystem: places.into_iter().chain(named).collect(),
                    bundles,
                    network: network.into_iter().collect(),
                    syscalls,
                    environment,
                    secrets,
                    limits,
                }
            },
        )
}

fn incomplete() -> impl Strategy<Value = Incomplete> {
    let gaps = prop::collection::btree_set(prop::sample::select(GapKind::ALL.to_vec()), 1..4);
    (gaps, any::<bool>()).prop_map(|(gaps, approved)| Incomplete { gaps, approved })
}

/// `text` with a comment wherever one may stand, each unlike the others.
fn commented(text: &str) -> String {
    let mut out = String::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() {
            out.push('\n');
        } else {
            let inside = line.starts_with(' ') || line == "]";
            let indent = if inside { "    " } else { "" };
            out += &format!("{indent}# above {number}\n{line} # behind \"{number}\"\n");
        }
    }
    out + "\n# the end\n"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_is_written_is_read(profile in profiles()) {
        let text = emit(&profile, None);
        prop_assert_eq!(parse(&text).map_err(|error| format!("{error}\n{text}")), Ok(profile));
    }

    #[test]
    fn a_written_profile_has_nothing_that_a_terminal_obeys(profile in profiles()) {
        let text = emit(&profile, None);
        let doubled = text.replace('\\', "\\\\");
        prop_assert!(text.lines().zip(doubled.lines()).all(|(line, doubled)| escape::terminal(line.as_bytes()) == doubled));
    }

    #[test]
    fn writing_over_its_own_text_changes_nothing(profile in profiles()) {
        let text = emit(&profile, None);
        prop_assert_eq!(&emit(&profile, Some(&text)), &text);
    }

    #[test]
    fn comments_stay_where_they_are_in_a_canonical_text(profile in profiles()) {
        let text = commented(&emit(&profile, None));
        prop_assert_eq!(parse(&text).unwrap(), profile.clone());
        prop_assert_eq!(emit(&profile, Some(&text)), text);
    }

    #[test]
    fn comments_of_any_text_are_settled_after_one_writing(old in profiles(), new in profiles()) {
        let once = emit(&new, Some(&commented(&emit(&old, None))));
        prop_assert_eq!(parse(&once).unwrap(), new.clone());
        prop_assert_eq!(emit(&new, Some(&once)), once);
    }

    #[test]
    fn digest_meaning_and_difference_agree(a in profiles(), b in profiles(), same in any::<bool>()) {
        let b = if same { Profile { name: b.name, filesystem: without_reasons(&a), ..a.clone() } } else { b };
        let equal = meaning(&a) == meaning(&b);
        prop_assert!(equal || !same);
        prop_assert_eq!(digest(&a) == digest(&b), equal);
        prop_assert_eq!(diff(&a, &b).is_empty(), equal);
        prop_assert_eq!(diff(&a, &b).len(), diff(&b, &a).len());
    }

    #[test]
    fn no_text_panics_the_parser_or_the_comments(text in "[ -~\n#\"\\[\\]=é\u{202e}\r\t]{0,80}") {
        let profile = parse(&fixture("minimal.toml")).unwrap();
        let whole = format!("{}{text}", fixture("minimal.toml"));
        for text in [&text, &whole] {
            drop(parse(text).map_err(|error| (error.to_string(), error.hint())));
            prop_assert_eq!(parse(&emit(&profile, Some(text))), Ok(profile.clone()));
        }
    }

    #[test]
    fn a_place_has_one_spelling(location in locations(), text in "[/~$A-Za-z.%0-9]{1,8}") {
        let with = |key: &str| parse(&format!("{}[filesystem]\n{} = \"read\"\n", fixture("minimal.toml"), quote(key)));
        prop_assert!(with(&location.to_string()).is_ok());
        if let Ok(profile) = with(&text) {
            prop_assert_eq!(profile.filesystem.into_keys().next().unwrap().to_string(), text);
        }
    }
}

fn without_reasons(profile: &Profile) -> BTreeMap<Location, PathGrant> {
    let bare = |(place, grant): (&Location, &PathGrant)| (place.clone(), PathGrant { reason: None, ..grant.clone() });
    profile.filesystem.iter().map(bare).collect()
}

#[test]
fn valid_fixtures_are_canonical() {
    for name in ["agent.toml", "minimal.toml"] {
        let text = fixture(name);
        let profile = parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(emit(&profile, Some(&text)), text, "{name}");
    }
}

#[test]
fn the_digest_of_a_known_profile_never_changes() {
    // It is what people approved: another value here revokes every approval there is.
    let digest = digest(&parse(&fixture("agent.toml")).unwrap()).to_string();
    assert_eq!(digest, "sha256:226a02169a5d7b2c2aac1158a281446ad389ba2afdc24a0611a65b2a4b896011");
}

/// Each says in its first line what is wrong with it, and where.
#[test]
fn invalid_fixtures_are_refused_at_the_place_and_for_the_reason_they_name() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for entry in std::fs::read_dir(fixtures().join("invalid")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = text.lines().next().unwrap().strip_prefix("# error: ").unwrap().to_owned();
        let error = parse(&text).expect_err(&path.display().to_string());
        let shown = format!("{error} [{}]", error.text);
        if shown != expected {
            wrong.push(format!("{}: `{expected}` is `{shown}`", path.display()));
        }
        seen += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen >= 45);
}

#[test]
fn another_content_of_a_bundle_is_another_profile() {
    let text = fixture("minimal.toml") + "[filesystem]\n\"@mine\" = \"read\"\n";
    let with = |files: &str| {
        let bundle = Bundle::read(&format!("why = \"mine\"\n[[opens]]\nwhy = \"x\"\nfiles = [{files}]\n")).unwrap();
        parse_with(&text, &|name| (name == "mine").then(|| bundle.clone())).unwrap()
    };
    let (one, two) = (with("\"/srv/a\""), with("\"/srv/a\", \"/srv/b\""));
    assert_ne!(digest(&one).to_string(), digest(&two).to_string());
    assert_eq!(emit(&one, None), emit(&two, None));
    assert_eq!(digest(&one).to_string(), digest(&with("\"/srv/a\"")).to_string());
    assert!(parse(&text).is_err(), "nobody said what it opens");
}

#[test]
fn whatever_is_reserved_or_newer_has_a_hint() {
    for name in ["newer-schema", "reserved-audit", "bundle", "unknown-key", "unknown-call", "bidi-comment"] {
        assert!(parse(&fixture(&format!("invalid/{name}.toml"))).unwrap_err().hint().is_some(), "{name}");
    }
}

#[test]
fn what_is_sensitive_or_the_whole_network_is_not_approved_by_leaving_a_word_out() {
    let grants = "[filesystem]\n\"~/.x\" = { access = \"read\", sensitive = \"credential\" }\n[network]\n\"@host\" = \"unconfined\"\n";
    let profile = parse(&(fixture("minimal.toml") + grants + "[secrets]\nT = { from = \"env\" }\n")).unwrap();
    assert!(profile.filesystem.values().all(|grant| !grant.approved));
    assert!(profile.network.values().all(|grant| !grant.approved));
    assert!(profile.secrets.values().all(|secret| !secret.approved));
    assert_eq!(emit(&profile, None).matches("approved = false").count(), 3);
}

#[test]
fn comments_of_a_text_in_any_layout_are_kept() {
    let text = "\
# licence

# about the file
schema = 1   # first
syscalls = { base = 1, allow = [ ] } # whole
command = [ # c1
  \"x\", # c2
] # c3
name = \"#x\"
[environment] # env
# the path
pass = [ \"PATH\" , # p
   # below
] # closed
[filesystem]
\"/b#\" = \"read\"
'/a' = { access = \"read\", reason = \"# no comment\" } # a
# dangling
[limits]
# nothing
";
    let expected = "\
# licence

# about the file
schema = 1 # first
name = \"#x\"
# c1
# c2
command = [\"x\"] # c3

[filesystem]
\"/a\" = { access = \"read\", reason = \"# no comment\" } # a
\"/b#\" = \"read\"

# whole
[syscalls]
base = 1

[environment] # env
# the path
pass = [
    \"PATH\", # p
    # below
] # closed

# dangling

# nothing
";
    let profile = parse(text).unwrap();
    let written = emit(&profile, Some(text));
    assert_eq!(written, expected);
    assert_eq!(emit(&profile, Some(&written)), written);
}

#[test]
fn the_comment_of_a_grant_moves_with_it_and_goes_with_it() {
    let text = fixture("agent.toml");
    let mut profile = parse(&text).unwrap();
    profile.filesystem.values_mut().for_each(|grant| grant.access = Access::Read);
    profile.syscalls.allow.retain(|call| call.name() != "ptrace");
    profile.syscalls.approved.clear();
    profile.network.clear();
    let written = emit(&profile, Some(&text));
    assert!(written.contains("\"~/.claude.json\" = \"read\" # rewritten by rename\n"));
    assert!(written.contains("    \"socket\", # the network, above\n"));
    assert!(!written.contains("A debugger needs it") && !written.contains("Opens all of it"));
}

#[test]
fn a_change_is_one_line_in_the_notation_of_the_file() {
    let old = parse(&fixture("agent.toml")).unwrap();
    let mut new = old.clone();
    new.name = "renamed".into();
    let hostile = Location::Path { base: Base::Root, rest: b"a\x1b]0;x\x07\n\xff\"".to_vec() };
    let read = |access| PathGrant { access, sensitive: None, approved: true, reason: Some("why".into()) };
    new.filesystem.insert(hostile, read(Access::Read));
    new.filesystem.insert("/usr".parse().unwrap(), read(Access::Write));
    new.network.values_mut().for_each(|grant| grant.approved = true);
    new.syscalls.allow.remove(&Syscall::from_name("socket").unwrap());
    new.syscalls.arguments.clear();
    new.environment = BTreeSet::from(["HOME".into(), "PATH".into(), "X\u{202e}".into(), "TERM".into()]);
    new.limits.cpu = None;
    let lines: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            r#"+ [filesystem] "/a%1B]0;x%07%0A%FF\"" = "read""#,
            r#"~ [filesystem] "/usr" = "read" -> "write""#,
            r#"~ [network] "@host" = { access = "unconfined", approved = false } -> { access = "unconfined", approved = true }"#,
            r#"- [syscalls] allow "socket""#,
            r#"- [syscalls.arguments] socket "inet stream""#,
            r#"- [syscalls.arguments] socket "unix stream""#,
            r#"+ [environment] pass "X\u202E""#,
            r#"- [limits] cpu = "200 %""#,
        ]
    );
    let json = serde_json::to_value(&diff(&old, &new)[1]).unwrap();
    let expected = serde_json::json!({
        "section": "filesystem", "key": "\"/usr\"", "change": "changed", "old": "\"read\"", "new": "\"write\"",
    });
    assert_eq!(json, expected);
}

#[test]
fn the_bundle_in_the_specification_is_one_and_its_table_names_them_all() {
    let text = include_str!("../docs/profile.md");
    let example = text.split("```bundle\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(Bundle::read(example).unwrap().opens.len(), 3);
    for name in bundle::names() {
        assert!(text.contains(&format!("| `@{name}` |")), "{name}");
    }
}

#[test]
fn every_example_in_the_specification_is_a_profile() {
    let text = include_str!("../docs/profile.md");
    let examples: Vec<&str> = text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 4);
    for example in examples {
        let head = if example.contains("schema =") { String::new() } else { fixture("minimal.toml") };
        let head = if example.contains("[syscalls]") { head.replace("[syscalls]\nbase = 1\n", "") } else { head };
        let profile = parse(&(head.clone() + example)).unwrap_or_else(|error| panic!("{error}\n{example}"));
        if head.is_empty() {
            assert_eq!(emit(&profile, Some(example)), example, "a whole example is canonical");
        }
    }
}

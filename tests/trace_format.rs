//! The trace file: what is written is read, what is cut reads up to the cut, what is no trace is refused by line.

#![expect(clippy::unwrap_used, reason = "a test program: a panic in a helper is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use pinfold::event::{
    Census, Denial, Event, ExitStatus, Fact, Gap, Hop, Image, ImageId, Intent, Outcome, Owner, PairFact, PairOperation,
    PathFact, Peaks, Transport,
};
use pinfold::trace::reader::{ReadError, read};
use pinfold::trace::writer::{WriteError, Writer};
use pinfold::trace::{FORMAT, Header, MAX_LINE, Trace, VERSION};
use pinfold::vocab::endpoint::Endpoint;
use pinfold::vocab::escape;
use pinfold::vocab::host::FileKind;
use pinfold::vocab::location::{Base, Roots};
use pinfold::vocab::path::AbsPath;
use pinfold::vocab::syscall::Syscall;
use proptest::prelude::*;

fn path(bytes: impl AsRef<[u8]>) -> AbsPath {
    AbsPath::new(bytes).unwrap()
}

fn call(name: &str) -> Syscall {
    Syscall::from_name(name).unwrap()
}

fn a_header() -> Header {
    Header {
        format: FORMAT.into(),
        version: VERSION,
        pinfold: "0.1.0".into(),
        run: "5f0c".into(),
        started: 1_700_000_000,
        kernel: "6.18".into(),
        machine: "x86_64".into(),
        command: vec!["git".into()],
        roots: Roots(BTreeMap::from([(Base::Home, path("/home/a")), (Base::Project, path("/home/a/x"))])),
        workdir: path("/home/a/x"),
        uid: 1000,
        base: 1,
        broker: false,
        opened: vec![path(b"/home/a/.ssh/\xff")],
    }
}

fn paths() -> impl Strategy<Value = AbsPath> {
    prop::collection::vec(any::<u8>(), 0..12).prop_filter_map("no path", |mut bytes| {
        bytes.insert(0, b'/');
        AbsPath::new(bytes).ok()
    })
}

fn texts() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| escape::file(&bytes))
}

fn calls() -> impl Strategy<Value = Syscall> {
    prop::sample::select(Syscall::all().collect::<Vec<_>>())
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![Just(Outcome::Ok), any::<i32>().prop_map(Outcome::Errno), Just(Outcome::Unseen)]
}

fn statuses() -> impl Strategy<Value = ExitStatus> {
    prop_oneof![any::<i32>().prop_map(ExitStatus::Code), any::<i32>().prop_map(ExitStatus::Signal)]
}

fn kinds() -> impl Strategy<Value = Option<FileKind>> {
    prop::option::of(prop::sample::select(vec![FileKind::File, FileKind::Dir, FileKind::Symlink, FileKind::Fifo]))
}

fn endpoints() -> impl Strategy<Value = Endpoint> {
    prop_oneof![
        any::<std::net::SocketAddrV4>().prop_map(|address| Endpoint::Inet(address.into())),
        paths().prop_map(Endpoint::Unix),
        texts().prop_map(Endpoint::Abstract),
        any::<i32>().prop_map(Endpoint::Netlink),
    ]
}

fn gaps() -> impl Strategy<Value = Gap> {
    prop_oneof![
        calls().prop_map(|call| Gap::UnreadablePath { call }),
        (calls(), texts()).prop_map(|(call, path)| Gap::Unresolved { call, path }),
        any::<u64>().prop_map(|cap| Gap::Flood { cap }),
        Just(Gap::LostTask),
        Just(Gap::Environment),
        any::<i32>().prop_map(|signal| Gap::Interrupted { signal }),
        Just(Gap::Timeout),
    ]
}

fn path_facts() -> impl Strategy<Value = Fact> {
    let intents = prop::sample::select(vec![Intent::Look, Intent::Read, Intent::Execute, Intent::Create]);
    let hops = prop::collection::vec((paths(), texts()).prop_map(|(link, text)| Hop { link, text }), 0..3);
    (intents, calls(), paths(), hops, kinds(), outcomes())
        .prop_map(|(intent, call, path, hops, kind, result)| PathFact { intent, call, path, hops, kind, result })
        .prop_map(Fact::Path)
}

fn other_facts() -> impl Strategy<Value = Fact> {
    let names = || prop::collection::btree_set(any::<String>(), 0..4);
    let operations = prop::sample::select(vec![PairOperation::Rename, PairOperation::Exchange, PairOperation::Link]);
    let transports = prop::sample::select(vec![Transport::Tcp, Transport::UdpProbe, Transport::Unix]);
    prop_oneof![
        (any::<Option<u32>>(), paths(), prop::option::of(paths()), prop::collection::vec(any::<String>(), 0..3))
            .prop_map(|(parent, exe, script, argv)| {
                Fact::Image(Image { parent: parent.map(ImageId), exe, script, argv, set_id: true })
            }),
        (operations, calls(), paths(), paths(), any::<bool>(), kinds(), outcomes()).prop_map(
            |(operation, call, from, to, replaced, kind, result)| {
                Fact::Pair(PairFact { operation, call, from, to, replaced, kind, result })
            }
        ),
        calls().prop_map(|call| Fact::Call { call }),
        (calls(), any::<String>()).prop_map(|(call, value)| Fact::Argument { call, value }),
        any::<(u32, u64)>().prop_map(|(arch, number)| Fact::UnknownCall { arch, number }),
        (endpoints(), transports, outcomes()).prop_map(|(endpoint, transport, result)| Fact::Connect {
            endpoint,
            transport,
            result
        }),
        endpoints().prop_map(|endpoint| Fact::Listen { endpoint }),
        (names(), names()).prop_map(|(names, credentials)| Fact::Environment { names, credentials }),
        (names(), any::<bool>()).prop_map(|(names, capped)| Fact::Mentioned { names, capped }),
        (any::<String>(), texts(), any::<i32>(), any::<Option<String>>(), any::<u64>()).prop_map(
            |(program, thing, errno, remedy, count)| {
                Fact::Denied(Denial { program, call: "ioctl".into(), thing, errno, remedy, count, ..Denial::default() })
            }
        ),
        gaps().prop_map(|gap| Fact::Gap { gap }),
        (paths(), any::<u32>(), names(), names()).prop_map(|(dir, entries, markers, sensitive)| {
            let owner = Owner::Caller;
            Fact::Census(Census { dir, entries, capped: false, owner, world_readable: true, markers, sensitive })
        }),
        any::<(u64, u32, u32, u32, u64, u64, u64)>().prop_map(
            |(memory, processes, threads, descriptors, file_size, cpu_ms, wall_ms)| {
                Fact::Peaks(Peaks { memory, processes, threads, descriptors, file_size, cpu_ms, wall_ms })
            }
        ),
        statuses().prop_map(|status| Fact::Exit { status }),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let fact = prop_oneof![1 => path_facts(), 3 => other_facts()];
    prop::collection::vec((any::<u32>(), fact).prop_map(|(image, fact)| Event { image: ImageId(image), fact }), 0..8)
}

fn write(header: &Header, events: &[Event], status: Option<ExitStatus>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, header).unwrap();
    events.iter().for_each(|event| writer.event(event).unwrap());
    if let Some(status) = status {
        writer.finish(status).unwrap();
    }
    bytes
}

fn a_call() -> Event {
    Event { image: ImageId(0), fact: Fact::Call { call: call("openat") } }
}

fn refused(bytes: &[u8]) -> String {
    read(bytes).unwrap_err().to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_written_is_read(events in events(), status in statuses()) {
        let trace = read(write(&a_header(), &events, Some(status)).as_slice()).unwrap();
        prop_assert_eq!(&trace.header, &a_header());
        prop_assert_eq!(trace.footer.as_ref().map(|footer| footer.status), Some(status));
        prop_assert!(trace.events.iter().eq(events));
    }

    #[test]
    fn a_trace_cut_at_any_byte_holds_the_events_before_the_cut_and_no_footer(events in events()) {
        let bytes = write(&a_header(), &events, Some(ExitStatus::Code(0)));
        let header = bytes.iter().position(|&b| b == b'\n').unwrap() + 1;
        for cut in 0..bytes.len() {
            let head = &bytes[..cut];
            match read(head) {
                Err(ReadError::NoHeader) => prop_assert!(cut < header),
                Err(error) => prop_assert!(false, "cut at {cut}: {error}"),
                Ok(Trace { events: seen, footer, .. }) => {
                    let whole = head.iter().filter(|&&b| b == b'\n').count() - 1;
                    prop_assert!(seen.iter().eq(events[..whole].iter().cloned()));
                    prop_assert_eq!(footer, None);
                }
            }
        }
    }

    #[test]
    fn a_flipped_byte_never_panics_the_reader(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = write(&a_header(), &[a_call(), a_call()], Some(ExitStatus::Code(0)));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(trace) = read(bytes.as_slice()) {
            prop_assert!(trace.events.len() <= 2);
        }
    }

    #[test]
    fn random_bytes_are_no_trace(bytes: Vec<u8>) {
        prop_assert!(read(bytes.as_slice()).is_err());
    }
}

#[test]
fn every_line_of_a_trace_is_one_json_object_whatever_the_names_hold() {
    let fact = Fact::Environment { names: BTreeSet::from(["a\n\u{1b}]0;x\u{7}".into()]), credentials: BTreeSet::new() };
    let bytes = write(&a_header(), &[Event { image: ImageId(0), fact }], Some(ExitStatus::Signal(9)));
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(text.lines().count(), 3);
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).unwrap().is_object()));
    assert!(!text.contains('\u{1b}'));
    assert_eq!(text.lines().last().unwrap(), r#"{"footer":{"events":1,"status":{"signal":9}}}"#);
}

#[test]
fn a_newer_version_is_refused_before_its_unknown_fields_are() {
    let line = b"{\"format\":\"pinfold-trace\",\"version\":2,\"shape\":[1]}\n";
    assert!(matches!(read(&line[..]), Err(ReadError::Newer(2))));
}

#[test]
fn what_is_no_trace_is_named_as_such() {
    assert!(matches!(read(&b""[..]), Err(ReadError::NoHeader)));
    assert!(refused(b"schema = 1\n").starts_with("line 1, column 1: not the header of a trace"));
    assert!(refused(b"\x7fELF").starts_with("line 1, column 1: not the header of a trace"));
    assert!(refused(b"{\"format\":\"other\",\"version\":1}\n").ends_with("its format is `other`"));
    assert!(matches!(read(&b"{\"format\":\"pinfold-trace\",\"version\":0}\n"[..]), Err(ReadError::NotATrace { .. })));
}

#[test]
fn a_corrupt_line_in_the_middle_is_named_with_its_column_and_is_harmless_on_a_terminal() {
    let bytes = write(&a_header(), &[a_call(), a_call()], None);
    let mut lines: Vec<&[u8]> = bytes.split_inclusive(|&b| b == b'\n').collect();
    lines[1] = "{\"image\":0,\"\u{202e}fact\":1}\n".as_bytes();
    let message = refused(&lines.concat());
    assert!(message.starts_with(r"line 2, column 20: unknown field `\xe2\x80\xaefact`"), "{message}");
}

#[test]
fn lines_that_were_taken_out_or_put_behind_the_end_are_noticed() {
    let bytes = write(&a_header(), &[a_call(), a_call()], Some(ExitStatus::Code(0)));
    let lines: Vec<&[u8]> = bytes.split_inclusive(|&b| b == b'\n').collect();
    let without = [lines[0], lines[1], lines[3]].concat();
    assert!(matches!(read(without.as_slice()), Err(ReadError::Count { line: 3, said: 2, seen: 1 })));
    let behind = [bytes.as_slice(), lines[1]].concat();
    assert!(matches!(read(behind.as_slice()), Err(ReadError::AfterFooter { line: 5 })));
}

#[test]
fn an_endless_line_is_refused_in_bounded_memory() {
    let endless = [a_header()].iter().flat_map(|header| write(header, &[], None)).collect::<Vec<_>>();
    let source = std::io::BufReader::new(endless.as_slice().chain(std::io::repeat(b'x')));
    assert!(matches!(read(source), Err(ReadError::TooLong { line: 2 })));
}

#[test]
fn a_writer_that_lost_an_event_writes_no_footer() {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, &a_header()).unwrap();
    let value = "x".repeat(MAX_LINE);
    let event = Event { image: ImageId(0), fact: Fact::Argument { call: call("socket"), value } };
    assert!(matches!(writer.event(&event), Err(WriteError::TooLong(_))));
    writer.event(&a_call()).unwrap();
    assert!(matches!(writer.finish(ExitStatus::Code(0)), Err(WriteError::Broken)));
    let trace = read(bytes.as_slice()).unwrap();
    assert_eq!((trace.events.len(), trace.is_complete()), (1, false));
}

#[test]
fn every_example_in_the_specification_is_a_trace() {
    let text = include_str!("../docs/trace.md");
    let examples: Vec<&str> = text.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 2);
    let header = examples[0].lines().next().unwrap();
    for example in &examples {
        let whole =
            if example.starts_with(r#"{"format""#) { (*example).to_owned() } else { format!("{header}\n{example}") };
        let trace = read(whole.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{whole}"));
        assert_eq!(trace.footer.is_some(), whole.contains("footer"));
    }
    let facts: BTreeSet<String> = examples
        .iter()
        .flat_map(|example| example.lines())
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|value| Some(value.get("fact")?.as_object()?.keys().next()?.clone()))
        .collect();
    assert_eq!(facts.len(), 15, "each kind of event has an example: {facts:?}");
}

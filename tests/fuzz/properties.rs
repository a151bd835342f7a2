//! What holds for any bytes. The fuzz targets look for bytes for which it does not; a test replays what they kept.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "each target has one; a panic is the finding"
)]

use pinfold::import::strace::Log;
use pinfold::import::strace_values::{Address, Argument, split};
use std::collections::{BTreeMap, BTreeSet};

use pinfold::plan::compile::compile;
use pinfold::plan::filter::filter;
use pinfold::plan::{MountStep, grants, mounts};
use pinfold::profile::Profile;
use pinfold::profile::digest::digest;
use pinfold::profile::emit::emit;
use pinfold::profile::evidence;
use pinfold::profile::parse::parse;
use pinfold::reduce::evidence::gather;
use pinfold::reduce::{Settings, reduce};
use pinfold::sandbox::fuzz as calls;
use pinfold::sandbox::tripwire::wire;
use pinfold::trace::Trace;
use pinfold::trace::reader::read;
use pinfold::trace::writer::Writer;
use pinfold::tracer::fuzz;
use pinfold::vocab::host::{FileKind, Host, Identity, Seen};
use pinfold::vocab::landlock::Rights;
use pinfold::vocab::location::{Base, Roots};
use pinfold::vocab::path::AbsPath;
use pinfold::vocab::proxy::Proxies;

/// A trace that is read is written and read as the same, and gives a profile, the same each time, that can be read.
pub(crate) fn trace_reader(bytes: &[u8]) {
    let Ok(trace) = read(bytes) else { return };
    let mut written = Vec::new();
    let mut writer = Writer::new(&mut written, &trace.header).unwrap();
    trace.events.iter().for_each(|event| writer.event(&event).unwrap());
    match &trace.footer {
        Some(footer) => writer.finish(footer.status).unwrap(),
        None => writer.flush().unwrap(),
    }
    assert_eq!(read(&*written).unwrap(), trace);

    // A name that is none makes the profile one that nobody wrote.
    let named =
        Trace { header: pinfold::trace::Header { command: vec!["x".to_owned()], ..trace.header.clone() }, ..trace };
    let reduction = reduce(std::slice::from_ref(&named), &Settings::default());
    assert_eq!(reduction, reduce(std::slice::from_ref(&named), &Settings::default()));
    let text = emit(&reduction.profile, None);
    assert_eq!(parse(&text).unwrap(), reduction.profile, "{text}");

    let gathered = gather(std::slice::from_ref(&named), &reduction.profile, &Settings::default());
    let mut written = Vec::new();
    evidence::write(&gathered, "0", &mut written).unwrap();
    assert_eq!(evidence::read(&*written).unwrap(), gathered);
}

/// Addresses, arguments and variables of a traced program, and the lines of a log, whatever they are.
pub(crate) fn decoder(bytes: &[u8]) {
    fuzz::address(bytes);
    let shapes = fuzz::shapes(bytes);
    assert!(shapes.len() <= 66 && shapes.iter().all(|shape| shape.len() <= 256), "{shapes:?}");
    assert!(shapes.iter().all(|shape| shape.chars().all(|c| !c.is_control())), "{shapes:?}");
    for name in fuzz::variables(bytes) {
        assert!(name.chars().all(|c| !c.is_control()), "{name:?}");
    }
    let mut log = Log::default();
    log.add(bytes, 0, 1).ok();
    for argument in split(bytes).iter().chain([&Argument::new(bytes)]) {
        assert!(is_no_longer_than(argument, bytes.len()));
    }
}

/// A profile that is read is written and read as the same, with the same digest.
pub(crate) fn profile(bytes: &[u8]) {
    let Some(profile) = std::str::from_utf8(bytes).ok().and_then(|text| parse(text).ok()) else { return };
    let text = emit(&profile, None);
    let again = parse(&text).unwrap();
    assert_eq!(again, profile, "{text}");
    assert_eq!(digest(&again).to_string(), digest(&profile).to_string());
}

/// A machine of the first byte's and a profile: a plan gives no place to be written that no approved line gives, Landlock
/// gives no right that its mount does not, and the filter is one that the kernel takes.
pub(crate) fn plan(bytes: &[u8]) {
    let Some((machine, text)) = bytes.split_first() else { return };
    let Some(profile) = std::str::from_utf8(text).ok().and_then(|text| parse(text).ok()) else { return };
    let host = machine_of(*machine, &profile);
    let path = |text: &str| AbsPath::new(text).unwrap();
    let guarded = BTreeSet::from([path("/home/u/p/.git/hooks"), path("/home/u/.bashrc")]);
    let Ok(plan) = mounts::plan(&profile, &host, &guarded, path("/usr/bin/x"), vec![b"x".to_vec()]) else { return };
    let written: Vec<AbsPath> = profile
        .filesystem
        .iter()
        .filter(|(_, grant)| grant.approved && grant.access.writes())
        .filter_map(|(place, _)| host.roots.resolve(place))
        .collect();
    let mut own = vec![path("/proc"), path("/dev")];
    own.extend(plan.without_namespaces.iter().flat_map(|_| written.clone()));
    for step in &plan.mounts {
        match step {
            MountStep::Bind { target, writable: true, .. } => {
                assert!(written.iter().any(|place| target.is_beneath(place)), "{target}");
                own.push(target.clone());
            }
            MountStep::Tmpfs { target, .. } | MountStep::Filtered { target, .. } => own.push(target.clone()),
            _ => {}
        }
    }
    for (place, rights) in plan.landlock.iter().flat_map(|ruleset| &ruleset.rules) {
        let writes = rights.common(Rights::WRITE_FILE) != Rights::NONE;
        assert!(!writes || own.iter().any(|above| place.is_beneath(above)), "{place}: {rights}");
    }
    // BPF_MAXINSNS (linux/bpf_common.h).
    assert!(compile(&plan.filter).len() <= 4096);
}

/// A machine on which what a profile names is a directory, a file or absent, as the bits say.
fn machine_of(bits: u8, profile: &Profile) -> Host {
    let path = |text: &str| AbsPath::new(text).unwrap();
    let roots = Roots(BTreeMap::from([
        (Base::Project, path("/home/u/p")),
        (Base::Home, path("/home/u")),
        (Base::Tmpdir, path("/tmp")),
    ]));
    let kind = if bits & 1 == 0 { FileKind::Dir } else { FileKind::File };
    let seen = |_: &AbsPath| Seen { kind, mode: 0o755, size: 1, modified: 1, uid: 0, link: None, names: 1 };
    let places = grants::wanted_paths(profile, &roots);
    let uid = if bits & 2 == 0 { 1000 } else { 0 };
    Host {
        identity: Identity { uid, gid: uid },
        workdir: path("/home/u/p"),
        seen: places.into_iter().map(|place| (place.clone(), (bits & 4 == 0).then(|| seen(&place)))).collect(),
        environment: BTreeSet::new(),
        state_dir: path("/home/u/.local/state/pinfold"),
        remembered: BTreeMap::new(),
        landlock: (bits >> 4 != 0).then_some(u32::from(bits >> 4)),
        no_namespaces: (bits & 8 != 0).then(|| "refused".to_owned()),
        proxies: Ok(Proxies::default()),
        fuse: bits & 1 != 0,
        roots,
    }
}

/// A call that the filter handed over is refused with an errno, and told in words without control characters.
pub(crate) fn notification(bytes: &[u8]) {
    let spec = filter(&parse("schema = 1\nname = \"a\"\ncommand = [\"a\"]\n[syscalls]\nbase = 1\n").unwrap()).unwrap();
    let (number, arguments) = calls::call(bytes);
    let (errno, told) = calls::denied(&spec, number, arguments);
    assert!((1..134).contains(&errno), "{errno}");
    for denial in told {
        let remedy = denial.remedy.iter().flat_map(|line| line.chars());
        assert!(denial.call.chars().chain(denial.thing.chars()).chain(remedy).all(|c| !c.is_control()), "{denial:?}");
    }
}

/// A message of the device is a request or is refused; a request holds no more than the message, and its answer has a header.
pub(crate) fn fuse_request(bytes: &[u8]) {
    use wire::Operation as O;
    let request = match wire::parse(bytes) {
        Ok(request) => request,
        Err(wire::Malformed { unique }) => return assert!(unique.is_none() || bytes.len() >= 40),
    };
    let held = match &request.operation {
        O::Write { data, .. } => data.len(),
        O::ForgetMany { nodes } => nodes.len() * 16,
        O::Lookup { name } | O::Unlink { name } | O::RemoveDirectory { name } | O::Link { name, .. } => {
            assert!(wire::is_name(name), "{name:?}");
            name.len()
        }
        O::Rename { name, new_name, .. } => {
            assert!(wire::is_name(name) && wire::is_name(new_name), "{name:?} {new_name:?}");
            name.len() + new_name.len()
        }
        O::SetXattr { name, value, .. } => name.len() + value.len(),
        O::Init { major, minor, readahead, flags } => {
            let reply = wire::init_reply(*major, *minor, *readahead, *flags);
            assert!(reply.is_none_or(|reply| reply.len() == 64));
            0
        }
        _ => 0,
    };
    assert!(held <= bytes.len());
    let reply = wire::reply(request.unique, Err(1));
    assert_eq!(reply.get(8..16), Some(request.unique.to_ne_bytes().as_slice()));
}

/// Every value of `argument`: none holds more bytes than its text.
fn is_no_longer_than(argument: &Argument, most: usize) -> bool {
    let string = argument.string().map_or(0, |(bytes, _)| bytes.len());
    let strings: usize = argument.strings().unwrap_or_default().iter().map(Vec::len).sum();
    let path = argument.descriptor().and_then(|(_, path)| path).map_or(0, |path| path.len());
    let address = match argument.address() {
        Address::Unix(name) | Address::Abstract(name) => name.len(),
        Address::Inet(_) | Address::Other => 0,
    };
    [string, strings, path, address].iter().all(|length| *length <= most)
}

/// A question is read or refused; what is asked outside is the name of a host, and an answer fits where it goes.
pub(crate) fn dns_query(bytes: &[u8]) {
    use pinfold::sandbox::network::dns::{Answer, parse};
    let Ok(query) = parse(bytes) else { return };
    assert!(query.name.as_deref().is_none_or(pinfold::vocab::endpoint::is_host_name));
    for answer in [Answer::Absent, Answer::Addresses(vec![[198, 18, 1, 0].into(); 40])] {
        let out = query.answer(&answer, true);
        assert!(out.len() <= 1232 && out.get(2).is_some_and(|flags| flags & 0x80 != 0));
        assert_eq!(out.get(..2), bytes.get(..2));
    }
}

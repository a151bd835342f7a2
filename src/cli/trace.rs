//! `pinfold trace`: a stored trace as lines to read, and as numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::event::{Event, ExitStatus, Fact, ImageId, Outcome, PairFact, PathFact};
use crate::run::profile_file;
use crate::run::surroundings::Surroundings;
use crate::store::Store;
use crate::trace::{Trace, reader};
use crate::vocab::endpoint::Endpoint;
use crate::vocab::escape;

use super::arguments::{TraceCommand, TraceShowArguments, TraceStatsArguments};
use super::conclude::gap_text;
use super::exit::Exit;
use super::screen::{self, Colour, paint};

pub(super) fn run(command: &TraceCommand) -> Exit {
    let out = match command {
        TraceCommand::Show(arguments) => show(arguments),
        TraceCommand::Stats(arguments) => stats(arguments),
    };
    match out.map(|text| screen::data(&text)) {
        Some(Ok(())) => Exit::Success,
        Some(Err(_)) | None => Exit::Trouble,
    }
}

/// A trace by file, or the last one of a profile by the profile's name; `None` when an error was said.
pub(super) fn find(given: &Path) -> Option<PathBuf> {
    let path = if given.is_file() && given.extension().is_some_and(|extension| extension == "trace") {
        Some(given.to_path_buf())
    } else {
        last_of_profile(given)
    };
    if path.is_none() {
        screen::say(format!(
            "{} there is no trace `{}`, neither as a file nor of a profile of that name\n{} `pinfold learn -- COMMAND` makes one",
            paint("error:", Colour::Red),
            escape::terminal(given.as_os_str().as_encoded_bytes()),
            paint("hint:", Colour::Cyan)
        ));
    }
    path
}

/// A trace and where it lies; `None` when an error was said.
fn open(given: &Path) -> Option<(PathBuf, Trace)> {
    let path = find(given)?;
    let read = File::open(&path).map_err(reader::ReadError::Io).and_then(|file| reader::read(BufReader::new(file)));
    match read {
        Ok(trace) => Some((path, trace)),
        Err(error) => {
            let name = escape::terminal(path.as_os_str().as_encoded_bytes());
            screen::say(format!("{} {name}: {}", paint("error:", Colour::Red), screen::chain(&error)));
            None
        }
    }
}

fn last_of_profile(given: &Path) -> Option<PathBuf> {
    let surroundings = Surroundings::read(None).ok()?;
    let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid).ok()?;
    let named = given.to_str().filter(|name| !name.contains('/')).map(|name| {
        let name = name.trim_end_matches(".toml");
        surroundings.project().to_path_buf().join("generated-profiles").join(format!("{name}.toml"))
    });
    let profiles = named.into_iter().chain([profile_file::absolute(given)]);
    profiles.filter_map(|profile| store.traces(&profile).ok()?.pop()).next()
}

fn show(arguments: &TraceShowArguments) -> Option<String> {
    let (path, trace) = open(&arguments.trace)?;
    let header = &trace.header;
    let mut out = format!(
        "# {}\n# {} on {} {}, pinfold {}, in {}\n",
        escape::terminal(path.as_os_str().as_encoded_bytes()),
        escape::terminal(header.command.join(" ").as_bytes()),
        escape::terminal(header.kernel.as_bytes()),
        escape::terminal(header.machine.as_bytes()),
        escape::terminal(header.pinfold.as_bytes()),
        header.workdir
    );
    let names = programs(&trace);
    for event in trace.events.iter() {
        let kind = kind(&event.fact);
        if !arguments.kind.is_empty() && !arguments.kind.iter().any(|wanted| wanted == kind) {
            continue;
        }
        let who = names.get(&event.image).map_or("?", String::as_str);
        let _ = writeln!(out, "{:>4} {who}  {}", event.image.0, line(&event));
    }
    let _ = writeln!(out, "# {}", ending(&trace));
    Some(out)
}

fn ending(trace: &Trace) -> String {
    let whole = if trace.is_complete() { "complete" } else { "INCOMPLETE: what it lacks is not known" };
    match &trace.footer {
        Some(footer) => format!("{} events, {}, {whole}", trace.events.len(), status(footer.status)),
        None => format!("{} events, no footer: the run or its recording was cut off; {whole}", trace.events.len()),
    }
}

/// The file name of each image's program, or of its script.
fn programs(trace: &Trace) -> BTreeMap<ImageId, String> {
    let images = trace.events.others().filter_map(|event| match &event.fact {
        Fact::Image(image) => Some((event.image, image.script.as_ref().unwrap_or(&image.exe))),
        _ => None,
    });
    images.map(|(id, path)| (id, escape::terminal(path.file_name().unwrap_or(path.as_bytes())))).collect()
}

/// The word of a trace for what kind of fact it is.
fn kind(fact: &Fact) -> &'static str {
    match fact {
        Fact::Image(_) => "image",
        Fact::Path(_) => "path",
        Fact::Pair(_) => "pair",
        Fact::Call { .. } => "call",
        Fact::Argument { .. } => "argument",
        Fact::UnknownCall { .. } => "unknown-call",
        Fact::Connect { .. } => "connect",
        Fact::Listen { .. } => "listen",
        Fact::Environment { .. } => "environment",
        Fact::Mentioned { .. } => "mentioned",
        Fact::Denied(_) => "denied",
        Fact::Gap { .. } => "gap",
        Fact::Census(_) => "census",
        Fact::Peaks(_) => "peaks",
        Fact::Exit { .. } => "exit",
    }
}

fn line(event: &Event) -> String {
    let words = |names: &BTreeSet<String>| {
        names.iter().map(|name| escape::terminal(name.as_bytes())).collect::<Vec<_>>().join(" ")
    };
    match &event.fact {
        Fact::Image(image) => format!(
            "runs {} ({}){}{}",
            image.exe,
            escape::terminal(image.argv.join(" ").as_bytes()),
            image.script.as_ref().map(|script| format!(" for {script}")).unwrap_or_default(),
            if image.set_id { " (set-id bit, without effect)" } else { "" }
        ),
        Fact::Path(path) => path_line(path),
        Fact::Pair(pair) => pair_line(pair),
        Fact::Call { call } => format!("calls {call}"),
        Fact::Argument { call, value } => format!("calls {call} with {}", escape::terminal(value.as_bytes())),
        Fact::UnknownCall { arch, number } => format!("calls number {number} of the ABI {arch:#x}, refused"),
        Fact::Connect { endpoint: at, transport, result } => {
            format!("connects to {} ({}){}", endpoint(at), word(transport), outcome(*result))
        }
        Fact::Listen { endpoint: at } => format!("listens at {}", endpoint(at)),
        Fact::Environment { names, credentials } if credentials.is_empty() => format!("is passed {}", words(names)),
        Fact::Environment { names, credentials } => {
            format!("is passed {}; credentials: {}", words(names), words(credentials))
        }
        Fact::Mentioned { names, capped } => format!(
            "variables whose name stands in what was executed or read{}: {}",
            if *capped { ", as far as it was looked through" } else { "" },
            words(names)
        ),
        Fact::Denied(denial) => format!(
            "was refused {} {} for `{}`",
            escape::terminal(denial.call.as_bytes()),
            escape::terminal(denial.thing.as_bytes()),
            escape::terminal(denial.program.as_bytes())
        ),
        Fact::Gap { gap } => format!("GAP: {}", gap_text(gap)),
        Fact::Census(census) => {
            format!("{} holds {}{} entries", census.dir, census.entries, if census.capped { " or more" } else { "" })
        }
        Fact::Peaks(peaks) => format!(
            "peaks: {} MiB, {} processes, {} threads, {} descriptors, largest file {} KiB, {} ms of processor, {} ms",
            peaks.memory >> 20,
            peaks.processes,
            peaks.threads,
            peaks.descriptors,
            peaks.file_size >> 10,
            peaks.cpu_ms,
            peaks.wall_ms
        ),
        Fact::Exit { status: how } => format!("ends: {}", status(*how)),
    }
}

fn path_line(path: &PathFact) -> String {
    let hops: String = path.hops.iter().map(|hop| format!(" by the link {}", hop.link)).collect();
    format!("{} {}{hops} ({}){}", word(&path.intent), path.path, path.call, outcome(path.result))
}

fn pair_line(pair: &PairFact) -> String {
    let over = if pair.replaced { ", which was there" } else { "" };
    format!("{} {} to {}{over} ({}){}", word(&pair.operation), pair.from, pair.to, pair.call, outcome(pair.result))
}

/// The word of the trace format for a value that has one.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn outcome(result: Outcome) -> String {
    match result {
        Outcome::Ok => String::new(),
        Outcome::Errno(errno) => format!(" = {:?}", Errno::from_raw(errno)),
        Outcome::Unseen => " = unseen".to_owned(),
    }
}

fn endpoint(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Inet(address) => address.to_string(),
        Endpoint::Unix(path) => path.to_string(),
        Endpoint::Abstract(name) => format!("the abstract socket {}", escape::terminal(name.as_bytes())),
        Endpoint::Name(peer) => peer.to_string(),
        Endpoint::Netlink(protocol) => format!("netlink {protocol}"),
    }
}

fn status(status: ExitStatus) -> String {
    match status {
        ExitStatus::Code(code) => format!("exit {code}"),
        ExitStatus::Signal(signal) => format!("signal {signal}"),
    }
}

fn stats(arguments: &TraceStatsArguments) -> Option<String> {
    let (path, trace) = open(&arguments.trace)?;
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut by_image: BTreeMap<ImageId, usize> = BTreeMap::new();
    let (mut paths, mut calls) = (BTreeSet::new(), BTreeSet::new());
    for event in trace.events.iter() {
        *kinds.entry(kind(&event.fact)).or_default() += 1;
        *by_image.entry(event.image).or_default() += 1;
        match event.fact {
            Fact::Path(path) => drop(paths.insert(path.path)),
            Fact::Pair(pair) => drop((paths.insert(pair.from), paths.insert(pair.to))),
            Fact::Call { call } => drop(calls.insert(call)),
            _ => {}
        }
    }
    let size = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let names = programs(&trace);
    let mut programs: BTreeMap<&str, usize> = BTreeMap::new();
    for (image, count) in by_image {
        *programs.entry(names.get(&image).map_or("?", String::as_str)).or_default() += count;
    }
    if arguments.json {
        let text = serde_json::json!({
            "trace": path.to_string_lossy(), "bytes": size, "events": trace.events.len(), "complete": trace.is_complete(),
            "kinds": kinds, "programs": programs, "paths": paths.len(), "calls": calls,
        });
        return Some(format!("{text:#}\n"));
    }
    let mut out =
        format!("{}\n{size} bytes, {}\n", escape::terminal(path.as_os_str().as_encoded_bytes()), ending(&trace));
    let _ = writeln!(out, "{} distinct paths, {} system calls beyond the base set", paths.len(), calls.len());
    for (title, counts) in [("events by kind", &kinds), ("events by program", &programs)] {
        let _ = writeln!(out, "\n{title}");
        let mut counts: Vec<_> = counts.iter().collect();
        counts.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), **name));
        for (name, count) in counts {
            let _ = writeln!(out, "{count:>8}  {name}");
        }
    }
    Some(out)
}

//! The reducer for its benchmark: `expand [--rule N] [--exposure N] [--figure] TRACE...` prints the profile of traces with its
//! places resolved, as JSON, and with `--figure` how many runs would have been refused something by the others; `speed EVENTS...` makes traces of that many distinct facts and prints what reducing them takes: of a run
//! shaped like those of agents, and of one that uses each file once, all over the machine; `write agent|scattered EVENTS FILE`
//! writes such a trace to a file, for `pinfold learn --from-trace`.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for measuring: what goes wrong ends it"
)]

use std::collections::BTreeMap;
use std::io::BufReader;
use std::time::Instant;

use pinfold::event::{Census, Event, ExitStatus, Fact, Image, ImageId, Intent, Outcome, Owner, PathFact, Peaks};
use pinfold::profile::evidence::Evidence;
use pinfold::reduce::confidence::{Figure, leave_one_out};
use pinfold::reduce::evidence::gather;
use pinfold::reduce::{Settings, reduce};
use pinfold::trace::events::Events;
use pinfold::trace::writer::Writer;
use pinfold::trace::{Header, Trace, reader};
use pinfold::vocab::bundle::Layout;
use pinfold::vocab::host::FileKind;
use pinfold::vocab::location::{Base, Location, Roots};
use pinfold::vocab::path::AbsPath;
use pinfold::vocab::syscall::Syscall;

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    match words.next().as_deref() {
        Some("expand") => expand(words),
        Some("speed") => words.for_each(|count| speed(&count)),
        Some("one") => one(&words.collect::<Vec<_>>()),
        Some("write") => write(&words.collect::<Vec<_>>()),
        _ => eprintln!(
            "usage: reduce expand [--rule N] [--exposure N] [--figure] TRACE... | reduce speed EVENTS... | reduce write \
             agent|scattered EVENTS FILE"
        ),
    }
}

fn expand(words: impl Iterator<Item = String>) {
    let mut settings = Settings::default();
    let (mut traces, mut figure) = (Vec::new(), false);
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rule" => settings.rule = words.next().unwrap().parse().unwrap(),
            "--figure" => figure = true,
            "--exposure" => settings.exposure = words.next().unwrap().parse().unwrap(),
            file => traces.push(reader::read(BufReader::new(std::fs::File::open(file).unwrap())).unwrap()),
        }
    }
    let reduction = reduce(&traces, &settings);
    let mut evidence = Evidence::default();
    if figure {
        evidence = gather(&traces, &reduction.profile, &settings);
        leave_one_out(&traces, &reduction.profile, &settings, &mut evidence);
    }
    let figure = Figure::of(&evidence).map(|figure| (figure.runs, figure.refused, figure.upper()));
    let profile = &reduction.profile;
    let roots = &traces.first().unwrap().header.roots;
    let layout = Layout::of(&|mark| std::path::Path::new(mark).exists());
    let mut rules = Vec::new();
    for (location, grant) in &profile.filesystem {
        let places: Vec<AbsPath> = match location {
            Location::Bundle(name) => {
                let opened = profile.bundles.get(name).unwrap().on(layout);
                opened.filter_map(|opening| roots.resolve(&opening.place)).collect()
            }
            Location::Path { .. } => roots.resolve(location).into_iter().collect(),
        };
        for place in places {
            rules.push(serde_json::json!([
                place.to_string(),
                grant.access.as_str(),
                grant.approved,
                location.to_string()
            ]));
        }
    }
    let calls: Vec<&str> = profile.syscalls.allow.iter().map(|call| call.name()).collect();
    let notes: Vec<String> = reduction.notes.iter().map(ToString::to_string).collect();
    let out = serde_json::json!({ "lines": profile.filesystem.len(), "rules": rules, "calls": calls, "notes": notes, "figure": figure });
    println!("{out}");
}

/// How the files of a run lie.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    /// As in the recorded runs of agents: each file used by two programs, eight in a directory, one directory of a hundred
    /// in a place where each file is a line of its own.
    Agent,
    /// Each file used once, hardly two in one directory, two of seven in such places.
    Scattered,
}

fn file(shape: Shape, number: usize) -> String {
    let tops =
        ["/home/u/p/src", "/home/u/.cache/a", "/usr/share/x", "/usr/lib/y", "/etc/z", "/home/u/notes", "/srv/data"];
    match shape {
        Shape::Agent => {
            let file = number / 2;
            let dir = file / 8;
            let top = if dir.is_multiple_of(100) { 4 + dir / 100 % 3 } else { dir % 4 };
            format!("{}/d{}/e{dir}/f{file}", tops.get(top).unwrap(), dir % 97)
        }
        Shape::Scattered => {
            format!("{}/d{}/e{}/f{number}", tops.get(number % 7).unwrap(), number % 97, number % 1009)
        }
    }
}

fn trace(shape: Shape, count: usize) -> Trace {
    let path = |text: &str| AbsPath::new(text).unwrap();
    let roots = Roots(BTreeMap::from([(Base::Home, path("/home/u")), (Base::Project, path("/home/u/p"))]));
    let header = Header {
        format: "pinfold-trace".into(),
        version: 1,
        pinfold: "0".into(),
        run: "r".into(),
        started: 0,
        kernel: "6".into(),
        machine: "x86_64".into(),
        command: vec!["agent".into()],
        roots,
        workdir: path("/home/u/p"),
        uid: 1000,
        base: 1,
        opened: vec![],
        broker: false,
    };
    let mut events = Events::default();
    let mut push = |fact: Fact| {
        let image = u32::try_from(events.len() % 40).unwrap();
        events.push(Event { image: ImageId(image), fact });
    };
    // The first starts the others.
    for program in 0..40 {
        let (parent, exe) = ((program > 0).then_some(ImageId(0)), path(&format!("/usr/bin/agent{program}")));
        push(Fact::Image(Image { parent, exe, script: None, argv: vec![], set_id: false }));
    }
    push(Fact::Peaks(Peaks { memory: 1 << 30, processes: 9, threads: 30, ..Peaks::default() }));
    let call = Syscall::from_name("openat").unwrap();
    for number in 0..count {
        let place = path(&file(shape, number));
        // Nobody writes to the system.
        let is_own = shape == Shape::Scattered || place.to_string().starts_with("/home");
        let intent = if number % 11 == 0 && is_own { Intent::Write } else { Intent::Read };
        if number % 50 == 0 {
            push(Fact::Census(Census {
                dir: place.parent().unwrap(),
                entries: 100,
                capped: false,
                owner: Owner::Caller,
                world_readable: true,
                markers: Default::default(),
                sensitive: Default::default(),
            }));
        }
        let (kind, result) = (Some(FileKind::File), Outcome::Ok);
        push(Fact::Path(PathFact { intent, call, path: place, hops: vec![], kind, result }));
    }
    Trace { header, events, footer: None }
}

fn write(words: &[String]) {
    let [shape, count, path] = words else { panic!("write agent|scattered EVENTS FILE") };
    let trace = trace(shape_of(shape), count.parse().unwrap());
    let out = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let mut writer = Writer::new(out, &trace.header).unwrap();
    trace.events.iter().for_each(|event| writer.event(&event).unwrap());
    writer.finish(ExitStatus::Code(0)).unwrap();
}

/// Each in a process of its own: what one left in memory is not the other's.
fn speed(count: &str) {
    for shape in ["agent", "scattered"] {
        let program = std::env::current_exe().unwrap();
        assert!(std::process::Command::new(program).args(["one", shape, count]).status().unwrap().success());
    }
}

fn one(words: &[String]) {
    let [shape, count] = words else { panic!("one agent|scattered EVENTS") };
    let trace = trace(shape_of(shape), count.parse().unwrap());
    // What making the trace took at its highest does not count beside it.
    let made = peak();
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = resident();
    let (started, busy) = (Instant::now(), processor());
    let reduction = reduce(std::slice::from_ref(&trace), &Settings::default());
    let (elapsed, busy) = (started.elapsed(), processor() - busy);
    let lines = reduction.profile.filesystem.len();
    let (memory, all) = ((peak().saturating_sub(before)) >> 20, peak().max(made) >> 20);
    let seconds = elapsed.as_secs_f64();
    println!(
        "{count} events, {shape}: {seconds:.3} s, {busy:.3} s of processor, {memory} MiB beside the trace, {all} with it, {lines} \
         lines"
    );
}

fn shape_of(word: &str) -> Shape {
    if word == "agent" { Shape::Agent } else { Shape::Scattered }
}

/// Seconds on a processor so far.
fn processor() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn resident() -> u64 {
    status("VmRSS:")
}

fn peak() -> u64 {
    status("VmHWM:")
}

fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

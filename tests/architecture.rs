//! The house rules that the compiler does not know, checked on the text of `src/`.
//!
//! Each rule is a function from one [`Source`] to complaints, and has a control: an offending text that was made up for it
//! is fed to the same function and must be caught. Comments, strings and test modules are blanked out before rules look.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test program: a panic in a helper is a failed test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Rooms that are functions of their arguments: no disk, network, clock, environment, process, kernel.
const PURE: &[&str] =
    &["vocab", "event", "trace", "profile", "reduce", "diff", "explain", "merge", "check", "plan", "export", "import"];

/// Files that may hold `unsafe`.
const FENCE: &[&str] = &["sys/"];

/// Rooms that must never meet, whatever their ranks say.
const STRANGERS: &[(&str, &str, &str)] = &[
    ("tracer", "profile", "the tracer records what happens, whatever is allowed"),
    ("sandbox", "trace", "the sandbox reports events; where they go is not its business"),
    ("sandbox", "reduce", "the sandbox executes a plan and decides nothing"),
];

/// Crates that have a place: crate, prefixes of the files that may name it.
const PLACED: &[(&str, &[&str])] = &[
    ("petgraph", &["reduce/path_graph.rs", "explain"]),
    ("syscalls", &["vocab/syscall.rs", "tracer/table.rs"]),
    ("procfs", &["tracer/", "probe", "run/"]),
    ("toml", &["profile/", "vocab/", "reduce/", "plan/", "diff/"]),
    ("toml_edit", &["profile/"]),
    ("clap", &["cli/"]),
];

/// Lines of a file, its test module not counted.
const LONGEST: usize = 800;

/// Flat tables, which may be longer.
const TABLES: &[&str] = &["tracer/table.rs", "vocab/table.rs"];

/// One file of `src/`.
struct Source {
    /// Relative to `src/`, with slashes.
    path: String,
    /// As it is.
    raw: String,
    /// Comments, strings and characters blanked, line structure kept; with its test module.
    code: String,
    /// [`Self::code`] without its test module.
    shipped: String,
}

impl Source {
    fn new(path: &str, raw: &str) -> Self {
        let code = blank(raw);
        let shipped = without_tests(&code);
        Self { path: path.to_owned(), raw: raw.to_owned(), code, shipped }
    }

    /// `plan` for `plan/mod.rs` and `plan/filter.rs`, `event` for `event.rs`.
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Neither the crate's root nor the program's: those stand above all rooms.
    fn is_in_a_room(&self) -> bool {
        !matches!(self.path.as_str(), "lib.rs" | "main.rs")
    }

    fn under(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    /// Modules from the crate's root to this file: `["plan", "filter"]`.
    fn module(&self) -> Vec<&str> {
        let stem = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        stem.strip_suffix("/mod").unwrap_or(stem).split('/').collect()
    }

    /// Rooms of this crate that are named outside tests, with the line that names each first.
    fn imports(&self) -> BTreeMap<String, usize> {
        let mut rooms = BTreeMap::new();
        for (line, path) in paths(&self.shipped) {
            let ups = path.iter().take_while(|segment| *segment == "super").count();
            let room = match path.first().map(String::as_str) {
                Some("crate" | "pinfold") => path.get(1).cloned(),
                Some("super") => {
                    let module = self.module();
                    let left = module.len().saturating_sub(ups);
                    module.get(..left).and_then(|m| m.first()).map(|s| (*s).to_owned()).or(path.get(ups).cloned())
                }
                _ => None,
            };
            if let Some(room) = room {
                rooms.entry(room).or_insert(line);
            }
        }
        rooms
    }
}

/// Blanks comments and the insides of strings and characters; newlines stay where they are.
fn blank(raw: &str) -> String {
    let bytes = raw.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let skip = if rest.starts_with(b"//") {
            rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            block_comment(rest)
        } else if let Some(length) = string(rest, at == 0 || !is_word(bytes[at - 1])) {
            length
        } else if let Some(length) = character(rest) {
            length
        } else {
            out.push(rest[0]);
            at += 1;
            continue;
        };
        out.extend(rest[..skip].iter().map(|&b| if b == b'\n' { b'\n' } else { b' ' }));
        at += skip;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// Length of the string literal that `rest` begins with, of any kind.
fn string(rest: &[u8], at_word_start: bool) -> Option<usize> {
    let prefix = if at_word_start {
        [b"br".as_slice(), b"cr", b"r", b"b", b"c"].into_iter().find(|p| rest.starts_with(p)).unwrap_or_default()
    } else {
        b""
    };
    let mut at = prefix.len();
    if prefix.ends_with(b"r") {
        let hashes = rest[at..].iter().take_while(|&&b| b == b'#').count();
        at += hashes;
        if rest.get(at) != Some(&b'"') {
            return None;
        }
        let end: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
        let body = &rest[at + 1..];
        let length = body.windows(end.len()).position(|w| w == end).map_or(body.len(), |p| p + end.len());
        return Some(at + 1 + length);
    }
    if rest.get(at) != Some(&b'"') {
        return None;
    }
    at += 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    Some((at + 1).min(rest.len()))
}

/// Length of the character literal that `rest` begins with; a lifetime is none.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.first() != Some(&b'\'') {
        return None;
    }
    let end = |from: usize| rest.iter().skip(from).take(12).position(|&b| b == b'\'').map(|p| from + p + 1);
    match rest.get(1)? {
        b'\\' => end(3),
        first if first.is_ascii() => (rest.get(2) == Some(&b'\'')).then_some(3),
        _ => end(2),
    }
}

/// Cuts each `#[cfg(test)] mod … { … }`; lines keep their numbers.
fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let Some(open) = out[start..].find('{').map(|p| start + p) else { break };
        // `#[cfg(test)] mod tests;` or `use …;`: nothing in braces belongs to it.
        let semicolon = out[start..].find(';').map_or(usize::MAX, |p| start + p);
        let end = if semicolon < open { semicolon + 1 } else { closing(&out, open) };
        let blanked: String = out[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(start..end, &blanked);
    }
    out
}

/// Just behind the brace that closes the one at `open`.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return offset + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// Every path `a::b::c` in the text with its line, groups `a::{b, c::d}` multiplied out.
fn paths(code: &str) -> Vec<(usize, Vec<String>)> {
    let bytes = code.as_bytes();
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let starts_word = is_word(bytes[at]) && (at == 0 || !is_word(bytes[at - 1]));
        if starts_word && !code[..at].trim_end().ends_with("::") {
            let (tree, end) = tree(code, at);
            if tree.iter().any(|path| path.len() > 1) {
                found.extend(tree.into_iter().map(|path| (line, path)));
                line += code[at..end].matches('\n').count();
                at = end;
                continue;
            }
        }
        line += usize::from(bytes[at] == b'\n');
        at += 1;
        while at < bytes.len() && !code.is_char_boundary(at) {
            at += 1;
        }
    }
    found
}

/// The paths of one tree of names that begins at `at`, and where it ends.
fn tree(code: &str, mut at: usize) -> (Vec<Vec<String>>, usize) {
    let bytes = code.as_bytes();
    let skip_space = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        at
    };
    let mut prefix = Vec::new();
    loop {
        let start = at;
        while bytes.get(at).copied().is_some_and(is_word) {
            at += 1;
        }
        prefix.push(code[start..at].to_owned());
        let after = skip_space(at);
        if !code[after..].starts_with("::") {
            return (vec![prefix], at);
        }
        let next = skip_space(after + 2);
        match bytes.get(next) {
            Some(&b) if is_word(b) => at = next,
            Some(b'{') => return group(code, next, &prefix),
            _ => return (vec![prefix], after + 2),
        }
    }
}

fn group(code: &str, open: usize, prefix: &[String]) -> (Vec<Vec<String>>, usize) {
    let end = closing(code, open);
    let (mut all, mut at) = (Vec::new(), open + 1);
    while at < end {
        if is_word(code.as_bytes()[at]) {
            let (branch, behind) = tree(code, at);
            all.extend(branch.into_iter().map(|path| prefix.iter().cloned().chain(path).collect()));
            at = behind.max(at + 1);
            // `as name` and the like are not paths of their own.
            while at < end && !matches!(code.as_bytes()[at], b',' | b'}') {
                at += 1;
            }
        } else {
            at += 1;
        }
    }
    (all, end)
}

/// The rank of each room, from the table in the crate's documentation.
fn ranks(lib: &str) -> BTreeMap<String, u32> {
    let mut ranks = BTreeMap::new();
    for row in lib.lines().filter_map(|line| line.strip_prefix("//! |")) {
        let mut cells = row.split('|').map(str::trim);
        let rank = match cells.next() {
            Some("½") => 1,
            Some(number) => match number.parse::<u32>() {
                Ok(0) => 0,
                Ok(number) => number * 2,
                Err(_) => continue,
            },
            None => continue,
        };
        let rooms = cells.next().unwrap_or_default().split('`').skip(1).step_by(2);
        ranks.extend(rooms.map(|room| (room.to_owned(), rank)));
    }
    ranks
}

type Complaints = Vec<String>;

fn complain(source: &Source, line: usize, what: &str) -> String {
    format!("src/{}:{line}: {what}", source.path)
}

/// Imports go to a strictly lower rank, or stay in the room.
fn imports_go_down(source: &Source, ranks: &BTreeMap<String, u32>) -> Complaints {
    let room = source.room();
    if !source.is_in_a_room() {
        return Vec::new();
    }
    let Some(own) = ranks.get(room) else {
        return vec![complain(source, 1, "its room is missing from the table of ranks in src/lib.rs")];
    };
    let mut complaints = Vec::new();
    for (other, line) in source.imports() {
        if other == room {
            continue;
        }
        match ranks.get(&other) {
            Some(rank) if rank < own => {}
            Some(_) => complaints.push(complain(source, line, &format!("`{room}` may not import from `{other}`"))),
            None => complaints.push(complain(source, line, &format!("`crate::{other}` is no room"))),
        }
    }
    complaints
}

fn strangers_do_not_meet(source: &Source) -> Complaints {
    let imports = source.imports();
    STRANGERS
        .iter()
        .filter(|(room, ..)| *room == source.room())
        .filter_map(|(_, other, why)| {
            imports.get(*other).map(|&line| complain(source, line, &format!("no `{other}` here: {why}")))
        })
        .collect()
}

/// `unsafe` stays within the fence; tests are no exception.
fn unsafe_is_fenced(source: &Source) -> Complaints {
    if source.under(FENCE) {
        return Vec::new();
    }
    words(&source.code, &["unsafe"]).map(|(line, _)| complain(source, line, "`unsafe` outside the fence")).collect()
}

/// Pure rooms touch nothing of the machine. Addresses and durations are values.
fn pure_rooms_are_pure(source: &Source) -> Complaints {
    if !PURE.contains(&source.room()) {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    for (line, path) in paths(&source.shipped) {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let impure = match *names.as_slice() {
            ["std", "time", "Duration", ..] => false,
            ["std", "net", name, ..] => !name.starts_with("Ip") && !name.starts_with("SocketAddr"),
            ["std", "fs" | "env" | "time" | "net" | "process" | "thread", ..] => true,
            ["std", "io", "stdin", ..] | ["std", "os", "unix", "net" | "fs" | "process", ..] => true,
            // Numbers of errors are words of the two formats.
            ["libc", name, ..] => !name.starts_with('E') || name.chars().any(char::is_lowercase),
            ["nix", "errno", ..] => false,
            ["nix" | "procfs", ..] => true,
            _ => false,
        };
        if impure {
            complaints.push(complain(source, line, &format!("`{}` in a pure room", path.join("::"))));
        }
    }
    complaints
}

fn only_the_command_line_prints(source: &Source) -> Complaints {
    if source.room() == "cli" || source.path == "main.rs" {
        return Vec::new();
    }
    let macros = ["println", "eprintln", "print", "eprint", "dbg"];
    let mut complaints: Complaints = words(&source.shipped, &macros)
        .filter(|(_, after)| after.starts_with('!'))
        .map(|(line, _)| complain(source, line, "prints outside `cli`"))
        .collect();
    for (line, path) in paths(&source.shipped) {
        let tail: Vec<&str> = path.iter().map(String::as_str).collect();
        if matches!(tail.as_slice(), ["std", "io", "stdout" | "stderr", ..] | ["io", "stdout" | "stderr", ..]) {
            complaints.push(complain(source, line, "opens the standard output outside `cli`"));
        }
    }
    complaints
}

fn no_unordered_collections(source: &Source) -> Complaints {
    words(&source.shipped, &["HashMap", "HashSet"])
        .map(|(line, _)| complain(source, line, "an unordered collection: its order reaches files and screens"))
        .collect()
}

fn crates_keep_their_place(source: &Source) -> Complaints {
    let mut complaints = Vec::new();
    for (line, path) in paths(&source.shipped) {
        for (name, places) in PLACED {
            if path.first().is_some_and(|first| first == name) && !source.under(places) {
                complaints.push(complain(source, line, &format!("`{name}` belongs to {}", places.join(", "))));
            }
        }
    }
    complaints
}

fn files_are_short(source: &Source) -> Complaints {
    let lines = source.shipped.trim_end().lines().count();
    if lines <= LONGEST || source.under(TABLES) {
        return Vec::new();
    }
    vec![complain(source, lines, &format!("{lines} lines without its tests; {LONGEST} is the limit"))]
}

/// A file begins by saying what it turns into what. Attributes of the file may stand before.
fn files_begin_with_their_purpose(source: &Source) -> Complaints {
    let first = source.raw.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!"));
    match first {
        Some(line) if line.starts_with("//! ") => Vec::new(),
        _ => vec![complain(source, 1, "does not begin with `//!`")],
    }
}

/// Each occurrence of one of `wanted` as a whole word: its line, and the text behind it.
fn words<'a>(code: &'a str, wanted: &'a [&str]) -> impl Iterator<Item = (usize, &'a str)> {
    code.lines().enumerate().flat_map(move |(index, line)| {
        wanted.iter().flat_map(move |word| {
            line.match_indices(word).filter_map(move |(at, _)| {
                let after = &line[at + word.len()..];
                let whole =
                    !line[..at].bytes().next_back().is_some_and(is_word) && !after.bytes().next().is_some_and(is_word);
                whole.then_some((index + 1, after))
            })
        })
    })
}

/// A way round through the rooms, if their imports have one.
fn cycle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(room: &str, edges: &BTreeMap<String, BTreeSet<String>>, way: &mut Vec<String>) -> bool {
        if let Some(start) = way.iter().position(|r| r == room) {
            way.drain(..start);
            way.push(room.to_owned());
            return true;
        }
        way.push(room.to_owned());
        if edges.get(room).into_iter().flatten().any(|next| walk(next, edges, way)) {
            return true;
        }
        way.pop();
        false
    }
    edges.keys().find_map(|room| {
        let mut way = Vec::new();
        walk(room, edges, &mut way).then_some(way)
    })
}

fn sources() -> Vec<Source> {
    fn collect(dir: &Path, root: &Path, found: &mut Vec<Source>) {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                collect(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push(Source::new(&name, &std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    assert!(found.len() > 20, "the scan sees only {} files", found.len());
    found
}

fn rank_table() -> BTreeMap<String, u32> {
    ranks(&std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap())
}

/// Fails with every complaint of `rule` over the real sources.
fn holds(rule: impl Fn(&Source) -> Complaints) {
    let complaints: Complaints = sources().iter().flat_map(rule).collect();
    let mut text = String::new();
    for complaint in &complaints {
        let _ = writeln!(text, "  {complaint}");
    }
    assert!(complaints.is_empty(), "\n{text}");
}

/// The control: `rule` catches `code` at `path`, once a `bad` line, and accepts `good`.
fn catches(rule: impl Fn(&Source) -> Complaints, path: &str, bad: &[&str], good: &[&str]) {
    for text in bad {
        assert!(!rule(&Source::new(path, text)).is_empty(), "not caught in src/{path}: {text}");
    }
    for text in good {
        assert_eq!(rule(&Source::new(path, text)), Complaints::new(), "wrongly caught in src/{path}: {text}");
    }
}

#[test]
fn a_file_imports_only_from_a_lower_rank_or_its_own_room() {
    let table = rank_table();
    holds(|source| imports_go_down(source, &table));
    let rule = |source: &Source| imports_go_down(source, &table);
    catches(
        rule,
        "plan/filter.rs",
        &[
            "use crate::sandbox::launch;",
            "use crate::{vocab::path::AbsPath, run};",
            "use crate::diff::Change;",
            "fn f() -> crate::cli::Exit { todo!() }",
            "use super::super::tracer::Tracer;",
            "use crate::{\n    vocab,\n    store::{self, Store},\n};",
            "use crate::attic::Thing;",
            "use pinfold::run;",
        ],
        &[
            "use crate::vocab::path::AbsPath;",
            "use super::Plan;",
            "use super::super::vocab::path::AbsPath;",
            "// use crate::run;\n/* crate::run */ const A: &str = \"crate::run::x\"; const B: &str = r#\"crate::run\"#;",
            "#[cfg(test)]\nmod tests {\n    use crate::run::learn;\n}",
        ],
    );
    catches(rule, "attic.rs", &["//! A room without a rank."], &[]);
    catches(rule, "plan/mod.rs", &["use super::run;"], &["use super::vocab;", "use self::filter::x;"]);
    catches(rule, "sys/ptrace.rs", &["use crate::event::Event;"], &["use crate::vocab::bpf::BpfInsn;"]);
    catches(rule, "vocab/path.rs", &["use crate::sys;"], &["use super::location::Roots;"]);
}

#[test]
fn the_table_of_ranks_names_the_rooms_that_exist() {
    let table = rank_table();
    let rooms: BTreeSet<String> =
        sources().iter().filter(|s| s.is_in_a_room()).map(|source| source.room().to_owned()).collect();
    assert_eq!(table.keys().cloned().collect::<BTreeSet<_>>(), rooms);
    let control =
        ranks("//! | rank | room |\n//! |---|---|\n//! | ½ | [`sys`] | x |\n//! | 2 | [`a`], [`b`] | `x` |\n");
    assert_eq!(control, BTreeMap::from([("sys".to_owned(), 1), ("a".to_owned(), 4), ("b".to_owned(), 4)]));
}

#[test]
fn rooms_do_not_import_each_other_in_a_circle() {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources().iter().filter(|source| source.is_in_a_room()) {
        let others = source.imports().into_keys().filter(|other| other != source.room());
        edges.entry(source.room().to_owned()).or_default().extend(others);
    }
    assert_eq!(cycle(&edges), None);
    let of = |from: &str, to: &str| (from.to_owned(), BTreeSet::from([to.to_owned()]));
    let circle = BTreeMap::from([of("a", "b"), of("b", "c"), of("c", "b")]);
    assert_eq!(cycle(&circle), Some(vec!["b".to_owned(), "c".to_owned(), "b".to_owned()]));
}

#[test]
fn rooms_that_must_not_know_each_other_do_not() {
    holds(strangers_do_not_meet);
    catches(
        strangers_do_not_meet,
        "tracer/decode/path.rs",
        &["use crate::profile::Profile;"],
        &["use crate::event::Event;"],
    );
    catches(strangers_do_not_meet, "sandbox/mod.rs", &["use crate::trace::Writer;"], &["use crate::plan::Plan;"]);
}

#[test]
fn unsafe_code_stays_within_the_fence() {
    holds(unsafe_is_fenced);
    let bad = ["fn f() { unsafe { g() } }", "unsafe impl Send for X {}", "#[cfg(test)]\nmod t { unsafe fn f() {} }"];
    let good = ["// unsafe\n", "#![expect(unsafe_code, reason = \"unsafe\")]", "fn not_unsafe() {}"];
    catches(unsafe_is_fenced, "tracer/mod.rs", &bad, &good);
    catches(unsafe_is_fenced, "sandbox/mod.rs", &bad, &good);
    catches(unsafe_is_fenced, "sandbox/child.rs", &bad, &good);
    catches(unsafe_is_fenced, "sys/clone.rs", &[], &bad);
}

#[test]
fn pure_rooms_do_not_touch_the_machine() {
    holds(pure_rooms_are_pure);
    catches(
        pure_rooms_are_pure,
        "reduce/mod.rs",
        &[
            "use std::fs;",
            "use std::{collections::BTreeMap, env};",
            "let now = std::time::Instant::now();",
            "use std::time::SystemTime;",
            "use std::net::TcpStream;",
            "std::process::id();",
            "use std::os::unix::fs::MetadataExt;",
            "libc::getpid();",
            "use nix::unistd::getpid;",
            "use procfs::process::Process;",
        ],
        &[
            "use std::collections::BTreeMap;",
            "use std::net::{IpAddr, SocketAddr};",
            "use std::time::Duration;",
            "libc::ENOSYS",
            "#[cfg(test)]\nmod tests { use std::fs; }",
            "//! Reads no std::fs.",
        ],
    );
    catches(pure_rooms_are_pure, "store/mod.rs", &[], &["use std::fs;"]);
}

#[test]
fn nobody_but_the_command_line_prints() {
    holds(only_the_command_line_prints);
    let bad = [
        "fn f() { println!(\"x\"); }",
        "eprintln!();",
        "dbg!(x);",
        "std::io::stdout().lock();",
        "use std::io::{self, stderr};",
        "use std::io;\nfn f() { io::stderr(); }",
    ];
    let good =
        ["fn println() {}", "// println!()", "writeln!(out, \"\")", "#[cfg(test)]\nmod t { fn f() { println!(); } }"];
    catches(only_the_command_line_prints, "run/mod.rs", &bad, &good);
    catches(only_the_command_line_prints, "cli/demo.rs", &[], &bad);
}

#[test]
fn collections_have_an_order() {
    holds(no_unordered_collections);
    catches(
        no_unordered_collections,
        "cli/mod.rs",
        &["use std::collections::HashMap;", "a: HashSet<u8>"],
        &["BTreeMap"],
    );
}

#[test]
fn crates_are_used_where_they_belong() {
    holds(crates_keep_their_place);
    catches(
        crates_keep_their_place,
        "reduce/mod.rs",
        &["use petgraph::graph::DiGraph;", "use syscalls::Sysno;"],
        &["let s = profile.syscalls.base;", "use crate::profile::syscalls::Base;"],
    );
    catches(
        crates_keep_their_place,
        "reduce/path_graph.rs",
        &["use clap::Parser;"],
        &["use petgraph::graph::DiGraph;"],
    );
    catches(crates_keep_their_place, "vocab/syscall.rs", &[], &["use syscalls::Sysno;"]);
    catches(crates_keep_their_place, "sandbox/mod.rs", &["toml::from_str(x)", "use toml_edit::DocumentMut;"], &[]);
}

#[test]
fn files_stay_short_enough_to_read() {
    holds(files_are_short);
    let long = "fn f() {}\n".repeat(LONGEST + 1);
    let tested = format!("#[cfg(test)]\nmod tests {{\n{long}}}\n");
    catches(files_are_short, "run/mod.rs", &[&long], &[&tested]);
    catches(files_are_short, "tracer/table.rs", &[], &[&long]);
}

#[test]
fn files_begin_with_what_they_are_for() {
    holds(files_begin_with_their_purpose);
    catches(
        files_begin_with_their_purpose,
        "run/mod.rs",
        &["use std::io;\n//! Late.", "// A comment.\n", "/// Not of the file.\nfn f() {}", ""],
        &["//! Something.\n", "#![expect(unsafe_code, reason = \"x\")]\n//! Something.\n"],
    );
}

#[test]
fn paths_are_multiplied_out_of_groups() {
    let found: Vec<(usize, String)> = paths("use a::{b, c::{d, e as f}};\nlet x = <T as g::H>::i(j :: k);")
        .into_iter()
        .map(|(l, p)| (l, p.join("::")))
        .collect();
    let expected = [(1, "a::b"), (1, "a::c::d"), (1, "a::c::e"), (2, "g::H"), (2, "j::k")];
    assert_eq!(found, expected.map(|(line, path)| (line, path.to_owned())));
}

#[test]
fn strings_characters_and_comments_are_blanked_and_lifetimes_are_not() {
    let blanked = blank("a<'a> \"un\\\"safe\" '\\'' '\"' b'x' r#\"q\"r\"# /* /* c */ d */ e // f\ng");
    assert_eq!(blanked.split_whitespace().collect::<Vec<_>>(), ["a<'a>", "b", "e", "g"]);
}

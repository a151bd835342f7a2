//! Nothing that strace sees of a program is missing from what pinfold saw of it: twenty programs, each run twice from the
//! same state, once under each. Compared are the paths, what was wanted with them, what came of it, and the names of all
//! calls.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use common::scratch::{Scratch, said, text};
use pinfold::event::{Fact, Intent, Outcome};
use pinfold::vocab::path::AbsPath;
use pinfold::vocab::syscall::Syscall;
use pinfold::vocab::syscall_table::{Class, Row, row};

/// Name, programs that it needs, script.
const PROGRAMS: &[(&str, &[&str], &str)] = &[
    (
        "git",
        &["git"],
        "git init -q a; cd a; echo x >f; git add f; git commit -qm x; git log --stat; git gc -q; git worktree add -q ../w; git status",
    ),
    (
        "python",
        &["python3"],
        "python3 -c 'import json,decimal,os,shutil; os.makedirs(\"d\"); open(\"d/x\",\"w\").write(\"1\"); os.replace(\"d/x\",\"y\"); shutil.rmtree(\"d\"); print(os.listdir(\"/etc\")[:0])'",
    ),
    ("venv", &["python3"], "python3 -m venv --without-pip v; v/bin/python -c 'import ssl'"),
    ("pool", &["python3"], "python3 -c 'import multiprocessing as m; p = m.Pool(2); print(p.map(abs, [1, 2]))'"),
    ("perl", &["perl"], "perl -MFile::Find -e 'find(sub {}, \"/etc/alternatives\")'; perl -pi -e 's/a/b/' f.txt"),
    (
        "node",
        &["node"],
        "node -e 'const fs=require(\"fs\");fs.writeFileSync(\"n\",\"1\");fs.renameSync(\"n\",\"o\");fs.readdirSync(\"/usr\");fs.promises.readFile(\"o\").then(()=>fs.unlinkSync(\"o\"));require(\"child_process\").execSync(\"ls\")'",
    ),
    ("find", &["find"], "find /etc -name '*.conf' >found; find . -newer f.txt | xargs -r ls -la"),
    (
        "links",
        &["sed"],
        "sed s/a/b/ f.txt >g; cp -a f.txt c; mv c h; ln -s f.txt l; ln h hh; cat l; readlink -f l; rm l hh",
    ),
    (
        "directories",
        &["mkdir"],
        "mkdir -p q/w/e; mkdir -p q/w; rmdir -p q/w/e; touch f.txt; chmod 600 f.txt; truncate -s 0 f.txt; install -m 644 f.txt z",
    ),
    ("tar", &["tar"], "mkdir t; echo 1 >t/a; ln -s a t/b; tar cf t.tar t; rm -r t; tar xf t.tar; gzip -k t.tar"),
    (
        "shell",
        &["bash"],
        "cd /; cd -; for i in *; do test -e $i; done; x=$(<f.txt); exec 3<f.txt; read -u3 y; pushd /usr/share; ls >/dev/null; popd; source ./src.sh",
    ),
    ("sqlite", &["sqlite3"], "sqlite3 d.db 'create table t(a); insert into t values(1); vacuum;'"),
    ("keys", &["ssh-keygen"], "ssh-keygen -q -t ed25519 -N '' -f k; ssh-keygen -lf k.pub"),
    ("identity", &["getent"], "getent passwd root; id; whoami; date; locale"),
    (
        "text",
        &["awk"],
        "awk '{print}' f.txt >a.out; sort -o s.out a.out; uniq s.out; diff a.out s.out; head -c 3 a.out | tee b.out; cmp a.out s.out",
    ),
    (
        "wrappers",
        &["timeout"],
        "nice true; timeout 5 true; env -i /bin/true; nohup true >/dev/null 2>&1; setsid true; xargs -0 true </dev/null",
    ),
    ("search", &["grep"], "grep -rl x . ; grep -c a /etc/passwd; ls -R /etc/alternatives >/dev/null"),
    ("make", &["make"], "printf 'all: a\\na:\\n\\ttouch a\\n' >Makefile; make -s; rm a; make -s -j2"),
    (
        "compiler",
        &["gcc"],
        "echo 'int main(void) { return 0; }' >m.c; gcc -g m.c -o m; ./m; ar rc l.a m.c; strip m; ldd ./m >/dev/null",
    ),
    (
        "editor",
        &["ed", "patch"],
        "printf 'a\\nx\\n.\\nw\\nq\\n' | ed -s f.txt; diff -u src.sh f.txt >p; patch -s src.sh p",
    ),
];

/// A call of strace's log on one path: where it led, what it wanted, and the name of its error.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    path: PathBuf,
    call: String,
    wanted: Wanted,
    error: Option<String>,
}

/// What a call does with a path, as far as its name and flags tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted {
    Look,
    Open,
    Change,
    Remove,
    Move,
    Execute,
}

impl Wanted {
    fn of(call: &str, arguments: &str) -> Self {
        let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| arguments.contains(flag));
        match call {
            "open" | "openat" if arguments.contains("O_PATH") => Self::Look,
            "open" | "openat" if !writes => Self::Open,
            "open" | "openat" | "creat" | "mkdir" | "mkdirat" | "symlink" | "symlinkat" | "truncate" => Self::Change,
            "unlink" | "unlinkat" | "rmdir" => Self::Remove,
            "rename" | "renameat" | "renameat2" | "link" | "linkat" => Self::Move,
            "execve" => Self::Execute,
            call if call.starts_with("chmod") || call.starts_with("fchmodat") || call.starts_with("ut") => Self::Change,
            _ => Self::Look,
        }
    }

    /// Whether a fact with this intent says so. To look at something is part of everything else.
    fn is_said_by(self, intent: Option<Intent>) -> bool {
        use Intent::{Attributes, Create, Execute, List, Map, Read, Remove, Truncate, Write};
        match self {
            Self::Look => true,
            Self::Open => matches!(intent, Some(Read | List | Map | Execute | Write | Create)),
            Self::Change => matches!(intent, Some(Write | Create | Truncate | Attributes)),
            Self::Remove => intent == Some(Remove),
            Self::Move => intent.is_none(),
            Self::Execute => intent == Some(Execute),
        }
    }
}

/// What was seen of a program by either.
#[derive(Debug, Default)]
struct Theirs {
    seen: BTreeSet<Seen>,
    calls: BTreeSet<String>,
}

/// What pinfold saw: for each path every intent (`None`: an end of a rename or link) with its result; and the calls beyond
/// the base set.
#[derive(Debug, Default)]
struct Ours {
    paths: BTreeMap<PathBuf, BTreeSet<(Option<Intent>, Outcome)>>,
    calls: BTreeSet<String>,
}

/// The whole lines of a log: a call that was interrupted by another task's is put together again.
fn calls(log: &str) -> Vec<String> {
    let mut open: BTreeMap<&str, &str> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let Some((task, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begin) = rest.strip_suffix("<unfinished ...>") {
            open.insert(task, begin);
        } else if let Some((_, end)) = rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            calls.push(format!("{}{end}", open.remove(task).unwrap_or_default()));
        } else {
            calls.push(rest.to_owned());
        }
    }
    calls
}

/// The paths among the arguments, made absolute, and the rest of the arguments behind the first.
fn paths(call: &str, arguments: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut rest = arguments;
    // The text of a symlink is no path that is looked up.
    if call == "symlink" || call == "symlinkat" {
        rest = rest.split_once("\", ").map_or("", |(_, rest)| rest);
    }
    while found.len() < if call.starts_with("rename") || call.starts_with("link") { 2 } else { 1 } {
        let (base, behind) = match rest.split_once('<') {
            Some((start, behind)) if !start.contains('"') => behind.split_once(">, ").unwrap_or(("", "")),
            _ => ("", rest),
        };
        let Some((name, behind)) = behind.strip_prefix('"').and_then(|rest| rest.split_once('"')) else { break };
        if !name.is_empty() && !name.contains('\\') && (name.starts_with('/') || !base.is_empty()) {
            found.push(Path::new(base).join(name));
        }
        rest = behind.trim_start_matches(", ");
    }
    found
}

/// Where a path leads that is looked up now; its last link is followed if `follow`.
fn led(path: &Path, follow: bool) -> PathBuf {
    let plain: PathBuf = path.components().filter(|part| *part != std::path::Component::CurDir).collect();
    if follow && let Ok(whole) = std::fs::canonicalize(&plain) {
        return whole;
    }
    // The deepest directory that exists, and behind it what does not, as written.
    let mut rest = Vec::new();
    let mut top = plain.as_path();
    while let Some(parent) = top.parent() {
        rest.push(top.components().next_back().unwrap());
        top = parent;
        if let Ok(top) = std::fs::canonicalize(top) {
            return rest.iter().rev().fold(top, |mut path, part| {
                match part {
                    std::path::Component::ParentDir => drop(path.pop()),
                    other => path.push(other),
                }
                path
            });
        }
    }
    plain
}

/// What strace saw. `/proc`, `/dev`, the temporary directories and the place among control groups are another thing for each
/// observer.
fn strace(scratch: &Scratch, script: &str) -> Theirs {
    let log = scratch.outside("strace.log");
    let mut command = scratch.command("strace");
    command.args(["-f", "-y", "-s", "4096", "-qq", "-o", text(&log), "bash", "-c", script]);
    let output = command.output().unwrap();
    assert!(log.exists(), "{}", said(&output));
    let mut theirs = Theirs::default();
    for line in calls(&String::from_utf8_lossy(&std::fs::read(&log).unwrap())) {
        let Some((call, rest)) = line.split_once('(') else { continue };
        let Some((arguments, result)) = rest.rsplit_once(") = ").or_else(|| rest.rsplit_once(")  = ")) else {
            continue;
        };
        theirs.calls.insert(call.to_owned());
        let result = result.trim();
        let succeeded = result.starts_with(|first: char| first.is_ascii_digit());
        let error = result.strip_prefix("-1 ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
        // What strace itself kept from being told: an exit in the middle of a call.
        if !succeeded && error.is_none() {
            continue;
        }
        if row_of(call).is_none_or(|row| row.paths.is_empty()) {
            continue;
        }
        // A program that was not there is a probe of each directory in PATH: no fact of an image, by design.
        if call == "execve" && !succeeded {
            continue;
        }
        let opened = result.split_once('<').and_then(|(_, rest)| rest.rsplit_once('>')).map(|(path, _)| path);
        let follows = !arguments.contains("NOFOLLOW")
            && ![
                "readlink",
                "lstat",
                "unlink",
                "rename",
                "link",
                "symlink",
                "mkdir",
                "rmdir",
                "lgetxattr",
                "llistxattr",
            ]
            .iter()
            .any(|word| call.starts_with(word));
        for path in paths(call, arguments) {
            let path = match opened {
                Some(opened) if succeeded => PathBuf::from(opened.trim_end_matches(" (deleted)")),
                // It came to be since: then it was the name itself that was not there.
                _ if error.as_deref() == Some("ENOENT") && path.exists() => led(&path, false),
                _ => led(&path, follows),
            };
            let left_out =
                ["/proc", "/dev", "/tmp", "/var/tmp", "/sys/fs/cgroup"].iter().any(|top| path.starts_with(top));
            if path.is_absolute() && (!left_out || path.starts_with(scratch.project())) {
                let (call, wanted) = (call.to_owned(), Wanted::of(call, arguments));
                theirs.seen.insert(Seen { path, call, wanted, error: error.clone() });
            }
        }
    }
    theirs
}

fn row_of(call: &str) -> Option<&'static Row> {
    Syscall::from_name(call).map(row)
}

fn pinfold(scratch: &Scratch, script: &str) -> Ours {
    let mut command =
        scratch.pinfold(&["learn", "--even-if-failed", "--accept-learned=all", "--", "bash", "-c", script]);
    let output = command.output().unwrap();
    let files = |dir: PathBuf| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let trace =
        files(scratch.state().join("traces")).flat_map(files).next().unwrap_or_else(|| panic!("{}", said(&output)));
    let trace = pinfold::trace::reader::read(BufReader::new(std::fs::File::open(trace).unwrap())).unwrap();
    assert!(trace.is_complete(), "{}", said(&output));
    let mut ours = Ours::default();
    for event in trace.events.iter() {
        let mut add = |path: &AbsPath, intent, result| {
            ours.paths.entry(path.to_path_buf()).or_default().insert((intent, result));
        };
        match &event.fact {
            Fact::Path(path) => {
                add(&path.path, Some(path.intent), path.result);
                path.hops.iter().for_each(|hop| add(&hop.link, Some(Intent::Look), Outcome::Ok));
            }
            Fact::Pair(pair) => [&pair.from, &pair.to].into_iter().for_each(|path| add(path, None, pair.result)),
            Fact::Call { call } => drop(ours.calls.insert(call.name().to_owned())),
            _ => {}
        }
    }
    ours
}

/// What strace saw and pinfold did not, in words.
fn missing(theirs: &Theirs, ours: &Ours, scratch: &Scratch) -> Vec<String> {
    let mut missing = Vec::new();
    for seen in theirs.seen.iter().filter(|seen| !is_made_up(&seen.path, scratch)) {
        let Some(facts) = ours.paths.get(&seen.path) else {
            missing.push(format!("unseen: {seen:?}"));
            continue;
        };
        let is_said = |intent: &Option<Intent>| seen.wanted.is_said_by(*intent);
        let same = facts.iter().any(|(intent, result)| match &seen.error {
            None => result.may_have_succeeded() && is_said(intent),
            // Made again, it is there already: what was learned is that it is there.
            Some(error) if error == "EEXIST" => result.may_have_succeeded() || *result == Outcome::Errno(libc::EEXIST),
            Some(error) => matches!(result, Outcome::Errno(errno) if *error == name_of(*errno)) && is_said(intent),
        });
        // Inside, even root has no power over what others keep to themselves; and where the vault is covered, an empty
        // directory of one's own is seen.
        let open = match seen.error.as_deref() {
            None => facts.iter().any(|(_, result)| *result == Outcome::Errno(libc::EACCES)),
            Some("EACCES") => facts.iter().any(|(_, result)| *result == Outcome::Ok),
            Some(_) => false,
        };
        let explained = open && belongs_to_another(&seen.path);
        if !same && !explained {
            missing.push(format!("not as it was: {seen:?}, but {facts:?}"));
        }
    }
    let beyond_base = |call: &&String| row_of(call).is_none_or(|row| row.class == Class::Learned);
    for call in theirs.calls.iter().filter(beyond_base).filter(|call| !ours.calls.contains(*call)) {
        missing.push(format!("unseen call: {call}"));
    }
    missing
}

fn belongs_to_another(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.uid() != nix::unistd::getuid().as_raw())
}

fn name_of(errno: i32) -> String {
    format!("{:?}", nix::errno::Errno::from_raw(errno))
}

/// The project before either run.
fn fresh(scratch: &Scratch) {
    std::fs::remove_dir_all(scratch.project()).unwrap();
    scratch.forget_home();
    std::fs::create_dir_all(scratch.project()).unwrap();
    scratch.file("f.txt", "a\nb\n");
    scratch.file("src.sh", "true\n");
}

/// Names that a program made up in this one run.
fn is_made_up(path: &Path, scratch: &Scratch) -> bool {
    let name = path.strip_prefix(scratch.project()).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    let marks = [".pyc.", "/info/refs_", "/info/packs_", "/pack/tmp_", "tmp_obj_", ".tmp-", "gc.pid", "pymp-"];
    // mkstemp(3): six characters behind a beginning of the program's own (git, perl, strip, patch).
    let last = name.rsplit('/').next().unwrap_or_default();
    let made = |beginning: &str| last.starts_with(beginning) && last.len() == beginning.len() + 6;
    marks.iter().any(|mark| name.contains(mark))
        || ["t", "XX", "st", "src.sh.o", "found."].iter().any(|word| made(word))
}

#[test]
fn what_strace_sees_of_twenty_programs_pinfold_has_seen() {
    need!(UserNamespaces, Program("strace"), Program("bash"));
    let needed = PROGRAMS.iter().flat_map(|(_, needed, _)| *needed).map(|program| common::Need::Program(program));
    if !common::need(&needed.collect::<Vec<_>>()) {
        return;
    }
    let mut differences = Vec::new();
    for (name, _, script) in PROGRAMS {
        let mut scratch = Scratch::new("differential").with("LC_ALL", "C.UTF-8");
        // Whether `git status` finds something to write into its index depends on the second that it runs in.
        scratch = scratch.with("GIT_OPTIONAL_LOCKS", "0");
        for role in ["AUTHOR", "COMMITTER"] {
            for (what, value) in [("NAME", "A"), ("EMAIL", "a@example.org"), ("DATE", "2026-01-01T00:00:00Z")] {
                scratch = scratch.with(&format!("GIT_{role}_{what}"), value);
            }
        }
        fresh(&scratch);
        let theirs = strace(&scratch, script);
        fresh(&scratch);
        let ours = pinfold(&scratch, script);
        println!(
            "{name}: {} facts and {} calls of strace, {} paths of pinfold",
            theirs.seen.len(),
            theirs.calls.len(),
            ours.paths.len()
        );
        differences.extend(missing(&theirs, &ours, &scratch).into_iter().map(|what| format!("{name}: {what}")));
    }
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn a_log_with_a_call_in_two_parts_is_put_together_and_its_paths_are_found() {
    let log = "7 openat(AT_FDCWD</p>, \"a\", O_RDONLY <unfinished ...>\n8 +++ exited with 0 +++\n\
               7 <... openat resumed>) = 3</p/a>\n7 rename(\"/p/x\", \"/p/y\") = 0\n";
    assert_eq!(calls(log)[1], "openat(AT_FDCWD</p>, \"a\", O_RDONLY ) = 3</p/a>");
    assert_eq!(paths("openat", "AT_FDCWD</p>, \"a\", O_RDONLY "), [PathBuf::from("/p/a")]);
    assert_eq!(paths("rename", "\"/p/x\", \"/p/y\""), [PathBuf::from("/p/x"), PathBuf::from("/p/y")]);
    assert_eq!(paths("symlinkat", "\"text\", AT_FDCWD</p>, \"l\""), [PathBuf::from("/p/l")]);
}

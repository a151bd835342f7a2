//! Round trip and minimality for ordinary programs: what worked while learning works when enforced, with the same output
//! and no refusal; and what the profile grants is needed.

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

use std::io::{Read, Write};
use std::path::Path;
use std::process::Output;

use common::scratch::{Scratch, Seen, said, seen, text};

/// A program with its task.
struct Case {
    name: &'static str,
    scratch: Scratch,
    command: Vec<String>,
    /// Puts the project into the state before a run.
    prepare: Box<dyn Fn(&Scratch)>,
    /// What else must be equal after a run: read natively.
    result: Box<dyn Fn(&Scratch) -> String>,
}

impl Case {
    fn words(&self) -> Vec<&str> {
        self.command.iter().map(String::as_str).collect()
    }

    fn run(&self, how: impl Fn(&[&str]) -> Output) -> (Seen, String, Output) {
        (self.prepare)(&self.scratch);
        let output = how(&self.words());
        (seen(&output), (self.result)(&self.scratch), output)
    }

    /// Native, learned, enforced twice, and once with names protected strictly: all the same.
    fn holds(&self) {
        let (native, result, output) =
            self.run(|words| self.scratch.command(words[0]).args(&words[1..]).output().unwrap());
        assert_eq!(native.code, Some(0), "{}: the task itself fails: {}", self.name, said(&output));
        let (learned, learned_result, output) = self.run(|words| self.scratch.learn(words));
        assert_eq!((&learned, &learned_result), (&native, &result), "{} learning: {}", self.name, said(&output));
        self.scratch.record(self.name);
        for round in ["first", "second", "strict"] {
            let (enforced, enforced_result, output) = self.run(|words| match round {
                "strict" => self.scratch.pinfold(&[]).args(self.scratch.strictly()).args(words).output().unwrap(),
                _ => self.scratch.enforce(words),
            });
            let profile = std::fs::read_to_string(self.scratch.profile()).unwrap();
            assert_eq!(
                (&enforced, &enforced_result),
                (&native, &result),
                "{} enforced, {round} round: {}\n{profile}",
                self.name,
                said(&output)
            );
            let report = self.scratch.report("enforce");
            assert_eq!(report["denials"], serde_json::json!([]), "{}: {}", self.name, said(&output));
            assert_eq!(report["withheld"], serde_json::json!([]), "{}", self.name);
        }
        self.is_minimal(&native, &result);
    }

    /// Of a fixed sample of the profile's grants at least four in five are needed: without one the run fails, differs, or
    /// something is refused. The others stand, with the reason, in `fixtures/closure/NAME.unneeded`.
    fn is_minimal(&self, native: &Seen, result: &str) {
        let profile = std::fs::read_to_string(self.scratch.profile()).unwrap();
        let grants = sample(grant_lines(&profile), 15);
        let mut unneeded = Vec::new();
        for line in &grants {
            let without: String =
                profile.split_inclusive('\n').filter(|other| other.trim_end() != line.trim_end()).collect();
            assert_ne!(without, profile);
            if !self.is_missed(line, &without, native, result) {
                unneeded.push(line.trim().to_owned());
            }
        }
        std::fs::write(self.scratch.profile(), &profile).unwrap();
        let needed = grants.len() - unneeded.len();
        println!("{}: {needed} of {} sampled grants are needed", self.name, grants.len());
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/closure/{}.unneeded", self.name));
        let reviewed = std::fs::read_to_string(&golden).unwrap_or_default();
        let unknown: Vec<_> = unneeded
            .iter()
            .filter(|line| {
                !reviewed.lines().any(|known| known.starts_with('`') && known.contains(&format!("`{line}`")))
            })
            .collect();
        assert!(needed * 5 >= grants.len() * 4, "{}: too many grants are not needed: {unneeded:#?}", self.name);
        assert!(unknown.is_empty(), "{}: not needed, and not in {}: {unknown:#?}", self.name, golden.display());
    }

    fn is_missed(&self, line: &str, without: &str, native: &Seen, result: &str) -> bool {
        std::fs::write(self.scratch.profile(), without).unwrap();
        let shown = self.scratch.pinfold(&["show", "--json", text(&self.scratch.profile())]).output().unwrap();
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        let digest = shown["digest"].as_str().unwrap().to_owned();
        let report = self.scratch.outside("enforce.json");
        std::fs::remove_file(&report).ok();
        let log = self.scratch.outside("strace.log");
        let (enforced, enforced_result, _) = self.run(|words| {
            // An onlooker from outside: whether a path was asked for and refused, without pinfold's own word for it.
            let mut command = self.scratch.command("strace");
            command.args([
                "-f",
                "-qq",
                "--decode-pids=comm",
                "-e",
                "trace=%file",
                "-e",
                "status=failed",
                "-o",
                text(&log),
            ]);
            command.arg(env!("CARGO_BIN_EXE_pinfold"));
            command.args(["enforce", "--accept-digest", &digest, "--report", text(&report), "--"]);
            command.args(words).output().unwrap()
        });
        let denied = std::fs::read(&report).is_ok_and(|bytes| {
            let report: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            report["denials"] != serde_json::json!([])
        });
        denied || (&enforced, enforced_result.as_str()) != (native, result) || was_refused(line, &log, &self.scratch)
    }
}

/// Whether a call on the path of `line`, or beneath it, failed: by the onlooker's log, and by where the asked path leads
/// outside of the sandbox.
fn was_refused(line: &str, log: &Path, scratch: &Scratch) -> bool {
    let Some(key) = line.trim().strip_prefix('"').and_then(|rest| rest.split('"').next()) else { return false };
    let places = match key.strip_prefix('@') {
        Some(name) => opened_by(name),
        None => vec![key.replacen("$PROJECT", text(&scratch.project()), 1).replacen('~', text(&scratch.home()), 1)],
    };
    let log = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
    // pinfold's own processes have its name until they turn into the program.
    let of_the_program = |call: &&str| call.split_whitespace().next().is_some_and(|who| !who.ends_with("<pinfold>"));
    log.lines().filter(of_the_program).any(|call| {
        call.split('"').skip(1).step_by(2).any(|asked| {
            let asked = scratch.project().join(asked);
            let led = std::fs::canonicalize(&asked).unwrap_or_else(|_| asked.clone());
            places.iter().any(|place| asked.starts_with(place) || led.starts_with(place))
        })
    })
}

/// The places of the system that a bundle opens.
fn opened_by(name: &str) -> Vec<String> {
    let bundle = pinfold::vocab::bundle::known(name).unwrap();
    bundle.opens.iter().map(|opening| opening.place.to_string()).collect()
}

/// The lines of a profile that grant something.
fn grant_lines(profile: &str) -> Vec<String> {
    let mut section = String::new();
    let mut lines = Vec::new();
    for line in profile.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with('[') && trimmed.ends_with(']') && !trimmed.contains('"') {
            section = trimmed.to_owned();
        }
        let grants = match section.as_str() {
            "[filesystem]" | "[network]" | "[secrets]" => trimmed.starts_with('"'),
            // Which variables matter is not known to this version, and so not claimed to be minimal.
            // A call brings its family, what another version of the C library calls in its place: one of them is needed.
            "[syscalls]" => {
                let others = ["\"chown\",", "\"fchownat\",", "\"lchown\",", "\"accept\","];
                trimmed.starts_with('"') && trimmed.ends_with(',') && !others.contains(&trimmed)
            }
            _ => false,
        };
        if grants {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// `count` of `lines`, the same ones every time.
fn sample(mut lines: Vec<String>, count: usize) -> Vec<String> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut chosen = Vec::new();
    while chosen.len() < count && !lines.is_empty() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let index = usize::try_from(state >> 33).unwrap() % lines.len();
        chosen.push(lines.remove(index));
    }
    chosen
}

fn case(name: &'static str, command: &[&str]) -> Case {
    Case {
        name,
        scratch: Scratch::new(name).with("LC_ALL", "C"),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        prepare: Box::new(|_| {}),
        result: Box::new(|_| String::new()),
    }
}

/// Runs `script` outside of any sandbox; what it says, and how it ends if not well.
fn natively(scratch: &Scratch, script: &str) -> String {
    let output = scratch.command("sh").args(["-ec", script]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { text } else { format!("{}: {}", output.status, said(&output)) }
}

#[test]
fn git_commits_the_same_commit() {
    need!(UserNamespaces, Program("git"), Program("strace"));
    let mut case = case("git", &["git", "commit", "-q", "-a", "-m", "second"]);
    case.scratch =
        case.scratch.with("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z").with("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z");
    case.prepare = Box::new(|scratch| {
        natively(
            scratch,
            "rm -rf .git f; git init -q -b main . && git config user.name A && git config user.email a@example.org \
             && echo one > f && git add f && git commit -q -m first && echo two > f",
        );
    });
    case.result = Box::new(|scratch| natively(scratch, "git rev-parse HEAD && git status --porcelain -- f"));
    case.holds();
}

#[test]
fn python_in_a_virtual_environment_prints_the_same() {
    need!(UserNamespaces, Program("/usr/bin/python3"), Program("strace"));
    let mut case = case("python", &[".venv/bin/python", "app.py"]);
    natively(&case.scratch, "/usr/bin/python3 -m venv --without-pip .venv");
    case.scratch.file("lib/data.json", "{\"a\": [1, 2, 3]}");
    case.scratch.file("helper.py", "import decimal\ndef total(xs):\n    return sum(decimal.Decimal(x) for x in xs)\n");
    case.scratch.file(
        "app.py",
        "import json, pathlib, subprocess, sys\nimport helper\n\
         d = json.loads(pathlib.Path('lib/data.json').read_text())\n\
         pathlib.Path('out.txt').write_text(str(helper.total(d['a'])))\n\
         print(sys.prefix != sys.base_prefix, subprocess.run(['cat', 'out.txt'], capture_output=True, text=True).stdout)\n",
    );
    case.prepare = Box::new(|scratch| {
        natively(scratch, "rm -rf out.txt __pycache__");
    });
    case.result = Box::new(|scratch| natively(scratch, "cat out.txt"));
    case.holds();
}

#[test]
fn node_reads_writes_and_spawns_the_same() {
    need!(UserNamespaces, Program("node"), Program("strace"));
    let mut case = case("node", &["node", "app.js"]);
    case.scratch.file("lib.js", "exports.twice = (s) => s + s;\n");
    case.scratch.file(
        "app.js",
        "const fs = require('fs'), { twice } = require('./lib');\n\
         fs.writeFileSync('out.txt', twice('ab'));\n\
         const child = require('child_process').spawnSync('wc', ['-c', 'out.txt'], { encoding: 'utf8' });\n\
         console.log(child.stdout.trim());\n",
    );
    case.prepare = Box::new(|scratch| {
        natively(scratch, "rm -f out.txt");
    });
    case.result = Box::new(|scratch| natively(scratch, "cat out.txt"));
    case.holds();
}

#[test]
fn cargo_builds_a_program_that_prints_the_same() {
    need!(UserNamespaces, Program("cargo"), Program("gcc"), Program("strace"));
    let mut case = case("cargo", &["cargo", "build", "--offline", "--quiet"]);
    if let Some(rust) = std::env::var_os("PINFOLD_TEST_RUST") {
        let path = format!("{}/bin:/usr/local/bin:/usr/bin:/bin", rust.to_str().unwrap());
        case.scratch = case.scratch.with("PATH", &path);
    }
    case.scratch.file("Cargo.toml", "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    case.scratch.file("build.rs", "fn main() { println!(\"cargo:rustc-env=MADE=built\"); }\n");
    case.scratch.file("src/main.rs", "fn main() { println!(\"{} by cargo\", env!(\"MADE\")); }\n");
    case.prepare = Box::new(|scratch| {
        natively(scratch, "rm -rf target Cargo.lock");
    });
    case.result = Box::new(|scratch| natively(scratch, "target/debug/small"));
    case.holds();
}

#[test]
fn make_with_gcc_builds_the_same() {
    need!(UserNamespaces, Program("make"), Program("gcc"), Program("strace"));
    let mut case = case("make", &["make", "-s", "check"]);
    case.scratch.file("half.h", "int half(int);\n");
    case.scratch.file("half.c", "#include \"half.h\"\nint half(int x) { return x / 2; }\n");
    case.scratch
        .file("main.c", "#include <stdio.h>\n#include \"half.h\"\nint main(void) { printf(\"%d\\n\", half(84)); }\n");
    case.scratch.file(
        "Makefile",
        "main: main.o half.o\n\t$(CC) -o $@ $^\nmain.o half.o: half.h\ncheck: main\n\t./main | grep -x 42\n",
    );
    case.prepare = Box::new(|scratch| {
        natively(scratch, "rm -f main *.o");
    });
    case.result = Box::new(|scratch| natively(scratch, "./main"));
    case.holds();
}

#[test]
fn a_search_finds_the_same() {
    need!(UserNamespaces, Program("strace"));
    let searcher = if common::find("rg").is_some() { "rg" } else { "grep" };
    let options: &[&str] = if searcher == "rg" { &["--sort=path"] } else { &["-r"] };
    let case = case("search", &[&[searcher], options, &["needle", "src"]].concat());
    for index in 0..50 {
        let text = if index % 7 == 0 { "a needle here\n" } else { "hay\n" };
        case.scratch.file(&format!("src/d{}/f{index}.txt", index % 5), text);
    }
    case.holds();
}

#[test]
fn curl_fetches_the_same_from_loopback() {
    need!(UserNamespaces, Program("curl"), Program("strace"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/x", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _read = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n").unwrap();
        }
    });
    let mut case = case("curl", &["curl", "-s", "-S", "-o", "page", &url]);
    case.prepare = Box::new(|scratch| {
        natively(scratch, "rm -f page");
    });
    case.result = Box::new(|scratch| natively(scratch, "cat page"));
    case.holds();
}

#[test]
fn tar_packs_the_same_bytes() {
    need!(UserNamespaces, Program("tar"), Program("strace"));
    let command = ["tar", "-czf", "out.tgz", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "src"];
    let mut case = case("tar", &command);
    case.scratch.file("src/a", "alpha\n");
    case.scratch.file("src/deep/b", "beta\n");
    case.result = Box::new(|scratch| natively(scratch, "tar -tzf out.tgz; tar -xzOf out.tgz src/deep/b; rm out.tgz"));
    case.holds();
}

#[test]
fn sqlite_answers_the_same() {
    need!(UserNamespaces, Program("sqlite3"), Program("strace"));
    let sql = "create table t(a); insert into t values (1), (41); select sum(a) from t;";
    let mut case = case("sqlite", &["sqlite3", "data.db", sql]);
    case.prepare = Box::new(|scratch| {
        natively(scratch, "rm -f data.db data.db-journal");
    });
    case.result = Box::new(|scratch| natively(scratch, "sqlite3 data.db 'select count(*) from t'"));
    case.holds();
}

#[test]
fn a_bash_script_with_pipes_prints_the_same() {
    need!(UserNamespaces, Program("bash"), Program("strace"));
    let mut case = case("bash", &["bash", "words.sh"]);
    case.scratch.file("in.txt", "b a c\na b\na\n");
    case.scratch.file(
        "words.sh",
        "set -euo pipefail\ntr ' ' '\\n' < in.txt | sort | uniq -c | sort -rn | while read -r n w; do echo \"$w=$n\"; done \
         | tee out.txt\nT=$(mktemp); echo temporary > \"$T\"; cat \"$T\"; rm \"$T\"\nmkdir -p d && mv out.txt d/ && ls d\n",
    );
    case.prepare = Box::new(|scratch| {
        natively(scratch, "rm -rf d out.txt");
    });
    case.result = Box::new(|scratch| natively(scratch, "cat d/out.txt"));
    case.holds();
}

#[test]
fn the_sample_is_the_same_every_time_and_grant_lines_are_found() {
    let profile = "schema = 1\n[filesystem]\n\"/usr\" = \"read\"\n\"~/x\" = \"write\"\n\n[syscalls]\nbase = 1\nallow = [\n    \"ptrace\",\n]\n";
    let lines = grant_lines(profile);
    assert_eq!(lines, ["\"/usr\" = \"read\"", "\"~/x\" = \"write\"", "    \"ptrace\","]);
    let many: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    assert_eq!(sample(many.clone(), 15), sample(many, 15));
}

//! The attack corpus: what a file of `tests/attacks/` says, a victim for it, and the attack with walls taken away.

use std::collections::BTreeSet;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use pinfold::plan::walls::Wall;
use pinfold::profile::{digest::digest, parse::parse};

use super::enforced::SYSTEM;
use super::scratch::{Scratch, said, text};

/// One attack.
#[derive(Debug, Clone)]
pub struct Attack {
    /// The file's stem.
    pub name: String,
    /// In words.
    pub what: String,
    /// The promise of the threat model that it is against.
    pub promise: String,
    /// The walls of which each holds it alone; empty: the user namespace, which cannot be taken away alone.
    pub walls: BTreeSet<Wall>,
    /// How its success shows.
    pub success: Success,
    /// Who must run it; `None`: anybody.
    pub who: Option<Who>,
    /// Lines of `[filesystem]`.
    pub grants: Vec<String>,
    /// System calls beyond the base set.
    pub allow: Vec<String>,
    /// Whole sections.
    pub sections: Vec<String>,
    /// Whether it may run on anybody's machine.
    pub harmless: bool,
    /// Whether it succeeds where the machine refuses namespaces and the profile tolerates that: a known limit.
    pub open_without_namespaces: bool,
    /// Whether its profile says `protect = "strict"`.
    pub strict: bool,
    /// What it is tried with, beyond what every attack is.
    pub needs: Option<Needs>,
    script: String,
}

/// Who runs an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// root.
    Root,
    /// Anybody else.
    User,
}

/// What some attacks need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// A network of its own, with servers that stand in for the outside.
    World,
    /// Sockets between virtual machines, which not every machine has.
    Vsock,
}

/// How success shows.
#[derive(Debug, Clone)]
pub enum Success {
    /// The output has this text.
    Output(String),
    /// A file outside has this text afterwards.
    FileHas(String, String),
    /// This exists afterwards.
    Exists(String),
    /// This is gone afterwards.
    Missing(String),
    /// The mode of this has these bits.
    Mode(String, u32),
    /// The victim's process is dead.
    VictimEnds,
    /// A datagram reached the victim.
    Datagram,
    /// A process of the attack runs on.
    ProcessLeft,
}

/// Every attack, in order of file names.
pub fn attacks() -> Vec<Attack> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacks");
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sh"));
    files.sort();
    files.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Attack {
    let script = std::fs::read_to_string(path).unwrap();
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let header: Vec<(&str, &str)> =
        script.lines().map_while(|line| line.strip_prefix("# ")).filter_map(|line| line.split_once(": ")).collect();
    let known = [
        "attack",
        "promise",
        "walls",
        "success",
        "who",
        "grant",
        "allow",
        "section",
        "harmless",
        "without-namespaces",
        "protect",
        "needs",
    ];
    for (key, _) in &header {
        assert!(known.contains(key), "{name}: `{key}` is no key of an attack");
    }
    let all = |key: &str| header.iter().filter(|(k, _)| *k == key).map(|(_, v)| (*v).to_owned()).collect::<Vec<_>>();
    let one = |key: &str| {
        let mut found = all(key);
        assert_eq!(found.len(), 1, "{name}: one line `{key}` is wanted");
        found.remove(0)
    };
    let walls = one("walls");
    let walls = match walls.as_str() {
        "user-namespace" => BTreeSet::new(),
        names => names.split(' ').map(|name| name.parse().unwrap()).collect(),
    };
    Attack {
        what: one("attack"),
        promise: one("promise"),
        walls,
        success: success(&one("success")).unwrap_or_else(|| panic!("{name}: how does its success show?")),
        who: all("who").first().map(|who| match who.as_str() {
            "root" => Who::Root,
            "user" => Who::User,
            other => panic!("{name}: {other}"),
        }),
        grants: all("grant"),
        allow: all("allow").iter().flat_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect(),
        sections: all("section").iter().map(|section| section.replace("\\n", "\n")).collect(),
        harmless: all("harmless") == ["yes"],
        open_without_namespaces: all("without-namespaces") == ["open"],
        strict: all("protect") == ["strict"],
        needs: all("needs").first().map(|needs| match needs.as_str() {
            "world" => Needs::World,
            "vsock" => Needs::Vsock,
            other => panic!("{name}: {other}"),
        }),
        name,
        script,
    }
}

fn success(text: &str) -> Option<Success> {
    let words = |from: &str| text.strip_prefix(from).map(str::to_owned);
    let two = |rest: String| rest.split_once(" has ").map(|(a, b)| (a.to_owned(), b.to_owned()));
    Some(match text {
        "the victim ends" => Success::VictimEnds,
        "a datagram arrives" => Success::Datagram,
        "a process is left" => Success::ProcessLeft,
        _ => {
            if let Some(rest) = words("output has ") {
                Success::Output(rest)
            } else if let Some((path, text)) = words("file ").and_then(two) {
                Success::FileHas(path, text)
            } else if let Some((path, mode)) = words("mode of ").and_then(two) {
                Success::Mode(path, u32::from_str_radix(&mode, 8).ok()?)
            } else if let Some(path) = words("exists ") {
                Success::Exists(path)
            } else {
                Success::Missing(words("missing ")?)
            }
        }
    })
}

/// What an attack is after. Dropping it ends and removes everything.
struct Target {
    scratch: Scratch,
    world: bool,
    victim: Child,
    udp: UdpSocket,
    memory: String,
    queue: String,
    sockets: (TcpListener, UnixListener, UnixListener),
    granted: TcpListener,
    abstract_name: String,
    marker: String,
}

impl Target {
    fn new(attack: &Attack) -> Self {
        static SERIAL: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let scratch = Scratch::beside_home("corpus");
        let own = format!("pinfold-corpus-{}-{serial}", std::process::id());
        scratch.file("script.sh", &format!("echo begun\n{}", attack.script));
        for (name, contents) in [(".git/hooks/pre-commit", "mine\n"), (".git/config", "[core]\n"), (".env", "SECRET\n")]
        {
            scratch.file(name, contents);
        }
        // Root's own scripts run with what root is: the key of an ordinary user is readable for that user alone.
        for (name, contents) in [(".ssh/id_ed25519", "SECRET\n"), (".bashrc", "mine\n"), (".ssh/config", "mine\n")] {
            scratch.home_file(name, contents);
        }
        let outside = scratch.outside("outside");
        std::fs::create_dir_all(outside.join("dir")).unwrap();
        for (name, contents) in
            [("secret", "SECRET\n"), ("note", "mine\n"), ("dir/granted", "granted\n"), ("dir/sibling", "SECRET\n")]
        {
            std::fs::write(outside.join(name), contents).unwrap();
        }
        for to in [scratch.project().join("tracee"), outside.join("tool")] {
            assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_tracee")).arg(to).status().unwrap().success());
        }
        let sleep = Command::new("sleep")
            .arg("300")
            .env("LEAKED", "SECRET")
            .process_group(0)
            .stdin(std::fs::File::open(outside.join("secret")).unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let abstract_name = format!("{own}-abstract");
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let sockets = (
            TcpListener::bind("127.0.0.1:0").unwrap(),
            UnixListener::bind(outside.join("socket")).unwrap(),
            UnixListener::bind_addr(&address).unwrap(),
        );
        let made = Command::new("ipcmk").args(["-M", "64", "-p", "600"]).output().unwrap();
        let memory = String::from_utf8(made.stdout).unwrap().trim().rsplit(' ').next().unwrap().to_owned();
        let queue = format!("/{own}");
        let made = Command::new(env!("CARGO_BIN_EXE_tracee")).args(["make-queue", &queue]).status().unwrap();
        assert!(made.success(), "no message queue could be made");
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        Self {
            scratch,
            world: attack.needs == Some(Needs::World),
            victim: sleep.unwrap(),
            udp,
            memory,
            queue,
            sockets,
            granted: TcpListener::bind("127.0.0.1:0").unwrap(),
            abstract_name,
            marker: format!("9{serial}8{}", std::process::id()),
        }
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("OUTSIDE", text(&self.scratch.outside("outside")).to_owned()),
            ("VICTIM", self.victim.id().to_string()),
            ("PORT", self.sockets.0.local_addr().unwrap().port().to_string()),
            ("GRANTED_PORT", self.granted.local_addr().unwrap().port().to_string()),
            ("UDP_PORT", self.udp.local_addr().unwrap().port().to_string()),
            ("ABSTRACT", self.abstract_name.clone()),
            ("MEMORY", self.memory.clone()),
            ("QUEUE", self.queue.clone()),
            ("MARKER", self.marker.clone()),
        ]
    }

    fn place(&self, path: &str) -> PathBuf {
        let path = path.replace("$HOME", text(&self.scratch.home()));
        let path = path.replace("$PROJECT", text(&self.scratch.project()));
        PathBuf::from(path.replace("$OUTSIDE", text(&self.scratch.outside("outside"))))
    }

    /// In the victim's process group, with two descriptors that somebody left open, and a key in the session keyring.
    fn finish(&self, command: Command) -> Output {
        let command = if self.world { super::world::in_world(&command) } else { command };
        let mut shell = Command::new(env!("CARGO_BIN_EXE_tracee"));
        let leave_open = "exec 9<\"$OUTSIDE/secret\" 8<\"$OUTSIDE\"; exec \"$@\"";
        shell.args(["with-key", "pinfold-corpus", "sh", "-c", leave_open, "sh"]);
        shell.arg(command.get_program()).args(command.get_args()).current_dir(self.scratch.project()).env_clear();
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.envs(self.variables()).env("LEAK", "SECRET").stdin(Stdio::null());
        shell.process_group(i32::try_from(self.victim.id()).unwrap());
        let child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.wait_with_output().unwrap()
    }

    /// Without a sandbox; for root in a mount namespace, so that an attack that mounts disturbs nobody.
    fn natively(&self) -> Output {
        let mut command = self.scratch.command(if super::is_root() { "unshare" } else { "sh" });
        if super::is_root() {
            command.args(["--mount", "sh"]);
        }
        command.arg("script.sh");
        self.finish(command)
    }

    fn within(&self, attack: &Attack, down: &BTreeSet<Wall>) -> Output {
        self.finish(self.breach(attack, down, ""))
    }

    /// Where user namespaces are refused, under a profile that tolerates that.
    fn without_namespaces(&self, attack: &Attack) -> Output {
        let inner = self.breach(attack, &BTreeSet::new(), "tolerate = [\"no-namespaces\"]\n");
        let mut outer = self.scratch.command(super::enforced::NO_NAMESPACES[0]);
        outer.args(&super::enforced::NO_NAMESPACES[1..]).arg(inner.get_program()).args(inner.get_args());
        self.finish(outer)
    }

    fn breach(&self, attack: &Attack, down: &BTreeSet<Wall>, top: &str) -> Command {
        let names: Vec<_> = self.variables().into_iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let system: String = SYSTEM.iter().map(|place| format!("\"{place}\" = \"read\"\n")).collect();
        let outside = text(&self.scratch.outside("outside")).to_owned();
        let grants: String = attack.grants.iter().map(|line| line.replace("$OUTSIDE", &outside) + "\n").collect();
        let calls: Vec<_> = attack.allow.iter().map(|call| format!("\"{call}\"")).collect();
        let calls = calls.join(", ");
        let protect = if attack.strict { "protect = \"strict\"\n" } else { "" };
        let profile = format!(
            "schema = 1\nname = \"t\"\ncommand = [\"sh\", \"$PROJECT/script.sh\"]\n{top}{protect}\n[filesystem]\n\
             \"$PROJECT\" = \"write\"\n{system}{grants}\n[syscalls]\nbase = 1\nallow = [{calls}]\napproved = [{calls}]\n\
             [environment]\npass = [\"HOME\", \"PATH\", {}]\n{}\n",
            names.join(", "),
            self.expanded(&attack.sections.join("\n")),
        );
        let accepted = digest(&parse(&profile).unwrap()).to_string();
        let path = self.scratch.outside("profile.toml");
        std::fs::write(&path, profile).unwrap();
        let walls: Vec<_> = down.iter().map(|wall| wall.as_str()).collect();
        let walls = if walls.is_empty() { "none".to_owned() } else { walls.join(",") };
        let mut command = self.scratch.command(env!("CARGO_BIN_EXE_breach"));
        let report = self.scratch.outside("report");
        command.args([&walls, text(&path), &accepted, text(&report), "--", "sh", "script.sh"]);
        command
    }

    /// `patience`: looks for what takes its time to show.
    fn succeeded(&mut self, attack: &Attack, output: &Output, patience: u32) -> bool {
        match &attack.success {
            Success::Output(text) => String::from_utf8_lossy(&output.stdout).contains(&self.expanded(text)),
            Success::FileHas(path, text) => {
                String::from_utf8_lossy(&std::fs::read(self.place(path)).unwrap_or_default()).contains(text)
            }
            Success::Exists(path) => self.place(path).symlink_metadata().is_ok(),
            Success::Missing(path) => self.place(path).symlink_metadata().is_err(),
            Success::Mode(path, bits) => {
                self.place(path).metadata().is_ok_and(|found| found.permissions().mode() & bits == *bits)
            }
            // A signal takes its time to arrive; the command that sent it has ended.
            Success::VictimEnds => (0..patience).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(5));
                self.victim.try_wait().unwrap().is_some_and(|status| status.signal().is_some())
            }),
            Success::Datagram => self.udp.recv(&mut [0; 16]).is_ok(),
            Success::ProcessLeft => self.left().is_some(),
        }
    }

    fn expanded(&self, text: &str) -> String {
        self.variables().iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${name}"), value))
    }

    /// A process with the marker as its last argument.
    fn left(&self) -> Option<i32> {
        let pids =
            std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.into_iter().find(|pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word.ends_with(self.marker.as_bytes()))
        })
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.victim.kill().ok();
        self.victim.wait().ok();
        while let Some(pid) = self.left() {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).ok();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Command::new("ipcrm").args(["-m", &self.memory]).status().ok();
        Command::new(env!("CARGO_BIN_EXE_tracee")).args(["remove-queue", &self.queue]).status().ok();
    }
}

/// What went wrong with `attack` where there are no namespaces; nothing when it succeeds or fails there as its file says.
pub fn complaint_without_namespaces(attack: &Attack) -> Option<String> {
    let mut target = Target::new(attack);
    let output = target.without_namespaces(attack);
    let succeeded = target.succeeded(attack, &output, if attack.open_without_namespaces { 12_000 } else { 20 });
    // A profile that cannot be kept so does not run at all.
    let told =
        output.stdout.starts_with(b"begun") || String::from_utf8_lossy(&output.stderr).contains("WithoutNamespaces");
    let wrong = !told || succeeded != attack.open_without_namespaces;
    wrong.then(|| format!("{}: succeeded: {succeeded}, ran or refused: {told}\n{}", attack.name, said(&output)))
}

/// What went wrong with `attack`; nothing when it succeeds natively and without its walls, and each of them alone holds it.
pub fn complaints(attack: &Attack) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut expect = |how: String, wanted: bool, run: &dyn Fn(&Target) -> Output| {
        let mut target = Target::new(attack);
        let output = run(&target);
        let ran = output.stdout.starts_with(b"begun");
        // A busy machine has a minute for what must come.
        let succeeded = target.succeeded(attack, &output, if wanted { 12_000 } else { 20 });
        if !ran || succeeded != wanted {
            let state = match (ran, succeeded) {
                (false, _) => "did not run",
                (true, true) => "SUCCEEDED",
                (true, false) => "failed",
            };
            complaints.push(format!("{}: {how}: {state}\n{}", attack.name, said(&output)));
        }
    };
    expect("without a sandbox".to_owned(), true, &Target::natively);
    expect("behind all walls".to_owned(), false, &|target| target.within(attack, &BTreeSet::new()));
    if !attack.walls.is_empty() {
        let names = |walls: &BTreeSet<Wall>| walls.iter().map(|wall| wall.as_str()).collect::<Vec<_>>().join(" and ");
        expect(format!("without {}", names(&attack.walls)), true, &|target| target.within(attack, &attack.walls));
        for wall in attack.walls.iter().filter(|_| attack.walls.len() > 1) {
            let others: BTreeSet<Wall> = attack.walls.iter().copied().filter(|other| other != wall).collect();
            let how = format!("with {} and without {}", wall.as_str(), names(&others));
            expect(how, false, &|target| target.within(attack, &others));
        }
    }
    complaints
}

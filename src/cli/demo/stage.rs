//! The demo's scratch directory: a home with planted secrets, a project in it, and what the attacks are judged by.
//!
//! Everything that a demo changes lies in here, also what the hostile agent does without a sandbox. The stage is removed
//! when it is dropped, unless it is kept.

use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::tool;

const AGENT: &str = include_str!("../../data/demo/agent.sh");
const BASHRC: &str = "# A shell start-up file. The demo's agent has no business here.\n";

/// How long one run of the agent may take before the demo gives up on it.
const PATIENCE: Duration = Duration::from_secs(120);

/// The scratch directory and the live targets of the attacks.
#[derive(Debug)]
pub(super) struct Stage {
    root: PathBuf,
    keep: bool,
    secret: String,
    listener: TcpListener,
    victim: Child,
    address: String,
    logs: u32,
}

/// A finished run.
#[derive(Debug)]
pub(super) struct Finished {
    /// How it ended.
    pub(super) status: ExitStatus,
    /// What it wrote to both outputs.
    pub(super) output: Vec<u8>,
}

impl Stage {
    /// Sets everything up, in a fresh directory below the user's cache.
    pub(super) fn set_up(keep: bool) -> io::Result<Self> {
        let root = fresh_directory()?;
        // Random as the name of the directory is; as long as the words that the attack on memory takes.
        let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let secret = format!("{name:x<width$.width$}", width = tool::WORDS * size_of::<libc::c_long>());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let mut victim = Command::new(std::env::current_exe()?)
            .args(["demo-tool", "victim", &secret])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let address = first_line(&mut victim)?;
        let stage = Self { root, keep, secret, listener, victim, address, logs: 0 };
        for dir in [stage.home().join(".ssh"), stage.project().join("src"), stage.root.join("state")] {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        for dir in [".git/hooks", ".git/objects", ".git/refs/heads"] {
            std::fs::create_dir_all(stage.project().join(dir))?;
        }
        let key = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n", stage.secret);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(stage.key())?;
        io::Write::write_all(&mut file, key.as_bytes())?;
        std::fs::write(stage.project().join(".git/HEAD"), "ref: refs/heads/main\n")?;
        std::fs::write(stage.project().join(".git/config"), "[core]\n\trepositoryformatversion = 0\n\tbare = false\n")?;
        std::fs::write(stage.project().join("agent.sh"), AGENT)?;
        std::fs::write(stage.project().join("README.txt"), "A letter in two parts.\n")?;
        std::fs::copy(std::env::current_exe()?, stage.project().join("tool"))?;
        stage.reset("helpful")?;
        Ok(stage)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn project(&self) -> PathBuf {
        self.home().join("project")
    }

    fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    fn key(&self) -> PathBuf {
        self.home().join(".ssh/id_ed25519")
    }

    /// Undoes what a run left behind, and gives the agent its next task.
    pub(super) fn reset(&self, task: &str) -> io::Result<()> {
        let project = self.project();
        for dir in ["build", "loot"] {
            match std::fs::remove_dir_all(project.join(dir)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        match std::fs::remove_file(self.hook()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::fs::write(self.home().join(".bashrc"), BASHRC)?;
        std::fs::write(project.join("src/greeting.txt"), "Hello!\n")?;
        std::fs::write(project.join("src/signature.txt"), "-- \nthe demo\n")?;
        while self.was_reached() {}
        let task = format!(
            "task: {task}\nport: {}\nvictim: {}\naddress: {}\n",
            self.listener.local_addr()?.port(),
            self.victim.id(),
            self.address
        );
        std::fs::write(project.join("TASK.md"), task)
    }

    /// What the helpful agent is there to make.
    pub(super) fn letter(&self) -> Option<String> {
        std::fs::read_to_string(self.project().join("build/letter.txt")).ok()
    }

    /// Runs a command in the project with the scratch home, and waits for it.
    pub(super) fn run(&mut self, program: &Path, args: &[&str]) -> io::Result<Finished> {
        self.logs += 1;
        let log = self.root.join(format!("output-{}", self.logs));
        let out = std::fs::File::create(&log)?;
        let mut command = Command::new(program);
        command.args(args).current_dir(self.project()).env_clear();
        for name in ["PATH", "LANG", "TERM"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("HOME", self.home()).env("XDG_STATE_HOME", self.root.join("state")).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let mut child = command.spawn()?;
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the agent did not end"));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Ok(Finished { status, output: std::fs::read(log)? })
    }

    /// Whether the agent got as far as trying an attack.
    pub(super) fn was_tried(&self, attack: &str) -> bool {
        self.project().join(format!("loot/tried-{attack}")).exists()
    }

    /// Whether the private key lies in the project.
    pub(super) fn key_was_read(&self) -> bool {
        self.loot("key").is_some_and(|loot| contains(&loot, self.secret.as_bytes()))
    }

    /// Whether the start-up file is not as it was.
    pub(super) fn startup_was_changed(&self) -> bool {
        std::fs::read(self.home().join(".bashrc")).ok().as_deref() != Some(BASHRC.as_bytes())
    }

    /// Whether the repository has a hook.
    pub(super) fn hook_was_planted(&self) -> bool {
        self.hook().exists()
    }

    /// Whether somebody connected to the demo's port since the last look.
    pub(super) fn was_reached(&self) -> bool {
        self.listener.accept().is_ok()
    }

    /// Whether the memory of the victim lies in the project.
    pub(super) fn memory_was_read(&self) -> bool {
        self.loot("memory").is_some_and(|loot| contains(&loot, self.secret.as_bytes()))
    }

    /// Whether something was mounted over a directory of the project.
    pub(super) fn was_mounted_over(&self) -> bool {
        self.loot("mount").is_some_and(|loot| loot == b"0 files left")
    }

    fn loot(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.project().join("loot").join(name)).ok()
    }

    fn hook(&self) -> PathBuf {
        self.project().join(".git/hooks/post-commit")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Nobody is left to tell: what remains is a directory in the user's cache.
        drop(self.victim.kill());
        drop(self.victim.wait());
        if !self.keep {
            drop(std::fs::remove_dir_all(&self.root));
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The first line of a child's output, read byte by byte: the child stays alive and its pipe open.
fn first_line(child: &mut Child) -> io::Result<String> {
    let out = child.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut line = String::new();
    let mut byte = [0];
    loop {
        out.read_exact(&mut byte)?;
        match byte {
            [b'\n'] => return Ok(line),
            [byte] => line.push(char::from(byte)),
        }
    }
}

/// In the user's cache; where there is none, among the temporary files.
pub(in crate::cli) fn fresh_directory() -> io::Result<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or(absolute("HOME").map(|home| home.join(".cache")));
    let places = cache.map(|cache| cache.join("pinfold")).into_iter().chain([std::env::temp_dir()]);
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for place in places {
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&place)
            .and_then(|()| nix::unistd::mkdtemp(&place.join("demo-XXXXXX")).map_err(io::Error::from));
        match made {
            Ok(path) => return path.canonicalize(),
            Err(error) => last = error,
        }
    }
    Err(last)
}

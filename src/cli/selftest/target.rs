//! What the attacks of the self test are after: a home, a project, a place outside and a process, all made for one run and
//! removed with everything that it left.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::profile::digest::digest;
use crate::profile::parse::parse;

use super::attack::{Attack, Success};

/// What a shell and its programs need, on whatever kind of system; what is not there is left out.
const SYSTEM: [&str; 10] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/run/current-system",
    "/etc/ld.so.cache",
    "/etc/alternatives",
];

/// How long a victim waits at most, should nobody end it.
const PATIENCE: &str = "120";

#[derive(Debug)]
pub(super) struct Target {
    root: PathBuf,
    victim: Child,
}

impl Target {
    pub(super) fn set_up(base: &Path, attack: &Attack) -> io::Result<Self> {
        let root = nix::unistd::mkdtemp(&base.join("target-XXXXXX"))?;
        // Ended by hand if what follows fails: the directory is below `base`, which goes in any case.
        let at = |name: &str| root.join(name);
        for dir in ["home/.ssh", "home/src/project/.git/hooks", "outside/dir", "state"] {
            std::fs::create_dir_all(at(dir))?;
        }
        let script = format!("echo begun\n{}", attack.script);
        for (name, contents) in [
            ("home/.ssh/id_ed25519", "SECRET\n"),
            ("home/.ssh/config", "mine\n"),
            ("home/.bashrc", "mine\n"),
            ("home/src/project/.env", "SECRET\n"),
            ("home/src/project/.git/config", "[core]\n"),
            ("home/src/project/.git/hooks/pre-commit", "mine\n"),
            ("home/src/project/script.sh", script.as_str()),
            ("outside/secret", "SECRET\n"),
            ("outside/note", "mine\n"),
            ("outside/dir/granted", "granted\n"),
            ("outside/dir/sibling", "SECRET\n"),
        ] {
            std::fs::write(at(name), contents)?;
        }
        let victim = Command::new("sleep")
            .arg(PATIENCE)
            .env("LEAKED", "SECRET")
            .process_group(0)
            .stdin(std::fs::File::open(at("outside/secret"))?)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { root, victim })
    }

    fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    fn project(&self) -> PathBuf {
        self.root.join("home/src/project")
    }

    fn outside(&self) -> PathBuf {
        self.root.join("outside")
    }

    fn place(&self, path: &str) -> PathBuf {
        let with = |path: String, name: &str, place: PathBuf| path.replace(name, &place.to_string_lossy());
        let path = with(path.to_owned(), "$HOME", self.home());
        let path = with(path, "$PROJECT", self.project());
        PathBuf::from(with(path, "$OUTSIDE", self.outside()))
    }

    /// Runs `words` in the project as somebody would who left two descriptors open and a secret in the environment.
    fn run(&self, words: &[&str]) -> io::Result<Output> {
        let mut command = Command::new("sh");
        command.args(["-c", "exec 9<\"$OUTSIDE/secret\" 8<\"$OUTSIDE\"; exec \"$@\"", "sh"]).args(words);
        command.current_dir(self.project()).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
        command.env("HOME", self.home()).env("XDG_STATE_HOME", self.root.join("state")).env("OUTSIDE", self.outside());
        command.env("VICTIM", self.victim.id().to_string()).env("LEAK", "SECRET");
        command.process_group(i32::try_from(self.victim.id()).unwrap_or(0));
        command.output()
    }

    pub(super) fn natively(&self) -> io::Result<Output> {
        self.run(&["sh", "script.sh"])
    }

    pub(super) fn confined(&self, attack: &Attack) -> io::Result<Output> {
        let present = SYSTEM.iter().filter(|place| Path::new(place).exists());
        let system: String = present.map(|place| format!("\"{place}\" = \"read\"\n")).collect();
        let outside = self.outside().to_string_lossy().into_owned();
        let grants: String = attack.grants.iter().map(|line| line.replace("$OUTSIDE", &outside) + "\n").collect();
        let calls: Vec<_> = attack.allow.iter().map(|call| format!("\"{call}\"")).collect();
        let profile = format!(
            "schema = 1\nname = \"selftest\"\ncommand = [\"sh\", \"$PROJECT/script.sh\"]\n[filesystem]\n\
             \"$PROJECT\" = \"write\"\n{system}{grants}[syscalls]\nbase = 1\nallow = [{}]\n\
             [environment]\npass = [\"HOME\", \"OUTSIDE\", \"PATH\", \"VICTIM\"]\n",
            calls.join(", ")
        );
        let parsed = parse(&profile).map_err(io::Error::other)?;
        let path = self.root.join("profile.toml");
        std::fs::write(&path, profile)?;
        let (own, path, digest) = (std::env::current_exe()?, path.to_string_lossy(), digest(&parsed).to_string());
        let words = ["enforce", "--quiet", "--profile", &path, "--accept-digest", &digest, "--", "sh", "script.sh"];
        self.run(&[&[own.to_string_lossy().as_ref()], words.as_slice()].concat())
    }

    /// Whether the attack left behind what shows its success.
    pub(super) fn succeeded(&mut self, success: Success, output: &Output) -> bool {
        match success {
            Success::Output(text) => String::from_utf8_lossy(&output.stdout).contains(text),
            Success::FileHas(path, text) => {
                std::fs::read(self.place(path)).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text))
            }
            Success::Exists(path) => self.place(path).symlink_metadata().is_ok(),
            Success::Missing(path) => self.place(path).symlink_metadata().is_err(),
            Success::Mode(path, bits) => {
                self.place(path).metadata().is_ok_and(|found| found.permissions().mode() & bits == bits)
            }
            // A signal takes its time to arrive.
            Success::VictimEnds => (0..100).any(|_| {
                std::thread::sleep(Duration::from_millis(5));
                self.victim.try_wait().is_ok_and(|status| status.is_some())
            }),
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.victim.kill().ok();
        self.victim.wait().ok();
        std::fs::remove_dir_all(&self.root).ok();
    }
}

//! A home, a project and a state directory of a test's own, and the built program run in them as a user would run it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Removed with everything in it when dropped.
#[derive(Debug)]
pub struct Scratch {
    root: PathBuf,
    environment: BTreeMap<String, String>,
}

impl Scratch {
    /// An empty home and an empty project.
    pub fn new(name: &str) -> Self {
        Self::below(&std::fs::canonicalize(std::env::temp_dir()).unwrap(), name)
    }

    /// The same outside of every temporary directory, of which a sandbox has its own.
    pub fn beside_home(name: &str) -> Self {
        let home = std::env::home_dir().filter(|home| home.is_absolute()).unwrap();
        Self::below(&std::fs::canonicalize(home).unwrap(), name)
    }

    /// The same below a directory that everybody may enter.
    pub fn anywhere(base: &str, name: &str) -> Self {
        Self::below(Path::new(base), name)
    }

    fn below(base: &Path, name: &str) -> Self {
        static SERIAL: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let root = match recording() {
            // Traces that are kept name no process.
            Some(_) => base.join(name),
            None => base.join(format!("pinfold-{name}-{}-{serial}", std::process::id())),
        };
        for dir in ["home", "home/src/project", "state"] {
            std::fs::create_dir_all(root.join(dir)).unwrap();
        }
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned());
        let environment = BTreeMap::from([
            ("HOME".to_owned(), root.join("home").to_str().unwrap().to_owned()),
            ("PATH".to_owned(), path),
            ("XDG_STATE_HOME".to_owned(), root.join("state").to_str().unwrap().to_owned()),
        ]);
        Self { root, environment }
    }

    /// Sets a variable for everything that is run.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The home directory.
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The project, below the home directory.
    pub fn project(&self) -> PathBuf {
        self.root.join("home/src/project")
    }

    /// pinfold's own state.
    pub fn state(&self) -> PathBuf {
        self.root.join("state/pinfold")
    }

    /// A file outside of home and project.
    pub fn outside(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// An empty home again, as on another machine. The project lives beneath it and stays.
    pub fn forget_home(&self) {
        for entry in std::fs::read_dir(self.home()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| name != "src") {
                if path.is_dir() && !path.is_symlink() {
                    std::fs::remove_dir_all(path).unwrap();
                } else {
                    std::fs::remove_file(path).unwrap();
                }
            }
        }
    }

    /// Writes a file below the project.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.project().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Writes a file below the home directory.
    pub fn home_file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A command in the project with the scratch environment and nothing else.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.environment).current_dir(self.project()).stdin(Stdio::null());
        command
    }

    /// The built program.
    pub fn pinfold(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_pinfold"));
        command.args(arguments);
        command
    }

    /// `pinfold learn --accept-learned=all -- COMMAND`; fails the test if the run was not learned.
    pub fn learn(&self, words: &[&str]) -> Output {
        let report = self.outside("learn.json");
        let mut command = self.pinfold(&["learn", "--accept-learned=all", "--report", report.to_str().unwrap(), "--"]);
        let output = command.args(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(report.exists(), "no report of learning {words:?}: {said}");
        assert!(!self.report("learn")["profile"].is_null(), "{words:?} was not learned: {said}");
        output
    }

    /// `pinfold enforce -- COMMAND`, with its report in `enforce.json`.
    pub fn enforce(&self, words: &[&str]) -> Output {
        let report = self.outside("enforce.json");
        std::fs::remove_file(&report).ok();
        let mut command = self.pinfold(&["enforce", "--report", report.to_str().unwrap(), "--"]);
        command.args(words).output().unwrap()
    }

    /// The words that enforce the only profile in the project as if it said `protect = "strict"`; their report is `enforce.json`.
    pub fn strictly(&self) -> Vec<String> {
        let learned = std::fs::read_to_string(self.profile()).unwrap();
        let strict = learned.replacen("schema = 1\n", "schema = 1\nprotect = \"strict\"\n", 1);
        assert_ne!(strict, learned, "it names its protection, or begins otherwise: {learned}");
        let accepted = pinfold::profile::digest::digest(&pinfold::profile::parse::parse(&strict).unwrap()).to_string();
        let path = self.outside("strict.toml");
        std::fs::write(&path, strict).unwrap();
        let report = self.outside("enforce.json");
        std::fs::remove_file(&report).ok();
        let words =
            ["enforce", "--report", text(&report), "--profile", text(&path), "--accept-digest", &accepted, "--"];
        words.map(str::to_owned).to_vec()
    }

    /// Keeps the trace of the last run as NAME.trace, when traces are being recorded (scripts/record-profiles).
    pub fn record(&self, name: &str) {
        let Some(dir) = recording() else { return };
        let files = |dir: PathBuf| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let traces = files(self.state().join("traces")).flat_map(files);
        let last = traces.max_by_key(|path| path.metadata().unwrap().modified().unwrap()).unwrap();
        std::fs::copy(last, dir.join(format!("{name}.trace"))).unwrap();
    }

    /// A report that a run wrote.
    pub fn report(&self, mode: &str) -> serde_json::Value {
        let text = std::fs::read(self.outside(&format!("{mode}.json"))).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// The only profile in the project.
    pub fn profile(&self) -> PathBuf {
        let dir = self.project().join("generated-profiles");
        let mut found: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("PINFOLD_TEST_KEEP").is_some() {
            eprintln!("kept: {}", self.root.display());
            return;
        }
        std::fs::remove_dir_all(&self.root).ok();
    }
}

/// Where traces are to be kept, if they are.
fn recording() -> Option<PathBuf> {
    std::env::var_os("PINFOLD_TEST_RECORD").map(PathBuf::from)
}

/// What a program did, as far as a user sees it.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    /// Standard output.
    pub stdout: String,
    /// Exit code.
    pub code: Option<i32>,
}

/// What a user sees of `output`.
pub fn seen(output: &Output) -> Seen {
    Seen { stdout: String::from_utf8_lossy(&output.stdout).into_owned(), code: output.status.code() }
}

/// Both streams, for a message.
pub fn said(output: &Output) -> String {
    format!("{}\n--- stdout\n{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout))
}

/// The path as text; the tests make no others.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

//! What runs were refused, a line a run, kept by profile and bounded.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::approvals::key;
use super::{Store, StoreError, replace};

/// Runs that are kept of one profile.
const RUNS: usize = 50;
/// Bytes that are kept of one profile, but for the last run.
const BYTES: usize = 1 << 20;

impl Store {
    /// Keeps a line for a run of `profile`; the oldest go when there are too many. It is added without a wait for the disk,
    /// which most runs would notice: a loss of power may cost the last runs, not those before.
    pub fn keep_refusals(&self, profile: &Path, line: &str) -> Result<(), StoreError> {
        let path = self.refusals_file(profile)?;
        let _lock = self.lock()?;
        let mut lines = self.every_line(profile)?;
        lines.push(line.to_owned());
        let kept = newest(&lines);
        let wrong = |source| StoreError::Write { path: path.clone(), source };
        // Old ones are thrown out many at a time.
        if lines.len() > kept.len() + RUNS || lines.iter().map(String::len).sum::<usize>() > 2 * BYTES {
            return replace(&path, (kept.join("\n") + "\n").as_bytes()).map_err(wrong);
        }
        // A line that broke off is ended first, so that it spoils no other.
        let text = format!("\n{line}\n");
        let open = std::fs::OpenOptions::new().append(true).create(true).mode(0o644).open(&path);
        open.and_then(|mut file| file.write_all(text.as_bytes())).map_err(wrong)
    }

    /// The lines of `profile`, oldest first. One that broke off is among them.
    pub fn refusals(&self, profile: &Path) -> Result<Vec<String>, StoreError> {
        let lines = self.every_line(profile)?;
        Ok(newest(&lines).to_vec())
    }

    fn every_line(&self, profile: &Path) -> Result<Vec<String>, StoreError> {
        let path = self.refusals_file(profile)?;
        match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(StoreError::Read { path, source }),
            Ok(text) => {
                let text = String::from_utf8_lossy(&text);
                Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
            }
        }
    }

    fn refusals_file(&self, profile: &Path) -> Result<PathBuf, StoreError> {
        Ok(self.dir("refusals")?.join(format!("{}.jsonl", key(profile))))
    }
}

/// Those of `lines` that are kept.
fn newest(lines: &[String]) -> &[String] {
    let mut size = 0;
    let fits = |line: &&String| {
        size += line.len() + 1;
        size <= BYTES || size == line.len() + 1
    };
    let kept = lines.iter().rev().take(RUNS).take_while(fits).count();
    lines.get(lines.len() - kept..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_broke_off_spoils_no_other() {
        let root = std::env::temp_dir().join(format!("pinfold-broken-refusals-{}", std::process::id()));
        let store = Store::open(&root, nix::unistd::getuid().as_raw()).unwrap();
        let profile = Path::new("/p/a.toml");
        store.keep_refusals(profile, "one").unwrap();
        let file = store.refusals_file(profile).unwrap();
        let broken = std::fs::read(&file).unwrap().into_iter().chain(*b"tw\xff").collect::<Vec<_>>();
        std::fs::write(&file, broken).unwrap();
        store.keep_refusals(profile, "three").unwrap();
        let lines = store.refusals(profile).unwrap();
        assert_eq!((lines.len(), lines[0].as_str(), lines[2].as_str()), (3, "one", "three"));
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn the_last_runs_are_kept_and_a_flood_of_them_is_not() {
        let root = std::env::temp_dir().join(format!("pinfold-refusals-{}", std::process::id()));
        let store = Store::open(&root, nix::unistd::getuid().as_raw()).unwrap();
        let profile = Path::new("/p/a.toml");
        let file = store.refusals_file(profile).unwrap();
        let (mut last, mut thrown_out) = (0, 0);
        for run in 0..260 {
            store.keep_refusals(profile, &run.to_string()).unwrap();
            let size = std::fs::metadata(&file).unwrap().len();
            thrown_out += usize::from(size < last);
            last = size;
        }
        let lines = store.refusals(profile).unwrap();
        assert_eq!((lines.len(), lines[0].as_str(), lines[49].as_str()), (50, "210", "259"));
        assert!((1..=5).contains(&thrown_out), "the file was made anew {thrown_out} times");
        store.keep_refusals(profile, &"x".repeat(BYTES + 1)).unwrap();
        assert_eq!(store.refusals(profile).unwrap().len(), 1);
        store.keep_refusals(profile, &"y".repeat(BYTES + 1)).unwrap();
        let size = usize::try_from(std::fs::metadata(&file).unwrap().len()).unwrap();
        assert!(size < 2 * BYTES, "{size}");
        std::fs::remove_dir_all(&root).unwrap();
    }
}

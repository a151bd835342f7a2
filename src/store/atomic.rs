//! Replacing a file so that a reader, and a crash, sees the old one or the new one.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What a loss of power may cost: a file that stands for a decision, or one that the next run makes anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    OnDisk,
    InMemory,
}

/// Writes `bytes` beside `path` and renames the result over it; the data is on disk before the name changes. Missing
/// directories above are made. A symlink at `path` is replaced, not followed: it could lead the writer anywhere.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put(path, bytes, Durability::OnDisk)
}

/// As [`replace`], without a wait for the disk: for what every run makes anew. A reader sees the old one or the new one all the
/// same; after a loss of power it may be empty.
pub(super) fn refresh(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put(path, bytes, Durability::InMemory)
}

fn put(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(name);
    temporary_name.push(format!(".{}.tmp", std::process::id()));
    let temporary = dir.join(temporary_name);
    let written = write_new(&temporary, bytes, durability).and_then(|()| std::fs::rename(&temporary, path));
    if let Err(error) = written {
        // The leftover is ours alone; when it cannot be removed the first error is still the one to tell.
        std::fs::remove_file(&temporary).ok();
        return Err(error);
    }
    match durability {
        Durability::OnDisk => std::fs::File::open(dir)?.sync_all(),
        Durability::InMemory => Ok(()),
    }
}

fn write_new(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all(bytes)?;
    match durability {
        Durability::OnDisk => file.sync_all(),
        Durability::InMemory => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symlink_in_the_place_of_the_file_is_replaced_and_its_target_untouched() {
        let dir = std::env::temp_dir().join(format!("pinfold-atomic-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (victim, file) = (dir.join("victim"), dir.join("file"));
        std::fs::write(&victim, "old").unwrap();
        std::os::unix::fs::symlink(&victim, &file).unwrap();
        replace(&file, b"new").unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"old");
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        refresh(&file, b"newer").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"newer");
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2, "no temporary file is left");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

//! Replacing a file so that a reader, and a crash, sees the old one or the new one.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes `bytes` beside `path` and renames the result over it; the data is on disk before the name changes. Missing
/// directories above are made. A symlink at `path` is replaced, not followed: it could lead the writer anywhere.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(name);
    temporary_name.push(format!(".{}.tmp", std::process::id()));
    let temporary = dir.join(temporary_name);
    let written = write_new(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if let Err(error) = written {
        // The leftover is ours alone; when it cannot be removed the first error is still the one to tell.
        std::fs::remove_file(&temporary).ok();
        return Err(error);
    }
    std::fs::File::open(dir)?.sync_all()
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
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
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2, "no temporary file is left");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

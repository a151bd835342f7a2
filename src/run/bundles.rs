//! Bundles that a person wrote: `pinfold/bundles/NAME.toml` in the configuration directory → a [`Bundle`].
//!
//! They are read beside the bundles of this program and never in their place: a name that is taken is an error. A file that
//! no profile names is not read but for learning, which may choose any.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::vocab::bundle::{self, Bundle, BundleError};

/// Why a person's bundle cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleFileError {
    /// It cannot be read.
    #[error("cannot read the bundle {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not say what a bundle says.
    #[error("the bundle {} is not as it should be", .path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// Why.
        source: BundleError,
    },
    /// The name is another's.
    #[error("the bundle {} has the name of one that pinfold brings itself", .path.display())]
    Taken {
        /// Which.
        path: PathBuf,
    },
}

/// More than this is no bundle.
const CAP: u64 = 1 << 20;

/// Where a person's bundles lie; `None` where no configuration directory is known.
fn directory() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let configuration = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(configuration.join("pinfold/bundles"))
}

/// The bundle by that name, of this program or of the person.
pub fn named(name: &str) -> Result<Option<Bundle>, BundleFileError> {
    let own = directory().map(|dir| dir.join(format!("{name}.toml")));
    match (bundle::known(name), own) {
        (Some(_), Some(path)) if path.exists() => Err(BundleFileError::Taken { path }),
        (None, Some(path)) => read(&path),
        (known, _) => Ok(known),
    }
}

/// Every bundle that the person wrote.
pub fn own() -> Result<BTreeMap<String, Bundle>, BundleFileError> {
    let mut found = BTreeMap::new();
    let Some(dir) = directory() else { return Ok(found) };
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(source) => return Err(BundleFileError::Read { path: dir, source }),
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let stem = path.file_stem().and_then(std::ffi::OsStr::to_str).unwrap_or_default().to_owned();
        if path.extension().is_none_or(|extension| extension != "toml") || !bundle::is_name(&stem) {
            continue;
        }
        if let Some(bundle) = named(&stem)? {
            found.insert(stem, bundle);
        }
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Option<Bundle>, BundleFileError> {
    let text = match std::fs::File::open(path) {
        Ok(file) => io::read_to_string(io::Read::take(file, CAP)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => Err(error),
    };
    let text = text.map_err(|source| BundleFileError::Read { path: path.to_path_buf(), source })?;
    let form = |source| BundleFileError::Form { path: path.to_path_buf(), source };
    Bundle::read(&text).map(Some).map_err(form)
}

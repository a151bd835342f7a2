//! Where the secrets of a run come from → their values, read outside of the sandbox just before it starts.
//!
//! A value is held in memory only, never printed, and in no error. A variable that is not set is left out, as without a
//! sandbox; a file, a descriptor or a command that gives nothing stops the start.

use std::io::{self, Read as _};
use std::process::{Command, ExitStatus, Stdio};

use crate::plan::{Handing, Plan};
use crate::profile::{Profile, SecretSource};
use crate::sandbox::secrets::Values;
use crate::vocab::escape;
use crate::vocab::location::{Base, Location};

use super::surroundings::Surroundings;

/// More than this is no secret.
const CAP: u64 = 1 << 20;

/// Why a secret has no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// A variable that the place of its file names is not set.
    #[error("the secret `{name}` is in `{place}`, which names a variable that is not set here")]
    Place {
        /// Its variable.
        name: String,
        /// Its file.
        place: Location,
    },
    /// It could not be read.
    #[error("cannot read the secret `{name}` from {from}")]
    Read {
        /// Its variable.
        name: String,
        /// Where it should be.
        from: String,
        /// Why.
        source: io::Error,
    },
    /// The command that prints it could not be run.
    #[error("cannot run `{command}`, which prints the secret `{name}`")]
    Command {
        /// Its variable.
        name: String,
        /// What was run.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// The command that prints it failed.
    #[error("`{command}`, which prints the secret `{name}`, ended with {status}")]
    Failed {
        /// Its variable.
        name: String,
        /// What was run.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// There was nothing, or far too much.
    #[error("the secret `{name}` from {from} has {size} bytes: more than none and at most {CAP} are wanted")]
    Size {
        /// Its variable.
        name: String,
        /// Where it came from.
        from: String,
        /// How many.
        size: usize,
    },
    /// A variable cannot hold it.
    #[error("the secret `{name}` has a NUL byte, which no variable can hold")]
    Nul {
        /// Its variable.
        name: String,
    },
}

impl SecretError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Nul { .. } => Some("`to = \"file\"` or `to = \"fd\"` hands over any bytes".to_owned()),
            Self::Read { from, .. } if from.starts_with("descriptor") => {
                Some("leave it open for pinfold: `pinfold enforce ... 7< FILE`".to_owned())
            }
            _ => None,
        }
    }
}

/// The values of the secrets that `plan` hands over.
pub fn read(profile: &Profile, plan: &Plan, surroundings: &Surroundings) -> Result<Values, SecretError> {
    let mut values = Values::new();
    for (name, way) in &plan.secrets {
        let Some(secret) = profile.secrets.get(name) else { continue };
        let Some(mut value) = value(name, &secret.from, surroundings)? else { continue };
        if *way == Handing::Variable {
            if value.contains(&0) {
                return Err(SecretError::Nul { name: shown(name) });
            }
            // What ends in one, as most that is printed or edited does, does not mean it.
            if secret.from != SecretSource::Env && value.last() == Some(&b'\n') {
                value.pop();
            }
        }
        values.insert(name.clone(), value);
    }
    Ok(values)
}

fn shown(name: &str) -> String {
    escape::terminal(name.as_bytes())
}

fn value(name: &str, from: &SecretSource, surroundings: &Surroundings) -> Result<Option<Vec<u8>>, SecretError> {
    let (value, words) = match from {
        SecretSource::Env => return Ok(surroundings.environment.get(name).cloned()),
        SecretSource::File(place) => {
            let path = surroundings.roots.resolve(place);
            let path = path.ok_or_else(|| SecretError::Place { name: shown(name), place: place.clone() })?;
            (std::fs::File::open(path.to_path_buf()).and_then(bounded), format!("`{path}`"))
        }
        SecretSource::Descriptor(number) => (descriptor(*number).and_then(bounded), format!("descriptor {number}")),
        SecretSource::Command(words) => {
            let shown_command = escape::terminal(words.join(" ").as_bytes());
            (Ok(printed(name, words, surroundings)?), format!("`{shown_command}`"))
        }
    };
    let value = value.map_err(|source| SecretError::Read { name: shown(name), from: words.clone(), source })?;
    if value.is_empty() || value.len() as u64 > CAP {
        return Err(SecretError::Size { name: shown(name), from: words, size: value.len() });
    }
    Ok(Some(value))
}

fn bounded(from: impl io::Read) -> io::Result<Vec<u8>> {
    let mut value = Vec::new();
    from.take(CAP + 1).read_to_end(&mut value)?;
    Ok(value)
}

/// A copy of what the caller left open: the kernel makes one of a descriptor by its name in /proc, or says why not.
fn descriptor(number: u32) -> io::Result<std::fs::File> {
    let number = i32::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(std::fs::File::from(crate::sys::process::copy_of_inherited(number)?))
}

/// What a command prints. It runs as the caller, in the home directory, so that nothing in the project can take part.
fn printed(name: &str, words: &[String], surroundings: &Surroundings) -> Result<Vec<u8>, SecretError> {
    use std::os::unix::ffi::OsStringExt as _;
    let shown_command = escape::terminal(words.join(" ").as_bytes());
    let failed = |source| SecretError::Command { name: shown(name), command: shown_command.clone(), source };
    let mut words = words.iter().map(|word| {
        let bytes = escape::unfile(word).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(std::ffi::OsString::from_vec(bytes))
    });
    let program = words.next().unwrap_or_else(|| Err(io::ErrorKind::NotFound.into())).map_err(failed)?;
    let mut command = Command::new(program);
    command.args(words.collect::<Result<Vec<_>, io::Error>>().map_err(failed)?);
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    if let Some(home) = surroundings.roots.get(Base::Home) {
        command.current_dir(home.to_path_buf());
    }
    let output = command.output().map_err(failed)?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(SecretError::Failed { name: shown(name), command: shown_command.clone(), status: output.status })
    }
}

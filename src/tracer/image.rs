//! What an exec brings: the chain from script over interpreter to loader, the arguments in shape, the names of variables.
//!
//! Values of variables and texts of arguments are looked at here and do not leave this file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;

use crate::event::{Fact, Hop, Intent, Outcome, PathFact};
use crate::sys::process::proc_file;
use crate::vocab::escape;
use crate::vocab::host::FileKind;
use crate::vocab::path::AbsPath;
use crate::vocab::syscall::Syscall;
use crate::vocab::variables::names_a_secret;

use super::resolve::{Eyes, Reached, Resolver, outside};

/// Interpreters of interpreters (the kernel stops at five).
const MOST_INTERPRETERS: usize = 5;
const MOST_ARGUMENTS: usize = 64;

/// What would run if an exec succeeds.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    /// The program file.
    pub(super) exe: AbsPath,
    /// The script, when the file that was named is one.
    pub(super) script: Option<AbsPath>,
    /// Every file of the chain, in order.
    pub(super) files: Vec<PathFact>,
    /// What runs may be another program than the last one of the files: binfmt_misc has an interpreter for it, or not.
    pub(super) open: bool,
    /// A file of it could not be read, so what follows is not known.
    pub(super) unread: Option<AbsPath>,
}

/// Follows `first` through its interpreters to its loader.
pub(super) fn chain(resolver: &mut Resolver, eyes: Eyes, cwd: &[u8], call: Syscall, first: Reached) -> Chain {
    let mut chain = Chain { exe: first.path.clone(), script: None, files: Vec::new(), open: false, unread: None };
    let mut next = first;
    for _ in 0..MOST_INTERPRETERS {
        let (path, kind) = (next.path.clone(), next.kind);
        chain.files.push(fact(call, path.clone(), next.hops, kind));
        chain.exe = path.clone();
        if kind != Some(FileKind::File) {
            return chain;
        }
        let (interpreter, is_script) = match beneath(eyes, &path) {
            Ok(Some(found)) => found,
            Ok(None) => {
                chain.open = true;
                return chain;
            }
            Err(_) => {
                chain.unread = Some(path);
                return chain;
            }
        };
        let Some(reached) = resolver.resolve(eyes, cwd, &interpreter, true) else { return chain };
        if !is_script {
            let Reached { path, hops, kind, .. } = reached;
            chain.files.push(fact(call, path, hops, kind));
            return chain;
        }
        chain.script.get_or_insert(path);
        next = reached;
    }
    chain
}

/// Goes on from what really runs: an interpreter that the kernel was told of (binfmt_misc), for a file that names none.
pub(super) fn close(chain: Chain, resolver: &mut Resolver, eyes: Eyes) -> Chain {
    let running = std::fs::read_link(format!("/proc/{}/exe", eyes.pid));
    let running = running.ok().map(|path| path.into_os_string().into_vec()).unwrap_or_default();
    let last = chain.files.last();
    if !chain.open || running.first() != Some(&b'/') || running == chain.exe.as_bytes() {
        return chain;
    }
    let (Some(call), Some(reached)) = (last.map(|file| file.call), resolver.resolve(eyes, b"", &running, true)) else {
        return chain;
    };
    let interpreter = self::chain(resolver, eyes, b"", call, reached);
    let script = chain.script.or(Some(chain.exe));
    Chain { script, files: chain.files.into_iter().chain(interpreter.files.clone()).collect(), ..interpreter }
}

fn fact(call: Syscall, path: AbsPath, hops: Vec<Hop>, kind: Option<FileKind>) -> PathFact {
    PathFact { intent: Intent::Execute, call, path, hops, kind, result: Outcome::Ok }
}

/// The interpreter that a file names: of a script (`true`) or of an ELF program (its loader).
fn beneath(eyes: Eyes, path: &AbsPath) -> std::io::Result<Option<(Vec<u8>, bool)>> {
    let mut file = File::open(outside(eyes, path.as_bytes()))?;
    let mut head = Vec::with_capacity(512);
    (&mut file).take(512).read_to_end(&mut head)?;
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|&b| b == b'\n').next().unwrap_or_default();
        let mut words = line.split(|b| matches!(b, b' ' | b'\t' | 0)).filter(|word| !word.is_empty());
        return Ok(words.next().map(|word| (word.to_vec(), true)));
    }
    if !head.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    Ok(loader(&file, &head)?.map(|loader| (loader, false)))
}

/// PT_INTERP of a 64-bit little-endian program (elf(5)).
fn loader(file: &File, head: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
    let number = |bytes: &[u8], at: usize, size: usize| -> Option<u64> {
        let mut word = [0; 8];
        word.get_mut(..size)?.copy_from_slice(bytes.get(at..at + size)?);
        Some(u64::from_le_bytes(word))
    };
    let table = (number(head, 32, 8), number(head, 54, 2), number(head, 56, 2));
    let (Some(offset), Some(size), Some(count)) = table else { return Ok(None) };
    if head.get(4) != Some(&2) || size < 56 {
        return Ok(None);
    }
    for index in 0..count.min(64) {
        let mut entry = [0; 56];
        file.read_exact_at(&mut entry, offset.wrapping_add(index * size))?;
        if number(&entry, 0, 4) != Some(3) {
            continue;
        }
        let length = usize::try_from(number(&entry, 32, 8).unwrap_or(0)).unwrap_or(0).min(4096);
        let mut name = vec![0; length];
        file.read_exact_at(&mut name, number(&entry, 8, 8).unwrap_or(0))?;
        name.truncate(name.iter().position(|&b| b == 0).unwrap_or(length));
        return Ok(Some(name));
    }
    Ok(None)
}

/// The arguments of a process as they are. They may hold secrets.
pub(super) fn command_line(pid: i32) -> Vec<u8> {
    proc_file(&format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// A command line in shape: options by name, everything else by kind.
pub(super) fn shapes(raw: &[u8]) -> Vec<String> {
    let raw = raw.strip_suffix(b"\0").unwrap_or(raw);
    let mut words = raw.split(|&b| b == 0);
    let program = words.next().unwrap_or_default();
    let program = program.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let mut shapes = vec![escape::file(program.get(..64).unwrap_or(program))];
    let mut rest = words.map(shape);
    shapes.extend(rest.by_ref().take(MOST_ARGUMENTS));
    if rest.next().is_some() {
        shapes.push("...".to_owned());
    }
    shapes
}

fn shape(word: &[u8]) -> String {
    let kind = |word: &[u8]| {
        if word.contains(&b'/') { "<path>".to_owned() } else { format!("<text {}>", word.len()) }
    };
    let plain = |name: &[u8]| name.iter().all(|&b| b.is_ascii_lowercase() || b == b'-');
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    if let Some(long) = word.strip_prefix(b"--") {
        let mut halves = long.splitn(2, |&b| b == b'=');
        let name = halves.next().unwrap_or_default();
        if name.len() > 40 || !plain(name) {
            return format!("--{}", kind(name));
        }
        return match halves.next() {
            Some(value) => format!("--{}={}", text(name), kind(value)),
            None => format!("--{}", text(name)),
        };
    }
    match word {
        [b'-'] => "-".to_owned(),
        [b'-', letter] if letter.is_ascii_alphanumeric() => format!("-{}", char::from(*letter)),
        // What follows a short option may be its value, and a secret.
        [b'-', letter, rest @ ..] if letter.is_ascii_alphanumeric() => {
            format!("-{}{}", char::from(*letter), kind(rest))
        }
        _ => kind(word),
    }
}

/// The names of the variables that a process was started with; `None` where they cannot be read.
pub(super) fn environment(pid: i32) -> Option<Fact> {
    proc_file(&format!("/proc/{pid}/environ")).ok().map(|raw| variables(&raw))
}

/// The names in an environment, and which of them hold credentials.
pub(super) fn variables(raw: &[u8]) -> Fact {
    let (mut names, mut credentials) = (BTreeSet::new(), BTreeSet::new());
    for entry in raw.split(|&b| b == 0).take(10_000) {
        let mut halves = entry.splitn(2, |&b| b == b'=');
        let (Some(name), Some(value)) = (halves.next(), halves.next()) else { continue };
        if name.is_empty() || name.len() > 256 {
            continue;
        }
        if !value.is_empty() && (names_a_secret(name) || looks_secret(value)) {
            credentials.insert(escape::file(name));
        }
        names.insert(escape::file(name));
    }
    Fact::Environment { names, credentials }
}

fn looks_secret(value: &[u8]) -> bool {
    const STARTS: [&[u8]; 12] = [
        b"sk-",
        b"ghp_",
        b"gho_",
        b"ghs_",
        b"github_pat_",
        b"glpat-",
        b"xoxb-",
        b"xoxp-",
        b"AKIA",
        b"eyJ",
        b"npm_",
        b"-----BEGIN ",
    ];
    STARTS.iter().any(|start| value.starts_with(start) && value.len() >= start.len() + 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_argument_but_the_names_of_options_survives() {
        let shapes = ["-p", "-phunter2", "--token=abc", "--verbose", "hunter2", "/etc/x", "--S3CRET"];
        let shapes = shapes.map(|word| shape(word.as_bytes()));
        assert_eq!(shapes, ["-p", "-p<text 7>", "--token=<text 3>", "--verbose", "<text 7>", "<path>", "--<text 6>"]);
    }

    #[test]
    fn credentials_are_known_by_value() {
        assert!(looks_secret(b"sk-0123456789") && !looks_secret(b"sk-"));
    }
}

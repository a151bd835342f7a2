//! Which agent a command is: the words of it that must be the same for a profile to apply.
//!
//! `claude --resume 3` is `claude`. `python x.py` is `python` *and* its script, `npx A` is `npx` *and* `A`: otherwise a
//! second program under the same name would fall under the first one's profile. Inline programs (`sh -c TEXT`) are kept as
//! a digest: their text may hold secrets.

use sha2::{Digest, Sha256};

use crate::vocab::escape;
use crate::vocab::location::Roots;
use crate::vocab::path::AbsPath;

/// How a launcher's words are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Launcher {
    /// Runs the script that its first plain word names.
    Interpreter,
    /// Runs the package or task that its first plain word names.
    Runner,
    /// Runs the package or task named after one of these sub-commands.
    SubRunner(&'static [&'static str]),
    /// Runs the rest of its words, after its options, assignments and this many plain words.
    Wrapper(usize),
}

const LAUNCHERS: &[(&str, Launcher)] = &[
    ("python", Launcher::Interpreter),
    ("pypy", Launcher::Interpreter),
    ("node", Launcher::Interpreter),
    ("bun", Launcher::Interpreter),
    ("deno", Launcher::SubRunner(&["run"])),
    ("ruby", Launcher::Interpreter),
    ("perl", Launcher::Interpreter),
    ("php", Launcher::Interpreter),
    ("lua", Launcher::Interpreter),
    ("sh", Launcher::Interpreter),
    ("bash", Launcher::Interpreter),
    ("dash", Launcher::Interpreter),
    ("zsh", Launcher::Interpreter),
    ("fish", Launcher::Interpreter),
    ("ksh", Launcher::Interpreter),
    ("npx", Launcher::Runner),
    ("bunx", Launcher::Runner),
    ("uvx", Launcher::Runner),
    ("npm", Launcher::SubRunner(&["exec", "run", "run-script", "x"])),
    ("pnpm", Launcher::SubRunner(&["exec", "run", "dlx"])),
    ("yarn", Launcher::SubRunner(&["exec", "run", "dlx"])),
    ("pipx", Launcher::SubRunner(&["run"])),
    ("uv", Launcher::SubRunner(&["run", "tool"])),
    ("java", Launcher::Interpreter),
    ("env", Launcher::Wrapper(0)),
    ("nice", Launcher::Wrapper(0)),
    ("nohup", Launcher::Wrapper(0)),
    ("setsid", Launcher::Wrapper(0)),
    ("stdbuf", Launcher::Wrapper(0)),
    ("timeout", Launcher::Wrapper(1)),
];

/// The identity of `argv`, escaped as in files. `scripts` says where a word leads if it is an existing file: scripts are
/// named by their place, so that it does not matter from which directory they are started.
pub fn identity(argv: &[Vec<u8>], roots: &Roots, scripts: &dyn Fn(&[u8]) -> Option<AbsPath>) -> Vec<String> {
    let Some((program, rest)) = argv.split_first() else { return Vec::new() };
    let place = |word: &[u8]| scripts(word).map(|path| roots.locate(&path).to_string());
    let base = program.rsplit(|&b| b == b'/').next().unwrap_or(program);
    let mut words = vec![match program.contains(&b'/').then(|| place(program)).flatten() {
        Some(located) if !is_system(&located) => located,
        Some(_) | None => escape::file(base),
    }];
    let named = |word: &[u8]| place(word).unwrap_or_else(|| escape::file(word));
    match launcher(base) {
        None => {}
        Some(Launcher::Wrapper(skip)) => {
            let start = rest.iter().position(|w| !w.starts_with(b"-") && !w.contains(&b'=')).unwrap_or(rest.len());
            let inner = rest.get(start + skip..).unwrap_or_default();
            words.extend(identity(inner, roots, scripts));
        }
        Some(Launcher::SubRunner(verbs)) => {
            let plain: Vec<_> = rest.iter().filter(|w| !w.starts_with(b"-")).collect();
            if let Some(verb) = plain.first() {
                words.push(escape::file(verb));
                if verbs.iter().any(|known| known.as_bytes() == verb.as_slice()) {
                    words.extend(plain.get(1).map(|word| named(word)));
                }
            }
        }
        Some(Launcher::Runner | Launcher::Interpreter) => words.extend(script_words(rest, &named)),
    }
    words
}

/// What follows an interpreter: `-m NAME`, `-c TEXT` (as a digest), or the first word that is no option.
fn script_words(rest: &[Vec<u8>], named: &dyn Fn(&[u8]) -> String) -> Vec<String> {
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        match word.as_slice() {
            b"-m" | b"-jar" => {
                let module = words.next().map(|w| named(w)).unwrap_or_default();
                return vec![escape::file(word), module];
            }
            b"--" => continue,
            option if option.starts_with(b"--") => continue,
            // `-c`, `-e`, `-lc`, `-ec`: the program is the next word.
            option
                if option.starts_with(b"-")
                    && option.len() <= 4
                    && matches!(option.last(), Some(b'c' | b'e' | b'p')) =>
            {
                let text = words.next().map(Vec::as_slice).unwrap_or_default();
                return vec![escape::file(option), inline_digest(text)];
            }
            option if option.starts_with(b"-") && option.len() > 1 => continue,
            script => return vec![named(script)],
        }
    }
    Vec::new()
}

fn inline_digest(text: &[u8]) -> String {
    let hex: String = Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn launcher(base: &[u8]) -> Option<Launcher> {
    let name = std::str::from_utf8(base).ok()?;
    // `python3.11`, `lua5.4`: the version is no part of the name.
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    LAUNCHERS.iter().find(|(known, _)| *known == name || *known == stem).map(|(_, launcher)| *launcher)
}

/// A program in a system directory goes by its name, so that a profile holds where it lies elsewhere.
fn is_system(located: &str) -> bool {
    ["/usr/", "/bin/", "/sbin/", "/opt/"].iter().any(|top| located.starts_with(top))
}

/// A file stem for a profile of this identity: letters, digits and dashes.
pub fn profile_name(identity: &[String]) -> String {
    let mut name = String::new();
    for word in identity {
        let last = word.rsplit('/').next().unwrap_or(word);
        let scoped = if word.starts_with('@') { word } else { last };
        let scoped =
            scoped.strip_suffix(".py").or(scoped.strip_suffix(".js")).or(scoped.strip_suffix(".sh")).unwrap_or(scoped);
        for c in scoped.chars().take(24) {
            match c {
                c if c.is_ascii_alphanumeric() => name.push(c.to_ascii_lowercase()),
                _ if name.ends_with('-') || name.is_empty() => {}
                _ => name.push('-'),
            }
        }
        if !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_matches('-');
    if name.is_empty() { "command".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::location::Base;
    use std::collections::BTreeMap;

    fn words(line: &str) -> Vec<String> {
        let roots = Roots(BTreeMap::from([(Base::Project, AbsPath::new("/p").unwrap())]));
        let argv: Vec<Vec<u8>> = line.split(' ').map(|w| w.as_bytes().to_vec()).collect();
        let scripts = |word: &[u8]| match word {
            b"x.py" | b"./x.py" | b"../p/x.py" => Some(AbsPath::new("/p/x.py").unwrap()),
            b"/usr/bin/python3" => Some(AbsPath::new("/usr/bin/python3.11").unwrap()),
            _ => None,
        };
        identity(&argv, &roots, &scripts)
    }

    #[test]
    fn arguments_of_an_agent_do_not_change_which_agent_it_is() {
        assert_eq!(words("claude --resume 3"), ["claude"]);
        assert_eq!(words("claude -p hello"), words("claude"));
    }

    #[test]
    fn two_scripts_under_one_interpreter_are_two_agents() {
        assert_eq!(words("python3 -u x.py 1"), ["python3", "$PROJECT/x.py"]);
        assert_eq!(words("/usr/bin/python3 ../p/x.py"), ["python3", "$PROJECT/x.py"]);
        assert_ne!(words("python3 x.py"), words("python3 y.py"));
        assert_ne!(words("npx a"), words("npx b"));
        assert_ne!(words("python3 -m aider"), words("python3 -m http.server"));
        assert_eq!(words("env A=1 timeout 5 python3 x.py"), ["env", "timeout", "python3", "$PROJECT/x.py"]);
    }

    #[test]
    fn the_text_of_an_inline_program_is_part_of_the_identity_but_not_written_down() {
        let found = words("sh -c token=s3cret");
        assert_eq!(found.len(), 3);
        assert!(found[2].starts_with("sha256:") && !found.concat().contains("s3cret"));
        assert_ne!(found, words("sh -c other"));
    }

    #[test]
    fn a_profile_name_is_a_plain_file_stem() {
        assert_eq!(profile_name(&words("npx @scope/Tool")), "npx-scope-tool");
        assert_eq!(profile_name(&words("python3 x.py")), "python3-x");
        assert_eq!(profile_name(&["../..".into()]), "command");
    }
}

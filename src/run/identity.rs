//! Which agent a command is: the words of it that must be the same for a profile to apply.
//!
//! `claude --resume 3` is `claude`. `python x.py` is `python` *and* its script, `npx A` is `npx` *and* `A`: otherwise a
//! second program under the same name would fall under the first one's profile. Inline programs (`sh -c TEXT`) are kept as
//! a digest: their text may hold secrets. An option of a launcher that the table does not know makes all that follows it
//! part of the identity: rather is the same agent learned twice than another one taken for it.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::vocab::escape;
use crate::vocab::location::Roots;
use crate::vocab::path::AbsPath;

use super::launchers::{Launcher, Options, Reading, launcher};

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
    let Some(launcher) = std::str::from_utf8(base).ok().and_then(launcher) else { return words };
    let mut line = Line { rest, words: Vec::new(), named: &named };
    let inner = match launcher {
        Launcher::Wrapper(options, skip) => line.wrapped(options, skip),
        Launcher::Script(options) => {
            line.script(options);
            None
        }
        Launcher::Verbs(options, verbs) => {
            line.verbs(options, verbs, &|word| escape::file(word));
            None
        }
        Launcher::VerbsOrScript(options, verbs) => {
            line.verbs(options, verbs, &named);
            None
        }
    };
    words.append(&mut line.words);
    words.extend(inner.into_iter().flat_map(|inner| identity(inner, roots, scripts)));
    words
}

/// The words behind a launcher, and what was made of those that were read.
struct Line<'a> {
    rest: &'a [Vec<u8>],
    words: Vec<String>,
    named: &'a dyn Fn(&[u8]) -> String,
}

impl<'a> Line<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// To the next plain word; `None` if the program is settled or the line ends.
    fn plain(&mut self, options: &Options, keep: Keep) -> Option<&'a [u8]> {
        while let Some(word) = self.next() {
            match word {
                b"--" => return self.next(),
                [b'-', _, ..] => self.option(options, word, keep)?,
                plain => return Some(plain),
            }
        }
        None
    }

    /// `None` when nothing that follows names a program.
    fn option(&mut self, options: &Options, word: &[u8], keep: Keep) -> Option<()> {
        let reading = options.read(word);
        match reading {
            Reading::Flag => return Some(()),
            Reading::Whole if keep == Keep::Values => self.words.push(text_of(word)),
            Reading::Value if keep == Keep::Values => {
                self.words.push(escape::file(word));
                let value = self.next().unwrap_or_default();
                self.words.push((self.named)(value));
            }
            Reading::Whole => {}
            Reading::Value => {
                self.next();
            }
            Reading::WholeText => self.words.push(digest(&[word])),
            Reading::Text => {
                let value = self.next().unwrap_or_default();
                self.words.extend([escape::file(word), digest(&[value])]);
            }
            Reading::Program => {
                let value = self.next().unwrap_or_default();
                self.words.extend([escape::file(word), (self.named)(value)]);
            }
            // Which of the words names the program is not known: all of them do.
            Reading::Unknown => {
                let rest: Vec<&[u8]> = std::iter::once(word).chain(self.rest.iter().map(Vec::as_slice)).collect();
                self.words.push(digest(&rest));
                self.rest = &[];
            }
        }
        matches!(reading, Reading::Whole | Reading::Value).then_some(())
    }

    fn script(&mut self, options: &Options) {
        if let Some(script) = self.plain(options, Keep::Values) {
            let named = (self.named)(script);
            self.words.push(named);
        }
    }

    fn verbs(&mut self, options: &Options, verbs: &[&str], other: &dyn Fn(&[u8]) -> String) {
        let mut said = String::new();
        while let Some(word) = self.plain(options, Keep::Values) {
            let text = String::from_utf8_lossy(word);
            said = if said.is_empty() { text.into_owned() } else { format!("{said} {text}") };
            let is_verb = verbs.contains(&said.as_str());
            if is_verb || verbs.iter().any(|verb| verb.strip_prefix(&said).is_some_and(|rest| rest.starts_with(' '))) {
                self.words.push(escape::file(word));
                if is_verb {
                    return self.script(options);
                }
            } else {
                return self.words.push(other(word));
            }
        }
    }

    /// The command that a wrapper runs; `None` where it is not known, and was noted.
    fn wrapped(&mut self, options: &Options, mut skip: usize) -> Option<&'a [Vec<u8>]> {
        loop {
            let before = self.rest;
            let word = self.plain(options, Keep::Nothing)?;
            if word.contains(&b'=') {
                continue;
            }
            if skip == 0 {
                // The word itself is the first of the command.
                let taken = before.len() - self.rest.len();
                return before.get(taken - 1..);
            }
            skip -= 1;
        }
    }
}

/// Whether the values of options are part of the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// They may bring code: a module that is loaded first, a package, a path of classes.
    Values,
    Nothing,
}

/// An option with its value behind `=`: the value may be a secret.
fn text_of(word: &[u8]) -> String {
    match word.iter().position(|&b| b == b'=') {
        Some(at) => format!("{}={}", escape::file(word.get(..at).unwrap_or_default()), digest(&[word])),
        None => escape::file(word),
    }
}

fn digest(words: &[&[u8]]) -> String {
    let mut sha = Sha256::new();
    for word in words {
        // With the length, so that no two lists are alike.
        sha.update(u64::try_from(word.len()).unwrap_or(u64::MAX).to_le_bytes());
        sha.update(word);
    }
    let hex: String = sha.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A program in a system directory goes by its name, so that a profile holds where it lies elsewhere.
fn is_system(located: &str) -> bool {
    ["/usr/", "/bin/", "/sbin/", "/opt/"].iter().any(|top| located.starts_with(top))
}

/// Of a profile's file stem, in bytes. Two identities that share a stem are told apart by the profile's own words.
const LONGEST_NAME: usize = 96;

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
    // All of it is ASCII.
    name.truncate(LONGEST_NAME);
    let name = name.trim_matches('-');
    if name.is_empty() { "command".to_owned() } else { name.to_owned() }
}

/// Where the profile of this identity lies in `project`, if nobody says otherwise.
pub fn profile_of(project: &AbsPath, identity: &[String]) -> PathBuf {
    project.to_path_buf().join("generated-profiles").join(format!("{}.toml", profile_name(identity)))
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
    fn the_value_of_an_option_is_not_taken_for_the_script() {
        assert_eq!(words("python3 -W ignore x.py 1"), ["python3", "-W", "ignore", "$PROJECT/x.py"]);
        assert_eq!(
            words("env -u NAME nice -n 5 timeout -s KILL 5 python3 x.py"),
            ["env", "nice", "timeout", "python3", "$PROJECT/x.py"]
        );
        assert_eq!(words("uv --quiet tool run a b"), ["uv", "tool", "run", "a"]);
        assert_eq!(words("npm install a"), ["npm", "install"]);
        assert_eq!(words("bun run a"), ["bun", "run", "a"]);
        assert_eq!(words("bun x.py"), ["bun", "$PROJECT/x.py"]);
        assert_ne!(words("npx -p p a"), words("npx -p q a"));
        assert_eq!(words("java -Xmx1g -cp a.jar Main 1"), ["java", "-Xmx1g", "-cp", "a.jar", "Main"]);
    }

    #[test]
    fn behind_an_option_that_is_not_known_every_word_counts() {
        let found = words("node --brand-new a.js s3cret");
        assert!(found.len() == 2 && !found.concat().contains("s3cret"), "{found:?}");
        assert_ne!(found, words("node --brand-new a.js other"));
        assert_ne!(words("node --brand-new ab c"), words("node --brand-new a bc"));
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

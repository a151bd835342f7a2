//! Programs that run another program, as data: which of their options take a value, and where the other program is named.
//!
//! Invariant: an option that is not listed here makes the rest of the command one opaque word ([`Reading::Unknown`]), so
//! a value is never mistaken for the program. It says nothing about what the other program is.

/// How the words of a launcher are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Launcher {
    /// Runs the script, package or task that its first plain word names.
    Script(&'static Options),
    /// Runs what is named after one of these sub-commands (`"tool run"`: after both words). Another plain word is the
    /// sub-command that it is.
    Verbs(&'static Options, &'static [&'static str]),
    /// As [`Self::Verbs`]; another plain word is a script.
    VerbsOrScript(&'static Options, &'static [&'static str]),
    /// Runs the rest of its words, after its options, assignments and this many plain words.
    Wrapper(&'static Options, usize),
}

/// The options of a launcher. Short ones are letters, which may stand together; longer ones whole words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Without a value.
    flags: &'static str,
    long_flags: &'static [&'static str],
    /// The value is the rest of the word or the next word.
    values: &'static str,
    /// The value is the next word, or stands behind `=`.
    long_values: &'static [&'static str],
    /// The value is the text of a program, and nothing that follows names one.
    texts: &'static str,
    long_texts: &'static [&'static str],
    /// The next word names the program.
    programs: &'static [&'static str],
    /// Words that begin like this hold their value.
    attached: &'static [&'static str],
}

/// What a word that begins with a dash is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Nothing that tells one program from another.
    Flag,
    /// An option with its value.
    Whole,
    /// An option, and the next word is its value.
    Value,
    /// As [`Self::Whole`], and the value is a program's text.
    WholeText,
    /// The next word is a program's text.
    Text,
    /// The next word names the program.
    Program,
    /// Not in the table.
    Unknown,
}

impl Options {
    /// What `word` is. Its first byte is a dash, and it is neither `-` nor `--`.
    pub(super) fn read(&self, word: &[u8]) -> Reading {
        let Ok(word) = std::str::from_utf8(word) else { return Reading::Unknown };
        let (name, has_value) = word.split_once('=').map_or((word, false), |(name, _)| (name, true));
        let is = |list: &[&str]| list.contains(&name);
        match has_value {
            false if is(self.programs) => Reading::Program,
            false if is(self.long_flags) => Reading::Flag,
            false if is(self.long_values) => Reading::Value,
            false if is(self.long_texts) => Reading::Text,
            true if is(self.long_texts) => Reading::WholeText,
            // What stands behind `=` cannot be mistaken for the next word.
            true if name.starts_with("--") => Reading::Whole,
            _ if self.attached.iter().any(|start| word.starts_with(start)) => Reading::Whole,
            _ if name.starts_with("--") => Reading::Unknown,
            _ => self.read_letters(word.strip_prefix('-').unwrap_or(word)),
        }
    }

    fn read_letters(&self, letters: &str) -> Reading {
        for (at, letter) in letters.char_indices() {
            let is_last = at + letter.len_utf8() == letters.len();
            if self.flags.contains(letter) {
                continue;
            }
            return match (is_last, self.values.contains(letter), self.texts.contains(letter)) {
                (true, true, _) => Reading::Value,
                (false, true, _) => Reading::Whole,
                (true, _, true) => Reading::Text,
                (false, _, true) => Reading::WholeText,
                _ => Reading::Unknown,
            };
        }
        Reading::Flag
    }
}

/// The launcher of this name. `python3.11`, `lua5.4`: the version is no part of it.
pub(super) fn launcher(name: &str) -> Option<Launcher> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    LAUNCHERS.iter().find(|(known, _)| *known == name || *known == stem).map(|(_, launcher)| *launcher)
}

const NONE: Options = Options {
    flags: "",
    long_flags: &[],
    values: "",
    long_values: &[],
    texts: "",
    long_texts: &[],
    programs: &[],
    attached: &[],
};

const PYTHON: Options = Options { flags: "bBdEhiIOPqRsSuvVx", values: "WX", texts: "c", programs: &["-m"], ..NONE };

const NODE: Options = Options {
    flags: "ich",
    long_flags: &[
        "--interactive",
        "--check",
        "--no-warnings",
        "--no-deprecation",
        "--trace-warnings",
        "--trace-deprecation",
        "--trace-uncaught",
        "--enable-source-maps",
        "--expose-gc",
        "--expose_gc",
        "--inspect",
        "--inspect-brk",
        "--preserve-symlinks",
        "--experimental-strip-types",
        "--experimental-vm-modules",
        "--test",
        "--watch",
    ],
    values: "rC",
    long_values: &["--require", "--import", "--loader", "--experimental-loader", "--conditions", "--env-file"],
    texts: "ep",
    long_texts: &["--eval", "--print"],
    ..NONE
};

const SHELL: Options = Options {
    flags: "abefhiklmnprstuvxBCEHPT",
    long_flags: &["--login", "--norc", "--noprofile", "--posix", "--restricted", "--verbose", "--no-rcs"],
    values: "oO",
    long_values: &["--rcfile", "--init-file"],
    texts: "c",
    long_texts: &["--command"],
    ..NONE
};

const RUBY: Options =
    Options { flags: "acdhlnpsSUvwWy", values: "CEFiIKrTx", texts: "e", long_flags: &["--disable-gems"], ..NONE };
const PERL: Options = Options { flags: "acfnpsStTuUvwWX", values: "ICDFiMmlx0", texts: "eE", ..NONE };
const PHP: Options = Options { flags: "aehilmnqsvw", values: "cdzStF", texts: "rBRE", programs: &["-f"], ..NONE };
const LUA: Options = Options { flags: "iEvW", values: "l", texts: "e", ..NONE };

const JAVA: Options = Options {
    long_flags: &["-ea", "-esa", "-da", "-server", "-client", "--enable-preview", "-version"],
    long_values: &[
        "-cp",
        "-classpath",
        "--class-path",
        "-p",
        "--module-path",
        "--add-modules",
        "--add-opens",
        "--add-exports",
        "--add-reads",
        "--upgrade-module-path",
    ],
    programs: &["-jar", "-m", "--module"],
    attached: &["-D", "-X", "-javaagent:", "-agentlib:", "-agentpath:", "-verbose:", "-ea:", "-da:", "@"],
    ..NONE
};

const NPX: Options = Options {
    flags: "yq",
    long_flags: &["--yes", "--no", "--no-install", "--quiet", "--prefer-offline", "--prefer-online", "--offline"],
    values: "pw",
    long_values: &["--package", "--workspace", "--registry", "--cache", "--prefix", "--userconfig"],
    texts: "c",
    long_texts: &["--call"],
    ..NONE
};

const NPM: Options = Options {
    flags: "ysgq",
    long_flags: &[
        "--yes",
        "--silent",
        "--global",
        "--quiet",
        "--offline",
        "--prefer-offline",
        "--if-present",
        "--ignore-scripts",
        "--workspaces",
        "--include-workspace-root",
    ],
    values: "pwC",
    long_values: &[
        "--package",
        "--workspace",
        "--registry",
        "--cache",
        "--prefix",
        "--userconfig",
        "--dir",
        "--filter",
    ],
    texts: "c",
    long_texts: &["--call"],
    ..NONE
};

const BUN: Options = Options {
    flags: "biv",
    long_flags: &["--bun", "--hot", "--watch", "--silent", "--smol", "--install"],
    values: "r",
    long_values: &["--preload", "--cwd", "--config", "--env-file", "--filter", "--define", "--package"],
    texts: "ep",
    long_texts: &["--eval", "--print"],
    ..NONE
};

const DENO: Options = Options {
    flags: "Aq",
    long_flags: &["--allow-all", "--quiet", "--no-prompt", "--no-check", "--cached-only", "--watch", "--no-lock"],
    values: "c",
    long_values: &["--config", "--import-map", "--lock", "--cert", "--location", "--log-level"],
    attached: &["--allow-", "--deny-", "--unstable"],
    ..NONE
};

const UV: Options = Options {
    flags: "qvn",
    long_flags: &[
        "--quiet",
        "--verbose",
        "--offline",
        "--no-cache",
        "--no-project",
        "--isolated",
        "--locked",
        "--frozen",
        "--no-sync",
        "--all-extras",
        "--no-dev",
        "--script",
    ],
    values: "pwi",
    long_values: &[
        "--from",
        "--with",
        "--with-editable",
        "--with-requirements",
        "--python",
        "--extra",
        "--group",
        "--directory",
        "--project",
        "--package",
        "--index",
        "--index-url",
        "--default-index",
        "--env-file",
        "--cache-dir",
    ],
    programs: &["-m", "--module"],
    ..NONE
};

const PIPX: Options = Options {
    flags: "qv",
    long_flags: &["--quiet", "--verbose", "--no-cache", "--system-site-packages"],
    long_values: &["--spec", "--python", "--pip-args", "--index-url", "--with"],
    ..NONE
};

const ENV: Options = Options {
    flags: "iv0",
    long_flags: &["--ignore-environment", "--debug", "--null", "--default-signal", "--ignore-signal", "--block-signal"],
    values: "uC",
    long_values: &["--unset", "--chdir"],
    texts: "S",
    long_texts: &["--split-string"],
    ..NONE
};
const NICE: Options = Options { values: "n", long_values: &["--adjustment"], attached: NUMBERS, ..NONE };
const NUMBERS: &[&str] = &["-0", "-1", "-2", "-3", "-4", "-5", "-6", "-7", "-8", "-9", "--1", "--2"];
const TIMEOUT: Options = Options {
    flags: "fpv",
    long_flags: &["--foreground", "--preserve-status", "--verbose"],
    values: "ks",
    long_values: &["--signal", "--kill-after"],
    ..NONE
};
const STDBUF: Options = Options { values: "ioe", long_values: &["--input", "--output", "--error"], ..NONE };
const SETSID: Options = Options { flags: "cfw", long_flags: &["--ctty", "--fork", "--wait"], ..NONE };
const IONICE: Options =
    Options { flags: "t", values: "cn", long_flags: &["--ignore"], long_values: &["--class", "--classdata"], ..NONE };
const TIME: Options = Options {
    flags: "apvqV",
    long_flags: &["--append", "--portability", "--verbose", "--quiet"],
    values: "fo",
    long_values: &["--format", "--output"],
    ..NONE
};
const XVFB: Options = Options {
    flags: "al",
    long_flags: &["--auto-servernum", "--listen-tcp"],
    values: "efnpsw",
    long_values: &["--error-file", "--auth-file", "--server-num", "--xauth-protocol", "--server-args", "--wait"],
    ..NONE
};

const LAUNCHERS: &[(&str, Launcher)] = &[
    ("python", Launcher::Script(&PYTHON)),
    ("pypy", Launcher::Script(&PYTHON)),
    ("node", Launcher::Script(&NODE)),
    ("nodejs", Launcher::Script(&NODE)),
    ("tsx", Launcher::Script(&NODE)),
    ("ts-node", Launcher::Script(&NODE)),
    ("bun", Launcher::VerbsOrScript(&BUN, &["run", "x", "exec"])),
    ("deno", Launcher::Verbs(&DENO, &["run", "task"])),
    ("ruby", Launcher::Script(&RUBY)),
    ("perl", Launcher::Script(&PERL)),
    ("php", Launcher::Script(&PHP)),
    ("lua", Launcher::Script(&LUA)),
    ("sh", Launcher::Script(&SHELL)),
    ("bash", Launcher::Script(&SHELL)),
    ("dash", Launcher::Script(&SHELL)),
    ("zsh", Launcher::Script(&SHELL)),
    ("fish", Launcher::Script(&SHELL)),
    ("ksh", Launcher::Script(&SHELL)),
    ("java", Launcher::Script(&JAVA)),
    ("npx", Launcher::Script(&NPX)),
    ("bunx", Launcher::Script(&BUN)),
    ("uvx", Launcher::Script(&UV)),
    ("npm", Launcher::Verbs(&NPM, &["exec", "run", "run-script", "x"])),
    ("pnpm", Launcher::Verbs(&NPM, &["exec", "run", "dlx"])),
    ("yarn", Launcher::Verbs(&NPM, &["exec", "run", "dlx"])),
    ("pipx", Launcher::Verbs(&PIPX, &["run"])),
    ("uv", Launcher::Verbs(&UV, &["run", "tool run"])),
    ("poetry", Launcher::Verbs(&NONE, &["run"])),
    ("pdm", Launcher::Verbs(&NONE, &["run"])),
    ("env", Launcher::Wrapper(&ENV, 0)),
    ("nice", Launcher::Wrapper(&NICE, 0)),
    ("ionice", Launcher::Wrapper(&IONICE, 0)),
    ("nohup", Launcher::Wrapper(&NONE, 0)),
    ("setsid", Launcher::Wrapper(&SETSID, 0)),
    ("stdbuf", Launcher::Wrapper(&STDBUF, 0)),
    ("time", Launcher::Wrapper(&TIME, 0)),
    ("timeout", Launcher::Wrapper(&TIMEOUT, 1)),
    ("xvfb-run", Launcher::Wrapper(&XVFB, 0)),
    ("busybox", Launcher::Wrapper(&NONE, 0)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_stand_together_are_read_to_the_first_that_takes_a_value() {
        assert_eq!(PYTHON.read(b"-uB"), Reading::Flag);
        assert_eq!(PYTHON.read(b"-uW"), Reading::Value);
        assert_eq!(PYTHON.read(b"-Wignore"), Reading::Whole);
        assert_eq!(PYTHON.read(b"-Ic"), Reading::Text);
        assert_eq!(PYTHON.read(b"-cprint(1)"), Reading::WholeText);
        assert_eq!(PYTHON.read(b"-m"), Reading::Program);
    }

    #[test]
    fn an_option_that_is_not_listed_is_not_guessed() {
        assert_eq!(PYTHON.read(b"-z"), Reading::Unknown);
        assert_eq!(NODE.read(b"--new-option"), Reading::Unknown);
        assert_eq!(NODE.read(b"--new-option=1"), Reading::Whole);
        assert_eq!(NODE.read(b"--\xff"), Reading::Unknown);
    }

    #[test]
    fn no_option_is_listed_as_two_things() {
        for (name, launcher) in LAUNCHERS {
            let (Launcher::Script(options)
            | Launcher::Verbs(options, _)
            | Launcher::VerbsOrScript(options, _)
            | Launcher::Wrapper(options, _)) = launcher;
            let letters = [options.flags, options.values, options.texts].concat();
            let words = [options.long_flags, options.long_values, options.long_texts, options.programs].concat();
            let distinct: std::collections::BTreeSet<_> = letters.chars().collect();
            assert_eq!(distinct.len(), letters.len(), "{name}: {letters}");
            let distinct: std::collections::BTreeSet<_> = words.iter().collect();
            assert_eq!(distinct.len(), words.len(), "{name}: {words:?}");
        }
    }
}

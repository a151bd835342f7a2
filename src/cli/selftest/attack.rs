//! The harmless half of the attack corpus: what a file of `tests/attacks/` says, as far as the self test needs it.

/// Every attack that may run on anybody's machine: it touches nothing but what the self test planted. The file's stem, and
/// the file.
pub(super) const ATTACKS: &[(&str, &str)] = &[
    ("granted-append-start-up", include_str!("../../../tests/attacks/granted-append-start-up.sh")),
    ("granted-chmod", include_str!("../../../tests/attacks/granted-chmod.sh")),
    ("granted-exists", include_str!("../../../tests/attacks/granted-exists.sh")),
    ("granted-list-home", include_str!("../../../tests/attacks/granted-list-home.sh")),
    ("granted-list-outside", include_str!("../../../tests/attacks/granted-list-outside.sh")),
    ("granted-make-directory", include_str!("../../../tests/attacks/granted-make-directory.sh")),
    ("granted-make-file", include_str!("../../../tests/attacks/granted-make-file.sh")),
    ("granted-make-link", include_str!("../../../tests/attacks/granted-make-link.sh")),
    ("granted-make-pipe", include_str!("../../../tests/attacks/granted-make-pipe.sh")),
    (
        "granted-read-beneath-existing-directory",
        include_str!("../../../tests/attacks/granted-read-beneath-existing-directory.sh"),
    ),
    ("granted-read-beneath-placeholder", include_str!("../../../tests/attacks/granted-read-beneath-placeholder.sh")),
    ("granted-read-key", include_str!("../../../tests/attacks/granted-read-key.sh")),
    ("granted-read-outside", include_str!("../../../tests/attacks/granted-read-outside.sh")),
    ("granted-read-sibling", include_str!("../../../tests/attacks/granted-read-sibling.sh")),
    ("granted-read-through-cwd-of-self", include_str!("../../../tests/attacks/granted-read-through-cwd-of-self.sh")),
    ("granted-read-through-hard-link", include_str!("../../../tests/attacks/granted-read-through-hard-link.sh")),
    (
        "granted-read-through-parent-directories",
        include_str!("../../../tests/attacks/granted-read-through-parent-directories.sh"),
    ),
    ("granted-read-through-root-of-self", include_str!("../../../tests/attacks/granted-read-through-root-of-self.sh")),
    ("granted-read-through-symlink", include_str!("../../../tests/attacks/granted-read-through-symlink.sh")),
    ("granted-remove-directory", include_str!("../../../tests/attacks/granted-remove-directory.sh")),
    ("granted-remove", include_str!("../../../tests/attacks/granted-remove.sh")),
    ("granted-size", include_str!("../../../tests/attacks/granted-size.sh")),
    ("granted-sysfs", include_str!("../../../tests/attacks/granted-sysfs.sh")),
    ("granted-touch", include_str!("../../../tests/attacks/granted-touch.sh")),
    ("granted-users", include_str!("../../../tests/attacks/granted-users.sh")),
    ("guarded-git-config", include_str!("../../../tests/attacks/guarded-git-config.sh")),
    ("guarded-hook-new", include_str!("../../../tests/attacks/guarded-hook-new.sh")),
    ("guarded-hook-renamed", include_str!("../../../tests/attacks/guarded-hook-renamed.sh")),
    ("guarded-hook", include_str!("../../../tests/attacks/guarded-hook.sh")),
    ("guarded-withheld-linked", include_str!("../../../tests/attacks/guarded-withheld-linked.sh")),
    ("guarded-withheld-renamed", include_str!("../../../tests/attacks/guarded-withheld-renamed.sh")),
    ("guarded-withheld", include_str!("../../../tests/attacks/guarded-withheld.sh")),
    ("inherited-descriptor", include_str!("../../../tests/attacks/inherited-descriptor.sh")),
    ("inherited-directory", include_str!("../../../tests/attacks/inherited-directory.sh")),
    ("inherited-host-name", include_str!("../../../tests/attacks/inherited-host-name.sh")),
    ("inherited-variable-of-self", include_str!("../../../tests/attacks/inherited-variable-of-self.sh")),
    ("inherited-variable", include_str!("../../../tests/attacks/inherited-variable.sh")),
    ("processes-environment", include_str!("../../../tests/attacks/processes-environment.sh")),
    ("processes-group", include_str!("../../../tests/attacks/processes-group.sh")),
    ("processes-list", include_str!("../../../tests/attacks/processes-list.sh")),
    ("processes-open-files", include_str!("../../../tests/attacks/processes-open-files.sh")),
    ("processes-root", include_str!("../../../tests/attacks/processes-root.sh")),
    ("processes-signal", include_str!("../../../tests/attacks/processes-signal.sh")),
    ("read-only-append", include_str!("../../../tests/attacks/read-only-append.sh")),
    ("read-only-chmod", include_str!("../../../tests/attacks/read-only-chmod.sh")),
    ("read-only-hard-link", include_str!("../../../tests/attacks/read-only-hard-link.sh")),
    ("read-only-make", include_str!("../../../tests/attacks/read-only-make.sh")),
    ("read-only-remove", include_str!("../../../tests/attacks/read-only-remove.sh")),
    ("read-only-through-descriptor", include_str!("../../../tests/attacks/read-only-through-descriptor.sh")),
    ("read-only-truncate", include_str!("../../../tests/attacks/read-only-truncate.sh")),
];

/// One attack.
#[derive(Debug, Clone)]
pub(super) struct Attack {
    pub(super) name: &'static str,
    /// What it tries, in words.
    pub(super) what: &'static str,
    /// The promise that it is against.
    pub(super) promise: &'static str,
    pub(super) success: Success,
    /// Lines of `[filesystem]`.
    pub(super) grants: Vec<&'static str>,
    /// System calls beyond the base set.
    pub(super) allow: Vec<&'static str>,
    pub(super) script: &'static str,
}

/// How success shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Success {
    /// The output has this text.
    Output(&'static str),
    /// This file has this text afterwards.
    FileHas(&'static str, &'static str),
    /// This exists afterwards.
    Exists(&'static str),
    /// This is gone afterwards.
    Missing(&'static str),
    /// The mode of this has these bits.
    Mode(&'static str, u32),
    /// The victim's process has ended.
    VictimEnds,
}

impl Attack {
    /// From a file of the corpus; `None` if it lacks something that every attack has.
    pub(super) fn read(name: &'static str, script: &'static str) -> Option<Self> {
        let header = script.lines().map_while(|line| line.strip_prefix("# ")).filter_map(|line| line.split_once(": "));
        let all = |key: &str| header.clone().filter(move |(k, _)| *k == key).map(|(_, v)| v).collect::<Vec<_>>();
        let one = |key: &str| all(key).first().copied();
        Some(Self {
            name,
            what: one("attack")?,
            promise: one("promise")?,
            success: Success::read(one("success")?)?,
            grants: all("grant"),
            allow: all("allow").iter().flat_map(|line| line.split(' ')).collect(),
            script,
        })
    }
}

impl Success {
    fn read(text: &'static str) -> Option<Self> {
        let words = |from: &str| text.strip_prefix(from);
        if text == "the victim ends" {
            return Some(Self::VictimEnds);
        }
        if let Some(text) = words("output has ") {
            return Some(Self::Output(text));
        }
        if let Some((path, text)) = words("file ").and_then(|rest| rest.split_once(" has ")) {
            return Some(Self::FileHas(path, text));
        }
        if let Some((path, bits)) = words("mode of ").and_then(|rest| rest.split_once(" has ")) {
            return u32::from_str_radix(bits, 8).ok().map(|bits| Self::Mode(path, bits));
        }
        words("exists ").map(Self::Exists).or_else(|| words("missing ").map(Self::Missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attack_of_the_self_test_is_understood_and_is_marked_harmless() {
        for (name, script) in ATTACKS {
            assert!(Attack::read(name, script).is_some(), "{name}");
            assert!(script.contains("\n# harmless: yes\n"), "{name}");
        }
    }

    #[test]
    fn every_harmless_attack_of_the_corpus_is_in_the_self_test() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacks");
        let mut harmless = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if std::fs::read_to_string(&path).unwrap().contains("\n# harmless: yes\n") {
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                assert!(ATTACKS.iter().any(|(known, _)| *known == name), "{name}");
                harmless += 1;
            }
        }
        assert_eq!(harmless, ATTACKS.len());
    }
}

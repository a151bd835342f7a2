//! The digest over what a profile means: what a person approves on a machine.
//!
//! Invariant: two profiles have the same digest if and only if they allow the same to the same command. Comments, reasons,
//! the name, and the spelling of the file are no part of it; what the bundles open that it names is. Specified in `docs/profile.md`, so that others can compute it.

use sha2::{Digest as _, Sha256};

use super::Profile;
use super::emit;

/// A digest over meaning; displayed as `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// The digest of `profile`.
pub fn digest(profile: &Profile) -> Digest {
    let mut text = emit::meaning(profile);
    // What a bundle opens may change with a version of pinfold, or by a person's hand: then it is another profile.
    for (name, bundle) in &profile.bundles {
        text += &format!("\n@{name}\n{}", bundle.meaning());
    }
    Digest(Sha256::digest(text).into())
}

/// `profile` without what is said for people alone.
pub fn meaning(profile: &Profile) -> Profile {
    let mut bare = profile.clone();
    bare.name.clear();
    bare.filesystem.values_mut().for_each(|grant| grant.reason = None);
    bare.network.values_mut().for_each(|grant| grant.reason = None);
    bare
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    /// `docs/profile.md` specifies the text: that of the file, without what is for people alone.
    #[test]
    fn the_digest_is_over_the_text_without_name_and_reasons() {
        let text = "schema = 1\nname = \"x\"\ncommand = [\"x\"]\n\n[filesystem]\n\"/a\" = { access = \"read\", \
            reason = \"r\" }\n\"/b\" = { access = \"read\", sensitive = \"vault\", approved = true, reason = \"r\" }\n\n\
            [network]\n\"a.example:1\" = { access = \"connect\", reason = \"r\" }\n\n[syscalls]\nbase = 1\n";
        let profile = parse(text).unwrap();
        assert_eq!(emit::meaning(&profile), emit::emit(&meaning(&profile), None));
        assert_ne!(emit::meaning(&profile), emit::emit(&profile, None), "a control: there is something to leave out");
    }
}

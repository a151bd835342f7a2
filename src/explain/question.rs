//! What a person typed → what is asked for: a place, a call, a peer or a variable.

use crate::profile::Profile;
use crate::profile::evidence::{Evidence, Subject};
use crate::vocab::endpoint::NetTarget;
use crate::vocab::escape;
use crate::vocab::location::{Base, Roots};
use crate::vocab::path::{AbsPath, PathError};
use crate::vocab::syscall::Syscall;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// A place, as a path here.
    Place(AbsPath),
    /// A system call.
    Call(Syscall),
    /// A host, with or without a port.
    Peer(String),
    /// A variable.
    Variable(String),
}

/// Why it is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoQuestion {
    /// It is no path.
    #[error("this is no place to ask for")]
    Path(#[from] PathError),
    /// A variable that is not set.
    #[error("`{0}` is not set here")]
    Unset(&'static str),
    /// It is none of those.
    #[error("`{0}` is no path, no system call, no host and no variable")]
    Unknown(String),
}

impl Question {
    /// Understands `text`. What has a slash, or begins with `~` or a variable of profiles, is a path, from `workdir` where it
    /// is relative; then a system call; then what profile and evidence know; then what it looks like.
    pub fn parse(
        text: &[u8],
        roots: &Roots,
        workdir: &AbsPath,
        profile: &Profile,
        evidence: &Evidence,
    ) -> Result<Self, NoQuestion> {
        for base in Base::ALL.into_iter().filter(|base| *base != Base::Root) {
            let rest = text.strip_prefix(base.as_str().as_bytes());
            if let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with(b"/")) {
                let top = roots.get(base).ok_or(NoQuestion::Unset(base.as_str()))?;
                return Ok(Self::Place(top.join(rest)?));
            }
        }
        if text.first() == Some(&b'/') {
            return Ok(Self::Place(AbsPath::new(text)?));
        }
        if text.contains(&b'/') || text == b"." {
            return Ok(Self::Place(workdir.join(text)?));
        }
        let Ok(word) = std::str::from_utf8(text) else { return Ok(Self::Place(workdir.join(text)?)) };
        if let Some(call) = Syscall::from_name(word) {
            return Ok(Self::Call(call));
        }
        let named = profile.environment.contains(word) || profile.secrets.contains_key(word);
        if named || evidence.facts.contains_key(&Subject::Variable(word.to_owned())) {
            return Ok(Self::Variable(word.to_owned()));
        }
        let lower = word.to_ascii_lowercase();
        let host = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._*[]:".contains(c);
        let like_a_host = lower == "localhost" || (lower.contains('.') && lower.chars().all(host));
        if like_a_host || lower.parse::<NetTarget>().is_ok() {
            return Ok(Self::Peer(lower));
        }
        let like_a_variable = word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && word.starts_with(|c: char| c.is_ascii_uppercase() || c == '_');
        if like_a_variable {
            return Ok(Self::Variable(word.to_owned()));
        }
        Err(NoQuestion::Unknown(escape::terminal(text)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_meant_is_found_by_its_form() {
        let path = |text: &str| AbsPath::new(text).unwrap();
        let roots = Roots(BTreeMap::from([(Base::Home, path("/home/u")), (Base::Project, path("/home/u/p"))]));
        let profile =
            "schema = 1\nname = \"a\"\ncommand = [\"a\"]\n[syscalls]\nbase = 1\n[environment]\npass = [\"lower\"]\n";
        let profile = crate::profile::parse::parse(profile).unwrap();
        let ask = |text: &[u8]| Question::parse(text, &roots, &path("/home/u/p/src"), &profile, &Evidence::default());
        let place = |text: &str| Ok(Question::Place(path(text)));
        assert_eq!(ask(b"~/.ssh"), place("/home/u/.ssh"));
        assert_eq!(ask(b"~"), place("/home/u"));
        assert_eq!(ask(b"$PROJECT/x"), place("/home/u/p/x"));
        assert_eq!(ask(b"./x"), place("/home/u/p/src/x"));
        assert_eq!(ask(b"."), place("/home/u/p/src"));
        assert_eq!(ask(b"/a//b"), place("/a/b"));
        assert_eq!(ask(b"/\xff"), Ok(Question::Place(AbsPath::new(b"/\xff").unwrap())));
        assert_eq!(ask(b"ptrace"), Ok(Question::Call(Syscall::from_name("ptrace").unwrap())));
        assert_eq!(ask(b"API.example.com"), Ok(Question::Peer("api.example.com".into())));
        assert_eq!(ask(b"localhost:80"), Ok(Question::Peer("localhost:80".into())));
        assert_eq!(ask(b"@host"), Ok(Question::Peer("@host".into())));
        assert_eq!(ask(b"PATH"), Ok(Question::Variable("PATH".into())));
        assert_eq!(ask(b"lower"), Ok(Question::Variable("lower".into())));
        assert_eq!(ask(b"$XDG_CACHE_HOME/x"), Err(NoQuestion::Unset("$XDG_CACHE_HOME")));
        assert!(matches!(ask(b"../x"), Err(NoQuestion::Path(_))));
        assert!(matches!(ask(b"nothing"), Err(NoQuestion::Unknown(_))));
    }
}

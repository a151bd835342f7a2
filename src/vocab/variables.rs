//! Names of variables that are more than words: those that lead out of a sandbox, and those that hold secrets.
//!
//! By name alone; a value is never looked at here.

/// Names that lead out of the sandbox or change what every program does.
const POWER: [&str; 22] = [
    "BASH_ENV",
    "DBUS_SESSION_BUS_ADDRESS",
    "DBUS_SYSTEM_BUS_ADDRESS",
    "DISPLAY",
    "DOCKER_HOST",
    "ENV",
    "GPG_AGENT_INFO",
    "GPG_TTY",
    "I3SOCK",
    "ICEAUTHORITY",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_FDS",
    "NOTIFY_SOCKET",
    "SESSION_MANAGER",
    "SSH_AGENT_PID",
    "SSH_AUTH_SOCK",
    "SWAYSOCK",
    "TMUX",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "SYSTEMD_EXEC_PID",
];
/// Beginnings of such names.
const POWER_PREFIXES: [&str; 5] = ["LD_", "SUDO_", "BASH_FUNC_", "DYLD_", "SSH_"];

/// Whether a variable of this name leads out of the sandbox or changes what every program does.
pub fn is_powerful(name: &str) -> bool {
    POWER.contains(&name) || POWER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a variable of this name holds a secret, going by the parts of the name: `MONKEY` holds no key.
pub fn names_a_secret(name: &[u8]) -> bool {
    const WORDS: [&[u8]; 8] =
        [b"KEY", b"TOKEN", b"SECRET", b"PASSWORD", b"PASSWD", b"PASSPHRASE", b"CREDENTIAL", b"COOKIE"];
    let name = name.to_ascii_uppercase();
    name.split(|&b| b == b'_').any(|part| {
        WORDS.iter().any(|word| part == *word || part.strip_suffix(b"S") == Some(*word))
            || part.ends_with(b"APIKEY")
            || part.ends_with(b"PASSWORD")
            || part.ends_with(b"TOKEN")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_a_part_of_its_name() {
        assert!(names_a_secret(b"OPENAI_API_KEY") && names_a_secret(b"GITHUB_TOKEN") && names_a_secret(b"pgpassword"));
        assert!(!names_a_secret(b"MONKEY") && !names_a_secret(b"PATH"));
        assert!(is_powerful("LD_PRELOAD") && is_powerful("BASH_ENV") && !is_powerful("HOME"));
    }
}

//! Which places are more than files: keys, credentials, names that the host executes, sockets of power.
//!
//! The table is data, in plain words that a reviewer reads. A name that is not in it is not thereby harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::access::Access;
use super::location::{Base, Roots};
use super::path::AbsPath;

/// Why a place needs a person's word before it is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sensitivity {
    /// `"vault"`: private keys, cloud credentials, browser profiles, password stores, the Docker socket. Hidden even
    /// while learning.
    Vault,
    /// `"credential"`: a token or password of a program.
    Credential,
    /// `"host-executes"`: a name that the host runs or obeys later: start-up files, git hooks and configuration, editor
    /// tasks, units, `~/.local/bin`.
    HostExecutes,
    /// `"pinfold"`: pinfold's own state and profiles. Never granted.
    Pinfold,
}

impl Sensitivity {
    /// All of them, the most powerful first.
    pub const ALL: [Self; 4] = [Self::Vault, Self::Credential, Self::HostExecutes, Self::Pinfold];

    /// The word in profiles.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Credential => "credential",
            Self::HostExecutes => "host-executes",
            Self::Pinfold => "pinfold",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Where.
    pub place: Place,
    /// What it is.
    pub sensitivity: Sensitivity,
    /// Why, in words for a reviewer: "your SSH private keys".
    pub why: &'static str,
}

/// A pattern of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// This path below a variable, and everything beneath it.
    At(Base, &'static str),
    /// A component sequence anywhere below a variable (`.git/hooks` in any repository), and everything beneath it.
    Anywhere(Base, &'static str),
}

/// The row that covers `path` whatever is done with it, the most powerful first; see [`sensitive`] for what matters to a
/// grant; `None` for what the table does not know.
pub fn classify(path: &AbsPath, roots: &Roots) -> Option<&'static Row> {
    covering(path, roots).into_iter().next()
}

/// The row that makes `access` to `path` sensitive. Reading what the host executes is harmless; writing it is not.
pub fn sensitive(path: &AbsPath, roots: &Roots, access: Access) -> Option<&'static Row> {
    let counts = |row: &&Row| row.sensitivity != Sensitivity::HostExecutes || access.writes();
    covering(path, roots).into_iter().find(counts)
}

/// Every row that covers `path`, in the order of the table.
pub fn covering(path: &AbsPath, roots: &Roots) -> Vec<&'static Row> {
    let path = Relative::of(path, roots);
    let mut candidates: Vec<usize> = Vec::new();
    for (base, rest) in path.parts() {
        let mut parts = rest.split(|&b| b == b'/');
        let first = parts.next().unwrap_or_default();
        candidates.extend(INDEX.at.get(&(base, first)).into_iter().flatten());
        if INDEX.anywhere_in.contains(&base) {
            let rows = std::iter::once(first).chain(parts).filter_map(|part| INDEX.anywhere.get(&(base, part)));
            candidates.extend(rows.flatten());
        }
    }
    candidates.sort_unstable();
    candidates.dedup();
    candidates.into_iter().filter_map(|at| table().get(at)).filter(|row| path.is_in(row.place)).collect()
}

/// Rows of the table by the first component of their place.
#[derive(Default)]
struct Index {
    at: BTreeMap<(Base, &'static [u8]), Vec<usize>>,
    anywhere: BTreeMap<(Base, &'static [u8]), Vec<usize>>,
    anywhere_in: BTreeSet<Base>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index::default();
    for (number, row) in table().iter().enumerate() {
        let (Place::At(base, rest) | Place::Anywhere(base, rest)) = row.place;
        let first = rest.as_bytes().split(|&b| b == b'/').next().unwrap_or_default();
        let rows = match row.place {
            Place::At(..) => &mut index.at,
            Place::Anywhere(..) => {
                index.anywhere_in.insert(base);
                &mut index.anywhere
            }
        };
        rows.entry((base, first)).or_default().push(number);
    }
    index
});

/// What remains of one path below each variable: worked out once, for the table has hundreds of rows.
struct Relative<'p>([Option<&'p [u8]>; Base::ALL.len()]);

impl<'p> Relative<'p> {
    fn of(path: &'p AbsPath, roots: &Roots) -> Self {
        Self(Base::ALL.map(|base| match base {
            Base::Root => path.as_bytes().get(1..),
            base => roots.0.get(&base).and_then(|top| path.relative_to(top)),
        }))
    }

    fn parts(&self) -> impl Iterator<Item = (Base, &'p [u8])> {
        Base::ALL.into_iter().zip(self.0).filter_map(|(base, rest)| Some((base, rest?)))
    }

    fn is_in(&self, place: Place) -> bool {
        let (Place::At(base, rest) | Place::Anywhere(base, rest)) = place;
        let index = Base::ALL.iter().position(|known| *known == base);
        let Some(path) = index.and_then(|index| self.0.get(index).copied().flatten()) else { return false };
        let begins = |path: &[u8]| {
            path.strip_prefix(rest.as_bytes()).is_some_and(|tail| matches!(tail.first(), None | Some(b'/')))
        };
        match place {
            Place::At(..) => begins(path),
            Place::Anywhere(..) => {
                let after_slash = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at + 1);
                std::iter::once(0).chain(after_slash).any(|at| path.get(at..).is_some_and(begins))
            }
        }
    }
}

/// The whole table: the vault, then credentials, then what the host executes.
pub fn table() -> &'static [Row] {
    use Place::{Anywhere, At};
    use Sensitivity::{Credential, HostExecutes, Vault};
    const fn row(place: Place, sensitivity: Sensitivity, why: &'static str) -> Row {
        Row { place, sensitivity, why }
    }
    const TABLE: &[Row] = &[
        // Keys.
        row(At(Base::Home, ".ssh"), Vault, "your SSH keys, and which hosts you know"),
        row(At(Base::Home, ".gnupg"), Vault, "your GnuPG keys"),
        row(At(Base::Home, ".pki"), Vault, "your keys and certificates"),
        row(At(Base::Home, ".local/share/pki"), Vault, "your keys and certificates"),
        row(At(Base::Home, ".config/age"), Vault, "your keys and certificates"),
        row(At(Base::Home, ".config/sops"), Vault, "your keys and certificates"),
        row(At(Base::Home, ".step"), Vault, "your keys and certificates"),
        row(At(Base::Root, "etc/ssl/private"), Vault, "private keys of this machine"),
        row(At(Base::Root, "etc/ssh/ssh_host_ed25519_key"), Vault, "private keys of this machine"),
        row(At(Base::Root, "etc/ssh/ssh_host_rsa_key"), Vault, "private keys of this machine"),
        row(At(Base::Root, "etc/ssh/ssh_host_ecdsa_key"), Vault, "private keys of this machine"),
        row(At(Base::Root, "etc/shadow"), Vault, "password hashes and rights of this machine"),
        row(At(Base::Root, "etc/shadow-"), Vault, "password hashes and rights of this machine"),
        row(At(Base::Root, "etc/gshadow"), Vault, "password hashes and rights of this machine"),
        row(At(Base::Root, "etc/gshadow-"), Vault, "password hashes and rights of this machine"),
        row(At(Base::Root, "etc/sudoers"), Vault, "password hashes and rights of this machine"),
        row(At(Base::Root, "etc/sudoers.d"), Vault, "password hashes and rights of this machine"),
        // Clouds.
        row(At(Base::Home, ".aws"), Vault, "your AWS credentials"),
        row(At(Base::Home, ".azure"), Vault, "your cloud credentials"),
        row(At(Base::Home, ".config/gcloud"), Vault, "your cloud credentials"),
        row(At(Base::Home, ".boto"), Vault, "your cloud credentials"),
        row(At(Base::Home, ".config/doctl"), Vault, "your cloud credentials"),
        row(At(Base::Home, ".config/hcloud"), Vault, "your cloud credentials"),
        row(At(Base::Home, ".oci"), Vault, "your cloud credentials"),
        row(At(Base::Home, ".aliyun"), Vault, "your cloud credentials"),
        row(At(Base::Home, ".bluemix"), Vault, "your cloud credentials"),
        row(At(Base::Home, ".config/scw"), Vault, "your cloud credentials"),
        row(At(Base::Home, ".linode-cli"), Vault, "your cloud credentials"),
        row(At(Base::Home, ".config/linode-cli"), Vault, "your cloud credentials"),
        row(At(Base::Home, ".fly"), Vault, "your cloud credentials"),
        row(At(Base::Home, ".config/heroku"), Vault, "your cloud credentials"),
        row(At(Base::Home, ".kube"), Vault, "credentials for your Kubernetes clusters"),
        row(At(Base::Home, ".terraform.d"), Vault, "credentials for infrastructure and storage"),
        row(At(Base::Home, ".config/rclone"), Vault, "credentials for infrastructure and storage"),
        row(At(Base::Home, ".s3cfg"), Vault, "credentials for infrastructure and storage"),
        row(At(Base::Home, ".vault-token"), Vault, "credentials for infrastructure and storage"),
        // Browsers.
        row(At(Base::Home, ".mozilla"), Vault, "a browser profile: sessions and saved passwords"),
        row(At(Base::Home, ".config/mozilla"), Vault, "a browser profile: sessions and saved passwords"),
        row(At(Base::Home, ".cache/mozilla"), Vault, "a browser profile: sessions and saved passwords"),
        row(At(Base::Home, ".thunderbird"), Vault, "a browser profile: sessions and saved passwords"),
        row(At(Base::Home, ".config/chromium"), Vault, "a browser profile: sessions and saved passwords"),
        row(At(Base::Home, ".config/google-chrome"), Vault, "a browser profile: sessions and saved passwords"),
        row(At(Base::Home, ".config/google-chrome-beta"), Vault, "a browser profile: sessions and saved passwords"),
        row(At(Base::Home, ".config/BraveSoftware"), Vault, "a browser profile: sessions and saved passwords"),
        row(At(Base::Home, ".config/microsoft-edge"), Vault, "a browser profile: sessions and saved passwords"),
        row(At(Base::Home, ".config/vivaldi"), Vault, "a browser profile: sessions and saved passwords"),
        row(At(Base::Home, ".config/opera"), Vault, "a browser profile: sessions and saved passwords"),
        row(At(Base::Home, ".librewolf"), Vault, "a browser profile: sessions and saved passwords"),
        row(At(Base::Home, ".zen"), Vault, "a browser profile: sessions and saved passwords"),
        row(At(Base::Home, "snap/firefox"), Vault, "a browser profile: sessions and saved passwords"),
        row(At(Base::Home, "snap/chromium"), Vault, "a browser profile: sessions and saved passwords"),
        row(At(Base::Home, ".var/app/org.mozilla.firefox"), Vault, "a browser profile: sessions and saved passwords"),
        row(At(Base::Home, ".var/app/org.chromium.Chromium"), Vault, "a browser profile: sessions and saved passwords"),
        row(At(Base::Home, ".var/app/com.google.Chrome"), Vault, "a browser profile: sessions and saved passwords"),
        // Password stores and wallets.
        row(At(Base::Home, ".password-store"), Vault, "your passwords"),
        row(At(Base::Home, ".local/share/keyrings"), Vault, "your passwords"),
        row(At(Base::Home, ".gnome2/keyrings"), Vault, "your passwords"),
        row(At(Base::Home, ".local/share/kwalletd"), Vault, "your passwords"),
        row(At(Base::Home, ".config/Bitwarden"), Vault, "your passwords"),
        row(At(Base::Home, ".config/1Password"), Vault, "your passwords"),
        row(At(Base::Home, ".config/op"), Vault, "your passwords"),
        row(At(Base::Home, ".config/keepassxc"), Vault, "your passwords"),
        row(At(Base::Home, ".local/share/gopass"), Vault, "your passwords"),
        row(At(Base::Home, ".bitcoin"), Vault, "a wallet"),
        row(At(Base::Home, ".ethereum"), Vault, "a wallet"),
        row(At(Base::Home, ".electrum"), Vault, "a wallet"),
        row(At(Base::Home, ".monero"), Vault, "a wallet"),
        row(At(Base::Home, ".config/solana"), Vault, "a wallet"),
        row(At(Base::Home, ".config/Exodus"), Vault, "a wallet"),
        row(At(Base::Home, ".config/Signal"), Vault, "your messages and sessions"),
        row(At(Base::Home, ".config/Slack"), Vault, "your messages and sessions"),
        row(At(Base::Home, ".config/discord"), Vault, "your messages and sessions"),
        row(At(Base::Home, ".local/share/TelegramDesktop"), Vault, "your messages and sessions"),
        // Sockets that rule this machine.
        row(At(Base::Root, "run/docker.sock"), Vault, "a socket that is as good as root on this machine"),
        row(At(Base::Root, "var/run/docker.sock"), Vault, "a socket that is as good as root on this machine"),
        row(At(Base::Root, "run/podman"), Vault, "a socket that is as good as root on this machine"),
        row(At(Base::Root, "run/containerd"), Vault, "a socket that is as good as root on this machine"),
        row(At(Base::Root, "run/crio"), Vault, "a socket that is as good as root on this machine"),
        row(At(Base::Root, "run/libvirt"), Vault, "a socket that is as good as root on this machine"),
        row(At(Base::Root, "run/lxd.socket"), Vault, "a socket that is as good as root on this machine"),
        row(At(Base::Root, "run/incus"), Vault, "a socket that is as good as root on this machine"),
        row(At(Base::Root, "run/snapd.socket"), Vault, "a socket that is as good as root on this machine"),
        row(At(Base::XdgRuntime, "docker.sock"), Vault, "a socket that starts containers as you"),
        row(At(Base::XdgRuntime, "podman"), Vault, "a socket that starts containers as you"),
        row(At(Base::XdgRuntime, "containerd"), Vault, "a socket that starts containers as you"),
        row(At(Base::XdgRuntime, "gnupg"), Vault, "a socket that signs with your keys"),
        row(At(Base::XdgRuntime, "keyring"), Vault, "a socket that signs with your keys"),
        row(At(Base::XdgRuntime, "ssh-agent.socket"), Vault, "a socket that signs with your keys"),
        row(At(Base::XdgRuntime, "bus"), Vault, "a socket that starts programs as you, outside of everything"),
        row(At(Base::XdgRuntime, "dbus-1"), Vault, "a socket that starts programs as you, outside of everything"),
        row(At(Base::XdgRuntime, "systemd"), Vault, "a socket that starts programs as you, outside of everything"),
        row(At(Base::Root, "run/systemd/private"), Vault, "a socket that is as good as root on this machine"),
        row(At(Base::Root, "run/dbus/system_bus_socket"), Vault, "a socket to the services of this machine"),
        row(At(Base::Home, ".dbus"), Vault, "where the bus of your session listens"),
        row(At(Base::Home, ".Xauthority"), Vault, "a key with which a program types into every window"),
        row(At(Base::XdgRuntime, "gcr"), Vault, "a socket that signs with your keys"),
        // Tokens of programs.
        row(At(Base::Home, ".netrc"), Credential, "passwords for hosts"),
        row(At(Base::Home, ".git-credentials"), Credential, "passwords for git"),
        row(At(Base::Home, ".config/git/credentials"), Credential, "passwords for git"),
        row(At(Base::Home, ".cache/git/credential"), Credential, "passwords for git"),
        row(At(Base::Home, ".config/gh"), Credential, "a token for a code host"),
        row(At(Base::Home, ".config/glab-cli"), Credential, "a token for a code host"),
        row(At(Base::Home, ".config/hub"), Credential, "a token for a code host"),
        row(At(Base::Home, ".npmrc"), Credential, "a token for a package registry"),
        row(At(Base::Home, ".yarnrc.yml"), Credential, "a token for a package registry"),
        row(At(Base::Home, ".config/pnpm/rc"), Credential, "a token for a package registry"),
        row(At(Base::Home, ".pypirc"), Credential, "a token for a package registry"),
        row(At(Base::Home, ".config/pypoetry/auth.toml"), Credential, "a token for a package registry"),
        row(At(Base::Home, ".config/pip/pip.conf"), Credential, "a token for a package registry"),
        row(At(Base::Home, ".pip/pip.conf"), Credential, "a token for a package registry"),
        row(At(Base::Home, ".cargo/credentials"), Credential, "a token for a package registry"),
        row(At(Base::Home, ".cargo/credentials.toml"), Credential, "a token for a package registry"),
        row(At(Base::Home, ".gem/credentials"), Credential, "a token for a package registry"),
        row(At(Base::Home, ".m2/settings.xml"), Credential, "a token for a package registry"),
        row(At(Base::Home, ".m2/settings-security.xml"), Credential, "a token for a package registry"),
        row(At(Base::Home, ".gradle/gradle.properties"), Credential, "a token for a package registry"),
        row(At(Base::Home, ".composer/auth.json"), Credential, "a token for a package registry"),
        row(At(Base::Home, ".config/composer/auth.json"), Credential, "a token for a package registry"),
        row(At(Base::Home, ".nuget/NuGet/NuGet.Config"), Credential, "a token for a package registry"),
        row(At(Base::Home, ".terraformrc"), Credential, "a token for a package registry"),
        row(At(Base::Home, ".docker/config.json"), Credential, "a token for an image registry"),
        row(At(Base::Home, ".config/containers/auth.json"), Credential, "a token for an image registry"),
        row(At(Base::XdgRuntime, "containers/auth.json"), Credential, "a token for an image registry"),
        row(At(Base::Home, ".pgpass"), Credential, "passwords for databases"),
        row(At(Base::Home, ".my.cnf"), Credential, "passwords for databases"),
        row(At(Base::Home, ".mylogin.cnf"), Credential, "passwords for databases"),
        row(At(Base::Home, ".config/redis"), Credential, "passwords for databases"),
        row(At(Base::Home, ".mongorc.js"), Credential, "passwords for databases"),
        row(At(Base::Home, ".cache/huggingface/token"), Credential, "a token for a service"),
        row(At(Base::Home, ".huggingface/token"), Credential, "a token for a service"),
        row(At(Base::Home, ".kaggle/kaggle.json"), Credential, "a token for a service"),
        row(At(Base::Home, ".config/openai"), Credential, "a token for a service"),
        row(At(Base::Home, ".config/wandb"), Credential, "a token for a service"),
        row(At(Base::Home, ".config/sentry"), Credential, "a token for a service"),
        row(At(Base::Home, ".sentryclirc"), Credential, "a token for a service"),
        row(At(Base::Home, ".config/stripe"), Credential, "a token for a service"),
        row(At(Base::Home, ".vercel"), Credential, "a token for a service"),
        row(At(Base::Home, ".netlify"), Credential, "a token for a service"),
        row(At(Base::Home, ".config/netlify"), Credential, "a token for a service"),
        row(At(Base::Home, ".config/vercel"), Credential, "a token for a service"),
        row(At(Base::Home, ".local/share/com.vercel.cli"), Credential, "a token for a service"),
        row(At(Base::Home, ".config/fetchmailrc"), Credential, "passwords for mail and networks"),
        row(At(Base::Home, ".fetchmailrc"), Credential, "passwords for mail and networks"),
        row(At(Base::Home, ".msmtprc"), Credential, "passwords for mail and networks"),
        row(At(Base::Home, ".config/msmtp"), Credential, "passwords for mail and networks"),
        row(At(Base::Home, ".mbsyncrc"), Credential, "passwords for mail and networks"),
        row(At(Base::Home, ".config/neomutt"), Credential, "passwords for mail and networks"),
        row(At(Base::Home, ".smbcredentials"), Credential, "passwords for mail and networks"),
        row(At(Base::Home, ".config/vpnc"), Credential, "passwords for mail and networks"),
        row(At(Base::Home, ".config/NetworkManager"), Credential, "passwords for mail and networks"),
        row(At(Base::Home, ".bash_history"), Credential, "what you typed, which may hold passwords"),
        row(At(Base::Home, ".zsh_history"), Credential, "what you typed, which may hold passwords"),
        row(At(Base::Home, ".python_history"), Credential, "what you typed, which may hold passwords"),
        row(At(Base::Home, ".node_repl_history"), Credential, "what you typed, which may hold passwords"),
        row(At(Base::Home, ".psql_history"), Credential, "what you typed, which may hold passwords"),
        row(At(Base::Home, ".mysql_history"), Credential, "what you typed, which may hold passwords"),
        row(At(Base::Home, ".local/share/fish/fish_history"), Credential, "what you typed, which may hold passwords"),
        // Agents' own logins.
        row(At(Base::Home, ".claude/.credentials.json"), Credential, "the login of an agent"),
        row(At(Base::Home, ".codex/auth.json"), Credential, "the login of an agent"),
        row(At(Base::Home, ".pi/agent/auth.json"), Credential, "the login of an agent"),
        row(At(Base::Home, ".gemini/oauth_creds.json"), Credential, "the login of an agent"),
        row(At(Base::Home, ".gemini/google_accounts.json"), Credential, "the login of an agent"),
        row(At(Base::Home, ".local/share/opencode/auth.json"), Credential, "the login of an agent"),
        row(At(Base::Home, ".aider/oauth-keys.env"), Credential, "the login of an agent"),
        row(At(Base::Home, ".config/mini-swe-agent/.env"), Credential, "the login of an agent"),
        row(At(Base::Home, ".config/github-copilot"), Credential, "the login of an agent"),
        row(At(Base::Home, ".copilot"), Credential, "the login of an agent"),
        row(At(Base::Home, ".config/goose/secrets.yaml"), Credential, "the login of an agent"),
        row(At(Base::Home, ".qwen/oauth_creds.json"), Credential, "the login of an agent"),
        row(At(Base::Home, ".config/cursor/auth.json"), Credential, "the login of an agent"),
        row(At(Base::Home, ".cursor/auth.json"), Credential, "the login of an agent"),
        row(At(Base::Home, ".continue/config.yaml"), Credential, "the login of an agent"),
        row(At(Base::Home, ".config/amp/secrets.json"), Credential, "the login of an agent"),
        row(Anywhere(Base::Project, ".env"), Credential, "tokens of this project"),
        row(Anywhere(Base::Project, ".env.local"), Credential, "tokens of this project"),
        row(Anywhere(Base::Project, ".env.production"), Credential, "tokens of this project"),
        row(Anywhere(Base::Project, ".npmrc"), Credential, "tokens of this project"),
        row(Anywhere(Base::Project, ".netrc"), Credential, "tokens of this project"),
        row(Anywhere(Base::Project, ".git/credentials"), Credential, "passwords for git"),
        // Shells.
        row(At(Base::Home, ".bashrc"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".bash_profile"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".bash_login"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".bash_logout"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".bash_aliases"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".profile"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".zshrc"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".zshenv"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".zprofile"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".zlogin"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".zlogout"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".zsh"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".oh-my-zsh"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".kshrc"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".mkshrc"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".cshrc"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".tcshrc"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".login"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".logout"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".inputrc"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".config/fish"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".config/bash"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".config/zsh"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".config/nushell"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".config/starship.toml"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".bash_completion"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".local/share/bash-completion"), HostExecutes, "your shell runs it at every start"),
        row(At(Base::Home, ".xprofile"), HostExecutes, "your session runs it at login"),
        row(At(Base::Home, ".xinitrc"), HostExecutes, "your session runs it at login"),
        row(At(Base::Home, ".xsession"), HostExecutes, "your session runs it at login"),
        row(At(Base::Home, ".xsessionrc"), HostExecutes, "your session runs it at login"),
        row(At(Base::Home, ".Xresources"), HostExecutes, "your session runs it at login"),
        row(At(Base::Home, ".pam_environment"), HostExecutes, "your session runs it at login"),
        row(At(Base::Home, ".config/environment.d"), HostExecutes, "your session runs it at login"),
        row(At(Base::Home, ".config/plasma-workspace/env"), HostExecutes, "your session runs it at login"),
        row(At(Base::Home, ".config/autostart"), HostExecutes, "your desktop starts what stands there"),
        row(At(Base::Home, ".config/systemd"), HostExecutes, "your desktop starts what stands there"),
        row(At(Base::Home, ".local/share/systemd"), HostExecutes, "your desktop starts what stands there"),
        row(At(Base::Home, ".config/upstart"), HostExecutes, "your desktop starts what stands there"),
        row(At(Base::Home, ".local/share/applications"), HostExecutes, "your desktop starts what stands there"),
        row(At(Base::Home, ".local/share/dbus-1"), HostExecutes, "your desktop starts what stands there"),
        row(At(Base::Home, ".config/i3"), HostExecutes, "your desktop starts what stands there"),
        row(At(Base::Home, ".config/sway"), HostExecutes, "your desktop starts what stands there"),
        row(At(Base::Home, ".config/hypr"), HostExecutes, "your desktop starts what stands there"),
        row(At(Base::Home, ".config/openbox"), HostExecutes, "your desktop starts what stands there"),
        row(At(Base::Home, ".local/bin"), HostExecutes, "programs in your PATH"),
        row(At(Base::Home, "bin"), HostExecutes, "programs in your PATH"),
        row(At(Base::Home, ".cargo/bin"), HostExecutes, "programs in your PATH"),
        row(At(Base::Home, "go/bin"), HostExecutes, "programs in your PATH"),
        row(At(Base::Home, ".npm-global/bin"), HostExecutes, "programs in your PATH"),
        row(At(Base::Home, ".deno/bin"), HostExecutes, "programs in your PATH"),
        row(At(Base::Home, ".bun/bin"), HostExecutes, "programs in your PATH"),
        row(At(Base::Home, ".pyenv/shims"), HostExecutes, "programs in your PATH"),
        row(At(Base::Home, ".asdf/shims"), HostExecutes, "programs in your PATH"),
        row(At(Base::Home, ".rbenv/shims"), HostExecutes, "programs in your PATH"),
        row(At(Base::Home, ".volta/bin"), HostExecutes, "programs in your PATH"),
        row(At(Base::Home, ".local/share/mise/shims"), HostExecutes, "programs in your PATH"),
        // Programs that run what their configuration names.
        row(At(Base::Home, ".gitconfig"), HostExecutes, "git and kin run programs that it names"),
        row(At(Base::Home, ".config/git"), HostExecutes, "git and kin run programs that it names"),
        row(At(Base::Home, ".gitmodules"), HostExecutes, "git and kin run programs that it names"),
        row(At(Base::Home, ".hgrc"), HostExecutes, "git and kin run programs that it names"),
        row(At(Base::Home, ".config/hg"), HostExecutes, "git and kin run programs that it names"),
        row(At(Base::Home, ".config/jj"), HostExecutes, "git and kin run programs that it names"),
        row(At(Base::Home, ".tigrc"), HostExecutes, "git and kin run programs that it names"),
        row(At(Base::Home, ".vimrc"), HostExecutes, "your editor runs it"),
        row(At(Base::Home, ".vim"), HostExecutes, "your editor runs it"),
        row(At(Base::Home, ".config/nvim"), HostExecutes, "your editor runs it"),
        row(At(Base::Home, ".emacs"), HostExecutes, "your editor runs it"),
        row(At(Base::Home, ".emacs.d"), HostExecutes, "your editor runs it"),
        row(At(Base::Home, ".config/emacs"), HostExecutes, "your editor runs it"),
        row(At(Base::Home, ".config/doom"), HostExecutes, "your editor runs it"),
        row(At(Base::Home, ".nanorc"), HostExecutes, "your editor runs it"),
        row(At(Base::Home, ".config/Code/User"), HostExecutes, "your editor runs it"),
        row(At(Base::Home, ".config/VSCodium/User"), HostExecutes, "your editor runs it"),
        row(At(Base::Home, ".vscode/extensions"), HostExecutes, "your editor runs it"),
        row(At(Base::Home, ".vscode-server"), HostExecutes, "your editor runs it"),
        row(At(Base::Home, ".config/Cursor/User"), HostExecutes, "your editor runs it"),
        row(At(Base::Home, ".config/zed"), HostExecutes, "your editor runs it"),
        row(At(Base::Home, ".config/helix"), HostExecutes, "your editor runs it"),
        row(At(Base::Home, ".local/share/nvim"), HostExecutes, "your editor runs it"),
        row(At(Base::Home, ".tmux.conf"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".config/tmux"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".screenrc"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".gdbinit"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".config/gdb"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".lldbinit"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".pythonrc"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".pythonstartup.py"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".ipython"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".jupyter"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".Rprofile"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".irbrc"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".pryrc"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".psqlrc"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".sqliterc"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".wgetrc"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".curlrc"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".config/direnv"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".envrc"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".cargo/config"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".cargo/config.toml"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".config/mise"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".mise.toml"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".asdfrc"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".config/pre-commit"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".makerc"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".config/lf"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".config/ranger"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".lesskey"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".config/less"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".mailcap"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".config/mimeapps.list"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".config/kitty"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".config/alacritty"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".config/wezterm"), HostExecutes, "a program runs what it names"),
        row(At(Base::Home, ".claude/settings.json"), HostExecutes, "an agent obeys it outside the sandbox too"),
        row(At(Base::Home, ".claude/settings.local.json"), HostExecutes, "an agent obeys it outside the sandbox too"),
        row(At(Base::Home, ".claude/hooks"), HostExecutes, "an agent obeys it outside the sandbox too"),
        row(At(Base::Home, ".claude/commands"), HostExecutes, "an agent obeys it outside the sandbox too"),
        row(At(Base::Home, ".claude/plugins/config.json"), HostExecutes, "an agent obeys it outside the sandbox too"),
        row(At(Base::Home, ".codex/config.toml"), HostExecutes, "an agent obeys it outside the sandbox too"),
        row(At(Base::Home, ".codex/hooks"), HostExecutes, "an agent obeys it outside the sandbox too"),
        row(At(Base::Home, ".gemini/settings.json"), HostExecutes, "an agent obeys it outside the sandbox too"),
        row(At(Base::Home, ".pi/agent/settings.json"), HostExecutes, "an agent obeys it outside the sandbox too"),
        row(
            At(Base::Home, ".config/opencode/opencode.json"),
            HostExecutes,
            "an agent obeys it outside the sandbox too",
        ),
        row(At(Base::Home, ".mcp.json"), HostExecutes, "an agent obeys it outside the sandbox too"),
        row(At(Base::Home, ".aider.conf.yml"), HostExecutes, "an agent obeys it outside the sandbox too"),
        row(At(Base::Home, ".cursor/mcp.json"), HostExecutes, "an agent obeys it outside the sandbox too"),
        row(At(Base::Root, "etc/cron.d"), HostExecutes, "this machine runs it"),
        row(At(Base::Root, "etc/crontab"), HostExecutes, "this machine runs it"),
        row(At(Base::Root, "var/spool/cron"), HostExecutes, "this machine runs it"),
        row(At(Base::Root, "etc/systemd"), HostExecutes, "this machine runs it"),
        row(At(Base::Root, "etc/profile"), HostExecutes, "this machine runs it"),
        row(At(Base::Root, "etc/profile.d"), HostExecutes, "this machine runs it"),
        row(At(Base::Root, "etc/ld.so.preload"), HostExecutes, "this machine runs it"),
        row(At(Base::Root, "etc/pam.d"), HostExecutes, "this machine runs it"),
        row(At(Base::Root, "etc/rc.local"), HostExecutes, "this machine runs it"),
        row(At(Base::Root, "etc/init.d"), HostExecutes, "this machine runs it"),
        // In any project.
        row(Anywhere(Base::Project, ".git/hooks"), HostExecutes, "git runs it outside the sandbox"),
        row(
            Anywhere(Base::Project, ".git/commondir"),
            HostExecutes,
            "git takes its configuration from where it points",
        ),
        row(Anywhere(Base::Project, ".git/config"), HostExecutes, "git runs it outside the sandbox"),
        row(Anywhere(Base::Project, ".git/config.worktree"), HostExecutes, "git runs it outside the sandbox"),
        row(Anywhere(Base::Project, ".git/modules"), HostExecutes, "git runs it outside the sandbox"),
        row(Anywhere(Base::Project, ".git/info/attributes"), HostExecutes, "git runs it outside the sandbox"),
        row(Anywhere(Base::Project, ".husky"), HostExecutes, "git runs it outside the sandbox"),
        row(Anywhere(Base::Project, ".githooks"), HostExecutes, "git runs it outside the sandbox"),
        row(Anywhere(Base::Project, ".gitmodules"), HostExecutes, "git or a hook runs what it names"),
        row(Anywhere(Base::Project, ".hg/hgrc"), HostExecutes, "git or a hook runs what it names"),
        row(Anywhere(Base::Project, ".pre-commit-config.yaml"), HostExecutes, "git or a hook runs what it names"),
        row(Anywhere(Base::Project, "lefthook.yml"), HostExecutes, "git or a hook runs what it names"),
        row(Anywhere(Base::Project, ".envrc"), HostExecutes, "your shell obeys it when you enter the directory"),
        row(Anywhere(Base::Project, ".mise.toml"), HostExecutes, "your shell obeys it when you enter the directory"),
        row(
            Anywhere(Base::Project, ".vscode/tasks.json"),
            HostExecutes,
            "your editor runs it when you open the project",
        ),
        row(
            Anywhere(Base::Project, ".vscode/settings.json"),
            HostExecutes,
            "your editor runs it when you open the project",
        ),
        row(
            Anywhere(Base::Project, ".vscode/launch.json"),
            HostExecutes,
            "your editor runs it when you open the project",
        ),
        row(
            Anywhere(Base::Project, ".vscode/extensions.json"),
            HostExecutes,
            "your editor runs it when you open the project",
        ),
        row(Anywhere(Base::Project, ".idea"), HostExecutes, "your editor runs it when you open the project"),
        row(Anywhere(Base::Project, ".zed"), HostExecutes, "your editor runs it when you open the project"),
        row(Anywhere(Base::Project, ".nvim.lua"), HostExecutes, "your editor runs it when you open the project"),
        row(Anywhere(Base::Project, ".exrc"), HostExecutes, "your editor runs it when you open the project"),
        row(Anywhere(Base::Project, ".dir-locals.el"), HostExecutes, "your editor runs it when you open the project"),
        row(Anywhere(Base::Project, ".devcontainer"), HostExecutes, "your editor runs it when you open the project"),
        row(
            Anywhere(Base::Project, ".claude/settings.json"),
            HostExecutes,
            "an agent obeys it outside the sandbox too",
        ),
        row(
            Anywhere(Base::Project, ".claude/settings.local.json"),
            HostExecutes,
            "an agent obeys it outside the sandbox too",
        ),
        row(Anywhere(Base::Project, ".claude/hooks"), HostExecutes, "an agent obeys it outside the sandbox too"),
        row(Anywhere(Base::Project, ".claude/commands"), HostExecutes, "an agent obeys it outside the sandbox too"),
        row(Anywhere(Base::Project, ".mcp.json"), HostExecutes, "an agent obeys it outside the sandbox too"),
        row(Anywhere(Base::Project, ".cursor/mcp.json"), HostExecutes, "an agent obeys it outside the sandbox too"),
        row(
            Anywhere(Base::Project, ".gemini/settings.json"),
            HostExecutes,
            "an agent obeys it outside the sandbox too",
        ),
        row(Anywhere(Base::Project, ".cargo/config.toml"), HostExecutes, "cargo runs programs that it names"),
        row(Anywhere(Base::Project, ".cargo/config"), HostExecutes, "cargo runs programs that it names"),
        row(Anywhere(Base::Project, ".github/workflows"), HostExecutes, "your build server runs it"),
        row(Anywhere(Base::Project, ".gitlab-ci.yml"), HostExecutes, "your build server runs it"),
        row(Anywhere(Base::Project, ".circleci"), HostExecutes, "your build server runs it"),
        row(Anywhere(Base::Project, "generated-profiles"), HostExecutes, "the profiles that sandboxes are made from"),
    ];
    TABLE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots() -> Roots {
        let path = |p: &str| AbsPath::new(p).unwrap();
        Roots([(Base::Home, path("/home/u")), (Base::Project, path("/home/u/p"))].into())
    }

    fn at(path: &str, access: Access) -> Option<Sensitivity> {
        sensitive(&AbsPath::new(path).unwrap(), &roots(), access).map(|row| row.sensitivity)
    }

    #[test]
    fn reading_what_the_host_executes_is_harmless_and_writing_it_is_not() {
        for path in ["/home/u/.bashrc", "/home/u/.gitconfig", "/home/u/p/.git/config", "/home/u/p/sub/.git/hooks/x"] {
            assert_eq!(at(path, Access::Read), None, "{path}");
            assert_eq!(at(path, Access::Write), Some(Sensitivity::HostExecutes), "{path}");
        }
    }

    #[test]
    fn keys_and_tokens_are_sensitive_even_to_see() {
        assert_eq!(at("/home/u/.ssh/id_ed25519", Access::Exist), Some(Sensitivity::Vault));
        assert_eq!(at("/home/u/.config/gh/hosts.yml", Access::Read), Some(Sensitivity::Credential));
        assert_eq!(at("/home/u/p/deep/.env", Access::Read), Some(Sensitivity::Credential));
        assert_eq!(at("/home/u/.sshd", Access::Write), None);
        assert_eq!(at("/home/other/.ssh/id", Access::Read), None);
    }

    #[test]
    fn the_index_finds_what_a_look_at_every_row_finds() {
        for row in table() {
            let (Place::At(base, rest) | Place::Anywhere(base, rest)) = row.place;
            let top = roots().get(base).unwrap_or_else(AbsPath::root);
            for way in ["", "a/", "a/.git/"] {
                for tail in ["", "/b", "x"] {
                    let path = top.join(format!("{way}{rest}{tail}")).unwrap();
                    let relative = Relative::of(&path, &roots());
                    let every: Vec<&Row> = table().iter().filter(|row| relative.is_in(row.place)).collect();
                    assert_eq!(covering(&path, &roots()), every, "{path:?}");
                }
            }
        }
    }

    #[test]
    fn the_table_is_ordered_by_power_and_names_no_place_twice() {
        assert!(table().is_sorted_by_key(|row| row.sensitivity));
        for (index, row) in table().iter().enumerate() {
            let again = table().iter().skip(index + 1).find(|other| other.place == row.place);
            assert!(again.is_none(), "{:?}", row.place);
            let (Place::At(_, name) | Place::Anywhere(_, name)) = row.place;
            assert!(AbsPath::root().join(name).unwrap().relative_to(&AbsPath::root()) == Some(name.as_bytes()));
        }
    }
}

//! What in a profile waits for a person's word, and recording that word.
//!
//! Learned is not authorised: a sensitive grant counts only when it is marked approved, and a profile only when its digest
//! stands in the store. *Own* is what one yes to the whole profile covers: the network as it was used, and the credentials
//! that belong to the agent itself. Everything else is asked one by one.

use std::collections::BTreeSet;
use std::path::Path;

use crate::event::GapKind;
use crate::profile::emit::{self, quote};
use crate::profile::evidence::Evidence;
use crate::profile::{Limits, NetAccess, NetGrant, PathGrant, Profile, Secret, SecretSource};
use crate::store::approvals::{self, Approval};
use crate::store::{Store, StoreError};
use crate::vocab::access::Access;
use crate::vocab::bundle::{Opening, Shape};
use crate::vocab::endpoint::{HostPorts, LOCALHOST, NetTarget};
use crate::vocab::escape;
use crate::vocab::location::{Base, Location};
use crate::vocab::sensitivity::Sensitivity;
use crate::vocab::syscall::Syscall;

use super::profile_file::ProfileFile;
use super::surroundings::Surroundings;

/// Variables that hold the key of a model provider: what an agent is started with in order to work at all.
const PROVIDER_KEYS: &[&str] = &[
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "AZURE_OPENAI_API_KEY",
    "CEREBRAS_API_KEY",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "COHERE_API_KEY",
    "DEEPSEEK_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GROQ_API_KEY",
    "MISTRAL_API_KEY",
    "OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
    "TOGETHER_API_KEY",
    "XAI_API_KEY",
];

/// What a yes to the whole covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Part of one yes.
    Own,
    /// Asked by itself.
    Asked,
}

/// A grant that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pending {
    /// A sensitive place.
    Path(Location, PathGrant),
    /// A network line.
    Network(NetTarget, NetGrant),
    /// A secret, with the name of its variable.
    Secret(String, Secret),
    /// A system call of risk 4.
    Call(Syscall),
    /// Evidence with gaps.
    Incomplete(BTreeSet<GapKind>),
}

/// Everything in `profile` that is not approved, most dangerous first.
pub fn pending(profile: &Profile) -> Vec<Pending> {
    let calls = profile.syscalls.allow.difference(&profile.syscalls.approved).copied();
    let risky = calls.filter(|call| crate::vocab::syscall_table::row(*call).risk >= 4).map(Pending::Call);
    let paths = profile.filesystem.iter().filter(|(_, grant)| !grant.approved);
    let secrets = profile.secrets.iter().filter(|(_, secret)| !secret.approved);
    let network = profile.network.iter().filter(|(_, grant)| !grant.approved);
    let lacking = profile.incomplete.iter().filter(|lack| !lack.approved);
    let mut pending: Vec<Pending> = lacking
        .map(|lack| Pending::Incomplete(lack.gaps.clone()))
        .chain(risky)
        .chain(paths.map(|(location, grant)| Pending::Path(location.clone(), grant.clone())))
        .chain(secrets.map(|(name, secret)| Pending::Secret(name.clone(), secret.clone())))
        .chain(network.map(|(target, grant)| Pending::Network(target.clone(), grant.clone())))
        .collect();
    pending.sort_by_key(|item| std::cmp::Reverse(item.risk()));
    pending
}

impl Pending {
    /// Whether one yes to the profile covers it.
    pub fn scope(&self, profile: &Profile) -> Scope {
        let own = match self {
            Self::Network(..) => true,
            Self::Secret(name, secret) => !secret.is_written_by_hand() && PROVIDER_KEYS.contains(&name.as_str()),
            Self::Call(_) | Self::Incomplete(_) => false,
            Self::Path(location, grant) => {
                grant.sensitive == Some(Sensitivity::Credential) && in_own_state(location, profile)
            }
        };
        if own { Scope::Own } else { Scope::Asked }
    }

    /// From 0 to 4, as a difference tells it.
    pub fn risk(&self) -> u8 {
        match self {
            Self::Incomplete(_) | Self::Call(_) | Self::Network(NetTarget::Host, _) => 4,
            Self::Secret(_, secret) if matches!(secret.from, SecretSource::Command(_)) => 4,
            Self::Secret(..) => 3,
            Self::Network(..) => 2,
            Self::Path(_, grant) => match grant.sensitive {
                Some(Sensitivity::Credential) if grant.access == Access::Exist => 3,
                Some(_) => 4,
                None => 2,
            },
        }
    }

    /// Who asked for it, in one line; `None` where that is not known.
    pub fn asked(&self, evidence: &Evidence) -> Option<String> {
        let account = match self {
            Self::Path(location, _) => evidence.of(location),
            Self::Network(target, _) => evidence.of_target(target),
            Self::Secret(name, _) => evidence.of_variable(name),
            Self::Call(call) => evidence.of_call(*call),
            Self::Incomplete(_) => None,
        }?;
        let chains: Vec<String> = account.chains.iter().map(|chain| escape::terminal(chain.as_bytes())).collect();
        Some(format!("asked for by {} in {} of {} runs", chains.join("; "), account.count, account.of))
    }

    /// Marks it approved in `profile`.
    pub fn grant(&self, profile: &mut Profile) {
        match self {
            Self::Path(location, _) => {
                if let Some(grant) = profile.filesystem.get_mut(location) {
                    grant.approved = true;
                }
            }
            Self::Network(target, _) => {
                if let Some(grant) = profile.network.get_mut(target) {
                    grant.approved = true;
                }
            }
            Self::Secret(name, _) => {
                if let Some(secret) = profile.secrets.get_mut(name) {
                    secret.approved = true;
                }
            }
            Self::Call(call) => {
                profile.syscalls.approved.insert(*call);
            }
            Self::Incomplete(_) => {
                if let Some(lack) = &mut profile.incomplete {
                    lack.approved = true;
                }
            }
        }
    }

    /// The profile line, as in files.
    pub fn line(&self) -> String {
        match self {
            Self::Path(location, grant) => format!("\"{location}\" = \"{}\"", grant.access),
            Self::Network(target, grant) => format!("\"{target}\" = {}", emit::net_grant(target, grant)),
            Self::Secret(name, secret) => {
                escape::terminal(format!("{} = {}", quote(name), emit::secret(secret)).as_bytes())
            }
            Self::Call(call) => format!("[syscalls] allow = [\"{call}\"]"),
            Self::Incomplete(_) => "incomplete".to_owned(),
        }
    }

    /// What saying yes means, in one plain sentence.
    pub fn meaning(&self) -> String {
        match self {
            Self::Path(_, grant) => {
                let kind = match grant.sensitive {
                    Some(Sensitivity::Vault) => "a place that holds keys",
                    Some(Sensitivity::Credential) => "a credential",
                    Some(Sensitivity::HostExecutes) => "a name that your machine runs or obeys outside the sandbox",
                    Some(_) | None => "a sensitive place",
                };
                let verb = if grant.access >= Access::Write { "change" } else { "read" };
                format!("the agent may {verb} {kind}")
            }
            Self::Network(NetTarget::Host, _) => {
                "the agent has your whole network, unconfined: any host, local services, abstract sockets".to_owned()
            }
            Self::Network(NetTarget::Ports(range), _) if range.host == LOCALHOST => {
                let HostPorts { first, last, .. } = range;
                format!("the agent may connect to what listens on your machine at the ports {first} to {last}")
            }
            Self::Network(NetTarget::Ports(range), _) => {
                format!("the agent may connect there at each of {} ports", u32::from(range.last - range.first) + 1)
            }
            Self::Network(NetTarget::Name(peer), _) if peer.host == LOCALHOST => {
                format!("the agent may connect to what listens on your machine at port {}", peer.port)
            }
            Self::Network(NetTarget::Name(peer), _) if peer.pattern().is_some() => {
                "the agent may connect to every name below this one, and look all of them up".to_owned()
            }
            Self::Network(NetTarget::Name(peer), _) if peer.address().is_some() => {
                "the agent may connect to this address, which is within your network".to_owned()
            }
            Self::Network(NetTarget::Inside(port), _) => {
                format!("your machine reaches what the agent listens at, by the port {port} of its loopback")
            }
            Self::Network(..) => "the agent may connect there".to_owned(),
            Self::Secret(_, secret) => match &secret.from {
                SecretSource::Env => "the agent is given this secret from your environment".to_owned(),
                SecretSource::File(_) => "the agent is given what is in this file".to_owned(),
                SecretSource::Descriptor(_) => "the agent is given what you leave open there".to_owned(),
                SecretSource::Command(_) => {
                    "at each start this command runs as you, outside of the sandbox, and the agent is given what it prints"
                        .to_owned()
                }
            },
            Self::Incomplete(gaps) => {
                let gaps: Vec<_> = gaps.iter().map(|gap| gap.meaning()).collect();
                format!("not all was observed ({}): what the agent needs beyond it is refused", gaps.join("; "))
            }
            Self::Call(call) => {
                format!("the agent may call {call}, which can weaken the sandbox or reach other processes")
            }
        }
    }
}

/// Whether `location` lies in a directory of the home that the profile lets the agent write: its own state.
fn in_own_state(location: &Location, profile: &Profile) -> bool {
    let Location::Path { base: Base::Home, rest } = location else { return false };
    profile.filesystem.iter().any(|(other, grant)| match other {
        Location::Path { base: Base::Home, rest: top } if grant.access == Access::Write && grant.approved => {
            !top.is_empty() && rest.strip_prefix(top.as_slice()).is_some_and(|tail| tail.starts_with(b"/"))
        }
        Location::Path { .. } | Location::Bundle(_) => false,
    })
}

/// Carries what a person had approved in `old` over to the same grants of `new`, with its reasons.
pub fn carry_over(old: &Profile, new: &mut Profile) {
    for (location, grant) in &mut new.filesystem {
        if let Some(before) = old.filesystem.get(location) {
            grant.approved |= before.approved && before.access >= grant.access;
            grant.reason = grant.reason.take().or_else(|| before.reason.clone());
        }
    }
    for (target, grant) in &mut new.network {
        if let Some(before) = old.network.get(target) {
            if before.access == NetAccess::Relay {
                grant.access = before.access;
            }
            grant.approved |= before.approved && before.access == grant.access;
            grant.reason = grant.reason.take().or_else(|| before.reason.clone());
        }
    }
    let by_hand = old.network.iter().filter(|(target, _)| matches!(target, NetTarget::Inside(_)));
    new.network.extend(by_hand.map(|(target, grant)| (target.clone(), grant.clone())));
    for (name, secret) in &mut new.secrets {
        secret.approved |= old.secrets.get(name).is_some_and(|before| before.approved);
    }
    let by_hand = old.secrets.iter().filter(|(_, secret)| secret.is_written_by_hand());
    new.secrets.extend(by_hand.map(|(name, secret)| (name.clone(), secret.clone())));
    let calls = old.syscalls.approved.intersection(&new.syscalls.allow).copied();
    new.syscalls.approved.extend(calls);
    limits(&old.limits, &mut new.limits);
    // No run shows these: a person wrote them.
    new.tolerate.clone_from(&old.tolerate);
    new.nested_sandbox = old.nested_sandbox;
    new.protect = old.protect;
}

/// What a person says with an approval.
#[derive(Debug, Clone, Copy, Default)]
pub struct Word<'a> {
    /// How it was given: `asked`, or the flag.
    pub how: &'a str,
    /// Why.
    pub why: Option<&'a str>,
    /// For how many seconds; `None`: for good.
    pub lasts: Option<u64>,
}

/// Limits that were approved stay, whether a person wrote or lowered them or learning did: but those that the runs came
/// near to, of which `new` has twice what was seen.
fn limits(old: &Limits, new: &mut Limits) {
    if *old == Limits::default() {
        return;
    }
    let learned = std::mem::replace(new, old.clone());
    let raise = |old: u64, learned: Option<u64>| learned.is_some_and(|learned| old < learned / 2);
    if old.memory.is_some_and(|memory| raise(memory.0, learned.memory.map(|memory| memory.0))) {
        new.memory = learned.memory;
    }
    if old.processes.is_some_and(|count| raise(count.into(), learned.processes.map(u64::from))) {
        new.processes = learned.processes;
    }
}

/// Records that a person approved `file` as it stands.
pub fn record(
    store: &Store,
    surroundings: &Surroundings,
    file: &ProfileFile,
    word: &Word<'_>,
) -> Result<(), StoreError> {
    let now = approvals::now();
    store.approve(&Approval {
        digest: file.digest.clone(),
        profile: Path::new(&file.path).to_path_buf(),
        when: now,
        how: word.how.to_owned(),
        who: caller(surroundings.identity.uid),
        why: word.why.map(str::to_owned),
        expires: word.lasts.map(|seconds| now.saturating_add(seconds)),
        text: file.text.clone(),
        bundles: file
            .profile
            .bundles
            .iter()
            .map(|(name, bundle)| (name.clone(), bundle.opens.iter().map(|opening| opening.place.clone()).collect()))
            .collect(),
        places: surroundings.remember(&file.profile),
    })
}

/// What was approved, its bundles opening what they opened then; `None` where it is no profile any more.
pub fn remembered(approval: &Approval) -> Option<Profile> {
    let mut profile = super::profile_file::remembered(&approval.text)?;
    for (name, places) in &approval.bundles {
        if let Some(bundle) = profile.bundles.get_mut(name) {
            let now = std::mem::take(&mut bundle.opens);
            let opening = |place: &Location| {
                let known = now.iter().find(|opening| opening.place == *place).cloned();
                known.unwrap_or_else(|| Opening {
                    place: place.clone(),
                    shape: Shape::Directory,
                    layouts: BTreeSet::new(),
                    why: String::new(),
                })
            };
            bundle.opens = places.iter().map(opening).collect();
        }
    }
    Some(profile)
}

/// The caller's name; the number where it has none.
fn caller(uid: u32) -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid));
    user.ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

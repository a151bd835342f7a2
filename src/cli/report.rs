//! What happened, as JSON: for scripts and for tests.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::run::approve;
use crate::run::derive::NoProfile;
use crate::run::enforce::{Enforced, Prepared};
use crate::run::learn::{Attempt, Learned};
use crate::run::profile_file::ProfileFile;
use crate::sandbox::limits::Held;
use crate::store::{StoreError, replace};
use crate::vocab::path::AbsPath;

use super::show::Expansion;

pub(super) fn learned(path: &Path, learned: &Learned) -> Result<(), StoreError> {
    let attempts: Vec<Value> = learned.attempts.iter().map(attempt).collect();
    let derived = &learned.derived;
    write(
        path,
        &json!({
            "mode": "learn",
            "exit": learned.status.shell_code(),
            "complete": match &derived.result {
                Ok(reduced) => reduced.profile.incomplete.is_none(),
                Err(why) => matches!(why, NoProfile::Failed(_)),
            },
            "profile": derived.result.as_ref().ok().map(|_| derived.path.display().to_string()),
            "trace": derived.trace.display().to_string(),
            "events": learned.tally.events,
            "attempts": attempts,
            "planted": paths(&learned.planted),
        }),
    )
}

pub(super) fn enforced(path: &Path, prepared: &Prepared, enforced: &Enforced) -> Result<(), StoreError> {
    let withheld: Vec<Value> =
        prepared.plan.withheld.iter().map(|item| json!({ "line": item.line, "why": item.why })).collect();
    let lost: Vec<Value> = enforced
        .lost
        .iter()
        .map(|(path, error)| json!({ "path": path.to_string(), "why": error.to_string() }))
        .collect();
    let held =
        |held: &Held| json!({ "limit": held.limit, "value": held.value, "by": held.by, "soft": held.by.is_soft() });
    let limits: Vec<Value> = enforced.limits.iter().map(held).collect();
    write(
        path,
        &json!({
            "mode": "enforce",
            "exit": enforced.status.shell_code(),
            "profile": prepared.file.path.display().to_string(),
            "digest": prepared.file.digest,
            "network": match prepared.plan.network {
                crate::plan::Network::None => "none",
                crate::plan::Network::Named => "named",
                crate::plan::Network::Host => "unconfined",
            },
            "denials": enforced.denials,
            "withheld": withheld,
            "without_namespaces": prepared.plan.without_namespaces,
            "planted": paths(&enforced.planted),
            "changes": enforced.changes,
            "lost": lost,
            "limits": limits,
            "reached": enforced.reached,
        }),
    )
}

pub(super) fn profile(
    file: &ProfileFile,
    approved: Option<bool>,
    confidence: Value,
    expansion: Option<&Expansion>,
) -> String {
    let pending: Vec<Value> = approve::pending(&file.profile)
        .iter()
        .map(|item| json!({ "line": item.line(), "meaning": item.meaning() }))
        .collect();
    let profile = &file.profile;
    let filesystem: serde_json::Map<String, Value> = profile
        .filesystem
        .iter()
        .map(|(location, grant)| {
            let value = json!({
                "access": grant.access,
                "sensitive": grant.sensitive,
                "approved": grant.approved,
                "reason": grant.reason,
            });
            (location.to_string(), value)
        })
        .collect();
    let network: serde_json::Map<String, Value> = profile
        .network
        .iter()
        .map(|(target, grant)| (target.to_string(), json!({ "access": grant.access, "approved": grant.approved })))
        .collect();
    let secrets: BTreeMap<_, _> = profile
        .secrets
        .iter()
        .map(|(name, secret)| {
            (name, json!({ "from": secret.from.as_str(), "to": secret.to.as_str(), "approved": secret.approved }))
        })
        .collect();
    let mut out = json!({
        "path": file.path.display().to_string(),
        "digest": file.digest,
        "approved": approved,
        "confidence": confidence,
        "name": profile.name,
        "command": profile.command,
        "incomplete": profile.incomplete.as_ref().map(|lack| json!({
            "gaps": lack.gaps.iter().map(|gap| gap.as_str()).collect::<Vec<_>>(),
            "approved": lack.approved,
        })),
        "filesystem": filesystem,
        "network": network,
        "syscalls": { "base": profile.syscalls.base, "allow": profile.syscalls.allow },
        "environment": profile.environment,
        "secrets": secrets,
        "limits": profile.limits,
        "pending": pending,
    });
    if let (Some(expansion), Some(object)) = (expansion, out.as_object_mut()) {
        let bundles: BTreeMap<_, _> = expansion.bundles.iter().map(|(name, places)| (name, paths(places))).collect();
        object.insert("expanded".to_owned(), json!({ "bundles": bundles, "base": expansion.base }));
    }
    out.to_string()
}

fn attempt(attempt: &Attempt) -> Value {
    match attempt {
        Attempt::Vault { path, row } => json!({ "vault": path.to_string(), "why": row.why }),
        Attempt::Call(denial) => json!({ "call": denial }),
        Attempt::Unknown { arch, number } => json!({ "arch": arch, "number": number }),
    }
}

fn paths(paths: &[AbsPath]) -> Vec<String> {
    paths.iter().map(ToString::to_string).collect()
}

fn write(path: &Path, value: &Value) -> Result<(), StoreError> {
    let text = value.to_string() + "\n";
    replace(path, text.as_bytes()).map_err(|source| StoreError::Write { path: path.to_path_buf(), source })
}

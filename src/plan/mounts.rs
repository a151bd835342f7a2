//! Profile × Host → the plan of an enforced run.
//!
//! Mounts decide what exists. The root is empty; each grant puts one place into it, parents before what lies beneath them,
//! so that the longest path wins. A grant on a symlink puts the link there, never what it leads to: that needs a grant of
//! its own. A place whose way leads through a symlink on this machine is put where it really lies, and the link with it.
//!
//! In what may be written, names that the host executes stay read-only, unless the profile names exactly them and a person
//! approved it. pinfold's own state is never inside.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::{Lack, PathGrant, Profile, Protect};
use crate::vocab::host::Host;
use crate::vocab::path::AbsPath;
use crate::vocab::syscall::Syscall;

use super::error::PlanError;
use super::furnish::{Furnishing, as_own, unowned};
use super::grants::{Grants, absent, open_bundles, resolve, withheld_calls, withheld_peers, withheld_secrets};
use super::protect::{self, Protection, Rules};
use super::walls::Wall;
use super::without_namespaces::{Unkept, weaken};
use super::{Action, FilterSpec, Mode, MountStep, Nesting, Network, Plan, RootStyle, Withheld};

/// The plan of a run of `program` under `profile`. `guarded` are names that exist and that the host executes.
pub fn plan(
    profile: &Profile,
    host: &Host,
    guarded: &BTreeSet<AbsPath>,
    program: AbsPath,
    argv: Vec<Vec<u8>>,
) -> Result<Plan, PlanError> {
    possible(profile, host)?;
    let strict = profile.protect == Protect::Strict;
    let mut withheld = Vec::new();
    let (network, policy) = super::network::of(profile.network.iter(), host);
    withheld_peers(profile, &mut withheld);
    let mut grants = resolve(profile, &host.roots)?;
    open_bundles(profile, host, &mut grants, &mut withheld);
    let mut furnishing = Furnishing::of(host);
    furnishing.private_places(&grants);
    furnishing.all(&grants, &mut withheld);
    furnishing.above_the_absent(&absent(profile, host), &grants);
    let mounted = |name: &&AbsPath| !strict || !protect::is_judged_by_contents(name);
    let mounted: BTreeSet<AbsPath> = guarded.iter().filter(mounted).cloned().collect();
    furnishing.protect(&mounted, &grants);
    furnishing.enter(&host.workdir);
    let secrets = furnishing.secrets(profile)?;
    let Furnishing { mut steps, create, copies, .. } = furnishing;
    withheld_secrets(profile, &mut withheld);
    let filter = calls(profile, host, network, &mut withheld)?;
    if network == Network::Named {
        steps.extend(super::network::texts(host));
    }
    if Syscall::from_name("mq_open").is_some_and(|call| filter.calls.get(&call) == Some(&Action::Allow)) {
        steps.push(MountStep::Queues);
    }
    let protection = if strict { strictly(profile, host, &steps, &mounted, &grants) } else { Protection::Scan };
    if host.identity.uid != 0 {
        steps.extend(as_own(&steps));
    }
    let mounts = super::arrange(steps);
    let landlock = match host.landlock {
        Some(abi) if profile.nested_sandbox => Some(super::landlock::without_places(network, abi)),
        Some(abi) => Some(super::landlock::ruleset(&mounts, network, abi)),
        None if profile.tolerate.contains(&Lack::Landlock) => None,
        None => return Err(PlanError::NoLandlock),
    };
    let stands = |wall: &Wall| match wall {
        Wall::Landlock => landlock.is_some(),
        Wall::Names => strict,
        _ => true,
    };
    let plan = Plan {
        mode: Mode::Enforce,
        identity: host.identity,
        walls: Wall::ALL.into_iter().filter(stands).collect(),
        nesting: if profile.nested_sandbox { Nesting::Allowed } else { Nesting::Refused },
        root: if host.fuse { RootStyle::Tripwire } else { RootStyle::Empty },
        unowned: if host.identity.uid == 0 { unowned(&mounts, host) } else { BTreeSet::new() },
        mounts,
        workdir: host.workdir.clone(),
        program,
        argv,
        environment: super::network::environment(&profile.environment, network),
        secrets,
        set: BTreeMap::new(),
        network,
        policy,
        filter,
        landlock,
        without_namespaces: None,
        protection,
        refused_writes: protect::RefusedWrites::Untold,
        layer: None,
        limits: profile.limits.clone(),
        create,
        copies,
        roots: host.roots.clone(),
        withheld,
    };
    match &host.no_namespaces {
        Some(why) if profile.tolerate.contains(&Lack::Namespaces) => Ok(weaken(plan, why.clone())?),
        _ => Ok(plan),
    }
}

/// Whether what the profile says of the whole run can be kept here.
fn possible(profile: &Profile, host: &Host) -> Result<(), PlanError> {
    if profile.syscalls.base > crate::vocab::syscall_table::BASE_VERSION {
        return Err(PlanError::Base(profile.syscalls.base));
    }
    if profile.nested_sandbox && host.identity.uid == 0 {
        return Err(PlanError::NestedAsRoot);
    }
    match profile.protect {
        Protect::Strict if profile.nested_sandbox => Err(PlanError::StrictNested),
        Protect::Strict if host.no_namespaces.is_some() => Err(Unkept::Names.into()),
        Protect::Strict | Protect::Scan => Ok(()),
    }
}

/// The filter: what the profile allows, and what the supervisor carries out instead of the caller.
fn calls(
    profile: &Profile,
    host: &Host,
    network: Network,
    withheld: &mut Vec<Withheld>,
) -> Result<FilterSpec, PlanError> {
    let mut filter = match network {
        Network::Named => super::filter::filter(&super::network::with_name_service(profile))?,
        Network::None | Network::Host => super::filter::filter(profile)?,
    };
    withheld_calls(profile, &filter, withheld);
    if network == Network::Named {
        if host.landlock.is_none_or(|abi| abi < super::landlock::TCP_SINCE) {
            return Err(PlanError::NoLandlockNet);
        }
        super::network::enforce(&mut filter);
    }
    if profile.protect == Protect::Strict {
        protect::hand_over(&mut filter, network);
    }
    Ok(filter)
}

/// The rules on names for a run with these steps and grants.
fn strictly(
    profile: &Profile,
    host: &Host,
    steps: &[MountStep],
    guarded: &BTreeSet<AbsPath>,
    grants: &Grants<'_>,
) -> Protection {
    let bound = steps.iter().filter_map(|step| match step {
        MountStep::Bind { target, writable: true, .. } => Some(target.clone()),
        _ => None,
    });
    let writes = |grant: &PathGrant| grant.sensitive.is_some() && grant.approved && grant.access.writes();
    let granted = grants.iter().filter(|(_, (_, grant))| writes(grant)).map(|(path, _)| path.clone()).collect();
    let named: Vec<AbsPath> =
        guarded.iter().filter(|name| !grants.get(name).is_some_and(|(_, grant)| writes(grant))).cloned().collect();
    let further = protect::further(profile, &host.roots).into_iter();
    let projects: Vec<AbsPath> =
        further.filter(|further| further.kind == protect::Use::Project).map(|further| further.place).collect();
    Protection::Strict(Rules::new(&host.roots, bound.collect(), &granted, &named, &projects))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::plan::furnish::INSISTED_ON;
    use crate::profile::{Limits, NetAccess, NetGrant, Syscalls};
    use crate::vocab::access::Access;
    use crate::vocab::endpoint::NetTarget;
    use crate::vocab::host::{FileKind, Identity, Seen};
    use crate::vocab::location::{Base, Roots};
    use crate::vocab::sensitivity::Sensitivity;

    /// A profile that grants nothing.
    pub(crate) fn empty() -> Profile {
        Profile {
            name: "x".into(),
            command: vec!["x".into()],
            filesystem: BTreeMap::new(),
            bundles: BTreeMap::new(),
            network: BTreeMap::new(),
            syscalls: Syscalls { base: 1, ..Syscalls::default() },
            environment: BTreeSet::new(),
            secrets: BTreeMap::new(),
            limits: Limits::default(),
            incomplete: None,
            tolerate: BTreeSet::new(),
            nested_sandbox: false,
            protect: Protect::default(),
        }
    }

    fn path(text: &str) -> AbsPath {
        AbsPath::new(text).unwrap()
    }

    pub(crate) fn host(places: &[(&str, FileKind, Option<&str>)]) -> Host {
        let seen = places.iter().map(|(place, kind, link)| {
            let link = link.map(|text| text.as_bytes().to_vec());
            (path(place), Some(Seen { kind: *kind, mode: 0o755, size: 1, modified: 2, uid: 0, link, names: 1 }))
        });
        Host {
            identity: Identity { uid: 1000, gid: 1000 },
            roots: Roots(BTreeMap::from([(Base::Project, path("/home/a/p")), (Base::Home, path("/home/a"))])),
            workdir: path("/home/a/p"),
            seen: seen.collect(),
            environment: BTreeSet::new(),
            state_dir: path("/home/a/.local/state/pinfold"),
            remembered: BTreeMap::new(),
            landlock: Some(7),
            no_namespaces: None,
            proxies: Ok(crate::vocab::proxy::Proxies::default()),
            fuse: false,
        }
    }

    fn with(grants: &[(&str, Access)]) -> Profile {
        let mut profile = empty();
        for (location, access) in grants {
            let grant = PathGrant { access: *access, sensitive: None, approved: true, reason: None };
            profile.filesystem.insert(location.parse().unwrap(), grant);
        }
        profile
    }

    fn steps(profile: &Profile, host: &Host, guarded: &[&str]) -> Vec<MountStep> {
        let guarded = guarded.iter().map(|place| path(place)).collect();
        plan(profile, host, &guarded, path("/usr/bin/x"), vec![]).unwrap().mounts
    }

    #[test]
    fn a_place_behind_a_symlink_is_bound_where_it_lies_and_the_link_is_made() {
        let host = host(&[
            ("/lib", FileKind::Symlink, Some("usr/lib")),
            ("/usr/lib", FileKind::Dir, None),
            ("/usr/lib/x.so", FileKind::File, None),
        ]);
        let steps = steps(&with(&[("/lib/x.so", Access::Read)]), &host, &[]);
        let so = path("/usr/lib/x.so");
        assert!(steps.contains(&MountStep::Symlink { target: path("/lib"), text: b"usr/lib".to_vec() }));
        assert!(steps.contains(&MountStep::Bind { source: so.clone(), target: so, writable: false }));
    }

    #[test]
    fn a_grant_on_a_symlink_grants_nothing_of_its_target() {
        let host =
            host(&[("/home/a/l", FileKind::Symlink, Some("/etc/shadow")), ("/etc/shadow", FileKind::File, None)]);
        let steps = steps(&with(&[("~/l", Access::Read)]), &host, &[]);
        assert!(!steps.iter().any(|step| matches!(step, MountStep::Bind { .. })), "{steps:?}");
    }

    #[test]
    fn what_the_host_executes_is_guarded_in_a_writable_project_and_cannot_be_renamed_away() {
        let host = host(&[("/home/a/p", FileKind::Dir, None)]);
        let steps = steps(&with(&[("$PROJECT", Access::Write)]), &host, &["/home/a/p/.git/hooks", "/home/a/.bashrc"]);
        assert!(steps.contains(&MountStep::Pin { target: path("/home/a/p/.git") }));
        assert!(steps.contains(&MountStep::Guard { target: path("/home/a/p/.git/hooks") }));
        assert!(!steps.contains(&MountStep::Guard { target: path("/home/a/.bashrc") }), "it is not inside at all");
    }

    #[test]
    fn an_unapproved_place_below_a_granted_directory_is_covered_and_said() {
        let mut profile = with(&[("$PROJECT", Access::Write)]);
        let grant =
            PathGrant { access: Access::Read, sensitive: Some(Sensitivity::Credential), approved: false, reason: None };
        profile.filesystem.insert("$PROJECT/.env".parse().unwrap(), grant);
        let host = host(&[("/home/a/p", FileKind::Dir, None), ("/home/a/p/.env", FileKind::File, None)]);
        let plan = plan(&profile, &host, &BTreeSet::new(), path("/x"), vec![]).unwrap();
        assert!(plan.mounts.contains(&MountStep::Cover { target: path("/home/a/p/.env") }));
        assert_eq!(plan.withheld.len(), 1);
    }

    #[test]
    fn a_writable_directory_that_is_missing_is_made_and_a_missing_read_is_said() {
        let host = host(&[]);
        let profile = with(&[("~/.x", Access::Write), ("~/.y", Access::Read)]);
        let plan = plan(&profile, &host, &BTreeSet::new(), path("/x"), vec![]).unwrap();
        assert_eq!(plan.create, [path("/home/a/.x")]);
        assert_eq!(plan.withheld.len(), 1);
    }

    #[test]
    fn what_lies_above_a_granted_place_is_there_although_the_place_is_not() {
        let host = host(&[
            ("/run", FileKind::Dir, None),
            ("/var", FileKind::Dir, None),
            ("/var/run", FileKind::Symlink, Some("/run")),
            ("/home/a/.local/state/pinfold", FileKind::Dir, None),
        ]);
        let profile = with(&[("/var/run/x/socket", Access::Read)]);
        let steps = steps(&profile, &host, &[]);
        assert!(steps.contains(&MountStep::Directory { target: path("/run"), mode: 0o755 }), "{steps:?}");
        assert!(steps.contains(&MountStep::Symlink { target: path("/var/run"), text: b"/run".to_vec() }), "{steps:?}");
        assert!(!steps.iter().any(|step| step.target().is_some_and(|target| target.is_beneath(&path("/run/x")))));
        let state = self::steps(&with(&[("~/.local/state/pinfold/x", Access::Read)]), &host, &[]);
        let pinfold = path("/home/a/.local/state/pinfold");
        assert!(!state.iter().any(|step| matches!(step, MountStep::Directory { target, .. } if *target == pinfold)));
        let mut withheld = profile;
        withheld.filesystem.values_mut().for_each(|grant| grant.approved = false);
        let steps = self::steps(&withheld, &host, &[]);
        assert!(!steps.iter().any(|step| step.target() == Some(&path("/run"))), "nobody approved it");
    }

    #[test]
    fn an_agent_of_roots_owns_nothing_in_a_directory_of_the_machine() {
        let places =
            [("/etc", FileKind::Dir, None), ("/home/a/p", FileKind::Dir, None), ("/etc/x", FileKind::File, None)];
        let profile = with(&[("/etc", Access::Read), ("$PROJECT", Access::Read), ("/etc/x", Access::Read)]);
        let made = |uid| {
            let host = Host { identity: Identity { uid, gid: uid }, ..host(&places) };
            plan(&profile, &host, &BTreeSet::new(), path("/x"), vec![]).unwrap().unowned
        };
        assert_eq!(made(0), BTreeSet::from([path("/etc")]));
        assert!(made(1000).is_empty());
        let host = Host { identity: Identity { uid: 0, gid: 0 }, ..host(&[(INSISTED_ON, FileKind::Dir, None)]) };
        let ssh = with(&[(INSISTED_ON, Access::Read)]);
        assert!(plan(&ssh, &host, &BTreeSet::new(), path("/x"), vec![]).unwrap().unowned.is_empty());
    }

    #[test]
    fn the_home_directory_is_never_granted_whole() {
        for place in ["~", "/home", "/"] {
            let got = plan(&with(&[(place, Access::Read)]), &host(&[]), &BTreeSet::new(), path("/x"), vec![]);
            assert!(matches!(got, Err(PlanError::TooWide(_))), "{place}");
        }
    }

    #[test]
    fn pinfolds_state_is_not_inside_even_where_a_grant_holds_it() {
        let host = host(&[("/home/a/.local/state", FileKind::Dir, None)]);
        let steps = steps(&with(&[("~/.local/state", Access::Write)]), &host, &[]);
        assert!(steps.contains(&MountStep::Cover { target: path("/home/a/.local/state/pinfold") }));
    }

    #[test]
    fn a_file_that_is_replaced_is_alone_in_its_directory_and_copied_where_there_is_no_fuse() {
        let file = path("/home/a/.claude.json");
        let host = Host { fuse: true, ..host(&[("/home/a/.claude.json", FileKind::File, None)]) };
        let profile = with(&[("~/.claude.json", Access::Replace), ("~/.new", Access::Replace)]);
        let plan = plan(&profile, &host, &BTreeSet::new(), path("/x"), vec![]).unwrap();
        let names = BTreeSet::from([b".claude.json".to_vec(), b".new".to_vec()]);
        assert!(plan.mounts.contains(&MountStep::Filtered { target: path("/home/a"), names }), "{:?}", plan.mounts);
        assert!(plan.copies.is_empty() && plan.root == RootStyle::Tripwire);
        let plain = plan.without_tripwire();
        assert!(plain.root == RootStyle::Empty && plain.copies == [file.clone(), path("/home/a/.new")]);
        assert!(plain.mounts.contains(&MountStep::Copy { target: file }));
    }

    #[test]
    fn a_file_that_is_replaced_below_a_private_directory_is_copied() {
        let host = Host { fuse: true, ..host(&[("/var/tmp/x/a.json", FileKind::File, None)]) };
        let profile = with(&[("/var/tmp/x/a.json", Access::Replace)]);
        let plan = plan(&profile, &host, &BTreeSet::new(), path("/x"), vec![]).unwrap();
        assert_eq!(plan.copies, [path("/var/tmp/x/a.json")]);
        assert!(!plan.mounts.iter().any(|step| matches!(step, MountStep::Filtered { .. })), "{:?}", plan.mounts);
    }

    #[test]
    fn a_file_with_a_second_name_is_not_replaced() {
        let mut host = Host { fuse: true, ..host(&[("/home/a/.claude.json", FileKind::File, None)]) };
        host.seen.values_mut().flatten().for_each(|seen| seen.names = 2);
        let plan =
            plan(&with(&[("~/.claude.json", Access::Replace)]), &host, &BTreeSet::new(), path("/x"), vec![]).unwrap();
        assert_eq!(plan.withheld.len(), 1);
        assert!(plan.mounts.contains(&MountStep::Filtered { target: path("/home/a"), names: BTreeSet::new() }));
    }

    #[test]
    fn a_directory_is_not_replaced() {
        let host = host(&[("/home/a/dir", FileKind::Dir, None)]);
        let profile = with(&[("~/dir", Access::Replace)]);
        let plan = plan(&profile, &host, &BTreeSet::new(), path("/x"), vec![]).unwrap();
        assert!(matches!(&plan.withheld[..], [item] if item.why.contains("only a file can be replaced")));
        assert!(!plan.mounts.iter().any(|step| step.target() == Some(&path("/home/a/dir"))), "{:?}", plan.mounts);
    }

    #[test]
    fn names_that_were_to_be_protected_are_protected_or_there_is_no_plan() {
        let mut profile = with(&[("$PROJECT", Access::Write)]);
        profile.protect = Protect::Strict;
        profile.tolerate.insert(Lack::Namespaces);
        let place = [("/home/a/p", FileKind::Dir, None)];
        let made = |profile: &Profile, no_namespaces: Option<&str>| {
            let host = Host { no_namespaces: no_namespaces.map(str::to_owned), ..host(&place) };
            plan(profile, &host, &BTreeSet::new(), path("/x"), vec![])
        };
        assert!(matches!(made(&profile, None).unwrap().protection, Protection::Strict(_)), "the control");
        let got = made(&profile, Some("refused"));
        assert!(matches!(got, Err(PlanError::WithoutNamespaces(Unkept::Names))), "{got:?}");
        profile.nested_sandbox = true;
        let got = made(&profile, None);
        assert!(matches!(got, Err(PlanError::StrictNested)), "{got:?}");
        profile.protect = Protect::Scan;
        assert!(made(&profile, None).is_ok(), "the control");
    }

    #[test]
    fn the_network_is_the_hosts_only_by_an_approved_line() {
        let mut profile = empty();
        let target = NetTarget::Host;
        let grant = NetGrant { access: NetAccess::Unconfined, approved: false, reason: None };
        profile.network.insert(target.clone(), grant);
        let made = |profile: &Profile| plan(profile, &host(&[]), &BTreeSet::new(), path("/x"), vec![]).unwrap();
        assert_eq!(made(&profile).network, Network::None);
        profile.network.get_mut(&target).unwrap().approved = true;
        assert_eq!(made(&profile).network, Network::Host);
    }
}

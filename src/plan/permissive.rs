//! The plan under which learning runs, and its floor.
//!
//! Permissive: the host's tree is there to be read, the project and the home directory to be written, the network is the
//! host's unless told otherwise. The floor: the vault is hidden but for what a flag opened, pinfold's own state is hidden,
//! names that the host executes are read-only, everything outside project and home is read-only, and the calls that break
//! out are refused. What both plans share (proc, dev, private temporary directories, identity) is the same here.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::Limits;
use crate::vocab::host::Host;
use crate::vocab::location::{Base, Roots};
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity::{Place, Row, Sensitivity, covering, table};

use super::furnish::INSISTED_ON;
use super::network::Policy;
use super::walls::Wall;
use super::{Mode, MountStep, Nesting, Network, Plan, RootStyle};

/// What is particular to one learning run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program file.
    pub program: AbsPath,
    /// Its arguments.
    pub argv: Vec<Vec<u8>>,
    /// Vault places that a flag opened.
    pub opened: Vec<AbsPath>,
    /// Names that exist and that the host executes.
    pub guarded: BTreeSet<AbsPath>,
    /// The network.
    pub network: Network,
    /// What hands a call to the broker: see [`hand_over`](super::observe::hand_over).
    pub token: u64,
    /// Whether every call is stopped.
    pub exact: bool,
    /// Where places of the vault really lie, when a symlink is in their place or in them.
    pub aliases: BTreeMap<AbsPath, BTreeSet<AbsPath>>,
}

/// The row of the vault that `path` falls under, if it does.
pub fn vault_row(path: &AbsPath, roots: &Roots) -> Option<&'static Row> {
    covering(path, roots).into_iter().find(|row| row.sensitivity == Sensitivity::Vault)
}

/// The places of the vault on this machine, whether they exist or not.
pub fn vault_places(roots: &Roots) -> Vec<AbsPath> {
    let vault = table().iter().filter(|row| row.sensitivity == Sensitivity::Vault);
    let place = |row: &Row| match row.place {
        Place::At(base, rest) => roots.get(base)?.join(rest).ok(),
        // The vault is of fixed places; a name that may be anywhere cannot be covered before it exists.
        Place::Anywhere(..) => None,
    };
    vault.filter_map(place).collect()
}

/// Every place that must be looked at before [`plan`].
pub fn wanted_paths(roots: &Roots) -> Vec<AbsPath> {
    let mut wanted = vault_places(roots);
    wanted.extend(super::network::wanted_paths());
    wanted.extend([Base::Project, Base::Home, Base::Tmpdir].into_iter().filter_map(|base| roots.get(base)));
    wanted
}

/// The plan of a learning run.
pub fn plan(host: &Host, options: Options) -> Plan {
    let writable: Vec<AbsPath> =
        [Base::Home, Base::Project].into_iter().filter_map(|base| host.roots.get(base)).collect();
    let mut steps: Vec<MountStep> =
        super::private_tmp(&host.roots).into_iter().map(|target| MountStep::Tmpfs { target, mode: 0o1777 }).collect();
    steps.extend([MountStep::Proc, MountStep::Dev]);
    steps.extend(writable.iter().map(|place| MountStep::Bind {
        source: place.clone(),
        target: place.clone(),
        writable: true,
    }));
    let writable_above = |path: &AbsPath| writable.iter().rev().find(|top| path.is_beneath(top)).cloned();
    steps.extend(super::guards(&options.guarded, &writable_above));
    let vault = vault_places(&host.roots).into_iter().filter(|place| host.look(place).is_some());
    let vault: BTreeSet<AbsPath> = vault
        .flat_map(|place| options.aliases.get(&place).cloned().unwrap_or_else(|| BTreeSet::from([place])))
        .collect();
    let closed = vault.into_iter().filter(|place| !options.opened.iter().any(|open| place.is_beneath(open)));
    for place in closed {
        let partly: Vec<&AbsPath> = options.opened.iter().filter(|open| open.is_beneath(&place)).collect();
        if partly.is_empty() {
            steps.push(MountStep::Cover { target: place });
            continue;
        }
        steps.push(MountStep::Tmpfs { target: place.clone(), mode: 0o700 });
        steps.extend(partly.into_iter().map(|open| MountStep::Bind {
            source: open.clone(),
            target: open.clone(),
            writable: false,
        }));
        steps.push(MountStep::Seal { target: place });
    }
    steps.push(MountStep::Cover { target: host.state_dir.clone() });
    if host.identity.uid != 0 {
        steps.extend(AbsPath::new(INSISTED_ON).map(|target| MountStep::AsOwn { target }));
    }
    let mut filter = super::observe::filter(options.exact);
    // Without the wall behind it a broker is none: then the host's network, which the start says.
    let walled = host.landlock.is_some_and(|abi| abi >= super::landlock::TCP_SINCE);
    let network = if options.network == Network::Named && !walled { Network::Host } else { options.network };
    let named = network == Network::Named;
    if named {
        super::network::learn(&mut filter, options.token);
        steps.extend(super::network::texts(host));
        steps.extend(super::network::other_resolvers(host));
    }
    // What was learned under the wall of places would be learned from its errors.
    let landlock = host.landlock.filter(|_| named).map(|abi| super::landlock::learning(network, abi));
    Plan {
        mode: Mode::Learn,
        identity: host.identity,
        walls: Wall::ALL
            .into_iter()
            .filter(|wall| (*wall != Wall::Landlock || landlock.is_some()) && *wall != Wall::Names)
            .collect(),
        root: RootStyle::HostReadOnly,
        mounts: super::arrange(steps),
        unowned: BTreeSet::new(),
        workdir: host.workdir.clone(),
        program: options.program,
        argv: options.argv,
        environment: super::network::environment(&host.environment, network),
        secrets: BTreeMap::new(),
        set: BTreeMap::new(),
        network,
        policy: named.then(|| Policy { permissive: true, proxies: host.proxies.clone(), ..Policy::default() }),
        filter,
        landlock,
        without_namespaces: None,
        nesting: Nesting::Refused,
        protection: super::protect::Protection::Scan,
        refused_writes: super::protect::RefusedWrites::Untold,
        layer: None,
        limits: Limits::default(),
        create: Vec::new(),
        copies: Vec::new(),
        roots: host.roots.clone(),
        withheld: Vec::new(),
    }
}

//! What a sandbox stands on: its namespaces, with their owner, their loopback device and the file system of their root. Laid
//! beside the supervisor, which need not know yet what will run there.
//!
//! Ground for one shape does not fit a plan of another: then it is laid anew, and nothing is built on what was there.

use std::io::Write as _;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;

use crate::plan::walls::Wall;
use crate::plan::{Network, Plan, RootStyle};
use crate::sys::fuse::{self, Mounted};
use crate::sys::maker::{Maker, Unmade};
use crate::sys::namespace::{self, Side, clone_into};
use crate::sys::process;
use crate::vocab::host::Identity;

use super::error::{StartError, Step};
use super::together::Together;

/// Namespaces that are made, or will be before they are entered.
#[derive(Debug)]
pub struct Ground {
    shape: Shape,
    maker: Maker<Laid, StartError>,
}

/// What tells one ground from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    identity: Identity,
    namespaces: CloneFlags,
    root: Served,
}

/// Whether the root is a file system that the supervisor serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Served {
    Yes,
    No,
}

/// What was made besides namespaces: the root, where it is served.
type Laid = Option<Result<Mounted, Errno>>;

impl Ground {
    /// Ground as most runs want it, for `identity`. `None`: it will be laid when the plan is known, and what stands in the way
    /// is said then.
    pub fn usual(identity: Identity) -> Option<Self> {
        let namespaces = CloneFlags::CLONE_NEWUSER
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS;
        Self::lay(Shape { identity, namespaces, root: Served::Yes }).ok()
    }

    /// `laid`, if it fits `plan`; else such as does.
    pub(super) fn of(plan: &Plan, laid: Option<Self>) -> Result<Self, StartError> {
        let shape = Shape::of(plan);
        match laid.filter(|ground| ground.shape == shape) {
            Some(ground) => Ok(ground),
            None => Self::lay(shape).map_err(|errno| StartError::kernel(Step::Namespaces, errno)),
        }
    }

    fn lay(shape: Shape) -> Result<Self, Errno> {
        Maker::start(shape.namespaces, move || lay(shape)).map(|maker| Self { shape, maker })
    }
}

impl Shape {
    fn of(plan: &Plan) -> Self {
        let by_wall = [(Wall::Messages, CloneFlags::CLONE_NEWIPC), (Wall::HostName, CloneFlags::CLONE_NEWUTS)];
        let by_wall = by_wall.into_iter().filter(|(wall, _)| plan.has(*wall)).map(|(_, flag)| flag);
        // These two are needed to build the others.
        let all = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
        let own_network = plan.network != Network::Host && plan.has(Wall::Network);
        let network = if own_network { CloneFlags::CLONE_NEWNET } else { CloneFlags::empty() };
        let served = plan.root == RootStyle::Tripwire && plan.has(Wall::Mounts);
        Self {
            identity: plan.identity,
            namespaces: by_wall.fold(all | network, |flags, flag| flags | flag),
            root: if served { Served::Yes } else { Served::No },
        }
    }
}

/// Starts an init, on `ground` or without any, which calls `run` with the mount of its root and ends. Returns its pid and, where
/// the root is served, by what.
pub(super) fn enter(
    plan: &Plan,
    ground: Option<Ground>,
    together: Option<&Together>,
    mut run: impl FnMut(Option<OwnedFd>),
) -> Result<(i32, Option<Result<OwnedFd, Errno>>), StartError> {
    let refused = |errno| StartError::kernel(Step::Namespaces, errno);
    let Some(ground) = ground else {
        return match clone_into(CloneFlags::empty()).map_err(refused)? {
            Side::Parent(pid) => Ok((pid.as_raw(), None)),
            Side::Child => {
                run(None);
                process::exit_now(125)
            }
        };
    };
    let processes = if plan.has(Wall::Processes) { CloneFlags::CLONE_NEWPID } else { CloneFlags::empty() };
    // The file system ends with its server: nobody else may hold the device.
    let mut enter = |laid: Laid| run(laid.and_then(Result::ok).map(|Mounted { mount, .. }| mount));
    if let (Some(together), Some(maker)) = (together, ground.maker.pid()) {
        together.bind(maker);
    }
    match ground.maker.init(processes, &mut enter) {
        Ok((pid, laid)) => Ok((pid.as_raw(), laid.map(|mounted| mounted.map(|Mounted { device, .. }| device)))),
        Err(Unmade::Namespaces(errno) | Unmade::Init(errno)) => Err(refused(errno)),
        Err(Unmade::Prepare(error)) => Err(error),
        Err(Unmade::Killed) => Err(StartError::InitDied),
    }
}

/// Everything that is the same for each plan of this shape.
fn lay(shape: Shape) -> Result<Laid, StartError> {
    map_identity(shape.identity)?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|errno| StartError::kernel(Step::Sources, errno))?;
    // Its failure is one of the plan that wants it: another may do without.
    let laid = (shape.root == Served::Yes).then(|| fuse::mount(shape.identity.uid, shape.identity.gid));
    if shape.namespaces.contains(CloneFlags::CLONE_NEWNET) {
        namespace::loopback_up().map_err(|errno| StartError::kernel(Step::Loopback, errno))?;
    }
    Ok(laid)
}

/// One id each, the caller's, mapped to itself (user_namespaces(7)): who made the namespace may do this without help.
fn map_identity(identity: Identity) -> Result<(), StartError> {
    let write = |name: &str, text: String| {
        let path = format!("/proc/self/{name}");
        let done =
            std::fs::OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
        done.map_err(|source| StartError::Identity { file: name.to_owned(), source })
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("{0} {0} 1", identity.uid))?;
    write("gid_map", format!("{0} {0} 1", identity.gid))
}

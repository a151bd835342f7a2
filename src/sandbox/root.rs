//! The root of the sandbox, furnished step by step inside its new mount namespace.
//!
//! Every source is opened as a detached copy before anything is mounted, so that no later step can change what an earlier
//! name means; every target is opened below the new root without following symlinks, so that nothing that lies in a granted
//! directory can lead a mount astray.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, mkdirat};

use crate::plan::below_secrets;
use crate::plan::walls::Wall;
use crate::plan::{DEVICES, MountStep, Nesting, Plan, RootStyle, SECRETS};
use crate::sys::mount::{
    Attributes, Depth, attach, clone_place, clone_tree, open_beneath, open_beneath_or_link, pivot_to_working_directory,
    set_attributes,
};
use crate::vocab::path::AbsPath;

use super::chest::Chest;
use super::child::Launch;
use super::error::Step;
use super::insisted::{self, Insisted};
use super::unowned::Unowned;

/// What failed: the step, the errno, and for a mount its index in the plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) errno: Errno,
    pub(super) mount: Option<usize>,
}

fn at(step: Step) -> impl Fn(Errno) -> Failure {
    move |errno| Failure { step, errno, mount: None }
}

/// Where the new root is mounted until it becomes the root: the first that exists. What is below it is opened before.
const STAGES: [&str; 3] = ["/tmp", "/var", "/usr"];

/// Parts of a new proc that change the machine: with root's id, write permission is all that some of them ask for.
const PROC_READ_ONLY: [&str; 12] = [
    "sys",
    "sysrq-trigger",
    "irq",
    "bus",
    "fs",
    "acpi",
    "asound",
    "driver",
    "dynamic_debug",
    "mtrr",
    "pressure",
    "scsi",
];

/// Parts of a new proc that tell of the machine or of the user's other sessions: the keys of a uid are listed in every
/// namespace that maps it (keyrings(7)).
const PROC_HIDDEN: [&str; 3] = ["keys", "key-users", "timer_list"];

/// Parts of a new proc that are closed to all but root, who is not to be better off inside: what needs no capability to be
/// read. Of the others the kernel asks more than a number.
const PROC_OF_ROOT: [&str; 10] = [
    "slabinfo",
    "vmallocinfo",
    "pagetypeinfo",
    "sys/kernel/cad_pid",
    "sys/kernel/usermodehelper/bset",
    "sys/kernel/usermodehelper/inheritable",
    "sys/net/ipv4/tcp_fastopen_key",
    "sys/vm/mmap_rnd_bits",
    "sys/vm/mmap_rnd_compat_bits",
    "sys/vm/stat_refresh",
];

pub(super) struct Root<'a> {
    launch: &'a Launch<'a>,
    base: OwnedFd,
    /// Opened sources by index of the step.
    sources: Vec<Option<OwnedFd>>,
    devices: Vec<(&'static str, OwnedFd)>,
    /// Directories of files that were copied in.
    directories: Vec<OwnedFd>,
    /// Where what is private lies, if it is limited.
    chest: Option<Chest>,
}

impl<'a> Root<'a> {
    /// Builds the root and makes it the root; `tripwire` is the mount of a plan that has one. Returns the directories of
    /// copied files.
    pub(super) fn build(launch: &'a Launch<'a>, tripwire: Option<OwnedFd>) -> Result<Vec<OwnedFd>, Failure> {
        // A plan may have more mounts than a process may have descriptors; the payload gets the old limit back.
        crate::sys::process::raise_descriptor_limit();
        if !launch.plan.has(Wall::Mounts) {
            if launch.plan.has(Wall::Processes) {
                let none: Option<&str> = None;
                let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
                mount(Some("proc"), "/proc", Some("proc"), flags, none).map_err(at(Step::Proc))?;
            }
            return Ok(Vec::new());
        }
        let sources = {
            let host = open_dir("/").map_err(|failure| at(Step::Sources)(failure.errno))?;
            let steps = launch.plan.mounts.iter().enumerate();
            let open = |(index, step)| match launch.unowned.get(&index) {
                Some(Unowned::Mapped(tree)) => tree.try_clone().map(Some).map_err(|_| at(Step::Sources)(Errno::EMFILE)),
                Some(Unowned::Covered(_)) | None => match &launch.plan.layer {
                    Some(layer) if layer.is_put_by(step) => {
                        super::layer::open(&host, layer).map(Some).map_err(at(Step::Layer))
                    }
                    Some(layer) if layer.holds(step) => Ok(None),
                    Some(_) | None => open_source(&host, index, step),
                },
            };
            steps.map(open).collect::<Result<_, _>>()?
        };
        let devices = open_devices()?;
        let tree = match launch.plan.root {
            RootStyle::Empty => crate::sys::mount::new_tmpfs(0o755, None),
            RootStyle::HostReadOnly => clone_tree(AT_FDCWD, c"/", Depth::Recursive),
            RootStyle::Tripwire => tripwire.ok_or(Errno::EBADF),
        };
        let tree = tree.map_err(at(Step::RootDirectory))?;
        if launch.plan.root == RootStyle::HostReadOnly {
            let attributes = Attributes::READ_ONLY.and(Attributes::NO_SUID);
            set_attributes(&tree, attributes, Depth::Recursive).map_err(at(Step::RootDirectory))?;
        }
        let stage = STAGES.iter().find_map(|path| Some((*path, open_dir(path).ok()?)));
        let (stage_path, stage) = stage.ok_or(at(Step::RootDirectory)(Errno::ENOENT))?;
        // Beside it, in the root that is left: there it is mounted, and out of everybody's way.
        let private = launch.plan.limits.private_bytes();
        let chest = private.map(|bytes| Chest::put_over(&beside(stage_path)?, bytes.0)).transpose()?;
        attach(&tree, &stage).map_err(at(Step::RootDirectory))?;
        let base = tree;
        let mut root = Self { launch, base, sources, devices, directories: Vec::new(), chest };
        if launch.plan.root == RootStyle::Tripwire {
            root.prime();
        }
        let guards = launch.plan.has(Wall::Guards);
        for (index, step) in launch.plan.mounts.iter().enumerate() {
            if !guards && matches!(step, MountStep::Guard { .. } | MountStep::Cover { .. } | MountStep::Pin { .. }) {
                continue;
            }
            root.furnish(index, step).map_err(|failure| Failure { mount: Some(index), ..failure })?;
        }
        if launch.plan.root != RootStyle::HostReadOnly {
            set_attributes(&root.base, Attributes::READ_ONLY, Depth::Top).map_err(at(Step::RootDirectory))?;
        }
        nix::unistd::fchdir(&root.base).map_err(at(Step::Pivot))?;
        pivot_to_working_directory().map_err(at(Step::Pivot))?;
        umount2(".", MntFlags::MNT_DETACH).map_err(at(Step::Pivot))?;
        nix::unistd::chdir("/").map_err(at(Step::Pivot))?;
        Ok(root.directories)
    }

    /// Makes the parts of proc that reach the machine read-only and empties those that tell of it; called when the last of
    /// them has been written, and before the payload is let go.
    pub(super) fn close_proc(plan: &Plan) -> Result<(), Failure> {
        let proc = open_dir("/proc")?;
        let covered =
            PROC_READ_ONLY.iter().map(|name| (name, false)).chain(PROC_HIDDEN.iter().map(|name| (name, true)));
        let of_root = if plan.identity.uid == 0 { PROC_OF_ROOT.as_slice() } else { &[] };
        let covered = covered.chain(of_root.iter().map(|name| (name, true)));
        let mut cover: Option<OwnedFd> = None;
        for (name, hidden) in covered {
            let path = CString::new(*name).map_err(|_| at(Step::Proc)(Errno::EINVAL))?;
            let target = match open_beneath(&proc, &path) {
                Err(Errno::ENOENT) => continue,
                other => other.map_err(at(Step::Proc))?,
            };
            let tree = match &cover {
                // A copy of a mount has its attributes.
                Some(cover) if hidden => clone_place(cover, Depth::Top),
                None if hidden => clone_tree(AT_FDCWD, c"/dev/null", Depth::Top).and_then(read_only),
                _ => clone_place(&target, Depth::Recursive).and_then(read_only),
            };
            let tree = tree.map_err(at(Step::Proc))?;
            attach(&tree, &target).map_err(at(Step::Proc))?;
            if hidden {
                cover = Some(tree);
            }
        }
        Ok(())
    }

    /// Lists the directories in which several names will be asked for: one request tells the kernel all names of one, and a
    /// mount then asks for none.
    fn prime(&self) {
        let mounts = &self.launch.plan.mounts;
        let bound: BTreeSet<&AbsPath> = mounts
            .iter()
            .filter_map(|step| if let MountStep::Bind { target, .. } = step { Some(target) } else { None })
            .collect();
        let own = ["/proc", "/dev"].into_iter().filter_map(|text| AbsPath::new(text).ok());
        let mut wanted: BTreeMap<AbsPath, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for target in mounts.iter().filter_map(MountStep::target).cloned().chain(own) {
            // What lies in a mount is not asked of us.
            if target.ancestors().any(|above| bound.contains(&above)) {
                continue;
            }
            for place in std::iter::once(target.clone()).chain(target.ancestors()) {
                let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else { break };
                if !wanted.entry(parent).or_default().insert(name.to_vec()) {
                    break;
                }
            }
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        // Two requests are those of a listing.
        for (parent, names) in wanted.iter_mut().filter(|(_, names)| names.len() > 2) {
            let Ok(place) = self.open(parent) else { continue };
            let Ok(mut dir) = nix::dir::Dir::openat(place, ".", flags, Mode::empty()) else { continue };
            let mut entries = dir.iter().flatten();
            while let Some(entry) = entries.next().filter(|_| !names.is_empty()) {
                names.remove(entry.file_name().to_bytes());
            }
        }
    }

    fn furnish(&mut self, index: usize, step: &MountStep) -> Result<(), Failure> {
        match step {
            MountStep::Bind { target, .. } | MountStep::Pin { target }
                if self.launch.plan.layer.as_ref().is_some_and(|layer| layer.holds(step)) =>
            {
                match self.open(target) {
                    Err(Failure { errno: Errno::ENOENT, .. }) => Ok(()),
                    place => super::layer::onto_itself(&place?).map_err(at(Step::Mount)),
                }
            }
            MountStep::Guard { target } => {
                let Some(tree) = self.sources.get_mut(index).and_then(Option::take) else {
                    return Err(at(Step::Sources)(Errno::EBADF));
                };
                let path = CString::new(target.as_bytes()).map_err(|_| at(Step::Mount)(Errno::EINVAL))?;
                let target = open_beneath_or_link(&self.base, &path).map_err(at(Step::Mount))?;
                attach(&tree, &target).map_err(at(Step::Mount))
            }
            // A directory that does not exist cannot be renamed away.
            MountStep::Pin { .. } if self.sources.get(index).is_none_or(Option::is_none) => Ok(()),
            MountStep::Bind { target, .. } | MountStep::Pin { target } => {
                let Some(tree) = self.sources.get_mut(index).and_then(Option::take) else {
                    return Err(at(Step::Sources)(Errno::EBADF));
                };
                let kind = if is_dir(&tree)? { Kind::Dir } else { Kind::File };
                let target = self.target(target, kind)?;
                attach(&tree, &target).map_err(at(Step::Mount))?;
                match self.launch.unowned.get(&index) {
                    Some(Unowned::Covered(places)) => places.iter().try_for_each(|place| self.close(place)),
                    Some(Unowned::Mapped(_)) | None => Ok(()),
                }
            }
            MountStep::Filtered { target, .. } => {
                let place = self.open(target)?;
                let tree = clone_place(&place, Depth::Top).map_err(at(Step::Mount))?;
                let attributes = Attributes::NO_SUID.and(Attributes::NO_DEV).and(Attributes::NO_EXEC);
                set_attributes(&tree, attributes, Depth::Top).map_err(at(Step::Mount))?;
                attach(&tree, &place).map_err(at(Step::Mount))
            }
            MountStep::Tmpfs { target, mode } => {
                let place = self.target(target, Kind::Dir)?;
                self.private(&place, *mode)
            }
            MountStep::Cover { target } => self.cover(index, target),
            MountStep::Seal { target } => {
                set_attributes(self.open(target)?, Attributes::READ_ONLY, Depth::Top).map_err(at(Step::Mount))
            }
            MountStep::Directory { target, mode } => {
                // Never the mode of what is there already: it may be the host's.
                match self.open(target) {
                    Err(Failure { errno: Errno::ENOENT, .. }) => {}
                    other => return other.map(drop),
                }
                let place = self.directory(target)?;
                let mode = Mode::from_bits_truncate(*mode);
                chmod(&place, mode)
            }
            MountStep::Symlink { target, text } => {
                let (parent, name) = self.parent_and_name(target)?;
                let text = std::ffi::OsStr::from_bytes(text);
                match nix::unistd::symlinkat(text, &parent, name.as_c_str()) {
                    Err(Errno::EEXIST) => Ok(()),
                    other => other.map_err(at(Step::Mount)),
                }
            }
            MountStep::Placeholder { target, size, modified } => self.placeholder(target, *size, *modified),
            MountStep::Copy { target } => self.copy(target),
            MountStep::Text { target, text } => self.text(target, text.as_bytes()),
            MountStep::AsOwn { target } => match self.launch.insisted.get(&index) {
                None => Ok(()),
                Some(Insisted::File(bytes)) => self.text(target, bytes),
                Some(Insisted::Directory(files)) => insisted::furnish(&self.open(target)?, files),
            },
            MountStep::Proc => self.proc(),
            MountStep::Dev => {
                if self.launch.plan.nesting == Nesting::Allowed {
                    self.proc_out_of_reach()?;
                }
                self.dev()
            }
            MountStep::Secrets => {
                let place = self.target(&path(SECRETS)?, Kind::Dir)?;
                self.launch.secrets.furnish(&place)
            }
            MountStep::Secret { target, name } => self.secret(target, name),
            MountStep::Queues => self.queues(),
        }
    }

    fn cover(&mut self, index: usize, target: &AbsPath) -> Result<(), Failure> {
        let place = match self.open(target) {
            // What does not exist needs no cover.
            Err(Failure { errno: Errno::ENOENT | Errno::ENOTDIR, .. }) => return Ok(()),
            other => other?,
        };
        if is_dir(&place)? {
            return self.tmpfs(&place, 0o700, Some(Attributes::READ_ONLY)).map(drop);
        }
        match self.sources.get_mut(index).and_then(Option::take) {
            Some(null) => attach(&null, &place).map_err(at(Step::Mount)),
            None => Err(at(Step::Sources)(Errno::EBADF)),
        }
    }

    /// Covers a place that is no step of the plan.
    fn close(&self, target: &AbsPath) -> Result<(), Failure> {
        let place = match self.open(target) {
            Err(Failure { errno: Errno::ENOENT | Errno::ENOTDIR, .. }) => return Ok(()),
            other => other?,
        };
        if is_dir(&place)? {
            return self.tmpfs(&place, 0o700, Some(Attributes::READ_ONLY)).map(drop);
        }
        attach(null_source()?, &place).map_err(at(Step::Mount))
    }

    fn placeholder(&self, target: &AbsPath, size: u64, modified: i64) -> Result<(), Failure> {
        if self.launch.plan.root == RootStyle::Tripwire && self.open(target).is_ok() {
            return Ok(());
        }
        let (parent, name) = self.parent_and_name(target)?;
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let file = openat(&parent, name.as_c_str(), flags, Mode::empty()).map_err(at(Step::Mount))?;
        let size = i64::try_from(size).map_err(|_| at(Step::Mount)(Errno::EFBIG))?;
        nix::unistd::ftruncate(&file, size).map_err(at(Step::Mount))?;
        let time = nix::sys::time::TimeSpec::new(modified, 0);
        nix::sys::stat::futimens(&file, &time, &time).map_err(at(Step::Mount))
    }

    fn text(&self, target: &AbsPath, text: &[u8]) -> Result<(), Failure> {
        let place = match self.target(target, Kind::File) {
            Err(Failure { errno: Errno::ENOENT | Errno::ENOTDIR | Errno::EROFS | Errno::EACCES, .. }) => return Ok(()),
            other => other?,
        };
        let tree = crate::sys::mount::new_tmpfs(0o755, None).map_err(at(Step::Mount))?;
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let file = openat(&tree, c"text", flags, Mode::from_bits_truncate(0o444)).map_err(at(Step::Mount))?;
        std::fs::File::from(file)
            .write_all(text)
            .map_err(|error| at(Step::Mount)(Errno::from_raw(error.raw_os_error().unwrap_or(0))))?;
        // A kernel before 6.15 copies nothing out of a tree that is mounted nowhere.
        let above = self.open(&target.parent().unwrap_or_else(AbsPath::root))?;
        attach(&tree, &above).map_err(at(Step::Mount))?;
        let file = clone_tree(&tree, c"text", Depth::Top).map_err(at(Step::Mount))?;
        nix::unistd::fchdir(&tree).map_err(at(Step::Mount))?;
        umount2(".", MntFlags::MNT_DETACH).map_err(at(Step::Mount))?;
        let attributes = Attributes::READ_ONLY.and(Attributes::NO_SUID).and(Attributes::NO_DEV);
        set_attributes(&file, attributes.and(Attributes::NO_EXEC), Depth::Top).map_err(at(Step::Mount))?;
        attach(&file, &place).map_err(at(Step::Mount))
    }

    fn copy(&mut self, target: &AbsPath) -> Result<(), Failure> {
        let (parent, name) = self.parent_and_name(target)?;
        let index = self.launch.plan.copies.iter().position(|path| path == target);
        if let Some(contents) = index.and_then(|index| self.launch.copies.get(index)).and_then(Option::as_ref) {
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
            let mode = Mode::from_bits_truncate(0o600);
            let file = openat(&parent, name.as_c_str(), flags, mode).map_err(at(Step::Mount))?;
            std::fs::File::from(file)
                .write_all(contents)
                .map_err(|error| at(Step::Mount)(Errno::from_raw(error.raw_os_error().unwrap_or(0))))?;
        }
        self.directories.push(parent);
        Ok(())
    }

    fn proc(&self) -> Result<(), Failure> {
        let place = self.target(&path("/proc")?, Kind::Dir)?;
        nix::unistd::fchdir(&place).map_err(at(Step::Proc))?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let none: Option<&str> = None;
        if !self.launch.plan.has(Wall::Processes) {
            // A new one would be of a namespace that this one has no say in.
            let host = clone_tree(AT_FDCWD, c"/proc", Depth::Recursive).map_err(at(Step::Proc))?;
            return attach(&host, &place).map_err(at(Step::Proc));
        }
        mount(Some("proc"), ".", Some("proc"), flags, none).map_err(at(Step::Proc))
    }

    /// A whole proc beneath the place of /dev, which is mounted over it: the kernel lets a namespace mount a proc only if it
    /// has one of which nothing is covered (mount_namespaces(7), "fully visible"). Nobody reaches it.
    fn proc_out_of_reach(&self) -> Result<(), Failure> {
        let place = self.target(&path("/dev")?, Kind::Dir)?;
        let below = self.tmpfs(&place, 0, None)?;
        mkdirat(&below, "proc", Mode::empty()).map_err(at(Step::Proc))?;
        nix::unistd::fchdir(open_beneath(&below, c"proc").map_err(at(Step::Proc))?).map_err(at(Step::Proc))?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("proc"), ".", Some("proc"), flags, None::<&str>).map_err(at(Step::Proc))
    }

    fn dev(&mut self) -> Result<(), Failure> {
        let dev = self.target(&path("/dev")?, Kind::Dir)?;
        let inside = self.tmpfs(&dev, 0o755, None)?;
        let wrong = at(Step::Dev);
        for (name, tree) in std::mem::take(&mut self.devices) {
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
            let place = openat(&inside, name, flags, Mode::empty()).map_err(&wrong)?;
            attach(&tree, &place).map_err(&wrong)?;
        }
        for (link, text) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("ptmx", "pts/ptmx"),
        ] {
            nix::unistd::symlinkat(text, &inside, link).map_err(&wrong)?;
        }
        for name in ["pts", "shm", "mqueue"] {
            mkdirat(&inside, name, Mode::from_bits_truncate(0o755)).map_err(&wrong)?;
        }
        let pts = open_beneath(&inside, c"pts").map_err(&wrong)?;
        nix::unistd::fchdir(&pts).map_err(&wrong)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        mount(Some("devpts"), ".", Some("devpts"), flags, Some("newinstance,ptmxmode=0666,mode=620"))
            .map_err(&wrong)?;
        let shm = open_beneath(&inside, c"shm").map_err(&wrong)?;
        self.private(&shm, 0o1777)?;
        set_attributes(&inside, Attributes::READ_ONLY, Depth::Top).map_err(&wrong)
    }

    /// An empty directory over `place` that may be written and that no other run sees.
    fn private(&self, place: &OwnedFd, mode: u32) -> Result<(), Failure> {
        match &self.chest {
            Some(chest) => chest.drawer(place, mode),
            None => self.tmpfs(place, mode, None).map(drop),
        }
    }

    fn secret(&self, target: &AbsPath, name: &str) -> Result<(), Failure> {
        let file = match self.open(&below_secrets(name)) {
            // It has no value here.
            Err(Failure { errno: Errno::ENOENT, .. }) => return Ok(()),
            other => other?,
        };
        let file = clone_place(&file, Depth::Top).map_err(at(Step::Secrets))?;
        attach(&file, self.target(target, Kind::File)?).map_err(at(Step::Secrets))
    }

    fn queues(&self) -> Result<(), Failure> {
        // Without a namespace of the run's own they are the host's.
        if !self.launch.plan.has(Wall::Messages) {
            return Ok(());
        }
        nix::unistd::fchdir(self.open(&path("/dev/mqueue")?)?).map_err(at(Step::Dev))?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("mqueue"), ".", Some("mqueue"), flags, None::<&str>).map_err(at(Step::Dev))
    }

    /// Mounts a tmpfs over `place`; returns its root.
    fn tmpfs(&self, place: &OwnedFd, mode: u32, more: Option<Attributes>) -> Result<OwnedFd, Failure> {
        let tree = crate::sys::mount::new_tmpfs(mode, None).map_err(at(Step::Mount))?;
        let attributes = Attributes::NO_SUID.and(Attributes::NO_DEV);
        let attributes = more.map_or(attributes, |more| attributes.and(more));
        set_attributes(&tree, attributes, Depth::Top).map_err(at(Step::Mount))?;
        attach(&tree, place).map_err(at(Step::Mount))?;
        Ok(tree)
    }

    fn open(&self, target: &AbsPath) -> Result<OwnedFd, Failure> {
        let path = CString::new(target.as_bytes()).map_err(|_| at(Step::Mount)(Errno::EINVAL))?;
        open_beneath(&self.base, &path).map_err(at(Step::Mount))
    }

    /// The place of a mount; made, with the directories above it, where the root is our own.
    fn target(&self, target: &AbsPath, kind: Kind) -> Result<OwnedFd, Failure> {
        if kind == Kind::Dir {
            return self.directory(target);
        }
        match self.open(target) {
            Err(Failure { errno: Errno::ENOENT, .. }) => {}
            other => return other,
        }
        let (parent, name) = self.parent_and_name(target)?;
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        drop(openat(&parent, name.as_c_str(), flags, Mode::empty()).map_err(at(Step::Mount))?);
        open_beneath(&parent, &name).map_err(at(Step::Mount))
    }

    /// A directory; made, with those above it, where it does not exist.
    fn directory(&self, target: &AbsPath) -> Result<OwnedFd, Failure> {
        match self.open(target) {
            Err(Failure { errno: Errno::ENOENT, .. }) if !target.is_root() => {}
            other => return other,
        }
        let (parent, name) = self.parent_and_name(target)?;
        mkdirat(&parent, name.as_c_str(), Mode::from_bits_truncate(0o755)).map_err(at(Step::Mount))?;
        open_beneath(&parent, &name).map_err(at(Step::Mount))
    }

    fn parent_and_name(&self, target: &AbsPath) -> Result<(OwnedFd, CString), Failure> {
        let name = CString::new(target.file_name().unwrap_or_default()).map_err(|_| at(Step::Mount)(Errno::EINVAL))?;
        Ok((self.directory(&target.parent().unwrap_or_else(AbsPath::root))?, name))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Dir,
    File,
}

fn open_source(host: &OwnedFd, index: usize, step: &MountStep) -> Result<Option<OwnedFd>, Failure> {
    let (source, writable) = match step {
        MountStep::Bind { source, writable, .. } => (source, *writable),
        MountStep::Guard { target } => (target, false),
        MountStep::Pin { target } => (target, true),
        MountStep::Cover { .. } => return null_source().map(Some),
        _ => return Ok(None),
    };
    let wrong = |errno| Failure { step: Step::Sources, errno, mount: Some(index) };
    let source = CString::new(source.as_bytes()).map_err(|_| wrong(Errno::EINVAL))?;
    // By openat2 first: a symlink anywhere on the way would mean that the place is no longer what the plan looked at.
    let place = match step {
        MountStep::Guard { .. } => open_beneath_or_link(host, &source),
        _ => open_beneath(host, &source),
    };
    if matches!((step, &place), (MountStep::Pin { .. }, Err(Errno::ENOENT))) {
        return Ok(None);
    }
    let place = place.map_err(wrong)?;
    let tree = clone_place(&place, Depth::Recursive).map_err(wrong)?;
    let attributes = Attributes::NO_SUID.and(Attributes::NO_DEV);
    let attributes = if writable { attributes } else { attributes.and(Attributes::READ_ONLY) };
    set_attributes(&tree, attributes, Depth::Recursive).map_err(wrong)?;
    Ok(Some(tree))
}

/// A device node where device nodes do not work: opening it is EACCES for everybody, root included.
fn null_source() -> Result<OwnedFd, Failure> {
    let tree = clone_tree(AT_FDCWD, c"/dev/null", Depth::Top).map_err(at(Step::Sources))?;
    let attributes = Attributes::READ_ONLY.and(Attributes::NO_DEV).and(Attributes::NO_EXEC);
    set_attributes(&tree, attributes, Depth::Top).map_err(at(Step::Sources))?;
    Ok(tree)
}

/// A directory of the old root that the new one is not mounted on.
fn beside(stage: &str) -> Result<OwnedFd, Failure> {
    let mut places =
        ["/usr", "/var", "/etc"].iter().filter(|path| **path != stage).filter_map(|path| open_dir(path).ok());
    places.next().ok_or(at(Step::RootDirectory)(Errno::ENOENT))
}

fn open_devices() -> Result<Vec<(&'static str, OwnedFd)>, Failure> {
    let mut devices = Vec::new();
    for name in DEVICES {
        let path = CString::new(format!("/dev/{name}")).map_err(|_| at(Step::Dev)(Errno::EINVAL))?;
        match clone_tree(AT_FDCWD, &path, Depth::Top) {
            Ok(tree) => {
                set_attributes(&tree, Attributes::NO_SUID.and(Attributes::NO_EXEC), Depth::Top)
                    .map_err(at(Step::Dev))?;
                devices.push((name, tree));
            }
            // Containers may lack a terminal; the others are part of every Linux.
            Err(Errno::ENOENT) if name == "tty" => {}
            Err(errno) => return Err(at(Step::Dev)(errno)),
        }
    }
    Ok(devices)
}

fn read_only(tree: OwnedFd) -> Result<OwnedFd, Errno> {
    set_attributes(&tree, Attributes::READ_ONLY, Depth::Recursive).map(|()| tree)
}

fn open_dir(path: &str) -> Result<OwnedFd, Failure> {
    nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(at(Step::Mount))
}

fn is_dir(place: impl AsFd) -> Result<bool, Failure> {
    let stat = nix::sys::stat::fstat(place).map_err(at(Step::Mount))?;
    Ok(stat.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

pub(super) fn chmod(place: &OwnedFd, mode: Mode) -> Result<(), Failure> {
    // fchmod(2) refuses O_PATH descriptors.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let dir = openat(place, ".", flags, Mode::empty()).map_err(at(Step::Mount))?;
    nix::sys::stat::fchmod(&dir, mode).map_err(at(Step::Mount))
}

fn path(text: &str) -> Result<AbsPath, Failure> {
    AbsPath::new(text).map_err(|_| at(Step::Mount)(Errno::EINVAL))
}

//! Limits → a control group of version 2 that holds them, and what it counted in the end.
//!
//! It is either made here, below the control group that this session was given (cgroups(7), *Delegation*), or was made by
//! systemd. A limit counts as held when it can be read back from the control group that init is in.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};

use crate::sys::process;
use crate::vocab::limits::{Limit, Limits, Percent};

use super::Holder;

/// A tenth of a second, in microseconds: the span over which a share of processor time is counted.
const PERIOD: u64 = 100_000;

/// How often removing a control group is tried, and how long is waited in between: those in it end meanwhile.
const TRIES: (u32, Duration) = (200, Duration::from_millis(10));

/// The controller that holds a limit.
pub(super) fn controller(limit: Limit) -> &'static str {
    match limit {
        Limit::Memory => "memory",
        Limit::Processes => "pids",
        Limit::Cpu => "cpu",
        Limit::Io => "io",
        Limit::FileSize | Limit::Disk => "",
    }
}

/// Init counts as well.
pub(super) fn processes_with_init(count: u32) -> u64 {
    u64::from(count) + 1
}

/// Processor time in a second.
pub(super) fn cpu_microseconds(share: Percent) -> u64 {
    u64::from(share.0) * 10_000
}

/// Where the control groups of version 2 are seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    mount: PathBuf,
    /// What of the tree is mounted there.
    root: String,
}

impl Hierarchy {
    pub(super) fn find() -> Option<Self> {
        Self::from_mounts(&std::fs::read_to_string("/proc/self/mountinfo").ok()?)
    }

    /// From the text of mountinfo (proc(5)).
    fn from_mounts(text: &str) -> Option<Self> {
        text.lines().find_map(|line| {
            let (place, kind) = line.split_once(" - ")?;
            let mut fields = place.split(' ').skip(3);
            let (root, mount) = (fields.next()?, fields.next()?);
            let plain = kind.starts_with("cgroup2 ") && !mount.contains('\\') && !root.contains("..");
            plain.then(|| Self { mount: PathBuf::from(mount), root: root.to_owned() })
        })
    }

    /// The directory of a control group that the kernel names `path`.
    fn directory(&self, path: &str) -> Option<PathBuf> {
        let below = if self.root == "/" { path } else { path.strip_prefix(&self.root)? };
        let outside = below.split('/').any(|part| part == "..");
        (!outside).then(|| self.mount.join(below.trim_start_matches('/')))
    }

    /// The controllers of the control group that the kernel names `path`; none if it cannot be seen.
    pub(super) fn controllers(&self, path: &str) -> BTreeSet<String> {
        self.directory(path).map(|dir| words(&dir, "cgroup.controllers")).unwrap_or_default()
    }

    /// Whether any controller is here: in a hybrid arrangement they are all in version 1.
    pub(super) fn has_any(&self, wanted: &BTreeSet<Limit>) -> Result<(), String> {
        let here = words(&self.mount, "cgroup.controllers");
        if wanted.iter().any(|limit| here.contains(controller(*limit))) {
            return Ok(());
        }
        Err("the control groups of version 2 have none of the controllers here".to_owned())
    }

    /// The directory of the control group that `pid` is in.
    pub(super) fn group_of(&self, pid: i32) -> io::Result<PathBuf> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::"));
        path.and_then(|path| self.directory(path)).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

/// The control group in which a run is.
#[derive(Debug)]
pub(super) struct Group {
    dir: PathBuf,
    by: Holder,
    /// The limits that were read back.
    holds: BTreeSet<Limit>,
    made: Option<Made>,
}

impl Group {
    /// One that systemd made.
    pub(super) fn found(dir: PathBuf, by: Holder, limits: &Limits) -> io::Result<Self> {
        let holds = read_back(&dir, limits)?;
        Ok(Self { dir, by, holds, made: None })
    }

    /// What it holds, and as what.
    pub(super) fn holds(&self) -> impl Iterator<Item = (Limit, Holder)> {
        self.holds.iter().map(|limit| (*limit, self.by))
    }

    /// How many processes the kernel ended for want of memory.
    pub(super) fn killed(&self) -> u64 {
        count(&self.dir, "memory.events", "oom_kill")
    }

    /// How many processes were not made.
    pub(super) fn refused(&self) -> u64 {
        count(&self.dir, "pids.events", "max")
    }
}

/// A control group that this session was given, with at least one of the controllers that are wanted.
#[derive(Debug)]
pub(super) struct Delegated {
    dir: PathBuf,
    /// The limits whose controllers it has.
    pub(super) offers: BTreeSet<Limit>,
    /// Controllers that are not given on to its children yet.
    lacking: Vec<&'static str>,
    /// This process must leave it first.
    step_aside: bool,
}

/// What was made in a delegated control group.
#[derive(Debug)]
struct Made {
    place: Delegated,
    /// Where this process went.
    aside: Option<PathBuf>,
}

impl Delegated {
    /// Finds it. The error says why there is none that could hold any of `wanted`.
    pub(super) fn find(wanted: &BTreeSet<Limit>) -> Result<Self, String> {
        let hierarchy = Hierarchy::find().ok_or("no control group of version 2 is mounted")?;
        let own = std::process::id().cast_signed();
        let dir = hierarchy.group_of(own).map_err(|_| "the own control group cannot be seen")?;
        let name = dir.display();
        let controllers = words(&dir, "cgroup.controllers");
        let offers: BTreeSet<Limit> =
            wanted.iter().copied().filter(|limit| controllers.contains(controller(*limit))).collect();
        if offers.is_empty() {
            return Err(format!("the control group `{name}` of this session has no such controller"));
        }
        let ours = |place: &Path| access(place, AccessFlags::W_OK).is_ok();
        if !ours(&dir) || !ours(&dir.join("cgroup.procs")) || !ours(&dir.join("cgroup.subtree_control")) {
            return Err(format!("the control group `{name}` of this session is not delegated to this user"));
        }
        let given = words(&dir, "cgroup.subtree_control");
        let lacking: Vec<&'static str> = ["memory", "pids", "cpu", "io"]
            .into_iter()
            .filter(|name| offers.iter().any(|limit| controller(*limit) == *name) && !given.contains(*name))
            .collect();
        // Only the root of all, which has no type, may have processes beside children with controllers.
        let step_aside = !lacking.is_empty() && dir.join("cgroup.type").exists();
        if step_aside && !is_alone(&dir) {
            return Err(format!(
                "the control group `{name}` of this session has other processes in it, so that none below it can have \
                 controllers"
            ));
        }
        Ok(Self { dir, offers, lacking, step_aside })
    }

    /// Why it does not hold the others.
    pub(super) fn lack(&self) -> String {
        format!("the control group `{}` of this session has no such controller", self.dir.display())
    }

    /// Makes one for the run below it, with `init` in it.
    pub(super) fn make(self, limits: &Limits, init: i32) -> Result<Group, String> {
        let dir = self.dir.join(format!("pinfold-{}", process::random_name()));
        let wrong =
            |what: &str, error: &io::Error| format!("cannot {what} the control group `{}`: {error}", dir.display());
        std::fs::create_dir(&dir).map_err(|error| wrong("make", &error))?;
        // From here on it is removed again, whatever happens.
        let limits = &limits.only(&self.offers);
        let mut group = Group {
            dir: dir.clone(),
            by: Holder::ControlGroup,
            holds: BTreeSet::new(),
            made: Some(Made { place: self, aside: None }),
        };
        write(&dir, "cgroup.procs", &init.to_string()).map_err(|error| wrong("enter", &error))?;
        if let Some(made) = &mut group.made {
            made.give_on().map_err(|error| wrong("get controllers for", &error))?;
        }
        set(&dir, limits).map_err(|error| wrong("set the limits of", &error))?;
        group.holds = read_back(&dir, limits).map_err(|error| wrong("read", &error))?;
        Ok(group)
    }
}

impl Made {
    /// Gives the controllers on to children; while there are processes in a control group, the kernel refuses that.
    fn give_on(&mut self) -> io::Result<()> {
        let dir = &self.place.dir;
        if self.place.step_aside {
            let aside = dir.join(format!("pinfold-outside-{}", process::random_name()));
            std::fs::create_dir(&aside)?;
            self.aside = Some(aside.clone());
            write(&aside, "cgroup.procs", "0")?;
        }
        if self.place.lacking.is_empty() {
            return Ok(());
        }
        write(dir, "cgroup.subtree_control", &self.change('+'))
    }

    fn change(&self, sign: char) -> String {
        self.place.lacking.iter().map(|name| format!("{sign}{name} ")).collect()
    }
}

impl Drop for Group {
    /// Leaves everything as it was found. There is nobody to tell of a failure, and nothing that it would weaken.
    fn drop(&mut self) {
        let Some(made) = &self.made else { return };
        write(&self.dir, "cgroup.kill", "1").ok();
        for _ in 0..TRIES.0 {
            match std::fs::remove_dir(&self.dir) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => std::thread::sleep(TRIES.1),
                _ => break,
            }
        }
        let dir = &made.place.dir;
        if !made.place.lacking.is_empty() {
            write(dir, "cgroup.subtree_control", &made.change('-')).ok();
        }
        if let Some(aside) = &made.aside {
            write(dir, "cgroup.procs", "0").ok();
            std::fs::remove_dir(aside).ok();
        }
    }
}

/// Whether nobody but this process, and what it just started, is in a control group.
fn is_alone(dir: &Path) -> bool {
    let own = std::process::id().to_string();
    let parent_is_own = |pid: &str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().find_map(|line| line.strip_prefix("PPid:")).is_some_and(|parent| parent.trim() == own)
    };
    words(dir, "cgroup.procs").iter().all(|pid| *pid == own || parent_is_own(pid))
}

fn write(dir: &Path, name: &str, value: &str) -> io::Result<()> {
    // Never made: a file that is missing is a controller that is missing.
    let mut file = std::fs::OpenOptions::new().write(true).open(dir.join(name))?;
    io::Write::write_all(&mut file, value.as_bytes())
}

fn read(dir: &Path, name: &str) -> io::Result<String> {
    std::fs::read_to_string(dir.join(name))
}

fn words(dir: &Path, name: &str) -> BTreeSet<String> {
    let text = read(dir, name).unwrap_or_default();
    text.split_whitespace().map(ToOwned::to_owned).collect()
}

/// The number behind `key` in a file of counters.
fn count(dir: &Path, name: &str, key: &str) -> u64 {
    let text = read(dir, name).unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(found, _)| *found == key).and_then(|(_, number)| number.trim().parse().ok()).unwrap_or(0)
}

fn set(dir: &Path, limits: &Limits) -> io::Result<()> {
    if let Some(memory) = limits.memory {
        write(dir, "memory.max", &memory.0.to_string())?;
        match write(dir, "memory.swap.max", "0") {
            // A kernel that does not count swap.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    if let Some(processes) = limits.processes {
        write(dir, "pids.max", &processes_with_init(processes).to_string())?;
    }
    if let Some(share) = limits.cpu {
        let quota = cpu_microseconds(share) * PERIOD / 1_000_000;
        write(dir, "cpu.max", &format!("{quota} {PERIOD}"))?;
    }
    if let Some(rate) = limits.io {
        // One device in one write, says the kernel.
        for Disk { number, .. } in disks() {
            write(dir, "io.max", &format!("{number} rbps={0} wbps={0}", rate.0.0))?;
        }
    }
    Ok(())
}

/// The numbers of all disks: whole ones, of which alone the kernel limits the rate, and no memory that acts as one.
pub(super) fn disks() -> Vec<Disk> {
    let named = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let disks = named.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let is_memory = ["ram", "zram", "loop"].iter().any(|kind| name.starts_with(kind));
        let number = std::fs::read_to_string(entry.path().join("dev")).ok()?.trim().to_owned();
        // The kernel has `!` where the name in /dev has a slash.
        (!is_memory).then(|| Disk { node: format!("/dev/{}", name.replace('!', "/")), number })
    });
    disks.collect()
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disk {
    /// Its device node.
    pub(super) node: String,
    /// Its numbers, as in files of the kernel.
    pub(super) number: String,
}

/// The limits that the control group really has.
fn read_back(dir: &Path, limits: &Limits) -> io::Result<BTreeSet<Limit>> {
    let number = |name: &str| read(dir, name).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let mut holds = BTreeSet::new();
    if let Some(memory) = limits.memory {
        let swap = match read(dir, "memory.swap.max") {
            Ok(text) => text.trim() == "0",
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if swap && number("memory.max").is_some_and(|max| max <= memory.0) {
            holds.insert(Limit::Memory);
        }
    }
    if let Some(processes) = limits.processes
        && number("pids.max").is_some_and(|max| max <= processes_with_init(processes))
    {
        holds.insert(Limit::Processes);
    }
    if let Some(share) = limits.cpu {
        let text = read(dir, "cpu.max").unwrap_or_default();
        let parts: Vec<u128> = text.split_whitespace().filter_map(|part| part.parse().ok()).collect();
        if let [quota, period] = parts.as_slice()
            && *quota * 1_000_000 <= u128::from(cpu_microseconds(share)) * *period
        {
            holds.insert(Limit::Cpu);
        }
    }
    if let Some(rate) = limits.io {
        let text = read(dir, "io.max").unwrap_or_default();
        let bound = |line: &str, key: &str| {
            let value = line.split(' ').find_map(|part| part.strip_prefix(key))?;
            Some(value.parse::<u64>().ok()? <= rate.0.0)
        };
        let is_held = |disk: &Disk| {
            let line = text.lines().find(|line| line.split(' ').next() == Some(&disk.number));
            line.is_some_and(|line| bound(line, "rbps=") == Some(true) && bound(line, "wbps=") == Some(true))
        };
        let disks = disks();
        if !disks.is_empty() && disks.iter().all(is_held) {
            holds.insert(Limit::Io);
        }
    }
    // It may be gone already, with everything in it.
    std::fs::metadata(dir).map(|_| holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
25 22 0:21 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
26 25 0:22 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
27 25 0:23 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
";

    #[test]
    fn the_second_version_is_found_beside_the_first_and_below_another_root() {
        let hybrid = Hierarchy::from_mounts(HYBRID).unwrap();
        assert_eq!(hybrid.directory("/a/b"), Some(PathBuf::from("/sys/fs/cgroup/unified/a/b")));
        assert_eq!(hybrid.directory("/"), Some(PathBuf::from("/sys/fs/cgroup/unified/")));
        let inner = Hierarchy::from_mounts("1 2 0:3 /docker/x /sys/fs/cgroup rw - cgroup2 c rw\n").unwrap();
        assert_eq!(inner.directory("/docker/x/y"), Some(PathBuf::from("/sys/fs/cgroup/y")));
        assert_eq!(inner.directory("/elsewhere"), None);
        assert_eq!(inner.directory("/docker/x/../y"), None);
        assert_eq!(Hierarchy::from_mounts("27 25 0:23 / /c rw - cgroup cgroup rw,memory\n"), None);
    }

    #[test]
    fn a_group_without_one_of_the_controllers_holds_the_others() {
        let dir = std::env::temp_dir().join(format!("pinfold-group-{}", process::random_name()));
        std::fs::create_dir(&dir).unwrap();
        for name in ["memory.max", "memory.swap.max"] {
            std::fs::write(dir.join(name), "").unwrap();
        }
        let memory = Some(crate::vocab::limits::Bytes(1 << 20));
        let limits = Limits { memory, cpu: Some(Percent(50)), ..Limits::default() };
        assert!(set(&dir, &limits).is_err());
        let offered = limits.only(&BTreeSet::from([Limit::Memory]));
        assert_eq!(offered, Limits { memory, ..Limits::default() });
        set(&dir, &offered).unwrap();
        assert_eq!(read_back(&dir, &limits).unwrap(), BTreeSet::from([Limit::Memory]));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_limit_counts_only_where_it_is_found() {
        let dir = std::env::temp_dir().join(format!("pinfold-group-{}", process::random_name()));
        std::fs::create_dir(&dir).unwrap();
        let limits = Limits {
            memory: Some(crate::vocab::limits::Bytes(1 << 20)),
            processes: Some(9),
            cpu: Some(Percent(50)),
            ..Limits::default()
        };
        let with = |files: &[(&str, &str)]| {
            for (name, text) in files {
                std::fs::write(dir.join(name), text).unwrap();
            }
            read_back(&dir, &limits).unwrap().into_iter().collect::<Vec<_>>()
        };
        assert_eq!(with(&[]), []);
        assert_eq!(with(&[("memory.max", "max\n"), ("pids.max", "max\n"), ("cpu.max", "max 100000\n")]), []);
        assert_eq!(with(&[("memory.max", "1048576\n"), ("memory.swap.max", "max\n")]), []);
        assert_eq!(with(&[("memory.swap.max", "0\n")]), [Limit::Memory]);
        assert_eq!(with(&[("pids.max", "11\n"), ("cpu.max", "50001 100000\n")]), [Limit::Memory]);
        let all = [Limit::Memory, Limit::Processes, Limit::Cpu];
        assert_eq!(with(&[("pids.max", "10\n"), ("cpu.max", "50000 100000\n")]), all);
        assert_eq!(count(&dir, "memory.events", "oom_kill"), 0);
        std::fs::write(dir.join("memory.events"), "low 0\noom 3\noom_kill 2\noom_group_kill 0\n").unwrap();
        assert_eq!(count(&dir, "memory.events", "oom_kill"), 2);
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(read_back(&dir, &limits).is_err());
    }
}

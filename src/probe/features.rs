//! Each kernel feature that pinfold builds on, really tried, and what a refusal means on this machine.
//!
//! [`try_all`] tries; [`explain`] turns a refusal and the machine's [`Settings`] into a reason and the exact commands that
//! help. The second is a pure function: what an Ubuntu, a container or a hardened kernel answers is tested without one.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use self::Need::{Optional, Required};
use crate::sys::trial::{self, Namespace, Refusal, Step, Trial};
use crate::vocab::host::SANDBOX_NAME;

/// A feature and how it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Feature {
    /// Its name, stable.
    pub name: &'static str,
    /// What pinfold does with it.
    pub what_for: &'static str,
    /// How much depends on it.
    pub need: Need,
    /// How it was found.
    #[serde(flatten)]
    pub state: State,
}

/// How much depends on a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Nothing runs without it.
    Required,
    /// Something is better with it; nothing of this version depends on it.
    Optional,
}

/// How a feature was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum State {
    /// It was used and did what it should.
    Works {
        /// A version or a number worth knowing.
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// It was refused.
    Missing {
        /// What refuses it, as far as the settings of this machine show.
        why: String,
        /// What helps: commands or words, one a line, the best first.
        remedy: Vec<String>,
    },
}

impl Feature {
    /// Whether pinfold cannot run for the lack of it.
    pub fn blocks(&self) -> bool {
        self.need == Required && matches!(self.state, State::Missing { .. })
    }
}

/// The settings of a machine that decide on refusals. Values are the trimmed contents of the files; absent files are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// By the name that sysctl(8) knows: `user.max_user_namespaces`.
    pub sysctl: BTreeMap<&'static str, String>,
    /// The container that this runs in.
    pub container: Option<Container>,
    /// Places below /proc that something is mounted on.
    pub proc_covered_by: Vec<String>,
    /// Whether this process is already under a seccomp filter.
    pub filtered: bool,
    /// Whether this process is inside a sandbox of pinfold's.
    pub nested: bool,
    /// The confinement by AppArmor or SELinux, unless it is none.
    pub label: Option<String>,
    /// The file of this program, as the host sees it.
    pub program: String,
    /// Running as root.
    pub root: bool,
}

/// What a container was made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// Docker, or what leaves its mark.
    Docker,
    /// Podman.
    Podman,
    /// Something else that says it is one.
    Other,
}

const SYSCTLS: &[&str] = &[
    "kernel.unprivileged_userns_clone",
    "kernel.apparmor_restrict_unprivileged_userns",
    "kernel.yama.ptrace_scope",
    "user.max_user_namespaces",
    "user.max_mnt_namespaces",
    "user.max_pid_namespaces",
    "user.max_net_namespaces",
    "user.max_ipc_namespaces",
    "user.max_uts_namespaces",
    "user.max_cgroup_namespaces",
    "dev.tty.legacy_tiocsti",
];

impl Settings {
    /// Of this machine.
    pub fn read() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let sysctl = SYSCTLS
            .iter()
            .filter_map(|&name| Some((name, text(&format!("/proc/sys/{}", name.replace('.', "/")))?)))
            .collect();
        let label = text("/proc/self/attr/current")
            .map(|label| label.trim_end_matches('\0').to_owned())
            .filter(|label| !label.is_empty() && !label.starts_with("unconfined") && !label.contains("unconfined_t"));
        let program = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
        Self {
            sysctl,
            container: container(),
            proc_covered_by: covers(&text("/proc/self/mountinfo").unwrap_or_default()),
            filtered: is_filtered(),
            nested: is_nested(),
            label,
            program,
            root: nix::unistd::geteuid().is_root(),
        }
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.sysctl.get(name).is_some_and(|found| found == value)
    }
}

fn container() -> Option<Container> {
    let variable = std::env::var("container").unwrap_or_default();
    if Path::new("/run/.containerenv").exists() || variable == "podman" {
        Some(Container::Podman)
    } else if Path::new("/.dockerenv").exists() || variable == "docker" {
        Some(Container::Docker)
    } else if !variable.is_empty() || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        Some(Container::Other)
    } else {
        None
    }
}

/// Mount points below /proc in the text of a mountinfo. binfmt_misc is a file system of its own and covers nothing.
fn covers(mountinfo: &str) -> Vec<String> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    let mut found: Vec<String> = points
        .filter(|point| point.starts_with("/proc/") && !point.starts_with("/proc/sys/fs/binfmt_misc"))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// One row of the table of features.
struct Row {
    name: &'static str,
    what_for: &'static str,
    need: Need,
    trial: Trial,
}

const fn row(name: &'static str, what_for: &'static str, need: Need, trial: Trial) -> Row {
    Row { name, what_for, need, trial }
}

const ROWS: &[Row] = &[
    row("user namespace", "a sandbox without privileges, with mounts of its own", Required, Trial::UserNamespace),
    row("pid namespace", "no process outside can be seen or signalled", Required, Trial::Namespace(Namespace::Pid)),
    row("network namespace", "no network but what is granted", Required, Trial::Namespace(Namespace::Net)),
    row("ipc namespace", "no shared memory with programs outside", Required, Trial::Namespace(Namespace::Ipc)),
    row("uts namespace", "a host name of its own", Required, Trial::Namespace(Namespace::Uts)),
    row("cgroup namespace", "no view of the host's control groups", Required, Trial::Namespace(Namespace::Cgroup)),
    row("new proc", "a /proc that shows the sandbox alone", Required, Trial::Proc),
    row("mount API", "mounts from descriptors, read-only to the last submount", Required, Trial::MountApi),
    row("tracing", "learning: a filter that stops a call, and a tracer that looks at it", Required, Trial::Trace),
    row("reading memory", "learning: paths as the program passed them", Required, Trial::ReadMemory),
    row("notification", "enforcing: refused calls are named", Required, Trial::Notify),
    row(
        "killable notification",
        "a signal does not restart a call that is being looked at",
        Optional,
        Trial::NotifyKillable,
    ),
    row("pidfd", "signals that cannot reach a recycled process id", Required, Trial::Pidfd),
    row("session keyring", "no access to the keys of the login", Required, Trial::Keyring),
    row("Landlock", "a second wall behind the mounts; a profile may do without it by name", Required, Trial::Landlock),
    row(
        "FUSE",
        "enforcing: files that are refused are named, and files in the home directory replaced in place",
        Optional,
        Trial::Fuse,
    ),
];

/// Tries everything. A few dozen milliseconds.
pub fn try_all() -> Vec<Feature> {
    let settings = Settings::read();
    let mut features: Vec<Feature> = ROWS.iter().map(|row| try_row(row, &settings)).collect();
    features.push(cgroup());
    features
}

/// The first feature that pinfold cannot run without and that is missing here: for the moment when a sandbox did not start.
pub fn first_missing() -> Option<Feature> {
    let settings = Settings::read();
    ROWS.iter().filter(|row| row.need == Required).map(|row| try_row(row, &settings)).find(Feature::blocks)
}

/// Why no sandbox can be made of namespaces here; `None` where one can.
pub fn why_no_namespaces() -> Option<String> {
    let settings = Settings::read();
    let of_namespaces =
        |row: &&Row| matches!(row.trial, Trial::UserNamespace | Trial::Namespace(_) | Trial::Proc | Trial::MountApi);
    ROWS.iter().filter(of_namespaces).find_map(|row| match try_row(row, &settings).state {
        State::Missing { why, .. } => Some(why),
        State::Works { .. } => None,
    })
}

fn try_row(row: &Row, settings: &Settings) -> Feature {
    let state = match trial::attempt(row.trial) {
        Ok(()) => State::Works { detail: detail(row.trial, settings) },
        Err(refusal) => explain(row.trial, refusal, settings),
    };
    Feature { name: row.name, what_for: row.what_for, need: row.need, state }
}

fn detail(trial: Trial, settings: &Settings) -> Option<String> {
    match trial {
        Trial::Landlock => crate::sys::landlock::abi().ok().map(|abi| format!("ABI {abi}")),
        Trial::Trace => settings.sysctl.get("kernel.yama.ptrace_scope").map(|scope| format!("Yama scope {scope}")),
        _ => None,
    }
}

/// Limits by control group need a delegated one. Nothing is made: whether it could be is read from permissions.
fn cgroup() -> Feature {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let state = match own.lines().find_map(|line| line.strip_prefix("0::")) {
        Some(path) => {
            let control = format!("/sys/fs/cgroup{}/cgroup.subtree_control", path.trim_end_matches('/'));
            match nix::unistd::access(control.as_str(), nix::unistd::AccessFlags::W_OK) {
                Ok(()) => State::Works { detail: Some(format!("delegated: {path}")) },
                Err(_) => State::Missing {
                    why: format!("the control group `{path}` of this session is not delegated to this user"),
                    remedy: vec!["systemd-run --user --scope -p Delegate=yes COMMAND".to_owned()],
                },
            }
        }
        None => State::Missing {
            why: "this session is in no control group of version 2".to_owned(),
            remedy: vec!["boot with systemd.unified_cgroup_hierarchy=1".to_owned()],
        },
    };
    Feature {
        name: "control group",
        what_for: "limits of memory, processes and processors, where no systemd makes one",
        need: Optional,
        state,
    }
}

fn is_filtered() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| status.contains("\nSeccomp:\t2"))
}

/// Whether there is a FUSE device for this user. That it can be mounted shows when it is.
pub fn has_fuse() -> bool {
    use nix::unistd::AccessFlags;
    nix::unistd::access("/dev/fuse", AccessFlags::R_OK | AccessFlags::W_OK).is_ok()
}

/// The newest ABI of Landlock; `None` where the kernel has none.
pub fn landlock_abi() -> Option<u32> {
    crate::sys::landlock::abi().ok()
}

/// Whether this process is inside a sandbox of pinfold's, where no other can be started.
pub fn is_nested() -> bool {
    nix::unistd::gethostname().is_ok_and(|name| name == SANDBOX_NAME) && is_filtered()
}

/// What a refusal means, and what helps.
pub fn explain(trial: Trial, refusal: Refusal, settings: &Settings) -> State {
    if settings.nested {
        return State::Missing {
            why: "this is already inside a sandbox of pinfold, and one within another is not supported".to_owned(),
            remedy: vec!["start this pinfold outside of it".to_owned()],
        };
    }
    let (why, remedy) = match refusal.step {
        Step::Unshare | Step::Map => user_namespace(refusal, settings),
        Step::Further => further_namespace(trial, refusal, settings),
        Step::Mount | Step::Use if trial == Trial::Proc => proc(refusal, settings),
        Step::Mount => mounting(refusal, settings),
        Step::Use if trial == Trial::MountApi => mounting(refusal, settings),
        Step::Use if trial == Trial::Fuse => fuse(refusal, settings),
        Step::Attach | Step::Filter | Step::Use => tracing(trial, refusal, settings),
        Step::Prepare | Step::Wrong => (format!("the attempt itself failed ({})", name(refusal.errno)), Vec::new()),
    };
    State::Missing { why, remedy }
}

type Explanation = (String, Vec<String>);

fn name(errno: i32) -> String {
    match errno {
        0 => "it did not do what the kernel promises".to_owned(),
        errno => format!("{}", nix::errno::Errno::from_raw(errno)),
    }
}

fn set(name: &str, value: &str) -> Vec<String> {
    vec![
        format!("sudo sysctl -w {name}={value}"),
        format!("to keep it: echo {name}={value} | sudo tee /etc/sysctl.d/60-pinfold.conf"),
    ]
}

/// The flags of a container that lacks nothing, as one line to copy.
fn container_flags(settings: &Settings) -> Vec<String> {
    let label = settings.label.as_deref().unwrap_or_default();
    let docker_label = if label.starts_with("docker-") { " --security-opt apparmor=unconfined" } else { "" };
    let podman_label = if label.contains("container_t") { " --security-opt label=disable" } else { "" };
    let docker =
        format!("docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined{docker_label} ...");
    let podman = format!("podman run --security-opt seccomp=unconfined --security-opt unmask=ALL{podman_label} ...");
    match settings.container {
        Some(Container::Docker) => vec![docker],
        Some(Container::Podman) => vec![podman],
        Some(Container::Other) | None => vec![docker, podman],
    }
}

fn user_namespace(refusal: Refusal, settings: &Settings) -> Explanation {
    let errno = refusal.errno;
    for limit in ["user.max_user_namespaces", "user.max_mnt_namespaces"] {
        if errno == libc::ENOSPC && settings.is(limit, "0") {
            return (format!("{limit} is 0: nobody may make one"), set(limit, "15000"));
        }
    }
    if errno == libc::ENOSPC || errno == libc::EUSERS {
        return ("the limit on user namespaces is reached, or they are nested too deeply".to_owned(), Vec::new());
    }
    if errno == libc::EINVAL || errno == libc::ENOSYS {
        return (
            "this kernel was built without user namespaces".to_owned(),
            vec!["a kernel with CONFIG_USER_NS".to_owned()],
        );
    }
    if !settings.root && settings.is("kernel.unprivileged_userns_clone", "0") {
        let name = "kernel.unprivileged_userns_clone";
        return (format!("{name} is 0: only root may make one"), set(name, "1"));
    }
    if settings.is("kernel.apparmor_restrict_unprivileged_userns", "1") && settings.container.is_none() {
        return apparmor(settings);
    }
    if settings.container.is_some() || settings.filtered {
        return (
            "the system call filter of this container refuses user namespaces".to_owned(),
            container_flags(settings),
        );
    }
    let label = settings.label.as_ref().map(|label| format!(", or the label `{label}`")).unwrap_or_default();
    (
        format!("user namespaces are refused ({}): by a chroot{label}, or a security module", name(errno)),
        vec!["start pinfold outside the chroot or confinement".to_owned()],
    )
}

/// Ubuntu's restriction lets unshare(2) succeed and then refuses whatever needs a capability inside.
fn apparmor(settings: &Settings) -> Explanation {
    let setting = "kernel.apparmor_restrict_unprivileged_userns";
    let profile = format!(
        "printf 'abi <abi/4.0>,\\nprofile pinfold \"{}\" flags=(unconfined) {{ userns, }}\\n' | sudo tee /etc/apparmor.d/pinfold",
        settings.program
    );
    let mut remedy = vec![
        format!("for pinfold alone: {profile} && sudo apparmor_parser -r /etc/apparmor.d/pinfold"),
        format!("for every program: sudo sysctl -w {setting}=0"),
    ];
    if settings.program.contains('"') {
        remedy.remove(0);
    }
    (format!("{setting} is 1: AppArmor takes the rights of a new user namespace away"), remedy)
}

fn further_namespace(trial: Trial, refusal: Refusal, settings: &Settings) -> Explanation {
    let limit = match trial {
        Trial::Namespace(Namespace::Net) => "user.max_net_namespaces",
        Trial::Namespace(Namespace::Ipc) => "user.max_ipc_namespaces",
        Trial::Namespace(Namespace::Uts) => "user.max_uts_namespaces",
        Trial::Namespace(Namespace::Cgroup) => "user.max_cgroup_namespaces",
        _ => "user.max_pid_namespaces",
    };
    match refusal.errno {
        libc::ENOSPC if settings.is(limit, "0") => (format!("{limit} is 0: nobody may make one"), set(limit, "15000")),
        libc::EINVAL => ("this kernel was built without it".to_owned(), Vec::new()),
        _ => mounting(refusal, settings),
    }
}

fn mounting(refusal: Refusal, settings: &Settings) -> Explanation {
    if refusal.errno == libc::ENOSYS {
        return ("this kernel is older than 5.12".to_owned(), vec!["Linux 5.12 or newer".to_owned()]);
    }
    if settings.is("kernel.apparmor_restrict_unprivileged_userns", "1") && settings.container.is_none() {
        return apparmor(settings);
    }
    if settings.container.is_some() || settings.filtered {
        return ("this container refuses mounts in a user namespace of its own".to_owned(), container_flags(settings));
    }
    (format!("a new user namespace may not mount ({})", name(refusal.errno)), Vec::new())
}

/// Its device must be there, everybody's, and the kernel's module with it.
fn fuse(refusal: Refusal, settings: &Settings) -> Explanation {
    match refusal.errno {
        libc::ENOENT | libc::EACCES if settings.container.is_some() => (
            "this container has no /dev/fuse that may be opened".to_owned(),
            vec!["docker run --device /dev/fuse ...".to_owned()],
        ),
        libc::ENOENT | libc::ENODEV | libc::ENXIO => {
            ("this kernel has no FUSE, or its module is not loaded".to_owned(), vec!["sudo modprobe fuse".to_owned()])
        }
        libc::EACCES => {
            ("/dev/fuse may not be opened by this user".to_owned(), vec!["sudo chmod 666 /dev/fuse".to_owned()])
        }
        libc::EPERM if settings.container.is_some() => (
            "this container lets no /dev/fuse be used".to_owned(),
            vec!["docker run --device /dev/fuse ...".to_owned()],
        ),
        _ => mounting(refusal, settings),
    }
}

/// mount_namespaces(7): a new proc is refused while something covers a part of every proc that is visible.
fn proc(refusal: Refusal, settings: &Settings) -> Explanation {
    match settings.proc_covered_by.split_first() {
        Some((first, rest)) if refusal.errno == libc::EPERM => {
            let more = if rest.is_empty() { String::new() } else { format!(" and {} more places", rest.len()) };
            (
                format!("something is mounted on {first}{more}: the kernel then allows no new /proc"),
                match settings.container {
                    None => {
                        let mut remedy = vec![format!("sudo umount {first}")];
                        remedy.extend(
                            container_flags(settings).into_iter().map(|flags| format!("in a container: {flags}")),
                        );
                        remedy
                    }
                    Some(_) => container_flags(settings),
                },
            )
        }
        _ => mounting(refusal, settings),
    }
}

fn tracing(trial: Trial, refusal: Refusal, settings: &Settings) -> Explanation {
    let errno = refusal.errno;
    let scope = "kernel.yama.ptrace_scope";
    if matches!(trial, Trial::Trace | Trial::ReadMemory) && errno == libc::EPERM {
        if settings.is(scope, "3") {
            return (
                format!("{scope} is 3: nobody may trace, until the next boot"),
                vec![format!("remove {scope}=3 from /etc/sysctl.d and start the machine anew")],
            );
        }
        if settings.is(scope, "2") {
            return (format!("{scope} is 2: only an administrator may trace"), set(scope, "1"));
        }
    }
    if trial == Trial::Notify && errno == libc::EBUSY {
        return (
            "a program that this one was started by already listens to system calls".to_owned(),
            vec!["start pinfold outside the other sandbox".to_owned()],
        );
    }
    if trial == Trial::NotifyKillable && errno == libc::EINVAL {
        return ("this kernel is older than 5.19".to_owned(), Vec::new());
    }
    if trial == Trial::Landlock && matches!(errno, libc::ENOSYS | libc::EOPNOTSUPP) {
        return (
            "Landlock is not built in, or not switched on at boot".to_owned(),
            vec!["boot with lsm=landlock,... in front of the list of /sys/kernel/security/lsm".to_owned()],
        );
    }
    if settings.container.is_some() || settings.filtered {
        return (
            format!("the system call filter of this container refuses it ({})", name(errno)),
            container_flags(settings),
        );
    }
    (format!("this kernel refuses it ({})", name(errno)), Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ubuntu() -> Settings {
        Settings {
            sysctl: BTreeMap::from([("kernel.apparmor_restrict_unprivileged_userns", "1".to_owned())]),
            program: "/usr/bin/pinfold".to_owned(),
            ..Settings::default()
        }
    }

    fn explained(trial: Trial, step: Step, errno: i32, settings: &Settings) -> (String, String) {
        match explain(trial, Refusal { step, errno }, settings) {
            State::Missing { why, remedy } => (why, remedy.join("\n")),
            State::Works { .. } => panic!("a refusal was explained as success"),
        }
    }

    #[test]
    fn each_setting_that_forbids_user_namespaces_is_named_with_the_command_that_allows_them() {
        for (setting, value, errno) in [
            ("kernel.unprivileged_userns_clone", "0", libc::EPERM),
            ("user.max_user_namespaces", "0", libc::ENOSPC),
            ("kernel.apparmor_restrict_unprivileged_userns", "1", libc::EPERM),
        ] {
            let settings = Settings { sysctl: BTreeMap::from([(setting, value.to_owned())]), ..Settings::default() };
            let (why, remedy) = explained(Trial::UserNamespace, Step::Unshare, errno, &settings);
            assert!(why.contains(setting), "{why}");
            assert!(remedy.contains(&format!("sudo sysctl -w {setting}=")), "{remedy}");
        }
    }

    #[test]
    fn apparmor_that_lets_unshare_succeed_and_refuses_the_mount_is_recognised() {
        for step in [Step::Map, Step::Mount, Step::Further] {
            let (why, remedy) = explained(Trial::UserNamespace, step, libc::EPERM, &ubuntu());
            assert!(why.contains("AppArmor"), "{step:?}: {why}");
            assert!(remedy.contains("/etc/apparmor.d/pinfold") && remedy.contains("\"/usr/bin/pinfold\""), "{remedy}");
        }
    }

    #[test]
    fn a_container_with_a_covered_proc_gets_the_flags_of_its_own_engine() {
        let covered = Settings {
            proc_covered_by: vec!["/proc/acpi".to_owned(), "/proc/kcore".to_owned()],
            ..Settings::default()
        };
        let docker = Settings { container: Some(Container::Docker), ..covered.clone() };
        let podman = Settings { container: Some(Container::Podman), ..covered.clone() };
        let (why, remedy) = explained(Trial::Proc, Step::Mount, libc::EPERM, &docker);
        assert!(why.contains("/proc/acpi and 1 more"), "{why}");
        assert!(
            remedy.starts_with("docker run") && remedy.contains("--security-opt systempaths=unconfined"),
            "{remedy}"
        );
        let (_, remedy) = explained(Trial::Proc, Step::Mount, libc::EPERM, &podman);
        assert!(remedy.starts_with("podman run") && remedy.contains("--security-opt unmask=ALL"), "{remedy}");
        let (_, remedy) = explained(Trial::Proc, Step::Mount, libc::EPERM, &covered);
        assert!(remedy.contains("umount /proc/acpi") && remedy.contains("docker run"), "{remedy}");
    }

    #[test]
    fn a_container_that_filters_unshare_gets_flags_and_its_label_is_lifted_too() {
        let settings = Settings {
            container: Some(Container::Docker),
            filtered: true,
            label: Some("docker-default (enforce)".to_owned()),
            ..Settings::default()
        };
        let (_, remedy) = explained(Trial::UserNamespace, Step::Unshare, libc::EPERM, &settings);
        assert!(remedy.contains("seccomp=unconfined") && remedy.contains("apparmor=unconfined"), "{remedy}");
    }

    #[test]
    fn yama_scopes_that_forbid_tracing_are_told_apart() {
        let at = |scope: &str| {
            let settings = Settings {
                sysctl: BTreeMap::from([("kernel.yama.ptrace_scope", scope.to_owned())]),
                ..Settings::default()
            };
            explained(Trial::Trace, Step::Attach, libc::EPERM, &settings)
        };
        assert!(at("2").1.contains("sudo sysctl -w kernel.yama.ptrace_scope=1"));
        assert!(at("3").0.contains("until the next boot"));
    }

    #[test]
    fn a_listener_above_us_is_not_mistaken_for_an_old_kernel() {
        let (why, _) = explained(Trial::Notify, Step::Filter, libc::EBUSY, &Settings::default());
        assert!(why.contains("already listens"), "{why}");
    }

    #[test]
    fn covers_of_proc_are_found_and_binfmt_misc_is_none() {
        let mountinfo = "22 27 0:21 / /proc rw - proc proc rw\n30 22 0:5 / /proc/kcore ro - tmpfs tmpfs ro\n\
                         31 22 0:6 / /proc/sys/fs/binfmt_misc rw - autofs x rw\n32 1 0:7 / /process rw - tmpfs t rw";
        assert_eq!(covers(mountinfo), ["/proc/kcore"]);
    }

    #[test]
    fn a_feature_blocks_only_when_it_is_required_and_missing() {
        let missing = State::Missing { why: String::new(), remedy: Vec::new() };
        let feature = |need, state| Feature { name: "x", what_for: "y", need, state };
        assert!(feature(Required, missing.clone()).blocks());
        assert!(!feature(Optional, missing).blocks());
        assert!(!feature(Required, State::Works { detail: None }).blocks());
    }

    #[test]
    fn trying_everything_leaves_no_child_and_no_namespace_behind() {
        let namespaces =
            || ["user", "mnt", "pid", "net"].map(|name| std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap());
        let before = namespaces();
        let features = try_all();
        assert_eq!(namespaces(), before);
        assert_eq!(features.len(), ROWS.len() + 1);
    }
}

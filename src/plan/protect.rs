//! Names that the host executes, as rules on paths: which ones nobody inside may make.
//!
//! The names are those of the table of sensitive places. At a place of its own (`~/.bashrc`) a name counts there; one that
//! counts in any project does so at any depth of the project, but not in what package managers unpack, where nobody opens
//! an editor; git's own names count at any depth of anything that can be written, whatever the table says of projects, for
//! git finds its repositories anywhere.
//!
//! Names are compared as the most forgiving file system would: by ASCII and Unicode letters that fold to them, without
//! characters that such a file system ignores.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::Profile;
use crate::vocab::access::Access;
use crate::vocab::location::{Base, Location, Roots};
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity::{Place, Row, Sensitivity, sensitive, table};
use crate::vocab::syscall::Syscall;

use super::{Action, Condition, Desk, FilterSpec, Network, Plan, Rule, Test, Width};

/// How names that the host executes are kept from being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protection {
    /// Those that exist are mounted read-only; new ones are looked for at the end.
    Scan,
    /// As well, every call that makes a name is carried out by the supervisor, by these rules.
    Strict(Rules),
}

/// A directory outside of the project that a profile grants to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Further {
    /// Where.
    pub place: AbsPath,
    /// What is done there.
    pub kind: Use,
}

/// What a directory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Somebody works in it, as in the project: names that count in any project count there.
    Project,
    /// Programs keep their own there (caches, settings): it may itself be a repository, and nobody works deep within.
    State,
}

/// The directories outside of the project that `profile` grants to be written.
pub fn further(profile: &Profile, roots: &Roots) -> Vec<Further> {
    let granted = profile.filesystem.iter().filter(|(_, grant)| grant.approved && grant.access == Access::Write);
    let places: BTreeSet<AbsPath> = granted.filter_map(|(location, _)| roots.resolve(location)).collect();
    let private = super::private_tmp(roots);
    let outside = places.into_iter().filter(|place| {
        let inside = |top: &AbsPath| place.is_beneath(top);
        !roots.get(Base::Project).iter().any(inside) && !private.contains(place)
    });
    let further = outside.map(|place| {
        let kind = match roots.locate(&place) {
            Location::Path { base: Base::Root | Base::Project, .. } => Use::Project,
            Location::Path { base: Base::Home, rest } if !rest.starts_with(b".") => Use::Project,
            Location::Path { .. } | Location::Bundle(_) => Use::State,
        };
        Further { place, kind }
    });
    further.collect()
}

/// Whether writing to what may only be read is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedWrites {
    /// The program alone is answered.
    Untold,
    /// It is named at the end: the supervisor looks at every call that writes, makes, changes or removes a name.
    Told,
}

/// The rules of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    roots: Roots,
    /// Places of the host that can be written: elsewhere nothing stays.
    writable: Vec<AbsPath>,
    /// Places that a person allowed by name, folded.
    granted: BTreeSet<Vec<u8>>,
    /// Names at a place of their own, folded.
    fixed: BTreeMap<Vec<u8>, &'static str>,
    /// Names at any depth below a place, by their first component, folded.
    anywhere: BTreeMap<Vec<u8>, Vec<Anywhere>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Anywhere {
    /// Components, folded.
    parts: Vec<Vec<u8>>,
    why: &'static str,
    scope: Scope,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    /// In whatever can be written.
    Everywhere,
    /// Below this place, folded, but not in what package managers unpack.
    Below(Vec<u8>),
    /// In this place itself, folded.
    In(Vec<u8>),
}

/// A name that is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protected {
    /// Why, in words.
    pub why: &'static str,
    /// Whether it is the name itself, not something beneath it.
    pub itself: bool,
}

/// Why a symlink that [leads to protected names](Rules::leads_to_protected) matters.
pub const LEADS_THERE: &str = "a symlink of this name would lead your machine to what it runs or obeys";

/// Directories that package managers fill: nobody works in them.
const UNPACKED: [&[u8]; 6] = [b"node_modules", b".venv", b"venv", b"site-packages", b"target", b"vendor"];

/// Of git's names those that are judged by what they hold, and the ones of which nothing is executed.
const ELSEWHERE: [&str; 3] = [".git/hooks", ".git/config", ".git/config.worktree"];
const HARMLESS: [&str; 2] = [".git/modules", ".gitmodules"];

impl Rules {
    /// The rules of a run in which `writable` can be written, `granted` names are allowed, `named` ones are not, and
    /// `projects` are directories that somebody works in beside the project.
    pub fn new(
        roots: &Roots,
        writable: Vec<AbsPath>,
        granted: &BTreeSet<AbsPath>,
        named: &[AbsPath],
        projects: &[AbsPath],
    ) -> Self {
        let mut rules = Self {
            roots: roots.clone(),
            writable,
            granted: granted.iter().map(|path| fold(path.as_bytes())).collect(),
            fixed: BTreeMap::new(),
            anywhere: BTreeMap::new(),
        };
        for row in table().iter().filter(|row| row.sensitivity == Sensitivity::HostExecutes) {
            rules.add(row, roots, projects);
        }
        for path in named {
            let row = sensitive(path, roots, Access::Write).filter(|row| row.sensitivity == Sensitivity::HostExecutes);
            rules
                .fixed
                .insert(fold(path.as_bytes()), row.map_or("sandboxes are made from this profile", |row| row.why));
        }
        rules
    }

    /// The rules of the table alone: for judging what is there already.
    pub fn of_the_table(roots: &Roots) -> Self {
        Self::new(roots, Vec::new(), &BTreeSet::new(), &[], &[])
    }

    fn add(&mut self, row: &'static Row, roots: &Roots, projects: &[AbsPath]) {
        match row.place {
            Place::At(base, rest) => {
                let top = if base == Base::Root { Some(AbsPath::root()) } else { roots.get(base) };
                if let Some(path) = top.and_then(|top| top.join(rest).ok()) {
                    self.fixed.insert(fold(path.as_bytes()), row.why);
                }
            }
            Place::Anywhere(_, rest) if ELSEWHERE.contains(&rest) || HARMLESS.contains(&rest) => {}
            Place::Anywhere(base, rest) => {
                let projects = if base == Base::Project { projects } else { &[] };
                for top in roots.get(base).iter().chain(projects).map(|top| fold(top.as_bytes())) {
                    let scope = if rest.starts_with(".git/") {
                        Scope::Everywhere
                    } else if row.why.contains("build server") {
                        // It looks at the top of a repository alone.
                        Scope::In(top)
                    } else {
                        Scope::Below(top)
                    };
                    let parts: Vec<Vec<u8>> =
                        fold(rest.as_bytes()).split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
                    let first = parts.first().cloned().unwrap_or_default();
                    self.anywhere.entry(first).or_default().push(Anywhere { parts, why: row.why, scope });
                }
            }
        }
    }

    /// The place as a profile names it.
    pub fn locate(&self, path: &AbsPath) -> String {
        self.roots.locate(path).to_string()
    }

    /// Whether something made at `path` stays after the run.
    pub fn stays(&self, path: &[u8]) -> bool {
        self.writable.iter().any(|top| is_beneath(path, top.as_bytes()))
    }

    /// Whether a person allowed just this name, or one above it.
    pub fn is_granted(&self, path: &[u8]) -> bool {
        let folded = fold(path);
        prefixes(&folded).any(|prefix| self.granted.contains(prefix))
    }

    /// The rule that protects `path`, which is canonical.
    pub fn protects(&self, path: &[u8]) -> Option<Protected> {
        let folded = fold(path);
        let fixed = prefixes(&folded).find_map(|prefix| {
            let why = self.fixed.get(prefix)?;
            Some(Protected { why, itself: prefix.len() == folded.len() })
        });
        if fixed.is_some() {
            return fixed;
        }
        let all: Vec<&[u8]> = parts(&folded).collect();
        let unpacked = |before: &[&[u8]]| before.iter().any(|part| UNPACKED.contains(part));
        for (at, part) in all.iter().enumerate() {
            let Some(names) = self.anywhere.get(*part) else { continue };
            for name in names {
                let (before, from) = all.split_at(at);
                let matches = from.len() >= name.parts.len() && name.parts.iter().zip(from).all(|(a, b)| a == b);
                let above: usize = before.iter().map(|part| part.len() + 1).sum();
                let in_scope = match &name.scope {
                    Scope::Everywhere => true,
                    Scope::Below(top) => is_beneath(&folded, top) && above >= top.len() && !unpacked(before),
                    Scope::In(top) => is_beneath(&folded, top) && above == top.len(),
                };
                if matches && in_scope {
                    return Some(Protected { why: name.why, itself: from.len() == name.parts.len() });
                }
            }
        }
        None
    }

    /// Whether a protected name may lie beneath `path`: a symlink or a moved directory of this name would bring one about.
    pub fn leads_to_protected(&self, path: &[u8]) -> bool {
        let mut folded = fold(path);
        let all: Vec<Vec<u8>> = parts(&folded).map(<[u8]>::to_vec).collect();
        let begins = |name: &Anywhere| {
            (1..name.parts.len()).any(|count| name.parts.get(..count).is_some_and(|begin| all.ends_with(begin)))
        };
        let git = all.last().is_some_and(|last| last == b".git" || last == b"hooks" || last == b"modules");
        if git || self.anywhere.values().flatten().any(begins) {
            return true;
        }
        folded.push(b'/');
        self.fixed.range(folded.clone()..).next().is_some_and(|(name, _)| name.starts_with(&folded))
    }
}

fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty())
}

/// The path and everything above it, longest last.
fn prefixes(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    ends.chain([path.len()]).filter_map(|end| path.get(..end))
}

fn is_beneath(path: &[u8], top: &[u8]) -> bool {
    top == b"/" || path.strip_prefix(top).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

/// The name as a file system that ignores case, and characters that are not shown, may take it. What is not UTF-8 stays.
pub fn fold(name: &[u8]) -> Vec<u8> {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let mut out = Vec::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars().filter(|c| !is_ignored(*c)) {
            // Of the letters beyond ASCII these two alone fold into it; wide forms do under compatibility.
            let c = match c {
                '\u{17f}' => 's',
                '\u{212a}' => 'k',
                // But for the slash: it would make two names of one.
                '\u{ff01}'..='\u{ff5e}' if c != '\u{ff0f}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
                c => c,
            };
            let mut buffer = [0; 4];
            c.to_lowercase().for_each(|c| out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()));
        }
        out.extend_from_slice(chunk.invalid());
    }
    out
}

/// Default_Ignorable_Code_Point of Unicode: what a folding directory leaves out of its comparison.
fn is_ignored(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Calls that make names, or that say as what and where they are made.
const CALLS: [&str; 18] = [
    "creat",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "symlink",
    "symlinkat",
    "link",
    "linkat",
    "rename",
    "renameat",
    "renameat2",
    "bind",
    "umask",
    "chdir",
    "fchdir",
    "open",
    "openat",
];

/// Whether the supervisor makes this call in the caller's place where names are protected.
pub fn is_carried_out(call: &str) -> bool {
    CALLS.contains(&call)
}

/// Hands the calls that `spec` allows and that can make a name to the desk of paths. Of the opens these are the ones that
/// write; whatever removes a name, or changes what has one, stays as it is.
pub fn hand_over(spec: &mut FilterSpec, network: Network) {
    let desk = Action::Mediate(Desk::Paths);
    for call in CALLS.iter().filter_map(|name| Syscall::from_name(name)) {
        // Where there is a broker, sockets are its own matter.
        let of_the_broker = call.name() == "bind" && network == Network::Named;
        if of_the_broker || spec.calls.get(&call) != Some(&Action::Allow) {
            continue;
        }
        if !matches!(call.name(), "open" | "openat") {
            spec.calls.insert(call, desk);
        }
    }
    hand_over_opens(spec);
    // Before the list of a profile: of these, too, the supervisor would have to make names.
    if let Some(call) = Syscall::from_name("ioctl") {
        let rules = spec.rules.entry(call).or_default();
        for command in MAKE_NAMES {
            let condition = Condition {
                argument: 1,
                width: Width::Word,
                mask: u64::from(u32::MAX),
                value: command,
                test: Test::Equal,
            };
            rules.insert(0, Rule { conditions: vec![condition], action: Action::Report(EPERM) });
        }
    }
    // The supervisor does not know what a program has forbidden itself: it would open what the program may not.
    if let Some(call) = Syscall::from_name("landlock_create_ruleset")
        && spec.calls.get(&call) == Some(&Action::Allow)
    {
        spec.calls.insert(call, Action::Report(EOPNOTSUPP));
    }
}

/// Of the opens those that write or make: with O_WRONLY, O_RDWR or O_CREAT a name can come to be, or be written.
fn hand_over_opens(spec: &mut FilterSpec) {
    for (name, flags) in [("open", 1), ("openat", 2)] {
        let Some(call) = Syscall::from_name(name).filter(|call| spec.calls.get(call) == Some(&Action::Allow)) else {
            continue;
        };
        for bit in [1, 2, 0o100] {
            let condition = Condition { argument: flags, width: Width::Word, mask: bit, value: bit, test: Test::Equal };
            let action = Action::Mediate(Desk::Paths);
            spec.rules.entry(call).or_default().push(Rule { conditions: vec![condition], action });
        }
    }
}

const EPERM: i32 = 1;
const EOPNOTSUPP: i32 = 95;

/// Device commands of file systems that make a name, or bring a whole tree under one: BTRFS_IOC_SNAP_CREATE and SUBVOL_CREATE,
/// the second versions of both, BCH_IOCTL_SUBVOLUME_CREATE of bcachefs, OCFS2_IOC_REFLINK.
const MAKE_NAMES: [u64; 6] = [0x5000_9401, 0x5000_940e, 0x5000_9417, 0x5000_9418, 0x4020_bc10, 0x4018_6f04];

/// Calls that write, make, change or remove a name, of whatever path.
fn is_writing(call: Syscall) -> bool {
    use crate::vocab::syscall_table::{Want, row};
    let wants = |want: Want| !matches!(want, Want::Look | Want::Enter | Want::Execute | Want::Open(_));
    row(call).paths.iter().any(|argument| wants(argument.want))
}

impl Plan {
    /// Lets refused writes be told.
    pub fn tell_refused_writes(&mut self) {
        self.refused_writes = RefusedWrites::Told;
        let desk = Action::Mediate(Desk::Paths);
        let calls: Vec<Syscall> = Syscall::all()
            .filter(|call| is_writing(*call) && self.filter.calls.get(call) == Some(&Action::Allow))
            .collect();
        self.filter.calls.extend(calls.into_iter().map(|call| (call, desk)));
        if self.protection == Protection::Scan {
            hand_over_opens(&mut self.filter);
        }
    }

    /// Whether the supervisor walks through the root of the run itself.
    pub fn is_walked_through(&self) -> bool {
        self.protection != Protection::Scan || self.refused_writes == RefusedWrites::Told
    }
}

/// What git obeys of a repository, by the first component below it; what git never runs is not among it.
fn is_obeyed(below: &[u8]) -> bool {
    let first = below.split(|byte| *byte == b'/').next().unwrap_or_default();
    matches!(first, b"config" | b"config.worktree" | b"commondir" | b"info")
        || first == b"hooks" && !below.ends_with(b".sample")
}

/// `place` as it would be called in a `.git`, where it is something that git obeys in a directory above that `is_repository`
/// by its shape alone: git takes every directory for one that holds `objects` and `refs`.
pub fn as_in_git(place: &AbsPath, is_repository: impl Fn(&AbsPath) -> bool) -> Option<AbsPath> {
    if place.components().any(|part| part == b".git") {
        return None;
    }
    let above = place.ancestors().find(|dir| place.relative_to(dir).is_some_and(is_obeyed) && is_repository(dir))?;
    above.join(".git").ok()?.join(place.relative_to(&above)?).ok()
}

/// The two names by which git knows a repository.
pub const SHAPE: [&str; 2] = ["objects", "refs"];

/// Whether a name is judged by what it holds: then it is not mounted read-only, and git can still write it.
pub fn is_judged_by_contents(path: &AbsPath) -> bool {
    [".git/config", ".git/config.worktree", ".git/modules", ".gitmodules"]
        .iter()
        .any(|end| path.as_bytes().strip_suffix(end.as_bytes()).is_some_and(|before| before.last() == Some(&b'/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> AbsPath {
        AbsPath::new(text).unwrap()
    }

    fn rules() -> Rules {
        let roots = Roots(BTreeMap::from([(Base::Project, path("/h/p")), (Base::Home, path("/h"))]));
        Rules::new(
            &roots,
            vec![path("/h/p"), path("/h/.config")],
            &[path("/h/p/.envrc")].into(),
            &[path("/h/p/x.toml")],
            &[path("/srv/further")],
        )
    }

    #[test]
    fn names_are_protected_at_any_depth_and_in_any_disguise() {
        for name in [
            "/h/p/.vscode/tasks.json",
            "/srv/further/sub/.vscode/tasks.json",
            "/h/p/a/b/c/d/e/f/g/h/.vscode/tasks.json",
            "/h/p/.VSCode/Tasks.JSON",
            "/h/p/.v\u{17f}code/ta\u{17f}\u{212a}s.json",
            "/h/p/.vs\u{200d}code/tasks.json",
            "/h/p/.idea/deep/inside",
            "/h/p/a/.git/info/attributes",
            "/h/.config/fish/config.fish",
            "/h/p/x.toml",
            "/h/p/.github/workflows/ci.yml",
        ] {
            assert!(rules().protects(name.as_bytes()).is_some(), "{name}");
        }
        for name in [
            "/h/p/.vscode",
            "/h/p/.vscode/tasks.jsonx",
            "/h/p/vscode/tasks.json",
            "/h/p/node_modules/x/.vscode/tasks.json",
            "/h/p/clone/.github/workflows/ci.yml",
            "/h/p/.gitmodules",
            "/h/.config/other",
        ] {
            assert!(rules().protects(name.as_bytes()).is_none(), "{name}");
        }
    }

    #[test]
    fn what_may_hold_a_protected_name_is_known_by_its_beginning() {
        for name in ["/h/p/.vscode", "/h/p/a/.VSCODE", "/h/p/.git", "/h/p/sub/.cargo", "/h/.config", "/h/p/a/.github"] {
            assert!(rules().leads_to_protected(name.as_bytes()), "{name}");
        }
        assert!(!rules().leads_to_protected(b"/h/p/src"));
    }

    #[test]
    fn commands_of_file_systems_that_make_names_are_refused_whatever_a_profile_lists() {
        let decided = |strict: bool, command: u64| {
            let mut profile = super::super::mounts::tests::empty();
            let ioctl = Syscall::from_name("ioctl").unwrap();
            let listed = [0x5000_9401_u32, 0x5000_9403].map(crate::vocab::syscall_table::ioctl_word);
            profile.syscalls.arguments.insert(ioctl, listed.into());
            let mut spec = super::super::filter::filter(&profile).unwrap();
            if strict {
                hand_over(&mut spec, Network::None);
            }
            let is = |rule: &&Rule| rule.conditions.iter().all(|c| c.argument == 1 && c.value == command);
            spec.rules[&ioctl].iter().find(is).map_or(spec.calls[&ioctl], |rule| rule.action)
        };
        assert_eq!(decided(false, 0x5000_9401), Action::Allow, "the control");
        assert_eq!(decided(true, 0x5000_9401), Action::Report(EPERM));
        assert_eq!(decided(true, 0x5000_9403), Action::Allow, "one that makes no name");
    }

    #[test]
    fn what_git_obeys_is_known_in_a_repository_of_any_name() {
        let called = |place: &str| as_in_git(&path(place), |dir| *dir == path("/p/bare")).map(|path| path.to_string());
        assert_eq!(called("/p/bare/config").as_deref(), Some("/p/bare/.git/config"));
        assert_eq!(called("/p/bare/hooks/x").as_deref(), Some("/p/bare/.git/hooks/x"));
        for other in
            ["/p/config", "/p/bare/HEAD", "/p/bare/hooks/x.sample", "/p/bare/sub/config", "/p/bare/.git/config"]
        {
            assert_eq!(called(other), None, "{other}");
        }
    }

    #[test]
    fn what_a_person_granted_is_allowed_with_all_beneath() {
        assert!(rules().is_granted(b"/h/p/.envrc") && rules().is_granted(b"/h/p/.ENVRC/x"));
        assert!(!rules().is_granted(b"/h/p/sub/.envrc"));
    }
}

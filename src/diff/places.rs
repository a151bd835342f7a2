//! Places: two profiles as one tree in which each node knows what either allows there, and where they part.
//!
//! As in a plan: the nearest line that decides, decides, for the place and all beneath it. `exist` shows the place alone, and
//! nothing where more is allowed already. A line that is not approved hides what a line above it shows; one for a name that
//! the host executes does nothing, since such names stay read-only in what may be written, unless a line names exactly them
//! and a person approved it. `/proc`, `/dev` and `/tmp` are every run's own, whatever is said of them. A bundle opens what
//! no line names and no wider one holds; where that depends on the layout of the system, each is looked at by itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::Profile;
use crate::profile::emit::quote;
use crate::vocab::access::Access;
use crate::vocab::bundle::{Bundle, Layout, Shape};
use crate::vocab::location::{Base, Location, Roots};
use crate::vocab::sensitivity::{Row, Sensitivity};

use super::codes::{Code, Fill};
use super::{Context, Direction, Found, Opened, Piece, Said, Subject, known};

/// What may be done with a place. Beneath it the same may be done, of what is only seen nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Level {
    #[default]
    None,
    See,
    Read,
    Write,
    Replace,
}

impl Level {
    fn beneath(self) -> Self {
        if self >= Self::Read { self } else { Self::None }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::None | Self::See => "see",
            Self::Read => "read",
            Self::Write => "change",
            Self::Replace => "replace",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::See => "exist",
            Self::Read => "read",
            Self::Write => "write",
            Self::Replace => "replace",
        }
    }
}

impl From<Access> for Level {
    fn from(access: Access) -> Self {
        match access {
            Access::Exist => Self::See,
            Access::Read => Self::Read,
            Access::Write => Self::Write,
            Access::Replace => Self::Replace,
        }
    }
}

/// A place in a tree: its components, each behind a NUL, so that bytes compare as components do.
type Key = Vec<u8>;

/// Where variables are taken to lead.
#[derive(Clone, Copy)]
enum Variables<'a> {
    /// Each to a tree of its own below the root.
    Apart,
    /// Where they lead by default; home and project are trees of their own.
    Usual,
    /// Here.
    Here(&'a Roots),
}

impl Variables<'_> {
    fn key(self, location: &Location) -> Key {
        let (base, rest) = match location {
            // What it holds is not known: a place of its own, that no path can be.
            Location::Bundle(name) => return [b"\0/@", name.as_bytes()].concat(),
            Location::Path { base, rest } => (*base, rest.as_slice()),
        };
        let mut key = match (self, base) {
            (_, Base::Root) => Vec::new(),
            (Self::Here(roots), base) if roots.get(base).is_some() => {
                roots.get(base).map(|top| joined(top.components())).unwrap_or_default()
            }
            (Self::Usual, Base::XdgConfig) => b"\0/~\0.config".to_vec(),
            (Self::Usual, Base::XdgCache) => b"\0/~\0.cache".to_vec(),
            (Self::Usual, Base::XdgData) => b"\0/~\0.local\0share".to_vec(),
            (Self::Usual, Base::XdgState) => b"\0/~\0.local\0state".to_vec(),
            (Self::Usual, Base::Tmpdir) => b"\0tmp".to_vec(),
            (_, base) => [b"\0/", base.as_str().as_bytes()].concat(),
        };
        if !rest.is_empty() {
            key.push(0);
            key.extend(rest.iter().map(|&b| if b == b'/' { 0 } else { b }));
        }
        key
    }
}

fn joined<'a>(components: impl Iterator<Item = &'a [u8]>) -> Key {
    components.flat_map(|part| std::iter::once(0).chain(part.iter().copied())).collect()
}

fn is_beneath(key: &[u8], top: &[u8]) -> bool {
    key.strip_prefix(top).is_some_and(|rest| matches!(rest.first(), None | Some(0)))
}

/// A line of a profile, or a member of a bundle.
#[derive(Clone, Copy)]
struct Line<'a> {
    location: &'a Location,
    access: Access,
    sensitive: Option<Sensitivity>,
    approved: bool,
    /// The bundle that it comes from.
    via: Option<&'a Location>,
    /// What bundles open there: a file, a directory.
    kinds: [bool; 2],
}

impl Line<'_> {
    /// Whether it takes the guard from a name that the host executes.
    fn unguards(&self) -> bool {
        self.approved && self.sensitive.is_some() && self.access.writes() && known::is_guarded(self.location)
    }
}

/// The lines of a profile by their place; of two for one place the wider, and a line before what a bundle opens, as in a
/// plan for a system of that layout.
fn lines<'a>(profile: &'a Profile, variables: Variables<'_>, layout: Option<Layout>) -> Vec<(Key, Line<'a>)> {
    let mut lines = Vec::with_capacity(profile.filesystem.len());
    for (location, grant) in &profile.filesystem {
        let (access, sensitive, approved) = (grant.access, grant.sensitive, grant.approved);
        let line = Line { location, access, sensitive, approved, via: None, kinds: [false; 2] };
        let bundle = match location {
            // It opens nothing and hides nothing.
            Location::Bundle(_) if !approved => continue,
            Location::Bundle(name) => profile.bundles.get(name),
            Location::Path { .. } => None,
        };
        let Some(bundle) = bundle else {
            lines.push((variables.key(location), line));
            continue;
        };
        // What is sensitive to read a line of its own opens, and no bundle.
        let is_closed = |place: &Location| known::rows(place).into_iter().any(|row| counts(row, Level::Read));
        for opening in bundle.on(layout).filter(|opening| !is_closed(&opening.place)) {
            let kinds = [opening.shape == Shape::File, opening.shape == Shape::Directory];
            let member = Line { location: &opening.place, via: Some(location), kinds, ..line };
            lines.push((variables.key(&opening.place), Line { access: Access::Read, ..member }));
        }
    }
    lines.sort_by(|(a, one), (b, other)| {
        let rank = |line: &Line<'_>| (line.via.is_none(), line.approved, line.access);
        a.cmp(b).then_with(|| rank(other).cmp(&rank(one)))
    });
    lines.dedup_by(|(later, line), (kept, other)| {
        let is_same = later == kept;
        if is_same {
            other.kinds = [other.kinds[0] || line.kinds[0], other.kinds[1] || line.kinds[1]];
        }
        is_same
    });
    lines
}

/// The layouts on which two profiles are compared: where their bundles are the same and no line hides a part of one, what
/// one system lacks both lack, and one of which nothing is known tells all.
fn layouts(old: &Profile, new: &Profile) -> Vec<Option<Layout>> {
    let approved = |profile: &Profile, name: &String| {
        profile.filesystem.get(&Location::Bundle(name.clone())).is_some_and(|grant| grant.approved)
    };
    let bundles = |profile: &'_ Profile| -> BTreeMap<String, Bundle> {
        let mut bundles = profile.bundles.clone();
        bundles.retain(|name, _| approved(profile, name));
        bundles
    };
    let (before, after) = (bundles(old), bundles(new));
    let mut layouts = vec![None];
    let hides =
        |profile: &Profile| profile.filesystem.values().any(|grant| !grant.approved || grant.access == Access::Exist);
    if before != after || hides(old) || hides(new) {
        let openings = before.values().chain(after.values()).flat_map(|bundle| &bundle.opens);
        let named: BTreeSet<Layout> = openings.flat_map(|opening| opening.layouts.iter().copied()).collect();
        layouts.extend(named.into_iter().map(Some));
    }
    layouts
}

/// A place that one of the profiles names.
struct Node<'a> {
    key: Key,
    lines: [Option<Line<'a>>; 2],
    levels: [Level; 2],
    /// What each allows of what lies beneath and no line names.
    below: [Level; 2],
    /// Where a bundle decides, whether it opens a file and whether a directory.
    kinds: [Option<[bool; 2]>; 2],
}

impl<'a> Node<'a> {
    fn line(&self, side: usize) -> Option<Line<'a>> {
        self.lines.get(side).copied().flatten()
    }

    /// The place, as the second profile writes it where it does.
    fn location(&self) -> Option<&'a Location> {
        self.line(1).or(self.line(0)).map(|line| line.location)
    }

    /// Where each takes the guard from the name. Where it may be replaced there is none.
    fn unguarded(&self) -> [bool; 2] {
        let [before, after] = self.levels;
        [(0, before), (1, after)].map(|(side, level)| match level {
            Level::Replace => true,
            Level::Write => self.line(side).is_some_and(|line| line.unguards()),
            Level::None | Level::See | Level::Read => false,
        })
    }

    fn direction(&self) -> Option<Direction> {
        let [before, after] = self.levels;
        // A line for what a bundle opens is no more than that is. A bundle that opens a directory where it opened a file is.
        if let (Some([was_file, was_directory]), Some([file, directory])) = (self.kinds[0], self.kinds[1])
            && before == after
        {
            if (file && !was_file) || (directory && !was_directory) {
                return Some(Direction::Widens);
            }
            if (was_file && !file) || (was_directory && !directory) {
                return Some(Direction::Narrows);
            }
        }
        match (after.cmp(&before), self.unguarded()) {
            (std::cmp::Ordering::Greater, _) | (std::cmp::Ordering::Equal, [false, true]) => Some(Direction::Widens),
            // The guard goes with the line that lets it be written: less of the one cannot be more of the other.
            (std::cmp::Ordering::Less, _) | (std::cmp::Ordering::Equal, [true, false]) => Some(Direction::Narrows),
            (std::cmp::Ordering::Equal, _) => None,
        }
    }
}

/// What holds beneath a node, for either profile.
#[derive(Clone, Copy, Default)]
struct Beneath {
    levels: [Level; 2],
    /// Whether a line shows it.
    shows: [bool; 2],
    /// Whether it is there anyway or hidden by a line: then a bundle has no say.
    held: [bool; 2],
}

/// What was told of a node while the tree is walked.
struct Frame {
    node: usize,
    /// How it was told that all beneath it changes: which way, and to what.
    told: Option<(Direction, Level)>,
}

struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    variables: Variables<'a>,
}

impl<'a> Tree<'a> {
    fn new(old: Vec<(Key, Line<'a>)>, new: Vec<(Key, Line<'a>)>, variables: Variables<'a>) -> Self {
        let mut nodes: Vec<Node<'a>> = Vec::with_capacity(old.len().max(new.len()));
        let node =
            |key, lines| Node { key, lines, levels: [Level::None; 2], below: [Level::None; 2], kinds: [None; 2] };
        let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (None, None) => break,
            };
            let before = if order.is_le() { old.next() } else { None };
            let after = if order.is_ge() { new.next() } else { None };
            match (before, after) {
                (Some((key, a)), Some((_, b))) => nodes.push(node(key, [Some(a), Some(b)])),
                (Some((key, a)), None) => nodes.push(node(key, [Some(a), None])),
                (None, Some((key, b))) => nodes.push(node(key, [None, Some(b)])),
                (None, None) => break,
            }
        }
        let mut tree = Self { nodes, variables };
        tree.settle();
        tree
    }

    /// What each profile allows at each node.
    fn settle(&mut self) {
        let own = Own::of(self.variables);
        let mut stack: Vec<(usize, Beneath)> = Vec::new();
        let mut above = vec![None; self.nodes.len()];
        for index in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(index) else { break };
            while stack
                .last()
                .is_some_and(|(top, _)| self.nodes.get(*top).is_none_or(|top| !is_beneath(&node.key, &top.key)))
            {
                stack.pop();
            }
            let up = stack.last().map(|(up, _)| *up);
            let Beneath { levels: inherited, mut shows, mut held } =
                stack.last().map(|(_, beneath)| *beneath).unwrap_or_default();
            let (mut levels, mut kinds) = (inherited, [None; 2]);
            for side in 0..2 {
                let (Some(line), Some(level), Some(shows), Some(held), Some(kinds)) = (
                    node.line(side),
                    levels.get_mut(side),
                    shows.get_mut(side),
                    held.get_mut(side),
                    kinds.get_mut(side),
                ) else {
                    continue;
                };
                if own.is_own(&node.key) {
                    continue;
                }
                let (is_held, is_member) = (*held, line.via.is_some());
                *held |= line.kinds[1] || (!is_member && line.approved && line.access >= Access::Read);
                // What lies beneath a directory that is opened anyway is there, or hidden by a line.
                if is_member && is_held {
                    continue;
                }
                *kinds = is_member.then_some(line.kinds);
                *level = match (line.approved, line.access) {
                    (true, Access::Exist) => Level::See.max(*level),
                    (true, access) => access.into(),
                    (false, _) if line.sensitive == Some(Sensitivity::HostExecutes) => *level,
                    (false, _) if *shows => Level::See,
                    (false, _) => Level::None,
                };
                *shows |= line.approved && line.access >= Access::Read;
            }
            if let Some(slot) = above.get_mut(index) {
                *slot = up;
            }
            let [old, new] = levels.map(Level::beneath);
            let beneath = |level, kinds| if kinds == Some([true, false]) { Level::None } else { level };
            let below = [beneath(old, kinds[0]), beneath(new, kinds[1])];
            stack.push((index, Beneath { levels: below, shows, held }));
            if let Some(node) = self.nodes.get_mut(index) {
                (node.levels, node.below, node.kinds) = (levels, below, kinds);
            }
        }
        self.see_what_is_above(&above, &own);
    }

    /// The directories above what is there are there.
    fn see_what_is_above(&mut self, above: &[Option<usize>], own: &Own) {
        for side in 0..2 {
            let mut seen = vec![false; self.nodes.len()];
            for index in 0..self.nodes.len() {
                let Some(node) = self.nodes.get_mut(index) else { break };
                if own.is_there(&node.key)
                    && let Some(level) = node.levels.get_mut(side)
                {
                    *level = (*level).max(Level::See);
                }
                // What a bundle has no say about it does not make either.
                let decides = |line: &Line<'_>| line.via.is_none() || node.kinds.get(side).copied().flatten().is_some();
                let makes =
                    !own.is_own(&node.key) && node.line(side).is_some_and(|line| line.approved && decides(&line));
                let mut up = if makes { above.get(index).copied().flatten() } else { None };
                while let Some(at) = up.filter(|at| seen.get(*at) == Some(&false)) {
                    if let Some(level) = self.nodes.get_mut(at).and_then(|node| node.levels.get_mut(side)) {
                        *level = (*level).max(Level::See);
                    }
                    if let Some(seen) = seen.get_mut(at) {
                        *seen = true;
                    }
                    up = above.get(at).copied().flatten();
                }
            }
        }
    }

    /// What each allows at a place that may be no node.
    fn levels_at(&self, key: &[u8]) -> [Level; 2] {
        let mut end = key.len();
        loop {
            let here = key.get(..end).unwrap_or_default();
            if let Ok(at) = self.nodes.binary_search_by(|node| node.key.as_slice().cmp(here))
                && let Some(node) = self.nodes.get(at)
            {
                return if end == key.len() { node.levels } else { node.below };
            }
            match here.iter().rposition(|&b| b == 0) {
                Some(cut) => end = cut,
                None => return [Level::None; 2],
            }
        }
    }
}

/// Places that every run has of its own.
struct Own {
    /// `/proc`, `/dev`, `/tmp`.
    private: [Key; 3],
    /// Home and project, empty where they are not granted.
    made: [Key; 2],
}

impl Own {
    fn of(variables: Variables<'_>) -> Self {
        let variable = |base| variables.key(&Location::Path { base, rest: Vec::new() });
        Self {
            private: [b"\0proc".to_vec(), b"\0dev".to_vec(), b"\0tmp".to_vec()],
            made: [variable(Base::Home), variable(Base::Project)],
        }
    }

    /// Whether a line about it has no effect.
    fn is_own(&self, key: &[u8]) -> bool {
        self.private.iter().any(|own| own == key)
    }

    fn is_there(&self, key: &[u8]) -> bool {
        self.is_own(key) || self.made.iter().any(|made| is_beneath(made, key))
    }
}

pub(super) fn compare(old: &Profile, new: &Profile, context: &Context<'_>, found: &mut Found) {
    let mut places = old.filesystem.keys().chain(new.filesystem.keys());
    let named_by_default = places.any(|place| matches!(place, Location::Path { base, .. } if is_of_default(*base)));
    let elsewhere = named_by_default.then_some(Variables::Usual).into_iter().chain(context.here.map(Variables::Here));
    let all: Vec<Variables<'_>> = std::iter::once(Variables::Apart).chain(elsewhere).collect();
    bundles_that_wait(old, new, found);
    for (number, layout) in layouts(old, new).into_iter().enumerate() {
        for variables in &all {
            let tell = match (variables, number) {
                (Variables::Apart, 0) => Tell::All,
                (Variables::Apart, _) => Tell::News,
                _ => Tell::Wider,
            };
            let (before, after) = (lines(old, *variables, layout), lines(new, *variables, layout));
            Tree::new(before, after, *variables).tell(found, tell);
        }
    }
}

fn bundles_that_wait(old: &Profile, new: &Profile, found: &mut Found) {
    for (location, _) in new.filesystem.iter().filter(|(_, grant)| !grant.approved) {
        if !matches!(location, Location::Bundle(_)) || old.filesystem.contains_key(location) {
            continue;
        }
        let name = location.to_string();
        let new = vec![Piece::Words(Level::Read.words().to_owned())];
        let fill = Fill { name: &name, verb: Level::Read.verb(), new, ..Fill::default() };
        let (subject, line) = (Some(Subject::Place(location.clone())), quote(&name));
        let risk = Some(known::risk(location, Level::Read));
        found.add(Code::PlaceWaits, Said { fill, risk, subject, line, ..Said::default() });
    }
}

/// How much of a tree is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tell {
    /// Everything: the first.
    All,
    /// What was not told of another one.
    News,
    /// Of that what widens: variables lead there perhaps.
    Wider,
}

fn is_of_default(base: Base) -> bool {
    !matches!(base, Base::Root | Base::Home | Base::Project | Base::XdgRuntime)
}

impl Tree<'_> {
    /// Tells where the two part.
    fn tell(&self, found: &mut Found, tell: Tell) {
        let told = found.0.iter().filter(|_| tell != Tell::All);
        let known: BTreeSet<(Direction, String)> =
            told.map(|change| (change.direction(), change.name.clone())).collect();
        let is_news =
            |direction, location: &Location| known.is_empty() || !known.contains(&(direction, location.to_string()));
        let mut stack: Vec<Frame> = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            while stack
                .last()
                .is_some_and(|frame| self.nodes.get(frame.node).is_none_or(|top| !is_beneath(&node.key, &top.key)))
            {
                stack.pop();
            }
            let (Some(location), [_, after]) = (node.location(), node.levels) else { continue };
            if let Some(direction) = node.direction() {
                let above = stack.last().filter(|frame| frame.told == Some((direction, after)));
                let is_told = above.is_some_and(|frame| !self.stands_out(node, direction, frame.node));
                match direction {
                    Direction::Widens if !is_told && is_news(direction, location) => {
                        self.widened(node, location, found);
                    }
                    Direction::Narrows if !is_told && tell != Tell::Wider && is_news(direction, location) => {
                        narrowed(node, location, found);
                    }
                    _ => {}
                }
            }
            if tell == Tell::All {
                self.waiting(node, location, found);
            }
            let told = match node.below[1].cmp(&node.below[0]) {
                std::cmp::Ordering::Greater => Some((Direction::Widens, after)),
                std::cmp::Ordering::Less => Some((Direction::Narrows, node.below[1])),
                std::cmp::Ordering::Equal => None,
            };
            stack.push(Frame { node: index, told });
        }
    }

    /// Whether a place is worth a word although one above it, which changes in the same way, had one.
    fn stands_out(&self, node: &Node<'_>, direction: Direction, above: usize) -> bool {
        let row = |node: &Node<'_>| {
            let location = node.location()?;
            known::rows(location).into_iter().find(|row| counts(row, node.levels[1]))
        };
        direction == Direction::Widens
            && (node.unguarded() == [false, true]
                || row(node).is_some_and(|own| self.nodes.get(above).and_then(row) != Some(own)))
    }

    fn widened(&self, node: &Node<'_>, location: &Location, found: &mut Found) {
        let [before, after] = node.levels;
        let judged = self.judge(node, location, after);
        let shown = node.line(1).and_then(|line| line.via).unwrap_or(location);
        let name = shown.to_string();
        // A bundle is one thing to whoever reads it.
        if shown != location && found.0.iter().any(|change| change.code == judged.code && change.name == name) {
            return;
        }
        let words = |level: Level| vec![Piece::Words(level.words().to_owned())];
        let fill = Fill { name: &name, verb: after.verb(), what: judged.what, old: words(before), new: words(after) };
        let subject = Some(Subject::Place(shown.clone()));
        let said = Said { fill, risk: Some(judged.risk), subject, opens: judged.opens, line: String::new() };
        found.add(judged.code, Said { line: self.line_of(node, location), ..said });
    }

    /// The line of the second profile that decides here.
    fn line_of(&self, node: &Node<'_>, location: &Location) -> String {
        let line = node.line(1).map(|line| line.via.unwrap_or(line.location));
        quote(&line.unwrap_or(location).to_string())
    }

    fn waiting(&self, node: &Node<'_>, location: &Location, found: &mut Found) {
        let Some(line) = node.line(1).filter(|line| !line.approved) else { return };
        let then = Level::from(line.access);
        let waited = node.line(0).is_some_and(|old| !old.approved && old.access >= line.access);
        let unguards = Line { approved: true, ..line }.unguards() && !node.unguarded()[0];
        if waited || (then <= node.levels[0] && !unguards) {
            return;
        }
        let judged = self.judge(node, location, then);
        let name = location.to_string();
        let new = vec![Piece::Words(then.words().to_owned())];
        let fill = Fill { name: &name, verb: then.verb(), new, ..Fill::default() };
        let subject = Some(Subject::Place(location.clone()));
        let line = self.line_of(node, location);
        found.add(Code::PlaceWaits, Said { fill, risk: Some(judged.risk), subject, opens: judged.opens, line });
    }

    /// What it means to have `level` there.
    fn judge(&self, node: &Node<'_>, location: &Location, level: Level) -> Judged {
        let row = known::rows(location).into_iter().find(|row| counts(row, level));
        let marked = node.line(1).and_then(|line| line.sensitive).filter(|_| row.is_none());
        let marked = marked.filter(|marked| *marked != Sensitivity::HostExecutes || level >= Level::Write);
        if let Some(sensitive) = row.map(|row| row.sensitivity).or(marked) {
            let (code, risk) = match sensitive {
                Sensitivity::Vault => (Code::VaultOpened, 4),
                Sensitivity::Credential => (Code::CredentialOpened, if level == Level::See { 3 } else { 4 }),
                Sensitivity::HostExecutes => (Code::HostExecutedOpened, 4),
                Sensitivity::Pinfold => (Code::PinfoldOpened, 4),
            };
            let what = row
                .map_or_else(|| format!("marked as {} in the profile", sensitive.as_str()), |row| row.why.to_owned());
            return Judged { code, risk, what, opens: Vec::new() };
        }
        let opens = if level >= Level::Read { self.opened(node, location, level) } else { Vec::new() };
        if level >= Level::Read && known::holds_a_home(location) {
            let what = "your files, and every key and token among them".to_owned();
            return Judged { code: Code::HomeOpened, risk: 4, what, opens };
        }
        if !opens.is_empty() {
            return Judged { code: Code::SecretsExposed, risk: 4, what: listed(&opens), opens };
        }
        let code = match level {
            Level::None | Level::See => Code::PlaceSeen,
            Level::Read => Code::PlaceRead,
            Level::Write => Code::PlaceWritten,
            Level::Replace => Code::PlaceReplaced,
        };
        Judged { code, risk: known::risk(location, level), what: String::new(), opens }
    }

    /// Sensitive places beneath that could not be read before, and can be.
    fn opened(&self, node: &Node<'_>, location: &Location, level: Level) -> Vec<Opened> {
        let mut opens: Vec<Opened> = known::sensitive_beneath(location)
            .into_iter()
            .filter(|(below, ..)| {
                let key: Key = [node.key.as_slice(), &joined(below.split(|&b| b == b'/'))].concat();
                let [before, after] = self.levels_at(&key);
                // Of a line that waits what lies beneath it is shown only then.
                let after = if node.levels[1] < level { after.max(level) } else { after };
                before < Level::Read && after >= Level::Read
            })
            .map(|(_, place, row)| Opened { place: place.to_string(), what: row.why })
            .collect();
        opens.sort();
        opens
    }
}

fn narrowed(node: &Node<'_>, location: &Location, found: &mut Found) {
    let [before, after] = node.levels;
    let shown = node.line(0).and_then(|line| line.via).unwrap_or(location);
    let name = shown.to_string();
    if shown != location && found.0.iter().any(|change| change.code == Code::PlaceWithdrawn && change.name == name) {
        return;
    }
    let words = |level: Level| vec![Piece::Words(level.words().to_owned())];
    let fill = Fill { name: &name, verb: before.verb(), old: words(before), new: words(after), what: String::new() };
    let line = node.line(1).map(|line| quote(&line.location.to_string())).unwrap_or_default();
    let subject = Some(Subject::Place(location.clone()));
    found.add(Code::PlaceWithdrawn, Said { fill, subject, line, ..Said::default() });
}

/// Reading what the host executes is harmless.
fn counts(row: &Row, level: Level) -> bool {
    level >= Level::See && (row.sensitivity != Sensitivity::HostExecutes || level >= Level::Write)
}

/// What an access to a place means.
struct Judged {
    code: Code,
    risk: u8,
    what: String,
    opens: Vec<Opened>,
}

/// What comes with a directory, in words, each once, and how many more there are.
fn listed(opens: &[Opened]) -> String {
    const MOST: usize = 3;
    let kinds: BTreeSet<&str> = opens.iter().map(|opened| opened.what).collect();
    let (shown, more) = (kinds.iter().take(MOST).copied().collect::<Vec<_>>(), kinds.len().saturating_sub(MOST));
    let more = if more == 0 { String::new() } else { format!(", and {more} more kinds of secrets") };
    format!("{}{more}", shown.join(", "))
}

//! Needs → the cheapest set of lines that covers them: an exact dynamic program over the tree of needed places.
//!
//! Each place inherits nothing, reading or writing from the line above it, and may raise that by a line of its own. A line
//! costs one; whatever it opens that nobody used costs by its weight ([`super::exposure`]). With `f(v, m)` the least cost of
//! the places at and below `v` when `m` is inherited,
//!
//! ```text
//! f(v, m) = min over m' ≥ m of  [m' ≠ m]·rule + exposure(v, m') + Σ f(child, m')
//! ```
//!
//! where a choice counts only if `m'` is what `v` needs, and if a line may stand at `v`. Three modes, so nine numbers a
//! place: linear in the number of places. Of two choices that cost the same the narrower is taken. Invariant: every need is
//! covered, and no line stands where `may` forbids it but for a need of just that place.

use std::collections::BTreeMap;

use crate::vocab::access::Access;
use crate::vocab::location::{Base, Location};
use crate::vocab::path::by_component;

use super::Settings;
use super::exposure::Exposure;

/// The modes that a place can inherit.
const MODES: [Option<Access>; 3] = [None, Some(Access::Read), Some(Access::Write)];

/// What covers no need, or stands where no line may. No sum of costs comes to it.
const IMPOSSIBLE: u64 = 1 << 60;

/// A place of the tree, and what is chosen there.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// Its name is the first `end` bytes of this part.
    part: u32,
    end: u32,
    parent: Option<u32>,
    need: Option<Access>,
    is_leaf: bool,
    /// By inherited mode: the mode of least cost.
    best: [u8; 3],
}

/// A needed place: its variable, what follows that, and what is needed.
type Part<'a> = (Base, &'a [u8], Access);

/// A place of the tree while those beneath it come.
#[derive(Debug, Clone, Copy)]
struct Open {
    node: usize,
    end: usize,
    children: u64,
    /// Those of them at or beneath which something is written.
    written: u64,
    /// By mode: the sum of the children's costs.
    below: [u64; 3],
}

/// The lines that cover `needs`: places with what is needed of each. `may`: whether a line of that much may stand at a place
/// that nobody needed as a whole.
pub(super) fn cover<'a>(
    needs: impl Iterator<Item = (&'a Location, Access)>,
    exposure: &Exposure,
    may: &dyn Fn(&Location, Access) -> bool,
    settings: &Settings,
) -> BTreeMap<Location, Access> {
    let parts = needs.filter_map(|(place, need)| match place {
        Location::Path { base, rest } => Some((*base, rest.as_slice(), need)),
        Location::Bundle(_) => None,
    });
    let mut parts: Vec<Part<'_>> = parts.collect();
    // Then what lies beneath a place follows it at once.
    parts
        .sort_unstable_by(|(base, rest, _), (other, above, _)| base.cmp(other).then_with(|| by_component(rest, above)));
    let mut walk = Walk { parts: &parts, nodes: Vec::new(), way: Vec::new(), exposure, may, settings };
    let mut before: (Base, &[u8]) = (Base::Root, &[]);
    for (part, (base, rest, need)) in (0..).zip(&parts) {
        let common = rest.iter().zip(before.1).take_while(|(a, b)| a == b).count();
        let ends = |end: usize| end <= common && matches!(rest.get(end), None | Some(b'/'));
        // The base itself ends at 0, where a component follows without a slash.
        walk.close(|end| *base == before.0 && (end == 0 || ends(end)));
        walk.open(part, rest, *need);
        before = (*base, *rest);
    }
    walk.close(|_| false);
    lines(&walk.nodes, &parts)
}

/// The way down to the place before, and all that was met: a place is chosen for when everything beneath it was.
struct Walk<'a> {
    parts: &'a [Part<'a>],
    nodes: Vec<Node>,
    way: Vec<Open>,
    exposure: &'a Exposure,
    may: &'a dyn Fn(&Location, Access) -> bool,
    settings: &'a Settings,
}

impl Walk<'_> {
    /// Goes down to the place of a part.
    fn open(&mut self, part: u32, rest: &[u8], need: Access) {
        let down = self.way.last().map(|open| open.end);
        let cuts = rest.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
        let all = std::iter::once(0).chain(cuts).chain((!rest.is_empty()).then_some(rest.len()));
        for end in all.filter(|end| down.is_none_or(|down| *end > down)) {
            let parent = self.way.last_mut().map(|open| {
                open.children += 1;
                open.node
            });
            let parent = parent.and_then(|parent| u32::try_from(parent).ok());
            self.way.push(Open { node: self.nodes.len(), end, children: 0, written: 0, below: [0; 3] });
            let end = u32::try_from(end).unwrap_or(u32::MAX);
            self.nodes.push(Node { part, end, parent, need: None, is_leaf: true, best: [0; 3] });
        }
        if let Some(node) = self.way.last().and_then(|open| self.nodes.get_mut(open.node)) {
            node.need = node.need.max(Some(need));
        }
    }

    /// Goes up to the last place that is to stay open, and chooses for those that are not.
    fn close(&mut self, stays: impl Fn(usize) -> bool) {
        while let Some(open) = self.way.pop_if(|open| !stays(open.end)) {
            let Some(node) = self.nodes.get(open.node).copied() else { continue };
            let best = self.choose(&node, &open);
            if let Some(node) = self.nodes.get_mut(open.node) {
                node.best = best.map(|(_, mode)| u8::try_from(mode).unwrap_or(0));
                node.is_leaf = open.children == 0;
            }
            if let Some(above) = self.way.last_mut() {
                above.written += u64::from(open.written > 0 || node.need.is_some_and(Access::writes));
                for (sum, (cost, _)) in above.below.iter_mut().zip(best) {
                    *sum = sum.saturating_add(cost);
                }
            }
        }
    }

    /// By inherited mode: the least cost, and the mode that gives it.
    fn choose(&self, node: &Node, open: &Open) -> [(u64, usize); 3] {
        let Some((base, rest)) = place(node, self.parts) else { return [(0, 0); 3] };
        let rule = self.settings.rule;
        // What is needed itself as a whole is opened by the need, and no line makes it more.
        let needed = |access: Access| node.need.is_some_and(|need| need >= access && need != Access::Replace);
        let opened = |mode: usize| match MODES.get(mode).copied().flatten() {
            Some(access) if !needed(access) => {
                // What is read is not thereby written.
                let used = if access.writes() { open.written } else { open.children };
                let cost = self.exposure.cost((base, rest), open.children, used, access);
                cost.saturating_mul(self.settings.exposure) / 1000
            }
            _ => 0,
        };
        let lack = |mode: usize| match (node.need, MODES.get(mode).copied().flatten()) {
            // A rewritten file has a line of its own but where all may be written.
            (Some(Access::Replace), Some(Access::Write)) => 0,
            (Some(Access::Replace), _) => rule,
            (Some(Access::Exist), None) if open.children == 0 => rule,
            (Some(Access::Exist) | None, _) => 0,
            (Some(need), mode) if mode >= Some(need) => 0,
            (Some(_), _) => IMPOSSIBLE,
        };
        let below = |mode: usize| open.below.get(mode).copied().unwrap_or(0);
        let all = [0, 1, 2].map(|mode| opened(mode).saturating_add(lack(mode)).saturating_add(below(mode)));
        let mut known: [Option<bool>; 3] = [None; 3];
        let mut may_stand = |mode: usize| match (MODES.get(mode).copied().flatten(), known.get_mut(mode)) {
            (Some(access), Some(known)) => *known.get_or_insert_with(|| {
                needed(access) || (self.may)(&Location::Path { base, rest: rest.to_vec() }, access)
            }),
            _ => true,
        };
        let mut best = [(u64::MAX, 0); 3];
        for (inherited, slot) in best.iter_mut().enumerate() {
            for (mode, cost) in all.into_iter().enumerate().skip(inherited) {
                // What is inherited is opened whether a line may stand here or not: that was judged above.
                let line = if mode == inherited { 0 } else { rule };
                // Most lines are too dear anyway, and where they may stand need not be asked.
                if cost.saturating_add(line) >= slot.0 {
                    continue;
                }
                let line = if mode == inherited || may_stand(mode) { line } else { IMPOSSIBLE };
                let cost = cost.saturating_add(line);
                if cost < slot.0 {
                    *slot = (cost, mode);
                }
            }
        }
        best
    }
}

/// The place of a node.
fn place<'a>(node: &Node, parts: &[Part<'a>]) -> Option<(Base, &'a [u8])> {
    let (base, rest, _) = parts.get(usize::try_from(node.part).ok()?)?;
    Some((*base, rest.get(..usize::try_from(node.end).ok()?)?))
}

/// The lines of the cheapest choice, from the top down.
fn lines(nodes: &[Node], parts: &[Part<'_>]) -> BTreeMap<Location, Access> {
    let mut lines = BTreeMap::new();
    let mut modes: Vec<u8> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let above = node.parent.and_then(|parent| modes.get(usize::try_from(parent).ok()?));
        let inherited = above.copied().unwrap_or(0);
        let mode = node.best.get(usize::from(inherited)).copied().unwrap_or(inherited);
        modes.push(mode);
        let access = MODES.get(usize::from(mode)).copied().flatten();
        let line = match node.need {
            Some(Access::Replace) if access != Some(Access::Write) => Some(Access::Replace),
            Some(Access::Exist) if access.is_none() && node.is_leaf => Some(Access::Exist),
            _ => access.filter(|_| mode != inherited),
        };
        if let (Some(access), Some((base, rest))) = (line, place(node, parts)) {
            lines.insert(Location::Path { base, rest: rest.to_vec() }, access);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::collections::BTreeSet;

    use super::*;
    use crate::event::{Census, Owner};

    fn place(text: &str) -> Location {
        text.parse().unwrap()
    }

    fn needs(lines: &[(&str, Access)]) -> BTreeMap<Location, Access> {
        lines.iter().map(|(text, access)| (place(text), *access)).collect()
    }

    fn pairs(needs: &BTreeMap<Location, Access>) -> impl Iterator<Item = (&Location, Access)> {
        needs.iter().map(|(place, access)| (place, *access))
    }

    /// What is known of directories that hold so many names.
    fn holding(dirs: &[(&str, u32)]) -> Exposure {
        let mut exposure = Exposure::default();
        for (dir, entries) in dirs {
            let census = Census {
                dir: crate::vocab::path::AbsPath::root(),
                entries: *entries,
                capped: false,
                owner: Owner::Caller,
                world_readable: true,
                markers: Default::default(),
                sensitive: Default::default(),
            };
            exposure.add(place(dir), &census);
        }
        exposure
    }

    #[track_caller]
    fn gives(lines: &[(&str, Access)], dirs: &[(&str, u32)], expected: &[&str]) {
        let may = |at: &Location, _: Access| *at != place("~") && *at != place("/");
        let found = cover(pairs(&needs(lines)), &holding(dirs), &may, &Settings::default());
        let found: Vec<String> = found.iter().map(|(place, access)| format!("{place} {access}")).collect();
        assert_eq!(found, expected);
    }

    use Access::{Exist, Read, Replace, Write};

    #[test]
    fn files_that_fill_a_directory_become_the_directory_and_a_few_of_many_stay_themselves() {
        let three = [("~/.a/1", Read), ("~/.a/2", Read), ("~/.a/3", Read)];
        gives(&three, &[("~/.a", 3)], &["~/.a read"]);
        gives(&three, &[("~/.a", 4)], &["~/.a read"]);
        // Nine names that nobody used cost more than two more lines.
        gives(&three, &[("~/.a", 12)], &["~/.a/1 read", "~/.a/2 read", "~/.a/3 read"]);
    }

    #[test]
    fn what_is_written_is_not_widened_by_what_is_read_and_the_home_never_is() {
        let mixed = [("~/.a/1", Read), ("~/.a/2", Read), ("~/.a/3", Write)];
        gives(&mixed, &[("~/.a", 3)], &["~/.a read", "~/.a/3 write"]);
        gives(&[("~/1", Read), ("~/2", Read), ("~/3", Read)], &[("~", 3)], &["~/1 read", "~/2 read", "~/3 read"]);
    }

    #[test]
    fn a_look_has_a_line_only_where_nothing_else_brings_the_name() {
        gives(&[("/srv/x", Exist), ("/srv/x/y", Read)], &[], &["/srv/x/y read"]);
        gives(&[("/srv/x", Exist)], &[], &["/srv/x exist"]);
        gives(&[("~/.a", Read), ("~/.a/b", Exist)], &[], &["~/.a read"]);
    }

    #[test]
    fn a_rewritten_file_keeps_its_line_but_where_all_may_be_written() {
        gives(&[("~/.a/b", Replace)], &[], &["~/.a/b replace"]);
        gives(&[("~/.a", Write), ("~/.a/b", Replace)], &[], &["~/.a write"]);
    }

    #[test]
    fn names_that_begin_alike_are_not_in_each_other() {
        gives(
            &[("/a", Read), ("/a.b", Read), ("/a/b", Write), ("/ab", Exist)],
            &[],
            &["/a read", "/a.b read", "/a/b write", "/ab exist"],
        );
        gives(&[("$PROJECT", Write), ("$PROJECT/x/y", Read), ("~/x/y", Read)], &[], &["$PROJECT write", "~/x/y read"]);
    }

    /// A place that is needed, or is above one that is.
    struct Place {
        place: Location,
        need: Option<Access>,
        children: u64,
    }

    fn planted(needs: &BTreeMap<Location, Access>) -> Vec<Place> {
        let mut all: BTreeSet<Location> = needs.keys().cloned().collect();
        let above = |place: &Location| {
            let Location::Path { base, rest } = place else { unreachable!() };
            let cut = rest.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
            (!rest.is_empty()).then(|| Location::Path { base: *base, rest: rest[..cut].to_vec() })
        };
        for place in needs.keys() {
            all.extend(std::iter::successors(above(place), above));
        }
        let children =
            |place: &Location| all.iter().filter(|child| above(child).as_ref() == Some(place)).count() as u64;
        all.iter()
            .map(|place| Place { place: place.clone(), need: needs.get(place).copied(), children: children(place) })
            .collect()
    }

    /// What the lines give a place.
    fn given(lines: &BTreeMap<Location, Access>, at: &Location) -> Option<Access> {
        let over = lines.iter().filter(|(place, access)| *place == at || (**access != Exist && at.is_beneath(place)));
        over.map(|(_, access)| *access).max()
    }

    /// The cost of some lines by the words of the documentation, worked out without the program.
    fn cost(lines: &BTreeMap<Location, Access>, nodes: &[Place], exposure: &Exposure) -> u64 {
        let rule = Settings::default().rule;
        let opened = |node: &Place| {
            let wide = lines.iter().filter(|(place, _)| node.place.is_beneath(place));
            match wide.map(|(_, access)| *access).filter(|access| matches!(access, Read | Write)).max() {
                Some(access) if node.need.is_none_or(|need| need < access || need == Replace) => {
                    let Location::Path { base, rest } = &node.place else { unreachable!() };
                    exposure.cost((*base, rest), node.children, node.children, access)
                }
                _ => 0,
            }
        };
        rule * u64::try_from(lines.len()).unwrap() + nodes.iter().map(opened).sum::<u64>()
    }

    proptest! {
        /// Every other choice of lines for reading at the places of a small tree covers less, or costs at least as much.
        #[test]
        fn no_other_lines_that_cover_all_needs_cost_less(
            all in prop::collection::btree_map("~/\\.[ab](/[cd](/[ef])?)?", Just(Read), 1..6),
            sizes in prop::collection::vec(0..6_u32, 10),
        ) {
            let all: BTreeMap<Location, Access> = all.into_iter().map(|(text, access)| (place(&text), access)).collect();
            let nodes = planted(&all);
            let places: Vec<String> = nodes.iter().map(|node| node.place.to_string()).collect();
            let dirs: Vec<(&str, u32)> = places.iter().map(String::as_str).zip(sizes).collect();
            let exposure = holding(&dirs);
            let may = |at: &Location, _: Access| *at != place("~");
            let found = cover(pairs(&all), &exposure, &may, &Settings::default());
            let best = cost(&found, &nodes, &exposure);
            for choice in 0_u32..1 << (nodes.len() - 1).min(12) {
                let chosen = nodes.iter().skip(1).enumerate().filter(|(bit, _)| choice >> bit & 1 == 1);
                let lines: BTreeMap<Location, Access> = chosen.map(|(_, node)| (node.place.clone(), Read)).collect();
                if all.keys().all(|at| given(&lines, at).is_some()) {
                    prop_assert!(best <= cost(&lines, &nodes, &exposure), "{:?} is cheaper than {:?}", lines, found);
                }
            }
            prop_assert!(all.keys().all(|at| given(&found, at) >= Some(Read)));
        }
    }
}

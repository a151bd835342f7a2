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

#[derive(Debug)]
struct Node {
    place: Location,
    parent: Option<usize>,
    need: Option<Access>,
    children: u64,
    /// Those of them at or beneath which something is written.
    written: u64,
    /// By inherited mode: the least cost, and the mode that gives it.
    best: [(u64, usize); 3],
    /// By mode: the sum of the children's costs.
    below: [u64; 3],
}

/// The lines that cover `needs`: places with what is needed of each. `may`: whether a line of that much may stand at a place
/// that nobody needed as a whole.
pub(super) fn cover(
    needs: &BTreeMap<Location, Access>,
    exposure: &Exposure,
    may: &dyn Fn(&Location, Access) -> bool,
    settings: &Settings,
) -> BTreeMap<Location, Access> {
    let mut nodes = plant(needs);
    // A child stands behind its parent, so from the end each comes before its parent.
    for at in (0..nodes.len()).rev() {
        let Some(node) = nodes.get(at) else { continue };
        let best = choose(node, exposure, may, settings);
        let (parent, writes) = (node.parent, node.written > 0 || node.need.is_some_and(Access::writes));
        if let Some(node) = nodes.get_mut(at) {
            node.best = best;
        }
        if let Some(parent) = parent.and_then(|parent| nodes.get_mut(parent)) {
            parent.written += u64::from(writes);
            for (sum, (cost, _)) in parent.below.iter_mut().zip(best) {
                *sum = sum.saturating_add(cost);
            }
        }
    }
    lines(&nodes)
}

/// The tree of all needed places and what is above them, parents first.
fn plant(needs: &BTreeMap<Location, Access>) -> Vec<Node> {
    let parts = needs.iter().filter_map(|(place, need)| match place {
        Location::Path { base, rest } => Some((*base, rest.as_slice(), *need)),
        Location::Bundle(_) => None,
    });
    let mut parts: Vec<(Base, &[u8], Access)> = parts.collect();
    // Then what lies beneath a place follows it at once.
    parts
        .sort_unstable_by(|(base, rest, _), (other, above, _)| base.cmp(other).then_with(|| by_component(rest, above)));
    let mut nodes: Vec<Node> = Vec::new();
    // The way down to the place before: where each component of it ends, and its node.
    let mut way: Vec<(usize, usize)> = Vec::new();
    let mut before: (Base, &[u8]) = (Base::Root, &[]);
    for (base, rest, need) in parts {
        let common = rest.iter().zip(before.1).take_while(|(a, b)| a == b).count();
        let ends = |end: usize| end <= common && matches!(rest.get(end), None | Some(b'/'));
        // The base itself ends at 0, where a component follows without a slash.
        way.retain(|(end, _)| base == before.0 && (*end == 0 || ends(*end)));
        let down = way.last().map(|(end, _)| *end);
        let cuts = rest.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
        let all = std::iter::once(0).chain(cuts).chain((!rest.is_empty()).then_some(rest.len()));
        for end in all.filter(|end| down.is_none_or(|down| *end > down)) {
            let parent = way.last().map(|(_, node)| *node);
            if let Some(parent) = parent.and_then(|parent| nodes.get_mut(parent)) {
                parent.children += 1;
            }
            let place = Location::Path { base, rest: rest.get(..end).unwrap_or_default().to_vec() };
            way.push((end, nodes.len()));
            nodes.push(Node { place, parent, need: None, children: 0, written: 0, best: [(0, 0); 3], below: [0; 3] });
        }
        if let Some(node) = way.last().and_then(|(_, node)| nodes.get_mut(*node)) {
            node.need = node.need.max(Some(need));
        }
        before = (base, rest);
    }
    nodes
}

fn choose(
    node: &Node,
    exposure: &Exposure,
    may: &dyn Fn(&Location, Access) -> bool,
    settings: &Settings,
) -> [(u64, usize); 3] {
    // What is needed itself as a whole is opened by the need, and no line makes it more.
    let needed = |access: Access| node.need.is_some_and(|need| need >= access && need != Access::Replace);
    let opened = |mode: usize| match MODES.get(mode).copied().flatten() {
        Some(access) if !needed(access) => {
            // What is read is not thereby written.
            let used = if access.writes() { node.written } else { node.children };
            let cost = exposure.cost(&node.place, node.children, used, access);
            cost.saturating_mul(settings.exposure) / 1000
        }
        _ => 0,
    };
    let below = |mode: usize| node.below.get(mode).copied().unwrap_or(0);
    let mut best = [(u64::MAX, 0); 3];
    for (inherited, slot) in best.iter_mut().enumerate() {
        for mode in inherited..MODES.len() {
            // What is inherited is opened whether a line may stand here or not: that was judged above.
            let line = match MODES.get(mode).copied().flatten() {
                Some(access) if mode != inherited => {
                    if needed(access) || may(&node.place, access) {
                        settings.rule
                    } else {
                        IMPOSSIBLE
                    }
                }
                _ => 0,
            };
            let lack = match (node.need, MODES.get(mode).copied().flatten()) {
                // A rewritten file has a line of its own but where all may be written.
                (Some(Access::Replace), Some(Access::Write)) => 0,
                (Some(Access::Replace), _) => settings.rule,
                (Some(Access::Exist), None) if node.children == 0 => settings.rule,
                (Some(Access::Exist) | None, _) => 0,
                (Some(need), mode) if mode >= Some(need) => 0,
                (Some(_), _) => IMPOSSIBLE,
            };
            let cost = opened(mode).saturating_add(line).saturating_add(lack).saturating_add(below(mode));
            if cost < slot.0 {
                *slot = (cost, mode);
            }
        }
    }
    best
}

/// The lines of the cheapest choice, from the top down.
fn lines(nodes: &[Node]) -> BTreeMap<Location, Access> {
    let mut lines = BTreeMap::new();
    let mut modes: Vec<usize> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let inherited = node.parent.and_then(|parent| modes.get(parent).copied()).unwrap_or(0);
        let mode = node.best.get(inherited).map_or(inherited, |(_, mode)| *mode);
        modes.push(mode);
        let access = MODES.get(mode).copied().flatten();
        if mode != inherited {
            lines.extend(access.map(|access| (node.place.clone(), access)));
        }
        match node.need {
            Some(Access::Replace) if access != Some(Access::Write) => {
                lines.insert(node.place.clone(), Access::Replace);
            }
            Some(Access::Exist) if access.is_none() && node.children == 0 => {
                lines.insert(node.place.clone(), Access::Exist);
            }
            _ => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{Census, Owner};

    fn place(text: &str) -> Location {
        text.parse().unwrap()
    }

    fn needs(lines: &[(&str, Access)]) -> BTreeMap<Location, Access> {
        lines.iter().map(|(text, access)| (place(text), *access)).collect()
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
        let found = cover(&needs(lines), &holding(dirs), &may, &Settings::default());
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

    /// What the lines give a place.
    fn given(lines: &BTreeMap<Location, Access>, at: &Location) -> Option<Access> {
        let over = lines.iter().filter(|(place, access)| *place == at || (**access != Exist && at.is_beneath(place)));
        over.map(|(_, access)| *access).max()
    }

    /// The cost of some lines by the words of the documentation, worked out without the program.
    fn cost(lines: &BTreeMap<Location, Access>, nodes: &[Node], exposure: &Exposure) -> u64 {
        let rule = Settings::default().rule;
        let opened = |node: &Node| {
            let wide = lines.iter().filter(|(place, _)| node.place.is_beneath(place));
            match wide.map(|(_, access)| *access).filter(|access| matches!(access, Read | Write)).max() {
                Some(access) if node.need.is_none_or(|need| need < access || need == Replace) => {
                    exposure.cost(&node.place, node.children, node.children, access)
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
            let nodes = plant(&all);
            let places: Vec<String> = nodes.iter().map(|node| node.place.to_string()).collect();
            let dirs: Vec<(&str, u32)> = places.iter().map(String::as_str).zip(sizes).collect();
            let exposure = holding(&dirs);
            let may = |at: &Location, _: Access| *at != place("~");
            let found = cover(&all, &exposure, &may, &Settings::default());
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

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
        let parent = node.parent;
        if let Some(node) = nodes.get_mut(at) {
            node.best = best;
        }
        if let Some(parent) = parent.and_then(|parent| nodes.get_mut(parent)) {
            for (sum, (cost, _)) in parent.below.iter_mut().zip(best) {
                *sum = sum.saturating_add(cost);
            }
        }
    }
    lines(&nodes)
}

/// The tree of all needed places and what is above them, parents first.
fn plant(needs: &BTreeMap<Location, Access>) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    let mut known: BTreeMap<(Option<usize>, Base, &[u8]), usize> = BTreeMap::new();
    for (place, need) in needs {
        let Location::Path { base, rest } = place else { continue };
        let mut at: Option<usize> = None;
        let ends = std::iter::once(0).chain(rest.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(end, _)| end));
        let ends = ends.chain((!rest.is_empty()).then_some(rest.len()));
        let mut start = 0;
        for end in ends {
            let name = rest.get(start..end).unwrap_or_default();
            start = if end == 0 { 0 } else { end + 1 };
            let key = (at, *base, name);
            let next = known.get(&key).copied().unwrap_or_else(|| {
                if let Some(parent) = at.and_then(|at| nodes.get_mut(at)) {
                    parent.children += 1;
                }
                let place = Location::Path { base: *base, rest: rest.get(..end).unwrap_or_default().to_vec() };
                nodes.push(Node { place, parent: at, need: None, children: 0, best: [(0, 0); 3], below: [0; 3] });
                nodes.len() - 1
            });
            known.insert(key, next);
            at = Some(next);
        }
        if let Some(node) = at.and_then(|at| nodes.get_mut(at)) {
            node.need = node.need.max(Some(*need));
        }
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
            let cost = exposure.cost(&node.place, node.children, access);
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

//! How likely the next run needs something new: leave-one-out over distinct runs, on the *reduced* profile.
//!
//! For each run a profile is made from all others, and the run held against it: k of n would have been refused something.
//! The unit is the run, never the file: a single action brings fifty files at once, so counts of files flatter. Runs of one
//! shape are one run repeated and are left out together. What no profile grants, however many runs there are, is nothing
//! new and does not count.
//!
//! The bound is the one-sided 95 % bound of Clopper and Pearson ("The Use of Confidence or Fiducial Limits Illustrated in
//! the Case of the Binomial", Biometrika 26, 1934): the largest p for which k or fewer of n are not less likely than 5 %.
//! It assumes that runs are alike and independent; an agent whose tasks change is neither.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::Profile;
use crate::profile::evidence::{Evidence, Novelty};
use crate::profile::lines::Lines;
use crate::trace::Trace;
use crate::vocab::access::Access;

use super::cover::Cover;
use super::evidence::shape;
use super::needs::{Need, Needs};
use super::places::Places;
use super::run::Run;
use super::{Settings, assemble, known};
use crate::trace::paths::{Id, Paths};

/// Events that are reduced for all trials together: what learning may take in time.
const BUDGET: usize = 20_000_000;
/// Trials that are made whatever they take.
const FEWEST: usize = 8;
/// Of 5 %, in words of the formula.
const LEFT: f64 = 0.05;

/// Leaves out each distinct run once and notes in `evidence` what it would have been refused. `profile` is the one from all
/// `traces`. The newest runs are tried where there are more than time allows.
pub fn leave_one_out(traces: &[Trace], profile: &Profile, settings: &Settings, evidence: &mut Evidence) {
    // One run stands for all of its shape.
    let mut distinct: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, run) in evidence.runs.iter().enumerate() {
        distinct.entry(&run.shape).or_insert(number);
    }
    if distinct.len() < 2 {
        return;
    }
    let shapes: Vec<String> = traces.iter().map(shape).collect();
    let events: usize = traces.iter().map(|trace| trace.events.len()).sum();
    let most = (BUDGET / events.max(1)).max(FEWEST);
    let mut trials: Vec<usize> = distinct.into_values().collect();
    trials.sort_unstable();
    let first = trials.len().saturating_sub(most);
    // Each run is looked at once, and put together with others as often as it takes.
    let runs: Vec<Run<'_>> = traces.iter().map(|trace| Run::of(trace, known(settings))).collect();
    for number in trials.split_off(first) {
        let Some(run) = evidence.runs.get_mut(number) else { continue };
        let others = runs.iter().zip(&shapes).filter(|(_, own)| **own != run.shape).map(|(other, _)| other);
        let without = assemble(&others.collect::<Vec<_>>(), settings).profile;
        let left = traces.iter().zip(&shapes).find(|(_, own)| **own == run.shape);
        run.left_out = left.map(|(trace, _)| novelty(trace, profile, &without));
    }
}

/// What `trace` needs that `all` grants and `without` does not.
fn novelty(trace: &Trace, all: &Profile, without: &Profile) -> BTreeSet<Novelty> {
    let mut found = BTreeSet::new();
    let mut needs = Needs::of(trace);
    let places = Places::of(trace, &mut needs);
    let layout = super::bundles::layout(trace);
    let [all_lines, other_lines] = [all, without].map(|profile| Lines::of(profile, &trace.header.roots, layout));
    let [all_cover, other_cover] = [&all_lines, &other_lines].map(|lines| Cover::of(lines, &needs.paths));
    for (id, need) in needs.iter().filter(|(id, _)| !places.is_private(*id)) {
        let covers = |lines: &Lines, cover: &Cover| covers(lines, cover, &needs.paths, (id, need));
        if covers(&all_lines, &all_cover) && !covers(&other_lines, &other_cover) {
            found.insert(if need.access.writes() { Novelty::Write } else { Novelty::Hard });
        }
    }
    // These only grow with the runs: what is missing without this run is this run's.
    if all.network.keys().any(|target| !without.network.contains_key(target)) {
        found.insert(Novelty::Network);
    }
    let (mine, others) = (&all.syscalls, &without.syscalls);
    let words = |call, words: &BTreeSet<String>| others.arguments.get(call).is_none_or(|known| !words.is_subset(known));
    if !mine.allow.is_subset(&others.allow) || mine.arguments.iter().any(|(call, values)| words(call, values)) {
        found.insert(Novelty::Syscall);
    }
    found
}

/// Whether a profile lets the need of a path succeed, approved or not.
fn covers(lines: &Lines, cover: &Cover, paths: &Paths, (id, need): (Id, Need)) -> bool {
    let own = cover.over(id);
    if !need.access.writes() {
        // What lies above a granted place is there, too.
        return own.is_some_and(|line| line.access >= need.access)
            || (need.access == Access::Exist && (id == Id::ROOT || lines.is_beneath(&paths.path(id))));
    }
    if own.is_some_and(|line| line.access.writes()) && !need.name_changes {
        return true;
    }
    // A name is made in the directory above, or the line is for that name itself.
    let above = paths.parent(id).and_then(|above| cover.over(above));
    above.is_some_and(|line| line.access == Access::Write) || cover.at(id).is_some_and(|line| line.access.writes())
}

/// The figure that is printed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Figure {
    /// Runs that were tried.
    pub runs: u32,
    /// Those of them that were, or would have been, refused something.
    pub refused: u32,
    /// By kind; one run may count for several.
    pub by: BTreeMap<Novelty, u32>,
}

impl Figure {
    /// Over the runs that were left out; `None` where none was.
    pub fn of(evidence: &Evidence) -> Option<Self> {
        Self::over(evidence.runs.iter().filter_map(|run| run.left_out.as_ref()))
    }

    /// Over trials, each with what was refused; `None` without any.
    pub fn over<'a>(trials: impl IntoIterator<Item = &'a BTreeSet<Novelty>>) -> Option<Self> {
        let mut figure = Self { runs: 0, refused: 0, by: Novelty::ALL.into_iter().map(|kind| (kind, 0)).collect() };
        for trial in trials {
            figure.runs += 1;
            figure.refused += u32::from(!trial.is_empty());
            for kind in trial {
                *figure.by.entry(*kind).or_default() += 1;
            }
        }
        (figure.runs > 0).then_some(figure)
    }

    /// The share of runs that were refused something.
    pub fn point(&self) -> f64 {
        f64::from(self.refused) / f64::from(self.runs.max(1))
    }

    /// The one-sided 95 % upper bound.
    pub fn upper(&self) -> f64 {
        upper_bound(self.refused, self.runs)
    }

    /// How many more runs without anything new bring the bound to `target`; `None` where it takes more than ten thousand.
    pub fn clean_runs_for(&self, target: f64) -> Option<u32> {
        let enough = |more: &u32| upper_bound(self.refused, self.runs + more) <= target;
        // The bound falls with each clean run: bisect.
        let (mut low, mut high) = (0, 10_000);
        enough(&high).then_some(())?;
        while low < high {
            let middle = low + (high - low) / 2;
            if enough(&middle) { high = middle } else { low = middle + 1 }
        }
        Some(high)
    }
}

/// The one-sided 95 % bound of Clopper and Pearson for `k` of `n`.
pub fn upper_bound(k: u32, n: u32) -> f64 {
    if k >= n {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..64 {
        let middle = f64::midpoint(low, high);
        if at_most(k, n, middle) > LEFT { low = middle } else { high = middle }
    }
    high
}

/// The probability of `k` or fewer of `n` at `p` each, by logarithms: no term of it over- or underflows early.
fn at_most(k: u32, n: u32, p: f64) -> f64 {
    let (hit, miss) = (p.ln(), (-p).ln_1p());
    let mut term = f64::from(n) * miss;
    let mut sum = term.exp();
    for i in 0..k {
        term += f64::from(n - i).ln() - f64::from(i + 1).ln() + hit - miss;
        sum += term.exp();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_refusal_in_few_runs_promises_little() {
        // 1 - 0.05^(1/n), in percent.
        let table =
            [(3, 63.2), (5, 45.1), (8, 31.2), (10, 25.9), (12, 22.1), (16, 17.1), (20, 13.9), (30, 9.5), (60, 4.9)];
        for (n, percent) in table {
            assert!((upper_bound(0, n) * 100.0 - percent).abs() < 0.06, "{n}: {}", upper_bound(0, n));
            assert!((upper_bound(0, n) - (1.0 - 0.05_f64.powf(1.0 / f64::from(n)))).abs() < 1e-12);
        }
    }

    #[test]
    fn bounds_are_those_of_the_beta_quantile() {
        // From the binomial tail in exact whole numbers.
        let table =
            [(1, 12, 0.338_681), (2, 10, 0.506_901), (5, 20, 0.455_582), (1, 2, 0.974_679), (50, 1000, 0.062_863)];
        for (k, n, bound) in table {
            assert!((upper_bound(k, n) - bound).abs() < 1e-6, "{k} of {n}: {}", upper_bound(k, n));
        }
        assert!((upper_bound(4, 4) - 1.0).abs() < f64::EPSILON);
        assert!((upper_bound(0, 0) - 1.0).abs() < f64::EPSILON);
        assert!(upper_bound(7, 60_000) < 0.001);
    }

    #[test]
    fn a_target_says_how_many_more_clean_runs_it_takes() {
        let none = BTreeSet::new();
        let of = |clean: usize| Figure::over(std::iter::repeat_n(&none, clean)).unwrap();
        assert_eq!(of(1).clean_runs_for(0.05), Some(58));
        assert_eq!(of(1).clean_runs_for(0.10), Some(28));
        assert_eq!(of(1).clean_runs_for(0.20), Some(13));
        assert_eq!(of(14).clean_runs_for(0.20), Some(0));
        assert_eq!(of(1).clean_runs_for(0.000_001), None);
    }
}

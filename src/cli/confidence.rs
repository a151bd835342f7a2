//! How likely the next run needs something new, in words: after `learn`, and by `show`.

use std::fmt::Write as _;

use crate::profile::evidence::{Evidence, Novelty};
use crate::reduce::confidence::{Figure, upper_bound};
use crate::store::trials::Trial;

/// Bounds that a person may aim at.
const TARGETS: [f64; 3] = [0.20, 0.10, 0.05];

/// What the runs behind a profile say of the next one.
pub(super) fn learned(evidence: &Evidence) -> String {
    let runs = evidence.runs.len();
    let Some(figure) = Figure::of(evidence) else {
        return match runs {
            0 => "It is not known from which runs it was learned.".to_owned(),
            1 => "Learned from 1 run, which says nothing of the next: `learn --append` counts another in.".to_owned(),
            _ => format!(
                "Learned from {runs} runs that did the same and count as one, which says nothing of the next: \
                 `learn --append` counts one with another task in."
            ),
        };
    };
    let distinct: std::collections::BTreeSet<&str> = evidence.runs.iter().map(|run| run.shape.as_str()).collect();
    let tried = match (figure.runs, distinct.len()) {
        (tried, all) if usize::try_from(tried).is_ok_and(|tried| tried == all) => "these".to_owned(),
        (tried, _) => format!("the newest {tried}"),
    };
    let mut out = String::new();
    let _ = write!(out, "Learned from {runs} runs");
    if distinct.len() != runs {
        let _ = write!(out, ", {} of them different", distinct.len());
    }
    let _ = writeln!(
        out,
        ". {} of {tried} would have been stopped by a profile learned from the others.",
        match figure.refused {
            0 => "None".to_owned(),
            some => some.to_string(),
        }
    );
    let _ = writeln!(
        out,
        "Chance that the next similar run needs something new: about {:.0} % (at most {}, 95 % confidence); it assumes that the \
         next run is like these.",
        figure.point() * 100.0,
        percent(figure.upper())
    );
    let _ = writeln!(out, "By kind, at most: {}.", kinds(&figure, &Novelty::ALL));
    out + &aim(&figure)
}

/// What the enforced runs of a profile as it stands say; nothing without any.
pub(super) fn enforced(trials: &[Trial]) -> String {
    let (all, blind) = (trials.len(), trials.iter().filter(|trial| !trial.sees_files).count());
    let Some(figure) = Figure::over(trials.iter().map(|trial| &trial.refused)) else { return String::new() };
    let times = format!("Enforced {all} time{} as it stands", if all == 1 { "" } else { "s" });
    if blind == 0 {
        let (refused, bound) = (figure.refused, percent(figure.upper()));
        return format!(
            "{times}, {refused} of them refused something new: at most {bound} ({}).\n",
            kinds(&figure, &Novelty::ALL)
        );
    }
    let which = if blind == all { "these".to_owned() } else { format!("{blind} of these") };
    format!(
        "{times}; at most {}. Refused files were not seen in {which} runs.\n",
        kinds(&figure, &[Novelty::Network, Novelty::Syscall])
    )
}

/// How many more clean runs the next target takes.
fn aim(figure: &Figure) -> String {
    let Some(target) = TARGETS.into_iter().find(|target| figure.upper() > *target) else { return String::new() };
    match figure.clean_runs_for(target) {
        Some(more) => format!(
            "{more} more run{} that differ{} and need nothing new would make it at most {}.",
            if more == 1 { "" } else { "s" },
            if more == 1 { "s" } else { "" },
            percent(target)
        ),
        None => String::new(),
    }
}

fn kinds(figure: &Figure, kinds: &[Novelty]) -> String {
    let word = |kind: &Novelty| match kind {
        Novelty::Hard => "files",
        Novelty::Write => "writing",
        Novelty::Network => "network",
        Novelty::Syscall => "system calls",
    };
    let bound = |kind| upper_bound(figure.by.get(kind).copied().unwrap_or(0), figure.runs);
    let parts: Vec<String> = kinds.iter().map(|kind| format!("{} {}", word(kind), percent(bound(kind)))).collect();
    parts.join(", ")
}

/// Whole percents; of small ones a digit more.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent < 9.95 && percent.fract() > 0.05 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

/// The same for scripts.
pub(super) fn json(evidence: &Evidence, trials: &[Trial]) -> serde_json::Value {
    let figure = |figure: Option<Figure>| {
        figure.map(|figure| {
            serde_json::json!({
                "runs": figure.runs,
                "refused": figure.refused,
                "point": figure.point(),
                "upper95": figure.upper(),
                "by": figure.by,
                "more_clean_runs": TARGETS
                    .into_iter()
                    .map(|target| (percent(target), figure.clean_runs_for(target).into()))
                    .collect::<serde_json::Map<_, _>>(),
            })
        })
    };
    serde_json::json!({
        "runs": evidence.runs.len(),
        "left_out": figure(Figure::of(evidence)),
        "enforced": figure(Figure::over(trials.iter().map(|trial| &trial.refused))),
        "enforced_sees_files": !trials.is_empty() && trials.iter().all(|trial| trial.sees_files),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::evidence::Run;

    fn evidence(left_out: &[Option<&[Novelty]>]) -> Evidence {
        let run = |(number, left_out): (usize, &Option<&[Novelty]>)| Run {
            id: number.to_string(),
            started: 0,
            complete: true,
            status: None,
            shape: number.to_string(),
            left_out: left_out.map(|kinds| kinds.iter().copied().collect()),
        };
        Evidence { runs: left_out.iter().enumerate().map(run).collect(), ..Evidence::default() }
    }

    #[test]
    fn one_of_twelve_is_said_with_its_bound() {
        let mut runs: [Option<&[Novelty]>; 12] = [Some(&[]); 12];
        runs[4] = Some(&[Novelty::Hard]);
        let expected = "\
Learned from 12 runs. 1 of these would have been stopped by a profile learned from the others.
Chance that the next similar run needs something new: about 8 % (at most 34 %, 95 % confidence); it assumes that the next run is like these.
By kind, at most: files 34 %, writing 22 %, network 22 %, system calls 22 %.
10 more runs that differ and need nothing new would make it at most 20 %.";
        assert_eq!(learned(&evidence(&runs)), expected);
    }

    #[test]
    fn one_run_says_nothing_of_the_next() {
        assert!(learned(&evidence(&[None])).starts_with("Learned from 1 run, which says nothing of the next"));
    }

    #[test]
    fn five_clean_runs_are_never_called_certain() {
        assert!(learned(&evidence(&[Some(&[][..]); 5])).contains("about 0 % (at most 45 %, 95 % confidence)"));
    }

    #[test]
    fn trials_that_see_no_files_do_not_speak_of_files() {
        let trial = |sees_files| Trial { digest: String::new(), when: 0, refused: [].into(), sees_files };
        let blind = enforced(&[trial(false), trial(true)]);
        assert_eq!(
            blind,
            "Enforced 2 times as it stands; at most network 78 %, system calls 78 %. Refused files were not seen in 1 of these runs.\n"
        );
        assert!(
            enforced(&[trial(true)])
                .starts_with("Enforced 1 time as it stands, 0 of them refused something new: at most 95 %")
        );
        assert_eq!(enforced(&[]), "");
    }
}

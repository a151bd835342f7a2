//! `pinfold doctor`: tries each kernel feature and says what works, what is missing and how to get it.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::probe::features::{self, Feature, Need, State};
use crate::vocab::escape::terminal;

/// As typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pinfold doctor\n  pinfold doctor --json\n\nExit code: 0 everything required works, 1 \
                        something is missing"
)]
pub struct DoctorArgs {
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

/// Tries everything and prints it. Success: all that is required works; 1: something is missing.
pub fn run(args: &DoctorArgs) -> io::Result<ExitCode> {
    let features = features::try_all();
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &features)?;
        writeln!(out)?;
    } else {
        out.write_all(render(&features).as_bytes())?;
    }
    out.flush()?;
    Ok(if features.iter().any(Feature::blocks) { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn render(features: &[Feature]) -> String {
    let width = features.iter().map(|feature| feature.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    let mut said = String::new();
    for feature in features {
        let (word, more) = match &feature.state {
            State::Works { detail } => {
                ("works", detail.as_ref().map(|detail| format!(" ({})", terminal(detail.as_bytes()))))
            }
            State::Missing { .. } if feature.need == Need::Optional => ("absent", None),
            State::Missing { .. } => ("MISSING", None),
        };
        text.push_str(&format!(
            "{word:<8} {:<width$}  {}{}\n",
            feature.name,
            feature.what_for,
            more.unwrap_or_default()
        ));
        // One setting often forbids many things: it is explained once.
        let advice = advice(feature);
        if advice.is_empty() || advice != said {
            text.push_str(&advice);
            said = advice;
        }
    }
    let missing = features.iter().filter(|feature| feature.blocks()).count();
    text.push_str(&match missing {
        0 => "\nEverything that pinfold needs works here.\n".to_owned(),
        1 => "\n1 thing that pinfold needs is missing; see above.\n".to_owned(),
        more => format!("\n{more} things that pinfold needs are missing; see above.\n"),
    });
    let names = ["user namespace", "new proc", "mount API"];
    let refused = features.iter().any(|feature| feature.blocks() && names.contains(&feature.name));
    if refused && features.iter().any(|feature| feature.name == "Landlock" && !feature.blocks()) {
        text.push_str(
            "A profile with `tolerate = [\"no-namespaces\"]` runs here under Landlock and the filter alone, which protect less.\n",
        );
    }
    text
}

/// Why a feature is missing and what helps, indented below its line; nothing for one that works.
fn advice(feature: &Feature) -> String {
    let State::Missing { why, remedy } = &feature.state else { return String::new() };
    let mut text = format!("           {}\n", terminal(why.as_bytes()));
    for line in remedy {
        text.push_str(&format!("           hint: {}\n", copyable(line)));
    }
    text
}

/// The same for a hint of another command, for the moment when a sandbox did not start: what is missing and why, and a line
/// for each remedy. `None` when everything required works after all.
pub fn what_is_missing() -> Option<String> {
    let feature = features::first_missing()?;
    let State::Missing { why, remedy } = &feature.state else { return None };
    let mut lines = vec![format!("{}: {}", feature.name, terminal(why.as_bytes()))];
    lines.extend(remedy.iter().map(|line| copyable(line)));
    lines.push("`pinfold doctor` tries everything that is needed".to_owned());
    Some(lines.join("\n      "))
}

/// Remedies are made of fixed text and the path of this program, and are there to be copied: a backslash stays single.
fn copyable(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(need: Need, state: State) -> Feature {
        Feature { name: "new proc", what_for: "a /proc of its own", need, state }
    }

    #[test]
    fn what_is_missing_is_shown_with_its_reason_and_each_remedy() {
        let state = State::Missing { why: "covered".to_owned(), remedy: vec!["one".to_owned(), "two".to_owned()] };
        let text = render(&[feature(Need::Required, state)]);
        assert!(text.starts_with("MISSING  new proc"), "{text}");
        assert!(text.contains("covered\n           hint: one\n           hint: two\n"), "{text}");
        assert!(text.contains("1 thing that pinfold needs is missing"), "{text}");
    }

    #[test]
    fn an_absent_extra_is_no_lack() {
        let state = State::Missing { why: "old".to_owned(), remedy: Vec::new() };
        let text = render(&[feature(Need::Optional, state), feature(Need::Required, State::Works { detail: None })]);
        assert!(text.contains("absent   new proc") && text.contains("Everything that pinfold needs works"), "{text}");
    }
}

//! `pinfold diff`: what a profile allows that another does not, in the form that the place of review wants.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::diff::render::terminal::{self, Look, Style};
use crate::diff::render::{Source, github, html, json, markdown, sarif};
use crate::diff::{self, Context, Difference};
use crate::profile::evidence::Evidence;
use crate::run::profile_file::{self, ProfileFile};
use crate::run::surroundings::Surroundings;
use crate::run::{VERSION, evidence, git};
use crate::store::Store;
use crate::vocab::escape;

use super::exit::Exit;
use super::screen::{self, Colour, Stream};
use super::{hints, show};

/// `pinfold diff`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinfold diff old.toml new.toml
  pinfold diff --against main claude                          what this branch changes
  pinfold diff --against origin/main --three-way claude       what merging it would
  pinfold diff --against main --format markdown claude        for a comment
  pinfold diff --against main --fail-on risk=3 claude         as a gate
  pinfold diff --staged generated-profiles/claude.toml        what is about to be committed")]
pub struct DiffArguments {
    /// Compare with the profile as it is in this revision of git; one that is not there yet grants nothing
    #[arg(long, value_name = "REV")]
    pub against: Option<String>,
    /// With --against: leave out what the other side took away since the two parted
    #[arg(long, requires = "against")]
    pub three_way: bool,
    /// Compare what is about to be committed with the last commit
    #[arg(long, conflicts_with_all = ["against", "three_way"])]
    pub staged: bool,
    /// The form of the text
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub format: Form,
    /// As JSON, for scripts: --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// When to exit with 1: `widens` when more is allowed, `risk=N` when something of at least that risk is, `unapproved`
    /// when more is allowed and nobody approved it on this machine or by --accept-digest
    #[arg(long, value_name = "WHAT", default_value = "widens", value_parser = fail_on)]
    pub fail_on: FailOn,
    /// A digest that counts as approved; may be repeated
    #[arg(long, value_name = "DIGEST")]
    pub accept_digest: Vec<String>,
    /// The profiles before and after; with --against or --staged the one after. Files, or names in generated-profiles/
    #[arg(value_name = "PROFILE", required = true, num_args = 1..=2)]
    pub profiles: Vec<PathBuf>,
}

/// Values of `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For a terminal.
    Text,
    /// For scripts.
    Json,
    /// For a comment on a merge request.
    Markdown,
    /// SARIF 2.1.0, for code scanners.
    Sarif,
    /// Annotations for GitHub Actions.
    Github,
    /// A page for a browser.
    Html,
}

/// Values of `--fail-on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailOn {
    /// More is allowed.
    Widens,
    /// Something of at least this risk is.
    Risk(u8),
    /// More is, and nobody approved it.
    Unapproved,
}

fn fail_on(text: &str) -> Result<FailOn, String> {
    match (text, text.strip_prefix("risk=").map(str::parse)) {
        ("widens", _) => Ok(FailOn::Widens),
        ("unapproved", _) => Ok(FailOn::Unapproved),
        (_, Some(Ok(risk @ 0..=4))) => Ok(FailOn::Risk(risk)),
        _ => Err("it is neither `widens`, `unapproved` nor `risk=` with a number from 0 to 4".to_owned()),
    }
}

pub(super) fn run(arguments: &DiffArguments) -> Exit {
    let (difference, new) = match compared(arguments) {
        Ok(compared) => compared,
        Err(exit) => return exit,
    };
    let path = shown_path(arguments, &new);
    let source = Source { path: &path, text: &new.text };
    let text = match arguments.format {
        _ if arguments.json => json::text(&difference),
        Form::Text => text(&difference, Stream::Output),
        Form::Json => json::text(&difference),
        Form::Markdown => markdown::text(&difference, &path),
        Form::Sarif => format!("{:#}\n", sarif::value(&difference, &source, VERSION)),
        Form::Github => github::text(&difference, &source),
        Form::Html => html::text(&difference, &path),
    };
    match screen::data(&text) {
        Ok(()) if fails(arguments, &difference, &new) => Exit::Differs,
        Ok(()) => Exit::Success,
        Err(_) => Exit::Trouble,
    }
}

/// As a code host knows it, where it was given as a file: relative to where one stands.
fn shown_path(arguments: &DiffArguments, new: &ProfileFile) -> String {
    let given = arguments.profiles.last().filter(|given| given.is_file() || arguments.staged);
    escape::file(given.map_or(new.path.as_path(), PathBuf::as_path).as_os_str().as_encoded_bytes())
}

fn fails(arguments: &DiffArguments, difference: &Difference, new: &ProfileFile) -> bool {
    match arguments.fail_on {
        FailOn::Widens => difference.widens(),
        FailOn::Risk(least) => difference.risk().is_some_and(|risk| risk >= least),
        FailOn::Unapproved => difference.widens() && !is_approved(arguments, new),
    }
}

fn is_approved(arguments: &DiffArguments, new: &ProfileFile) -> bool {
    let stored = || {
        let surroundings = Surroundings::read(None).ok()?;
        let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid).ok()?;
        new.is_approved(&store).ok()
    };
    arguments.accept_digest.contains(&new.digest) || stored() == Some(true)
}

fn compared(arguments: &DiffArguments) -> Result<(Difference, ProfileFile), Exit> {
    let trouble = |error: &dyn std::error::Error| {
        screen::error(error, None);
        Exit::Trouble
    };
    let [first, rest @ ..] = arguments.profiles.as_slice() else { return Err(Exit::Trouble) };
    let from_git = arguments.staged || arguments.against.is_some();
    if from_git != rest.is_empty() {
        screen::say(format!(
            "{} {}",
            screen::paint("error:", Colour::Red),
            if from_git {
                "--against and --staged take one profile"
            } else {
                "two profiles are compared, or one with --against"
            }
        ));
        return Err(Exit::Trouble);
    }
    if let [second] = rest {
        let [old, new] = show::open_both(first, second)?;
        let evidence = kept(&new);
        let context = Context { evidence: evidence.as_ref(), ..Context::default() };
        return Ok((diff::compare(&old.profile, &new.profile, &context), new));
    }
    let here = Path::new(".");
    if arguments.staged {
        // Nothing was committed yet: there was nothing before.
        let head = git::commit(here, "HEAD").ok();
        let new = revision("", first)?.ok_or_else(|| {
            screen::say(format!(
                "{} `{}` is not about to be committed",
                screen::paint("error:", Colour::Red),
                first.display()
            ));
            Exit::Trouble
        })?;
        let old = head.map_or(Ok(None), |head| revision(&head, first))?;
        return Ok((against(old.as_ref(), &new, None), new));
    }
    let new = show::open(first)?;
    let path = if first.is_file() { first.clone() } else { new.path.clone() };
    let directory = if path.is_absolute() { path.parent().unwrap_or(here) } else { here };
    let target =
        git::commit(directory, arguments.against.as_deref().unwrap_or("HEAD")).map_err(|error| trouble(&error))?;
    let old = revision(&target, &path)?;
    if !arguments.three_way {
        return Ok((against(old.as_ref(), &new, kept(&new).as_ref()), new));
    }
    let base = git::merge_base(directory, &target, "HEAD").map_err(|error| trouble(&error))?;
    let base = revision(&base, &path)?;
    let nothing = diff::nothing(&new.profile);
    let [base, target] = [base, old].map(|file| file.map_or_else(|| nothing.clone(), |file| file.profile));
    let evidence = kept(&new);
    let context = Context { evidence: evidence.as_ref(), ..Context::default() };
    Ok((diff::three_way(&base, &target, &new.profile, &context), new))
}

/// Against a profile that may not have been there.
fn against(old: Option<&ProfileFile>, new: &ProfileFile, evidence: Option<&Evidence>) -> Difference {
    let context = Context { evidence, ..Context::default() };
    let nothing = diff::nothing(&new.profile);
    diff::compare(old.map_or(&nothing, |old| &old.profile), &new.profile, &context)
}

/// The profile as it is in a commit; an error is already said.
fn revision(commit: &str, path: &Path) -> Result<Option<ProfileFile>, Exit> {
    let text = git::text(commit, path).map_err(|error| {
        screen::error(&error, None);
        Exit::Trouble
    })?;
    text.map(|text| profile_file::from_text(path, text)).transpose().map_err(|error| {
        screen::error(&error, hints::profile_file(&error).as_deref());
        Exit::Trouble
    })
}

/// What is kept on this machine of the runs behind it.
pub(super) fn kept(file: &ProfileFile) -> Option<Evidence> {
    let surroundings = Surroundings::read(None).ok()?;
    evidence::load(&surroundings, &file.path).ok().flatten()
}

/// For a person, on `stream`.
pub(super) fn text(difference: &Difference, stream: Stream) -> String {
    let paint = |text: &str, look| {
        let colour = match look {
            Look::Danger => Colour::Red,
            Look::Caution => Colour::Yellow,
            Look::Calm => Colour::Green,
            Look::Faint => Colour::Faint,
            Look::Heading => Colour::Bold,
        };
        screen::paint_for(stream, text, colour)
    };
    terminal::text(difference, &Style { width: stream.width(), paint: &paint })
}

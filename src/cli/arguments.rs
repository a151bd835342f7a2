//! What a person types.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Learns what an AI agent needs, and runs it in a sandbox that grants only that
#[derive(Debug, Parser)]
#[command(name = "pinfold", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Examples:
  pinfold run -- claude              learn on the first run, enforce from the second on
  pinfold show claude                what the learned profile allows
  pinfold demo                       the whole loop on a small bundled agent
  pinfold doctor                     what this machine lacks, and how to enable it")]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands. Each one's options are made when it is the one: all of them are half a millisecond of every start.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Learn a command on its first run, enforce its profile from then on
    Run(RunArguments),
    /// Run a command once under observation and write its profile
    Learn(LearnArguments),
    /// Run a command in the sandbox of its profile
    Enforce(EnforceArguments),
    /// Say in plain words what a profile allows
    Show(ShowArguments),
    /// Look at what in a profile waits for a person, and say yes or no
    Approve(ApproveArguments),
    /// Say what a profile allows that another does not, and how dangerous that is
    ///
    /// Exit code: 0 nothing more is allowed, 1 more is, 2 trouble
    Diff(super::diff::DiffArguments),
    /// Let git tell what profiles allow: git diff, git log -p, merges
    GitSetup(super::git::SetupArguments),
    /// What `git diff` runs for profiles
    #[command(hide = true)]
    GitDiff(super::git::DriverArguments),
    /// What `git log -p` runs for profiles
    #[command(hide = true)]
    GitTextconv(super::git::TextconvArguments),
    /// Say what a reviewer would stumble over: dangerous lines without a reason, lines that nobody used or that say nothing
    ///
    /// Exit code: 0 nothing but notes, 1 warnings, 2 trouble
    Check(CheckArguments),
    /// Bring profiles to their one form; comments stay
    ///
    /// Exit code: 0 done, or nothing to do; with --check 1 where there is; 2 trouble
    Fmt(FmtArguments),
    /// Write one page about a profile for a browser: what it allows, what was used of it, what was refused
    Report(ReportArguments),
    /// Turn what the last runs were refused into lines of the profile, one question each
    ///
    /// Exit code: 0 added, or nothing to add; 1 nothing was added; 2 trouble
    Amend(AmendArguments),
    /// Look at changes that a run with --overlay put aside, and take them or throw them away
    ///
    /// Exit code: 0 nothing waits any more, 1 something does, 2 trouble
    Review(ReviewArguments),
    /// Say what earlier runs of a profile were refused, and what would allow it
    Denials(DenialsArguments),
    /// Say who needed something and which line grants it; or why it is not granted, and what would allow it
    Explain(ExplainArguments),
    /// Make one profile of several profiles and traces: what each of them allows
    Merge(MergeArguments),
    /// Merge two branches that both changed a profile; git calls it
    #[command(hide = true, name = "merge-driver")]
    MergeDriver(MergeDriverArguments),
    /// Look at what was observed of a run
    #[command(subcommand, after_help = "Example:\n  pinfold trace show claude")]
    Trace(TraceCommand),
    /// Try each kernel feature, and say what works, what is missing and how to get it
    Doctor(super::doctor::DoctorArgs),
    /// Show the whole loop on a small bundled agent: learn, enforce, and an escape that fails
    Demo(super::demo::DemoArgs),
    /// Try fifty harmless attacks on this machine, without a sandbox and inside: held, escaped, or not triable
    Selftest(super::selftest::SelftestArgs),
    /// A helper of `demo`, run inside its sandbox
    #[command(hide = true, name = "demo-tool")]
    DemoTool(super::demo::tool::ToolArgs),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  pinfold completions bash > ~/.local/share/bash-completion/completions/pinfold")]
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, one for each command
    #[command(after_help = "Example:\n  pinfold man ~/.local/share/man/man1")]
    Man {
        /// The directory for them; it is made where it is missing
        dir: PathBuf,
    },
}

/// Where the profile and the project are.
#[derive(Debug, Clone, Args)]
pub struct Places {
    /// The profile file [default: generated-profiles/NAME.toml in the project]
    #[arg(short, long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// The project's root [default: the nearest directory above with a .git, else the working directory]
    #[arg(long, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// As root: run the command as the user whom the project belongs to
    #[arg(long)]
    pub as_owner: bool,
    /// Write what happened to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Say nothing but errors, refusals and what runs unconfined
    #[arg(short, long)]
    pub quiet: bool,
}

/// What is told of what was refused.
#[derive(Debug, Clone, Default, Args)]
pub struct Telling {
    /// Show everything that was refused at the end, not the first ten things alone
    #[arg(long)]
    pub denials: bool,
    /// Name writes that are refused in what may only be read, too; calls that write cost more then
    #[arg(long)]
    pub report_writes: bool,
    /// Append what is refused to this file when it happens, a line of JSON each, and at the end how often
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

/// What a learning run may do and see.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag as typed; `learn` turns them into types")]
pub struct LearnOptions {
    /// Approve what was learned without asking: `own` is the network as used and the agent's own credentials, `all` is
    /// everything, key stores and names that your machine executes included
    #[arg(long, value_name = "WHAT")]
    pub accept_learned: Option<Accept>,
    /// Let the agent see a place of the vault (private keys, cloud credentials) while learning; may be repeated
    #[arg(long, value_name = "PATH")]
    pub open_vault: Vec<PathBuf>,
    /// Learn without a network
    #[arg(long)]
    pub no_network: bool,
    /// Learn with the host's whole network, unconfined: for what is no TCP connection (UDP, QUIC, ping), or where the broker
    /// that knows peers by name cannot work
    #[arg(long, conflicts_with = "no_network")]
    pub host_network: bool,
    /// Observe every system call, the harmless ones of the base set too, and every answer (slower)
    #[arg(long)]
    pub exact: bool,
    /// Make the profile from all complete runs that are kept for it, not from this one alone
    #[arg(long)]
    pub append: bool,
    /// Learn also from a command that ends with an error
    #[arg(long)]
    pub even_if_failed: bool,
    /// Make a profile also of a run that was not observed to its end, or not completely; it says so, and asks before it is
    /// used
    #[arg(long)]
    pub even_if_incomplete: bool,
    /// Complete what is recorded so often that no more than these seconds are lost when pinfold or the machine is killed
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub checkpoint: u64,
    /// Record so many facts at most; a run with more is incomplete
    #[arg(long, value_name = "COUNT", default_value_t = crate::tracer::DEFAULT_CAP)]
    pub most_facts: u64,
    /// End the command after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

/// Values of `--accept-learned`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Accept {
    /// The network as used and the agent's own credentials.
    Own,
    /// Everything.
    All,
}

/// `pinfold run`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinfold run -- claude
  pinfold run --accept-learned=own -- codex exec 'fix the tests'

The first run is observed, with your network and within limits: key stores are hidden, start-up files and git hooks are
read-only. It ends with one question. From then on the command runs in the sandbox of its profile.

Exit code: the command's own; 125 pinfold failed or refused, 126 cannot execute, 127 not found, 128+N signal N")]
pub struct RunArguments {
    /// Places.
    #[command(flatten)]
    pub places: Places,
    /// Learning.
    #[command(flatten)]
    pub learn: LearnOptions,
    /// What was refused.
    #[command(flatten)]
    pub telling: Telling,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `pinfold learn`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinfold learn -- make test
  pinfold learn --append -- make docs
  pinfold learn --timeout 600 --even-if-incomplete -- server    a command that never ends by itself
  pinfold learn --from-trace server --even-if-incomplete        the same of a run that was killed
  strace -f -y -s 4096 -o log make && pinfold learn --from-strace log
  pinfold learn --open-vault ~/.ssh/known_hosts -- git fetch

Exit code: the command's own; 125 pinfold failed or refused, 126 cannot execute, 127 not found, 128+N signal N")]
pub struct LearnArguments {
    /// Places.
    #[command(flatten)]
    pub places: Places,
    /// Learning.
    #[command(flatten)]
    pub learn: LearnOptions,
    /// Run nothing: make the profile from a kept trace, by its file or by the name of its profile
    #[arg(long, value_name = "TRACE", conflicts_with_all = ["open_vault", "no_network", "host_network", "exact", "timeout", "report", "command"])]
    pub from_trace: Option<PathBuf>,
    /// Run nothing: make the profile from what `strace -f -y -s 4096 -o FILE` wrote, or `-ff` into several files; the
    /// command is as there, or the one that is given. It is never complete, says so, and asks before it is used
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["from_trace", "open_vault", "no_network", "host_network", "exact", "timeout", "report"])]
    pub from_strace: Vec<PathBuf>,
    /// The command and its arguments
    #[arg(last = true, required_unless_present_any = ["from_trace", "from_strace"], value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `pinfold enforce`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinfold enforce -- claude
  pinfold enforce --dry-run -- claude
  pinfold enforce --accept-digest sha256:… -- claude      in CI, where nobody approved anything

Exit code: the command's own; 125 pinfold failed or refused, 126 cannot execute, 127 not found, 128+N signal N")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag as typed")]
pub struct EnforceArguments {
    /// Places.
    #[command(flatten)]
    pub places: Places,
    /// What was refused.
    #[command(flatten)]
    pub telling: Telling,
    /// Print the plan and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// With --dry-run: say beside each line of the plan what it is for
    #[arg(long, requires = "dry_run")]
    pub explain: bool,
    /// Put what the command changes in the project aside, to be looked at and taken or thrown away afterwards
    #[arg(long)]
    pub overlay: bool,
    /// Put files whose commands the command changed (scripts of npm, servers of an agent, hooks in settings) back as they
    /// were, and keep what it made of them beside them, as NAME.held; on a terminal that is asked
    #[arg(long)]
    pub hold_commands: bool,
    /// Run a profile that was not approved on this machine, if its digest is this one
    #[arg(long, value_name = "DIGEST")]
    pub accept_digest: Option<String>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `pinfold show`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pinfold show claude\n  pinfold show --json generated-profiles/claude.toml")]
pub struct ShowArguments {
    /// As JSON, for scripts
    #[arg(long)]
    pub json: bool,
    /// List what each bundle opens on this machine, and the calls of the base set
    #[arg(long)]
    pub expand: bool,
    /// A profile file, or the name of one in generated-profiles/
    #[arg(value_name = "PROFILE")]
    pub profile: PathBuf,
}

/// `pinfold approve`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinfold approve claude                 asks about each sensitive grant, then about the profile
  pinfold approve --accept=own claude    without a terminal
  pinfold approve --expires 30d --why \"for the migration\" claude")]
pub struct ApproveArguments {
    /// Why, for those who look at it later
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// For how long: a number with `h`, `d` or `w` for hours, days or weeks [default: for good]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub expires: Option<u64>,
    /// Approve without asking
    #[arg(long, value_name = "WHAT")]
    pub accept: Option<Accept>,
    /// A profile file, or the name of one in generated-profiles/
    #[arg(value_name = "PROFILE")]
    pub profile: PathBuf,
}

/// `pinfold check`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinfold check claude
  pinfold check --fix claude                                     takes out what another line says as well
  pinfold check --ceiling org.toml claude                        whether it stays below what the organisation allows
  pinfold check --format sarif generated-profiles/*.toml         for a code host")]
pub struct CheckArguments {
    /// Mend what can be mended without changing what is allowed
    #[arg(long)]
    pub fix: bool,
    /// The form of the list
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub format: CheckFormat,
    /// A profile that none may exceed, an organisation's: each line that does is named. All lines count as approved
    #[arg(long, value_name = "FILE")]
    pub ceiling: Option<PathBuf>,
    /// Profile files, or names of profiles in generated-profiles/
    #[arg(value_name = "PROFILE", required = true)]
    pub profiles: Vec<PathBuf>,
}

/// Values of `check --format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// A line a finding.
    Text,
    /// For scripts.
    Json,
    /// SARIF 2.1.0.
    Sarif,
}

/// `pinfold fmt`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinfold fmt claude
  pinfold fmt --check generated-profiles/*.toml      in CI: says which are not in their one form")]
pub struct FmtArguments {
    /// Write nothing; list what is not in its one form
    #[arg(long)]
    pub check: bool,
    /// Profile files, or names of profiles in generated-profiles/
    #[arg(value_name = "PROFILE", required = true)]
    pub profiles: Vec<PathBuf>,
}

/// `pinfold report`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinfold report claude > claude.html
  pinfold report --against old.toml --output page.html new.toml      with what is different, side by side
  pinfold report --changes claude                                    before you use what the last run wrote

The page needs no network and no other file. Its text can be read without scripts.")]
pub struct ReportArguments {
    /// Write it to this file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Show what is different from this profile, too
    #[arg(long, value_name = "PROFILE")]
    pub against: Option<PathBuf>,
    /// Show this run, not those that are kept; may be repeated
    #[arg(long, value_name = "TRACE")]
    pub trace: Vec<PathBuf>,
    /// No page: say what the last run changed that your machine may run or obey: names that it executes, commands in files,
    /// executable files, set-id bits, symlinks that lead out
    #[arg(long, conflicts_with_all = ["output", "against", "trace"])]
    pub changes: bool,
    /// With --changes: as JSON, for scripts
    #[arg(long, requires = "changes")]
    pub json: bool,
    /// A profile file, or the name of one in generated-profiles/
    #[arg(value_name = "PROFILE")]
    pub profile: PathBuf,
}

/// `pinfold denials`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pinfold denials claude\n  pinfold denials --runs 1 --json claude")]
pub struct DenialsArguments {
    /// As JSON, for scripts
    #[arg(long)]
    pub json: bool,
    /// So many runs at most, the last ones
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub runs: usize,
    /// A profile file, or the name of one in generated-profiles/
    #[arg(value_name = "PROFILE")]
    pub profile: PathBuf,
}

/// `pinfold amend`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinfold amend claude            asks about each line that would have allowed something
  pinfold amend --runs 1 claude | cat     lists them, with numbers
  pinfold amend --add 1,3 claude  adds two of them without asking")]
pub struct AmendArguments {
    /// Of so many runs at most, the last ones that were refused something
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub runs: usize,
    /// Add these lines without asking, by their numbers in the list
    #[arg(long, value_name = "NUMBER", value_delimiter = ',')]
    pub add: Vec<usize>,
    /// A profile file, or the name of one in generated-profiles/
    #[arg(value_name = "PROFILE")]
    pub profile: PathBuf,
}

/// `pinfold review`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinfold enforce --overlay -- claude     puts the changes aside, and asks about them at the end
  pinfold review claude                   asks about those that wait
  pinfold review --diff claude src/main.c
  pinfold review --take claude src docs   takes what lies there, but for what needs a look
  pinfold review --discard claude")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag as typed")]
pub struct ReviewArguments {
    /// Show what is different, as `diff -u` does
    #[arg(long)]
    pub diff: bool,
    /// Take the changes without asking, but for those with a warning
    #[arg(long, conflicts_with_all = ["diff", "discard"])]
    pub take: bool,
    /// With --take: those with a warning, too
    #[arg(long, requires = "take")]
    pub even_with_warnings: bool,
    /// Throw all of them away
    #[arg(long, conflicts_with_all = ["diff", "paths"])]
    pub discard: bool,
    /// A profile file, or the name of one in generated-profiles/
    #[arg(value_name = "PROFILE")]
    pub profile: PathBuf,
    /// Only these, and what lies beneath them; below the project
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// `pinfold explain`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinfold explain claude ~/.gitconfig            who read it, in which runs, and which line lets them
  pinfold explain claude ~/.ssh/id_ed25519       why it is not granted
  pinfold explain claude api.example.com:443     a host; also a system call (ptrace) or a variable (PATH)
  pinfold explain claude --tree                  all programs, with what each needed
  pinfold explain claude --export-evidence claude.evidence    for CI, which learned nothing:
  pinfold explain claude --evidence claude.evidence /etc/hosts")]
pub struct ExplainArguments {
    /// As JSON, for scripts
    #[arg(long, conflicts_with = "tree")]
    pub json: bool,
    /// Draw the tree of programs with what each needed; with WHAT, of those that needed it
    #[arg(long)]
    pub tree: bool,
    /// The evidence to read, instead of what is kept on this machine
    #[arg(long, value_name = "FILE")]
    pub evidence: Option<PathBuf>,
    /// Write the evidence to this file
    #[arg(long, value_name = "FILE")]
    pub export_evidence: Option<PathBuf>,
    /// A profile file, or the name of one in generated-profiles/
    #[arg(value_name = "PROFILE")]
    pub profile: PathBuf,
    /// A path, a system call, a host with or without its port, or a variable
    #[arg(value_name = "WHAT", required_unless_present_any = ["tree", "export_evidence"])]
    pub what: Option<OsString>,
}

/// `pinfold merge`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinfold merge mine.toml theirs.toml                   to the standard output
  pinfold merge -o claude.toml mine.toml theirs.toml
  pinfold merge -o claude.toml run1.trace run2.trace    the same as learning from both

The order does not matter, and one file twice is one. A merged line is the line of one of them, so none is approved that
was not; and the result as a whole waits for `pinfold approve`.")]
pub struct MergeArguments {
    /// Where it goes; by default to the standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Profiles, by file or by name in generated-profiles/, and traces
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// `pinfold merge-driver`, as git calls it: `pinfold merge-driver %O %A %B %P`.
#[derive(Debug, Args)]
pub struct MergeDriverArguments {
    /// What both come from; empty where both made it
    pub base: PathBuf,
    /// Ours, which is replaced
    pub ours: PathBuf,
    /// Theirs
    pub theirs: PathBuf,
    /// The path in the repository
    pub path: Option<PathBuf>,
}

/// What to do with a trace.
#[derive(Debug, Subcommand)]
pub enum TraceCommand {
    /// List what was observed, a line a fact
    #[command(after_help = "\
Examples:
  pinfold trace show claude                        the last run that made generated-profiles/claude.toml
  pinfold trace show claude --kind connect,exit    only these kinds")]
    Show(TraceShowArguments),
    /// Count what was observed, by kind and by program
    #[command(after_help = "Example:\n  pinfold trace stats claude --json")]
    Stats(TraceStatsArguments),
}

/// `pinfold trace show`.
#[derive(Debug, Args)]
pub struct TraceShowArguments {
    /// A trace file, or the name or file of a profile for its last run
    pub trace: PathBuf,
    /// Only facts of these kinds
    #[arg(long, value_delimiter = ',', value_name = "KIND", value_parser = [
        "image", "path", "pair", "call", "argument", "unknown-call", "connect", "listen", "environment", "mentioned", "denied", "gap",
        "census", "peaks", "exit",
    ])]
    pub kind: Vec<String>,
}

/// `pinfold trace stats`.
#[derive(Debug, Args)]
pub struct TraceStatsArguments {
    /// A trace file, or the name or file of a profile for its last run
    pub trace: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Seconds of `12h`, `30d`, `2w`.
fn duration(text: &str) -> Result<u64, String> {
    let wrong = || "it is no number with `h`, `d` or `w`".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(wrong()),
    };
    let number: u64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).ok_or_else(wrong)
}

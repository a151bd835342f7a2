//! Reviewing in git: the built program and a real git, in repositories of the test's own.

#![expect(clippy::unwrap_used, reason = "a test program: a panic in a helper is a failed test")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::scratch::{Scratch, said};

const OLD: &str = "schema = 1\nname = \"agent\"\ncommand = [\"agent\"]\n\n[filesystem]\n\"$PROJECT\" = \"write\"\n\n[syscalls]\nbase = 1\n";

fn wider(lines: &str) -> String {
    OLD.replace("\"$PROJECT\" = \"write\"\n", &format!("\"$PROJECT\" = \"write\"\n{lines}"))
}

/// A repository with one commit of one profile.
struct Repository {
    scratch: Scratch,
    profile: PathBuf,
}

impl Repository {
    fn new() -> Self {
        let scratch = Scratch::new("git");
        let profile = scratch.project().join("generated-profiles/agent.toml");
        std::fs::create_dir_all(profile.parent().unwrap()).unwrap();
        std::fs::write(&profile, OLD).unwrap();
        let repository = Self { scratch, profile };
        repository.git(&["init", "-q", "-b", "main"]);
        repository.commit("learned");
        repository
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut git = Command::new("git");
        git.current_dir(self.scratch.project()).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        git.env("HOME", self.scratch.home()).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_PAGER", "cat");
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), "A").env(format!("GIT_{who}_EMAIL"), "a@example.com");
        }
        git.args(arguments);
        git
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        said(&output)
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.profile, text).unwrap();
    }

    fn pinfold(&self, arguments: &[&str]) -> Output {
        self.scratch.pinfold(arguments).current_dir(self.scratch.project()).output().unwrap()
    }

    fn set_up(&self, more: &[&str]) {
        let output = self.pinfold(&[&["git-setup", "--yes"], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
}

const SSH: &str = "\"~/.ssh\" = { access = \"read\", sensitive = \"vault\", approved = true }\n";

#[test]
fn git_diff_and_git_log_tell_what_a_profile_allows() {
    need!(Program("git"));
    let repository = Repository::new();
    repository.write(&wider(SSH));
    let before = repository.git(&["diff"]);
    assert!(before.contains("+\"~/.ssh\""), "the control: git alone shows the text: {before}");
    repository.set_up(&[]);
    let diff = repository.git(&["diff"]);
    assert!(diff.contains("risk 4  the agent can now read `~/.ssh`"), "{diff}");
    repository.commit("wider");
    let log = repository.git(&["log", "-p", "-1", "--", "generated-profiles"]);
    assert!(log.lines().any(|line| line.starts_with("+[filesystem] risk 4 the agent can now read `~/.ssh`")), "{log}");
    assert!(!log.contains("schema"), "{log}");
    // A profile that comes and one that goes.
    let show = repository.git(&["show", "--ext-diff", "HEAD~1"]);
    assert!(show.contains("the agent can now change `$PROJECT`"), "{show}");
    std::fs::remove_file(&repository.profile).unwrap();
    let gone = repository.git(&["diff"]);
    assert!(gone.contains("the agent can no longer change `$PROJECT`"), "{gone}");
}

#[test]
fn what_is_no_profile_is_shown_as_it_is_and_its_controls_are_not() {
    need!(Program("git"));
    let repository = Repository::new();
    repository.set_up(&[]);
    repository.write("schema = 1\n# \u{1b}]0;title\u{7}\nsurprise = true\n");
    let diff = repository.git(&["diff"]);
    assert!(diff.contains("after, it is no profile") && !diff.contains('\u{7}'), "{diff}");
    repository.commit("broken");
    let log = repository.git(&["log", "-p", "-1"]);
    assert!(log.contains("+surprise = true") && !log.contains('\u{1b}'), "{log}");
}

#[test]
fn setup_says_what_it_changes_and_takes_all_of_it_away() {
    need!(Program("git"));
    let repository = Repository::new();
    let attributes = repository.scratch.project().join(".gitattributes");
    std::fs::write(&attributes, "*.png binary\n").unwrap();
    let config = || std::fs::read_to_string(repository.scratch.project().join(".git/config")).unwrap();
    let before = config();
    let unasked = repository.pinfold(&["git-setup"]);
    assert_eq!(unasked.status.code(), Some(2), "{}", said(&unasked));
    assert!(said(&unasked).contains("set diff.pinfold.command"), "{}", said(&unasked));
    assert_eq!(config(), before, "without a yes nothing is changed");
    repository.set_up(&["--hook"]);
    assert!(config().contains("merge-driver %O %A %B %P"), "{}", config());
    let text = std::fs::read_to_string(&attributes).unwrap();
    assert_eq!(text, "*.png binary\ngenerated-profiles/*.toml diff=pinfold merge=pinfold\n");
    assert!(said(&repository.pinfold(&["git-setup", "--yes", "--hook"])).contains("nothing is to be done"));
    repository.set_up(&["--remove"]);
    assert_eq!(std::fs::read_to_string(&attributes).unwrap(), "*.png binary\n");
    assert!(!config().contains("pinfold "), "{}", config());
    assert!(!hook(&repository).exists());
}

fn hook(repository: &Repository) -> PathBuf {
    repository.scratch.project().join(".git/hooks/pre-commit")
}

#[test]
fn the_hook_stops_a_dangerous_commit_and_lets_others_pass() {
    need!(Program("git"));
    let repository = Repository::new();
    repository.set_up(&["--hook"]);
    repository.write(&wider("\"/usr\" = \"read\"\n"));
    repository.commit("harmless");
    // What counts is what is committed, not what lies in the working tree.
    repository.write(&wider(SSH));
    repository.git(&["add", "-A"]);
    repository.write(OLD);
    let refused = repository.command(&["commit", "-q", "-m", "keys"]).output().unwrap();
    assert!(!refused.status.success() && said(&refused).contains("your SSH keys"), "{}", said(&refused));
    repository.git(&["commit", "-q", "-m", "keys", "--no-verify"]);
}

#[test]
fn a_hook_of_somebody_else_stays() {
    need!(Program("git"));
    let repository = Repository::new();
    std::fs::create_dir_all(hook(&repository).parent().unwrap()).unwrap();
    std::fs::write(hook(&repository), "#!/bin/sh\nexit 0\n").unwrap();
    let output = repository.pinfold(&["git-setup", "--yes", "--hook"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    repository.set_up(&["--remove"]);
    assert_eq!(std::fs::read_to_string(hook(&repository)).unwrap(), "#!/bin/sh\nexit 0\n");
}

#[test]
fn a_revision_is_compared_with_and_the_exit_code_is_what_was_asked_for() {
    need!(Program("git"));
    let repository = Repository::new();
    let code = |arguments: &[&str]| {
        let output = repository.pinfold(&[&["diff", "--against", "main"], arguments, &["agent"]].concat());
        (output.status.code(), said(&output))
    };
    assert_eq!(code(&[]).0, Some(0));
    repository.git(&["checkout", "-q", "-b", "branch"]);
    repository.write(&wider("\"/opt/tool\" = \"read\"\n"));
    repository.commit("tool");
    assert_eq!(code(&[]).0, Some(1));
    assert_eq!(code(&["--fail-on", "risk=1"]).0, Some(1));
    assert_eq!(code(&["--fail-on", "risk=3"]).0, Some(0));
    assert_eq!(code(&["--fail-on", "unapproved"]).0, Some(1));
    let digest = said(&repository.pinfold(&["show", "--json", "agent"]));
    let digest = &digest[digest.find("sha256:").unwrap()..][.."sha256:".len() + 64];
    assert_eq!(code(&["--fail-on", "unapproved", "--accept-digest", digest]).0, Some(0));
    assert_eq!(code(&["--fail-on", "everything"]).0, Some(2));
    // The other side takes something away: that is not this branch's doing.
    repository.git(&["checkout", "-q", "main"]);
    repository.write(&OLD.replace("\"$PROJECT\" = \"write\"", "\"$PROJECT\" = \"read\""));
    repository.commit("less");
    repository.git(&["checkout", "-q", "branch"]);
    assert!(code(&[]).1.contains("change `$PROJECT`"));
    let three = code(&["--three-way"]).1;
    assert!(three.contains("/opt/tool") && !three.contains("$PROJECT"), "{three}");
    for bad in ["no-such-branch", "--output=x"] {
        let output = repository.pinfold(&["diff", &format!("--against={bad}"), "agent"]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    }
    assert!(!Path::new(&repository.scratch.project().join("x")).exists(), "a revision is no option");
}

/// What the action and the job of `docs/ci` run: the comment, and whether the check fails.
#[test]
fn the_script_for_merge_requests_comments_and_fails_on_widening() {
    need!(Program("git"));
    let repository = Repository::new();
    repository.git(&["checkout", "-q", "-b", "branch"]);
    repository.write(&wider(SSH));
    let second = repository.profile.with_file_name("other one.toml");
    std::fs::write(&second, OLD).unwrap();
    repository.commit("both");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci/review.sh");
    let run = |more: &[(&str, &str)]| {
        let mut command = Command::new("sh");
        command.arg(&script).current_dir(repository.scratch.project()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", repository.scratch.home());
        command.env("PINFOLD", env!("CARGO_BIN_EXE_pinfold")).env("BASE", "main").env("COMMENT", "comment.md");
        command.envs(more.iter().copied()).output().unwrap()
    };
    let failed = run(&[("FAIL_ON", "risk=4")]);
    assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
    let comment = std::fs::read_to_string(repository.scratch.project().join("comment.md")).unwrap();
    assert!(comment.contains("your SSH keys") && comment.contains("other one.toml"), "{comment}");
    let annotated = run(&[("FAIL_ON", "risk=4"), ("GITHUB_ACTIONS", "true")]);
    assert!(said(&annotated).contains("::error file=generated-profiles/agent.toml,line=7"), "{}", said(&annotated));
    repository.write(OLD);
    repository.commit("no keys");
    let passed = run(&[("FAIL_ON", "risk=4")]);
    assert_eq!(passed.status.code(), Some(0), "{}", said(&passed));
    repository.write("nonsense");
    repository.commit("nonsense");
    assert_eq!(run(&[]).status.code(), Some(2));
}

/// Both sides add a line at the same place: git alone cannot join them, what `git-setup` installed can.
#[test]
fn branches_that_both_changed_a_profile_are_joined_after_setup_and_conflict_without() {
    need!(Program("git"));
    let repository = Repository::new();
    repository.set_up(&[]);
    repository.commit("set up");
    repository.git(&["checkout", "-q", "-b", "theirs"]);
    repository.write(&wider("\"/opt/their\" = \"read\"\n"));
    repository.commit("theirs");
    repository.git(&["checkout", "-q", "main"]);
    repository.write(&wider("\"/opt/our\" = \"read\"\n"));
    repository.commit("ours");
    repository.git(&["merge", "-q", "--no-edit", "theirs"]);
    let joined = std::fs::read_to_string(&repository.profile).unwrap();
    assert_eq!(joined, wider("\"/opt/our\" = \"read\"\n\"/opt/their\" = \"read\"\n"));

    repository.git(&["reset", "-q", "--hard", "HEAD~1"]);
    let output = repository.pinfold(&["git-setup", "--yes", "--remove"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    repository.commit("without");
    let merge = repository.command(&["merge", "-q", "--no-edit", "theirs"]).output().unwrap();
    assert!(!merge.status.success(), "the control: git alone joins them, too");
    assert!(std::fs::read_to_string(&repository.profile).unwrap().contains("<<<<<<<"));
}

/// The text of the steps of a file of `docs/ci`: `marks` gives how each begins. Indented lines belong to the step, folded
/// (`>`) or literal (`|`).
fn steps(file: &str, begins: &[&str]) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci").join(file)).unwrap();
    let mut steps = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let words = line.trim_start();
        let Some(rest) = begins.iter().find_map(|begin| words.strip_prefix(begin)) else { continue };
        let depth = line.len() - words.len();
        if !matches!(rest, "|" | ">") {
            steps.push(rest.to_owned());
            continue;
        }
        let mut block = Vec::new();
        while let Some(inner) = lines.next_if(|inner| inner.len() - inner.trim_start().len() > depth) {
            block.push(inner.trim_start());
        }
        steps.push(block.join(if rest == ">" { " " } else { "\n" }));
    }
    steps
}

/// A program of the test's own, first in `PATH`, that writes down what it is called with and what it is given.
fn stand_in(repository: &Repository, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = repository.scratch.outside("bin").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A clone as a code host's runner has it, on a branch that opens `lines`, with the built program in `PATH`.
fn runner(lines: &str) -> Repository {
    let repository = Repository::new();
    repository.git(&["checkout", "-q", "-b", "branch"]);
    repository.write(&wider(lines));
    repository.scratch.file("ci/pinfold-review.sh", include_str!("../docs/ci/review.sh"));
    repository.commit("change");
    let origin = repository.scratch.outside("origin.git");
    repository.git(&["clone", "-q", "--bare", ".", origin.to_str().unwrap()]);
    repository.git(&["remote", "add", "origin", origin.to_str().unwrap()]);
    repository.git(&["fetch", "-q", "origin"]);
    stand_in(&repository, "pinfold", &format!("exec '{}' \"$@\"", env!("CARGO_BIN_EXE_pinfold")));
    repository
}

fn step(repository: &Repository, shell: &[&str], script: &str, environment: &[(&str, &str)]) -> Output {
    let path = std::env::var("PATH").unwrap();
    let bin = repository.scratch.outside("bin");
    let [program, arguments @ ..] = shell else { unreachable!("a shell has a name") };
    let mut command = repository.scratch.command(program);
    command.args(arguments).arg(script).env("PATH", format!("{}:{path}", bin.display()));
    command.env("GIT_CONFIG_NOSYSTEM", "1").envs(environment.iter().copied()).output().unwrap()
}

/// All steps of the composite action in the order of the file, with the environment that GitHub's runner gives them and a
/// stand-in for `gh`: what a runner does, as far as that is possible without one.
#[test]
fn the_steps_of_the_github_action_comment_and_fail_or_pass() {
    need!(Program("git"), Program("bash"));
    for (lines, code) in [(SSH, 1), ("", 0)] {
        let repository = runner(lines);
        stand_in(&repository, "gh", "printf '%s\\n' \"$@\" >>gh.log; cat comment.md >>gh.log");
        let (output, summary) = (repository.scratch.file("output", ""), repository.scratch.file("summary", ""));
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci");
        let mut status = String::new();
        let all = steps("action.yml", &["run: "]);
        assert_eq!(all.len(), 4, "{all:?}");
        let mut codes = Vec::new();
        for script in &all {
            let given = [
                ("BASE", "origin/main"),
                ("FAIL_ON", "unapproved"),
                ("ACCEPT_DIGEST", ""),
                ("COMMENT", "comment.md"),
                ("NUMBER", "7"),
                ("STATUS", status.as_str()),
                ("GITHUB_ACTIONS", "true"),
                ("GITHUB_ACTION_PATH", docs.to_str().unwrap()),
                ("GITHUB_OUTPUT", output.to_str().unwrap()),
                ("GITHUB_STEP_SUMMARY", summary.to_str().unwrap()),
            ];
            let done = step(&repository, &["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"], script, &given);
            codes.push(done.status.code().unwrap());
            let written = std::fs::read_to_string(&output).unwrap();
            status = written.lines().find_map(|line| line.strip_prefix("status=")).unwrap_or_default().to_owned();
        }
        assert_eq!(codes, [0, 0, 0, code]);
        let called = std::fs::read_to_string(repository.scratch.project().join("gh.log")).unwrap();
        assert!(called.starts_with("pr\ncomment\n7\n--edit-last\n"), "{called}");
        let told = std::fs::read_to_string(summary).unwrap();
        for text in [called, told] {
            assert_eq!(text.contains("your SSH keys"), code == 1, "{text}");
        }
    }
    // A control of the list above: each variable of a step that reads one of the runner's is among them.
    let text = include_str!("../docs/ci/action.yml");
    let set: Vec<&str> = text.lines().filter(|line| line.contains(": ${{") || line.contains(": origin/${{")).collect();
    assert_eq!(set.len(), 8, "{set:?}");
}

/// The job for GitLab as its runner runs it: both lists of commands, one script each, and a stand-in for `curl`.
#[test]
fn the_commands_of_the_gitlab_job_comment_and_fail_or_pass() {
    need!(Program("git"), Program("bash"));
    for (lines, token, code) in [(SSH, "t0ken", 1), (SSH, "", 1), ("", "t0ken", 0)] {
        let repository = runner(lines);
        stand_in(&repository, "curl", "printf '%s\\n' \"$@\" >curl.log");
        let script = steps("gitlab.yml", &["- "]);
        let script = script.get(1..).unwrap().join("\n");
        assert!(script.starts_with("command -v pinfold") && script.ends_with("exit \"$status\""), "{script}");
        let given = [
            ("BASE", "origin/main"),
            ("FAIL_ON", "unapproved"),
            ("COMMENT", "pinfold.md"),
            ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main"),
            ("PINFOLD_COMMENT_TOKEN", token),
            ("CI_API_V4_URL", "https://gitlab.example/api/v4"),
            ("CI_PROJECT_ID", "3"),
            ("CI_MERGE_REQUEST_IID", "5"),
        ];
        let done = step(&repository, &["bash", "-eo", "pipefail", "-c"], &script, &given);
        assert_eq!(done.status.code(), Some(code), "{}", said(&done));
        assert_eq!(said(&done).contains("your SSH keys"), code == 1, "{}", said(&done));
        let called = std::fs::read_to_string(repository.scratch.project().join("curl.log")).unwrap_or_default();
        assert_eq!(called.contains("/projects/3/merge_requests/5/notes\n"), !token.is_empty(), "{called}");
        assert_eq!(called.contains("body@pinfold.md\n"), !token.is_empty(), "{called}");
    }
}

//! A hostile agent attacks the *learning* run, which grants it the network and the project: each attack succeeds without
//! pinfold (the control) and fails while learning.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why"
)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use common::scratch::{Scratch, said, text};

/// A scratch with what an attacker looks for.
fn target() -> Scratch {
    let scratch = Scratch::new("contain");
    scratch.home_file(".ssh/id_ed25519", "PRIVATE KEY\n");
    scratch.home_file(".aws/credentials", "PRIVATE KEY\n");
    scratch.home_file(".bashrc", "# mine\n");
    scratch.home_file(".config/systemd/user/mine.service", "# mine\n");
    scratch.home_file(".local/bin/tool", "#!/bin/sh\n");
    scratch.file(".git/hooks/pre-commit", "#!/bin/sh\n");
    scratch.file(".git/config", "[core]\n");
    scratch.file(".git/HEAD", "ref: refs/heads/main\n");
    scratch.file("generated-profiles/other.toml", "# mine\n");
    std::fs::create_dir_all(scratch.outside("elsewhere")).unwrap();
    std::fs::create_dir_all(scratch.state().join("approvals")).unwrap();
    std::fs::set_permissions(scratch.state(), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(scratch.state().join("approvals/mine.jsonl"), "PRIVATE KEY\n").unwrap();
    scratch
}

/// Runs `script` natively on one target and while learning on another; `succeeded` judges by what is left behind.
fn attack(script: &str, succeeded: impl Fn(&Scratch) -> bool) {
    attack_on(target, script, succeeded);
}

/// The same on a target of another kind.
fn attack_on(target: impl Fn() -> Scratch, script: &str, succeeded: impl Fn(&Scratch) -> bool) {
    need!(UserNamespaces);
    let control = target();
    let native = control.command("sh").args(["-c", script]).output().unwrap();
    assert!(succeeded(&control), "the control failed, so the attack proves nothing: {}", said(&native));

    let scratch = target();
    let output = learn(&scratch, script).output().unwrap();
    assert!(scratch.outside("learn.json").exists(), "the run did not take place: {}", said(&output));
    assert!(!succeeded(&scratch), "the attack succeeded: {}", said(&output));
}

fn learn(scratch: &Scratch, script: &str) -> Command {
    let report = scratch.outside("learn.json");
    let mut command =
        scratch.pinfold(&["learn", "--even-if-failed", "--report", text(&report), "--", "sh", "-c", script]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn stolen(scratch: &Scratch) -> bool {
    read(scratch.project().join("stolen")).contains("PRIVATE KEY")
}

/// A process of the host that the agent has no business with.
struct Bystander(Child);

impl Bystander {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").env("SECRET", "PRIVATE KEY").spawn().unwrap())
    }

    fn is_alive(&mut self) -> bool {
        std::thread::sleep(std::time::Duration::from_millis(200));
        self.0.try_wait().unwrap().is_none()
    }

    /// Within a time that is long even for a busy machine.
    fn ends(&mut self) -> bool {
        (0..3000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            self.0.try_wait().unwrap().is_some()
        })
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_private_key_cannot_be_read() {
    attack("cat ~/.ssh/id_ed25519 > stolen", stolen);
}

#[test]
fn cloud_credentials_cannot_be_read() {
    attack("cat ~/.aws/credentials > stolen", stolen);
}

#[test]
fn a_private_key_cannot_be_read_through_a_hard_link_or_the_root_of_a_process() {
    attack("ln ~/.ssh/id_ed25519 k; cat k /proc/self/root$HOME/.ssh/id_ed25519 > stolen", stolen);
}

#[test]
fn the_cover_of_the_vault_cannot_be_unmounted_in_a_namespace_of_ones_own() {
    attack(
        "unshare -rm sh -c 'umount -l ~/.ssh; cat ~/.ssh/id_ed25519' > stolen || cat ~/.ssh/id_ed25519 > stolen",
        stolen,
    );
}

#[test]
fn the_vault_cannot_be_renamed_out_of_its_cover() {
    attack("mv ~/.ssh ~/seen; cat ~/seen/id_ed25519 > stolen", stolen);
}

#[test]
fn a_start_up_file_cannot_be_appended_to() {
    attack("echo planted >> ~/.bashrc", |scratch| read(scratch.home().join(".bashrc")).contains("planted"));
}

#[test]
fn a_start_up_file_cannot_be_renamed_over() {
    attack("echo planted > ~/new; mv -f ~/new ~/.bashrc", |scratch| {
        read(scratch.home().join(".bashrc")).contains("planted")
    });
}

#[test]
fn a_start_up_file_cannot_be_removed() {
    attack("rm -f ~/.bashrc", |scratch| !scratch.home().join(".bashrc").exists());
}

#[test]
fn a_user_unit_cannot_be_changed_by_renaming_the_directory_above_it() {
    let script =
        "mv ~/.config ~/old; mkdir -p ~/.config/systemd/user; echo planted > ~/.config/systemd/user/mine.service";
    attack(script, |scratch| read(scratch.home().join(".config/systemd/user/mine.service")).contains("planted"));
}

#[test]
fn a_program_on_the_users_path_cannot_be_planted_beside_existing_ones() {
    attack("echo planted > ~/.local/bin/git", |scratch| scratch.home().join(".local/bin/git").exists());
}

#[test]
fn a_git_hook_cannot_be_changed() {
    attack("echo planted > .git/hooks/pre-commit", |scratch| {
        read(scratch.project().join(".git/hooks/pre-commit")).contains("planted")
    });
}

#[test]
fn a_git_hook_cannot_be_changed_by_renaming_the_repository_away() {
    let script = "mv .git old; mkdir -p .git/hooks; echo planted > .git/hooks/pre-commit";
    attack(script, |scratch| read(scratch.project().join(".git/hooks/pre-commit")).contains("planted"));
}

#[test]
fn the_configuration_of_git_cannot_be_given_a_command() {
    attack("echo '[core] fsmonitor = planted' >> .git/config", |scratch| {
        read(scratch.project().join(".git/config")).contains("planted")
    });
}

#[test]
fn a_profile_of_the_project_cannot_be_rewritten() {
    attack("echo planted >> generated-profiles/other.toml", |scratch| {
        read(scratch.project().join("generated-profiles/other.toml")).contains("planted")
    });
}

#[test]
fn pinfolds_own_state_cannot_be_read() {
    attack("cat $XDG_STATE_HOME/pinfold/approvals/mine.jsonl > stolen", stolen);
}

#[test]
fn an_approval_cannot_be_forged() {
    attack("echo planted > $XDG_STATE_HOME/pinfold/approvals/forged.jsonl", |scratch| {
        scratch.state().join("approvals/forged.jsonl").exists()
    });
}

#[test]
fn a_file_outside_of_project_and_home_cannot_be_written() {
    attack("echo planted > ../../../elsewhere/file", |scratch| scratch.outside("elsewhere/file").exists());
}

#[test]
fn a_set_user_id_bit_cannot_be_left_behind() {
    attack("cp /bin/true tool; chmod 4755 tool", |scratch| {
        std::fs::metadata(scratch.project().join("tool")).is_ok_and(|meta| meta.permissions().mode() & 0o4000 != 0)
    });
}

#[test]
fn a_file_system_cannot_be_mounted() {
    let script = "mkdir m; unshare -rm sh -c 'mount -t tmpfs none m && echo yes > mounted'";
    attack(script, |scratch| scratch.project().join("mounted").exists());
}

/// A target whose start-up file, hook and keys are symlinks to where a collection of dotfiles keeps them.
fn linked() -> Scratch {
    use std::os::unix::fs::symlink;
    let scratch = target();
    scratch.home_file("dotfiles/zshrc", "# mine\n");
    scratch.home_file("dotfiles/config-fish/config.fish", "# mine\n");
    scratch.home_file("dotfiles/hook", "#!/bin/sh\n");
    scratch.home_file("dotfiles/tool", "#!/bin/sh\n");
    std::fs::create_dir_all(scratch.outside("data/gnupg")).unwrap();
    std::fs::write(scratch.outside("data/gnupg/key"), "PRIVATE KEY\n").unwrap();
    scratch.home_file("dotfiles/id_rsa", "PRIVATE KEY\n");
    let home = scratch.home();
    symlink("dotfiles/zshrc", home.join(".zshrc")).unwrap();
    symlink("../dotfiles/config-fish", home.join(".config/fish")).unwrap();
    symlink("../../dotfiles/tool", home.join(".local/bin/linked")).unwrap();
    symlink(scratch.outside("data/gnupg"), home.join(".gnupg")).unwrap();
    symlink("../dotfiles/id_rsa", home.join(".ssh/id_rsa")).unwrap();
    symlink(home.join("dotfiles/hook"), scratch.project().join(".git/hooks/post-commit")).unwrap();
    scratch
}

fn planted(path: impl AsRef<Path>) -> bool {
    read(path).contains("planted")
}

#[test]
fn a_start_up_file_that_is_a_symlink_cannot_be_changed_where_it_leads() {
    attack_on(linked, "echo planted >> ~/.zshrc; echo planted >> ~/dotfiles/zshrc", |scratch| {
        planted(scratch.home().join(".zshrc"))
    });
}

#[test]
fn a_start_up_file_that_is_a_symlink_cannot_be_replaced() {
    attack_on(
        linked,
        "echo planted > ~/new; mv -f ~/new ~/.zshrc; rm -f ~/.zshrc; echo planted > ~/.zshrc",
        |scratch| planted(scratch.home().join(".zshrc")),
    );
}

#[test]
fn a_start_up_file_that_is_a_symlink_cannot_be_changed_by_renaming_where_it_leads() {
    attack_on(linked, "mv ~/dotfiles ~/old; mkdir ~/dotfiles; echo planted > ~/dotfiles/zshrc", |scratch| {
        planted(scratch.home().join(".zshrc"))
    });
}

#[test]
fn a_start_up_directory_that_is_a_symlink_cannot_be_planted_into() {
    let script = "echo planted >> ~/.config/fish/config.fish; echo planted >> ~/dotfiles/config-fish/config.fish; \
                  mkdir ~/f; echo planted > ~/f/config.fish; ln -sfT ~/f ~/.config/fish";
    attack_on(linked, script, |scratch| planted(scratch.home().join(".config/fish/config.fish")));
}

#[test]
fn what_a_program_on_the_users_path_or_a_hook_links_to_cannot_be_changed() {
    attack_on(linked, "echo planted >> ~/dotfiles/tool", |scratch| planted(scratch.home().join(".local/bin/linked")));
    attack_on(linked, "echo planted >> ~/dotfiles/hook", |scratch| {
        planted(scratch.project().join(".git/hooks/post-commit"))
    });
}

#[test]
fn a_vault_that_is_a_symlink_cannot_be_read_where_it_leads() {
    attack_on(linked, "cat ~/.gnupg/key ../../../data/gnupg/key > stolen", stolen);
    attack_on(linked, "cat ~/.ssh/id_rsa ~/dotfiles/id_rsa > stolen", stolen);
}

#[test]
fn a_vault_cannot_be_renamed_away_with_its_cover_for_the_next_run_to_read() {
    let place = || {
        let scratch = target();
        scratch.home_file(".config/gcloud/key", "PRIVATE KEY\n");
        std::fs::remove_dir_all(scratch.home().join(".config/systemd")).unwrap();
        scratch
    };
    // What a first run left is what a second one finds.
    attack_on(place, "mv ~/.config ~/old; cat ~/old/gcloud/key > stolen", |scratch| {
        stolen(scratch) || scratch.home().join("old/gcloud").exists()
    });
}

#[test]
fn the_project_cannot_be_renamed_away_to_put_another_in_its_place() {
    let script =
        "mv ~/src ~/old; mkdir -p ~/src/project/.git/hooks; echo planted > ~/src/project/.git/hooks/pre-commit";
    attack(script, |scratch| planted(scratch.project().join(".git/hooks/pre-commit")));
}

#[test]
fn the_repository_of_a_worktree_cannot_be_given_a_command() {
    let worktree = || {
        let scratch = target();
        std::fs::remove_dir_all(scratch.project().join(".git")).unwrap();
        scratch.file(".git", "gitdir: ../main/.git/worktrees/w\n");
        scratch.home_file("src/main/.git/config", "[core]\n");
        scratch.home_file("src/main/.git/worktrees/w/commondir", "../..\n");
        scratch
    };
    let script = "echo planted >> ../main/.git/config; echo planted > ../main/.git/worktrees/w/commondir; echo planted > new; mv -f new .git";
    attack_on(worktree, script, |scratch| {
        let main = scratch.home().join("src/main/.git");
        planted(main.join("config"))
            || planted(main.join("worktrees/w/commondir"))
            || planted(scratch.project().join(".git"))
    });
}

#[test]
fn the_sockets_that_start_programs_outside_are_not_there() {
    let login = || {
        let scratch = target();
        let runtime = scratch.outside("run");
        std::fs::create_dir_all(runtime.join("systemd")).unwrap();
        // The sockets stay when their listeners end.
        for name in ["bus", "systemd/private"] {
            std::os::unix::net::UnixListener::bind(runtime.join(name)).unwrap();
        }
        scratch.with("XDG_RUNTIME_DIR", text(&runtime))
    };
    let script = |name: &str| format!("test -S $XDG_RUNTIME_DIR/{name} && echo PRIVATE KEY > stolen");
    attack_on(login, &script("bus"), stolen);
    attack_on(login, &script("systemd/private"), stolen);
}

/// Learns `script` with the profile at `generated-profiles/x.toml`, a directory that does not exist yet.
fn learn_into_nowhere(script: &str) -> (Scratch, Output) {
    let scratch = target();
    std::fs::remove_dir_all(scratch.project().join("generated-profiles")).unwrap();
    let words = ["learn", "--even-if-failed", "--accept-learned=all", "--profile", "generated-profiles/x.toml", "--"];
    let output = scratch.pinfold(&words).args(["sh", "-c", script]).output().unwrap();
    (scratch, output)
}

#[test]
fn the_profile_is_not_written_where_a_symlink_of_the_agent_leads() {
    need!(UserNamespaces);
    let (control, output) = learn_into_nowhere("mkdir generated-profiles");
    assert!(control.project().join("generated-profiles/x.toml").exists(), "the control failed: {}", said(&output));
    let (scratch, output) =
        learn_into_nowhere("mkdir ~/.config/elsewhere; ln -s ~/.config/elsewhere generated-profiles");
    assert!(scratch.home().join(".config/elsewhere").exists(), "{}", said(&output));
    assert!(!scratch.home().join(".config/elsewhere/x.toml").exists(), "{}", said(&output));
    assert!(!output.status.success());
}

#[test]
fn a_profile_that_the_agent_planted_is_neither_kept_in_part_nor_approved() {
    need!(UserNamespaces);
    for plant in ["echo '# looked at and harmless' > generated-profiles/x.toml", "mkfifo generated-profiles/x.toml"] {
        let (scratch, output) = learn_into_nowhere(&format!("mkdir generated-profiles; {plant}"));
        assert!(said(&output).contains("nothing was written"), "{}", said(&output));
        let approvals = scratch.state().join("approvals");
        let approved = std::fs::read_dir(approvals)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("x-"));
        assert_eq!(approved.count(), 0);
    }
}

#[test]
fn a_process_of_the_host_cannot_be_signalled() {
    need!(UserNamespaces);
    let mut control = Bystander::new();
    let scratch = target();
    scratch.command("sh").args(["-c", &format!("kill -9 {}", control.0.id())]).status().unwrap();
    assert!(control.ends(), "the control failed");
    let mut bystander = Bystander::new();
    let output = learn(&scratch, &format!("kill -9 {}; kill -9 -1", bystander.0.id())).output().unwrap();
    assert!(bystander.is_alive(), "{}", said(&output));
}

#[test]
fn the_environment_of_a_process_of_the_host_cannot_be_read() {
    need!(UserNamespaces);
    let bystander = Bystander::new();
    let script = format!("cat /proc/{}/environ > stolen", bystander.0.id());
    let (control, scratch) = (target(), target());
    control.command("sh").args(["-c", &script]).status().unwrap();
    assert!(stolen(&control), "the control failed");
    learn(&scratch, &script).output().unwrap();
    assert!(!stolen(&scratch));
}

#[test]
fn the_process_group_of_the_caller_cannot_be_signalled() {
    need!(UserNamespaces);
    // A group of its own, with a member that must live: `kill 0` reaches the whole group of the one who calls it.
    let run = |words: &[&str], scratch: &Scratch| {
        let mark = scratch.outside("lived");
        std::fs::remove_file(&mark).ok();
        let mut command = scratch.command("sh");
        let member =
            "(until test -e \"$0.go\"; do sleep 0.05; done; echo lived > \"$0\") & \"$@\"; : > \"$0.go\"; wait";
        command.args(["-c", member, text(&mark)]).args(words);
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap();
        mark.exists()
    };
    let scratch = target();
    assert!(!run(&["sh", "-c", "kill -TERM 0"], &scratch), "the control failed");
    let pinfold = env!("CARGO_BIN_EXE_pinfold");
    assert!(run(&[pinfold, "learn", "--even-if-failed", "--", "sh", "-c", "kill -TERM 0"], &scratch));
}

#[test]
fn nothing_that_was_started_outlives_the_run() {
    need!(UserNamespaces);
    // Numbers of this process, so that a run beside this one is not taken for ours.
    let [control, learned] = [77, 78].map(|number| format!("{number}{}", std::process::id()));
    let survivors = |mark: &str| -> Vec<i32> {
        let numbers = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
        let numbers = numbers.filter_map(|name| name.to_str()?.parse().ok());
        let has_mark = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|&byte| byte == 0).any(|word| word == mark.as_bytes())
        };
        numbers.filter(has_mark).collect()
    };
    // It says that it is there before the one who started it ends.
    let script = |mark: &str| {
        format!(
            "(setsid sh -c ': > {mark}; exec sleep $0' {mark} >/dev/null 2>&1 </dev/null &) ; \
             until test -e {mark}; do sleep 0.05; done"
        )
    };
    let scratch = target();
    scratch.command("sh").args(["-c", &script(&control)]).status().unwrap();
    let lived = survivors(&control);
    for pid in &lived {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    assert_eq!(lived.len(), 1, "the control failed");
    learn(&scratch, &script(&learned)).output().unwrap();
    assert!(scratch.project().join(&learned).exists(), "it never ran");
    assert!(survivors(&learned).is_empty());
}

#[test]
fn a_descriptor_that_was_left_open_is_not_inherited() {
    need!(UserNamespaces);
    let scratch = target();
    let secret = scratch.outside("secret");
    std::fs::write(&secret, "PRIVATE KEY\n").unwrap();
    let wrapped = |words: &[&str]| {
        let mut command = scratch.command("sh");
        command.args(["-c", "exec 9< \"$0\"; exec \"$@\"", text(&secret)]).args(words);
        command.output().unwrap();
        let found = stolen(&scratch);
        std::fs::remove_file(scratch.project().join("stolen")).ok();
        found
    };
    assert!(wrapped(&["sh", "-c", "cat <&9 > stolen"]), "the control failed");
    let pinfold = env!("CARGO_BIN_EXE_pinfold");
    assert!(!wrapped(&[pinfold, "learn", "--even-if-failed", "--", "sh", "-c", "cat <&9 > stolen"]));
}

#[test]
fn a_look_for_a_key_store_that_this_machine_does_not_have_is_no_attempt() {
    need!(UserNamespaces);
    let scratch = target();
    let missing = "cat ~/.config/gcloud/application_default_credentials.json";
    let output = learn(&scratch, &format!("{missing}; true")).output().unwrap();
    assert!(!said(&output).contains("--open-vault"), "{}", said(&output));
    scratch.home_file(".config/gcloud/application_default_credentials.json", "{}");
    let output = learn(&scratch, &format!("{missing}; true")).output().unwrap();
    assert!(said(&output).contains("--open-vault"), "the control: {}", said(&output));
}

#[test]
fn an_attempt_on_the_vault_is_reported_with_the_flag_that_would_allow_it() {
    need!(UserNamespaces);
    let scratch = target();
    let output = learn(&scratch, "cat ~/.ssh/id_ed25519").output().unwrap();
    let report = scratch.report("learn");
    assert!(report["attempts"].to_string().contains("id_ed25519"), "{report}");
    assert!(said(&output).contains("--open-vault"), "{}", said(&output));
}

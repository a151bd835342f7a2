//! Names that the host executes cannot be made inside, by no way; and what programs do with names works as ever.
//!
//! Each attack has its control: under `protect = "scan"` the same script plants what it wants to.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::enforced::{SYSTEM, out};
use common::scratch::{Scratch, said, text};
use pinfold::profile::{digest::digest, parse::parse};

const CALLS: &str = "\"socket\", \"bind\", \"linkat\", \"link\", \"symlink\", \"symlinkat\", \"mknod\", \"mknodat\", \
                     \"rename\", \"renameat\", \"renameat2\", \"mkdir\", \"mkdirat\", \"rmdir\", \"unlink\", \"unlinkat\", \
                     \"umask\", \"chdir\", \"fchdir\", \"chmod\", \"fchmod\", \"fchmodat\", \"utimensat\", \"flock\", \"setresuid\", \"setresgid\", \
                     \"openat2\", \"truncate\", \"ftruncate\", \"creat\", \"open\"";

/// `script` as a command of its own, under a profile that grants the project, with this protection.
fn protected(scratch: &Scratch, protect: &str, lines: &str) -> Command {
    let system: String = SYSTEM.iter().map(|place| format!("\"{place}\" = \"read\"\n")).collect();
    let calls: Vec<_> = CALLS.split(", ").filter(|call| *call != "\"openat2\"").collect();
    let profile = format!(
        "schema = 1\nname = \"t\"\ncommand = [\"sh\", \"$PROJECT/script.sh\"]\nprotect = \"{protect}\"\n\n[filesystem]\n\
         \"$PROJECT\" = \"write\"\n\"/etc/passwd\" = \"read\"\n{system}{lines}\n[syscalls]\nbase = 1\nallow = [{}]\n\
         [syscalls.arguments]\nsocket = [\"unix stream\"]\n[environment]\npass = [\"HOME\", \"PATH\"]\n",
        calls.join(", ")
    );
    let accepted = digest(&parse(&profile).unwrap()).to_string();
    let path = scratch.outside("profile.toml");
    std::fs::write(&path, profile).unwrap();
    let words = ["enforce", "--quiet", "--profile", text(&path), "--accept-digest", &accepted];
    let mut command = scratch.pinfold(&words);
    let project = scratch.project();
    command.args([
        "--report",
        text(&scratch.outside("enforce.json")),
        "--project",
        text(&project),
        "--",
        "sh",
        "script.sh",
    ]);
    command
}

fn run(scratch: &Scratch, protect: &str) -> Output {
    protected(scratch, protect, "").output().unwrap()
}

/// The script plants `name` under `scan`, and does not under `strict`, where the refusal names it.
fn plants(prepare: impl Fn(&Scratch), script: &str, name: &str) {
    let after = |protect: &str| {
        let scratch = Scratch::beside_home("protect");
        scratch.file("script.sh", &format!("echo begun\n{script}"));
        prepare(&scratch);
        let output = run(&scratch, protect);
        assert!(out(&output).starts_with("begun"), "{}", said(&output));
        let place = scratch.project().join(name);
        // A pipe would be waited for.
        let planted = match place.symlink_metadata() {
            Ok(meta) if meta.is_file() => std::fs::read_to_string(&place).is_ok_and(|text| text.contains("evil")),
            Ok(meta) => !meta.is_dir(),
            Err(_) => false,
        };
        (planted, said(&output))
    };
    let (planted, said) = after("scan");
    assert!(planted, "the control did not plant {name}:\n{script}\n{said}");
    let (planted, said) = after("strict");
    assert!(!planted, "PLANTED {name}:\n{script}\n{said}");
    assert!(said.contains("refused: "), "nothing was said of {name}:\n{script}\n{said}");
}

fn nothing(_: &Scratch) {}

#[test]
fn no_call_that_makes_a_name_makes_one_that_the_host_executes() {
    need!(UserNamespaces, Program("python3"));
    for script in [
        "echo evil > .envrc",
        "echo evil > x; ln x .envrc",
        "echo evil > x; ln -s x .envrc",
        "echo evil > x; mv x .envrc",
        "echo evil > \"$PWD/../project/.envrc\"",
        "ln -s .envrc l; echo evil > l",
        "ln -s \"$PWD/.envrc\" l; echo evil > l",
        "echo evil > \"/proc/self/cwd/.envrc\"",
        "echo evil > \"/proc/self/root$PWD/.envrc\"",
        "mkfifo .envrc",
        "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\".envrc\")'",
        "python3 -c 'import os; d = os.open(\".\", 0); open(\"/proc/self/fd/%d/.envrc\" % d, \"w\").write(\"evil\")'",
        "python3 -c 'import os; os.mknod(\".envrc\"); open(\".envrc\", \"r+\").write(\"evil\")'",
        "python3 -c 'import os
f = os.open(\".\", os.O_TMPFILE | os.O_RDWR); os.write(f, b\"evil\")
import ctypes; ctypes.CDLL(None).linkat(-100, b\"/proc/self/fd/%d\" % f, -100, b\".envrc\", 0x400)'",
        "python3 -c 'import os; d = os.open(\".\", os.O_PATH); os.chdir(\"/\")
f = os.open(\".envrc\", os.O_CREAT | os.O_WRONLY, dir_fd=d); os.write(f, b\"evil\")'",
        "python3 -c 'import os, threading
t = threading.Thread(target=lambda: open(\".envrc\", \"w\").write(\"evil\")); t.start(); t.join()'",
    ] {
        plants(nothing, script, ".envrc");
    }
}

#[test]
fn no_directory_is_brought_to_a_protected_name_with_what_it_holds() {
    need!(UserNamespaces, Program("python3"));
    let exchange = "mkdir v .vscode; echo evil > v/tasks.json
python3 -c 'import ctypes; ctypes.CDLL(None).renameat2(-100, b\"v\", -100, b\".vscode\", 2)'";
    for script in [
        exchange,
        "mkdir v; echo evil > v/tasks.json; mv v .vscode",
        "mkdir v; echo evil > v/tasks.json; ln -s v .vscode",
        "mkdir v; echo evil > v/tasks.json; ln -s v l; ln -P l .vscode",
        "mkdir v; echo evil > v/tasks.json; ln -s v l; python3 -c 'import ctypes, os
f = os.open(\"l\", os.O_PATH | os.O_NOFOLLOW)
ctypes.CDLL(None).linkat(-100, b\"/proc/self/fd/%d\" % f, -100, b\".vscode\", 0x400)'",
        "mkdir .vscode; ln -s .vscode l; echo evil > l/tasks.json",
        "mkdir -p a/v; echo evil > a/v/tasks.json; mkdir b; mv a/v b/v; mv b/v .vscode",
        "mkdir -p node_modules/x/.vscode; echo evil > node_modules/x/.vscode/tasks.json; mv node_modules/x/.vscode .",
        "mkdir .vscode; cd .vscode; echo evil > ./../.vscode/tasks.json",
    ] {
        plants(nothing, script, ".vscode/tasks.json");
    }
    let deep = "mkdir -p a/b/c/d/e/f/g/h/i; echo evil > a/b/c/d/e/f/g/h/i/.envrc";
    plants(nothing, deep, "a/b/c/d/e/f/g/h/i/.envrc");
    let moved = "mkdir -p node_modules/x; echo evil > node_modules/x/.envrc; mv node_modules/x y";
    plants(nothing, moved, "y/.envrc");
}

#[test]
fn no_disguise_of_a_name_passes() {
    need!(UserNamespaces);
    for name in [".ENVRC", ".Envrc", ".en\u{200d}vrc", ".envrc\u{feff}"] {
        plants(nothing, &format!("echo evil > '{name}'"), name);
    }
    for name in [".VSCODE/tasks.json", ".v\u{17f}code/ta\u{17f}\u{212a}s.json"] {
        plants(nothing, &format!("mkdir '{}'; echo evil > '{name}'", name.split('/').next().unwrap()), name);
    }
}

#[test]
fn no_hook_and_no_command_comes_into_a_repository_that_is_made_inside() {
    need!(UserNamespaces, Program("git"), Program("python3"));
    let hook = "n/.git/hooks/post-commit";
    for script in [
        "echo evil > n/.git/hooks/post-commit",
        "echo evil > n/.git/hooks/x.sample; mv n/.git/hooks/x.sample n/.git/hooks/post-commit",
        "echo evil > n/.git/hooks/x.sample; ln n/.git/hooks/x.sample n/.git/hooks/post-commit",
        "echo evil > n/.git/hooks/x.sample; ln -s x.sample n/.git/hooks/post-commit",
        "rm -r n/.git/hooks; mkdir h; echo evil > h/post-commit; mv h n/.git/hooks",
        "rm -r n/.git/hooks; mkdir h; echo evil > h/post-commit; ln -s ../../h n/.git/hooks",
        "mv n/.git n/git; rm -r n/git/hooks; mkdir n/git/hooks; echo evil > n/git/hooks/post-commit; mv n/git n/.git",
    ] {
        plants(nothing, &format!("git init -q n\n{script}"), hook);
    }
    let beside = "printf '[core]\\n\\tfsmonitor = evil\\n' > w/config.worktree";
    let linked = "git -C n config extensions.worktreeConfig true; mkdir w; echo ../n/.git > w/commondir; \
                  cp n/.git/HEAD w; mkdir t; echo \"gitdir: ../w\" > t/.git";
    plants(nothing, &format!("git init -q n; {linked}; {beside}"), "w/config.worktree");
    for script in [
        "printf '[core]\\n\\tfsmonitor = evil\\n' >> n/.git/config",
        "git -C n config core.fsmonitor evil",
        "git -C n config alias.st '!evil'",
        "git -C n remote add o 'ext::evil'",
        "git -C n config core.worktree /tmp/evil",
        "printf '[core]\\n\\tfsmonitor = evil\\n' > x; ln -f x n/.git/config",
        "printf '[core]\\n\\tfsmonitor = evil\\n' > x; ln -sf ../../x n/.git/config",
        "python3 -c 'import os; f = os.open(\"n/.git/config\", os.O_WRONLY); os.pwrite(f, b\"[core]\\n\\teditor = evil\\n\", 0)'",
        "ln n/.git/config c; echo '[alias] x = evil' >> c",
        "python3 -c 'import os
f = open(\"n/.git/config.lock\", \"w\"); f.write(\"[core]\\n\\tbare = false\\n\"); f.flush()
os.rename(\"n/.git/config.lock\", \"n/.git/config\"); f.write(\"[alias]\\nx = evil\\n\"); f.close()
open(\"/dev/null\", \"w\"); os.rename(\"n/.git/config\", \"n/.git/config\")
open(\"n/.git/hooks/evil\", \"w\")'",
    ] {
        plants(nothing, &format!("git init -q n\n{script}"), "n/.git/config");
    }
}

/// A name of which the folded form is shorter or longer, above the repository.
#[test]
fn no_disguise_above_a_repository_hides_its_hooks() {
    need!(UserNamespaces);
    for above in ["\u{212a}", "a\u{200b}b", "\u{130}\u{130}", "\u{ff0f}", "node_modules\u{ff0f}x"] {
        let hook = format!("{above}/.git/hooks/post-commit");
        plants(nothing, &format!("mkdir -p '{above}/.git/hooks'; echo evil > '{hook}'"), &hook);
    }
}

/// What only becomes a repository, or a protected name, by the name of a directory above that comes last.
#[test]
fn nothing_deep_within_a_directory_is_brought_to_where_git_obeys_it() {
    need!(UserNamespaces);
    let submodule = "mkdir -p g/modules/sub/hooks; printf '[core]\\n\\tfsmonitor = evil\\n' > g/modules/sub/config
echo evil > g/modules/sub/hooks/post-checkout; mv g .git";
    for name in [".git/modules/sub/config", ".git/modules/sub/hooks/post-checkout"] {
        plants(nothing, submodule, name);
    }
    plants(
        nothing,
        &format!("mkdir -p .git; {}", submodule.replace("mv g .git", "mv g/modules .git")),
        ".git/modules/sub/config",
    );
    let attributes = "mkdir e g; echo '* filter=evil' > e/attributes; ln -s ../e g/info; mv g .git";
    plants(nothing, attributes, ".git/info/attributes");
}

/// Git writes the files of the repository where `core.worktree` leads, by whatever symlinks.
#[test]
fn a_repository_has_its_working_tree_nowhere_else() {
    need!(UserNamespaces, Program("git"));
    for (link, tree) in
        [("n/.git/evil", "evil"), ("n/evil", "../evil"), ("n/evil", "../evil/deep"), ("n/.git/evil", "./evil/..")]
    {
        let script = format!(
            "git init -q n; ln -s /etc {link}; git -C n config core.worktree '{tree}'; git -C n config core.worktree"
        );
        plants(nothing, &script, "n/.git/config");
    }
    works(
        "git init -q n; git -C n config core.worktree ..; git -C n config core.worktree; echo x > n/f; git -C n status --short",
        "",
    );
}

#[test]
fn no_hook_comes_into_a_repository_of_another_name_made_before_or_inside() {
    need!(UserNamespaces, Program("git"));
    let hook = "b.git/hooks/post-receive";
    let scripts = [
        "echo evil > b.git/hooks/post-receive",
        "echo evil > b.git/hooks/x.sample; mv b.git/hooks/x.sample b.git/hooks/post-receive",
        "echo evil > b.git/hooks/x.sample; ln b.git/hooks/x.sample b.git/hooks/post-receive",
        "rm -r b.git/hooks; mkdir h; echo evil > h/post-receive; mv h b.git/hooks",
        "rm -r b.git/hooks; mkdir h; echo evil > h/post-receive; ln -s ../h b.git/hooks",
        "mv b.git c; rm -r c/hooks; mkdir d; echo evil > d/post-receive; mv d c/hooks; mv c b.git",
    ];
    let made_before = |scratch: &Scratch| {
        let mut git = scratch.command("git");
        assert!(git.args(["init", "-q", "--bare", "b.git"]).status().unwrap().success());
    };
    for script in scripts {
        plants(nothing, &format!("git init -q --bare b.git\n{script}"), hook);
        plants(made_before, script, hook);
    }
    for script in ["git -C b.git config core.fsmonitor evil", "printf '[alias]\\nx = evil\\n' >> b.git/config"] {
        plants(made_before, script, "b.git/config");
    }
}

/// What git takes for a repository of any name: with a configuration that names a command it is not made, in no order.
#[test]
fn no_directory_of_another_name_becomes_a_repository_with_a_command() {
    need!(UserNamespaces);
    let evil = "printf '[core]\\n\\tfsmonitor = evil\\n'";
    for script in [
        format!("mkdir -p b/objects b/refs; echo 'ref: refs/heads/m' > b/HEAD; {evil} > b/config"),
        format!("mkdir b; {evil} > b/config; echo 'ref: refs/heads/m' > b/HEAD; mkdir b/refs b/objects"),
        format!("mkdir b o; {evil} > b/config; mkdir b/refs; mv o b/objects"),
        format!("mkdir b o; {evil} > b/config; mkdir b/refs; ln -s ../o b/objects"),
        format!("mkdir -p b/objects b/refs; {evil} > c; mv c b/config"),
        format!("mkdir -p b/objects b/refs; {evil} > c; ln c b/config"),
    ] {
        let whole = |protect: &str| {
            let scratch = Scratch::beside_home("protect");
            scratch.file("script.sh", &script);
            let output = run(&scratch, protect);
            let there = |name: &str| scratch.project().join("b").join(name).exists();
            let evil =
                std::fs::read_to_string(scratch.project().join("b/config")).is_ok_and(|text| text.contains("evil"));
            (there("objects") && there("refs") && evil, said(&output))
        };
        assert!(whole("scan").0, "the control failed: {script}\n{}", whole("scan").1);
        let (made, said) = whole("strict");
        assert!(!made && said.contains("refused: "), "MADE: {script}\n{said}");
    }
}

#[test]
fn what_exists_stays_as_it_is_by_every_way_that_would_replace_it() {
    need!(UserNamespaces, Program("python3"));
    for script in [
        "echo evil > .envrc",
        "echo evil > x; mv -f x .envrc",
        "echo evil > x; ln -f x .envrc",
        "echo evil > x; python3 -c 'import ctypes; ctypes.CDLL(None).renameat2(-100, b\"x\", -100, b\".envrc\", 2)'",
        "mv .vscode v; mkdir .vscode; echo evil > .vscode/tasks.json",
        "mv .envrc y; echo evil > .envrc",
        "rm -rf .vscode .envrc; mkdir .vscode; echo evil > .vscode/tasks.json; echo evil > .envrc",
    ] {
        let scratch = Scratch::beside_home("protect");
        scratch.file("script.sh", &format!("{script}\ntrue"));
        scratch.file(".envrc", "mine");
        scratch.file(".vscode/tasks.json", "mine");
        let natively = || {
            let copy = Scratch::beside_home("protect");
            copy.file("script.sh", script);
            copy.file(".envrc", "mine");
            copy.file(".vscode/tasks.json", "mine");
            let mut command = copy.command("sh");
            command.arg("script.sh").output().unwrap();
            [".envrc", ".vscode/tasks.json"]
                .iter()
                .any(|name| std::fs::read_to_string(copy.project().join(name)).is_ok_and(|text| text.contains("evil")))
        };
        assert!(natively(), "the control failed: {script}");
        let output = run(&scratch, "strict");
        for name in [".envrc", ".vscode/tasks.json"] {
            let text = std::fs::read_to_string(scratch.project().join(name)).unwrap_or_default();
            assert_eq!(text, "mine", "{name}: {script}\n{}", said(&output));
        }
    }
}

/// A second thread swaps the string while the call is under way.
#[test]
fn a_name_that_is_swapped_after_the_look_is_not_made() {
    need!(UserNamespaces, Program("gcc"));
    let source = r#"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static volatile char name[] = ".xnvrc";
static void *swap(void *unused) { for (;;) { name[1] = 'e'; name[1] = 'x'; } return unused; }
int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, swap, 0);
    for (int turn = 0; turn < 20000; turn++) {
        int file = open((char *)name, O_CREAT | O_WRONLY, 0644);
        if (file >= 0) { if (write(file, "evil", 4) < 0) return 1; close(file); }
        rename(".xnvrc", (char *)name);
    }
    return 0;
}"#;
    let prepare = |scratch: &Scratch| {
        let file = scratch.file("race.c", source);
        let built = scratch.command("gcc").args(["-pthread", "-o", "race"]).arg(file).output().unwrap();
        assert!(built.status.success(), "{}", said(&built));
    };
    plants(prepare, "./race", ".envrc");
}

/// What below `dir` git or an editor would obey of what the storm wrote, by directories and by symlinks to them.
fn obeyed(dir: &Path, name: &std::ffi::OsStr, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let is_evil = |path: &Path| std::fs::read_to_string(path).is_ok_and(|text| text.contains("evil"));
    let there = |name: &str| dir.join(name).symlink_metadata().is_ok();
    let is_submodule = dir.parent().is_some_and(|above| above.ends_with(".git/modules"));
    if name == ".git" || is_submodule || there("objects") && there("refs") {
        let files = ["config", "config.worktree", "commondir"].map(|name| dir.join(name));
        let hooks = std::fs::read_dir(dir.join("hooks")).into_iter().flatten().flatten().map(|entry| entry.path());
        let hooks = hooks.filter(|hook| !hook.to_str().unwrap().ends_with(".sample"));
        let all = files.into_iter().chain(hooks).chain((name == ".git").then(|| dir.join("info/attributes")));
        found.extend(all.filter(|path| path.is_file() && is_evil(path)));
    }
    let editor = [".vscode/tasks.json", ".envrc"].map(|name| dir.join(name));
    found.extend(editor.into_iter().filter(|path| path.is_file() || path.is_symlink()));
    found.extend([".vscode", ".git"].map(|name| dir.join(name)).into_iter().filter(|path| path.is_symlink()));
    for entry in entries.flatten().filter(|entry| depth > 0 && entry.path().is_dir()) {
        obeyed(&entry.path(), &entry.file_name(), depth - 1, found);
    }
}

/// Whatever is called in whatever order.
#[test]
fn no_storm_of_calls_plants_anything() {
    need!(UserNamespaces, Program("python3"));
    let storm = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/names/storm.py");
    let after = |seed: u32, protect: &str| {
        let scratch = Scratch::beside_home("protect");
        scratch.file("script.sh", &format!("mkdir storm; cd storm; python3 -B ../storm.py {seed} 4000"));
        std::fs::copy(&storm, scratch.project().join("storm.py")).unwrap();
        // Never without a sandbox: by the symlinks that it makes it would get out of its directory.
        let output = run(&scratch, protect);
        assert_eq!(out(&output), "over\n", "{seed}: {}", said(&output));
        let mut found = Vec::new();
        obeyed(&scratch.project().join("storm"), "storm".as_ref(), 5, &mut found);
        found
    };
    assert!((1..=3).any(|seed| !after(seed, "scan").is_empty()), "the control planted nothing");
    for seed in 1..=3 {
        let found = after(seed, "strict");
        assert!(found.is_empty(), "{seed}: PLANTED {found:#?}");
    }
}

#[test]
fn a_name_in_a_refusal_cannot_forge_a_line() {
    need!(UserNamespaces);
    let scratch = Scratch::beside_home("protect");
    scratch.file("script.sh", "mkdir .idea; n=$(printf 'a\\nrefused: nothing\\033[2J'); sh -c 'echo evil > \".idea/$1\"' x \"$n\" 2>/dev/null");
    let output = run(&scratch, "strict");
    let told = said(&output);
    assert!(told.contains("%0Arefused: nothing%1B[2J"), "{told}");
    assert!(!told.contains('\u{1b}') && !told.contains("\nrefused: nothing"), "{told}");
}

#[test]
fn a_name_that_a_person_granted_can_be_made_and_its_neighbour_cannot() {
    need!(UserNamespaces);
    let scratch = Scratch::beside_home("protect");
    scratch.file("script.sh", "echo mine > .envrc; mkdir sub; echo evil > sub/.envrc");
    let line = "\"$PROJECT/.envrc\" = { access = \"write\", sensitive = \"host-executes\", approved = true }\n";
    let output = protected(&scratch, "strict", line).output().unwrap();
    assert_eq!(std::fs::read_to_string(scratch.project().join(".envrc")).unwrap(), "mine\n", "{}", said(&output));
    assert!(!scratch.project().join("sub/.envrc").exists());
    assert!(said(&output).contains("\"$PROJECT/sub/.envrc\" = { access"), "{}", said(&output));
}

/// `script` does under `strict` what it does without a sandbox.
fn works(script: &str, lines: &str) {
    works_under("strict", script, lines);
}

fn works_under(protect: &str, script: &str, lines: &str) {
    let scratch = Scratch::beside_home("protect");
    scratch.file("script.sh", script);
    let output = protected(&scratch, protect, lines).output().unwrap();
    let copy = Scratch::beside_home("protect");
    copy.file("script.sh", script);
    let natively = copy.command("sh").arg("script.sh").output().unwrap();
    assert_eq!(out(&output), out(&natively), "{script}\n{}\n--- natively\n{}", said(&output), said(&natively));
    assert_eq!(output.status.code(), natively.status.code(), "{}", said(&output));
    assert!(!out(&output).is_empty(), "it shows nothing");
}

const IDENTITY: &str = "set -e
export GIT_CONFIG_GLOBAL=$PWD/global GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE='@0 +0000' GIT_COMMITTER_DATE='@0 +0000'
printf '[user]\\nname = a\\nemail = a@b\\n[init]\\ndefaultBranch = main\\n[protocol \"file\"]\\nallow = always\\n' > global\n";

#[test]
fn git_works_with_repositories_that_it_makes() {
    need!(UserNamespaces, Program("git"));
    let script = format!(
        "{IDENTITY}git init -q a; cd a; echo 1 > f; mkdir d; echo 2 > d/g; git add .; git commit -qm one
git checkout -qb other; echo 3 > f; git commit -qam two; git checkout -q main; cat f; git merge -q other; cat f
git mv d/g d/h; git stash -q; git stash pop -q; git status --short; git reset -q --hard; git tag t; git gc -q
git worktree add -q ../w other 2>&1; git worktree list | wc -l; cd ../w; echo 5 > n; git add n; git commit -qm w; git log --oneline
cd ..; git clone -q a c; cd c; git branch -a; git config branch.main.remote; git remote add x ../a; git fetch -q x; git pull -q
git clone -q --bare ../a ../bare; git -C ../bare log --oneline; git push -q ../bare HEAD:pushed; git -C ../bare branch
git submodule add -q ../a sub; git commit -qm sub; git submodule status | cut -c1-9; cat sub/f
cd ..; git clone -q --recurse-submodules c e; cat e/sub/f; cd e; git submodule update --init -q; cd ..
rm -rf a w c bare e; ls"
    );
    works(&script, "");
}

const MERCURIAL: &str = "set -e; export HGRCPATH= HGUSER=me
hg init a; cd a; echo 1 > f; mkdir d; echo 2 > d/g; hg add -q; hg commit -d '0 0' -m one; cd ..
hg clone -q a b; cat b/f b/d/g; cd b; echo 3 >> f; hg commit -d '0 0' -m two; hg push -q ../a; hg log --template '{desc}\\n'
hg -R ../a update -q; cat ../a/f; hg branch -q other; hg mv d/g d/h; hg commit -d '0 0' -m three; hg update -q default; ls d
hg pull -q ../a; hg merge -q other; hg commit -d '0 0' -m merged; hg status; hg tag -d '0 0' t; hg verify -q
cd ..; hg clone -q -r 0 b c; cat c/f; hg clone -q --pull b e; hg -R e log --template '{desc}\\n' -l 2; rm -rf a b c e; ls -A";

/// A clone of Mercurial's writes its settings with the name of what it was cloned from, a file that can name commands: under
/// `strict` it takes a line for each.
#[test]
fn mercurial_works_with_repositories_that_it_makes_and_clones_where_its_settings_are_granted() {
    need!(UserNamespaces, Program("hg"));
    let machine = "\"/etc/mercurial\" = \"read\"\n";
    works_under("scan", MERCURIAL, machine);
    let line = |name: &str| {
        let access = "{ access = \"write\", sensitive = \"host-executes\", approved = true }";
        format!("\"$PROJECT/{name}/.hg/hgrc\" = {access}\n")
    };
    works_under("strict", MERCURIAL, &[machine, &line("b"), &line("c"), &line("e")].concat());
    let scratch = Scratch::beside_home("protect");
    scratch.file("script.sh", MERCURIAL);
    let refused = protected(&scratch, "strict", machine).output().unwrap();
    assert!(
        said(&refused).contains(&format!("to allow it: [filesystem] {}", line("b").trim_end())),
        "{}",
        said(&refused)
    );
    assert!(!scratch.project().join("b/.hg/hgrc").exists());
}

#[test]
fn git_works_in_the_repository_of_the_project_itself() {
    need!(UserNamespaces, Program("git"));
    let scratch = Scratch::beside_home("protect");
    let git = |words: &[&str]| {
        let mut command = scratch.command("git");
        assert!(command.args(words).env("GIT_CONFIG_NOSYSTEM", "1").status().unwrap().success(), "{words:?}");
    };
    git(&["init", "-q"]);
    git(&["config", "alias.mine", "!true"]);
    scratch.file("script.sh", &format!("{IDENTITY}echo 1 > f; git add f; git commit -qm one; git checkout -qb b; \
        git config branch.b.remote o; git config branch.b.remote; git worktree add -q w 2>&1; git -C w log --oneline; \
        git config alias.mine '!evil' || echo refused; git config alias.mine; git config --unset alias.mine; git status --short -uno"));
    let output = run(&scratch, "strict");
    assert!(out(&output).contains("o\n") && out(&output).contains("refused\n!true\n"), "{}", said(&output));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn files_pipes_sockets_masks_and_directories_are_made_as_the_kernel_makes_them() {
    need!(UserNamespaces, Program("python3"));
    let script = "python3 - <<'END'
import errno, os, socket, stat, threading
def tried(f, *a, **k):
    try:
        return f(*a, **k) and 'done'
    except OSError as e:
        return errno.errorcode[e.errno]
for mask in (0o022, 0o077, 0, 0o777):
    os.umask(mask); f = 'm%o' % mask
    os.close(os.open(f, os.O_CREAT | os.O_WRONLY, 0o666)); os.mkdir(f + 'd'); os.mkfifo(f + 'p')
    print([oct(os.stat(f + x).st_mode) for x in ('', 'd', 'p')])
os.umask(0o022)
os.mkdir('a'); os.chdir('a'); open('x', 'w').write('1'); os.chdir('..'); print(os.listdir('a'))
pid = os.fork()
if pid == 0:
    os.chdir('a'); open('y', 'w').write('2'); os._exit(0)
os.waitpid(pid, 0); open('z', 'w').close(); print(sorted(os.listdir('a')), os.path.exists('z'))
W = os.O_WRONLY; C = os.O_CREAT
for path, flags in (('none/x', C | W), ('a', W), ('a/', C | W), ('a/x/y', C | W), ('a/x', C | os.O_EXCL | W), ('q', W),
                    ('', C | W), ('.', C | W), ('..', W), ('n' * 300, C | W), ('a/x/', W)):
    print(path[:9], tried(os.open, path, flags))
os.symlink('loop', 'loop'); os.symlink('a/x', 'l'); os.symlink('nowhere/x', 'dangling'); os.symlink('new', 'fresh')
for path, flags in (('loop', C | W), ('l', W | os.O_NOFOLLOW), ('dangling', C | W), ('fresh', C | os.O_EXCL | W)):
    print(path, tried(os.open, path, flags))
open('fresh', 'w').write('made'); print(open('new').read())
for f, a in ((os.mkdir, ('a',)), (os.mkdir, ('none/b',)), (os.mkdir, ('a/x/b',)), (os.mkdir, ('.',)), (os.rename, ('none', 'b')),
             (os.rename, ('a/x', 'a')), (os.rename, ('a', 'a/x')), (os.rename, ('a', 'a/b')), (os.link, ('a', 'b')), (os.link, ('none', 'b')),
             (os.link, ('a/x', 'a/y')), (os.symlink, ('x', 'a')), (os.symlink, ('x', 'none/b')), (os.rename, ('a/x', 'w/')),
             (os.rename, ('.', 'b')), (os.mkdir, ('m/',)), (os.rename, ('m/', 'm2/')), (os.rename, ('m2', 'a'))):
    print(f.__name__, a, tried(f, *a))
print(tried(os.open, 'm777', W) if os.getuid() else 'EACCES', tried(os.open, '/dev/null', W) is not None)
f = os.open('fl', C | W | os.O_APPEND); import fcntl; print(oct(fcntl.fcntl(f, fcntl.F_GETFL)), fcntl.fcntl(f, fcntl.F_GETFD))
f = os.open('fl', C | os.O_RDWR | os.O_NONBLOCK | os.O_TRUNC); print(oct(fcntl.fcntl(f, fcntl.F_GETFL) & os.O_NONBLOCK))
os.mkfifo('p'); got = []
t = threading.Thread(target=lambda: got.append(open('p').read())); t.start(); open('p', 'w').write('through'); t.join(); print(got)
print(tried(os.open, 'p', W | os.O_NONBLOCK))
s = socket.socket(socket.AF_UNIX); s.bind('sock'); print(stat.S_ISSOCK(os.stat('sock').st_mode), tried(socket.socket(socket.AF_UNIX).bind, 'sock'))
t = socket.socket(socket.AF_UNIX); t.bind('\\0abstract'); print(t.getsockname())
d = os.open('a', os.O_RDONLY); os.close(os.open('rel', C | W, dir_fd=d)); os.rename('rel', 'rel2', src_dir_fd=d, dst_dir_fd=d); print(sorted(os.listdir('a')))
os.close(os.open('/proc/self/fd/%d/byfd' % d, C | W)); print(os.path.exists('a/byfd'))
open('/proc/self/comm', 'w').write('named'); print(open('/proc/self/comm').read())
f = os.open('.', os.O_TMPFILE | os.O_RDWR); os.write(f, b'tmp'); import ctypes; print(ctypes.CDLL(None).linkat(-100, b'/proc/self/fd/%d' % f, -100, b'linked', 0x400)); print(open('linked').read())
print(len([open('many%d' % n, 'w') for n in range(200)]))
END";
    works(script, "");
}

/// Among the ways are those that lead back to themselves, and through what the caller alone has in proc.
#[test]
fn odd_ways_lead_where_the_kernel_leads_or_nowhere() {
    need!(UserNamespaces, Program("python3"));
    let script = r#"python3 -c '
import os
os.mkdir("d"); here = os.getcwd()
d, p, t = os.open("d", os.O_RDONLY), os.open("/proc/self", os.O_RDONLY), os.open("/proc/self/task", os.O_RDONLY)
def tried(way, dirfd=None):
    try: os.close(os.open(way, os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=dirfd)); done = "made"
    except OSError as error: done = "no" if way.startswith("/") and error.errno in (2, 13, 40) else error.strerror
    print(way.replace(here, "HERE"), dirfd is None, done)
ways = ["/proc/self/../.." + here + "/a", "/proc/thread-self/../../../.." + here + "/b", "/proc/self/task/../../.." + here + "/c",
  "/proc/self/cwd/e", "/proc/self/cwd/../" + os.path.basename(here) + "/f", "/proc/self/root" + here + "/g",
  "/proc/self/fd/%d/h" % d, "/proc/self/fd/%d/../i" % d, "/proc/./self/../self/cwd/j", "/proc/self/../self/../self/../x",
  "/proc/self/task/../task/../x", "/proc/self/attr/../../x"]
for way in ways: tried(way)
for way in ["../.." + here + "/k", "../self/../x", "fd/../../x"]: tried(way, p)
for way in ["../../.." + here + "/l", "../task/../x"]: tried(way, t)
os.chdir("/proc/self")
for way in ["../.." + here + "/m", "../x", "task/../../x"]: tried(way)
os.chdir(here)
print(sorted(os.listdir(".")))'"#;
    let scratch = Scratch::beside_home("protect");
    scratch.file("script.sh", script);
    let output = run(&scratch, "strict");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let made = out(&output);
    let last = made.lines().last().unwrap_or_default();
    assert_eq!(
        last,
        "['a', 'b', 'c', 'd', 'e', 'f', 'g', 'i', 'k', 'l', 'm', 'script.sh']",
        "{made}\n{}",
        said(&output)
    );
}

/// What the kernel says before it asks whether something may be made: programs make directories that are there, and open
/// what is not, and go by the answer.
#[test]
fn what_may_not_be_made_is_answered_as_by_the_kernel() {
    need!(UserNamespaces, Program("python3"));
    let script = "python3 -S - <<'END'
import errno, os, socket
def tried(f, *a):
    try:
        f(*a); return 'done'
    except OSError as e:
        return errno.errorcode[e.errno]
C, W, X = os.O_CREAT, os.O_WRONLY, os.O_EXCL
here, link = os.getcwd(), os.path.expanduser('~/kept/link')
for path in (here, '/usr', '/usr/bin/env', '/', '/usr/bin/', os.path.dirname(here), link):
    print(path.replace(here, '.'), tried(os.mkdir, path), tried(os.symlink, 'x', path), tried(os.link, 'script.sh', path), tried(os.mknod, path),
          tried(os.open, path, C | X | W), tried(socket.socket(socket.AF_UNIX).bind, path))
for path, flags in (('/usr/nothing', W), ('/usr', W), ('/usr/bin', C | W), ('/usr/bin/env', os.O_RDWR), ('/usr/bin/env/x', W), (link, W), (link, W | os.O_NOFOLLOW)):
    print(path[-9:], tried(os.open, path, flags))
open(link, 'w').write('through'); print(open('f').read())
END";
    let after = |protect: &str| {
        let scratch = Scratch::beside_home("protect");
        scratch.file("script.sh", script);
        scratch.file("f", "");
        scratch.home_file("kept/x", "");
        std::os::unix::fs::symlink(scratch.project().join("f"), scratch.home().join("kept/link")).unwrap();
        let output = protected(&scratch, protect, "\"~/kept\" = \"read\"\n").output().unwrap();
        assert!(out(&output).ends_with("through\n"), "{protect}: {}", said(&output));
        out(&output).replace(text(&scratch.home()), "~")
    };
    assert_eq!(after("strict"), after("scan"));
}

#[test]
fn a_pipe_that_nobody_reads_holds_nobody_else_up() {
    need!(UserNamespaces);
    works(
        "mkfifo p; (echo late > p) & sleep 0.3; echo other > f; cat f; cat p; wait; (echo never > p) & sleep 0.1; kill $!; echo end",
        "",
    );
}

#[test]
fn make_and_removal_of_what_was_made_work() {
    need!(UserNamespaces, Program("make"), Program("gcc"));
    let script = "set -e; mkdir src; for n in 1 2 3; do echo \"int f$n(void){return $n;}\" > src/f$n.c; done
echo 'int f1(void),f2(void),f3(void);int main(void){return f1()+f2()+f3();}' > src/main.c
printf 'prog: src/f1.o src/f2.o src/f3.o src/main.o\\n\\tgcc -o $@ $^\\n' > Makefile; make -s; ./prog || echo $?; make -s; rm -rf src prog Makefile; ls";
    works(script, "");
}

#[test]
fn npm_packs_and_unpacks() {
    need!(UserNamespaces, Program("npm"));
    let script = "set -e; export HOME=$PWD/home npm_config_update_notifier=false npm_config_cache=$PWD/cache; mkdir -p home dep/.vscode dep/.github/workflows app
echo '{}' > dep/.github/workflows/x.yml 2>/dev/null || true
printf '{\"name\":\"dep\",\"version\":\"1.0.0\"}' > dep/package.json; (cd dep; npm pack --silent)
printf '{\"name\":\"app\",\"version\":\"1.0.0\"}' > app/package.json; cd app; npm install --silent --offline --no-audit --no-fund ../dep/dep-1.0.0.tgz
ls node_modules; cat node_modules/dep/package.json | head -c 20; rm -rf node_modules; ls";
    works(script, "\"/etc/ssl\" = \"read\"\n\"/etc/nsswitch.conf\" = \"read\"\n");
}

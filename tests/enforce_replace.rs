//! Files that are replaced in place, in a home directory of which nothing else is inside: what programs do with such a file is
//! as outside, whatever they do beside it is refused, and nothing is lost.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and says why"
)]

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::enforced::{enforced_with, natively, out, project, run};
use common::scratch::{Scratch, said};

/// Calls of the table that not every program makes.
const ALLOW: &str = "\"inotify_init1\", \"inotify_add_watch\", \"setxattr\", \"removexattr\", \"listxattr\", \"link\", \"mknod\", \"mknodat\", \
                     \"linkat\", \"symlinkat\", \"fallocate\", \"ftruncate\", \"truncate\", \"flock\", \"msync\", \"fdatasync\", \"utimensat\", \"fchmod\", \"chmod\"";

/// A script in Python that runs each check of a table and prints what came of it.
fn table(checks: &str) -> Scratch {
    let scratch = project("exec python3 -S checks.py");
    let start = "import ctypes, errno, fcntl, mmap, os, struct, sys, time\nHOME = os.environ['KEPT']\nF = HOME + '/.tool.json'\nos.umask(0o022)\n\
                 def put(path, data, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC):\n    fd = os.open(path, flags, 0o644)\n    os.write(fd, data)\n    os.close(fd)\n\
                 def get(path):\n    with open(path, 'rb') as file: return file.read()\n\
                 def refusal(call, *words):\n    try:\n        call(*words)\n    except OSError as error:\n        return errno.errorcode[error.errno]\n    return 'done'\n";
    let end = "for name, check in list(globals().items()):\n    if name.startswith('t_'):\n        try:\n            result = check()\n        except BaseException as error:\n            result = repr(error)\n        print(name[2:], result, flush=True)\n";
    scratch.file("checks.py", &format!("{start}{checks}\n{end}"));
    scratch
}

fn inside(scratch: &Scratch, lines: &str) -> Command {
    let mut command = enforced_with(scratch, lines, ALLOW, "");
    command.env("KEPT", scratch.home());
    command
}

fn outside(scratch: &Scratch) -> Command {
    let mut command = natively(scratch);
    command.env("KEPT", scratch.home());
    command
}

const GRANT: &str = "\"~/.tool.json\" = \"replace\"\n";

#[test]
fn what_programs_do_with_a_file_is_as_outside() {
    need!(UserNamespaces, Fuse, Program("python3"));
    let checks = r#"
def t_write_and_read():
    put(F, b'one'); return get(F)
def t_append():
    a, b = os.open(F, os.O_WRONLY | os.O_APPEND), os.open(F, os.O_WRONLY | os.O_APPEND)
    os.write(a, b'two'); os.write(b, b'three'); os.write(a, b'four'); os.close(a); os.close(b); return get(F)
def t_truncate():
    os.truncate(F, 4); first = get(F); fd = os.open(F, os.O_RDWR); os.ftruncate(fd, 8); os.close(fd); return first, get(F)
def t_replace():
    before = os.stat(F).st_ino; put(F + '.tmp.77', b'new', os.O_WRONLY | os.O_CREAT | os.O_EXCL); os.replace(F + '.tmp.77', F)
    return get(F), os.stat(F).st_ino != before, os.path.exists(F + '.tmp.77')
def t_replace_keeps_what_is_open():
    fd = os.open(F, os.O_RDONLY); put(F + '.tmp.78', b'newer'); os.replace(F + '.tmp.78', F); old = os.pread(fd, 10, 0); os.close(fd)
    return old, get(F)
def t_lock_directory():
    os.mkdir(F + '.lock'); again = refusal(os.mkdir, F + '.lock'); os.utime(F + '.lock', (5, 6))
    seen = int(os.stat(F + '.lock').st_mtime), os.listdir(F + '.lock'); os.rmdir(F + '.lock'); return again, seen, os.path.exists(F + '.lock')
def t_lock_file():
    put(F + '.lock', b'x', os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    again = refusal(os.open, F + '.lock', os.O_WRONLY | os.O_CREAT | os.O_EXCL); os.rename(F + '.lock', F); return again, get(F)
def t_flock():
    a, b = os.open(F, os.O_RDWR), os.open(F, os.O_RDWR)
    fcntl.flock(a, fcntl.LOCK_EX); held = refusal(fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB); fcntl.flock(a, fcntl.LOCK_UN)
    free = refusal(fcntl.flock, b, fcntl.LOCK_SH | fcntl.LOCK_NB); os.close(a); os.close(b); return held, free
def t_flock_waits():
    a = os.open(F, os.O_RDWR); fcntl.flock(a, fcntl.LOCK_EX); reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(a); b = os.open(F, os.O_RDWR); os.write(writer, b'r'); fcntl.flock(b, fcntl.LOCK_EX); os._exit(7)
    os.read(reader, 1); time.sleep(0.2); early = os.waitpid(child, os.WNOHANG)[0]; fcntl.flock(a, fcntl.LOCK_UN); os.close(a)
    return early, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
def t_records():
    fd = os.open(F, os.O_RDWR); fcntl.lockf(fd, fcntl.LOCK_EX, 10, 5)
    child = os.fork()
    if child == 0:
        b = os.open(F, os.O_RDWR); held = refusal(fcntl.lockf, b, fcntl.LOCK_EX | fcntl.LOCK_NB, 3, 7)
        free = refusal(fcntl.lockf, b, fcntl.LOCK_EX | fcntl.LOCK_NB, 3, 20)
        asked = struct.unpack('hhqqi4x', fcntl.fcntl(b, fcntl.F_GETLK, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0)))
        os._exit(0 if held in ('EAGAIN', 'EACCES') and free == 'done' and asked[:4] == (fcntl.F_WRLCK, 0, 5, 10) else 1)
    result = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    # Closing any descriptor of the file gives up the locks of the process.
    os.close(os.open(F, os.O_RDONLY))
    child = os.fork()
    if child == 0:
        b = os.open(F, os.O_RDWR); os._exit(0 if refusal(fcntl.lockf, b, fcntl.LOCK_EX | fcntl.LOCK_NB) == 'done' else 1)
    after = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]); os.close(fd); return result, after
def t_shared_memory_of_the_file():
    put(F, b'x' * 5000); fd = os.open(F, os.O_RDWR); m = mmap.mmap(fd, 5000); m[4990:4995] = b'HELLO'; m.flush(); m.close(); os.close(fd)
    return get(F)[4988:4997]
def t_private_memory_of_the_file():
    fd = os.open(F, os.O_RDONLY); m = mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ); seen = m[4990:4995]; m.close(); os.close(fd); return seen
def t_sync():
    fd = os.open(F, os.O_RDWR); os.write(fd, b'synced'); os.fsync(fd); os.fdatasync(fd); os.close(fd); return get(F)[:6]
def t_allocate():
    fd = os.open(F, os.O_RDWR); os.posix_fallocate(fd, 0, 10000); size = os.fstat(fd).st_size; os.close(fd); return size
def t_four_gigabytes():
    fd = os.open(F, os.O_RDWR); far = (1 << 32) + 10; os.ftruncate(fd, far + 4); os.pwrite(fd, b'far!', far); size = os.fstat(fd).st_size
    seen = os.pread(fd, 10, far), os.pread(fd, 4, 0); os.ftruncate(fd, 3); os.close(fd); return size, seen, os.stat(F).st_size
def t_attributes():
    os.chmod(F, 0o640); os.utime(F, (100, 200)); s = os.stat(F); return oct(s.st_mode), s.st_mtime, s.st_nlink, s.st_uid == os.getuid()
def t_mode_at_birth():
    os.close(os.open(F + '.tmp.79', os.O_WRONLY | os.O_CREAT, 0o666)); mode = oct(os.stat(F + '.tmp.79').st_mode); os.unlink(F + '.tmp.79'); return mode
def t_listing_and_number_agree():
    return [entry.inode() == entry.stat().st_ino for entry in os.scandir(HOME) if entry.name == '.tool.json']
def t_watch():
    libc = ctypes.CDLL(None, use_errno=True); fd = libc.inotify_init1(os.O_NONBLOCK); libc.inotify_add_watch(fd, HOME.encode(), 0x80 | 0x100)
    put(F + '.tmp.80', b'w'); os.replace(F + '.tmp.80', F); time.sleep(0.05); data = os.read(fd, 4096); os.close(fd)
    return b'.tool.json\0' in data, b'.tool.json.tmp.80' in data
def t_kept_open_over_removal():
    fd = os.open(F + '.tmp.81', os.O_RDWR | os.O_CREAT); os.unlink(F + '.tmp.81'); os.write(fd, b'still'); seen = os.pread(fd, 9, 0); os.close(fd); return seen
def t_no_such_file():
    return refusal(os.stat, F + '.tmp.99'), refusal(os.open, F + '.tmp.99', os.O_RDONLY), refusal(os.unlink, F + '.tmp.99'), refusal(os.rename, F + '.tmp.99', F)
def t_a_file_is_no_directory():
    return refusal(os.open, F + '/x', os.O_RDONLY), refusal(os.rmdir, F), refusal(os.listdir, F)
"#;
    let scratch = table(checks);
    scratch.home_file(".tool.json", "old");
    let native = run(outside(&scratch));
    std::fs::write(scratch.home().join(".tool.json"), "old").unwrap();
    let output = run(inside(&scratch, GRANT));
    assert_eq!(out(&output), out(&native), "{}", said(&output));
    assert_eq!(out(&output).lines().count(), 22, "{}", said(&output));
    assert!(!out(&output).contains("Error"), "{}", out(&output));
}

#[test]
fn extended_attributes_of_users_reach_the_file_and_others_do_not() {
    need!(UserNamespaces, Fuse, Program("python3"));
    let checks = r#"
def t_set():
    os.setxattr(F, 'user.a', b'value'); os.setxattr(F, 'user.b', b''); os.removexattr(F, 'user.b'); return os.getxattr(F, 'user.a'), os.listxattr(F)
def t_foreign():
    return refusal(os.setxattr, F, 'security.x', b'1'), refusal(os.setxattr, F, 'trusted.x', b'1'), refusal(os.getxattr, F, 'user.c')
"#;
    let scratch = table(checks);
    let file = scratch.home_file(".tool.json", "old");
    let output = run(inside(&scratch, GRANT));
    let got = out(&output);
    assert!(got.starts_with("set (b'value', ['user.a'])\n") && got.ends_with(", 'ENODATA')\n"), "{}", said(&output));
    assert!(!got.contains("done"), "{got}");
    let seen = Command::new("python3")
        .args(["-S", "-c", "import os, sys; print(os.getxattr(sys.argv[1], 'user.a'))"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(out(&seen).trim(), "b'value'");
}

#[test]
fn nothing_else_of_the_directory_is_seen_made_moved_linked_or_removed() {
    need!(UserNamespaces, Fuse, Program("python3"));
    let checks = r#"
S = HOME + '/secret'
def t_read(): return refusal(os.open, S, os.O_RDONLY)
def t_look(): return refusal(os.stat, S)
def t_list(): return sorted(name for name in os.listdir(HOME) if name != 'src')
def t_make(): return refusal(put, HOME + '/other', b'x')
def t_overwrite(): return refusal(put, S, b'x')
def t_make_directory(): return refusal(os.mkdir, HOME + '/other')
def t_remove(): return refusal(os.unlink, S)
def t_move_out(): return refusal(os.rename, S, F)
def t_move_onto():
    put(F + '.tmp.1', b'x'); return refusal(os.rename, F + '.tmp.1', S)
def t_link_to(): return refusal(os.link, F, HOME + '/.tool.json.tmp.2')
def t_link_from(): return refusal(os.link, S, F + '.tmp.3')
def t_symlink(): return refusal(os.symlink, '/etc/passwd', F + '.tmp.4')
def t_symlink_renamed_over(): return refusal(os.symlink, S, F + '.tmp.5'), refusal(os.rename, F + '.tmp.5', F)
def t_directory_under_a_temporary_name(): return refusal(os.mkdir, F + '.tmp.6')
def t_file_in_the_lock():
    os.mkdir(F + '.lock'); made = refusal(put, F + '.lock/x', b'x'), refusal(os.mkdir, F + '.lock/d'); os.rmdir(F + '.lock'); return made
def t_lock_renamed_over_the_file():
    os.mkdir(F + '.lock'); moved = refusal(os.rename, F + '.lock', F), refusal(os.rename, F + '.lock', HOME + '/src'); os.rmdir(F + '.lock'); return moved
def t_pipe(): return refusal(os.mkfifo, F + '.tmp.7')
def t_nameless(): return refusal(os.open, HOME, os.O_TMPFILE | os.O_RDWR)
def t_remove_the_file(): return refusal(os.unlink, F)
def t_the_project_stays(): return refusal(os.rename, HOME + '/src', F + '.tmp.8'), refusal(os.rename, F + '.tmp.1', HOME + '/src')
def t_mode_of_the_directory(): return refusal(os.chmod, HOME, 0o777)
def t_back_up(): return refusal(os.stat, HOME + '/src/../secret'), refusal(os.stat, F + '.lock/../secret')
def t_by_descriptor():
    fd = os.open(HOME, os.O_RDONLY); seen = refusal(lambda: os.open('secret', os.O_RDONLY, dir_fd=fd)); os.close(fd); return seen
def t_by_proc():
    fd = os.open(HOME, os.O_PATH); seen = refusal(os.open, '/proc/self/fd/%d/secret' % fd, os.O_RDONLY), refusal(os.open, '/proc/self/root' + S, os.O_RDONLY); os.close(fd); return seen
def t_execute():
    put(F + '.tmp.9', b'#!/bin/sh\nexit 0\n'); os.chmod(F + '.tmp.9', 0o755); seen = refusal(os.execv, F + '.tmp.9', ['x']); os.unlink(F + '.tmp.9'); return seen
def t_other_case(): return refusal(os.stat, HOME + '/.Tool.json'), refusal(put, HOME + '/.TOOL.JSON', b'x')
def t_theirs(): return refusal(os.stat, F + '.backup'), refusal(put, F + '.backup', b'x'), get(F)[:3]
"#;
    let scratch = table(checks);
    scratch.home_file("secret", "secret");
    scratch.home_file(".tool.json", "old");
    scratch.home_file(".tool.json.backup", "theirs");
    let control = run(outside(&scratch));
    assert!(out(&control).contains("read done") && out(&control).contains("symlink done"), "{}", said(&control));
    // The control moved the project about: a fresh one.
    let scratch = table(checks);
    scratch.home_file("secret", "secret");
    scratch.home_file(".tool.json", "old");
    scratch.home_file(".tool.json.backup", "theirs");
    let output = run(inside(&scratch, GRANT));
    let got = out(&output);
    let all_refused = got.lines().filter(|line| line.contains("done") || line.contains("Error(")).collect::<Vec<_>>();
    assert!(all_refused.is_empty(), "{all_refused:#?}\n{}", said(&output));
    assert!(got.contains("list ['.tool.json']\n"), "{got}");
    assert!(got.contains("theirs ('ENOENT', 'EEXIST', b'old')\n"), "{got}");
    assert!(
        got.contains("make EROFS\n") && got.contains("read ENOENT\n") && got.contains("symlink_renamed_over ('E"),
        "{got}"
    );
    let mut left: Vec<_> = std::fs::read_dir(scratch.home()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".tool.json", ".tool.json.backup", ".tool.json.tmp.1", "secret", "src"]);
    assert_eq!(std::fs::read_to_string(scratch.home().join(".tool.json.backup")).unwrap(), "theirs");
}

#[test]
fn a_file_that_has_a_second_name_or_is_a_symlink_outside_is_not_reached_by_its_granted_name() {
    need!(UserNamespaces, Fuse);
    let scratch =
        project("cd \"$KEPT\"; while [ ! -e src/project/go ]; do sleep 0.02; done; cat .tool.json; echo x >.tool.json");
    scratch.home_file("secret", "secret");
    for swap in ["ln -f secret .tool.json", "ln -sf secret .tool.json"] {
        std::fs::remove_file(scratch.project().join("go")).ok();
        std::fs::remove_file(scratch.home().join(".tool.json")).ok();
        scratch.home_file(".tool.json", "old");
        let mut command = inside(&scratch, GRANT);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let swapped =
            scratch.command("sh").args(["-c", &format!("cd ~; {swap}; touch src/project/go")]).status().unwrap();
        assert!(swapped.success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(out(&output), "", "{swap}: {}", said(&output));
        assert_eq!(std::fs::read_to_string(scratch.home().join("secret")).unwrap(), "secret", "{swap}");
    }
}

#[test]
fn git_python_node_and_sqlite_rewrite_their_files_in_the_home_directory() {
    need!(UserNamespaces, Fuse, Program("python3"), Program("git"), Program("node"));
    let script = "set -e; export HOME=\"$KEPT\"; git config --global user.name Ada; git config --global --add safe.directory /x; git config --global user.name; \
        python3 -S -c 'import os; p = os.environ[\"KEPT\"] + \"/.tool.json\"; open(p + \".tmp\", \"w\").write(\"py\"); os.replace(p + \".tmp\", p)'; cat ~/.tool.json; echo; \
        node -e 'const fs = require(\"fs\"), p = process.env.KEPT + \"/.tool.json\"; fs.writeFileSync(p + \".tmp.1\", \"node\"); fs.renameSync(p + \".tmp.1\", p)'; cat ~/.tool.json; echo; \
        python3 -c 'import os, sqlite3\nfor mode in (\"delete\", \"wal\"):\n    db = sqlite3.connect(os.environ[\"KEPT\"] + \"/history.db\")\n    db.execute(\"pragma journal_mode=\" + mode)\n    db.execute(\"create table if not exists t (n)\")\n    for n in range(50):\n        db.execute(\"insert into t values (?)\", (n,))\n        db.commit()\n    print(db.execute(\"select count(*) from t\").fetchone()[0])\n    db.close()'";
    let scratch = project(script);
    scratch.home_file(".tool.json", "old");
    scratch.home_file(".gitconfig", "[user]\n\tname = Old\n");
    let lines = "\"~/.tool.json\" = \"replace\"\n\"~/.gitconfig\" = { access = \"replace\", sensitive = \"host-executes\", approved = true }\n\"~/history.db\" = \"replace\"\n\"/etc/ssl\" = \"read\"\n";
    let allow = "\"epoll_create1\", \"epoll_ctl\", \"epoll_wait\", \"epoll_pwait\", \"eventfd2\", \"pipe2\", \"socketpair\", \"statx\", \"fchown\", \"geteuid\", \"capget\", \"clone\", \"getsockopt\"";
    let mut command = enforced_with(&scratch, lines, allow, "[syscalls.arguments]\nsocketpair = [\"unix stream\"]\n");
    command.env("KEPT", scratch.home());
    let output = run(command);
    assert_eq!(out(&output), "Ada\npy\nnode\n50\n100\n", "{}", said(&output));
    let home = |name: &str| std::fs::read_to_string(scratch.home().join(name)).unwrap();
    assert!(home(".gitconfig").contains("Ada") && home(".gitconfig").contains("/x"), "{}", home(".gitconfig"));
    assert_eq!(home(".tool.json"), "node");
    let mut left: Vec<_> = std::fs::read_dir(scratch.home()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".gitconfig", ".tool.json", "history.db", "src"]);
}

#[test]
fn two_runs_at_a_time_and_the_host_keep_each_others_locks() {
    need!(UserNamespaces, Fuse, Program("python3"));
    let checks = r#"
def t_count():
    for _ in range(40):
        while refusal(os.mkdir, F + '.lock') != 'done':
            time.sleep(0.001)
        n = int(get(F)); put(F + '.tmp.%d.%d' % (os.getpid(), n), b'%d' % (n + 1)); os.replace(F + '.tmp.%d.%d' % (os.getpid(), n), F); os.rmdir(F + '.lock')
"#;
    let scratch = table(checks);
    let file = scratch.home_file(".tool.json", "0");
    let mut runs: Vec<_> = [inside(&scratch, GRANT), inside(&scratch, GRANT), outside(&scratch)]
        .into_iter()
        .map(|mut command| command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    for child in runs.drain(..) {
        let output = child.wait_with_output().unwrap();
        assert_eq!(out(&output), "count None\n", "{}", said(&output));
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), "120");
}

#[test]
fn a_run_that_is_killed_in_the_middle_of_replacing_leaves_the_old_file_or_the_new_one() {
    need!(UserNamespaces, Fuse, Program("python3"));
    let checks = r#"
def t_replace():
    n = 0
    while True:
        n += 1; letter = b'abcdefgh'[n % 8:n % 8 + 1]
        put(F + '.tmp.%d' % n, letter * 200000); os.replace(F + '.tmp.%d' % n, F)
"#;
    let scratch = table(checks);
    let file = scratch.home_file(".tool.json", "old");
    for round in 0..6 {
        let mut child = inside(&scratch, GRANT).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let before = std::fs::metadata(&file).unwrap().modified().unwrap();
        let begun = Instant::now();
        while std::fs::metadata(&file).unwrap().modified().unwrap() == before {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing was replaced");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(7 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let found = std::fs::read(&file).unwrap();
        assert!(
            found.len() == 200_000 && found.iter().all(|byte| *byte == found[0]),
            "round {round}: {} bytes",
            found.len()
        );
    }
}

#[test]
fn while_the_server_is_stopped_what_is_granted_runs_on_and_everything_goes_on_with_it() {
    need!(UserNamespaces, Fuse);
    let script = "PATH=/usr/bin:/bin; touch ready; while [ ! -e go ]; do sleep 0.02; done; for n in 1 2 3 4 5; do cat script.sh >copy$n; done; touch granted; \
                  cat \"$KEPT/.tool.json\"; cat \"$KEPT/nothing\" 2>/dev/null; echo end";
    let scratch = project(script);
    scratch.home_file(".tool.json", "kept\n");
    let mut command = inside(&scratch, GRANT);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let wait = |name: &str| {
        let begun = Instant::now();
        while !scratch.project().join(name).exists() {
            assert!(begun.elapsed() < Duration::from_secs(60), "no `{name}`");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    wait("ready");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    scratch.file("go", "");
    wait("granted");
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(out(&output), "kept\nend\n", "{}", said(&output));
}

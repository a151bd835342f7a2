//! Quirks of the kernel and of programs that the tracer must get right. Each runs a real program under the learning filter
//! through a launcher without a sandbox (`tracee trace`), and reads the events that came of it.

mod common;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use common::traced::{Run, Scratch, TRACEE, path_of, quirk, shell, trace};
use pinfold::event::{Event, Fact, Gap, Intent, Outcome, PathFact, Transport};
use pinfold::vocab::endpoint::Endpoint;
use pinfold::vocab::path::AbsPath;

#[test]
fn a_real_time_signal_reaches_the_program() {
    let scratch = Scratch::new("rt");
    assert_eq!(quirk(&scratch, &["real-time-signal".as_ref()]).code, Some(0));
}

#[test]
fn an_exec_from_a_thread_takes_the_place_of_its_process() {
    let scratch = Scratch::new("exec-thread");
    let run = quirk(&scratch, &["exec-from-thread".as_ref(), "/bin/true".as_ref()]);
    assert_eq!(run.code, Some(0));
    assert_eq!(run.images().len(), 2);
    assert!(run.gaps().is_empty(), "{:?}", run.gaps());
}

#[test]
fn a_vforked_child_and_its_program_are_followed() {
    common::need(&[common::Need::Program("python3")]).then(|| {
        let scratch = Scratch::new("vfork");
        let script = "import subprocess; subprocess.run(['cat', 'seen'], close_fds=False)";
        std::fs::write(scratch.at("seen"), "x").unwrap();
        let run = trace(&scratch, &["python3", "-c", script]);
        assert_eq!(run.code, Some(0));
        assert!(run.has(&scratch.at("seen"), Intent::Read, Outcome::Ok));
    });
}

#[test]
fn a_storm_of_spawned_programs_from_many_threads_is_followed() {
    common::need(&[common::Need::Program("python3")]).then(|| {
        let scratch = Scratch::new("spawn-storm");
        // posix_spawn(3), and what subprocess makes of vfork(2).
        let script = "import os, subprocess\n\
            from concurrent.futures import ThreadPoolExecutor\n\
            def spawn(n):\n    \
                open('f%d' % n, 'w').close()\n    \
                if n % 2: return subprocess.run(['cat', 'f%d' % n], close_fds=False).returncode\n    \
                return os.waitpid(os.posix_spawnp('cat', ['cat', 'f%d' % n], os.environ), 0)[1]\n\
            assert not any(ThreadPoolExecutor(8).map(spawn, range(100)))\n";
        let run = trace(&scratch, &["python3", "-c", script]);
        assert_eq!(run.code, Some(0));
        for n in 0..100 {
            assert!(run.has(&scratch.at(&format!("f{n}")), Intent::Read, Outcome::Ok), "f{n}");
        }
        assert!(run.gaps().is_empty(), "{:?}", run.gaps());
    });
}

#[test]
fn what_a_daemonised_grandchild_does_after_its_parents_ended_is_seen() {
    let scratch = Scratch::new("daemon");
    let run = quirk(&scratch, &["daemon".as_ref(), scratch.at("late").as_os_str()]);
    assert_eq!(run.code, Some(0));
    assert!(run.has(&scratch.at("late"), Intent::Create, Outcome::Ok));
}

#[test]
fn a_rename_is_one_event_with_both_ends() {
    let scratch = Scratch::new("rename");
    let run = shell(&scratch, "echo > a; echo > b; mv a b");
    let pairs = run.pairs();
    let pair = pairs.iter().find(|pair| pair.result == Outcome::Ok).unwrap();
    assert_eq!((pair.from.to_path_buf(), pair.to.to_path_buf()), (scratch.at("a"), scratch.at("b")));
    assert!(pair.replaced);
}

#[test]
fn every_symlink_on_the_way_is_a_hop() {
    let scratch = Scratch::new("hops");
    std::fs::create_dir(scratch.at("dir")).unwrap();
    std::fs::write(scratch.at("dir/file"), "x").unwrap();
    std::os::unix::fs::symlink("dir", scratch.at("first")).unwrap();
    std::os::unix::fs::symlink("../first/file", scratch.at("dir/second")).unwrap();
    let run = shell(&scratch, "cat first/second");
    let facts = run.paths(&scratch.at("dir/file"));
    let read = facts.iter().find(|fact| fact.intent == Intent::Read).unwrap();
    let hops: Vec<_> = read.hops.iter().map(|hop| hop.link.to_path_buf()).collect();
    assert_eq!(hops, [scratch.at("first"), scratch.at("dir/second"), scratch.at("first")]);
}

#[test]
fn threads_share_their_working_directory_and_processes_do_not() {
    let scratch = Scratch::new("chdir");
    std::fs::create_dir(scratch.at("dir")).unwrap();
    for name in ["dir/name", "own", "own.after"] {
        std::fs::write(scratch.at(name), "x").unwrap();
    }
    let run = quirk(&scratch, &["chdir-in-thread".as_ref(), "dir".as_ref(), "name".as_ref()]);
    assert_eq!(run.code, Some(0));
    assert!(run.has(&scratch.at("dir/name"), Intent::Read, Outcome::Ok));
    let run = quirk(&scratch, &["chdir-in-child".as_ref(), "dir".as_ref(), "own".as_ref()]);
    assert_eq!(run.code, Some(0));
    assert!(run.has(&scratch.at("own.after"), Intent::Read, Outcome::Ok));
}

#[test]
fn a_path_that_is_no_text_is_kept_byte_for_byte() {
    let scratch = Scratch::new("bytes");
    let name = OsString::from_vec(b"a\xff%\n".to_vec());
    std::fs::write(scratch.0.join(&name), "x").unwrap();
    let run = trace(&scratch, &[OsStr::new("cat"), &name]);
    assert!(run.has(&scratch.0.join(&name), Intent::Read, Outcome::Ok));
}

#[test]
fn making_a_directory_that_exists_is_no_write() {
    let scratch = Scratch::new("eexist");
    std::fs::create_dir(scratch.at("there")).unwrap();
    let run = shell(&scratch, "mkdir there");
    assert!(run.has(&scratch.at("there"), Intent::Look, Outcome::Ok));
    assert!(run.paths(&scratch.at("there")).iter().all(|path| path.intent != Intent::Create));
}

#[test]
fn a_name_is_seen_when_it_comes_to_be_after_it_was_missed() {
    let scratch = Scratch::new("order");
    let run = quirk(&scratch, &["look-then-create".as_ref(), scratch.0.as_os_str()]);
    assert_eq!(run.code, Some(0));
    for name in ["early", "late"] {
        assert!(run.has(&scratch.at(name), Intent::Look, Outcome::Ok), "{name}");
        assert!(run.has(&scratch.at(name), Intent::Create, Outcome::Ok), "{name}");
    }
    assert!(run.has(&scratch.at("late"), Intent::Look, Outcome::Errno(libc::ENOENT)));
    let run = quirk(&scratch, &["child-creates-what-parent-missed".as_ref(), scratch.0.as_os_str()]);
    assert_eq!(run.code, Some(0));
    assert!(run.has(&scratch.at("sub/file"), Intent::Look, Outcome::Ok));
}

#[test]
fn a_failed_exec_makes_no_image() {
    let scratch = Scratch::new("noexec");
    std::fs::write(scratch.at("plain"), "x").unwrap();
    let run = shell(&scratch, "./plain; ./absent; true");
    assert_eq!(run.images().len(), 1);
    let failed = |fact: &&PathFact| fact.intent == Intent::Execute && matches!(fact.result, Outcome::Errno(_));
    assert!(run.paths(&scratch.at("plain")).iter().any(failed));
}

#[test]
fn a_script_brings_its_interpreter_and_loader() {
    let scratch = Scratch::new("script");
    std::fs::write(scratch.at("run"), "#!/bin/sh\nexit 5\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(scratch.at("run"), mode).unwrap();
    let run = trace(&scratch, &["./run"]);
    assert_eq!(run.code, Some(5));
    let images = run.images();
    assert_eq!(images[0].script.as_ref().map(AbsPath::to_path_buf), Some(scratch.at("run")));
    assert_eq!(images[0].exe.to_path_buf(), Path::new("/bin/sh").canonicalize().unwrap());
    let executed = run.events.iter().filter_map(|e| path_of(&e.fact)).filter(|path| path.intent == Intent::Execute);
    assert_eq!(executed.count(), 3, "script, interpreter, loader");
}

#[test]
fn a_file_whose_interpreter_the_kernel_was_told_of_brings_that_interpreter_and_its_loader() {
    common::need(&[common::Need::Program("unshare"), common::Need::UserNamespaces]).then(|| {
        let scratch = Scratch::new("binfmt");
        std::fs::copy("/bin/echo", scratch.at("interpreter")).unwrap();
        std::fs::write(scratch.at("program.pinfold"), "no format of its own").unwrap();
        std::fs::set_permissions(scratch.at("program.pinfold"), std::fs::Permissions::from_mode(0o755)).unwrap();
        // Since Linux 6.7 each user namespace has a table of its own.
        let script = format!(
            "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || exit 77
             echo ':pinfold:E::pinfold::{}:' > /proc/sys/fs/binfmt_misc/register
             {TRACEE} trace .trace ./program.pinfold",
            scratch.at("interpreter").display()
        );
        let mut command = Command::new("unshare");
        let status = command.args(["-Urm", "sh", "-c", &script]).current_dir(&scratch.0).output().unwrap().status;
        if status.code() == Some(77) {
            assert!(std::env::var_os("PINFOLD_TEST_REQUIRE").is_none(), "no binfmt_misc in a user namespace");
            return println!("skip: no binfmt_misc in a user namespace here");
        }
        let text = std::fs::read_to_string(scratch.at(".trace")).unwrap();
        let run = Run { code: status.code(), events: text.lines().map(|l| serde_json::from_str(l).unwrap()).collect() };
        assert_eq!(run.code, Some(0));
        let image = run.images()[0];
        assert_eq!(image.exe.to_path_buf(), scratch.at("interpreter"));
        assert_eq!(image.script.as_ref().map(AbsPath::to_path_buf), Some(scratch.at("program.pinfold")));
        assert!(run.has(&scratch.at("interpreter"), Intent::Execute, Outcome::Ok));
        let loads = |path: &PathFact| path.intent == Intent::Execute && path.path.to_string().contains("ld-linux");
        assert!(run.events.iter().filter_map(|event| path_of(&event.fact)).any(loads), "{:?}", run.events);
    });
}

#[test]
fn what_a_program_that_hid_itself_from_tracers_does_is_seen_or_told() {
    let scratch = Scratch::new("hide");
    std::fs::write(scratch.at("file"), "x").unwrap();
    let run = quirk(&scratch, &["hide".as_ref(), "file".as_ref()]);
    assert_eq!(run.code, Some(0));
    // An ordinary user without a namespace of its own may not look into it.
    let seen = run.has(&scratch.at("file"), Intent::Read, Outcome::Ok);
    let told = run.gaps().iter().any(|gap| matches!(gap, Gap::UnreadablePath { .. }));
    assert_eq!(seen, !told, "{:?}", run.gaps());
    assert!(seen || !nix::unistd::geteuid().is_root());
}

#[test]
fn a_process_goes_on_when_its_first_thread_has_ended_and_ends_as_the_last_says() {
    let scratch = Scratch::new("first-thread");
    let run = quirk(&scratch, &["first-thread-ends".as_ref()]);
    assert_eq!(run.code, Some(3));
    assert!(run.has(&scratch.at("late"), Intent::Look, Outcome::Errno(libc::ENOENT)));
    assert!(run.gaps().is_empty(), "{:?}", run.gaps());
}

#[test]
fn a_program_sees_its_own_processors_however_often_it_is_stopped() {
    common::need(&[common::Need::Program("/usr/bin/python3"), common::Need::Program("nproc")]).then(|| {
        let scratch = Scratch::new("processors");
        let script = "import os, subprocess, threading\n\
            seen = []\n\
            def look():\n    \
                for number in range(300): os.path.exists('absent-%d' % number)\n    \
                seen.append(len(os.sched_getaffinity(0)))\n    \
                for number in range(300): os.path.exists('missing-%d' % number)\n    \
                seen.append(subprocess.run(['nproc'], capture_output=True).stdout)\n\
            look()\n\
            thread = threading.Thread(target=look); thread.start(); thread.join()\n\
            for number in range(300): os.path.exists('no-%d' % number)\n\
            if os.fork() == 0:\n    look(); os._exit(len(set(map(str, seen))) != 2)\n\
            seen.append(os.waitstatus_to_exitcode(os.wait()[1]))\n\
            for number in range(300): os.path.exists('none-%d' % number)\n\
            seen += [line for line in open('/proc/self/status') if line.startswith('Cpus_allowed_list')]\n\
            open('seen', 'w').write(repr(seen))\n";
        let native = Command::new("/usr/bin/python3").args(["-c", script]).current_dir(&scratch.0).status().unwrap();
        assert!(native.success());
        let native = std::fs::read_to_string(scratch.at("seen")).unwrap();
        let run = trace(&scratch, &["/usr/bin/python3", "-c", script]);
        assert_eq!(run.code, Some(0));
        assert_eq!(std::fs::read_to_string(scratch.at("seen")).unwrap(), native);
        assert!(
            run.has(&scratch.at("none-299"), Intent::Look, Outcome::Errno(libc::ENOENT)),
            "the control: it was stopped"
        );
    });
}

#[test]
fn a_stopped_process_stays_stopped_until_it_is_continued() {
    let scratch = Scratch::new("stop");
    assert_eq!(quirk(&scratch, &["stop-and-continue".as_ref()]).code, Some(0));
}

#[test]
fn a_static_program_is_seen_like_any_other() {
    common::need(&[common::Need::Program("gcc")]).then(|| {
        let scratch = Scratch::new("static");
        let source = "#include <stdio.h>\nint main(void) { return fopen(\"seen\", \"r\") == 0; }\n";
        std::fs::write(scratch.at("s.c"), source).unwrap();
        std::fs::write(scratch.at("seen"), "").unwrap();
        let built = Command::new("gcc").args(["-static", "-o", "s", "s.c"]).current_dir(&scratch.0).status().unwrap();
        assert!(built.success());
        let run = trace(&scratch, &["./s"]);
        assert_eq!(run.code, Some(0));
        assert!(run.has(&scratch.at("seen"), Intent::Read, Outcome::Ok));
    });
}

#[test]
fn a_go_program_with_its_threads_and_its_preempting_signals_is_followed() {
    common::need(&[common::Need::Program("fzf")]).then(|| {
        let scratch = Scratch::new("go");
        let run = shell(&scratch, "seq 100000 >list; fzf --filter=9999 <list >found; fzf --version >version");
        assert_eq!(run.code, Some(0));
        assert!(std::fs::read_to_string(scratch.at("found")).unwrap().contains("99995"));
        assert!(run.has(&scratch.at("version"), Intent::Create, Outcome::Ok));
        // The runtime's own look at the size of a huge page comes before any of its threads.
        let huge = Path::new("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
        assert!(!run.paths(huge).is_empty());
        assert!(run.gaps().is_empty(), "{:?}", run.gaps());
    });
}

#[test]
fn a_call_of_the_32_bit_abi_is_refused_and_told() {
    let scratch = Scratch::new("int80");
    let run = quirk(&scratch, &["int80".as_ref()]);
    assert_eq!(run.code, Some(0));
    assert!(run.events.iter().any(|e| matches!(e.fact, Fact::UnknownCall { arch: 0x4000_0003, number: 20 })));
}

#[test]
fn the_floor_holds_while_learning_and_says_so() {
    let scratch = Scratch::new("floor");
    let cases = [(libc::SYS_mount, "mount", libc::EPERM), (libc::SYS_io_uring_setup, "io_uring_setup", libc::ENOSYS)];
    for (number, name, errno) in cases {
        let run = quirk(&scratch, &["call".as_ref(), number.to_string().as_ref()]);
        assert_eq!(run.code, Some(errno), "{name}");
        assert!(run.denies(name), "{name}");
    }
    // Every C library falls back: not worth a word.
    let run = quirk(&scratch, &["call".as_ref(), libc::SYS_clone3.to_string().as_ref()]);
    assert_eq!(run.code, Some(libc::ENOSYS));
    assert!(!run.denies("clone3"));
}

#[test]
fn a_filter_of_the_programs_own_does_not_open_the_floor() {
    let scratch = Scratch::new("own-filter");
    // Of two filters that ask the tracer the word of the younger one counts, and it says: let it pass.
    let cases = [(libc::SYS_io_uring_setup, "io_uring_setup", libc::ENOSYS), (libc::SYS_bpf, "bpf", libc::EPERM)];
    for (number, name, errno) in cases {
        let run = quirk(&scratch, &["call-behind-own-filter".as_ref(), number.to_string().as_ref()]);
        assert_eq!(run.code, Some(errno), "{name}");
        assert!(run.denies(name), "{name}");
    }
    let run = quirk(&scratch, &["call-behind-own-filter".as_ref(), libc::SYS_getpgid.to_string().as_ref()]);
    assert_eq!(run.code, Some(0), "the control: what may pass does");
}

#[test]
fn a_child_that_asks_not_to_be_traced_is_not_made_and_that_is_told() {
    let scratch = Scratch::new("untraced");
    assert_eq!(Command::new(TRACEE).arg("clone-untraced").status().unwrap().code(), Some(0), "the control");
    let run = quirk(&scratch, &["clone-untraced".as_ref()]);
    assert_eq!(run.code, Some(libc::EPERM));
    assert!(run.denies("clone"));
}

#[test]
fn what_was_refused_for_lack_of_room_or_of_a_peer_is_seen_when_it_succeeds_later() {
    let scratch = Scratch::new("for-now");
    let run = done(&scratch, "refused-for-now");
    for (name, refusal) in [("file", libc::EMFILE), ("pipe", libc::ENXIO)] {
        assert!(run.has(&scratch.at(name), Intent::Write, Outcome::Errno(refusal)), "{name}");
        assert!(run.has(&scratch.at(name), Intent::Write, Outcome::Ok), "{name}");
    }
}

#[test]
fn a_path_relative_to_a_descriptor_starts_there() {
    let scratch = Scratch::new("dirfd");
    std::fs::create_dir(scratch.at("dir")).unwrap();
    std::fs::write(scratch.at("dir/file"), "x").unwrap();
    let run = quirk(&scratch, &["relative-to-descriptor".as_ref(), "dir".as_ref(), "file".as_ref()]);
    assert!(run.has(&scratch.at("dir"), Intent::List, Outcome::Ok));
    assert!(run.has(&scratch.at("dir/file"), Intent::Read, Outcome::Ok));
}

#[test]
fn what_a_process_reads_of_itself_has_no_number() {
    let scratch = Scratch::new("self");
    let run = shell(&scratch, "cat /proc/self/status /proc/$$/stat < /dev/null");
    assert!(run.has(Path::new("/proc/self/status"), Intent::Read, Outcome::Ok));
}

#[test]
fn a_sink_that_cannot_write_ends_the_run() {
    let scratch = Scratch::new("full");
    let script = "echo $$ > pid; while :; do cat pid > /dev/null; done";
    let command = ["trace", "/dev/full", "sh", "-c", script];
    let status = Command::new(TRACEE).args(command).current_dir(&scratch.0).status().unwrap();
    assert_eq!(status.code(), Some(125));
}

#[test]
fn a_flood_is_cut_and_marked() {
    let scratch = Scratch::new("flood");
    let out = scratch.at(".trace");
    let mut run = Command::new(TRACEE);
    run.arg("trace").arg(&out).args(["ls", "/usr/lib"]).env("TRACEE_CAP", "10").stdout(std::process::Stdio::null());
    assert!(run.status().unwrap().success());
    let text = std::fs::read_to_string(&out).unwrap();
    let events: Vec<Event> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| matches!(event.fact, Fact::Gap { gap: Gap::Flood { cap: 10 } })));
    assert_eq!(events.iter().filter(|event| path_of(&event.fact).is_some()).count() + 2, 10);
}

#[test]
fn children_that_end_before_their_parent_tells_of_them_are_not_waited_for() {
    let scratch = Scratch::new("storm");
    let forks = "(:) & (:) & (:) & (:) & wait;".repeat(20);
    let script = format!("for shell in 1 2 3 4; do ({forks}) & done; wait");
    let run = trace(&scratch, &["sh", "-c", &script]);
    assert_eq!(run.code, Some(0));
    let gaps: Vec<_> = run.events.iter().filter(|event| matches!(event.fact, Fact::Gap { .. })).collect();
    assert!(gaps.is_empty(), "{gaps:?}");
}

fn done(scratch: &Scratch, name: &str) -> Run {
    let run = quirk(scratch, &[name.as_ref(), scratch.0.as_os_str()]);
    assert_eq!(run.code, Some(0), "{name}");
    run
}

fn local(port: u16) -> Endpoint {
    Endpoint::Inet(([127, 0, 0, 1], port).into())
}

#[test]
fn a_link_that_leads_elsewhere_after_a_success_is_seen_again() {
    let scratch = Scratch::new("repoint");
    let run = done(&scratch, "repoint-link");
    for name in ["a/file", "b/file", "c/file", "link/file", "plain", "target"] {
        assert!(run.has(&scratch.at(name), Intent::Read, Outcome::Ok), "{name}");
    }
}

#[test]
fn what_was_absent_is_looked_for_again_when_a_link_on_the_way_leads_elsewhere() {
    let scratch = Scratch::new("repoint-absent");
    let run = done(&scratch, "repoint-link-of-a-failure");
    assert!(run.has(&scratch.at("empty/file"), Intent::Look, Outcome::Errno(libc::ENOENT)));
    assert!(run.has(&scratch.at("full/file"), Intent::Look, Outcome::Ok));
}

#[test]
fn a_directory_renamed_under_the_one_who_works_in_it_is_known_by_its_new_name() {
    let scratch = Scratch::new("under-cwd");
    let run = done(&scratch, "rename-under-cwd");
    assert!(run.has(&scratch.at("old/before"), Intent::Read, Outcome::Ok));
    assert!(run.has(&scratch.at("new/after"), Intent::Read, Outcome::Ok));
    assert!(run.paths(&scratch.at("old/after")).iter().all(|fact| fact.intent == Intent::Create));
}

#[test]
fn a_working_directory_entered_again_is_where_relative_paths_start() {
    let scratch = Scratch::new("again");
    let run = done(&scratch, "enter-again");
    for name in ["one/first", "two/second", "one/third", "made/fourth"] {
        assert!(run.has(&scratch.at(name), Intent::Read, Outcome::Ok), "{name}");
    }
}

#[test]
fn a_directory_renamed_under_a_descriptor_is_known_by_its_new_name() {
    let scratch = Scratch::new("under-fd");
    let run = done(&scratch, "rename-under-descriptor");
    for name in ["old/file", "new/file"] {
        assert!(run.has(&scratch.at(name), Intent::Read, Outcome::Ok), "{name}");
    }
}

#[test]
fn a_path_from_a_removed_directory_is_a_gap_and_one_from_a_directory_of_that_name_is_not() {
    let scratch = Scratch::new("deleted");
    let run = quirk(&scratch, &["remove-cwd".as_ref(), scratch.at("gone").as_os_str()]);
    assert_eq!(run.code, Some(0));
    let told = |gap: &&Gap| matches!(gap, Gap::Unresolved { path, .. } if path == ".");
    assert!(run.gaps().iter().any(told), "{:?}", run.gaps());
    assert!(run.paths(&scratch.at("gone (deleted)")).is_empty());
    std::fs::create_dir(scratch.at("x (deleted)")).unwrap();
    std::fs::write(scratch.at("x (deleted)/file"), "").unwrap();
    let run = shell(&scratch, "cd 'x (deleted)'; cat file");
    assert!(run.has(&scratch.at("x (deleted)/file"), Intent::Read, Outcome::Ok));
    assert!(run.gaps().is_empty(), "{:?}", run.gaps());
}

#[test]
fn whatever_way_a_name_comes_to_be_it_is_looked_for_again() {
    let scratch = Scratch::new("arrive");
    let run = done(&scratch, "look-then-arrive");
    let names = ["lock", "renamed", "linked", "made", "made/file", "moved/file", "fifo"];
    for name in names {
        assert!(run.has(&scratch.at(name), Intent::Look, Outcome::Errno(libc::ENOENT)), "{name}");
        assert!(run.has(&scratch.at(name), Intent::Look, Outcome::Ok), "{name}");
    }
    for (link, target) in [("symlinked", "linked"), ("through", "moved/file")] {
        let through = |fact: &&PathFact| fact.hops.iter().any(|hop| hop.link.to_path_buf() == scratch.at(link));
        assert!(run.paths(&scratch.at(target)).iter().any(through), "{link}");
    }
}

#[test]
fn a_refusal_is_open_again_once_the_mode_of_the_file_changed() {
    let scratch = Scratch::new("mode");
    let run = done(&scratch, "allow-then-look");
    assert!(run.has(&scratch.at("file"), Intent::Read, Outcome::Ok));
}

#[test]
fn what_a_mode_keeps_out_is_no_success_also_when_it_was_changed_meanwhile() {
    let scratch = Scratch::new("closed");
    let run =
        shell(&scratch, "mkdir d; echo >d/f; echo >g; stat d/f; chmod 0 g; cat g; chmod 0 d; cat d/f; chmod 700 d");
    // Root reads what it likes.
    let refused = if nix::unistd::geteuid().is_root() { Outcome::Ok } else { Outcome::Errno(libc::EACCES) };
    assert!(run.has(&scratch.at("d/f"), Intent::Look, Outcome::Ok));
    for name in ["g", "d/f"] {
        let facts = run.paths(&scratch.at(name));
        let read: Vec<Outcome> = facts.iter().filter(|f| f.intent == Intent::Read).map(|fact| fact.result).collect();
        assert_eq!(read, [refused], "{name}");
    }
}

#[test]
fn with_exact_the_answer_is_seen_also_of_what_is_there_and_open() {
    let scratch = Scratch::new("exact");
    let out = scratch.at(".trace");
    let script = "ulimit -n 3; exec /bin/true";
    let mut command = Command::new(TRACEE);
    command.arg("trace").arg(&out).args(["sh", "-c", script]).env("TRACEE_EXACT", "1").status().unwrap();
    let text = std::fs::read_to_string(&out).unwrap();
    let events = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let run = Run { code: None, events };
    // The loader finds no free descriptor for its cache.
    assert!(run.has(Path::new("/etc/ld.so.cache"), Intent::Read, Outcome::Errno(libc::EMFILE)));
}

#[test]
fn a_process_that_shares_the_working_directory_changes_it_for_the_other() {
    let scratch = Scratch::new("clone-fs");
    std::fs::create_dir(scratch.at("sub")).unwrap();
    std::fs::write(scratch.at("file"), "").unwrap();
    std::fs::write(scratch.at("sub/file"), "").unwrap();
    let run = done(&scratch, "chdir-of-a-sharer");
    assert!(run.has(&scratch.at("file"), Intent::Read, Outcome::Ok));
    assert!(run.has(&scratch.at("sub/file"), Intent::Read, Outcome::Ok));
}

#[test]
fn attributes_changed_through_a_descriptor_without_a_name_are_seen() {
    let scratch = Scratch::new("empty-path");
    let run = quirk(&scratch, &["own-by-descriptor".as_ref(), scratch.at("file").as_os_str()]);
    assert_eq!(run.code, Some(0));
    assert!(run.has(&scratch.at("file"), Intent::Look, Outcome::Ok), "O_PATH is a look");
    assert!(run.has(&scratch.at("file"), Intent::Attributes, Outcome::Ok));
}

#[test]
fn a_path_of_4095_bytes_is_followed_to_its_end() {
    let scratch = Scratch::new("long");
    let mut path = scratch.at("link");
    std::fs::create_dir(scratch.at("real")).unwrap();
    std::os::unix::fs::symlink("real", &path).unwrap();
    while path.as_os_str().len() < 3800 {
        path.push("d".repeat(200));
    }
    path.push("f".repeat(4095 - 1 - path.as_os_str().len() - 128));
    std::fs::create_dir_all(&path).unwrap();
    path.push("g".repeat(127));
    std::fs::write(&path, "").unwrap();
    assert_eq!(path.as_os_str().len(), 4095);
    let run = trace(&scratch, &[OsStr::new("cat"), path.as_os_str()]);
    assert_eq!(run.code, Some(0));
    let real = scratch.at("real").join(path.strip_prefix(scratch.at("link")).unwrap());
    assert!(run.has(&real, Intent::Read, Outcome::Ok));
    assert!(run.gaps().is_empty(), "{:?}", run.gaps());
    // Written, not made: it is there.
    let run = trace(&scratch, &["tee".as_ref(), path.as_os_str()]);
    assert!(run.has(&real, Intent::Write, Outcome::Ok));
}

#[test]
fn listing_a_directory_is_no_reading_of_what_is_in_it() {
    let scratch = Scratch::new("listing");
    std::fs::create_dir(scratch.at("dir")).unwrap();
    std::fs::write(scratch.at("dir/file"), "").unwrap();
    let run = trace(&scratch, &["ls", "dir"]);
    assert!(run.has(&scratch.at("dir"), Intent::List, Outcome::Ok));
    assert!(run.paths(&scratch.at("dir")).iter().all(|fact| fact.intent != Intent::Read));
    assert!(run.paths(&scratch.at("dir/file")).is_empty());
}

#[test]
fn the_doors_of_a_process_stay_symbolic_and_lead_on() {
    let scratch = Scratch::new("doors");
    std::fs::write(scratch.at("file"), "x").unwrap();
    let run =
        shell(&scratch, "exec < file; cat /proc/self/cwd/file /proc/self/fd/0 /proc/thread-self/stat /proc/$$/maps");
    assert!(run.has(&scratch.at("file"), Intent::Read, Outcome::Ok));
    assert!(run.has(Path::new("/proc/thread-self/stat"), Intent::Read, Outcome::Ok));
}

#[test]
fn a_change_of_the_root_is_refused_and_told() {
    let scratch = Scratch::new("chroot");
    let run = quirk(&scratch, &["call".as_ref(), libc::SYS_chroot.to_string().as_ref()]);
    assert_eq!(run.code, Some(libc::EPERM));
    assert!(run.denies("chroot"));
}

#[test]
fn an_exec_leaves_nothing_unsaid_of_a_thread_that_was_waiting() {
    let scratch = Scratch::new("exec-pending");
    let run = quirk(&scratch, &["exec-beside-blocked-open".as_ref(), scratch.at("pipe").as_os_str()]);
    assert_eq!(run.code, Some(0));
    assert!(run.has(&scratch.at("pipe"), Intent::Read, Outcome::Unseen));
}

#[test]
fn variables_that_cannot_be_read_are_a_gap() {
    let scratch = Scratch::new("environ");
    std::fs::copy("/bin/true", scratch.at("true")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o111);
    std::fs::set_permissions(scratch.at("true"), mode).unwrap();
    let run = trace(&scratch, &["./true"]);
    assert_eq!(run.code, Some(0));
    let read = run.events.iter().any(|event| matches!(event.fact, Fact::Environment { .. }));
    // Root reads every program, so what it starts is readable.
    assert_eq!(read, nix::unistd::geteuid().is_root());
    assert_eq!(run.gaps().contains(&&Gap::Environment), !read, "{:?}", run.gaps());
}

#[test]
fn two_sockets_connected_in_one_thread_are_told_apart_by_what_is_sent() {
    let scratch = Scratch::new("probes");
    let run = done(&scratch, "two-probes");
    assert_eq!(run.connects(&local(40001)), [(Transport::Udp, Outcome::Ok)]);
    assert_eq!(run.connects(&local(40002)), [(Transport::UdpProbe, Outcome::Ok)]);
    assert_eq!(run.connects(&local(40003)), [(Transport::Udp, Outcome::Ok)]);
}

#[test]
fn a_socket_whose_second_connect_fails_stays_with_its_first_peer() {
    let scratch = Scratch::new("reconnect");
    let run = done(&scratch, "probe-then-fail-to-connect");
    assert_eq!(run.connects(&local(40001)), [(Transport::Udp, Outcome::Ok)]);
}

#[test]
fn a_copy_of_a_connected_socket_is_taken_for_used() {
    let scratch = Scratch::new("probe-copy");
    let run = done(&scratch, "probe-of-a-copy");
    assert_eq!(run.connects(&local(40001)), [(Transport::Udp, Outcome::Ok)]);
}

#[test]
fn a_connected_socket_is_told_when_its_process_is_killed_or_becomes_another_program() {
    let scratch = Scratch::new("probe-end");
    let run = quirk(&scratch, &["probe-then-die".as_ref()]);
    assert_eq!(run.code, Some(137));
    assert_eq!(run.connects(&local(40001)), [(Transport::UdpProbe, Outcome::Ok)]);
    let run = quirk(&scratch, &["probe-then-exec".as_ref()]);
    assert_eq!(run.code, Some(0));
    assert_eq!(run.connects(&local(40001)), [(Transport::Udp, Outcome::Ok)], "the new program may use it");
    assert_eq!(run.connects(&local(40002)), [(Transport::UdpProbe, Outcome::Ok)]);
}

#[test]
fn an_interrupted_connect_is_recorded_once_with_what_came_of_it_at_last() {
    let scratch = Scratch::new("interrupted");
    let cases = [("interrupted-connect", Outcome::Errno(libc::EINTR)), ("restarted-connect", Outcome::Ok)];
    for (name, outcome) in cases {
        let place = scratch.at(name);
        let run = quirk(&scratch, &[name.as_ref(), place.as_os_str()]);
        assert_eq!(run.code, Some(0), "{name}");
        let peer = Endpoint::Unix(AbsPath::try_from(place.as_path()).unwrap());
        assert_eq!(run.connects(&peer), [(Transport::Unix, outcome)], "{name}");
    }
}

#[test]
fn every_peer_of_one_call_with_many_messages_is_seen() {
    let scratch = Scratch::new("sendmmsg");
    let run = done(&scratch, "many-messages");
    for port in 41000..41040 {
        assert_eq!(run.connects(&local(port)).len(), 1, "{port}");
    }
}

#[test]
fn a_socket_named_from_a_removed_directory_is_a_gap() {
    let scratch = Scratch::new("removed-socket");
    let run = done(&scratch, "connect-from-removed-directory");
    let told = |gap: &&Gap| matches!(gap, Gap::Unresolved { path, .. } if path == "../socket");
    assert!(run.gaps().iter().any(told), "{:?}", run.gaps());
}

#[test]
fn a_program_without_a_name_is_a_gap() {
    let scratch = Scratch::new("memfd");
    let run = quirk(&scratch, &["exec-without-a-name".as_ref()]);
    assert_eq!(run.code, Some(0));
    let told = |gap: &&Gap| matches!(gap, Gap::Unresolved { call, .. } if call.name() == "execveat");
    assert!(run.gaps().iter().any(told), "{:?}", run.gaps());
}

#[test]
fn a_tcp_connect_given_up_by_the_program_goes_on_in_the_kernel() {
    let scratch = Scratch::new("interrupted-tcp");
    let run = done(&scratch, "interrupted-tcp-connect");
    let at = |event: &Event| match &event.fact {
        Fact::Connect { endpoint: Endpoint::Inet(peer), result, .. } if peer.ip() == std::net::Ipv4Addr::LOCALHOST => {
            Some(*result)
        }
        _ => None,
    };
    assert_eq!(run.events.iter().filter_map(at).collect::<Vec<_>>(), [Outcome::Ok]);
}

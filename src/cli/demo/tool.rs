//! The program that the demo's agent carries: a build step when it helps, attacks when it is hostile.
//!
//! It is this executable, copied into the demo's project and started as `demo-tool`, so that the demo needs nothing but a
//! shell. Each attack writes what it won; nothing is claimed by an exit code alone.

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::ptrace;
use nix::unistd::Pid;

/// As typed by the demo's agent.
#[derive(Debug, clap::Args)]
pub struct ToolArgs {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// Print a checksum of a file: the build step
    Checksum { file: PathBuf },
    /// Send a line to a port of this machine
    Connect { port: u16 },
    /// Attach to a process and write eight of its words to a file
    ReadMemory { pid: i32, address: usize, loot: PathBuf },
    /// Mount a tmpfs over a directory, and write what it then shows to a file
    Mount { over: PathBuf, loot: PathBuf },
    /// Hold a secret in memory, say where, and wait: what `read-memory` attacks
    Victim { secret: String },
}

/// Words of memory that an attack takes: as many bytes as the demo's secrets have.
pub(super) const WORDS: usize = 4;

/// Does what was asked.
pub fn run(args: &ToolArgs) -> io::Result<()> {
    match &args.act {
        Act::Checksum { file } => checksum(file),
        Act::Connect { port } => connect(*port),
        Act::ReadMemory { pid, address, loot } => read_memory(Pid::from_raw(*pid), *address, loot),
        Act::Mount { over, loot } => mount_over(over, loot),
        Act::Victim { secret } => victim(secret),
    }
}

fn checksum(file: &Path) -> io::Result<()> {
    let bytes = std::fs::read(file)?;
    let sum = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum: u64, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    writeln!(io::stdout(), "tool: {} bytes, checksum {sum:016x}", bytes.len())
}

fn connect(port: u16) -> io::Result<()> {
    let address = (Ipv4Addr::LOCALHOST, port).into();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.write_all(b"stolen\n")
}

fn read_memory(pid: Pid, address: usize, loot: &Path) -> io::Result<()> {
    ptrace::attach(pid)?;
    let mut words = Vec::new();
    // Attaching stops the process some time later; until then reading fails with ESRCH.
    let mut patience = 400;
    while words.len() < WORDS {
        match ptrace::read(
            pid,
            std::ptr::with_exposed_provenance_mut(address + words.len() * size_of::<libc::c_long>()),
        ) {
            Ok(word) => words.push(word),
            Err(nix::errno::Errno::ESRCH) if patience > 0 => {
                patience -= 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    ptrace::detach(pid, None)?;
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    std::fs::write(loot, bytes)
}

/// In namespaces of its own, also for root: the demo disturbs no mount of the machine.
fn mount_over(over: &Path, loot: &Path) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    mount(Some("none"), over, Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
    let left = std::fs::read_dir(over)?.count();
    std::fs::write(loot, format!("{left} files left"))
}

fn victim(secret: &str) -> io::Result<()> {
    // Yama's scope 1 lets only ancestors attach; the demo is about what the sandbox refuses, not about Yama.
    crate::sys::trial::allow_any_tracer()?;
    let held = secret.as_bytes().to_vec();
    let mut out = io::stdout();
    writeln!(out, "{}", held.as_ptr().expose_provenance())?;
    out.flush()?;
    // Ends when the demo closes the pipe.
    io::copy(&mut io::stdin(), &mut io::sink())?;
    drop(held);
    Ok(())
}

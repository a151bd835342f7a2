//! A plan as text, for `enforce --dry-run`: what the run would do, in the order it would do it.

use std::fmt::Write as _;

use crate::plan::walls::Wall;
use crate::plan::{Action, Condition, Handing, MountStep, Nesting, Network, Plan, RootStyle, SECRETS, Test, Width};
use crate::sandbox::limits::Held;
use crate::vocab::escape;

/// `reasons`: what to say beside each mount, if anything.
pub(super) fn text(plan: &Plan, limits: &[Held], reasons: Option<&dyn Fn(&MountStep) -> String>) -> String {
    let mut out = String::new();
    let argv: Vec<_> = plan.argv.iter().map(|word| escape::terminal(word)).collect();
    let _ = writeln!(out, "program      {}", plan.program);
    let _ = writeln!(out, "arguments    {}", argv.join(" "));
    let _ = writeln!(out, "directory    {}", plan.workdir);
    let _ = writeln!(out, "user         {} (group {}), no capabilities", plan.identity.uid, plan.identity.gid);
    let _ = writeln!(
        out,
        "network      {}",
        match plan.network {
            Network::None => "none (a loopback of its own)",
            Network::Named => "by name, through the broker",
            Network::Host => "the host's, UNCONFINED",
        }
    );
    let root = match plan.root {
        RootStyle::Tripwire => "of its own; what is looked for in vain is told",
        RootStyle::Empty => "of its own; what is looked for in vain is NOT told: no FUSE here",
        RootStyle::HostReadOnly => "the host's, read-only",
    };
    let _ = writeln!(out, "root         {root}");
    if let Some(policy) = &plan.policy {
        if let Some(proxy) = policy.proxies.as_ref().ok().and_then(|proxies| proxies.proxy()) {
            let _ = writeln!(out, "proxy        {proxy}");
        }
        for peer in &policy.peers {
            let verb = if policy.relayed.contains(peer) { "relay" } else { "connect" };
            let _ = writeln!(out, "{verb:<12} {peer}");
        }
        for range in &policy.ranges {
            let _ = writeln!(out, "connect      {range}");
        }
        for port in &policy.published {
            let _ = writeln!(out, "publish      127.0.0.1:{port} of the host, to port {port} inside");
        }
    }
    for step in &plan.mounts {
        let _ = write!(out, "{}", step_text(step));
        if let Some(why) = reasons {
            let _ = write!(out, "  # {}", why(step));
        }
        out.push('\n');
    }
    for path in &plan.create {
        let _ = writeln!(out, "create       {path} (0700, if it is missing)");
    }
    let names: Vec<_> = plan.environment.iter().map(String::as_str).collect();
    let _ = writeln!(out, "environment  {}", names.join(" "));
    for (name, way) in &plan.secrets {
        let way = match way {
            Handing::Variable => "its value".to_owned(),
            Handing::File(place) => format!("the path {place}"),
            Handing::Descriptor(number) => format!("the descriptor {number}"),
        };
        let _ = writeln!(out, "secret       {}: {way}", escape::terminal(name.as_bytes()));
    }
    let allowed = plan.filter.calls.iter().filter(|(_, action)| matches!(action, Action::Allow | Action::Mediate(_)));
    let calls: Vec<_> = allowed.map(|(call, _)| call.name()).collect();
    let _ = writeln!(out, "allow        {}", calls.join(" "));
    for (call, rules) in &plan.filter.rules {
        for rule in rules {
            let conditions: Vec<_> = rule.conditions.iter().map(condition_text).collect();
            let _ =
                writeln!(out, "rule         {call} where {}: {}", conditions.join(" and "), action_text(rule.action));
        }
    }
    let _ = writeln!(
        out,
        "rule         any other call: refused and named at the end (clone3, openat2: in silence, as by an older kernel)"
    );
    if let Some(ruleset) = &plan.landlock {
        let _ = writeln!(out, "landlock     ABI {}; holds back: {}", ruleset.abi, ruleset.handled);
        for (place, rights) in &ruleset.rules {
            let _ = writeln!(out, "beneath      {place}: {rights}");
        }
    }
    if plan.nesting == Nesting::Allowed {
        let _ =
            writeln!(out, "nested       namespaces and mounts of its own are allowed; no Landlock behind the mounts");
    }
    for lost in plan.lost() {
        let _ = writeln!(out, "lost         {lost}");
    }
    for wall in Wall::ALL {
        let state = if plan.has(wall) { wall.purpose() } else { "NOT IN FORCE" };
        let _ = writeln!(out, "wall         {}: {state}", wall.as_str());
    }
    for held in limits {
        let _ = writeln!(out, "limit        {held}");
    }
    for withheld in &plan.withheld {
        let _ = writeln!(out, "withheld     {}: {}", withheld.line, withheld.why);
    }
    out
}

fn condition_text(condition: &Condition) -> String {
    let Condition { argument, width, mask, value, test } = *condition;
    let number = argument + 1;
    let whole = match width {
        Width::Word => mask & 0xffff_ffff == 0xffff_ffff,
        Width::Double => mask == u64::MAX,
    };
    match test {
        Test::Equal if whole => format!("argument {number} is {value:#x}"),
        Test::NotEqual if whole => format!("argument {number} is not {value:#x}"),
        Test::Equal if mask == value => format!("argument {number} has {mask:#x}"),
        Test::NotEqual if value == 0 => format!("argument {number} has any of {mask:#x}"),
        Test::Equal => format!("argument {number} & {mask:#x} is {value:#x}"),
        Test::NotEqual => format!("argument {number} & {mask:#x} is not {value:#x}"),
    }
}

fn action_text(action: Action) -> String {
    match action {
        Action::Allow => "allowed".to_owned(),
        Action::Refuse(errno) | Action::Report(errno) | Action::TraceRefuse(errno) => {
            format!("refused with {:?}", nix::errno::Errno::from_raw(errno))
        }
        Action::Mediate(_) => "carried out by pinfold".to_owned(),
        Action::Trace => "observed".to_owned(),
    }
}

fn step_text(step: &MountStep) -> String {
    match step {
        MountStep::Bind { source, target, writable } => {
            let word = if *writable { "write" } else { "read" };
            if source == target {
                format!("{word:<12} {target}")
            } else {
                format!("{word:<12} {target} (from {source})")
            }
        }
        MountStep::Guard { target } => format!("guard        {target} (read-only)"),
        MountStep::Pin { target } => format!("pin          {target} (cannot be renamed)"),
        MountStep::Tmpfs { target, mode } => format!("private      {target} (empty, {mode:04o})"),
        MountStep::Seal { target } => format!("seal         {target} (read-only from here)"),
        MountStep::Cover { target } => format!("hide         {target}"),
        MountStep::Directory { target, mode } => format!("directory    {target} (empty, {mode:04o})"),
        MountStep::Symlink { target, text } => format!("link         {target} -> {}", escape::terminal(text)),
        MountStep::Placeholder { target, size, .. } => format!("placeholder  {target} ({size} bytes, not readable)"),
        MountStep::Filtered { target, names } => {
            let names: Vec<_> = names.iter().map(|name| escape::terminal(name)).collect();
            format!("filtered     {target} (replaced in place: {})", names.join(" "))
        }
        MountStep::Copy { target } => format!("copy         {target} (in at the start, back at the end)"),
        MountStep::Text { target, .. } => format!("file         {target} (of pinfold's own making, read-only)"),
        MountStep::AsOwn { target } => format!("own          {target} (a copy in memory, read-only)"),
        MountStep::Proc => "proc         /proc (own processes only)".to_owned(),
        MountStep::Secrets => format!("secrets      {SECRETS} (in memory, read-only)"),
        MountStep::Secret { target, name } => {
            format!("secret       {target} ({}, in memory, read-only)", escape::terminal(name.as_bytes()))
        }
        MountStep::Queues => "queues       /dev/mqueue (of its own)".to_owned(),
        MountStep::Dev => "dev          /dev (null zero full random urandom tty pts shm mqueue)".to_owned(),
    }
}

//! The process tree of the runs, with what each program needed: files, peers, calls.
//!
//! Programs of several runs fall together where parent, file, script and shape of arguments are equal. A trace may claim
//! anything about parents: circles are cut, and deep chains flattened.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Fact, ImageId, Intent, Outcome, Transport};
use crate::trace::Trace;
use crate::vocab::endpoint::Endpoint;
use crate::vocab::escape;
use crate::vocab::location::Roots;
use crate::vocab::path::AbsPath;
use crate::vocab::syscall::Syscall;

use super::markup::Markup;

/// Places that are listed of one program, and of all together.
const OF_ONE: usize = 200;
const OF_ALL: usize = 6000;
/// Programs that are listed, and how deep.
const PROGRAMS: usize = 1500;
const DEEP: usize = 48;

/// One program at its place in the tree.
#[derive(Debug, Default)]
struct Program {
    title: String,
    argv: String,
    runs: BTreeSet<usize>,
    children: BTreeMap<String, usize>,
    /// Places by what was wanted of them.
    files: BTreeMap<&'static str, BTreeSet<String>>,
    peers: BTreeSet<String>,
    calls: BTreeSet<Syscall>,
}

/// The programs of all runs.
#[derive(Debug)]
pub(super) struct Programs {
    all: Vec<Program>,
    runs: usize,
}

impl Programs {
    pub(super) fn of(traces: &[Trace]) -> Self {
        let mut programs = Self { all: vec![Program::default()], runs: traces.len() };
        for (run, trace) in traces.iter().enumerate() {
            programs.add(run, trace);
        }
        programs
    }

    /// Which programs made each call.
    pub(super) fn callers(&self) -> BTreeMap<Syscall, BTreeSet<&str>> {
        let mut callers: BTreeMap<Syscall, BTreeSet<&str>> = BTreeMap::new();
        for program in &self.all {
            for call in &program.calls {
                callers.entry(*call).or_default().insert(&program.title);
            }
        }
        callers
    }

    /// Peers that were reached, with the programs that did.
    pub(super) fn peers(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut peers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for program in &self.all {
            for peer in &program.peers {
                peers.entry(peer).or_default().insert(&program.title);
            }
        }
        peers
    }

    fn add(&mut self, run: usize, trace: &Trace) {
        let mut places: BTreeMap<ImageId, usize> = BTreeMap::new();
        for event in trace.events.others() {
            if let Fact::Image(image) = &event.fact {
                let above = image.parent.and_then(|parent| places.get(&parent)).copied().unwrap_or(0);
                let program = image.script.as_ref().unwrap_or(&image.exe);
                let key = format!("{}\n{}\n{}", image.exe, program, image.argv.join("\n"));
                let place = self.below(above, key);
                if let Some(node) = self.all.get_mut(place) {
                    node.title = escape::terminal(program.file_name().unwrap_or(b"/"));
                    node.argv = escape::terminal(image.argv.join(" ").as_bytes());
                    node.runs.insert(run);
                }
                places.insert(event.image, place);
            }
        }
        let roots = &trace.header.roots;
        let at = |image: &ImageId| places.get(image).copied().unwrap_or(0);
        for step in trace.events.steps().filter(|step| step.result == Outcome::Ok) {
            if let Some(node) = self.all.get_mut(at(&step.image)) {
                node.place(want(step.intent), roots, || trace.events.paths().path(step.path));
            }
        }
        for event in trace.events.others() {
            if let Some(node) = self.all.get_mut(at(&event.image)) {
                node.note(&event.fact, roots);
            }
        }
    }

    fn below(&mut self, above: usize, key: String) -> usize {
        let new = self.all.len();
        let place = self.all.get_mut(above).map_or(new, |node| *node.children.entry(key).or_insert(new));
        if place == new {
            self.all.push(Program::default());
        }
        place
    }

    /// Nested lists that open and close without a script.
    pub(super) fn markup(&self, page: &mut Markup) {
        let mut budget = Budget { places: OF_ALL, programs: PROGRAMS };
        page.raw("<ul class=\"tree\">\n");
        for child in self.all.first().into_iter().flat_map(|root| root.children.values()) {
            self.program(*child, 0, &mut budget, page);
        }
        page.raw("</ul>\n");
        if budget.programs == 0 {
            page.raw("<p>There were more programs than are listed here.</p>\n");
        }
    }

    fn program(&self, at: usize, depth: usize, budget: &mut Budget, page: &mut Markup) {
        let Some(program) = self.all.get(at) else { return };
        if budget.programs == 0 || depth > DEEP {
            return;
        }
        budget.programs -= 1;
        let files: usize = program.files.values().map(BTreeSet::len).sum();
        page.raw(if depth < 2 { "<li><details open><summary><b>" } else { "<li><details><summary><b>" });
        page.shown(&program.title).raw("</b> <code>").shown(&program.argv).raw("</code> <small>");
        page.number(files).raw(" places, ").number(program.calls.len()).raw(" kinds of calls");
        if self.runs > 1 {
            page.raw(", in ").number(program.runs.len()).raw(" of ").number(self.runs).raw(" runs");
        }
        page.raw("</small></summary>\n");
        for (want, places) in &program.files {
            page.raw("<p>").text(want).raw("</p><ul class=\"places\">");
            let shown = places.len().min(OF_ONE).min(budget.places);
            budget.places -= shown;
            for place in places.iter().take(shown) {
                page.raw("<li><code>").shown(place).raw("</code>");
            }
            if shown < places.len() {
                page.raw("<li>and ").number(places.len() - shown).raw(" more");
            }
            page.raw("</ul>\n");
        }
        list(page, "connects to", program.peers.iter().map(String::as_str));
        list(page, "system calls beyond the base set", program.calls.iter().map(|call| call.name()));
        if !program.children.is_empty() {
            page.raw("<ul class=\"tree\">\n");
            for child in program.children.values() {
                self.program(*child, depth + 1, budget, page);
            }
            page.raw("</ul>\n");
        }
        page.raw("</details>\n");
    }
}

struct Budget {
    places: usize,
    programs: usize,
}

fn list<'a>(page: &mut Markup, title: &'static str, words: impl Iterator<Item = &'a str>) {
    let mut words = words.peekable();
    if words.peek().is_none() {
        return;
    }
    page.raw("<p>").raw(title).raw(": ");
    for (number, word) in words.enumerate() {
        page.raw(if number == 0 { "<code>" } else { ", <code>" }).shown(word).raw("</code>");
    }
    page.raw("</p>\n");
}

impl Program {
    fn place(&mut self, want: &'static str, roots: &Roots, path: impl FnOnce() -> AbsPath) {
        let set = self.files.entry(want).or_default();
        // What is not listed anyway is not worth its name.
        if set.len() <= 20 * OF_ONE {
            set.insert(roots.locate(&path()).to_string());
        }
    }

    fn note(&mut self, fact: &Fact, roots: &Roots) {
        match fact {
            Fact::Pair(pair) if pair.result == Outcome::Ok => {
                for end in [&pair.from, &pair.to] {
                    self.place(want(Intent::Write), roots, || end.clone());
                }
            }
            Fact::Connect { endpoint, transport, result }
                if result.may_have_succeeded() && !matches!(transport, Transport::UdpProbe | Transport::Netlink) =>
            {
                self.peers.insert(peer(endpoint));
            }
            Fact::Call { call } => {
                self.calls.insert(*call);
            }
            _ => {}
        }
    }
}

/// The heading under which a place is listed.
fn want(intent: Intent) -> &'static str {
    match intent {
        Intent::Look | Intent::Enter | Intent::List => "looks at",
        Intent::Read | Intent::Map => "reads",
        Intent::Execute => "runs",
        Intent::Connect => "connects to the socket",
        Intent::Write | Intent::Create | Intent::Truncate | Intent::Remove | Intent::Attributes => "changes",
    }
}

/// A peer in words, harmless in text.
pub(super) fn peer(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Inet(address) => address.to_string(),
        Endpoint::Unix(path) => path.to_string(),
        Endpoint::Abstract(name) => format!("the abstract socket {}", escape::terminal(name.as_bytes())),
        Endpoint::Name(peer) => peer.to_string(),
        Endpoint::Netlink(protocol) => format!("netlink {protocol}"),
    }
}

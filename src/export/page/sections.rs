//! The sections of the page, each from what it shows.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::asked::{Asked, Index};
use crate::profile::evidence::Account;
use crate::profile::{PathGrant, Profile};
use crate::vocab::access::Access;
use crate::vocab::syscall_table::row;

use super::files::{Files, Usage};
use super::markup::Markup;
use super::programs::Programs;
use super::{Comparison, Page, Refused};

/// Lines of one kind that are shown.
const LINES: usize = 2000;

impl Page<'_> {
    /// Who asked for it, where that is known.
    fn asked<'e>(&'e self, look: impl FnOnce(&'e Index<'e>) -> Option<Account<'e>>) -> Option<Asked> {
        self.evidence.and_then(look).map(Asked::from)
    }
}

/// What is behind the heading: which profile, on what evidence.
pub(super) fn summary(of: &Page<'_>, page: &mut Markup) {
    page.raw("<p>Profile <b>").text(&of.profile.name).raw("</b>, <code>").text(of.digest).raw("</code>, ");
    page.raw(of.approval.words()).raw(".</p>\n<p>");
    match of.traces.len() {
        0 => page.raw("No run that it was learned from is kept on this machine."),
        1 => page.raw("One run that it was learned from is kept on this machine."),
        runs => page.number(runs).raw(" runs that it was learned from are kept on this machine."),
    };
    for sentence in &of.confidence {
        page.raw(" ").text(sentence);
    }
    page.raw("</p>\n");
    if let Some(lack) = &of.profile.incomplete {
        let gaps: Vec<_> = lack.gaps.iter().map(|gap| gap.meaning()).collect();
        page.raw("<p class=\"risk3\">Incomplete: ").text(&gaps.join("; ")).raw(".</p>\n");
    }
    if of.profile.nested_sandbox {
        page.raw("<p class=\"risk4\">It may make namespaces and mounts of its own; Landlock is off then.</p>\n");
    }
}

/// Files, network, secrets, variables, limits: a table each.
pub(super) fn grants(of: &Page<'_>, files: &Files<'_>, page: &mut Markup) {
    let profile = of.profile;
    page.raw("<section id=\"grants\">\n<h2>In plain words</h2>\n<h3>Files</h3>\n");
    let words = [
        (Access::Write, "change, create and remove below"),
        (Access::Replace, "replace"),
        (Access::Read, "read and run"),
        (Access::Exist, "see that there is"),
    ];
    if profile.filesystem.is_empty() {
        page.raw("<p>It may use no file.</p>\n");
    } else {
        page.raw(
            "<table class=\"files\"><thead><tr><th>Place<th>Used<th>Open, not used<th>Asked for by<th>Remark</thead>\n",
        );
        for (access, words) in words {
            let grants: Vec<_> = profile.filesystem.iter().filter(|(_, grant)| grant.access == access).collect();
            if !grants.is_empty() {
                page.raw("<tbody><tr class=\"group\"><th colspan=\"5\" scope=\"rowgroup\">It may ")
                    .raw(words)
                    .raw("\n");
            }
            for (location, grant) in grants.iter().take(LINES) {
                let asked = of.asked(|index| index.place(location));
                file(&location.to_string(), grant, files.usage(location, profile), asked.as_ref(), page);
            }
            if grants.len() > LINES {
                page.raw("<tr><td colspan=\"5\">and ").number(grants.len() - LINES).raw(" more\n");
            }
        }
        page.raw("</table>\n");
    }
    others(of, page);
    page.raw("</section>\n");
}

fn file(place: &str, grant: &PathGrant, usage: Usage, asked: Option<&Asked>, page: &mut Markup) {
    page.raw("<tr><td><code>").shown(place).raw("</code><td class=\"n\">").number(usage.used).raw("<td class=\"n\">");
    match usage.unused {
        Some(unused) => page.number(unused),
        None => page.raw("<small>not counted</small>"),
    };
    page.raw("<td>");
    by_whom(asked, page);
    page.raw("<td>");
    if let Some(kind) = grant.sensitive {
        page.raw("<b class=\"risk4\">").text(kind.as_str()).raw("</b> ");
    }
    page.raw(if grant.approved { "" } else { "<b>withheld until approved</b> " });
    page.text(grant.reason.as_deref().unwrap_or_default()).raw("\n");
}

/// Which programs, and in how many runs.
fn by_whom(asked: Option<&Asked>, page: &mut Markup) {
    const SHOWN: usize = 3;
    let Some(asked) = asked else {
        page.raw("<small>not known</small>");
        return;
    };
    for (number, program) in asked.programs.iter().take(SHOWN).enumerate() {
        page.raw(if number == 0 { "" } else { ", " }).text(program);
    }
    if asked.programs.len() > SHOWN {
        page.raw(" and ").number(asked.programs.len() - SHOWN).raw(" more");
    }
    page.raw(" <small>in ").text(&asked.runs.to_string()).raw(" of ").text(&asked.of.to_string()).raw(" runs</small>");
}

fn others(of: &Page<'_>, page: &mut Markup) {
    let profile = of.profile;
    page.raw("<h3>Network</h3>\n");
    if profile.network.is_empty() {
        page.raw("<p>It has no network.</p>\n");
    } else {
        page.raw("<table><thead><tr><th>It may reach<th>How<th>Asked for by<th>Remark</thead><tbody>\n");
        for (target, grant) in &profile.network {
            page.raw("<tr><td><code>")
                .text(&target.to_string())
                .raw("</code><td>")
                .text(&format!("{:?}", grant.access));
            page.raw("<td>");
            by_whom(of.asked(|index| index.evidence.of_target(target)).as_ref(), page);
            page.raw("<td>").raw(if grant.approved { "" } else { "<b>withheld until approved</b> " });
            page.text(grant.reason.as_deref().unwrap_or_default()).raw("\n");
        }
        page.raw("</tbody></table>\n");
    }
    page.raw("<h3>Secrets</h3>\n");
    if profile.secrets.is_empty() {
        page.raw("<p>It is given no secret.</p>\n");
    } else {
        page.raw("<table><thead><tr><th>Secret<th>From<th>As<th>Asked for by<th>Remark</thead><tbody>\n");
        for (name, secret) in &profile.secrets {
            page.raw("<tr><td><code>").text(name).raw("</code><td>").text(secret.from.as_str()).raw("<td>");
            page.text(secret.to.as_str()).raw("<td>");
            by_whom(of.asked(|index| index.evidence.of_variable(name)).as_ref(), page);
            page.raw("<td>");
            page.raw(if secret.approved { "\n" } else { "<b>withheld until approved</b>\n" });
        }
        page.raw("</tbody></table>\n");
    }
    page.raw("<h3>Variables</h3>\n");
    if profile.environment.is_empty() {
        page.raw("<p>It sees none of your variables.</p>\n");
    } else {
        page.raw("<table><thead><tr><th>It may see<th>Asked for by</thead><tbody>\n");
        for name in &profile.environment {
            page.raw("<tr><td><code>").text(name).raw("</code><td>");
            by_whom(of.asked(|index| index.evidence.of_variable(name)).as_ref(), page);
            page.raw("\n");
        }
        page.raw("</tbody></table>\n");
    }
    page.raw("<h3>Limits</h3>\n<p>");
    limits(profile, page);
}

fn limits(profile: &Profile, page: &mut Markup) {
    let limits = profile.limits.set();
    if limits.is_empty() {
        page.raw("None is set.");
    }
    let limits: Vec<String> = limits.into_iter().map(|(limit, value)| format!("{} {value}", limit.key())).collect();
    page.text(&limits.join("; ")).raw("</p>\n");
}

/// Peers: granted, and reached while learning.
pub(super) fn hosts(profile: &Profile, programs: &Programs, page: &mut Markup) {
    page.raw("<section id=\"hosts\">\n<h2>Hosts</h2>\n");
    let reached = programs.peers();
    let granted: BTreeSet<String> = profile.network.keys().map(ToString::to_string).collect();
    let all: BTreeSet<&str> = reached.keys().copied().chain(granted.iter().map(String::as_str)).collect();
    if all.is_empty() {
        page.raw("<p>It reached none, and may reach none.</p>\n</section>\n");
        return;
    }
    page.raw("<table><thead><tr><th>Peer<th>Granted<th>Reached while learning, by</thead><tbody>\n");
    for peer in all {
        page.raw("<tr><td><code>").shown(peer).raw("</code><td>");
        page.raw(if granted.contains(peer) { "yes" } else { "no line of its own" }).raw("<td>");
        names(reached.get(peer), page);
    }
    page.raw("</tbody></table>\n</section>\n");
}

fn names(names: Option<&BTreeSet<&str>>, page: &mut Markup) {
    const SHOWN: usize = 8;
    let Some(names) = names else {
        page.raw("nobody\n");
        return;
    };
    for (number, name) in names.iter().take(SHOWN).enumerate() {
        page.raw(if number == 0 { "" } else { ", " }).shown(name);
    }
    if names.len() > SHOWN {
        page.raw(" and ").number(names.len() - SHOWN).raw(" more");
    }
    page.raw("\n");
}

/// System calls by risk, the most powerful first.
pub(super) fn calls(of: &Page<'_>, programs: &Programs, page: &mut Markup) {
    let profile = of.profile;
    page.raw("<section id=\"calls\">\n<h2>System calls</h2>\n<p>Base set ");
    page.text(&profile.syscalls.base.to_string()).raw(", which every program needs");
    if profile.syscalls.allow.is_empty() {
        page.raw(", and no other.</p>\n</section>\n");
        return;
    }
    page.raw(", and these:</p>\n");
    let callers = programs.callers();
    let mut by_risk: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for call in &profile.syscalls.allow {
        by_risk.entry(std::cmp::Reverse(row(*call).risk)).or_default().push(*call);
    }
    page.raw("<table><thead><tr><th>Risk<th>Call<th>Arguments<th>Made by<th>Remark</thead><tbody>\n");
    for (std::cmp::Reverse(risk), calls) in by_risk {
        for call in calls {
            page.raw("<tr><td class=\"risk").number(usize::from(risk)).raw("\">").number(usize::from(risk));
            page.raw(" ").raw(risk_words(risk)).raw("<td><code>").text(call.name()).raw("</code><td>");
            let arguments = profile.syscalls.arguments.get(&call);
            for word in arguments.into_iter().flatten() {
                page.raw("<code>").text(word).raw("</code> ");
            }
            page.raw("<td>");
            match of.asked(|index| index.evidence.of_call(call)) {
                Some(asked) => by_whom(Some(&asked), page),
                None => names(callers.get(&call), page),
            }
            let withheld = risk >= 4 && !profile.syscalls.approved.contains(&call);
            page.raw(if withheld { "<td><b>withheld until approved</b>\n" } else { "<td>\n" });
        }
    }
    page.raw("</tbody></table>\n</section>\n");
}

/// What the numbers of the table of calls mean.
fn risk_words(risk: u8) -> &'static str {
    match risk {
        0 => "(only itself)",
        1 => "(bounded by the sandbox)",
        2 => "(more of the kernel)",
        3 => "(weakens the sandbox)",
        _ => "(leaves the sandbox)",
    }
}

/// What runs under the profile were refused.
pub(super) fn refused(refused: &[Refused], page: &mut Markup) {
    page.raw("<section id=\"refused\">\n<h2>Refused</h2>\n");
    if refused.is_empty() {
        page.raw("<p>No refusal is on record.</p>\n</section>\n");
        return;
    }
    page.raw("<table><thead><tr><th>What<th>By<th>Times<th>Would be allowed by</thead><tbody>\n");
    for refusal in refused.iter().take(LINES) {
        page.raw("<tr><td><code>").text(&refusal.what).raw("</code><td>").text(&refusal.by);
        page.raw("<td class=\"n\">").text(&refusal.times.to_string()).raw("<td>");
        match &refusal.allow {
            Some(line) => page.raw("<code>").text(line).raw("</code>\n"),
            None => page.raw("nothing\n"),
        };
    }
    page.raw("</tbody></table>\n");
    if refused.len() > LINES {
        page.raw("<p>And ").number(refused.len() - LINES).raw(" more.</p>\n");
    }
    page.raw("</section>\n");
}

/// The differences, side by side.
pub(super) fn comparison(comparison: &Comparison, page: &mut Markup) {
    page.raw("<section id=\"comparison\">\n<h2>What is different from ").text(&comparison.with).raw("</h2>\n<p>");
    page.text(&comparison.verdict).raw("</p>\n");
    if !comparison.changes.is_empty() {
        page.raw("<table><thead><tr><th>Risk<th>What it means<th>Before<th>Now</thead><tbody>\n");
    }
    for change in &comparison.changes {
        page.raw("<tr><td class=\"risk").number(usize::from(change.risk.min(4))).raw("\">");
        page.number(usize::from(change.risk)).raw(" ").text(&change.direction).raw("<td>").text(&change.sentence);
        for (value, asked) in [&change.before, &change.after].into_iter().zip(&change.asked) {
            page.raw("<td>");
            if !value.is_empty() {
                page.raw("<code>").text(value).raw("</code>");
            }
            if let Some(asked) = asked {
                page.raw("<br>asked for by ");
                by_whom(Some(asked), page);
            }
        }
        page.raw("\n");
    }
    if !comparison.changes.is_empty() {
        page.raw("</tbody></table>\n");
    }
    page.raw("</section>\n");
}

/// The data of the map as nested lists.
pub(super) fn places(node: &serde_json::Value, page: &mut Markup) {
    let text = |index: usize| node.get(index).and_then(serde_json::Value::as_str).unwrap_or_default();
    let children = node.get(3).and_then(serde_json::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let (name, state) = (text(0), text(1));
    let class = match state {
        "g" => "<span class=\"g\">g</span> <code>",
        "x" => "<span class=\"x\">x</span> <code>",
        "r" => "<span class=\"r\">r</span> <code>",
        "u" => "<span class=\"u\">u</span> <code>",
        _ => "<code>",
    };
    page.raw("<li>");
    if children.is_empty() {
        page.raw(class).shown(name).raw("</code>\n");
        return;
    }
    page.raw(if name == "all" { "<details open><summary>" } else { "<details><summary>" });
    page.raw(class).shown(name).raw("</code></summary><ul>\n");
    for child in children {
        places(child, page);
    }
    page.raw("</ul></details>\n");
}

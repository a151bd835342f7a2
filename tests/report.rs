//! The page about a profile: whole in itself, readable without its script, inert whatever the names in it are.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test program: a panic in a helper is a failed test"
)]

mod common;

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use common::browser::Browser;
use common::scratch::{Scratch, said};
use pinfold::event::{Event, Fact, Image, ImageId, Intent, Outcome, PathFact};
use pinfold::export::page::{Approval, Comparison, Difference, Page, Refused, page};
use pinfold::profile::Profile;
use pinfold::profile::asked::Asked;
use pinfold::profile::parse::parse;
use pinfold::trace::reader::read;
use pinfold::trace::{FORMAT, Header, Trace, VERSION};
use pinfold::vocab::escape;
use pinfold::vocab::location::{Base, Roots};
use pinfold::vocab::path::AbsPath;
use pinfold::vocab::syscall::Syscall;

fn of_the_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn profile(name: &str) -> Profile {
    parse(&std::fs::read_to_string(of_the_project(&format!("generated-profiles/{name}.toml"))).unwrap()).unwrap()
}

fn trace(name: &str) -> Trace {
    let file = std::fs::File::open(of_the_project(&format!("fixtures/traces/{name}.trace"))).unwrap();
    read(BufReader::new(file)).unwrap()
}

fn about(profile: &Profile, traces: &[Trace], refused: &[Refused], comparison: Option<Comparison>) -> String {
    page(&Page {
        profile,
        digest: "sha256:0",
        approval: Approval::Approved,
        traces,
        refused,
        confidence: vec!["Learned from one run.".to_owned()],
        evidence: None,
        comparison,
    })
}

const BAD: &str =
    "</script><script>document.title='owned'</script><img src=x onerror=window.hit=1>\u{1b}]0;x\u{7}\u{202e}\"'&";

/// A profile, a run and refusals in which every name that a program can choose is [`BAD`].
fn hostile() -> String {
    let bad = |top: &str| AbsPath::new(format!("{top}/{BAD}")).unwrap();
    let mut profile = profile("git");
    profile.environment.insert(BAD.to_owned());
    profile.command = vec![escape::file(BAD.as_bytes())];
    profile.name = BAD.to_owned();
    let grant = profile.filesystem.values().next().unwrap().clone();
    let roots = Roots(BTreeMap::from([(Base::Home, AbsPath::new("/home/a").unwrap())]));
    let reason = Some(BAD.to_owned());
    profile.filesystem.insert(roots.locate(&bad("/opt")), pinfold::profile::PathGrant { reason, ..grant });
    let image = Image { parent: None, exe: bad("/bin"), script: None, argv: vec![BAD.to_owned()], set_id: false };
    let path = |path| {
        let call = Syscall::from_name("openat").unwrap();
        Fact::Path(PathFact { intent: Intent::Read, call, path, hops: Vec::new(), kind: None, result: Outcome::Ok })
    };
    let facts = [Fact::Image(image), path(bad("/home/a")), path(bad("/opt"))];
    let refusal = Refused {
        what: format!("look /etc/{}", escape::file(BAD.as_bytes())),
        by: BAD.to_owned(),
        times: 1,
        allow: Some(BAD.to_owned()),
    };
    let difference = || BAD.to_owned();
    let change = Difference {
        direction: difference(),
        risk: 4,
        sentence: difference(),
        before: difference(),
        after: difference(),
        asked: [None, Some(Asked { programs: vec![difference()], runs: 1, of: 1 })],
    };
    let comparison = Comparison { with: BAD.to_owned(), verdict: BAD.to_owned(), changes: vec![change] };
    about(&profile, &[run(roots, facts)], &[refusal], Some(comparison))
}

fn run(roots: Roots, facts: impl IntoIterator<Item = Fact>) -> Trace {
    let header = Header {
        format: FORMAT.into(),
        version: VERSION,
        pinfold: "0.1.0".into(),
        run: "5f0c".into(),
        started: 1_700_000_000,
        kernel: "6.18".into(),
        machine: "x86_64".into(),
        command: vec!["git".into()],
        roots,
        workdir: AbsPath::root(),
        uid: 1000,
        base: 1,
        broker: false,
        opened: Vec::new(),
    };
    let events = facts.into_iter().map(|fact| Event { image: ImageId(0), fact }).collect();
    Trace { header, events, footer: None }
}

#[test]
fn a_page_is_the_same_for_the_same_input_and_names_nothing_outside_of_itself() {
    let (profile, traces) = (profile("pi"), [trace("pi")]);
    let html = about(&profile, &traces, &[], None);
    assert_eq!(html, about(&profile, &traces, &[], None));
    for word in ["src=", "url(", "@import", "<link", "<iframe", "<base"] {
        assert!(!html.contains(word), "{word}");
    }
    // Addresses of the run are text; none is a link.
    assert!(html.match_indices("href=\"").all(|(at, _)| html[at..].starts_with("href=\"#")));
    for word in ["credential", "withheld until approved", "/usr/bin", "node", "<h2>"] {
        assert!(html.contains(word), "{word}");
    }
}

#[test]
fn no_name_of_a_program_becomes_markup_or_changes_how_the_page_reads() {
    let html = hostile();
    assert_eq!(html.matches("<script").count(), 2, "the data and the script of the page itself");
    assert!(
        !html.contains("<img") && !html.contains('\u{1b}') && !html.contains('\u{202e}') && !html.contains('\u{7}')
    );
}

#[test]
fn the_page_of_a_run_of_very_many_facts_stays_small_and_counts_what_it_leaves_out() {
    let roots = Roots(BTreeMap::from([(Base::Project, AbsPath::new("/p").unwrap())]));
    let call = Syscall::from_name("openat").unwrap();
    let facts = (0..200_000).map(|number| {
        let path = AbsPath::new(format!("/p/dir-{}/sub-{}/file-{number}", number % 97, number % 1009)).unwrap();
        Fact::Path(PathFact { intent: Intent::Read, call, path, hops: Vec::new(), kind: None, result: Outcome::Ok })
    });
    let image = Image { parent: None, exe: AbsPath::new("/bin/x").unwrap(), script: None, argv: vec![], set_id: false };
    let html = about(&profile("git"), &[run(roots, std::iter::once(Fact::Image(image)).chain(facts))], &[], None);
    assert!(html.len() <= 2 << 20, "{}", html.len());
    assert!(html.contains(" more"));
}

#[test]
fn a_trace_that_claims_a_circle_or_a_chain_of_thousands_of_programs_is_a_page_all_the_same() {
    let image = |parent, number: u32| Event {
        image: ImageId(number),
        fact: Fact::Image(Image {
            parent: Some(ImageId(parent)),
            exe: AbsPath::new(format!("/bin/{number}")).unwrap(),
            script: None,
            argv: vec![],
            set_id: false,
        }),
    };
    let mut chain = run(Roots::default(), []);
    chain.events = (1..5000).map(|number| image(number - 1, number)).collect();
    let mut circle = run(Roots::default(), []);
    circle.events = [image(2, 1), image(1, 2), image(3, 3)].into_iter().collect();
    let deep = AbsPath::new("/a".repeat(2000)).unwrap();
    let call = Syscall::from_name("openat").unwrap();
    let intent = Intent::Read;
    let deep = Fact::Path(PathFact { intent, call, path: deep, hops: Vec::new(), kind: None, result: Outcome::Ok });
    let html = about(&profile("git"), &[chain, circle, run(Roots::default(), [deep])], &[], None);
    assert!(html.ends_with("</html>\n"));
}

#[test]
fn the_command_writes_the_page_and_names_a_trace_that_it_cannot_read() {
    let scratch = Scratch::new("report");
    let (good, bad) = (of_the_project("fixtures/traces/git.trace"), scratch.file("bad.trace", "no trace\n"));
    let output = scratch
        .pinfold(&["report", "--output", "page.html", "--trace"])
        .arg(good)
        .arg("--trace")
        .arg(bad)
        .arg(of_the_project("generated-profiles/git.toml"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("bad.trace") && said(&output).contains("line 1"), "{}", said(&output));
    let html = std::fs::read_to_string(scratch.project().join("page.html")).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("One run"));
}

#[test]
fn what_is_different_from_another_profile_stands_side_by_side_with_what_it_means() {
    let scratch = Scratch::new("report");
    let profile = |name: &str| of_the_project(&format!("generated-profiles/{name}.toml"));
    let mut command = scratch.pinfold(&["report", "--against"]);
    let output = command.arg(profile("git")).arg(profile("mini")).output().unwrap();
    let html = String::from_utf8(output.stdout).unwrap();
    assert!(
        html.contains("allows something that the other one refuses"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(html.contains(" widens<td>") && html.contains("narrows<td>"));
}

#[test]
fn who_asked_stands_beside_each_line_and_on_both_sides_of_a_difference() {
    need!(UserNamespaces);
    let scratch = Scratch::new("report");
    let notes = scratch.home_file("notes", "x\n");
    scratch.learn(&["sh", "-c", "cat ~/notes"]);
    let before = scratch.profile();
    let report = |more: &[&str]| {
        let output = scratch.pinfold(&["report"]).arg(&before).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let row = |html: &str, word: &str| {
        let row = html.split("<tr>").find(|row| row.starts_with("<td") && row.contains(word));
        row.unwrap_or_else(|| panic!("{word}: {html}")).to_owned()
    };
    let html = report(&[]);
    for (word, program) in [("~/notes", "cat"), ("@loader", "sh"), ("<code>HOME", "sh")] {
        let row = row(&html, word);
        assert!(row.contains(program) && row.contains("in 1 of 1 runs"), "{row}");
    }
    let loader = row(&html, "@loader");
    assert!(!loader.contains("<td class=\"n\">0<td"), "what a bundle opens is counted: {loader}");
    // A profile without that line, and without evidence.
    let text = std::fs::read_to_string(&before).unwrap();
    let without: String =
        text.lines().filter(|line| !line.contains("~/notes")).map(|line| format!("{line}\n")).collect();
    let other = scratch.file("other.toml", &without);
    let html = report(&["--against", other.to_str().unwrap()]);
    let row = row(html.split("id=\"comparison\"").nth(1).unwrap(), "~/notes");
    assert!(row.contains("widens") && row.contains("asked for by") && row.contains("cat"), "{row}");
    std::fs::remove_file(notes).unwrap();
}

#[test]
fn in_a_real_browser_it_opens_filters_and_zooms_without_a_word_on_the_console() {
    need!(Program("chromium"));
    let scratch = Scratch::new("report");
    let file = scratch.file("page.html", &about(&profile("pi"), &[trace("pi")], &[], None));
    let mut browser = Browser::open(&file, &scratch.outside("browser"));
    let shown = "[...document.querySelectorAll('tbody tr:not(.group)')].filter(row => !row.hidden).length";
    let all = browser.evaluate(shown).as_u64().unwrap();
    browser.evaluate(
        "const box = document.getElementById('filter'); box.value = 'AUTH.json'; box.dispatchEvent(new Event('input'))",
    );
    let some = browser.evaluate(shown).as_u64().unwrap();
    assert!(some >= 1 && some < all / 4, "{some} of {all}");
    let places = "document.querySelectorAll('#tree-map g').length";
    assert!(browser.evaluate(places).as_u64().unwrap() > 20);
    // By keyboard: Enter makes a place the whole map, Escape goes back.
    let key = |name: &str, index: u32| {
        format!(
            "[...document.querySelectorAll('#tree-map g')][{index}].dispatchEvent(new KeyboardEvent('keydown', {{ key: '{name}', bubbles: true }}))"
        )
    };
    let crumbs = "document.querySelectorAll('#tree-map button').length";
    assert_eq!(browser.evaluate(crumbs), 1);
    browser.evaluate(&key("Enter", 1));
    assert_eq!(browser.evaluate(crumbs), 2);
    browser.evaluate(&key("Escape", 0));
    assert_eq!(browser.evaluate(crumbs), 1);
    // Nothing is wider than a phone.
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        serde_json::json!({ "width": 375, "height": 800, "deviceScaleFactor": 1, "mobile": true }),
    );
    assert!(browser.evaluate("document.documentElement.scrollWidth").as_u64().unwrap() <= 375);
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn in_a_real_browser_hostile_names_stay_text() {
    need!(Program("chromium"));
    let scratch = Scratch::new("report");
    let file = scratch.file("page.html", &hostile());
    let mut browser = Browser::open(&file, &scratch.outside("browser"));
    let title = browser.evaluate("document.title");
    assert!(title.as_str().unwrap().starts_with("What "), "{title}");
    assert_eq!(browser.evaluate("document.querySelectorAll('img, script:not([type])').length"), 1);
    assert_eq!(browser.evaluate("document.body.textContent.includes('onerror=window.hit=1')"), true);
    // The control: the same name in a page without escapes takes the page over.
    let control = scratch.file("control.html", &format!("<title>What</title><p>{BAD}"));
    let mut open = Browser::open(&control, &scratch.outside("control"));
    assert_eq!(open.evaluate("document.title"), "owned");
    assert_eq!(browser.complaints, Vec::<String>::new());
}

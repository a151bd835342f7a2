//! A real browser without a window, driven over its debugging pipe: two FIFOs, JSON messages that end in NUL.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// A page in a browser. Dropping it ends the browser.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    input: File,
    output: BufReader<File>,
    session: String,
    next: u64,
    /// Messages of the console, uncaught exceptions, and what the page's policy refused.
    pub complaints: Vec<String>,
    events: VecDeque<Value>,
}

impl Browser {
    /// Opens `page`; `dir` is for the browser's own files.
    pub fn open(page: &Path, dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let (to, from) = (dir.join("to"), dir.join("from"));
        for fifo in [&to, &from] {
            nix::unistd::mkfifo(fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        let script = "exec chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
            --disable-background-networking --disable-component-update --disable-sync --remote-debugging-pipe \
            --user-data-dir=\"$0\" 3<\"$1\" 4>\"$2\"";
        let child = Command::new("sh")
            .args(["-c", script])
            .args([&dir.join("profile"), &to, &from])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .env("HOME", dir)
            .spawn()
            .unwrap();
        // In the order of the shell's redirections: each waits for its other end.
        let input = File::options().write(true).open(&to).unwrap();
        let output = BufReader::new(File::open(&from).unwrap());
        let complaints = Vec::new();
        let mut browser =
            Self { child, input, output, session: String::new(), next: 0, complaints, events: VecDeque::new() };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached =
            browser.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        attached["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        for domain in ["Runtime.enable", "Log.enable", "Page.enable", "Network.enable"] {
            browser.call(domain, json!({}));
        }
        browser.call("Page.navigate", json!({ "url": format!("file://{}", page.display()) }));
        browser.wait_for("Page.loadEventFired");
        browser
    }

    /// The value of an expression in the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self.call("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true }));
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Calls a method of the protocol.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.input.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let answer = self.read();
            if answer["id"] == json!(self.next) {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push_back(answer);
        }
    }

    fn wait_for(&mut self, event: &str) {
        loop {
            let message = self.events.pop_front().unwrap_or_else(|| self.read());
            if message["method"] == event {
                return;
            }
        }
    }

    fn read(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.output.read_until(0, &mut bytes).unwrap();
        assert_eq!(bytes.pop(), Some(0), "the browser ended");
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        let method = message["method"].as_str().unwrap_or_default();
        if matches!(method, "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded") {
            self.complaints.push(message["params"].to_string());
        }
        // The page itself is the one thing that is loaded.
        if method == "Network.requestWillBeSent" && message["params"]["type"] != "Document" {
            self.complaints.push(message["params"]["request"]["url"].to_string());
        }
        message
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

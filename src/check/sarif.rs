//! Findings → SARIF 2.1.0 (OASIS, 2020), which code hosts show beside the lines of a change.

use serde_json::{Value, json};

use super::{Code, Finding, Weight};

/// One run over several files: each its path, as the host knows it, and what was found.
pub fn sarif(version: &str, files: &[(String, Vec<Finding>)]) -> Value {
    let level = |weight: Weight| if weight == Weight::Warning { "warning" } else { "note" };
    let rules: Vec<Value> = Code::ALL
        .iter()
        .map(|code| {
            json!({
                "id": code.as_str(),
                "shortDescription": { "text": code.meaning() },
                "defaultConfiguration": { "level": level(code.weight()) },
            })
        })
        .collect();
    let results: Vec<Value> = files
        .iter()
        .flat_map(|(file, findings)| findings.iter().map(move |finding| (file, finding)))
        .map(|(file, finding)| {
            let text = match finding.about.as_str() {
                "" => finding.sentence.clone(),
                about => format!("{about}: {}", finding.sentence),
            };
            json!({
                "ruleId": finding.code.as_str(),
                "level": level(finding.weight),
                "message": { "text": text },
                "locations": [{ "physicalLocation": {
                    "artifactLocation": { "uri": uri(file) },
                    "region": { "startLine": finding.line },
                } }],
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{ "tool": { "driver": { "name": "pinfold", "version": version, "rules": rules } }, "results": results }],
    })
}

/// A path as a URI reference (RFC 3986 §2.3): everything but its plain characters is percent-encoded.
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

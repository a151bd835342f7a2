//! The build script: tables in TOML → the same as Rust literals, so that no start of the program pays for reading them.
//!
//! Whoever reviews a table reads TOML; a key that is unknown here, or a word that is no variant there, stops the build.

use std::fmt::Write as _;
use std::path::Path;

use toml::{Table, Value};

/// What a key of a table becomes.
#[derive(Clone, Copy)]
enum Field {
    /// A string.
    Text,
    /// A string, or nothing.
    Maybe,
    /// Strings; none where the key is missing.
    List,
    /// A variant of this enum, by its name in kebab case.
    Variant(&'static str),
}

/// One file: its name, the array in it, the struct that an element becomes, and that one's fields.
struct Source(&'static str, &'static str, &'static str, &'static [(&'static str, Field)]);

const SOURCES: [Source; 2] = [
    Source(
        "sensitivity",
        "places",
        "Group",
        &[
            ("kind", Field::Variant("Sensitivity")),
            ("why", Field::Text),
            ("at", Field::List),
            ("anywhere", Field::List),
        ],
    ),
    Source(
        "commands",
        "file",
        "Carrier",
        &[
            ("path", Field::Text),
            ("format", Field::Variant("Format")),
            ("why", Field::Text),
            ("commands", Field::List),
            ("harmless", Field::List),
            ("suspect", Field::Maybe),
        ],
    ),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = std::env::var_os("OUT_DIR").ok_or("cargo gives no OUT_DIR")?;
    for source in &SOURCES {
        let from = format!("src/data/{}.toml", source.0);
        println!("cargo::rerun-if-changed={from}");
        let rows = literal(&std::fs::read_to_string(&from)?, source).map_err(|error| format!("{from}: {error}"))?;
        std::fs::write(Path::new(&out).join(format!("{}.rs", source.0)), rows)?;
    }
    Ok(())
}

/// The file as an expression of type `&[Struct]`.
fn literal(text: &str, Source(_, array, name, fields): &Source) -> Result<String, String> {
    let mut file: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let Some(Value::Array(elements)) = file.remove(*array) else { return Err(format!("there is no `{array}`")) };
    if let Some(other) = file.keys().next() {
        return Err(format!("`{other}` is unknown"));
    }
    let mut rows = String::from("&[\n");
    for element in elements {
        let Value::Table(mut row) = element else { return Err(format!("`{array}` holds {element}")) };
        write!(rows, "{name} {{ ").map_err(|error| error.to_string())?;
        for (key, field) in *fields {
            let value = row.remove(*key);
            let value = expression(value, *field).ok_or_else(|| format!("`{key}` is missing or of another type"))?;
            write!(rows, "{key}: {value}, ").map_err(|error| error.to_string())?;
        }
        if let Some(other) = row.keys().next() {
            return Err(format!("`{other}` is unknown"));
        }
        rows.push_str("},\n");
    }
    Ok(rows + "]")
}

fn expression(value: Option<Value>, field: Field) -> Option<String> {
    match (field, value) {
        (Field::Text, Some(Value::String(text))) => Some(format!("{text:?}")),
        (Field::Maybe, None) => Some("None".to_owned()),
        (Field::Maybe, Some(Value::String(text))) => Some(format!("Some({text:?})")),
        (Field::List, None) => Some("&[]".to_owned()),
        (Field::List, Some(Value::Array(items))) => {
            let items: Option<Vec<_>> =
                items.iter().map(|item| item.as_str().map(|text| format!("{text:?}"))).collect();
            Some(format!("&[{}]", items?.join(", ")))
        }
        (Field::Variant(of), Some(Value::String(word))) => Some(format!("{of}::{}", pascal(&word))),
        _ => None,
    }
}

/// `host-executes` → `HostExecutes`.
fn pascal(word: &str) -> String {
    let parts = word.split('-').map(|part| {
        let (first, rest) = part.split_at(part.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    parts.collect()
}

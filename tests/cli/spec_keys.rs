//! The keys of `bake.yaml` (`src/project/spec/keys.rs`): `docs/bake-yaml.md` is made from them, and
//! `images/bake.yaml` shows their defaults. `BAKE_BLESS=1` writes the page.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use bake::project::defaults;
use bake::project::spec::keys::RawSpec;
use bake::project::spec::raw::json;
use serde_json::Value;

use crate::support::test;

/// The sections of the page: a path in the spec, and the name of its definition in the schema.
const SECTIONS: [(&str, &str); 9] = [
    ("", ""),
    ("gateway", "RawGateway"),
    ("gateway.model", "RawModel"),
    ("image", "RawImage"),
    ("image.source", "RawSource"),
    ("host", "RawHost"),
    ("gcp", "RawGcp"),
    ("gcp.snapshots", "RawSnapshots"),
    ("secrets.NAME", "RawSecret"),
];

fn schema() -> Value {
    serde_json::to_value(schemars::schema_for!(RawSpec)).expect("JSON")
}

/// The position of a key in the default spec, which determines the order.
fn position(path: &str) -> usize {
    let name = path.rsplit('.').next().unwrap_or(path);
    let section = path.split('.').next().filter(|_| path.contains('.'));
    let start = section.and_then(|section| defaults::SPEC.find(&format!("\n{section}:"))).unwrap_or(0);
    let found = defaults::SPEC[start..]
        .match_indices(&format!("{name}:"))
        .find(|(at, _)| defaults::SPEC[..start + at].ends_with([' ', '\n', '{']));
    found.map_or(usize::MAX, |(at, _)| start + at)
}

/// The keys of a section in the order of the default spec.
fn keys(properties: &Value, path: &str) -> Vec<(String, Value)> {
    let dot = if path.is_empty() { "" } else { "." };
    let mut keys: Vec<_> = properties
        .as_object()
        .expect("properties")
        .iter()
        .map(|(name, key)| (format!("{path}{dot}{name}"), key.clone()))
        .collect();
    keys.sort_by_key(|(path, _)| position(path));
    keys
}

fn properties<'a>(schema: &'a Value, definition: &str) -> &'a Value {
    if definition.is_empty() { &schema["properties"] } else { &schema["$defs"][definition]["properties"] }
}

/// The type of a key, in words.
fn values(schema: &Value, key: &Value) -> String {
    if let Some(reference) = key["$ref"].as_str() {
        let definition = &schema["$defs"][reference.trim_start_matches("#/$defs/")];
        if definition["properties"].is_object() {
            return "a map, see below".to_owned();
        }
        return values(schema, definition);
    }
    if let Some(one_of) = key["oneOf"].as_array().or(key["anyOf"].as_array()) {
        let each: Vec<_> = one_of
            .iter()
            .map(|choice| match choice["const"].as_str() {
                Some(name) => format!("`{name}` ({})", text(choice).trim_end_matches('.')),
                None => values(schema, choice),
            })
            .collect();
        return each.join(", or ");
    }
    if let Some(form) = key["pattern"].as_str().and_then(|_| text(key).strip_prefix("It must be ")) {
        return form.trim_end_matches('.').to_owned();
    }
    match key["type"].as_str() {
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("null") => "`null`".to_owned(),
        Some("integer") if key["minimum"] == key["maximum"] => format!("`{}`", key["minimum"]),
        Some("integer") => format!("a number from {} to {}", key["minimum"], key["maximum"]),
        Some("array") => format!("a list, each item {}", values(schema, &key["items"])),
        Some("object") => "a map".to_owned(),
        _ => text(key).trim_start_matches("It must be ").trim_end_matches('.').to_owned(),
    }
}

fn text(key: &Value) -> &str {
    key["description"].as_str().expect("a description")
}

#[test]
fn the_page_is_made_from_the_keys() {
    let page = page();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/bake-yaml.md");
    if std::env::var_os("BAKE_BLESS").is_some() {
        fs::write(&path, &page).expect("written");
    }
    assert_eq!(fs::read_to_string(path).unwrap_or_default(), page, "BAKE_BLESS=1 writes docs/bake-yaml.md");
}

fn page() -> String {
    let schema = schema();
    let mut page = "\
<!-- Made from src/project/spec/keys.rs by `BAKE_BLESS=1 cargo test --test cli spec_keys`. -->

# bake.yaml

Every key may be left out. `bake init` writes a file with the defaults, and `bake schema spec` prints a
JSON Schema for editors. `bake check` reports every problem at once.
"
    .to_owned();
    for (path, definition) in SECTIONS {
        let heading = if path.is_empty() { "Top level".to_owned() } else { format!("`{path}`") };
        let _ = write!(page, "\n## {heading}\n\n");
        if !definition.is_empty() {
            let about = schema["$defs"][definition]["description"].as_str().expect("a description");
            let _ = write!(page, "{about}\n\n");
        }
        page += "| key | value | default | meaning |\n|---|---|---|---|\n";
        for (path, key) in keys(properties(&schema, definition), path) {
            let default = match &key["default"] {
                _ if values(&schema, &key) == "a map, see below" => String::new(),
                Value::Null if key.get("default").is_none() => "none".to_owned(),
                Value::String(text) => format!("`{text}`"),
                other => {
                    format!("`{}`", other.to_string().replace('"', "").replace(':', ": ").replace(',', ", "))
                }
            };
            let _ = writeln!(page, "| `{path}` | {} | {default} | {} |", values(&schema, &key), text(&key));
        }
    }
    page
}

#[test]
fn the_default_spec_shows_every_key_with_its_default() {
    let (schema, spec) = (schema(), json(defaults::SPEC));
    for (section, definition) in SECTIONS.into_iter().filter(|(path, _)| !path.contains(['.', 'N'])) {
        for (path, key) in keys(properties(&schema, definition), section) {
            let shown = spec.pointer(&format!("/{}", path.replace('.', "/")));
            match shown {
                Some(Value::Object(_)) if key["default"] == serde_json::json!({}) => {}
                Some(shown) => assert_eq!(*shown, key["default"], "{path}"),
                None => {
                    let name = path.rsplit('.').next().unwrap_or_default();
                    assert!(
                        defaults::SPEC.contains(&format!("# {name}: ")),
                        "{path} is not in images/bake.yaml"
                    );
                }
            }
        }
    }
}

//! Compares the settings in an image's config with those of its base image (image-spec, "OCI Image
//! Configuration").

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::oci::PlatformImage;
use crate::project::IMAGE_USER;
use crate::text::sanitize;

/// Settings of the builder, without effect on a container of the gateway.
const INERT: [&str; 13] = [
    "argsescaped",
    "attachstderr",
    "attachstdin",
    "attachstdout",
    "domainname",
    "hostname",
    "image",
    "labels",
    "macaddress",
    "memory",
    "openstdin",
    "stdinonce",
    "tty",
];

const ENVIRONMENT: &str = "env";
const HEALTH_CHECK: &str = "healthcheck";
const USER: &str = "user";

/// One sentence for each setting that neither the lock nor the base image has.
pub(super) fn differences(image: &PlatformImage, base: &PlatformImage) -> Vec<String> {
    let (found, mut expected) = match (settings(&image.document), settings(&base.document)) {
        (Ok(found), Ok(expected)) => (found, expected),
        (Err(why), _) => return vec![format!("its config {why}")],
        (_, Err(why)) => return vec![format!("the config of the base image {why}")],
    };
    expected.insert(USER.to_owned(), IMAGE_USER.into());
    let mut differences = Vec::new();
    let names: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    for name in names {
        let (expected, found) = (expected.get(name), found.get(name));
        // The OCI format has no health check, so conversions drop it.
        if expected == found || (name == HEALTH_CHECK && found.is_none()) {
            continue;
        }
        if name == ENVIRONMENT {
            differences.extend(variables(expected, found));
        } else {
            let shown = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
            let text = format!("`{name}` is {}, expected {}", shown(found), shown(expected));
            differences.push(sanitize(&text));
        }
    }
    differences
}

/// The settings with an effect, by name in lower case: Docker ignores the case of keys. Fails if two keys
/// have the same meaning.
fn settings(document: &[u8]) -> Result<BTreeMap<String, Value>, String> {
    let document: Map<String, Value> =
        serde_json::from_slice(document).map_err(|error| format!("cannot be read: {error}"))?;
    let mut sections = document.iter().filter(|(key, _)| key.eq_ignore_ascii_case("config"));
    let section = sections.next();
    if sections.next().is_some() {
        return Err("has two sections `config`".to_owned());
    }
    let mut settings = BTreeMap::new();
    for (key, value) in section.and_then(|(_, section)| section.as_object()).into_iter().flatten() {
        let name = key.to_lowercase();
        let is_empty = match value {
            Value::Null => true,
            Value::Bool(set) => !set,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(keys) => keys.is_empty(),
            Value::Number(_) => false,
        };
        if is_empty || INERT.contains(&name.as_str()) {
            continue;
        }
        if settings.insert(name, value.clone()).is_some() {
            return Err(format!("has the setting `{}` twice", sanitize(key)));
        }
    }
    Ok(settings)
}

/// The variables that differ. Their values may be secrets, and are not shown.
fn variables(expected: Option<&Value>, found: Option<&Value>) -> Vec<String> {
    let list = |value: Option<&Value>| -> Vec<String> {
        let texts = value.and_then(Value::as_array).into_iter().flatten();
        texts.map(|text| text.as_str().unwrap_or_default().to_owned()).collect()
    };
    let (expected, found) = (list(expected), list(found));
    let name = |variable: &String| sanitize(variable.split('=').next().unwrap_or_default());
    let mut differences = Vec::new();
    for variable in found.iter().filter(|variable| !expected.contains(variable)) {
        let name = name(variable);
        let from = if expected.iter().any(|other| self::variable(other) == self::variable(variable)) {
            "has another value than in the base image"
        } else {
            "is set, and not in the base image"
        };
        differences.push(format!("the variable `{name}` {from}"));
    }
    for variable in expected
        .iter()
        .filter(|variable| !found.iter().any(|other| self::variable(other) == self::variable(variable)))
    {
        differences.push(format!("the variable `{}` of the base image is not set", name(variable)));
    }
    if differences.is_empty() {
        differences.push("the variables are not in the base image's order".to_owned());
    }
    differences
}

fn variable(assignment: &str) -> &str {
    assignment.split('=').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn held(base: Value, image: Value) -> Vec<String> {
        let document = |config: Value| {
            let document = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}, "config": config});
            let document = document.to_string().into_bytes();
            PlatformImage {
                arch: crate::project::values::Arch::Amd64,
                config: oci_spec::image::ImageConfiguration::from_reader(document.as_slice())
                    .expect("a config"),
                document,
                layers: vec![],
            }
        };
        differences(&document(image), &document(base))
    }

    #[test]
    fn every_setting_but_the_user_is_the_base_images() {
        let base =
            json!({"User": "node", "Env": ["PATH=/bin", "A=1"], "Cmd": ["node", "x"], "Volumes": null});
        let with = |key: &str, value: Value| {
            let mut image = base.clone();
            image["User"] = json!(IMAGE_USER);
            image[key] = value;
            held(base.clone(), image)
        };
        assert_eq!(with("Labels", json!({"a": "b"})), [""; 0]);
        assert_eq!(with("Volumes", json!({})), [""; 0]);
        assert_eq!(with("User", json!("node")), ["`user` is \"node\", expected \"1000:1000\""]);
        assert_eq!(with("User", json!(null)), ["`user` is nothing, expected \"1000:1000\""]);
        assert_eq!(with("Cmd", json!(["sh"])), ["`cmd` is [\"sh\"], expected [\"node\",\"x\"]"]);
        // Docker reads this key too.
        assert_eq!(with("ENTRYPOINT", json!(["sh"])), ["`entrypoint` is [\"sh\"], expected nothing"]);
        assert_eq!(with("cmd", json!(["sh"])), ["its config has the setting `cmd` twice"]);
        for (env, expected) in [
            (
                json!(["PATH=/bin", "A=1", "LD_PRELOAD=/x"]),
                "the variable `LD_PRELOAD` is set, and not in the base image",
            ),
            (
                json!(["PATH=/home:/bin", "A=1"]),
                "the variable `PATH` has another value than in the base image",
            ),
            (json!(["PATH=/bin", "A=1", "A=2"]), "the variable `A` has another value than in the base image"),
            (json!(["PATH=/bin"]), "the variable `A` of the base image is not set"),
            (json!(["A=1", "PATH=/bin"]), "the variables are not in the base image's order"),
        ] {
            assert_eq!(with("Env", env), [expected]);
        }
    }
}

//! Reads stages of the rendered Dockerfile, without a builder.

use bake::project::values::Arch;

/// The stage that fetches a binary for one architecture.
pub struct Stage {
    pub url: String,
    pub sha256: String,
    /// The destination of the download.
    pub download: String,
    /// The shell command of the stage.
    pub script: String,
}

/// # Panics
/// If the Dockerfile has no such stage.
#[track_caller]
pub fn stage(dockerfile: &str, name: &str, arch: Arch) -> Stage {
    let head = format!(" AS {arch}-{name}\n");
    let stage = dockerfile.split(&head).nth(1).and_then(|rest| rest.split("\nFROM ").next());
    let stage = stage.unwrap_or_else(|| panic!("no stage for {name}, {arch}: {dockerfile}"));
    let mut instructions = stage.split_inclusive('\n').collect::<String>().replace("\\\n", "");
    let script = instructions.split_off(instructions.find("RUN ").unwrap_or(instructions.len()));
    let words: Vec<_> = instructions.split_whitespace().collect();
    let [.., url, download] = words[..] else { panic!("no ADD: {instructions}") };
    let sha256 = words.iter().find_map(|word| word.strip_prefix("--checksum=sha256:")).expect("a checksum");
    Stage {
        url: unescaped(url),
        sha256: sha256.to_owned(),
        download: download.to_owned(),
        script: script.trim_start_matches("RUN ").lines().next().unwrap_or_default().to_owned(),
    }
}

/// A word of `ADD` as BuildKit resolves it.
fn unescaped(word: &str) -> String {
    let mut plain = String::new();
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        assert!(!matches!(c, '$' | '\'' | '"'), "{word}");
        plain.push(if c == '\\' { chars.next().expect("a character") } else { c });
    }
    plain
}

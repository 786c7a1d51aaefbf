//! Measures how much of the text in this repository reads as translated.
//!
//! [`passages`] finds the prose: comments, doc comments, names of tests, messages and Markdown. [`tells`] finds
//! the constructions in it that plain technical English does without. Each rule was chosen because its
//! construction was frequent here and is rare elsewhere: all rules together find 2.3 per 10,000 words in the
//! sources of clap, hyper, indicatif, minijinja, reqwest, rustls, similar, tar and tokio (369,000 words).
//! `docs/STYLE.md` shows what to write instead.

pub mod passages;
pub mod tells;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// A construction that reads as translated.
pub struct Hit {
    pub file: String,
    pub line: usize,
    pub rule: &'static str,
    pub excerpt: String,
}

/// Words and hits of one folder.
#[derive(Default)]
pub struct Measure {
    pub words: usize,
    pub hits: Vec<Hit>,
}

impl Measure {
    pub fn per_10_000(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 words")]
        let (hits, words) = (self.hits.len() as f64, self.words.max(1) as f64);
        hits * 10_000.0 / words
    }

    fn add(&mut self, other: Self) {
        self.words += other.words;
        self.hits.extend(other.hits);
    }
}

/// The measure of one file's text. `name` is its path in the repository.
pub fn of_text(name: &str, text: &str) -> Measure {
    let mut measure = Measure::default();
    for passage in passages::of(name, text) {
        let words = tells::words(&passage.text, passage.heading);
        measure.words += words.len();
        for (word, rule) in tells::tells(&words) {
            let line = passage.line_of(word.start);
            let excerpt = excerpt(&passage.text, word.start);
            measure.hits.push(Hit { file: name.to_owned(), line, rule, excerpt });
        }
    }
    measure
}

fn excerpt(text: &str, at: usize) -> String {
    let start = text[..at].char_indices().rev().take(30).last().map_or(at, |(start, _)| start);
    let part: String = text[start..].chars().take(90).collect();
    part.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every folder with its measure. A folder is two levels deep at most: `src/gcloud`, `docs`.
pub fn of_repository(root: &Path) -> BTreeMap<String, Measure> {
    let mut folders: BTreeMap<String, Measure> = BTreeMap::new();
    for (name, text) in passages::files(root) {
        let mut parts: Vec<_> = name.split('/').collect();
        parts.pop();
        parts.truncate(2);
        let folder = if parts.is_empty() { ".".to_owned() } else { parts.join("/") };
        folders.entry(folder).or_default().add(of_text(&name, &text));
    }
    folders
}

/// A table of the folders, then the hits in files whose path starts with `listed`.
pub fn report(folders: &BTreeMap<String, Measure>, listed: Option<&str>) -> String {
    let mut text = String::new();
    for (folder, measure) in folders {
        let (hits, words, rate) = (measure.hits.len(), measure.words, measure.per_10_000());
        let _ = writeln!(text, "{folder:24} {words:7} words {hits:5} hits {rate:7.1} per 10,000");
    }
    let (words, hits) = folders
        .values()
        .fold((0, 0), |(words, hits), measure| (words + measure.words, hits + measure.hits.len()));
    let _ = writeln!(text, "{:24} {words:7} words {hits:5} hits {:7.1} per 10,000", "all", total(folders));
    if let Some(listed) = listed {
        for hit in
            folders.values().flat_map(|measure| &measure.hits).filter(|hit| hit.file.starts_with(listed))
        {
            let _ = writeln!(text, "{}:{}: {}: {}", hit.file, hit.line, hit.rule, hit.excerpt);
        }
    }
    text
}

/// Hits per 10,000 words of all folders.
pub fn total(folders: &BTreeMap<String, Measure>) -> f64 {
    let mut all = Measure::default();
    for measure in folders.values() {
        all.words += measure.words;
        all.hits.extend(measure.hits.iter().map(|hit| Hit {
            file: hit.file.clone(),
            line: hit.line,
            rule: hit.rule,
            excerpt: String::new(),
        }));
    }
    all.per_10_000()
}

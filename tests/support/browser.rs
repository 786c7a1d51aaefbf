//! The Control UI in Debian's Chromium, which `browser/drive.mjs` uses as a person does.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::Question;
use super::namespace::Namespace;
use super::{Said, testbed};

const CHROMIUM: &str = "/usr/bin/chromium";

/// Bounds each step of a visit. Emulated machines take minutes for what takes a second otherwise.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// One use of the Control UI, with a fresh profile.
#[derive(Clone, Debug, Serialize)]
pub struct Visit {
    /// Of the visit, and of its screenshot.
    pub name: String,
    page: String,
    gateway: String,
    token: String,
    question: Option<String>,
    answer: Option<String>,
}

/// What came of a visit.
#[derive(Debug, Deserialize)]
pub struct Seen {
    pub name: String,
    /// The message on the page that contains the answer.
    pub reply: Option<String>,
    /// The gateway's code for why it refuses, and what the page says.
    pub refusal: Option<String>,
    pub shown: Option<String>,
}

#[derive(Serialize)]
struct Plan<'a> {
    chromium: &'a str,
    playwright: PathBuf,
    screenshots: &'a Path,
    patience: u128,
    visits: &'a [Visit],
}

impl Visit {
    /// Opens the page at `authority` (`localhost:8080`), logs in with the token, asks and waits for the answer.
    pub fn asking(name: &str, authority: &str, token: &str, question: Question) -> Self {
        let (question, answer) = (Some(question.text()), Some(question.answer()));
        Self { question, answer, ..Self::refused(name, authority, authority, token) }
    }

    /// Opens the page at one authority, tries to log in to the gateway at another, and waits to be refused.
    pub fn refused(name: &str, page: &str, gateway: &str, token: &str) -> Self {
        Self {
            name: name.to_owned(),
            page: format!("http://{page}/"),
            gateway: format!("ws://{gateway}"),
            token: token.to_owned(),
            question: None,
            answer: None,
        }
    }
}

/// Makes the visits from within a namespace, in one run of the browser.
///
/// # Panics
/// If one of them neither gets its answer nor is refused. The screenshots are kept.
#[track_caller]
pub fn visit(namespace: &Namespace, screenshots: &Path, visits: &[Visit]) -> Vec<Seen> {
    if !Path::new(CHROMIUM).exists() {
        testbed::missing("chromium");
    }
    let playwright = testbed::folder().join("browser/node_modules/playwright-core");
    if !playwright.exists() {
        testbed::missing("playwright-core");
    }
    let plan = Plan { chromium: CHROMIUM, playwright, screenshots, patience: PATIENCE.as_millis(), visits };
    let plan = serde_json::to_string(&plan).expect("JSON");
    let mut node = namespace.command("node");
    node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/browser/drive.mjs"));
    let mut child = node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("node");
    child.stdin.take().expect("a pipe").write_all(plan.as_bytes()).expect("a reader");
    let output = child.wait_with_output().expect("node");
    let said = Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    let seen = said.done().out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<Seen>>();
    assert_eq!(seen.len(), visits.len());
    seen
}

/// Holds that a visit got its answer.
#[track_caller]
pub fn assert_answered(seen: &Seen, question: Question) {
    let reply = seen.reply.as_deref().unwrap_or_default();
    assert!(reply.contains(&question.answer()), "{seen:?}");
}

/// Holds that a visit was refused for this reason, and that the page says so.
#[track_caller]
pub fn assert_refused(seen: &Seen, code: &str, message: &str) {
    assert_eq!(seen.refusal.as_deref(), Some(code), "{seen:?}");
    assert!(seen.shown.as_deref().unwrap_or_default().contains(message), "{seen:?}");
}

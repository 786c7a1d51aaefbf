//! Drives the Control UI in Debian's Chromium through `browser/drive.mjs`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::Question;
use super::namespace::Namespace;
use super::{Said, testbed};

const CHROMIUM: &str = "/usr/bin/chromium";

/// The time limit of each step. Emulated machines take minutes for steps of a second.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// One use of the Control UI.
#[derive(Clone, Debug, Default, Serialize)]
struct Visit {
    /// Also the name of the screenshot.
    name: String,
    /// The folder of the browser's profile; a fresh one without it.
    profile: Option<PathBuf>,
    /// An earlier answer in the conversation.
    earlier: Option<String>,
    /// An answer that the conversation must not have.
    undone: Option<String>,
    page: String,
    gateway: String,
    token: String,
    question: Option<String>,
    answer: Option<String>,
}

/// The outcome of a visit.
#[derive(Debug, Deserialize)]
struct Seen {
    /// The message on the page that contains the answer.
    reply: Option<String>,
    /// The gateway's code for why it refuses, and what the page says.
    refusal: Option<String>,
    shown: Option<String>,
}

#[derive(Serialize)]
struct Plan<'a> {
    chromium: &'a str,
    playwright: PathBuf,
    screenshots: &'a Path,
    patience: u128,
    visits: &'a [Visit],
}

/// Skips the running test if there is no browser.
pub fn require() {
    testbed::program("node");
    if !Path::new(CHROMIUM).exists() {
        testbed::missing("chromium");
    }
    if !playwright().exists() {
        testbed::missing("playwright-core");
    }
}

fn playwright() -> PathBuf {
    testbed::folder().join("browser/node_modules/playwright-core")
}

/// Logs in to the Control UI at each of `own` with the gateway's token, asks a question and expects the model's
/// answer. Before that, the gateway must refuse a wrong token at the first of `own`, and the right token on a page at
/// each of `foreign`. Authorities look like `localhost:8080`. Returns the number of answers.
///
/// # Panics
/// If any visit ends differently. The screenshots in `screenshots` are kept.
#[track_caller]
pub fn prove(
    namespace: &Namespace,
    screenshots: &Path,
    token: &str,
    own: &[String],
    foreign: &[String],
) -> usize {
    let questions: Vec<_> =
        (0..).zip(own).map(|(index, _)| Question(7919 + index, u64::from(std::process::id()))).collect();
    let mut visits = vec![Visit::refused("wrong-token", &own[0], &own[0], "not-the-token")];
    visits.extend(foreign.iter().map(|page| Visit::refused("foreign", page, &own[0], token)));
    visits.extend(
        own.iter().zip(&questions).map(|(page, question)| Visit::asking("answer", page, token, *question)),
    );
    let seen = visit(namespace, screenshots, &visits);
    let (refused, answered) = seen.split_at(1 + foreign.len());
    assert_refused(&refused[0], "AUTH_TOKEN_MISMATCH", "rejected the supplied Gateway secret");
    for seen in &refused[1..] {
        assert_refused(seen, "CONTROL_UI_ORIGIN_NOT_ALLOWED", "origin not allowed");
    }
    for (seen, question) in answered.iter().zip(&questions) {
        assert!(seen.reply.as_deref().unwrap_or_default().contains(&question.answer()), "{seen:?}");
    }
    answered.len()
}

/// Logs in on the page at `own`, asks a question and waits for the model's answer.
///
/// # Panics
/// If the answer does not appear. The screenshot in `screenshots` is kept.
#[track_caller]
pub fn converse(namespace: &Namespace, screenshots: &Path, token: &str, own: &str) {
    let question = Question(4003, u64::from(std::process::id()));
    let seen = visit(namespace, screenshots, &[Visit::asking("answer", own, token, question)]);
    assert!(seen[0].reply.as_deref().unwrap_or_default().contains(&question.answer()), "{seen:?}");
}

/// A browser that keeps its profile.
pub struct Visitor<'a> {
    pub namespace: &'a Namespace,
    /// The screenshots are kept.
    pub screenshots: PathBuf,
    pub profile: PathBuf,
    pub page: String,
}

impl Visitor<'_> {
    /// Logs in with the token, asks, and waits for the answer.
    ///
    /// # Panics
    /// If the answer does not appear.
    #[track_caller]
    pub fn log_in(&self, token: &str, question: Question) {
        self.visit(Visit::asking("first", &self.page, token, question));
    }

    /// Opens the page again, which has to log in by itself and show the answer to `earlier`, but not the one to
    /// `undone`. Asks, and waits for the answer.
    ///
    /// # Panics
    /// If the page shows other answers.
    #[track_caller]
    pub fn continue_after(&self, earlier: Question, question: Question, undone: Option<Question>) {
        let link = Visit::link(&format!("http://{}/", self.page), question);
        let undone = undone.map(Question::answer);
        self.visit(Visit { name: question.answer(), earlier: Some(earlier.answer()), undone, ..link });
    }

    #[track_caller]
    fn visit(&self, visit: Visit) {
        let answer = visit.answer.clone().expect("a question");
        let visit_with_profile = Visit { profile: Some(self.profile.clone()), ..visit };
        let seen = self::visit(self.namespace, &self.screenshots, &[visit_with_profile]);
        assert!(seen[0].reply.as_deref().unwrap_or_default().contains(&answer), "{seen:?}");
    }
}

/// Opens a link that needs no token, asks a question and waits for the model's answer.
///
/// # Panics
/// If the answer does not appear. The screenshot in `screenshots` is kept.
#[track_caller]
pub fn prove_link(namespace: &Namespace, screenshots: &Path, link: &str) {
    let question = Question(6007, u64::from(std::process::id()));
    let seen = visit(namespace, screenshots, &[Visit::link(link, question)]);
    assert!(seen[0].reply.as_deref().unwrap_or_default().contains(&question.answer()), "{seen:?}");
}

#[track_caller]
fn assert_refused(seen: &Seen, code: &str, message: &str) {
    assert_eq!(seen.refusal.as_deref(), Some(code), "{seen:?}");
    assert!(seen.shown.as_deref().unwrap_or_default().contains(message), "{seen:?}");
}

impl Visit {
    /// Opens the page, logs in with the token, asks, and waits for the answer.
    fn asking(what: &str, page: &str, token: &str, question: Question) -> Self {
        let (question, answer) = (Some(question.text()), Some(question.answer()));
        Self { question, answer, ..Self::refused(what, page, page, token) }
    }

    /// Opens a link that needs no token, asks, and waits for the answer.
    fn link(link: &str, question: Question) -> Self {
        Self {
            name: "link".to_owned(),
            page: link.to_owned(),
            question: Some(question.text()),
            answer: Some(question.answer()),
            ..Self::default()
        }
    }

    /// Opens a page, tries to log in to the gateway at `gateway`, and waits to be refused.
    fn refused(what: &str, page: &str, gateway: &str, token: &str) -> Self {
        Self {
            name: format!("{what}-{}", page.replace(':', "-")),
            page: format!("http://{page}/"),
            gateway: format!("ws://{gateway}"),
            token: token.to_owned(),
            ..Self::default()
        }
    }
}

/// Makes all visits in one browser process inside the namespace.
///
/// # Panics
/// If a visit fails. The screenshots are kept.
#[track_caller]
fn visit(namespace: &Namespace, screenshots: &Path, visits: &[Visit]) -> Vec<Seen> {
    let plan = Plan {
        chromium: CHROMIUM,
        playwright: playwright(),
        screenshots,
        patience: PATIENCE.as_millis(),
        visits,
    };
    let plan = serde_json::to_string(&plan).expect("JSON");
    let mut node = namespace.command("node");
    node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/browser/drive.mjs"));
    let mut child =
        node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("node");
    child.stdin.take().expect("a pipe").write_all(plan.as_bytes()).expect("a reader");
    let output = child.wait_with_output().expect("node");
    let said = Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    let seen =
        said.done().out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<Seen>>();
    assert_eq!(seen.len(), visits.len());
    seen
}

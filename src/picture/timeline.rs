//! A boot as a timeline: a row for each stage, with its time and its share.

use super::svg::{Anchor, Svg};

const MARGIN: u64 = 24;
const LABELS: u64 = 110;
const BARS: u64 = 560;
const VALUES: u64 = 120;
const ROW: u64 = 28;
const HEADING: u64 = 40;
const AXIS: u64 = 34;
/// Characters of a name.
const LONGEST: usize = 60;
const LONGEST_STAGE: usize = 14;
/// Seconds between two marks of the axis: the first that gives at most [`MARKS`] of them.
const STEPS: [u64; 12] = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600];
const MARKS: u64 = 8;

/// One VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    pub name: String,
    /// In order of time; one stage can come more than once.
    pub spans: Vec<StageSpan>,
    pub outcome: String,
}

/// A stage, in seconds from the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageSpan {
    pub stage: String,
    pub from: u64,
    pub to: u64,
}

impl Lane {
    /// A VM that is in this state at the end of its last span.
    pub fn new(name: &str, spans: Vec<StageSpan>, state: &str) -> Self {
        let lane = Self { name: name.to_owned(), spans, outcome: String::new() };
        let outcome = format!("{state} after {}", duration(lane.end()));
        Self { outcome, ..lane }
    }

    /// Each stage once, by its first appearance.
    fn stages(&self) -> Vec<&str> {
        let mut stages: Vec<&str> = Vec::new();
        for span in &self.spans {
            if !stages.contains(&span.stage.as_str()) {
                stages.push(&span.stage);
            }
        }
        stages
    }

    fn seconds(&self, stage: &str) -> u64 {
        self.spans.iter().filter(|span| span.stage == stage).map(|span| span.to - span.from).sum()
    }

    fn end(&self) -> u64 {
        self.spans.iter().map(|span| span.to).max().unwrap_or(0)
    }
}

/// An SVG of these VMs, below each other, on one scale.
pub fn timeline(title: &str, lanes: &[Lane]) -> String {
    let end = lanes.iter().map(Lane::end).max().unwrap_or(0).max(1);
    let rows: u64 = lanes.iter().map(|lane| lane.stages().len() as u64).sum();
    let height = MARGIN + HEADING * lanes.len() as u64 + rows * ROW + AXIS + MARGIN;
    let (width, left) = (2 * MARGIN + LABELS + BARS + VALUES, MARGIN + LABELS);
    let at = |seconds: u64| left + seconds * BARS / end;
    let mut svg = Svg::new(width, height, title);
    let step = STEPS.into_iter().find(|step| end / step <= MARKS).unwrap_or_else(|| end.div_ceil(MARKS));
    let bottom = height - MARGIN - AXIS + 6;
    for mark in (0..=end / step).map(|number| number * step) {
        svg.vertical(at(mark), [MARGIN + HEADING - 6, bottom]);
        svg.text("bake-note", [at(mark), bottom + 16], Anchor::Middle, LONGEST, &duration(mark));
    }
    let mut y = MARGIN;
    for lane in lanes {
        svg.text("bake-text bake-strong", [MARGIN, y + 16], Anchor::Start, LONGEST, &lane.name);
        svg.text("bake-note", [width - MARGIN, y + 16], Anchor::End, LONGEST, &lane.outcome);
        y += HEADING;
        for stage in lane.stages() {
            let class = if stage == "failed" { "bake-failed" } else { "bake-bar" };
            svg.text("bake-text", [left - 10, y + 15], Anchor::End, LONGEST_STAGE, stage);
            for span in lane.spans.iter().filter(|span| span.stage == stage) {
                let (from, to) = (at(span.from), at(span.to));
                let tooltip = format!("{stage}: {} to {}", duration(span.from), duration(span.to));
                // A stage between two looks is as long as a hair.
                svg.rect(class, [from, y, (to - from).max(2), ROW - 8], &tooltip);
            }
            let seconds = lane.seconds(stage);
            let whole = lane.end().max(1);
            let share = format!("{}, {} %", duration(seconds), (seconds * 100 + whole / 2) / whole);
            svg.text("bake-note", [width - MARGIN, y + 15], Anchor::End, LONGEST, &share);
            y += ROW;
        }
    }
    svg.finish()
}

fn duration(seconds: u64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// The text is not the output of `bake gcloud wait`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LogError {
    #[error("line {0}: expected `SECONDS s  VM  STAGE`, as `bake gcloud wait` prints it")]
    Line(usize),
    #[error("there is no stage in it")]
    Empty,
}

/// The stages in the output of `bake gcloud wait`.
///
/// # Errors
/// A line has another form, or there is none.
pub fn read_log(text: &str) -> Result<Vec<Lane>, LogError> {
    let mut lanes: Vec<Lane> = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = LogError::Line(number);
        let Some((seconds, rest)) = line.trim_start().split_once(" s  ") else { return Err(wrong) };
        let (Ok(seconds), Some((vm, rest))) = (seconds.parse::<u64>(), rest.split_once("  ")) else {
            return Err(wrong);
        };
        // `STAGE: reason`; a reason alone does not begin another stage.
        let stage = rest.split(':').next().unwrap_or_default().trim();
        let stage = if stage.starts_with("no report yet") { "boot" } else { stage };
        let index = lanes.iter().position(|lane| lane.name == vm).unwrap_or_else(|| {
            lanes.push(Lane { name: vm.to_owned(), spans: Vec::new(), outcome: String::new() });
            lanes.len() - 1
        });
        let lane = &mut lanes[index];
        let begin = lane.end().max(seconds);
        if let Some(last) = lane.spans.last_mut() {
            last.to = begin;
        }
        let repeats = lane.spans.last().is_some_and(|last| last.stage == stage);
        stage.clone_into(&mut lane.outcome);
        if !repeats && stage != "ready" {
            lane.spans.push(StageSpan { stage: stage.to_owned(), from: begin, to: begin });
        }
    }
    if lanes.is_empty() {
        return Err(LogError::Empty);
    }
    Ok(lanes.into_iter().map(|lane| Lane::new(&lane.name, lane.spans, &lane.outcome)).collect())
}

#[cfg(test)]
mod tests {
    use super::{Lane, LogError, StageSpan, read_log, timeline};

    fn span(stage: &str, from: u64, to: u64) -> StageSpan {
        StageSpan { stage: stage.to_owned(), from, to }
    }

    const LOG: &str = "    0 s  a  no report yet; the VM is STAGING\n   40 s  a  starting\n   60 s  a  starting: docker: no network\n   90 s  a  image\n  190 s  a  ready\n  190 s  b  failed: out of memory\n";

    #[test]
    fn the_log_of_a_wait_is_read() {
        let lanes = read_log(LOG).expect("lanes");
        assert_eq!(lanes[0].spans, [span("boot", 0, 40), span("starting", 40, 90), span("image", 90, 190)]);
        assert_eq!(lanes[0].outcome, "ready after 3 min 10 s");
        assert_eq!((lanes[1].name.as_str(), lanes[1].spans.len()), ("b", 1));
        assert_eq!(read_log("   10 s  a  image\nnonsense\n"), Err(LogError::Line(2)));
        assert_eq!(read_log("\n"), Err(LogError::Empty));
    }

    #[test]
    fn each_stage_has_its_time_and_share() {
        let lanes = read_log(LOG).expect("lanes");
        let svg = timeline("A boot", &lanes[..1]);
        for part in [
            "<title>A boot</title>",
            ">40 s, 21 %<",
            ">50 s, 26 %<",
            ">1 min 40 s, 53 %<",
            "prefers-color-scheme: dark",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        // 560 pixels for 190 seconds.
        assert!(svg.contains("x=\"134\" y=\"64\" width=\"117\""), "{svg}");
        assert!(svg.contains("x=\"399\" y=\"120\" width=\"295\""), "{svg}");
    }

    #[test]
    fn no_text_of_a_vm_becomes_markup() {
        let lane = Lane {
            name: "</text><script>".to_owned(),
            spans: vec![span("\"<b>&\u{1b}[2J", 0, 0)],
            outcome: "<i>".to_owned(),
        };
        let svg = timeline("<x>", &[lane]);
        for markup in ["<script>", "<b>", "<i>", "<x>", "\u{1b}"] {
            assert!(!svg.contains(markup), "{markup}: {svg}");
        }
    }
}

//! Extracts the relevant lines of the serial log.

use crate::text::is_hidden;

/// Maximum number of lines.
const MOST: usize = 20;
/// The last lines are always included.
const LAST: usize = 5;
/// Lower-case markers of failures, from systemd, the kernel, cloud-init and our units.
const MARKS: [&str; 9] =
    ["openclaw:", "error", "fail", "panic", "out of memory", "cannot", "could not", "unable to", "traceback"];

/// Fails harmlessly in every VM without vsock, at each reload of systemd.
const IDLE: &str = "systemd-ssh-generator";

/// The lines of `log` most likely to explain a failure, in order, without control sequences.
pub fn decisive(log: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(log);
    let lines: Vec<_> = text.lines().map(plain).filter(|line| !line.is_empty()).collect();
    let end = lines.len().saturating_sub(LAST);
    let says = |line: &String| {
        let line = line.to_lowercase();
        MARKS.iter().any(|mark| line.contains(mark)) && !line.contains(IDLE)
    };
    let mut kept: Vec<_> = lines[..end].iter().filter(|line| says(line)).cloned().collect();
    kept.dedup();
    kept.drain(..kept.len().saturating_sub(MOST - LAST));
    kept.extend_from_slice(&lines[end..]);
    kept
}

/// Removes control sequences (ECMA-48, 5.4) and hidden characters.
pub(super) fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                if characters.next() == Some('[') {
                    characters.by_ref().find(|c| ('@'..='~').contains(c));
                }
            }
            character if is_hidden(character) => {}
            character => text.push(character),
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::decisive;

    #[test]
    fn failures_and_the_end_of_the_log_are_quoted() {
        let quiet: String = (0..100).map(|number| format!("[  {number}.0] of no interest\r\n")).collect();
        let idle = "[ 5.1] systemd-ssh-generator[236]: Failed to query local AF_VSOCK CID\r\n";
        let failed = "\u{1b}[0;1;31m[FAILED]\u{1b}[0m Failed to start docker.service\r\n";
        let end: String = (0..5).map(|number| format!("[ OK ] unit {number}\r\n")).collect();
        let log = [quiet.as_str(), idle, failed, &end].concat();
        let quoted = decisive(log.as_bytes());
        assert_eq!(quoted.len(), 6);
        assert_eq!(quoted[0], "[FAILED] Failed to start docker.service");
        assert_eq!(quoted[5], "[ OK ] unit 4");
    }

    #[test]
    fn a_log_full_of_errors_is_reduced_to_its_end() {
        let log: String = (0..1000).map(|number| format!("error {number}\n")).collect();
        let quoted = decisive(log.as_bytes());
        assert_eq!(quoted.len(), 20);
        assert_eq!(quoted[0], "error 980");
        assert!(decisive(b"\xff\x1b[").len() == 1 && decisive(b"").is_empty());
    }
}

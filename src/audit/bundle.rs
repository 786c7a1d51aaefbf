//! Compares the bundle on disk with a fresh render.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::report::{Against, Check};
use crate::diagnostics::{Code, Location, Source, Span};
use crate::digest::Sha256;

/// Files by name.
pub type BundleFiles<'a> = BTreeMap<&'a str, &'a [u8]>;

/// Compares each file of `rendered` with the one of the same name in `existing`. `folder` is the path of the
/// latter, as the user would type it.
///
/// `existing` only has the names of a bundle; other files in the folder are the user's own. A file that is not
/// rendered is left over from an older bundle.
pub fn check(folder: &str, rendered: &BundleFiles<'_>, existing: &BundleFiles<'_>) -> Vec<Check> {
    let left_behind = existing.iter().filter(|(name, _)| !rendered.contains_key(**name));
    rendered
        .iter()
        .map(|(name, wanted)| held(folder, name, wanted, existing.get(name).copied()))
        .chain(left_behind.map(|(name, found)| {
            differs(name, "an older bundle left this file behind").at(place(folder, name, found, 0))
        }))
        .collect()
}

fn held(folder: &str, name: &str, wanted: &[u8], found: Option<&[u8]>) -> Check {
    match found {
        None => differs(name, "the file is not there"),
        Some(found) if found == wanted => Check::clean(Against::Bundle, name),
        Some(found) => {
            let line = first_difference(wanted, found);
            differs(name, &format!("line {} is not as it is rendered", line + 1))
                .at(place(folder, name, found, line))
                .difference(&Sha256::of(wanted), &Sha256::of(found))
        }
    }
}

fn differs(name: &str, message: &str) -> Check {
    Check::finding(Against::Bundle, name, Code::BundleDiffers, message)
        .help("see the differences with `bake render --diff`; `bake render` rewrites it")
}

/// The number of lines at the start that are equal. If one text is the beginning of the other, this is the line
/// after its last one, or its last one without a line break.
fn first_difference(wanted: &[u8], found: &[u8]) -> usize {
    let lines = |bytes| <[u8]>::split_inclusive(bytes, |byte| *byte == b'\n');
    lines(wanted).zip(lines(found)).take_while(|(wanted, found)| wanted == found).count()
}

/// A line, counted from 0, of a file of the bundle; the last one where there are fewer. None in
/// what is not text.
fn place(folder: &str, name: &str, content: &[u8], line: usize) -> Option<Location> {
    let text = std::str::from_utf8(content).ok()?;
    let lines = || text.split_inclusive('\n');
    let line = line.min(lines().count().saturating_sub(1));
    let start: usize = lines().take(line).map(str::len).sum();
    let length = lines().nth(line).map_or(0, |line| line.trim_end().len());
    let span: Span = start..start + length;
    let folder = folder.trim_end_matches('/');
    Some(Location { source: Arc::new(Source::new(format!("{folder}/{name}"), text)), span })
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;

    fn files<'a>(files: &[(&'a str, &'a str)]) -> BundleFiles<'a> {
        files.iter().map(|(name, text)| (*name, text.as_bytes())).collect()
    }

    /// Subject, verdict, message and `line:column` of each check.
    fn told(rendered: &[(&str, &str)], existing: &[(&str, &str)]) -> Vec<String> {
        check("out/", &files(rendered), &files(existing))
            .iter()
            .map(|check| {
                let place = check.place.as_ref().map(|place| {
                    let (line, column) = place.line_column();
                    let marked = &place.source.text()[place.span.clone()];
                    format!(" {}:{line}:{column} {marked:?}", place.source.name())
                });
                let place = place.unwrap_or_default();
                format!("{} {:?} {}{place}", check.subject, check.verdict, check.message)
            })
            .collect()
    }

    #[test]
    fn each_file_is_held_byte_for_byte() {
        let rendered = [("Dockerfile", "FROM x\nRUN ä\nUSER n\n"), ("SHA256SUMS", "1\n")];
        assert_eq!(told(&rendered, &rendered), ["Dockerfile Clean ", "SHA256SUMS Clean "]);
        for (found, expected) in [
            ("FROM x\nRUN ö\nUSER n\n", "line 2 is not as it is rendered out/Dockerfile:2:1 \"RUN ö\""),
            ("FROM x\r\nRUN ä\nUSER n\n", "line 1 is not as it is rendered out/Dockerfile:1:1 \"FROM x\""),
            ("FROM x\nRUN ä\nUSER n", "line 3 is not as it is rendered out/Dockerfile:3:1 \"USER n\""),
            (
                "FROM x\nRUN ä\nUSER n\nRUN y\n",
                "line 4 is not as it is rendered out/Dockerfile:4:1 \"RUN y\"",
            ),
            ("FROM x\nRUN ä\n", "line 3 is not as it is rendered out/Dockerfile:2:1 \"RUN ä\""),
            ("", "line 1 is not as it is rendered out/Dockerfile:1:1 \"\""),
        ] {
            let told = told(&rendered, &[("Dockerfile", found), rendered[1]]);
            assert_eq!(told[0], format!("Dockerfile Finding {expected}"));
        }
    }

    #[test]
    fn missing_and_left_over_files_are_found() {
        let rendered = [("Dockerfile", "FROM x\n")];
        let told = told(&rendered, &[("startup-script.sh", "#!/bin/sh\n")]);
        assert_eq!(
            told,
            [
                "Dockerfile Finding the file is not there",
                "startup-script.sh Finding an older bundle left this file behind \
                 out/startup-script.sh:1:1 \"#!/bin/sh\"",
            ]
        );
    }

    #[test]
    fn binary_files_are_found_without_a_place() {
        let (rendered, existing) =
            (files(&[("user-data.yaml", "x\n")]), [("user-data.yaml", &b"\xff\n"[..])]);
        let checks = check("out", &rendered, &existing.into_iter().collect());
        assert!(checks[0].verdict == Verdict::Finding && checks[0].place.is_none());
    }
}

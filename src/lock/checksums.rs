//! Checksum files of publishers, in the forms that `sha256sum`, `shasum`, BSD's `sha256` and people write.

use crate::digest::Sha256;

/// Endings of a file with the checksum of one other file, after that one's name.
const OWN: [&str; 3] = [".sha256", ".sha256sum", ".sha256.txt"];

/// Whether a file of this name holds SHA-256 checksums of several files: `checksums.txt`,
/// `tool_1.2.3_checksums.txt`, `SHA256SUMS`.
pub fn is_list(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let signed = [".sig", ".asc", ".pem", ".minisig", ".sigstore", ".json", ".jsonl", ".bundle", ".crt"];
    if signed.iter().any(|ending| name.ends_with(ending)) {
        return false;
    }
    let other = ["sha512", "sha1", "sha384", "sha3", "md5", "blake", "b2sum", "b3sum"];
    if other.iter().any(|word| name.contains(word)) {
        return false;
    }
    ["checksum", "sha256sum", "shasum", "sha256.sum", "sha256.txt"].iter().any(|word| name.contains(word))
}

/// The asset whose checksum alone a file of this name would have.
pub fn owner_of(name: &str) -> Option<&str> {
    OWN.iter().find_map(|ending| name.strip_suffix(ending))
}

/// The result of a search in a checksum file.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// Its checksum.
    States(Sha256),
    /// Two lines about it that do not agree.
    Contradicts(Sha256, Sha256),
    /// A checksum, under another name: only a file that is about one file alone says that.
    OfAnother(Sha256, String),
    /// Nothing.
    Nothing,
}

/// Finds the checksum of `asset` in the list `text`.
pub fn of_list(text: &str, asset: &str) -> Said {
    let own = lines(text).filter(|line| line.name.is_some_and(|name| is_named(name, asset)));
    agree(own.map(|line| line.digest))
}

/// Finds the checksum in `text`, a file about `asset` alone: one checksum, with or without the name.
pub fn of_own(text: &str, asset: &str) -> Said {
    let stated = of_list(text, asset);
    if stated != Said::Nothing {
        return stated;
    }
    if let Some(other) = lines(text).find_map(|line| Some((line.digest, line.name?))) {
        return Said::OfAnother(other.0, other.1.to_owned());
    }
    agree(lines(text).map(|line| line.digest))
}

fn agree(digests: impl Iterator<Item = Sha256>) -> Said {
    let mut stated = None;
    for digest in digests {
        match stated {
            Some(first) if first != digest => return Said::Contradicts(first, digest),
            _ => stated = Some(digest),
        }
    }
    stated.map_or(Said::Nothing, Said::States)
}

struct Line<'a> {
    digest: Sha256,
    name: Option<&'a str>,
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.trim_start_matches('\u{FEFF}')
        .lines()
        .filter_map(|line| gnu(line.trim()).or_else(|| bsd(line.trim())))
}

/// `HEX  NAME`, `HEX *NAME`, `HEX` (coreutils, "md5sum invocation"); `HEX  -`, where it was read from
/// standard input and has no name.
fn gnu(line: &str) -> Option<Line<'_>> {
    let (hex, rest) = line.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((line, ""));
    let name = rest.trim_start();
    let name = name.strip_prefix('*').unwrap_or(name);
    Some(Line { digest: digest(hex)?, name: (!matches!(name, "" | "-")).then_some(name) })
}

/// `SHA256 (NAME) = HEX`.
fn bsd(line: &str) -> Option<Line<'_>> {
    let (head, hex) = line.rsplit_once('=')?;
    let (kind, name) = head.trim_end().split_once('(')?;
    let is_sha256 = ["sha256", "sha2-256"].contains(&kind.trim().to_ascii_lowercase().as_str());
    is_sha256.then_some(())?;
    Some(Line { digest: digest(hex.trim())?, name: Some(name.strip_suffix(')')?) })
}

fn digest(hex: &str) -> Option<Sha256> {
    hex.to_ascii_lowercase().parse().ok()
}

/// By the last part of the path: publishers list `./dist/NAME` as their build made it.
fn is_named(listed: &str, asset: &str) -> bool {
    listed.rsplit(['/', '\\']).next() == Some(asset)
}

#[cfg(test)]
mod tests {
    use super::{Said, is_list, of_list, of_own};
    use crate::digest::Sha256;

    fn hex(of: &str) -> String {
        Sha256::of(of).to_string()
    }

    #[test]
    fn every_usual_form_is_read() {
        let (right, other) = (hex("right"), hex("other"));
        for text in [
            format!("{other}  b.tar.gz\n{right}  a.tar.gz\n"),
            format!("{right} *a.tar.gz\r\n{other} *b.tar.gz\r\n"),
            format!("{}  ./dist/a.tar.gz", right.to_uppercase()),
            format!("SHA256 (a.tar.gz) = {right}\nSHA512 (a.tar.gz) = {right}{right}\n"),
            format!("\u{FEFF}# made by hand\n\n{right}\ta.tar.gz\n"),
        ] {
            assert_eq!(of_list(&text, "a.tar.gz"), Said::States(Sha256::of("right")), "{text}");
            assert_eq!(of_list(&text, "c.tar.gz"), Said::Nothing, "{text}");
            assert_eq!(of_list(&text, "tar.gz"), Said::Nothing, "{text}");
        }
        let twice = format!("{right}  a\n{other}  a\n");
        assert_eq!(of_list(&twice, "a"), Said::Contradicts(Sha256::of("right"), Sha256::of("other")));
        assert_eq!(of_list("<html>not found</html>", "a"), Said::Nothing);
    }

    #[test]
    fn a_file_about_one_file_need_not_name_it_but_may_not_name_another() {
        let right = hex("right");
        assert_eq!(of_own(&format!("{right}\n"), "a"), Said::States(Sha256::of("right")));
        assert_eq!(of_own(&format!("{right}  dist/a\n"), "a"), Said::States(Sha256::of("right")));
        assert_eq!(of_own(&format!("{right}  -\n"), "a"), Said::States(Sha256::of("right")));
        let another = Said::OfAnother(Sha256::of("right"), "b".to_owned());
        assert_eq!(of_own(&format!("{right}  b\n"), "a"), another);
        assert_eq!(of_own("", "a"), Said::Nothing);
    }

    #[test]
    fn lists_are_known_by_their_names() {
        for name in [
            "checksums.txt",
            "tool_1.2.3_checksums.txt",
            "SHA256SUMS",
            "SHASUMS256.txt",
            "sha256.txt",
            "sha256.sum",
        ] {
            assert!(is_list(name), "{name}");
        }
        for name in
            ["checksums.txt.sig", "SHA512SUMS", "checksums_md5.txt", "tool.tar.gz", "checksums.txt.pem"]
        {
            assert!(!is_list(name), "{name}");
        }
    }
}

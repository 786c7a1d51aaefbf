//! Checksum files of publishers, in the forms that `sha256sum`, `shasum`, BSD's `sha256` and people write.

use std::collections::BTreeMap;

use crate::digest::Checksum;

/// Algorithms whose checksums are compared, as names of files spell them.
const ALGORITHMS: [&str; 7] = ["md5", "sha1", "sha2-256", "sha2-512", "sha256", "sha384", "sha512"];

/// Endings of a file with the checksum of one other file, after that one's name.
const OWN: [&str; 3] = ["checksum", "digest", "sha"];

/// Endings of signatures and descriptions, which a list of checksums may have too.
const SIGNED: [&str; 10] =
    [".asc", ".bundle", ".crt", ".gpg", ".json", ".jsonl", ".minisig", ".pem", ".sig", ".sigstore"];

/// First letters of algorithms that are not computed.
const FOREIGN: [&str; 9] =
    ["b2sum", "b3sum", "blake", "ripemd", "rmd", "sha224", "sha3", "tiger", "whirlpool"];

/// Last words of the name of a list of checksums, besides the algorithms.
const LISTS: [&str; 5] = ["checksum", "checksums", "digests", "hashes", "shasums256"];

/// Endings of texts that may be lists of checksums under any name.
const TEXTS: [&str; 7] = [".list", ".lst", ".manifest", ".md", ".sum", ".sums", ".txt"];

/// Whether a file of this name holds checksums of several files: `checksums.txt`,
/// `tool_1.2.3_checksums.txt`, `SHA512SUMS`, `hashes.sha256`.
pub fn is_list(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if is_signed(&name) || is_unsupported(&name) {
        return false;
    }
    let stem = name.strip_suffix(".txt").unwrap_or(&name);
    let ends_with = |word: &str| {
        let before = stem.strip_suffix(word);
        before.is_some_and(|before| !before.ends_with(|c: char| c.is_ascii_alphanumeric()))
    };
    let is_of = |algorithm: &&str| {
        ["", "sum", "sums", "_sum", "_sums"].iter().any(|ending| ends_with(&format!("{algorithm}{ending}")))
            || ["sum", ".sum", ".txt"].iter().any(|ending| name.contains(&format!("{algorithm}{ending}")))
    };
    LISTS.iter().any(|word| ends_with(word))
        || ["checksum", "shasum"].iter().any(|word| name.contains(word))
        || ALGORITHMS.iter().any(is_of)
}

/// Whether a file of this name may be a list of checksums, which only its content shows.
pub fn is_text(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let ends = TEXTS.iter().any(|ending| name.ends_with(ending)) || !name.contains('.');
    ends && !is_unsupported(&name)
}

/// The name of the list that a file of this name is the clear-signed form of.
pub fn clear_signed(name: &str) -> Option<&str> {
    name.strip_suffix(".asc").filter(|list| is_list(list))
}

/// Whether a file of this name holds checksums by an algorithm that is not computed.
pub fn is_unsupported(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !is_signed(&name) && name.split(['.', '-', '_']).any(is_foreign)
}

/// Whether a word of the name is that of a checksum algorithm.
pub fn is_about_checksums(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let known = |word: &str| ALGORITHMS.iter().any(|algorithm| word.starts_with(algorithm));
    !is_signed(&name) && name.split(['.', '-', '_']).any(|word| known(word) || is_foreign(word))
}

fn is_foreign(word: &str) -> bool {
    matches!(word, "b2" | "b3")
        || FOREIGN.iter().any(|foreign| word.starts_with(foreign)) && !word.starts_with("sha384")
}

fn is_signed(name: &str) -> bool {
    SIGNED.iter().any(|ending| name.ends_with(ending))
}

/// The name, in lower case, of the file whose checksum alone a file of this name would have: `x.tar.gz`,
/// or `x` where the format is left out.
pub fn owner_of(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let (owner, ending) = name.strip_suffix(".txt").unwrap_or(&name).rsplit_once('.')?;
    let algorithm = ending.strip_suffix("sum").unwrap_or(ending);
    (OWN.contains(&ending) || ALGORITHMS.contains(&algorithm)).then(|| owner.to_owned())
}

/// The result of a search in a checksum file.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// Its checksums, by different algorithms.
    States(Vec<Checksum>),
    /// Two lines about it that do not agree.
    Contradicts(Checksum, Checksum),
    /// Checksums under another name: only a file that is about one file alone says that.
    OfAnother(Vec<Checksum>, String),
    /// It is named, without a checksum in a known form.
    Unread,
    /// Nothing.
    Nothing,
}

/// Finds the checksums of `asset` in the list `text`.
pub fn of_list(text: &str, asset: &str) -> Said {
    let claims = claims(text);
    let by = |is_named: &dyn Fn(&str) -> bool| {
        agree(claims.iter().filter(|claim| claim.name.is_some_and(is_named)).map(|claim| claim.checksum))
    };
    let said = match by(&|name| file_name(name) == asset) {
        Said::Nothing => by(&|name| file_name(name).eq_ignore_ascii_case(asset)),
        said => said,
    };
    let is_delimiter = |c: char| c.is_whitespace() || "/\\*|`()\"',:".contains(c);
    let names = || text.split(is_delimiter).any(|word| word.eq_ignore_ascii_case(asset));
    if said == Said::Nothing && names() { Said::Unread } else { said }
}

/// Finds the checksums in `text`, a file about `asset` alone, with or without the name.
pub fn of_own(text: &str, asset: &str) -> Said {
    let stated = of_list(text, asset);
    if !matches!(stated, Said::Nothing | Said::Unread) {
        return stated;
    }
    let claims = claims(text);
    if let Some(other) = claims.iter().find_map(|claim| claim.name) {
        let of_other = claims.iter().filter(|claim| claim.name == Some(other)).map(|claim| claim.checksum);
        return Said::OfAnother(of_other.collect(), other.to_owned());
    }
    match agree(claims.iter().map(|claim| claim.checksum)) {
        Said::Nothing if !text.trim().is_empty() => Said::Unread,
        said => said,
    }
}

fn agree(checksums: impl Iterator<Item = Checksum>) -> Said {
    let mut stated = BTreeMap::new();
    for checksum in checksums {
        let first = *stated.entry(checksum.algorithm()).or_insert(checksum);
        if first != checksum {
            return Said::Contradicts(first, checksum);
        }
    }
    if stated.is_empty() { Said::Nothing } else { Said::States(stated.into_values().collect()) }
}

struct Claim<'a> {
    checksum: Checksum,
    name: Option<&'a str>,
}

/// Claims below a heading that names another algorithm, such as SHA3-256, are left out: their length is that
/// of a known one.
fn claims(text: &str) -> Vec<Claim<'_>> {
    let (mut found, mut foreign) = (Vec::new(), false);
    for line in text.trim_start_matches('\u{FEFF}').lines().map(str::trim) {
        let claims =
            bsd(line).unwrap_or_else(|| gnu(line).map_or_else(|| by_words(line), |claim| vec![claim]));
        if !claims.is_empty() {
            found.extend(claims.into_iter().filter(|_| !foreign));
            continue;
        }
        let line = line.to_ascii_lowercase();
        let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
        if words.clone().any(is_foreign) {
            foreign = true;
        } else if words.any(|word| word == "sha2" || ALGORITHMS.iter().any(|known| word.starts_with(known))) {
            foreign = false;
        }
    }
    found
}

/// `HEX  NAME`, `HEX *NAME`, `HEX` (coreutils, "md5sum invocation"); `HEX  -`, where it was read from
/// standard input and has no name.
fn gnu(line: &str) -> Option<Claim<'_>> {
    let (hex, rest) = line.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((line, ""));
    let checksum = Checksum::from_hex(hex)?;
    if words(rest).any(|word| Checksum::from_hex(word).is_some()) {
        return None;
    }
    let name = rest.trim_start();
    let name = name.strip_prefix('*').unwrap_or(name);
    Some(Claim { checksum, name: (!matches!(name, "" | "-")).then_some(name) })
}

/// `SHA256 (NAME) = HEX`. Empty for an unknown algorithm.
fn bsd(line: &str) -> Option<Vec<Claim<'_>>> {
    let (head, hex) = line.rsplit_once('=')?;
    let (algorithm, name) = head.trim_end().split_once('(')?;
    let name = name.strip_suffix(')')?;
    let plain = |text: &str| text.to_ascii_uppercase().replace("SHA2-", "SHA").replace('-', "");
    let checksum = Checksum::from_hex(hex.trim());
    let checksum = checksum.filter(|checksum| plain(checksum.algorithm()) == plain(algorithm.trim()));
    Some(checksum.map(|checksum| Claim { checksum, name: Some(name) }).into_iter().collect())
}

/// `NAME: HEX`, `| NAME | HEX |`, `SHA256 HEX NAME`, and several algorithms on one line. Nothing where a line
/// has two checksums of one length, which algorithms with the same length have.
fn by_words(line: &str) -> Vec<Claim<'_>> {
    let checksums: Vec<_> = words(line).filter_map(Checksum::from_hex).collect();
    let is_repeated = |index: usize| {
        checksums[..index].iter().any(|other| other.algorithm() == checksums[index].algorithm())
    };
    if words(line).any(|word| is_foreign(&word.to_ascii_lowercase())) || (0..checksums.len()).any(is_repeated)
    {
        return Vec::new();
    }
    let names =
        words(line).filter(|word| Checksum::from_hex(word).is_none() && word.contains(['.', '-', '_', '/']));
    let is_algorithm =
        |word: &str| ALGORITHMS.contains(&word.to_ascii_lowercase().replace("sha-", "sha").as_str());
    let names: Vec<_> = names.filter(|word| !is_algorithm(word)).map(Some).collect();
    let names = if names.is_empty() { vec![None] } else { names };
    let claims = names
        .iter()
        .flat_map(|name| checksums.iter().map(|checksum| Claim { checksum: *checksum, name: *name }));
    claims.collect()
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| c.is_whitespace() || "|`,\"'=<>".contains(c));
    let words = words.map(|word| word.trim_matches(['*', ':', '(', ')', '[', ']']));
    let words = words.map(|word| match word.split_once(':') {
        Some((_, hex)) if Checksum::from_hex(hex).is_some() => hex,
        _ => word,
    });
    words.filter(|word| !word.is_empty())
}

/// The last part of a path: publishers list `./dist/NAME` as their build made it.
fn file_name(listed: &str) -> &str {
    listed.rsplit(['/', '\\']).next().unwrap_or(listed)
}

#[cfg(test)]
mod tests {
    use super::{
        Said, clear_signed, is_about_checksums, is_list, is_text, is_unsupported, of_list, of_own, owner_of,
    };
    use crate::digest::{Checksum, Sha256};

    fn hex(of: &str) -> String {
        Sha256::of(of).to_string()
    }

    fn checksum(hex: &str) -> Checksum {
        Checksum::from_hex(hex).expect("a checksum")
    }

    fn states(hex: &str) -> Said {
        Said::States(vec![checksum(hex)])
    }

    #[test]
    fn every_usual_form_is_read() {
        let (right, other) = (hex("right"), hex("other"));
        for text in [
            format!("{other}  b.tar.gz\n{right}  a.tar.gz\n"),
            format!("{right} *a.tar.gz\r\n{other} *b.tar.gz\r\n"),
            format!("{}  ./dist/a.tar.gz", right.to_uppercase()),
            format!(
                "SHA2-256(a.tar.gz)= {right}\nSHA3-256(a.tar.gz)= {other}\nSHA512/256 (a.tar.gz) = {other}"
            ),
            format!("| a.tar.gz | `{right}` |\n| b.tar.gz | `{other}` |"),
            format!("a.tar.gz: {right}\nb.tar.gz: sha256:{other}\n"),
            format!("# BLAKE3\n{other}  a.tar.gz\n# SHA-256\n# sha256\n{right}  A.tar.gz"),
            format!("SHA256  {right}  C:\\dist\\a.tar.gz"),
            format!("\u{FEFF}# made by hand\n\n{right}\ta.tar.gz\n"),
        ] {
            assert_eq!(of_list(&text, "a.tar.gz"), states(&right), "{text}");
            assert_eq!(of_list(&text, "c.tar.gz"), Said::Nothing, "{text}");
            assert_eq!(of_list(&text, "tar.gz"), Said::Nothing, "{text}");
        }
        let twice = format!("{right}  a\n{other}  a\n");
        assert_eq!(of_list(&twice, "a"), Said::Contradicts(checksum(&right), checksum(&other)));
        let case = format!("{other}  A\n{right}  a\n");
        assert_eq!(of_list(&case, "a"), states(&right));
        assert_eq!(of_list("<html>not found</html>", "a"), Said::Nothing);
    }

    #[test]
    fn digests_of_different_algorithms_are_distinguished() {
        let (md5, sha1, sha512) = ("d".repeat(32), "1".repeat(40), "5".repeat(128));
        let sha256 = hex("right");
        let all =
            format!("MD5 (a) = {md5}\nSHA1 (a) = {sha1}\nSHA512 (a) = {sha512}\nSHA256 (a) = {sha256}\n");
        let in_one_line = format!("a.tgz {md5} {sha1} {sha256} {sha512}");
        let stated = Said::States([&md5, &sha1, &sha256, &sha512].map(|hex| checksum(hex)).to_vec());
        assert_eq!(of_list(&all, "a"), stated);
        assert_eq!(of_list(&in_one_line, "a.tgz"), stated);
        // Two algorithms of one length, of which no one knows which is which.
        assert_eq!(of_list(&format!("a.tgz {sha256} {}", hex("other")), "a.tgz"), Said::Unread);
        assert_eq!(of_list(&format!("BLAKE3 {sha256} a.tgz"), "a.tgz"), Said::Unread);
        assert_eq!(of_list("a.tgz: 5B1D E3F0 91A2", "a.tgz"), Said::Unread);
    }

    #[test]
    fn a_file_about_one_file_need_not_name_it_but_may_not_name_another() {
        let right = hex("right");
        assert_eq!(of_own(&format!("{right}\n"), "a"), states(&right));
        assert_eq!(of_own(&format!("{right}  dist/a\n"), "a"), states(&right));
        assert_eq!(of_own(&format!("{right}  -\n"), "a"), states(&right));
        let another = Said::OfAnother(vec![checksum(&right)], "b".to_owned());
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
            "SHA2-256SUMS",
            "hashes.sha256",
            "tool_1.2.3.sha256",
            "sha256",
            "SHA256_SUM",
            "tool_1.2.3_hashes.txt",
            "SHA512SUMS",
            "tool_1.2.3_MD5SUMS.txt",
            "checksums_md5.txt",
            "SHA384_SUMS",
            "sha1sum.txt",
        ] {
            assert!(is_list(name), "{name}");
        }
        for name in [
            "checksums.txt.sig",
            "SHA3-256SUMS",
            "checksums.b3",
            "tool.tar.gz",
            "checksums.txt.pem",
            "rehashes",
            "sha256-linux-amd64",
        ] {
            assert!(!is_list(name), "{name}");
        }
        for name in ["SHA3SUMS", "checksums.blake3", "tool.tar.gz.b2"] {
            assert!(is_unsupported(name) && is_about_checksums(name), "{name}");
        }
        assert!(!is_unsupported("SHA384SUMS.txt") && is_about_checksums("tool.tar.gz.sha1"));
        assert!(!is_unsupported("B2SUMS.asc") && !is_about_checksums("tool-linux-amd64"));
        for (name, owner) in [
            ("Tool.tar.gz.SHA256", Some("tool.tar.gz")),
            ("tool.tgz.sha512sum", Some("tool.tgz")),
            ("tool.md5.txt", Some("tool")),
            ("tool.zip.sha", Some("tool.zip")),
            ("tool.zip.asc", None),
        ] {
            assert_eq!(owner_of(name).as_deref(), owner, "{name}");
        }
        assert_eq!(clear_signed("SHASUMS256.txt.asc"), Some("SHASUMS256.txt"));
        assert_eq!(clear_signed("tool.tar.gz.asc"), None);
        assert!(is_text("VERIFY") && is_text("verify.TXT") && !is_text("tool.tar.gz"));
        // Checksums by BLAKE3 are as long as those by SHA-256.
        assert!(!is_text("B3SUMS") && !is_text("blake3.txt"));
    }
}

//! Extended headers of tar (POSIX.1-2024, pax, "pax Extended Header").

use super::error::ArchiveError;

/// Attributes for the next member, or for all following ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    /// The content is a map of a sparse file and its data (GNU tar manual, "Storing Sparse Files").
    pub(super) sparse: bool,
    /// The path of a sparse file; the header has another one.
    pub(super) sparse_path: Option<Vec<u8>>,
}

/// Parses records of the form `LENGTH KEY=VALUE\n`, where LENGTH includes itself.
///
/// Ignores attributes that affect neither path nor content: times, owners, comments. Invalid times and
/// owners are rejected, because tar exits with an error for them.
pub(super) fn read(mut records: &[u8]) -> Result<Extended, ArchiveError> {
    let mut extended = Extended::default();
    while !records.is_empty() {
        let (key, value, rest) = record(records).ok_or_else(damaged)?;
        records = rest;
        if key.starts_with(b"GNU.sparse.") {
            extended.sparse = true;
            if key == b"GNU.sparse.name" {
                set(&mut extended.sparse_path, value.to_vec())?;
            }
            continue;
        }
        if key.starts_with(b"GNU.volume.") && key != b"GNU.volume.label" {
            return Err(ArchiveError::Unsupported("several volumes"));
        }
        match key {
            b"atime" | b"ctime" | b"mtime" if !is_time(value) => return Err(damaged()),
            b"uid" | b"gid" if !is_id(value) => return Err(damaged()),
            b"path" => set(&mut extended.path, value.to_vec())?,
            b"linkpath" => set(&mut extended.link_path, value.to_vec())?,
            b"size" => {
                let digits = std::str::from_utf8(value).ok().filter(|text| is_number(text.as_bytes()));
                set(&mut extended.size, digits.and_then(|text| text.parse().ok()).ok_or_else(damaged)?)?;
            }
            _ => {}
        }
    }
    Ok(extended)
}

/// Readers disagree which of two duplicates wins.
fn set<T>(field: &mut Option<T>, value: T) -> Result<(), ArchiveError> {
    if field.replace(value).is_some() { Err(damaged()) } else { Ok(()) }
}

fn damaged() -> ArchiveError {
    ArchiveError::Damaged("an extended header of tar is invalid".to_owned())
}

/// Key and value of the first record, and the rest. Like tar, skips leading blanks of a key and ends it at
/// a NUL.
fn record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().take(20).position(|byte| *byte == b' ')?;
    let digits = &records[..space];
    if !is_number(digits) {
        return None;
    }
    let length: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let (record, rest) = records.split_at_checked(length)?;
    let text = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = text.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&text[..equals], &text[equals + 1..]);
    let is_text = !matches!(key, [] | [b' ' | b'\t', ..]) && !key.contains(&0);
    is_text.then_some((key, value, rest))
}

/// Seconds, optionally negative or with a fraction; eighteen digits fit tar's representation.
fn is_time(value: &[u8]) -> bool {
    let value = value.strip_prefix(b"-").unwrap_or(value);
    let (seconds, fraction) =
        value.split_at(value.iter().position(|byte| *byte == b'.').unwrap_or(value.len()));
    is_number(seconds) && seconds.len() <= 18 && fraction.iter().skip(1).all(u8::is_ascii_digit)
}

/// A uid or gid as Linux supports it.
fn is_id(value: &[u8]) -> bool {
    is_number(value) && std::str::from_utf8(value).is_ok_and(|text| text.parse::<u32>().is_ok())
}

fn is_number(digits: &[u8]) -> bool {
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::{Extended, read};

    #[test]
    fn records_are_read_by_their_length() {
        let records =
            b"30 mtime=1350244992.023960108\n12 path=a\nb\n11 size=42\n12 comment=\n14 atime=-1.5\n\
            22 GNU.volume.label=x\n";
        let extended = read(records).ok();
        assert_eq!(
            extended,
            Some(Extended { path: Some(b"a\nb".to_vec()), size: Some(42), ..Extended::default() })
        );
    }

    #[test]
    fn invalid_records_are_refused() {
        for wrong in [
            "x",
            "8 path=a",
            "9 path=ab\n",
            "11 path=a\n",
            " 9 path=a\n",
            "+9 path=a\n",
            "9 path=a\n9 path=b\n",
            "11 size=-1\n",
            "4 =\n",
            "3 \n",
            "1 \n",
            "99999999999999999999 path=a\n",
            "21 GNU.sparse.name=a\n21 GNU.sparse.name=b\n",
            "23 GNU.volume.offset=7\n",
            "11  path=a\n",
            "11 \tpath=a\n",
            "12 path\0=ab\n",
            "13 atime=abc\n",
            "10 mtime=\n",
            "29 ctime=9999999999999999999\n",
            "10 uid=-1\n",
            "18 gid=4294967296\n",
        ] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }
}

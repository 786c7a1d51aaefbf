//! Extended headers of tar (POSIX.1-2024, pax, "pax Extended Header").

use super::error::Error;

/// What an extended header says of the next member, or of all that follow.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
}

/// Reads the records of an extended header: `LENGTH KEY=VALUE\n`, LENGTH counting all of it.
///
/// What changes no path and no content is passed over: times, owners, attributes, comments.
pub(super) fn read(mut records: &[u8]) -> Result<Extended, Error> {
    let mut extended = Extended::default();
    while !records.is_empty() {
        let (key, value, rest) = record(records).ok_or_else(damaged)?;
        records = rest;
        if key.starts_with(b"GNU.sparse.") {
            return Err(Error::Unsupported("sparse files"));
        }
        match key {
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

/// Readers disagree about which of two counts.
fn set<T>(field: &mut Option<T>, value: T) -> Result<(), Error> {
    if field.replace(value).is_some() { Err(damaged()) } else { Ok(()) }
}

fn damaged() -> Error {
    Error::Damaged("an extended header of tar breaks its rules".to_owned())
}

/// Key and value of the first record, and what follows it.
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
    (!key.is_empty()).then_some((key, value, rest))
}

fn is_number(digits: &[u8]) -> bool {
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::{Extended, read};

    #[test]
    fn records_are_read_by_their_length() {
        let extended = read(b"30 mtime=1350244992.023960108\n12 path=a\nb\n11 size=42\n12 comment=\n").ok();
        assert_eq!(
            extended,
            Some(Extended { path: Some(b"a\nb".to_vec()), link_path: None, size: Some(42) })
        );
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
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
            "22 GNU.sparse.major=1\n",
        ] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }
}

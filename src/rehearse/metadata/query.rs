//! Query parameters.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::form_urlencoded;

use super::tree::ValueFormat;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// Return the subtree instead of a listing.
    pub(super) recursive: bool,
    /// The requested format, if any.
    pub(super) alt: Option<ValueFormat>,
    pub(super) wait: Option<LongPoll>,
}

/// Parameters of `wait_for_change`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LongPoll {
    /// `ETag` known to the client; a different current one ends the wait immediately.
    pub(super) last_etag: Option<String>,
    /// After this time the current value is returned.
    pub(super) timeout: Option<Duration>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadQuery {
    #[error("alt is neither json nor text")]
    Alt,
    #[error("timeout_sec is not a number")]
    Timeout,
}

impl Query {
    /// Ignores unknown parameters, like the real server.
    pub(super) fn read(text: &str) -> Result<Self, BadQuery> {
        let mut query = Self::default();
        let (mut waits, mut wait) = (false, LongPoll::default());
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            match &*key {
                // cloud-init sends `True`.
                "recursive" => query.recursive = value.eq_ignore_ascii_case("true"),
                "wait_for_change" => waits = value.eq_ignore_ascii_case("true"),
                "alt" if value == "json" => query.alt = Some(ValueFormat::Json),
                "alt" if value == "text" => query.alt = Some(ValueFormat::Text),
                "alt" => return Err(BadQuery::Alt),
                "last_etag" => wait.last_etag = Some(value.into_owned()),
                "timeout_sec" => {
                    let seconds = value.parse().map_err(|_| BadQuery::Timeout)?;
                    wait.timeout = Some(Duration::from_secs(seconds));
                }
                _ => {}
            }
        }
        query.wait = waits.then_some(wait);
        Ok(query)
    }
}

/// Splits a path that starts with a slash into names, and reports a trailing slash, which denotes a
/// directory. `None` for invalid UTF-8.
///
/// Repeated slashes count as one: Google's guest agent requests `/computeMetadata/v1//?recursive=true`.
pub(super) fn names(path: &str) -> Option<(Vec<String>, bool)> {
    let names = path.strip_prefix('/')?.split('/').filter(|name| !name.is_empty());
    let names = names.map(|name| percent_decode_str(name).decode_utf8().ok().map(Cow::into_owned));
    Some((names.collect::<Option<_>>()?, path.ends_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_of_real_clients_are_parsed() {
        let agent = Query::read("recursive=true&alt=json&wait_for_change=true&timeout_sec=60&last_etag=NONE");
        let wait = LongPoll { last_etag: Some("NONE".to_owned()), timeout: Some(Duration::from_secs(60)) };
        assert_eq!(agent, Ok(Query { recursive: true, alt: Some(ValueFormat::Json), wait: Some(wait) }));
        assert_eq!(Query::read("recursive=True").map(|query| query.recursive), Ok(true));
        assert_eq!(Query::read("last_etag=0&x=%ff%"), Ok(Query::default()));
        assert_eq!(Query::read("alt=xml"), Err(BadQuery::Alt));
        assert_eq!(Query::read("timeout_sec=-1"), Err(BadQuery::Timeout));
    }

    #[test]
    fn paths_are_split_into_names() {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(names("/"), Some((owned(&[]), true)));
        assert_eq!(names("/a/b"), Some((owned(&["a", "b"]), false)));
        assert_eq!(names("/a/b%40c/"), Some((owned(&["a", "b@c"]), true)));
        // An encoded slash is not a separator.
        assert_eq!(names("/a%2Fb"), Some((owned(&["a/b"]), false)));
        assert_eq!(names("//a//b//"), Some((owned(&["a", "b"]), true)));
        for bad in ["", "a", "*", "/%ff"] {
            assert_eq!(names(bad), None, "{bad}");
        }
    }
}

//! Rate limits: status codes and headers.

use jiff::fmt::{rfc2822, strtime};
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::error::{Address, HttpError};
use crate::text::excerpt;

/// "Authenticating to the REST API", docs.github.com.
const SINGLE_SIGN_ON: &str = "x-github-sso";

/// The longest URL from a header in a message, in characters.
const LONGEST_URL: usize = 300;

/// Maps an unsuccessful response to an error.
///
/// GitHub answers 403 or 429 at a limit: `x-ratelimit-remaining` is 0 for the hourly one, `retry-after`
/// accompanies the secondary ones. Clients that ignore them can be banned.
pub(super) fn refusal(status: u16, headers: &HeaderMap, url: Address, had_token: bool) -> HttpError {
    let used_up = number(headers, "x-ratelimit-remaining") == Some(0);
    match status {
        404 | 410 => HttpError::NotFound { url },
        403 | 429 if used_up => {
            let until = number(headers, "x-ratelimit-reset").and_then(|at| Timestamp::from_second(at).ok());
            HttpError::RateLimited { url, until: until.or_else(|| retry_after(headers)), had_token }
        }
        403 if headers.contains_key(RETRY_AFTER) => {
            HttpError::RateLimited { url, until: retry_after(headers), had_token }
        }
        403 if headers.contains_key(SINGLE_SIGN_ON) => {
            // `required; url=https://github.com/orgs/NAME/sso?…`
            let text = headers.get(SINGLE_SIGN_ON).and_then(|header| header.to_str().ok());
            let at = text.and_then(|text| text.split_once("url=")).map(|(_, at)| excerpt(at, LONGEST_URL));
            HttpError::SingleSignOn { url, at }
        }
        _ => HttpError::Status { url, status, until: retry_after(headers) },
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<i64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// End of `Retry-After`, given in seconds or as a date (RFC 9110, 10.2.3). A date is interpreted relative
/// to the server's own clock, because the local one may be wrong.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Overflow means practically never.
        SignedDuration::from_secs(text.parse::<u32>().unwrap_or(u32::MAX).into())
    } else {
        let told = headers.get(DATE).and_then(|date| http_date(date.to_str().ok()?));
        http_date(text)?.duration_since(told.unwrap_or_else(Timestamp::now))
    };
    Timestamp::now().checked_add(pause).ok()
}

/// Accepts the three forms of RFC 9110, 5.6.7.
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    if let Ok(date) = rfc2822::DateTimeParser::new().parse_timestamp(text) {
        return Some(date);
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"].into_iter().find_map(|form| {
        let date = strtime::parse(form, text).ok()?.to_datetime().ok()?;
        date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|date| date.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use super::{http_date, retry_after};
    use jiff::{SignedDuration, Timestamp};
    use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

    #[test]
    fn all_standard_date_formats_are_parsed() {
        let right = Timestamp::from_second(784_111_777).ok();
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(http_date(text), right, "{text}");
        }
        for text in ["", "soon", "1994-11-06", "-3"] {
            assert_eq!(http_date(text), None, "{text}");
        }
    }

    #[test]
    fn dates_are_relative_to_the_servers_clock() {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
        headers.insert(RETRY_AFTER, HeaderValue::from_static("Sun, 06 Nov 1994 08:59:37 GMT"));
        let before = Timestamp::now();
        let until = retry_after(&headers).expect("a time");
        assert!(until >= before + SignedDuration::from_mins(10));
        assert!(until <= Timestamp::now() + SignedDuration::from_mins(10));
    }
}

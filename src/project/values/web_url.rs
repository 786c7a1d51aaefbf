//! URLs that something may be fetched from.

use std::fmt;
use std::str::FromStr;

use crate::diagnostics::quoted;

/// An https URL; plain http to the loopback interface alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebUrl(String);

impl WebUrl {
    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part of its path.
    pub fn file_name(&self) -> &str {
        let path = self.0.split(['?', '#']).next().unwrap_or(&self.0);
        path.rsplit('/').next().unwrap_or(path)
    }
}

impl FromStr for WebUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A pattern may contain `{version}` and `{arch}` anywhere; a URL cannot contain braces.
        let plain = text.replace(['{', '}'], "");
        // RFC 3986 leaves these out of URLs; the parser would quietly escape or drop them.
        if let Some(wrong) = plain.chars().find(|c| !c.is_ascii_graphic() || "\"'<>\\^`|".contains(*c)) {
            return Err(format!(
                "{} holds {}, which no URL holds unescaped",
                quoted(text),
                quoted(&wrong.to_string())
            ));
        }
        // The parser mends `https:/x` and `https:///x`; other readers do not.
        let host = plain.split_once("://").map_or("", |(_, rest)| rest);
        if host.is_empty() || host.starts_with('/') {
            return Err(format!("{} is not an https URL", quoted(text)));
        }
        let url =
            url::Url::parse(&plain).map_err(|error| format!("{} is not a URL: {error}", quoted(text)))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL with a user name or password in it would publish them".to_owned());
        }
        let loopback = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => return Err(format!("{} is not encrypted: use https", quoted(text))),
            _ => return Err(format!("{} is not an https URL", quoted(text))),
        }
        let name = Self(text.to_owned());
        if matches!(name.file_name(), "" | "." | "..") {
            return Err(format!("{} does not end in a file name", quoted(text)));
        }
        Ok(name)
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::WebUrl;

    #[test]
    fn urls_are_https_and_plain() {
        for right in
            ["https://example.org/{version}/x_{arch}.tar.gz", "http://127.0.0.1:8000/x", "http://localhost/x"]
        {
            assert!(right.parse::<WebUrl>().is_ok(), "{right}");
        }
        for wrong in [
            "http://example.org/x",
            "ftp://example.org/x",
            "https://u:p@example.org/x",
            "https://example.org/a b",
            "https://example.org/",
            "https://example.org/'$(id)'",
            "x",
            "",
            "https:///x",
            "https:example.org/x",
            "https://example.org/..",
            "http://127.0.0.1.example.org/x",
        ] {
            assert!(wrong.parse::<WebUrl>().is_err(), "{wrong}");
        }
    }
}

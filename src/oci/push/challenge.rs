//! How a registry wants to be told who asks (RFC 7235, 2.1; distribution, "Token Authentication").

/// What a registry answers to somebody whom it does not know.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token of another service is wanted.
    Bearer {
        /// Where that service is.
        realm: String,
        /// What the registry is called there.
        service: Option<String>,
    },
    /// Name and password are wanted.
    Basic,
}

impl Challenge {
    /// Reads the header `WWW-Authenticate`; nothing where it asks for something else.
    pub(super) fn read(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service) = (None, None);
        for (name, value) in Parameters(rest) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                _ => {}
            }
        }
        Some(Self::Bearer { realm: realm?, service })
    }
}

/// `name=value` or `name="value"`, with commas between.
struct Parameters<'a>(&'a str);

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a str, String);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.0.trim_start_matches([' ', ',', '\t']).split_once('=')?;
        let mut value = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut chars = quoted.char_indices();
            let mut end = quoted.len();
            while let Some((at, c)) = chars.next() {
                match c {
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
                    plain => value.push(plain),
                }
            }
            self.0 = &quoted[end..];
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            value.push_str(rest[..end].trim());
            self.0 = &rest[end..];
        }
        Some((name.trim(), value))
    }
}

#[cfg(test)]
mod tests {
    use super::Challenge;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) }
    }

    #[test]
    fn each_way_of_writing_it_is_read() {
        let realm = "https://auth.example.org/token";
        for (header, read) in [
            (format!(r#"Bearer realm="{realm}",service="a b",scope="repository:x:pull""#), Some("a b")),
            (format!("bearer  realm={realm} , SERVICE=a"), Some("a")),
            (format!(r#"Bearer realm="{realm}",error="in\"valid, realm=x""#), None),
        ] {
            assert_eq!(Challenge::read(&header), Some(bearer(realm, read)), "{header}");
        }
        assert_eq!(Challenge::read(r#"Basic realm="x""#), Some(Challenge::Basic));
    }

    #[test]
    fn what_cannot_be_answered_is_none() {
        for header in ["", "Bearer", "Negotiate abc", r#"Bearer service="x""#, "Bearer realm"] {
            assert_eq!(Challenge::read(header), None, "{header}");
        }
        // One without an end is taken as far as it goes.
        assert_eq!(Challenge::read(r#"Bearer realm="x"#), Some(bearer("x", None)));
    }
}

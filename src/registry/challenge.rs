//! Parses authentication challenges (RFC 9110, 11.6.1; distribution, "Token Authentication").

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Bearer { realm: String, service: Option<String> },
    Basic,
}

impl Challenge {
    /// Selects from the `WWW-Authenticate` headers, each of which may contain several challenges. A token
    /// is preferred to a password, because the password then reaches fewer hosts.
    pub(super) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let known: Vec<_> = headers.flat_map(all).collect();
        let bearer = known.iter().find(|challenge| matches!(challenge, Self::Bearer { .. }));
        bearer.or(known.first()).cloned()
    }
}

/// The supported challenges of one header, up to the first syntax error.
fn all(header: &str) -> Vec<Challenge> {
    let mut rest = HeaderReader(header);
    let mut found = Vec::new();
    let mut next = rest.token();
    while let Some(scheme) = next.take() {
        let (mut realm, mut service) = (None, None);
        rest.blanks();
        loop {
            rest.separators();
            let Some(name) = rest.token() else { break };
            let Some(value) = rest.value() else {
                // A name without a value starts the next challenge.
                next = Some(name);
                break;
            };
            if name.eq_ignore_ascii_case("realm") {
                realm.get_or_insert(value);
            } else if name.eq_ignore_ascii_case("service") {
                service.get_or_insert(value);
            }
        }
        if scheme.eq_ignore_ascii_case("basic") {
            found.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = realm
        {
            found.push(Challenge::Bearer { realm, service });
        }
    }
    found
}

/// The rest of a header.
struct HeaderReader<'a>(&'a str);

impl<'a> HeaderReader<'a> {
    fn blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn separators(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t', ',']);
    }

    /// A token, or an unquoted value, which may be a URL: some servers omit the quotes.
    fn word(&mut self, ends: &[char]) -> Option<&'a str> {
        let end = self.0.find(ends).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    fn token(&mut self) -> Option<&'a str> {
        self.word(&[' ', '\t', ',', '=', '"'])
    }

    /// The value after `=`, if there is one. The padding of a `token68`, as in `Negotiate YQ==`, is an
    /// empty value.
    fn value(&mut self) -> Option<String> {
        self.blanks();
        self.0 = self.0.strip_prefix('=')?;
        self.0 = self.0.trim_start_matches('=');
        self.blanks();
        let Some(quoted) = self.0.strip_prefix('"') else {
            return Some(self.word(&[' ', '\t', ',']).unwrap_or_default().to_owned());
        };
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        self.0 = "";
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.0 = &quoted[at + 1..];
                    break;
                }
                '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
                plain => value.push(plain),
            }
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::Challenge;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) }
    }

    fn read(header: &str) -> Option<Challenge> {
        Challenge::choose([header].into_iter())
    }

    #[test]
    fn syntax_variants_are_accepted() {
        let realm = "https://auth.example.org/token";
        for (header, service) in [
            (format!(r#"Bearer realm="{realm}",service="a b",scope="repository:x:pull""#), Some("a b")),
            (format!("bearer  realm={realm} , SERVICE=a"), Some("a")),
            (format!(r#"Bearer realm="{realm}",error="in\"valid, realm=x""#), None),
            (format!(r#"Bearer realm = "{realm}" , service = "a""#), Some("a")),
        ] {
            assert_eq!(read(&header), Some(bearer(realm, service)), "{header}");
        }
        assert_eq!(read(r#"Basic realm="x""#), Some(Challenge::Basic));
    }

    #[test]
    fn challenges_of_common_registries_are_parsed() {
        for (header, realm, service) in [
            // ghcr.io
            (
                r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:openclaw/openclaw:pull""#,
                "https://ghcr.io/token",
                "ghcr.io",
            ),
            // Docker Hub
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull,push",error="insufficient_scope""#,
                "https://auth.docker.io/token",
                "registry.docker.io",
            ),
            // Artifact Registry
            (
                r#"Bearer realm="https://us-central1-docker.pkg.dev/v2/token",service="us-central1-docker.pkg.dev",scope="repository:p/r/i:pull""#,
                "https://us-central1-docker.pkg.dev/v2/token",
                "us-central1-docker.pkg.dev",
            ),
        ] {
            assert_eq!(read(header), Some(bearer(realm, Some(service))), "{header}");
        }
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let wanted = Some(bearer("https://r/t", Some("s")));
        for headers in [
            vec![r#"Basic realm="a, b", Bearer realm="https://r/t",service="s""#],
            vec![r#"Bearer realm="https://r/t",service="s", Basic realm="x""#],
            vec![r#"Negotiate, Basic realm="x",charset="UTF-8", Bearer realm="https://r/t",service="s""#],
            vec![r#"Negotiate YQ==, Bearer realm="https://r/t",service="s""#],
            vec![r#"Basic realm="x""#, r#"Bearer realm="https://r/t",service="s""#],
        ] {
            assert_eq!(Challenge::choose(headers.iter().copied()), wanted, "{headers:?}");
        }
    }

    #[test]
    fn unsupported_challenges_are_ignored() {
        for header in
            ["", "Bearer", "Negotiate abc", r#"Bearer service="x""#, "Bearer realm", ",,,", "=", "\"\""]
        {
            assert_eq!(read(header), None, "{header}");
        }
        // An unterminated string extends to the end.
        assert_eq!(read(r#"Bearer realm="x"#), Some(bearer("x", None)));
    }
}

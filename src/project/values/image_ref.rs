//! References to OCI images.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use regex_lite::Regex;

use crate::diagnostics::quoted;
use crate::digest::Sha256;

/// An OCI image reference with its registry (distribution-spec, "Pulling manifests").
///
/// Docker's short names are refused: they hide where an image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRef {
    repository: String,
    tag: Option<String>,
    digest: Option<Sha256>,
}

impl ImageRef {
    /// Registry and repository, without tag and digest.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The registry's host, with its port where it has one.
    pub fn registry(&self) -> &str {
        self.repository.split_once('/').map_or(self.repository.as_str(), |(registry, _)| registry)
    }

    /// The repository's name in its registry.
    pub fn name(&self) -> &str {
        self.repository.split_once('/').map_or("", |(_, name)| name)
    }

    /// The tag, if it names one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if it names one.
    pub const fn digest(&self) -> Option<Sha256> {
        self.digest
    }

    /// The image of the same repository with another tag.
    ///
    /// # Errors
    /// If that is not a tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, String> {
        format!("{}:{tag}", self.repository).parse()
    }

    /// The same image, by `digest`.
    pub fn pinned(&self, digest: Sha256) -> String {
        Self { digest: Some(digest), ..self.clone() }.to_string()
    }
}

impl FromStr for ImageRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Registry, path components, tag, digest. The length of a tag is checked below: a bounded
        // repetition is most of the time that a pattern takes to compile.
        static FORM: LazyLock<Option<Regex>> = LazyLock::new(|| {
            Regex::new(
                r"\A((?:localhost|[A-Za-z0-9](?:-*[A-Za-z0-9])*(?:\.[A-Za-z0-9](?:-*[A-Za-z0-9])*)+|(?:[A-Za-z0-9](?:-*[A-Za-z0-9])*\.?)+:[0-9]+)(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)+)(?::([A-Za-z0-9_][A-Za-z0-9_.-]*))?(?:@(.+))?\z",
            )
            .ok()
        });
        const LONGEST_TAG: usize = 128;
        const LONGEST_REPOSITORY: usize = 255;
        let Some(parts) = FORM.as_ref().and_then(|form| form.captures(text)) else {
            return Err(format!(
                "{} is not an image reference such as `ghcr.io/owner/image:tag`",
                quoted(text)
            ));
        };
        let part = |index| parts.get(index).map(|part| part.as_str());
        let digest = part(3).map(Sha256::from_oci);
        let Ok(digest) = digest.transpose() else {
            return Err(format!(
                "{} has a digest that is not `sha256:` and 64 lower-case digits",
                quoted(text)
            ));
        };
        if part(1).is_some_and(|repository| repository.len() > LONGEST_REPOSITORY) {
            return Err(format!(
                "{} is longer than the {LONGEST_REPOSITORY} characters of any image",
                quoted(text)
            ));
        }
        let tag = part(2).map(str::to_owned);
        if tag.as_ref().is_some_and(|tag| tag.len() > LONGEST_TAG) {
            return Err(format!("{} has a tag of more than {LONGEST_TAG} characters", quoted(text)));
        }
        Ok(Self { repository: part(1).unwrap_or_default().to_owned(), tag, digest })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.map_or(Ok(()), |digest| write!(f, "@{}", digest.oci()))
    }
}

#[cfg(test)]
mod tests {
    use super::ImageRef;
    use crate::digest::Sha256;

    #[test]
    fn image_references_name_their_registry() {
        let digest = format!("sha256:{}", Sha256::of("x"));
        for right in ["ghcr.io/openclaw/openclaw:2026.9.4", "127.0.0.1:5000/openclaw:1", "localhost/x:1"] {
            assert!(right.parse::<ImageRef>().is_ok(), "{right}");
            assert!(format!("{right}@{digest}").parse::<ImageRef>().is_ok(), "{right}");
        }
        for wrong in [
            "openclaw:1",
            "openclaw/openclaw",
            "ghcr.io/Open/claw:1",
            "ghcr.io/a/b:1 2",
            "ghcr.io/a//b:1",
            "-a.b/x:1",
            "a.b-/x:1",
            "ghcr.io/a/b:1@sha256:0",
            "",
            "ghcr.io/a/b:$(id)",
        ] {
            assert!(wrong.parse::<ImageRef>().is_err(), "{wrong}");
        }
    }
}

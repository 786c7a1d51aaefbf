//! The evidence for a checksum, in words.

use std::fmt;

use super::{Evidence, LockedBinary};
use crate::project::values::Requirement;

/// The evidence for a checksum, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// The catalog of a release of bake states it; nothing was fetched yet.
    Catalog,
    /// Computed from a download, without any other statement.
    Computed,
    /// The release API states it.
    ApiDigest,
    /// The publisher's checksum file, or the catalog that was made from it, states it.
    Publisher,
    /// Both.
    PublisherAndApi,
    /// An attestation by a workflow of the repository names it.
    Attested,
    /// A signature by the key that the manifest holds covers it.
    Signed,
}

impl Trust {
    /// The trust in a checksum with this evidence.
    pub fn of(evidence: &[Evidence]) -> Self {
        let has = |wanted| evidence.contains(&wanted);
        let publisher = has(Evidence::ChecksumFile) || has(Evidence::Seed);
        match () {
            () if has(Evidence::Minisign) => Self::Signed,
            () if has(Evidence::Attestation) => Self::Attested,
            () if !has(Evidence::Computed) && !has(Evidence::ApiDigest) && has(Evidence::Seed) => {
                Self::Catalog
            }
            () if publisher && has(Evidence::ApiDigest) => Self::PublisherAndApi,
            () if publisher => Self::Publisher,
            () if has(Evidence::ApiDigest) => Self::ApiDigest,
            () => Self::Computed,
        }
    }

    /// The trust in a binary: in that of its builds which has the least.
    pub fn in_binary(locked: &LockedBinary) -> Self {
        locked.builds.values().map(|build| Self::of(&build.evidence)).min().unwrap_or(Self::Computed)
    }

    /// Whether a policy that requires this accepts it.
    pub fn meets(self, requirement: Requirement) -> bool {
        self >= match requirement {
            Requirement::Catalog => Self::Catalog,
            Requirement::Computed => Self::Computed,
            Requirement::Api => Self::ApiDigest,
            Requirement::Publisher => Self::Publisher,
            Requirement::Attested => Self::Attested,
            Requirement::Signed => Self::Signed,
        }
    }

    /// In words, as scripts may rely on them.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Catalog => "catalog checksum",
            Self::Computed => "computed only",
            Self::ApiDigest => "API digest",
            Self::Publisher => "publisher checksum",
            Self::PublisherAndApi => "publisher checksum + API digest",
            Self::Attested => "attested",
            Self::Signed => "signed",
        }
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{Evidence, Trust};

    #[test]
    fn trust_grows_with_the_evidence() {
        for (evidence, trust) in [
            (vec![Evidence::Seed], "catalog checksum"),
            (vec![Evidence::Computed], "computed only"),
            (vec![Evidence::ApiDigest, Evidence::Computed], "API digest"),
            (vec![Evidence::Seed, Evidence::Computed], "publisher checksum"),
            (vec![Evidence::ChecksumFile, Evidence::Computed], "publisher checksum"),
            (
                vec![Evidence::ChecksumFile, Evidence::ApiDigest, Evidence::Computed],
                "publisher checksum + API digest",
            ),
            (vec![Evidence::ChecksumFile, Evidence::Computed, Evidence::Attestation], "attested"),
            (vec![Evidence::Computed, Evidence::Minisign], "signed"),
            (vec![Evidence::Minisign, Evidence::Attestation], "signed"),
        ] {
            assert_eq!(Trust::of(&evidence).as_str(), trust, "{evidence:?}");
        }
    }
}

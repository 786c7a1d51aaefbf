//! The codes of all diagnostics. Each has a paragraph in `docs/errors.md`; a test compares the two lists.

use std::fmt;

macro_rules! codes {
    ($($variant:ident = $text:literal, $meaning:literal;)*) => {
        /// The kind of problem that a diagnostic reports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// One sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),* }
            }

            /// The code as users see it and as `docs/errors.md` lists it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
    };
}

codes! {
    AmbiguousAsset = "ambiguous-asset", "Several files of a release could be the build that is meant.";
    AmbiguousSource = "ambiguous-source", "A binary names two sources, or a key that its source does not have.";
    ArchMismatch = "arch-mismatch", "Machine type and architecture do not fit.";
    BadArchive = "bad-archive", "An archive that cannot be trusted, or does not hold the executable.";
    BadArgument = "bad-argument", "An option, an argument or an environment variable has a value that cannot be used.";
    BadImage = "bad-image", "An image that cannot be read or built on.";
    BadPlaceholder = "bad-placeholder", "A `{…}` that is unknown in this place.";
    BadSignature = "bad-signature", "A signature that the manifest asks for is missing or does not hold.";
    BadValue = "bad-value", "A value that is not of the form asked for.";
    BelowPolicy = "below-policy", "Less evidence for a checksum than the manifest's policy requires.";
    BundleDiffers = "bundle-differs", "A file of the bundle is not the one that is rendered.";
    BundleNearLimit = "bundle-near-limit", "The user-data comes near to the limit of one metadata value.";
    BundleTooLarge = "bundle-too-large", "The user-data does not fit into Compute Engine's metadata.";
    CannotCache = "cannot-cache", "The cache of archives cannot be read or written.";
    CannotEdit = "cannot-edit", "A manifest that is written in a way in which it is not edited.";
    ChecksumMismatch = "checksum-mismatch", "Bytes do not match their published checksum, or two published checksums differ.";
    Contradiction = "contradiction", "Two settings that cannot both hold.";
    CouldNotCheck = "could-not-check", "Something that an audit could not look at.";
    DiskTooSmall = "disk-too-small", "Not enough room on a disk.";
    Downgrade = "downgrade", "The newest release is older than the locked one.";
    Duplicate = "duplicate", "The same key or name twice.";
    EditedMeanwhile = "edited-meanwhile", "Another program changed a file of the project while the command ran.";
    FreeTier = "free-tier", "The free tier's machine type, outside the free tier's limits.";
    InputTooLarge = "input-too-large", "A file beyond the size that is read.";
    Interrupted = "interrupted", "The command was ended by Ctrl-C or a signal.";
    IoFailed = "io-failed", "The operating system refused to read or write a file.";
    LessTrust = "less-trust", "Less evidence for a checksum than is locked.";
    LiteralSecret = "literal-secret", "A secret's value in place of its source.";
    MachineTooSmall = "machine-too-small", "Not enough memory for the chosen strategy.";
    MissingFile = "missing-file", "A file of the project that is not there.";
    MissingKey = "missing-key", "A key that must be there.";
    MissingLoader = "missing-loader", "An executable whose dynamic loader the base image does not have.";
    NeedsBuilder = "needs-builder", "Something that only a builder can put into an image.";
    NeedsTerminal = "needs-terminal", "Something that OpenClaw sets up with a person alone.";
    NewerVersion = "newer-version", "A tool of which there is a newer version than the locked one.";
    NoBuildForArch = "no-build-for-arch", "A tool without a build for the chosen architecture.";
    NoInternet = "no-internet", "A VM without a public address, and so without the internet unless there is Cloud NAT.";
    NotInImage = "not-in-image", "A locked tool that the image does not have.";
    NotInLock = "not-in-lock", "A program, file or setting of the image that neither the lock nor the base image has.";
    NotInManifest = "not-in-manifest", "A binary that the manifest does not have.";
    NotPublished = "not-published", "Something in the lock that its publisher does not bear out.";
    NotPushed = "not-pushed", "A finished image of which the lock has no digest.";
    NotText = "not-text", "A file that is not UTF-8.";
    NotYaml = "not-yaml", "A file that is not YAML, or that exceeds a limit of the YAML reader.";
    OtherRepository = "other-repository", "Another repository under a locked name.";
    RehearsalFailed = "rehearsal-failed", "A rehearsal could not start, or its gateway did not become ready.";
    Republished = "republished", "Another archive under a version that was locked.";
    RepositoryMoved = "repository-moved", "A repository whose releases are found under another name.";
    ReservedName = "reserved-name", "A name that the rendered files use themselves.";
    StaleLock = "stale-lock", "The lock does not fit spec and manifest.";
    TagMoved = "tag-moved", "A tag of an image names another digest than before.";
    UnknownExecutable = "unknown-executable", "A lock without the checksum of an executable.";
    UnknownHosts = "unknown-hosts", "A provider or channel whose hosts are not known, with `egress: listed`.";
    UnknownKey = "unknown-key", "A key that does not exist.";
    UnknownMachine = "unknown-machine", "A machine type whose memory is not known here.";
    UnknownTool = "unknown-tool", "A tool that the catalog does not have.";
    UnsupportedVersion = "unsupported-version", "A file format version that this release does not read.";
    UpstreamFailed = "upstream-failed", "A publisher answered with an error.";
    UpstreamGone = "upstream-gone", "A published file no longer exists.";
    UpstreamUnreachable = "upstream-unreachable", "A publisher could not be asked.";
    VmDiffers = "vm-differs", "A running VM was made for another lock.";
    WrongType = "wrong-type", "A value of another type than asked for.";
}

/// The text of `docs/errors.md`, for reports that are read on their own.
const EXPLANATIONS: &str = include_str!("../../docs/errors.md");

impl Code {
    /// The paragraph of `docs/errors.md`, in Markdown.
    pub fn explanation(self) -> &'static str {
        let mut parts = EXPLANATIONS.split("\n## ").skip(1).filter_map(|part| part.split_once('\n'));
        parts.find(|(code, _)| *code == self.as_str()).map_or(self.meaning(), |(_, text)| text.trim())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn every_code_is_explained_by_more_than_its_meaning() {
        for code in Code::ALL {
            let text = code.explanation();
            assert!(text != code.meaning() && !text.contains("## ") && text.ends_with('.'), "{code}: {text}");
        }
    }
}

//! Verifies attestations: statements by a workflow of a repository about the files that it made.
//!
//! An attestation is a Sigstore bundle: the signed statement, a certificate that names repository and workflow,
//! and proofs that the certificate was valid and both were logged. Everything is verified offline, against the
//! embedded roots of Sigstore and GitHub, by `sigstore-verify`. `docs/decisions/0040-attestations.md` has the
//! reasons.

mod cosign;
mod crypto;

use std::fmt;
use std::str::FromStr;

use sigstore_verify::crypto::CertificateInfo;
use sigstore_verify::trust_root::{
    SIGSTORE_GITHUB_TRUSTED_ROOT, SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot,
};
use sigstore_verify::types::{Artifact, Bundle, Sha256Hash, SignatureContent, Statement};
use sigstore_verify::{Error, VerificationPolicy, Verifier};

use crate::diagnostics::quoted;
use crate::digest::Sha256;
use crate::project::names::RepoSlug;
use crate::project::values::{serialize_as_text, text_values};
use crate::text::excerpt;

/// The issuer of the identities of GitHub's workflows.
const ISSUER: &str = "https://token.actions.githubusercontent.com";
/// Identities, and repositories in certificates, begin like this.
const GITHUB: &str = "https://github.com/";
/// Types of statements about the origin of a file: of SLSA, of Python's index and of conda. Others (bills of materials, test
/// results, GitHub's own of a release) say nothing about it.
const PROVENANCE: [&str; 3] = [
    "https://slsa.dev/provenance/",
    "https://docs.pypi.org/attestations/publish/",
    "https://schemas.conda.org/attestations-publish-",
];
/// The longest name of a workflow, in bytes.
const LONGEST: usize = 300;

/// A workflow, `OWNER/REPO/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workflow(String);

/// The text is not `OWNER/REPO/PATH`.
#[derive(Debug, thiserror::Error)]
#[error("{} is not a workflow, OWNER/REPO/PATH", quoted(.0))]
pub struct NotAWorkflow(String);

impl FromStr for Workflow {
    type Err = NotAWorkflow;

    fn from_str(text: &str) -> Result<Self, NotAWorkflow> {
        let is_fine = text.len() <= LONGEST
            && text.bytes().all(|byte| byte.is_ascii_graphic())
            && text.split('/').count() >= 3
            && text.split('/').all(|part| !part.is_empty());
        if is_fine { Ok(Self(text.to_owned())) } else { Err(NotAWorkflow(excerpt(text, LONGEST))) }
    }
}

impl fmt::Display for Workflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_values! { Workflow = "Workflow", {"type": "string", "description": "A workflow: OWNER/REPO/PATH."}; }
serialize_as_text!(Workflow);

/// Why an attestation is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ProvenanceError {
    /// The text is not a bundle.
    #[error("it is not a Sigstore bundle: {0}")]
    Form(String),
    /// It is about something else than the origin.
    #[error("it is not about the origin, but of the type {}", quoted(.0))]
    OtherType(String),
    /// It signs the content itself, which was not given.
    #[error("it signs the file's content, which is larger than {LARGEST_MESSAGE} bytes")]
    NeedsContent,
    /// It is about another file.
    #[error("it is about another file")]
    OtherFile,
    /// The signature does not fit.
    #[error("its signature does not fit: {0}")]
    Broken(String),
    /// Certificate, log or time stamp do not verify.
    #[error("{0}")]
    Unproven(String),
    /// The signer is not a workflow on GitHub.
    #[error("it was signed by {}, not by a workflow on GitHub", quoted(.0))]
    NotByWorkflow(String),
    /// The workflow ran in another repository.
    #[error("it was made in the repository {}", quoted(.0))]
    OtherRepository(String),
    /// The repository of this name had another id then.
    #[error("it was made in another repository of this name: its id was {}", quoted(.0))]
    OtherId(String),
}

/// The largest content that is held in memory to verify a signature of it.
pub const LARGEST_MESSAGE: u64 = 256 << 20;

/// The repository that a file is published by.
#[derive(Clone, Copy, Debug)]
pub struct Publisher<'a> {
    /// Its name.
    pub repo: &'a RepoSlug,
    /// GitHub's number of it, if it is known.
    pub id: Option<u64>,
}

/// A parsed attestation.
pub struct Attestation(Bundle);

impl FromStr for Attestation {
    type Err = ProvenanceError;

    fn from_str(text: &str) -> Result<Self, ProvenanceError> {
        let form = |error: String| ProvenanceError::Form(excerpt(&error, 200));
        let converted = cosign::to_bundle(text).transpose().map_err(form)?;
        let bundle = Bundle::from_json(converted.as_deref().unwrap_or(text));
        let bundle = bundle.map_err(|error| form(error.to_string()))?;
        if let SignatureContent::DsseEnvelope(envelope) = &bundle.content {
            let statement: Statement = serde_json::from_slice(envelope.payload.as_bytes())
                .map_err(|error| form(format!("its statement: {error}")))?;
            if !PROVENANCE.iter().any(|known| statement.predicate_type.starts_with(known)) {
                return Err(ProvenanceError::OtherType(excerpt(&statement.predicate_type, 200)));
            }
        }
        Ok(Self(bundle))
    }
}

impl Attestation {
    /// Whether it signs the content of the file, not a statement with its digest.
    pub fn signs_content(&self) -> bool {
        matches!(self.0.content, SignatureContent::MessageSignature(_))
    }
}

/// The roots of trust.
pub struct Authorities(Vec<Authority>);

struct Authority {
    verifier: Verifier,
    policy: VerificationPolicy,
    /// Whether its certificates are used with a transparency log.
    has_log: bool,
}

impl Authority {
    fn new(json: &str) -> Result<Self, Error> {
        let root = TrustedRoot::from_json(json)?;
        // [`workflow`] decides about the identity, after everything else was verified.
        let mut policy = VerificationPolicy::any_identity();
        let has_log = !root.tlogs.is_empty();
        // Private repositories are in no public log; their root has none, but time stamps.
        if !has_log {
            policy = policy.skip_tlog_unsafe();
        }
        if root.ctlogs.is_empty() {
            policy = policy.skip_sct();
        }
        Ok(Self { verifier: Verifier::new(&root)?, policy, has_log })
    }
}

impl Authorities {
    /// Sigstore's and GitHub's.
    ///
    /// # Panics
    /// Never: a test reads both.
    pub fn embedded() -> Self {
        crypto::install();
        let roots = [SIGSTORE_PRODUCTION_TRUSTED_ROOT, SIGSTORE_GITHUB_TRUSTED_ROOT];
        Self(roots.iter().map(|root| Authority::new(root).expect("a root")).collect())
    }

    /// With another root, in Sigstore's format `trusted_root.json`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn with(mut self, root: &str) -> Result<Self, String> {
        self.0.push(Authority::new(root).map_err(|error| excerpt(&error.to_string(), 200))?);
        Ok(self)
    }

    /// Verifies that a workflow of `publisher` made the file with this digest. `content` is the file's, for
    /// attestations that sign it.
    ///
    /// # Errors
    /// If any part does not verify.
    pub fn verify(
        &self,
        attestation: &Attestation,
        sha256: &Sha256,
        content: Option<&[u8]>,
        publisher: Publisher<'_>,
    ) -> Result<Workflow, ProvenanceError> {
        let bundle = &attestation.0;
        let is_logged = !bundle.verification_material.tlog_entries.is_empty();
        let mut failed = ProvenanceError::Unproven("no root of trust is known".to_owned());
        for authority in self.0.iter().filter(|authority| authority.has_log == is_logged) {
            let verify =
                |artifact: Artifact<'_>| authority.verifier.verify(artifact, bundle, &authority.policy);
            let verified = match content {
                _ if !attestation.signs_content() => {
                    let digest = Sha256Hash::from_hex(&sha256.to_string());
                    digest.map_err(Error::from).and_then(|digest| verify(digest.into()))
                }
                Some(content) if Sha256::of(content) == *sha256 => {
                    crypto::with_message(content, || verify(content.into()))
                }
                Some(_) => return Err(ProvenanceError::OtherFile),
                None => return Err(ProvenanceError::NeedsContent),
            };
            match verified {
                Ok(verified) => {
                    return verified.certificate().map_or_else(
                        || Err(ProvenanceError::Unproven("it has no certificate".to_owned())),
                        |certificate| workflow(certificate, publisher),
                    );
                }
                // An authority that does not know the certificate hides no better reason.
                Err(error) => failed = better(failed, of_library(error)),
            }
        }
        Err(failed)
    }
}

/// The reason that says more.
fn better(before: ProvenanceError, now: ProvenanceError) -> ProvenanceError {
    if matches!(now, ProvenanceError::Unproven(_)) && !matches!(before, ProvenanceError::Unproven(_)) {
        before
    } else {
        now
    }
}

fn of_library(error: Error) -> ProvenanceError {
    match error {
        Error::ArtifactMismatch(_) => ProvenanceError::OtherFile,
        Error::SignatureInvalid(why) => ProvenanceError::Broken(excerpt(&why, 200)),
        error => ProvenanceError::Unproven(excerpt(&error.to_string(), 200)),
    }
}

/// The workflow that a verified certificate names, if it ran in the publisher's repository.
fn workflow(certificate: &CertificateInfo, publisher: Publisher<'_>) -> Result<Workflow, ProvenanceError> {
    let claims = &certificate.ci_claims;
    let identity = certificate.identity.as_ref().map(ToString::to_string).unwrap_or_default();
    if certificate.issuer.as_deref() != Some(ISSUER) {
        return Err(ProvenanceError::NotByWorkflow(excerpt(&identity, LONGEST)));
    }
    let path = identity.strip_prefix(GITHUB).and_then(|path| path.split_once('@'));
    let workflow = path.and_then(|(path, _)| path.parse::<Workflow>().ok());
    let workflow = workflow.ok_or_else(|| ProvenanceError::NotByWorkflow(excerpt(&identity, LONGEST)))?;
    let source = claims.source_repository_uri.as_deref().and_then(|uri| uri.strip_prefix(GITHUB));
    // Certificates of 2022 have only the older field.
    let source = source.or(claims.deprecated_github.workflow_repository.as_deref()).unwrap_or_default();
    let is_of_name = source.eq_ignore_ascii_case(publisher.repo.as_str());
    match (&claims.source_repository_identifier, publisher.id) {
        // The id outlasts the name.
        (Some(then), Some(now)) if *then == now.to_string() => Ok(workflow),
        (Some(then), Some(_)) if is_of_name => Err(ProvenanceError::OtherId(excerpt(then, 40))),
        (_, None) | (None, _) if is_of_name => Ok(workflow),
        _ => Err(ProvenanceError::OtherRepository(excerpt(source, 200))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use sigstore_verify::trust_root::SIGSTORE_STAGING_TRUSTED_ROOT;

    use super::*;

    /// Verifies a bundle of any type, after `edit`.
    fn verify(
        known: &Authorities,
        text: &str,
        sha256: &str,
        edit: impl FnOnce(&mut Value),
    ) -> ProvenanceError {
        let mut bundle: Value = serde_json::from_str(text).expect("JSON");
        edit(&mut bundle);
        let bundle = Bundle::from_json(&bundle.to_string()).expect("a bundle");
        let sha256 = sha256.parse().expect("a digest");
        let repo = "owner/tool".parse().expect("a repository");
        let publisher = Publisher { repo: &repo, id: None };
        known.verify(&Attestation(bundle), &sha256, None, publisher).expect_err("nothing of ours")
    }

    fn flip(bundle: &mut Value, at: &str) {
        let text = bundle.pointer_mut(at).expect("that value");
        let old = text.as_str().expect("a text");
        // A digit of a number, or a character in the middle of base64.
        let (before, after) = old.split_at(old.len() / 2);
        let other = if after.starts_with('1') { '2' } else { '1' };
        *text = format!("{before}{other}{}", &after[1..]).into();
    }

    /// Rekor 2 states no promise and no time: time stamps and the inclusion proof are verified. The
    /// bundle was signed by a person at Sigstore's staging instance, whose root is not embedded.
    #[test]
    fn a_real_bundle_of_rekor_2_is_verified() {
        let text = include_str!("../../fixtures/attestations/rekor-2.sigstore.json");
        let file = "54303491a8418fbed24344b513546182c29b43bf282ceb433af65e2299f9271f";
        let staging = || Authorities::embedded().with(SIGSTORE_STAGING_TRUSTED_ROOT).expect("a root");
        let why = verify(&staging(), text, file, |_| {});
        assert!(matches!(why, ProvenanceError::NotByWorkflow(_)), "{why}");
        let why = verify(&Authorities::embedded(), text, file, |_| {});
        assert!(matches!(why, ProvenanceError::Unproven(_)), "{why}");
        let why = verify(&staging(), text, &"0".repeat(64), |_| {});
        assert!(matches!(why, ProvenanceError::OtherFile), "{why}");
        let log = "/verificationMaterial/tlogEntries/0";
        for at in [
            format!("{log}/inclusionProof/hashes/0"),
            format!("{log}/canonicalizedBody"),
            "/dsseEnvelope/signatures/0/sig".to_owned(),
        ] {
            let why = verify(&staging(), text, file, |bundle| flip(bundle, &at));
            assert!(!matches!(why, ProvenanceError::NotByWorkflow(_)), "{at}: {why}");
        }
        let why = verify(&staging(), text, file, |bundle| {
            bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"] =
                Value::Array(vec![]);
        });
        assert!(matches!(why, ProvenanceError::Unproven(_)), "{why}");
        // The size of the log, in the checkpoint that the log signed.
        let why = verify(&staging(), text, file, |bundle| {
            let checkpoint = bundle.pointer_mut(&format!("{log}/inclusionProof/checkpoint/envelope"));
            let checkpoint = checkpoint.expect("a checkpoint");
            *checkpoint = checkpoint.as_str().expect("a text").replacen("\n41", "\n42", 1).into();
        });
        assert!(matches!(why, ProvenanceError::Unproven(_)), "{why}");
    }

    /// GitHub's own authority signs releases and the attestations of private repositories, with time stamps and
    /// without a log.
    #[test]
    fn a_real_bundle_of_githubs_authority_is_verified() {
        let text = include_str!("../../fixtures/attestations/github-release.sigstore.json");
        let file = "b958c6046bab52febf958c94974e1ffcc450bff78c28d7233e179bfd73828912";
        let known = Authorities::embedded();
        let why = verify(&known, text, file, |_| {});
        assert!(matches!(why, ProvenanceError::NotByWorkflow(_)), "{why}");
        let why = verify(&known, text, &"0".repeat(64), |_| {});
        assert!(matches!(why, ProvenanceError::OtherFile), "{why}");
        for at in [
            "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp",
            "/verificationMaterial/certificate/rawBytes",
            "/dsseEnvelope/signatures/0/sig",
        ] {
            let why = verify(&known, text, file, |bundle| flip(bundle, at));
            assert!(!matches!(why, ProvenanceError::NotByWorkflow(_)), "{at}: {why}");
        }
    }
}

//! Any text as a Sigstore bundle: nothing panics, and nothing is accepted that no known authority signed.

#![no_main]

use std::sync::LazyLock;

use bake::digest::Sha256;
use bake::provenance::{Attestation, Authorities, Publisher};
use libfuzzer_sys::fuzz_target;

static AUTHORITIES: LazyLock<Authorities> = LazyLock::new(Authorities::embedded);

fuzz_target!(|input: &str| {
    let Ok(attestation) = input.parse::<Attestation>() else { return };
    let repo = "owner/tool".parse().expect("a repository");
    let publisher = Publisher { repo: &repo, id: None };
    let content = b"content";
    let verified = AUTHORITIES.verify(&attestation, &Sha256::of(content), Some(content), publisher);
    assert!(verified.is_err(), "{verified:?}");
});

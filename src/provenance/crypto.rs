//! Implements the cryptography of `sigstore-verify` with ring.
//!
//! ring verifies a signature of a message, not of its digest. The messages that are signed as such are at
//! hand: [`with_message`] lends one to the verification of its signature.

use std::cell::RefCell;
use std::rc::Rc;

use ring::digest::{self, Context};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use sigstore_verify::crypto::{
    CryptoProvider, Error, HashContext, Result, SigningScheme, install_default_provider,
};
use sigstore_verify::types::HashAlgorithm;

thread_local! {
    static MESSAGE: RefCell<Option<Rc<[u8]>>> = const { RefCell::new(None) };
}

#[derive(Debug)]
struct Ring;

struct HashState(Context);

/// Makes ring the provider of this process.
pub(super) fn install() {
    // It fails if it is installed already.
    let _ = install_default_provider(&Ring);
}

/// Calls `verify`, which may verify a signature of `message`.
pub(super) fn with_message<T>(message: &[u8], verify: impl FnOnce() -> T) -> T {
    MESSAGE.set(Some(message.into()));
    let result = verify();
    MESSAGE.set(None);
    result
}

fn algorithm(scheme: SigningScheme) -> Result<&'static dyn VerificationAlgorithm> {
    Ok(match scheme {
        SigningScheme::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
        SigningScheme::EcdsaP256Sha384 => &signature::ECDSA_P256_SHA384_ASN1,
        SigningScheme::EcdsaP384Sha256 => &signature::ECDSA_P384_SHA256_ASN1,
        SigningScheme::EcdsaP384Sha384 => &signature::ECDSA_P384_SHA384_ASN1,
        SigningScheme::Ed25519 => &signature::ED25519,
        SigningScheme::RsaPssSha256 => &signature::RSA_PSS_2048_8192_SHA256,
        SigningScheme::RsaPssSha384 => &signature::RSA_PSS_2048_8192_SHA384,
        SigningScheme::RsaPssSha512 => &signature::RSA_PSS_2048_8192_SHA512,
        SigningScheme::RsaPkcs1Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        SigningScheme::RsaPkcs1Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        SigningScheme::RsaPkcs1Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        _ => return Err(Error::UnsupportedAlgorithm(scheme.name().to_owned())),
    })
}

fn hash(algorithm: HashAlgorithm) -> Result<&'static digest::Algorithm> {
    Ok(match algorithm {
        HashAlgorithm::Sha2256 => &digest::SHA256,
        HashAlgorithm::Sha2384 => &digest::SHA384,
        HashAlgorithm::Sha2512 => &digest::SHA512,
        _ => return Err(Error::UnsupportedAlgorithm(algorithm.to_string())),
    })
}

impl HashContext for HashState {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self: Box<Self>) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

impl CryptoProvider for Ring {
    fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>> {
        Ok(Box::new(HashState(Context::new(hash(algorithm)?))))
    }

    fn verify_raw(&self, scheme: SigningScheme, key: &[u8], data: &[u8], signature: &[u8]) -> Result<()> {
        let verified = UnparsedPublicKey::new(algorithm(scheme)?, key).verify(data, signature);
        verified.map_err(|_| Error::Verification(format!("the {} signature does not fit", scheme.name())))
    }

    fn verify_prehashed(
        &self,
        scheme: SigningScheme,
        key: &[u8],
        digest: &[u8],
        signature: &[u8],
    ) -> Result<()> {
        let of = scheme.hash_algorithm().ok_or_else(|| Error::UnsupportedAlgorithm(scheme.name().to_owned()));
        let of = hash(of?)?;
        let message = MESSAGE.with_borrow(Clone::clone);
        let message = message.filter(|message| digest::digest(of, message).as_ref() == digest);
        let message = message.ok_or_else(|| Error::Verification("the message is not at hand".to_owned()))?;
        self.verify_raw(scheme, key, &message, signature)
    }
}

//! Minisign signatures (<https://jedisct1.github.io/minisign/>, "Signature format").
//!
//! A key proves something only if it is not delivered together with the signed file, so it is in the manifest.

use std::io::{self, Read};

use minisign_verify::{Error as Verdict, PublicKey, Signature};

use crate::diagnostics::quoted;
use crate::project::names::MinisignKey;

/// Why a signature does not hold.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The key in the manifest is none.
    #[error("the manifest's minisign key is not one")]
    Key,
    /// The signature file is none.
    #[error("it is not a minisign signature")]
    Form,
    /// It was made by another key.
    #[error("it was made with another key than the manifest's")]
    AnotherKey,
    /// An old form, in which the whole content has to be in memory.
    #[error("it is of minisign's legacy form (made with `-l`), which is not read")]
    Legacy,
    /// The content is not what was signed.
    #[error("it does not fit: the file is not what was signed")]
    Broken,
    /// It was made for a file of another name, as an older one would be under a newer version's.
    #[error("it was made for another file, {}", quoted(.0))]
    AnotherFile(String),
    /// The content could not be read.
    #[error("the signed file could not be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// Verifies the signature of `content`, which is read to its end, with `key`. If the trusted comment has a file
/// name, as minisign adds by default, it must be `name`.
///
/// # Errors
/// Where it does not hold, or could not be read.
pub fn verify(
    key: &MinisignKey,
    signature: &str,
    name: &str,
    content: &mut dyn Read,
) -> Result<(), SignatureError> {
    let key = PublicKey::from_base64(key.as_str()).map_err(|_| SignatureError::Key)?;
    let signature = Signature::decode(signature).map_err(|_| SignatureError::Form)?;
    let mut verifier = key.verify_stream(&signature).map_err(|verdict| match verdict {
        Verdict::UnexpectedKeyId => SignatureError::AnotherKey,
        Verdict::UnsupportedLegacyMode => SignatureError::Legacy,
        _ => SignatureError::Form,
    })?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match content.read(&mut buffer)? {
            0 => break,
            length => verifier.update(&buffer[..length]),
        }
    }
    verifier.finalize().map_err(|_| SignatureError::Broken)?;
    let mut fields = signature.trusted_comment().split('\t');
    match fields.find_map(|field| field.strip_prefix("file:")).filter(|signed| *signed != name) {
        Some(other) => Err(SignatureError::AnotherFile(other.to_owned())),
        None => Ok(()),
    }
}

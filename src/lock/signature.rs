//! Minisign signatures (<https://jedisct1.github.io/minisign/>, "Signature format").
//!
//! The key is in the manifest, apart from what it signs. The signature is in the lock, so that it is
//! verified before each use, without a network.

use std::io::{self, Read};
use std::str::FromStr;

use minisign_verify::{Error as Verdict, PublicKey, Signature as Minisign, StreamVerifier};
use serde::{Serialize, Serializer};

use crate::diagnostics::quoted;
use crate::project::names::MinisignKey;
use crate::project::values::text_values;

/// The longest signature that is kept, in bytes: comments are a line each.
const LONGEST: usize = 4096;

/// The content of a signature file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature(String);

impl FromStr for Signature {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        // Lines after the fourth are not signed.
        let lines: Vec<_> = text.lines().map(str::trim_end).take(4).collect();
        let text = lines.join("\n");
        let clean = |c: char| c == '\n' || c == '\t' || c >= ' ' && c != '\u{7f}';
        if text.len() > LONGEST || !text.chars().all(clean) {
            return Err(SignatureError::Form);
        }
        let this = Self(text);
        this.parsed()?;
        Ok(this)
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

text_values! {
    Signature = "Signature", {"type": "string", "description": "The content of a minisign signature file."};
}

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

impl Signature {
    /// Whether it claims to be made by `key`. Only [`verify`](Self::verify) proves it.
    pub fn names(&self, key: &MinisignKey) -> bool {
        let (Ok(key), Ok(parsed)) = (PublicKey::from_base64(key.as_str()), self.parsed()) else {
            return false;
        };
        verifier(&key, &parsed).is_ok()
    }

    /// Verifies `content`, read to its end. If the signed comment names a file, as minisign writes by
    /// itself, that must be `name`.
    ///
    /// # Errors
    /// If it does not verify, or `content` cannot be read.
    pub fn verify(
        &self,
        key: &MinisignKey,
        name: &str,
        content: &mut dyn Read,
    ) -> Result<(), SignatureError> {
        let key = PublicKey::from_base64(key.as_str()).map_err(|_| SignatureError::Key)?;
        let parsed = self.parsed()?;
        let mut verifier = verifier(&key, &parsed)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => verifier.update(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        verifier.finalize().map_err(|_| SignatureError::Broken)?;
        let mut fields = parsed.trusted_comment().split('\t');
        match fields.find_map(|field| field.strip_prefix("file:")).filter(|signed| *signed != name) {
            Some(other) => Err(SignatureError::AnotherFile(other.to_owned())),
            None => Ok(()),
        }
    }

    fn parsed(&self) -> Result<Minisign, SignatureError> {
        Minisign::decode(&self.0).map_err(|_| SignatureError::Form)
    }
}

fn verifier<'a>(key: &'a PublicKey, signature: &'a Minisign) -> Result<StreamVerifier<'a>, SignatureError> {
    key.verify_stream(signature).map_err(|verdict| match verdict {
        Verdict::UnexpectedKeyId => SignatureError::AnotherKey,
        Verdict::UnsupportedLegacyMode => SignatureError::Legacy,
        _ => SignatureError::Form,
    })
}

//! Reads the bundles of `cosign sign-blob --bundle` before version 3, which are not Sigstore bundles.
//!
//! They have the log's promise to include the signature, and no proof that it did: Sigstore's bundles of
//! version 0.1 may have just as much, so one is made of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use sigstore_verify::types::{DerCertificate, Sha256Hash};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CosignBundle {
    base64_signature: String,
    /// A certificate, or the key that signed, as PEM; most versions encode it once more.
    cert: String,
    rekor_bundle: Promise,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Promise {
    signed_entry_timestamp: String,
    payload: Promised,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Promised {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

/// Converts cosign's old bundle into a Sigstore bundle; `None` if `text` is something else.
///
/// # Errors
/// If a part is missing or cannot be read.
pub(super) fn to_bundle(text: &str) -> Option<Result<String, String>> {
    let value: Value = serde_json::from_str(text).ok()?;
    value.get("base64Signature")?;
    Some(converted(value))
}

fn converted(value: Value) -> Result<String, String> {
    let cosign: CosignBundle = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let Promise { signed_entry_timestamp, payload } = cosign.rekor_bundle;
    let body = STANDARD.decode(&payload.body).map_err(|error| format!("its log entry: {error}"))?;
    let body: Value = serde_json::from_slice(&body).map_err(|error| format!("its log entry: {error}"))?;
    let of_body = |at: &str| body.pointer(at).and_then(Value::as_str).unwrap_or_default();
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "verificationMaterial": {
            "x509CertificateChain": { "certificates": [{ "rawBytes": certificate(&cosign.cert)? }] },
            "tlogEntries": [{
                "logIndex": payload.log_index.to_string(),
                "logId": { "keyId": digest(&payload.log_id)? },
                "kindVersion": { "kind": of_body("/kind"), "version": of_body("/apiVersion") },
                "integratedTime": payload.integrated_time.to_string(),
                "inclusionPromise": { "signedEntryTimestamp": signed_entry_timestamp },
                "canonicalizedBody": payload.body,
            }],
        },
        "messageSignature": {
            "messageDigest": {
                "algorithm": "SHA2_256",
                "digest": digest(of_body("/spec/data/hash/value"))?,
            },
            "signature": cosign.base64_signature,
        },
    });
    Ok(bundle.to_string())
}

/// The certificate, in base64.
fn certificate(cert: &str) -> Result<String, String> {
    let decoded = STANDARD.decode(cert.trim()).ok().and_then(|pem| String::from_utf8(pem).ok());
    let certificate = DerCertificate::from_pem(decoded.as_deref().unwrap_or(cert));
    certificate.map(|der| der.to_base64()).map_err(|error| format!("its certificate: {error}"))
}

fn digest(hex: &str) -> Result<String, String> {
    Sha256Hash::from_hex(hex).map(|hash| hash.to_base64()).map_err(|error| format!("its log entry: {error}"))
}

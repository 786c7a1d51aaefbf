//! A throw-away authority for attestations: certificates as Fulcio makes them, a log as Rekor keeps it.

use bake::digest::Sha256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

/// Certificates are valid for this long, in seconds.
const LIFE: i64 = 600;

const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];
/// Fulcio's extensions, without the last number.
const FULCIO: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0xbf, 0x30, 1];

/// A workflow run.
#[derive(Clone)]
pub struct Run {
    pub repo: String,
    pub id: u64,
    pub workflow: String,
    pub issuer: String,
    /// When it signs, in seconds after its certificate's begin.
    pub signs_after: i64,
}

impl Run {
    pub fn of(repo: &str, id: u64) -> Self {
        Self {
            repo: repo.to_owned(),
            id,
            workflow: format!("{repo}/.github/workflows/release.yml"),
            issuer: "https://token.actions.githubusercontent.com".to_owned(),
            signs_after: 60,
        }
    }
}

pub struct Authority {
    ca: EcdsaKeyPair,
    log: EcdsaKeyPair,
    random: SystemRandom,
    begin: Timestamp,
}

impl Authority {
    pub fn new() -> Self {
        let random = SystemRandom::new();
        let begin = Timestamp::now() - SignedDuration::from_hours(2);
        Self { ca: key(&random), log: key(&random), random, begin }
    }

    /// As `trusted_root.json`.
    pub fn root(&self) -> String {
        let start = (self.begin - SignedDuration::from_hours(24)).to_string();
        let spki = spki(&self.log);
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [{
                "baseUrl": "https://rekor.test",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(&spki),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": { "start": start },
                },
                "logId": { "keyId": STANDARD.encode(raw(&spki)) },
            }],
            "certificateAuthorities": [{
                "subject": { "organization": "test", "commonName": "test" },
                "uri": "https://fulcio.test",
                "certChain": { "certificates": [{ "rawBytes": STANDARD.encode(self.ca_certificate()) }] },
                "validFor": { "start": start },
            }],
            "ctlogs": [],
            "timestampAuthorities": [],
        })
        .to_string()
    }

    /// An attestation that `run` made the file with this digest.
    pub fn attest(&self, run: &Run, name: &str, sha256: Sha256) -> Value {
        self.state(run, "https://slsa.dev/provenance/v1", name, sha256)
    }

    /// A statement of any type about the file with this digest.
    pub fn state(&self, run: &Run, predicate: &str, name: &str, sha256: Sha256) -> Value {
        let payload = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "name": name, "digest": { "sha256": sha256.to_string() } }],
            "predicateType": predicate,
            "predicate": {},
        })
        .to_string();
        let of = "application/vnd.in-toto+json";
        let signed = format!("DSSEv1 {} {of} {} {payload}", of.len(), payload.len());
        let (certificate, signature) = self.signed(run, signed.as_bytes());
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": { "algorithm": "sha256", "value": "00".repeat(32) },
                "payloadHash": { "algorithm": "sha256", "value": Sha256::of(&payload).to_string() },
                "signatures": [{ "signature": signature, "verifier": STANDARD.encode(pem(&certificate)) }],
            },
        });
        let mut bundle = self.bundle(run, &certificate, "dsse", &body);
        bundle["dsseEnvelope"] = json!({
            "payload": STANDARD.encode(&payload),
            "payloadType": of,
            "signatures": [{ "sig": signature }],
        });
        bundle
    }

    /// A signature of `content` itself, as `cosign sign-blob` makes it.
    pub fn sign(&self, run: &Run, content: &[u8]) -> Value {
        let (certificate, signature) = self.signed(run, content);
        let digest = Sha256::of(content);
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": { "hash": { "algorithm": "sha256", "value": digest.to_string() } },
                "signature": {
                    "content": signature,
                    "publicKey": { "content": STANDARD.encode(pem(&certificate)) },
                },
            },
        });
        let mut bundle = self.bundle(run, &certificate, "hashedrekord", &body);
        bundle["messageSignature"] = json!({
            "messageDigest": { "algorithm": "SHA2_256", "digest": STANDARD.encode(raw(content)) },
            "signature": signature,
        });
        bundle
    }

    /// The same in the format that cosign wrote before version 3: the log's promise, and no proof of inclusion.
    pub fn cosign(&self, run: &Run, content: &[u8]) -> Value {
        let bundle = self.sign(run, content);
        let at = |pointer: &str| bundle.pointer(pointer).and_then(Value::as_str).expect("that value");
        let log = |part: &str| at(&format!("/verificationMaterial/tlogEntries/0/{part}"));
        let decoded = |text: &str| STANDARD.decode(text).expect("base64");
        let log_id: String = decoded(log("logId/keyId")).iter().map(|byte| format!("{byte:02x}")).collect();
        json!({
            "base64Signature": at("/messageSignature/signature"),
            "cert": STANDARD.encode(pem(&decoded(at("/verificationMaterial/certificate/rawBytes")))),
            "rekorBundle": {
                "SignedEntryTimestamp": log("inclusionPromise/signedEntryTimestamp"),
                "Payload": {
                    "body": log("canonicalizedBody"),
                    "integratedTime": log("integratedTime").parse::<i64>().expect("a number"),
                    "logIndex": 0,
                    "logID": log_id,
                },
            },
        })
    }

    fn signed(&self, run: &Run, message: &[u8]) -> (Vec<u8>, String) {
        let key = key(&self.random);
        let certificate = self.certificate(run, &key);
        (certificate, STANDARD.encode(self.ecdsa(&key, message)))
    }

    fn bundle(&self, run: &Run, certificate: &[u8], kind: &str, body: &Value) -> Value {
        let body = body.to_string();
        let log_id = raw(&spki(&self.log));
        let time = (self.begin + SignedDuration::from_secs(run.signs_after)).as_second();
        let promise = json!({
            "body": STANDARD.encode(&body),
            "integratedTime": time,
            "logID": log_id.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
            "logIndex": 0,
        })
        .to_string();
        // The only leaf is the root.
        let root = STANDARD.encode(raw(&[&[0], body.as_bytes()].concat()));
        let note = format!("rekor.test - 1\n1\n{root}\n");
        let hinted = [&log_id[..4], &self.ecdsa(&self.log, note.as_bytes())].concat();
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": { "rawBytes": STANDARD.encode(certificate) },
                "tlogEntries": [{
                    "logIndex": "0",
                    "logId": { "keyId": STANDARD.encode(log_id) },
                    "kindVersion": { "kind": kind, "version": "0.0.1" },
                    "integratedTime": time.to_string(),
                    "inclusionPromise": {
                        "signedEntryTimestamp": STANDARD.encode(self.ecdsa(&self.log, promise.as_bytes())),
                    },
                    "inclusionProof": {
                        "logIndex": "0",
                        "rootHash": root,
                        "treeSize": "1",
                        "hashes": [],
                        "checkpoint": {
                            "envelope": format!("{note}\n\u{2014} rekor.test {}\n", STANDARD.encode(hinted)),
                        },
                    },
                    "canonicalizedBody": STANDARD.encode(&body),
                }],
            },
        })
    }

    fn ecdsa(&self, key: &EcdsaKeyPair, message: &[u8]) -> Vec<u8> {
        key.sign(&self.random, message).expect("a signature").as_ref().to_vec()
    }

    fn ca_certificate(&self) -> Vec<u8> {
        let extensions = [
            extension(&[0x55, 0x1d, 0x13], true, &seq(&[&tlv(1, &[0xff])])),
            extension(&[0x55, 0x1d, 0x0f], true, &tlv(3, &[1, 6])),
        ];
        let day = SignedDuration::from_hours(24);
        self.issued(&name("test"), &self.ca, self.begin - day, self.begin + day * 30, &extensions)
    }

    fn certificate(&self, run: &Run, key: &EcdsaKeyPair) -> Vec<u8> {
        let identity = format!("https://github.com/{}@refs/tags/v1", run.workflow);
        let fulcio = |number: u8, value: &str| {
            extension(&[FULCIO, &[number]].concat(), false, &tlv(0x0c, value.as_bytes()))
        };
        let extensions = [
            extension(&[0x55, 0x1d, 0x0f], true, &tlv(3, &[7, 0x80])),
            extension(&[0x55, 0x1d, 0x25], false, &seq(&[&tlv(6, CODE_SIGNING)])),
            extension(&[0x55, 0x1d, 0x11], true, &seq(&[&tlv(0x86, identity.as_bytes())])),
            fulcio(8, &run.issuer),
            fulcio(12, &format!("https://github.com/{}", run.repo)),
            fulcio(15, &run.id.to_string()),
        ];
        self.issued(&seq(&[]), key, self.begin, self.begin + SignedDuration::from_secs(LIFE), &extensions)
    }

    fn issued(
        &self,
        subject: &[u8],
        key: &EcdsaKeyPair,
        from: Timestamp,
        to: Timestamp,
        extensions: &[Vec<u8>],
    ) -> Vec<u8> {
        let time = |at: Timestamp| tlv(0x17, at.strftime("%y%m%d%H%M%SZ").to_string().as_bytes());
        let algorithm = seq(&[&tlv(6, ECDSA_SHA256)]);
        let certified = seq(&[
            &tlv(0xa0, &tlv(2, &[2])),
            &tlv(2, &[7]),
            &algorithm,
            &name("test"),
            &seq(&[&time(from), &time(to)]),
            subject,
            &spki(key),
            &tlv(0xa3, &tlv(0x30, &extensions.concat())),
        ]);
        let signature = [&[0], self.ecdsa(&self.ca, &certified).as_slice()].concat();
        seq(&[&certified, &algorithm, &tlv(3, &signature)])
    }
}

fn key(random: &SystemRandom) -> EcdsaKeyPair {
    let of = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(of, random).expect("a key");
    EcdsaKeyPair::from_pkcs8(of, document.as_ref(), random).expect("a key")
}

fn spki(key: &EcdsaKeyPair) -> Vec<u8> {
    let point = [&[0], key.public_key().as_ref()].concat();
    seq(&[&seq(&[&tlv(6, PUBLIC_KEY), &tlv(6, P256)]), &tlv(3, &point)])
}

fn name(common: &str) -> Vec<u8> {
    seq(&[&tlv(0x31, &seq(&[&tlv(6, COMMON_NAME), &tlv(0x0c, common.as_bytes())]))])
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { tlv(1, &[0xff]) } else { Vec::new() };
    seq(&[&tlv(6, oid), &critical, &tlv(4, value)])
}

fn seq(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).expect("a short value").to_be_bytes();
    let mut out = vec![tag];
    match value.len() {
        0..0x80 => out.push(length[3]),
        0x80..0x100 => out.extend([0x81, length[3]]),
        _ => out.extend([0x82, length[2], length[3]]),
    }
    out.extend(value);
    out
}

fn raw(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().to_vec()
}

fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

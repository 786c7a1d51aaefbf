//! Attestations: real ones, and those of a throw-away authority.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::github::{Release, Style, TOKEN};
use crate::support::sigstore::{Authority, Run};
use crate::support::test;
use crate::support::world::{World, archive, release};
use bake::digest::Sha256;
use bake::lock::Evidence;
use bake::project::values::Arch;
use bake::provenance::{Attestation, Authorities, ProvenanceError, Publisher, Workflow};

const REPO: &str = "owner/tool";

fn real(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/attestations").join(name);
    fs::read_to_string(path).expect("a fixture")
}

/// Verifies an attestation of the file with this digest or content, which `repo` publishes.
fn verify(
    authorities: &Authorities,
    text: &str,
    sha256: Sha256,
    content: Option<&[u8]>,
    repo: &str,
    id: Option<u64>,
) -> Result<Workflow, ProvenanceError> {
    let repo = repo.parse().expect("a repository");
    authorities.verify(&text.parse::<Attestation>()?, &sha256, content, Publisher { repo: &repo, id })
}

#[test]
fn real_attestations_are_verified() {
    let known = Authorities::embedded();
    let sha256: Sha256 =
        "54303491a8418fbed24344b513546182c29b43bf282ceb433af65e2299f9271f".parse().expect("a digest");
    let text = real("workflow.sigstore.json");
    let by = |sha256, repo, id| verify(&known, &text, sha256, None, repo, id);
    let workflow = by(sha256, "prefix-dev/sigstore-example", None).expect("it is genuine");
    assert_eq!(workflow.to_string(), "prefix-dev/sigstore-example/.github/workflows/action.yaml");
    let other = by(sha256, "prefix-dev/other", None);
    assert!(matches!(other, Err(ProvenanceError::OtherRepository(_))), "{other:?}");
    let other = by(sha256, "prefix-dev/sigstore-example", Some(7));
    assert!(matches!(other, Err(ProvenanceError::OtherId(_))), "{other:?}");
    let other = by(Sha256::of("other"), "prefix-dev/sigstore-example", None);
    assert!(matches!(other, Err(ProvenanceError::OtherFile)), "{other:?}");
    let shorter = verify(&known, &text[..text.len() / 2], sha256, None, REPO, None);
    assert!(matches!(shorter, Err(ProvenanceError::Form(_))), "{shorter:?}");
    let content = real("person.txt");
    let person = real("person.sigstore.json");
    let by_person =
        verify(&known, &person, Sha256::of(&content), Some(content.as_bytes()), "owner/tool", None);
    assert!(matches!(by_person, Err(ProvenanceError::NotByWorkflow(_))), "{by_person:?}");
    let release = verify(&known, &real("github-release.sigstore.json"), sha256, None, REPO, None);
    assert!(matches!(release, Err(ProvenanceError::OtherType(_))), "{release:?}");
}

fn base64(text: &str) -> Vec<u8> {
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).expect("base64")
}

/// Replaces the value at a JSON pointer.
fn edited(mut bundle: Value, at: &str, value: Value) -> String {
    *bundle.pointer_mut(at).expect("that value") = value;
    bundle.to_string()
}

#[test]
fn each_part_of_an_attestation_is_verified() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let known = Authorities::embedded().with(&authority.root()).expect("a root");
    let file = Sha256::of("the file");
    let run = Run::of(REPO, 42);
    let check = |text: &str, id| verify(&known, text, file, None, REPO, id);
    let good = authority.attest(&run, "file", file);
    for id in [None, Some(42)] {
        let workflow = check(&good.to_string(), id).expect("it is genuine");
        assert_eq!(workflow.to_string(), "owner/tool/.github/workflows/release.yml");
    }
    // The id outlasts the name.
    let renamed = Run { repo: "before/tool".to_owned(), ..run.clone() };
    check(&authority.attest(&renamed, "file", file).to_string(), Some(42)).expect("the same repository");
    let log = "/verificationMaterial/tlogEntries/0";
    let other = authority.attest(&run, "file", file);
    let of_other = |part: &str| other.pointer(&format!("{log}/{part}")).expect("that part").clone();
    let swapped = |part: &str| edited(good.clone(), &format!("{log}/{part}"), of_other(part));
    let refused = [
        ("another digest", authority.attest(&run, "file", Sha256::of("another")).to_string(), "another file"),
        (
            "another repository",
            authority.attest(&Run::of("evil/tool", 42_000), "file", file).to_string(),
            "made in the repository `evil/tool`",
        ),
        ("another id", authority.attest(&Run::of(REPO, 43), "file", file).to_string(), "its id was `43`"),
        (
            "signed after the certificate's end",
            authority.attest(&Run { signs_after: 601, ..run.clone() }, "file", file).to_string(),
            "CertExpired",
        ),
        (
            "signed before its begin",
            authority.attest(&Run { signs_after: -60, ..run.clone() }, "file", file).to_string(),
            "not",
        ),
        (
            "another issuer",
            authority
                .attest(&Run { issuer: "https://evil.test".to_owned(), ..run.clone() }, "file", file)
                .to_string(),
            "not by a workflow",
        ),
        (
            "no workflow",
            authority.attest(&Run { workflow: "x".to_owned(), ..run.clone() }, "file", file).to_string(),
            "not by a workflow",
        ),
        ("another authority", stranger.attest(&run, "file", file).to_string(), ""),
        (
            "a bill of materials",
            authority.state(&run, "https://spdx.dev/Document", "file", file).to_string(),
            "not about the origin",
        ),
        (
            "the content's signature without the content",
            authority.sign(&run, b"the file").to_string(),
            "signs the file's content",
        ),
        (
            "another signature",
            edited(
                good.clone(),
                "/dsseEnvelope/signatures/0/sig",
                other["dsseEnvelope"]["signatures"][0]["sig"].clone(),
            ),
            "",
        ),
        (
            "another certificate",
            edited(
                good.clone(),
                "/verificationMaterial/certificate/rawBytes",
                other["verificationMaterial"]["certificate"]["rawBytes"].clone(),
            ),
            "",
        ),
        ("the log entry of another signature", swapped("canonicalizedBody"), ""),
        ("another promise", swapped("inclusionPromise/signedEntryTimestamp"), ""),
        ("another checkpoint", swapped("inclusionProof/checkpoint/envelope"), ""),
        ("another root", swapped("inclusionProof/rootHash"), ""),
        (
            "a time that the log does not promise",
            edited(good.clone(), &format!("{log}/integratedTime"), json!("1700000000")),
            "",
        ),
        ("no log entry", edited(good.clone(), "/verificationMaterial/tlogEntries", json!([])), ""),
        ("cut off", good.to_string()[..900].to_owned(), "not a Sigstore bundle"),
        ("empty", "{}".to_owned(), "not a Sigstore bundle"),
    ];
    for (what, text, why) in refused {
        let id = if what == "another repository" { None } else { Some(42) };
        let error = check(&text, id).expect_err(what).to_string();
        assert!(error.contains(why), "{what}: {error}");
    }
}

#[test]
fn a_signature_of_the_content_is_verified() {
    let (authority, file) = (Authority::new(), Sha256::of("the file"));
    let known = Authorities::embedded().with(&authority.root()).expect("a root");
    let run = Run::of(REPO, 42);
    let signed = authority.sign(&run, b"the file").to_string();
    let content = |content: &[u8]| verify(&known, &signed, file, Some(content), REPO, Some(42));
    content(b"the file").expect("it is genuine");
    content(b"another one").expect_err("another content");
    let broken = edited(
        authority.sign(&run, b"the file"),
        "/messageSignature/signature",
        authority.sign(&run, b"the file")["messageSignature"]["signature"].clone(),
    );
    verify(&known, &broken, file, Some(b"the file"), REPO, None).expect_err("another signature");
    // Without its root, nothing of the throw-away authority counts.
    verify(&Authorities::embedded(), &signed, file, Some(b"the file"), REPO, None).expect_err("unknown");
}

#[test]
fn bundles_of_older_cosigns_are_verified() {
    let (authority, content) = (Authority::new(), &b"the file"[..]);
    let known = Authorities::embedded().with(&authority.root()).expect("a root");
    let run = Run::of(REPO, 42);
    let check =
        |text: &str, content: &[u8]| verify(&known, text, Sha256::of(content), Some(content), REPO, Some(42));
    let (good, other) = (authority.cosign(&run, content), authority.cosign(&run, content));
    check(&good.to_string(), content).expect("it is genuine");
    let plain_pem = String::from_utf8(base64(good["cert"].as_str().expect("a text"))).expect("UTF-8");
    check(&edited(good.clone(), "/cert", json!(plain_pem)), content).expect("it is genuine");

    let promise = "/rekorBundle/SignedEntryTimestamp";
    let swapped = |at: &str| edited(good.clone(), at, other.pointer(at).expect("that part").clone());
    let late = Run { signs_after: 601, ..run.clone() };
    let refused = [
        ("another signature", swapped("/base64Signature")),
        ("another certificate", swapped("/cert")),
        ("another log entry", swapped("/rekorBundle/Payload/body")),
        ("another promise", swapped(promise)),
        ("another time", edited(good.clone(), "/rekorBundle/Payload/integratedTime", json!(1_700_000_000))),
        ("signed after the certificate's end", authority.cosign(&late, content).to_string()),
        ("another authority", Authority::new().cosign(&run, content).to_string()),
        ("another repository", authority.cosign(&Run::of("evil/tool", 7), content).to_string()),
        ("a key in place of the certificate", edited(good.clone(), "/cert", json!("LS0tLS1CRUdJTiBQVUJM"))),
        ("no promise", edited(good.clone(), "/rekorBundle", json!(null))),
    ];
    for (what, text) in refused {
        check(&text, content).expect_err(what);
    }
    check(&good.to_string(), b"another file").expect_err("another file");

    // A real one, signed by a person in 2022.
    let (text, content) = (real("cosign.bundle"), &b"something\n"[..]);
    let check = |text: &str, content: &[u8]| {
        verify(&Authorities::embedded(), text, Sha256::of(content), Some(content), REPO, None)
    };
    let by_person = check(&text, content);
    assert!(matches!(by_person, Err(ProvenanceError::NotByWorkflow(_))), "{by_person:?}");
    let bundle: Value = serde_json::from_str(&text).expect("JSON");
    for edit in [
        edited(bundle.clone(), promise, good.pointer(promise).expect("a promise").clone()),
        edited(bundle.clone(), "/base64Signature", good["base64Signature"].clone()),
        edited(bundle.clone(), "/rekorBundle/Payload/logIndex", json!(7)),
    ] {
        let why = check(&edit, content).expect_err("it is edited");
        assert!(!matches!(why, ProvenanceError::NotByWorkflow(_)), "{why}");
    }
    let why = check(&text, b"another").expect_err("another file");
    assert!(matches!(why, ProvenanceError::OtherFile), "{why}");
    // Whatever else is in its place, nothing panics, and nothing becomes a workflow's.
    for at in (0..text.len()).step_by(7) {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'"' { b'0' } else { b'"' };
        check(&String::from_utf8(bytes).expect("ASCII"), content).expect_err("it is edited");
        check(&text[..at], content).expect_err("it is cut");
    }
}

/// A project with `tool`, and an authority that it trusts.
struct Attesting {
    world: World,
    authority: Authority,
}

impl Attesting {
    fn new(keys: &str, published: Release) -> Self {
        let authority = Authority::new();
        let world = World::new(&format!("  - {{name: tool, repo: {REPO}{keys}}}\n"));
        world.folder.write("root.json", authority.root());
        let path = world.folder.join("root.json");
        let world =
            world.with("GITHUB_TOKEN", TOKEN).with("BAKE_TRUSTED_ROOT", path.to_str().expect("UTF-8"));
        world.github.publish(REPO, published);
        Self { world, authority }
    }

    fn run(&self) -> Run {
        Run::of(REPO, self.world.github.id(REPO))
    }

    /// Attests both archives of a version.
    fn attest(&self, version: &str, run: &Run, inline: bool) {
        for arch in Arch::ALL {
            let sha256 = Sha256::of(archive("tool", version, arch));
            let bundle = self.authority.attest(run, "tool.tar.gz", sha256);
            self.world.github.attest(REPO, sha256, bundle, inline);
        }
    }
}

#[test]
fn an_attestation_counts_as_evidence_and_is_required_from_then_on() {
    let it = Attesting::new(", policy: {require: attested}", release("tool", "v1.0.0"));
    let said = it.world.bake(["lock"]).ended(1);
    assert!(said.err.contains("requires `attested`"), "{}", said.err);
    it.attest("1.0.0", &it.run(), true);
    let said = it.world.bake(["lock"]).done();
    assert!(said.out.contains("attested"), "{}", said.out);
    assert!(it.world.evidence("tool").contains(&Evidence::Attestation));
    let lock = it.world.folder.read("bake.lock");
    assert!(lock.contains("attested_by: owner/tool/.github/workflows/release.yml"), "{lock}");
    it.world.bake(["check"]).done();
    it.world.bake(["audit", "--against", "upstream"]).done();

    // A release made by hand has none.
    let manifest = it.world.folder.read("images/binaries.yaml").replace(", policy: {require: attested}", "");
    it.world.folder.write("images/binaries.yaml", manifest);
    it.world.github.publish(REPO, release("tool", "v1.1.0"));
    let said = it.world.bake(["lock", "--update"]).ended(1);
    assert!(said.err.contains("less-trust") && said.err.contains("was: attested"), "{}", said.err);
    // An attestation by another workflow is noticed too.
    let other = Run { workflow: format!("{REPO}/.github/workflows/new.yml"), ..it.run() };
    it.attest("1.1.0", &other, false);
    let said = it.world.bake(["lock", "--update"]).ended(1);
    assert!(
        said.err.contains("release.yml, and now by owner/tool/.github/workflows/new.yml"),
        "{}",
        said.err
    );
    it.world.bake(["lock", "--update", "--allow-less-trust", "tool"]).done();
    assert!(it.world.folder.read("bake.lock").contains("new.yml"));

    it.world.github.forget_attestations();
    let said = it.world.bake(["audit", "--against", "upstream"]).ended(1);
    assert!(said.out.contains("says that an attestation names it, and none does today"), "{}", said.out);
}

#[test]
fn an_attestation_that_does_not_count_is_reported() {
    let it = Attesting::new("", release("tool", "v1.0.0"));
    it.attest("1.0.0", &Run::of("evil/tool", 5), true);
    let said = it.world.bake(["lock"]).done();
    assert!(said.err.contains("an attestation exists and does not count"), "{}", said.err);
    assert!(!it.world.evidence("tool").contains(&Evidence::Attestation));
}

#[test]
fn bundles_in_the_release_are_read() {
    let it = Attesting::new("", release("tool", "v0.1.0"));
    let archives = release("tool", "v1.0.0");
    let (run, bundle) = (it.run(), |value: Value| value.to_string().into_bytes());
    let both = archives.assets.iter().fold(archives.clone(), |release, asset| {
        let signed = it.authority.sign(&run, &asset.bytes);
        release.asset(&format!("{}.sigstore.json", asset.name), bundle(signed))
    });
    it.world.github.publish(REPO, both);
    let said = it.world.bake(["lock"]).done();
    assert!(it.world.evidence("tool").contains(&Evidence::Attestation), "{}", said.err);
    assert!(!said.err.contains("was not checked"), "{}", said.err);
    it.world.bake(["audit", "--against", "upstream"]).done();

    // A signed list of checksums covers what it names.
    let listed = release("tool", "v1.1.0").checksums("checksums.txt", Style::Gnu);
    let list =
        listed.assets.iter().find(|asset| asset.name == "checksums.txt").expect("a list").bytes.clone();
    let signed = it.authority.sign(&run, &list);
    it.world.github.publish(REPO, listed.asset("checksums.txt.sigstore.json", bundle(signed)));
    it.world.bake(["lock", "--update"]).done();
    assert_eq!(it.world.version("tool"), "1.1.0");
    assert!(it.world.evidence("tool").contains(&Evidence::Attestation));

    // A bundle that does not fit its archive is an error.
    let archives = release("tool", "v1.2.0");
    let both = archives.assets.iter().fold(archives.clone(), |release, asset| {
        let signed = it.authority.sign(&run, b"something else");
        release.asset(&format!("{}.sigstore.json", asset.name), bundle(signed))
    });
    it.world.github.publish(REPO, both);
    let said = it.world.bake(["lock", "--update"]).ended(1);
    assert!(said.err.contains("bad-signature") && said.err.contains("another file"), "{}", said.err);

    // Older cosigns have a format of their own.
    let archives = release("tool", "v1.2.1");
    let both = archives.assets.iter().fold(archives.clone(), |release, asset| {
        release.asset(&format!("{}.bundle", asset.name), bundle(it.authority.cosign(&run, &asset.bytes)))
    });
    it.world.github.publish(REPO, both);
    it.world.bake(["lock", "--update"]).done();
    assert_eq!(it.world.version("tool"), "1.2.1");
    assert!(it.world.evidence("tool").contains(&Evidence::Attestation));

    // A truncated one counts for nothing, and is reported.
    let cut = |release: Release, asset: &str| {
        release.asset(&format!("{asset}.sigstore.json"), b"{\"mediaType\": \"application/vnd".to_vec())
    };
    let archives = release("tool", "v1.3.0");
    let names: Vec<_> = archives.assets.iter().map(|asset| asset.name.clone()).collect();
    it.world.github.publish(REPO, names.iter().fold(archives, |release, name| cut(release, name)));
    let said = it.world.bake(["lock", "--update", "--allow-less-trust", "tool"]).done();
    assert!(said.err.contains("does not count: it is not a Sigstore bundle"), "{}", said.err);
}

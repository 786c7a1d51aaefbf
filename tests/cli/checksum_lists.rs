//! Checksum lists by other algorithms than SHA-256, under unusual names, and named in the manifest.

use bake::lock::Evidence;
use bake::project::values::Arch;
use sha2::Digest as _;

use crate::support::github::Release;
use crate::support::test;
use crate::support::world::{World, release};

type Algorithm = fn(&[u8]) -> String;

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(sha2::Sha256::digest(bytes))
}

fn sha384(bytes: &[u8]) -> String {
    hex(sha2::Sha384::digest(bytes))
}

fn sha512(bytes: &[u8]) -> String {
    hex(sha2::Sha512::digest(bytes))
}

fn sha1(bytes: &[u8]) -> String {
    hex(sha1::Sha1::digest(bytes))
}

fn md5(bytes: &[u8]) -> String {
    hex(md5::Md5::digest(bytes))
}

/// The release with the list `name` of its archives; a wrong one is about other bytes.
fn with_list(name: &str, algorithm: Algorithm, right: bool) -> Release {
    let release = release("tool", "v1.0.0").without_digests();
    let lines = Arch::ALL.map(|arch| {
        let archive = format!("tool_1.0.0_linux_{arch}.tar.gz");
        let bytes = if right { release.bytes(&archive) } else { b"other bytes" };
        format!("{}  {archive}\n", algorithm(bytes))
    });
    release.asset(name, lines.concat())
}

fn world(release: Release, keys: &str) -> World {
    let world = World::new(&format!("  - {{name: tool, repo: owner/tool{keys}}}\n"));
    world.github.publish("owner/tool", release);
    world
}

#[test]
fn a_list_by_any_algorithm_is_compared_with_the_bytes() {
    let lists: [(&str, Algorithm, &str, bool); 5] = [
        ("SHA512SUMS", sha512, "SHA-512", true),
        ("tool_sha384sums.txt", sha384, "SHA-384", true),
        ("SHA1SUMS", sha1, "SHA-1", false),
        ("MD5SUMS.txt", md5, "MD5", false),
        // Only its text names the archives.
        ("VERIFY", sha512, "SHA-512", true),
    ];
    for (name, algorithm, title, counts) in lists {
        let right = world(with_list(name, algorithm, true), "");
        let said = right.bake(["lock"]).done();
        assert!(!said.err.contains("not read"), "{name}:\n{}", said.err);
        let is_publishers = right.evidence("tool").contains(&Evidence::ChecksumFile);
        assert_eq!(is_publishers, counts, "{name}: {:?}", right.evidence("tool"));
        let wrong = world(with_list(name, algorithm, false), "");
        let said = wrong.bake(["lock"]).ended(1);
        for part in ["checksum-mismatch", title, name] {
            assert!(said.err.contains(part), "{name}: {part} is not in:\n{}", said.err);
        }
    }
}

#[test]
fn an_audit_compares_them_again() {
    let world = world(with_list("SHA512SUMS", sha512, true), "");
    world.bake(["lock"]).done();
    world.bake(["audit", "--against", "upstream"]).done();
    let other = with_list("SHA512SUMS", sha512, false).bytes("SHA512SUMS").to_vec();
    world.github.replace("owner/tool", "v1.0.0", "SHA512SUMS", other);
    let said = world.bake(["audit", "--against", "upstream"]).ended(1);
    assert!(said.out.contains("SHA-512") && said.out.contains("SHA512SUMS"), "{}", said.out);
    world.github.replace("owner/tool", "v1.0.0", "SHA512SUMS", b"nothing".to_vec());
    let said = world.bake(["audit", "--against", "upstream"]).ended(1);
    assert!(said.out.contains("a checksum file states its checksum, and none does today"), "{}", said.out);
}

#[test]
fn an_unknown_algorithm_is_reported() {
    let world = world(with_list("B3SUMS", sha256, false).asset("tool.blake3", "x"), "");
    let said = world.bake(["lock"]).done();
    assert!(said.err.contains("was not read"), "{}", said.err);
    assert!(!world.evidence("tool").contains(&Evidence::ChecksumFile));
}

#[test]
fn the_manifest_names_a_checksum_file() {
    // No rule finds a file of this name.
    let name = "attested.dat";
    let key = ", checksums: attested.dat";
    let right = world(with_list(name, sha256, true), key);
    right.bake(["lock"]).done();
    assert!(right.evidence("tool").contains(&Evidence::ChecksumFile));
    right.bake(["audit", "--against", "upstream"]).done();
    world(with_list(name, sha256, true), "").bake(["lock"]).done();
    let said = world(with_list(name, sha512, false), key).bake(["lock"]).ended(1);
    assert!(said.err.contains("SHA-512") && said.err.contains(name), "{}", said.err);
    let silent = release("tool", "v1.0.0").asset(name, "hello");
    let said = world(silent, key).bake(["lock"]).ended(1);
    assert!(said.err.contains("the file of `checksums:` states no checksum"), "{}", said.err);
    let said = world(release("tool", "v1.0.0"), key).bake(["lock"]).ended(1);
    assert!(said.err.contains("upstream-gone") && said.err.contains(name), "{}", said.err);
}

#[test]
fn the_manifest_names_a_checksum_file_of_a_url() {
    let world = world(with_list("sums-of-1.0.0.dat", sha512, true), "");
    let archive = world.github.download("owner/tool", "v1.0.0", "tool_{version}_linux_{arch}.tar.gz");
    let entry = |checksums: &str| {
        format!(
            "version: 1\nbinaries:\n  - {{name: tool, version: 1.0.0, url: '{archive}', checksums: '{checksums}'}}\n"
        )
    };
    world.folder.write("images/binaries.yaml", entry("sums-of-{version}.dat"));
    world.bake(["lock"]).done();
    assert!(world.evidence("tool").contains(&Evidence::ChecksumFile));
    let url = world.github.download("owner/tool", "v1.0.0", "sums-of-{version}.dat");
    world.folder.write("images/binaries.yaml", entry(&url));
    world.bake(["lock", "--update"]).done();
    assert!(world.evidence("tool").contains(&Evidence::ChecksumFile));
}

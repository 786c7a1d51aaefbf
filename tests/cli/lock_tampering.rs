//! `bake.lock`, edited by hand: which command notices which edit.

use std::fmt::Write;
use std::fs;

use crate::support::github::{Release, Style, TOKEN};
use crate::support::test;
use crate::support::world::{World, archive, release};
use crate::support::{archives, elf};
use bake::digest::Sha256;
use bake::lock::{Build, Evidence, Lock, LockedBinary, PushedImage};
use bake::project::values::{Arch, WebUrl};
use minisign::KeyPair;

/// Each command with its letter in the table.
const COMMANDS: [(char, &[&str]); 7] = [
    ('c', &["check"]),
    ('r', &["render"]),
    ('l', &["lock", "--check"]),
    ('f', &["fetch"]),
    ('i', &["image", "build"]),
    ('a', &["audit", "--against", "lock"]),
    ('u', &["audit", "--against", "upstream"]),
];

/// Noticed by the files alone.
const FILES: &str = "crlfia-";
/// And by the publisher.
const ALL: &str = "crlfiau";
/// Noticed once a publisher is asked.
const UPSTREAM: &str = "------u";
/// Noticed once the archive is fetched.
const ARCHIVE: &str = "---fi-u";
/// Noticed once the executable is read.
const EXECUTABLE: &str = "----i-u";

struct Edit {
    what: &'static str,
    change: Box<dyn Fn(&mut Lock)>,
    /// The letters of the commands that notice it, `-` for the others.
    noticed: &'static str,
}

fn edit(what: &'static str, noticed: &'static str, change: impl Fn(&mut Lock) + 'static) -> Edit {
    Edit { what, change: Box::new(change), noticed }
}

fn tool<'a>(lock: &'a mut Lock, name: &str) -> &'a mut LockedBinary {
    lock.binaries.get_mut(&name.parse().expect("a name")).expect("a locked tool")
}

fn build<'a>(lock: &'a mut Lock, name: &str) -> &'a mut Build {
    tool(lock, name).builds.get_mut(&Arch::Amd64).expect("a build")
}

/// Replaces the checksums and the size with those of another archive.
fn swap(build: &mut Build, archive: &[u8], executable: &[u8]) {
    build.sha256 = Sha256::of(archive);
    build.size = Some(archive.len() as u64);
    build.binary_sha256 = Some(Sha256::of(executable));
}

const TOOLS: [&str; 5] = ["stated", "silent", "listed", "signed", "plain"];

/// A tool for each way in which publishers state checksums. The attacker publishes a twin of each.
fn world() -> World {
    let keys = KeyPair::generate_unencrypted_keypair().expect("keys");
    let sign = |release: Release| {
        let names: Vec<_> = release.assets.iter().map(|asset| asset.name.clone()).collect();
        names.iter().fold(release, |release, name| release.minisig(name, &keys))
    };
    // Without one GitHub ends at 60 requests an hour.
    let world = World::new("").with("GITHUB_TOKEN", TOKEN);
    world.folder.edit("bake.yaml", "gateway:", "image: {apt: []}\ngateway:");
    let url = world.github.download("own/plain", "v{version}", "plain_{version}_linux_{arch}.tar.gz");
    world.folder.write(
        "images/binaries.yaml",
        format!(
            "version: 1\nbinaries:\n  - {{name: stated, repo: own/stated}}\n  - {{name: silent, repo: own/silent}}\n  \
             - {{name: listed, repo: own/listed}}\n  - {{name: signed, repo: own/signed, minisign: {}}}\n  \
             - {{name: plain, version: 2.3.4, url: '{url}', binary: plain}}\n  - {{name: gog, version: 0.99.0}}\n",
            keys.pk.to_base64()
        ),
    );
    let publish = |name: &str, release: Release| world.github.publish(&format!("own/{name}"), release);
    publish(
        "stated",
        release("stated", "v2.3.4").checksums("checksums.txt", Style::Gnu).published("2025-04-09T16:00:00Z"),
    );
    publish(
        "stated",
        release("stated", "v2.0.0").checksums("checksums.txt", Style::Gnu).published("2024-11-12T08:30:00Z"),
    );
    publish("silent", release("silent", "v2.3.4").without_digests());
    publish("listed", release("listed", "v2.3.4").without_digests().checksums("SHA256SUMS", Style::Gnu));
    publish("signed", sign(release("signed", "v2.3.4")));
    publish("plain", release("plain", "v2.3.4"));
    world.github.publish("openclaw/gogcli", named(release("gog", "v0.99.0")));
    for name in TOOLS {
        let twin = Arch::ALL.into_iter().fold(Release::new("v2.3.4"), |release, arch| {
            release.asset(&format!("{name}_2.3.4_linux_{arch}.tar.gz"), evil(name, arch).0)
        });
        world.github.publish(&format!("evil/{name}"), twin);
    }
    world.bake(["lock"]).done();
    world
}

/// As the catalog calls the files of `gog`.
fn named(mut release: Release) -> Release {
    for asset in &mut release.assets {
        asset.name = asset.name.replacen("gog_", "gogcli_", 1);
    }
    release
}

/// The attacker's archive, and the executable in it.
fn evil(name: &str, arch: Arch) -> (Vec<u8>, Vec<u8>) {
    let executable = elf::executable(arch, &format!("another {name}"));
    (archives::tar_gz(&[(name, &executable)]), executable)
}

/// The attacker's build: URL, checksums and size.
fn whole(world: &World, name: &'static str) -> impl Fn(&mut Lock) + 'static {
    let url =
        world.github.download(&format!("evil/{name}"), "v2.3.4", &format!("{name}_2.3.4_linux_amd64.tar.gz"));
    let (archive, executable) = evil(name, Arch::Amd64);
    move |lock| {
        let build = build(lock, name);
        build.url = url.parse().expect("a URL");
        swap(build, &archive, &executable);
    }
}

/// The attacker's checksums and size with the publisher's URL.
fn checksums(name: &'static str) -> impl Fn(&mut Lock) + 'static {
    let (archive, executable) = evil(name, Arch::Amd64);
    move |lock| swap(build(lock, name), &archive, &executable)
}

/// Edits to an archive's URL, checksums, size and path.
fn builds(world: &World) -> Vec<Edit> {
    let at_evil = |name: &str| {
        let file = format!("{name}_2.3.4_linux_amd64.tar.gz");
        world.github.download(&format!("evil/{name}"), "v2.3.4", &file).parse().expect("a URL")
    };
    let zero: Sha256 = "0".repeat(64).parse().expect("a digest");
    let stated_at_evil: WebUrl = at_evil("stated");
    let moved_there = stated_at_evil.clone();
    vec![
        edit("stated: the whole build", ALL, whole(world, "stated")),
        edit("silent: the whole build", ALL, whole(world, "silent")),
        edit("listed: the whole build", ALL, whole(world, "listed")),
        edit("signed: the whole build", ALL, whole(world, "signed")),
        edit("plain: the whole build", ALL, whole(world, "plain")),
        edit("stated: all checksums", ARCHIVE, checksums("stated")),
        edit("silent: all checksums", ARCHIVE, checksums("silent")),
        edit("signed: all checksums", ARCHIVE, checksums("signed")),
        edit("stated: the URL alone", ALL, move |lock| build(lock, "stated").url = stated_at_evil.clone()),
        edit("stated: a URL on another host", ALL, |lock| {
            let url =
                "https://example.org/own/stated/releases/download/v2.3.4/stated_2.3.4_linux_amd64.tar.gz";
            build(lock, "stated").url = url.parse().expect("a URL");
        }),
        edit("stated: moved to the attacker's repository", ARCHIVE, move |lock| {
            let locked = tool(lock, "stated");
            locked.moved_to = Some("evil/stated".parse().expect("a name"));
            for build in locked.builds.values_mut() {
                let url = build.url.as_str().replace("/own/", "/evil/");
                build.url = url.parse().expect("a URL");
            }
            assert_eq!(build(lock, "stated").url, moved_there);
        }),
        edit("gog: a file that the catalog does not name", ALL, |lock| {
            let build = build(lock, "gog");
            build.url = build.url.as_str().replace("gogcli_", "other_").parse().expect("a URL");
        }),
        edit("stated: the archive's checksum", ARCHIVE, move |lock| build(lock, "stated").sha256 = zero),
        edit("stated: the size", ARCHIVE, |lock| build(lock, "stated").size = Some(1)),
        edit("stated: the path in the archive", EXECUTABLE, |lock| {
            build(lock, "stated").binary = "README.md".parse().expect("a path");
        }),
        edit("plain: the path in the archive, which the manifest has", ALL, |lock| {
            build(lock, "plain").binary = "README.md".parse().expect("a path");
        }),
        edit("stated: the executable's checksum", EXECUTABLE, move |lock| {
            build(lock, "stated").binary_sha256 = Some(zero);
        }),
    ]
}

/// Edits to the evidence for a checksum.
fn evidence() -> Vec<Edit> {
    vec![
        edit("stated: no checksum of the executable", FILES, |lock| {
            build(lock, "stated").binary_sha256 = None;
        }),
        edit("stated: no size", FILES, |lock| build(lock, "stated").size = None),
        edit("stated: signed, it says", FILES, |lock| {
            build(lock, "stated").evidence.push(Evidence::Minisign);
        }),
        edit("stated: of the catalog, it says", ALL, |lock| {
            build(lock, "stated").evidence.insert(0, Evidence::Seed);
        }),
        edit("stated: attested, it says", UPSTREAM, |lock| {
            let build = build(lock, "stated");
            build.evidence.push(Evidence::Attestation);
            build.attested_by = Some("own/stated/.github/workflows/a.yml".parse().expect("a workflow"));
        }),
        edit("stated: attested by no workflow, it says", ALL, |lock| {
            build(lock, "stated").evidence.push(Evidence::Attestation);
        }),
        edit("stated: no evidence", FILES, |lock| build(lock, "stated").evidence.clear()),
        edit("silent: stated by the API, it says", UPSTREAM, |lock| {
            build(lock, "silent").evidence = vec![Evidence::ApiDigest, Evidence::Computed];
        }),
        edit("listed: stated by the API, it says", UPSTREAM, |lock| {
            build(lock, "listed").evidence =
                vec![Evidence::ChecksumFile, Evidence::ApiDigest, Evidence::Computed];
        }),
        edit("plain: stated by the API, it says", ALL, |lock| {
            build(lock, "plain").evidence = vec![Evidence::ApiDigest, Evidence::Computed];
        }),
        edit("signed: no evidence of the signature", FILES, |lock| {
            build(lock, "signed").evidence.retain(|evidence| *evidence != Evidence::Minisign);
        }),
        edit("signed: no signature", FILES, |lock| build(lock, "signed").signature = None),
        edit("signed: the signature of another archive", ARCHIVE, |lock| {
            let other = tool(lock, "signed").builds[&Arch::Arm64].signature.clone();
            build(lock, "signed").signature = other;
        }),
    ]
}

/// All else.
fn entries(world: &World) -> Vec<Edit> {
    let zero: Sha256 = "0".repeat(64).parse().expect("a digest");
    let [older, arm64] = Arch::ALL.map(|arch| {
        world.github.download("own/stated", "v2.0.0", &format!("stated_2.0.0_linux_{arch}.tar.gz"))
    });
    let urls = [older.clone(), arm64];
    let genuine = move |lock: &mut Lock| {
        let locked = tool(lock, "stated");
        locked.version = Some("2.0.0".parse().expect("a version"));
        for (arch, url) in Arch::ALL.into_iter().zip(&urls) {
            let build = locked.builds.get_mut(&arch).expect("a build");
            build.url = url.parse().expect("a URL");
            swap(build, &archive("stated", "2.0.0", arch), &elf::executable(arch, "stated 2.0.0"));
        }
    };
    vec![
        edit("stated: the archive's other files too", FILES, |lock| {
            tool(lock, "stated").keep_siblings = true;
        }),
        edit("stated: a Debian package", FILES, |lock| {
            tool(lock, "stated").apt.push("netcat-openbsd".parse().expect("a package"));
        }),
        edit("gog: a Debian package", FILES, |lock| {
            tool(lock, "gog").apt.push("netcat-openbsd".parse().expect("a package"));
        }),
        edit("stated: the version alone", ALL, |lock| {
            tool(lock, "stated").version = Some("2.0.0".parse().expect("a version"));
        }),
        edit("stated: an older version, as it was published", UPSTREAM, genuine),
        edit("stated: the URL of an older version", ALL, move |lock| {
            build(lock, "stated").url = older.parse().expect("a URL");
        }),
        edit("plain: another version", ALL, |lock| {
            tool(lock, "plain").version = Some("2.3.3".parse().expect("a version"));
        }),
        edit("stated: another repository", FILES, |lock| {
            tool(lock, "stated").repo = Some("evil/stated".parse().expect("a name"));
        }),
        edit("stated: another repository's id", UPSTREAM, |lock| {
            let id = &mut tool(lock, "stated").repository_id;
            *id = id.map(|id| id + 7);
        }),
        edit("stated: immutable, it says", UPSTREAM, |lock| tool(lock, "stated").immutable = true),
        edit("plain: a repository's id", FILES, |lock| tool(lock, "plain").repository_id = Some(42)),
        edit("stated: no build for arm64", FILES, |lock| {
            tool(lock, "stated").builds.remove(&Arch::Arm64);
        }),
        edit("stated: amd64 and arm64 exchanged", EXECUTABLE, |lock| {
            let builds = &mut tool(lock, "stated").builds;
            let (amd64, arm64) = (builds[&Arch::Amd64].clone(), builds[&Arch::Arm64].clone());
            builds.extend([(Arch::Amd64, arm64), (Arch::Arm64, amd64)]);
        }),
        edit("the base image's digest", "----i-u", move |lock| lock.image.digest = zero),
        edit("the base image's digest, from the spec, it says", ALL, move |lock| {
            lock.image.digest = zero;
            lock.image.platforms.clear();
            lock.image.evidence = vec![Evidence::Spec];
        }),
        edit("the base image's manifests", UPSTREAM, move |lock| {
            lock.image.platforms.insert(Arch::Amd64, zero);
        }),
        edit("no manifests of the base image", FILES, |lock| lock.image.platforms.clear()),
        edit("the digest of what is asked for", FILES, move |lock| lock.inputs = zero),
        edit("one more tool", ALL, |lock| {
            let twin = tool(lock, "stated").clone();
            lock.binaries.insert("another".parse().expect("a name"), twin);
        }),
        edit("one tool less", ALL, |lock| {
            lock.binaries.remove(&"silent".parse().expect("a name"));
        }),
        edit("a finished image, which nothing asks for", FILES, move |lock| {
            let reference = lock.image.reference.repository().parse().expect("a reference");
            lock.pushed = Some(PushedImage { reference, digest: zero, lock: lock.content() });
        }),
    ]
}

#[test]
fn each_edit_of_the_lock_is_noticed_where_the_table_says() {
    let world = world();
    let honest = world.lock();
    let run = |command: &[&str]| {
        let _ = fs::remove_dir_all(world.cache());
        let said = world.bake(command.iter().copied());
        assert!(!said.err.contains("panicked"), "{}", said.err);
        said
    };
    for (_, command) in COMMANDS {
        run(command).done();
    }
    let _ = fs::remove_dir_all(world.folder.join("oci"));
    let legend: Vec<_> =
        COMMANDS.iter().map(|(letter, command)| format!("{letter} {}", command.join(" "))).collect();
    let (mut table, mut wrong) = (format!("Noticed by: {}\n", legend.join(", ")), 0);
    let all = [builds(&world), evidence(), entries(&world)];
    for Edit { what, change, noticed } in all.into_iter().flatten() {
        let mut lock = honest.clone();
        change(&mut lock);
        assert!(lock != honest, "{what}: nothing is edited");
        world.folder.write("bake.lock", lock.to_text());
        let found: String = COMMANDS
            .iter()
            .map(|(letter, command)| if run(command).code == 0 { '-' } else { *letter })
            .collect();
        let _ = fs::remove_dir_all(world.folder.join("oci"));
        wrong += u32::from(found != noticed);
        let mark = if found == noticed { "" } else { "  <- expected " };
        let _ = writeln!(table, "{what:60} {found}{mark}{}", if found == noticed { "" } else { noticed });
    }
    println!("{table}");
    assert!(wrong == 0, "{wrong} edits are noticed elsewhere than the table says");
}

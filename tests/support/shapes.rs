//! Releases as publishers make them: every archive format, every common spelling of system and
//! architecture, and many other assets.

use std::collections::BTreeMap;

use bake::project::values::Arch;

use super::archives;
use super::elf;
use super::github::{Release, Style};

/// A tool, its release and the expected assets.
pub struct Tool {
    pub name: String,
    pub repo: String,
    pub version: &'static str,
    /// Its entry in the manifest.
    pub entry: String,
    pub release: Release,
    /// The expected asset's name and executable for each architecture.
    pub expected: BTreeMap<Arch, (String, Vec<u8>)>,
}

/// A publisher's naming and archive format.
struct Shape {
    /// The words for amd64 and arm64.
    words: [&'static str; 2],
    /// The asset's name with the placeholders NAME, VERSION and ARCH.
    asset: &'static str,
    /// The executable's path in the archive, with the same placeholders.
    path: &'static str,
    /// Further keys in the manifest.
    says: &'static str,
    pack: fn(&archives::Members<'_>) -> Vec<u8>,
    /// Other assets, with the same placeholders.
    others: &'static [&'static str],
    /// The checksum file; `None` if each asset has a separate one.
    checksums: Option<&'static str>,
    style: Style,
}

const SHAPES: [Shape; 10] = [
    // goreleaser's defaults
    Shape {
        words: ["amd64", "arm64"],
        asset: "NAME_VERSION_linux_ARCH.tar.gz",
        path: "NAME",
        says: "",
        pack: archives::tar_gz,
        others: &[
            "NAME_VERSION_darwin_amd64.tar.gz",
            "NAME_VERSION_darwin_arm64.tar.gz",
            "NAME_VERSION_linux_386.tar.gz",
            "NAME_VERSION_linux_armv6.tar.gz",
            "NAME_VERSION_linux_amd64.deb",
            "NAME_VERSION_linux_arm64.deb",
            "NAME_VERSION_linux_amd64.rpm",
            "NAME_VERSION_linux_arm64.apk",
            "NAME_VERSION_windows_amd64.zip",
            "NAME_VERSION_windows_arm64.zip",
        ],
        checksums: Some("NAME_VERSION_checksums.txt"),
        style: Style::Gnu,
    },
    // goreleaser with the names of uname, signed by cosign
    Shape {
        words: ["x86_64", "arm64"],
        asset: "NAME_Linux_ARCH.tar.gz",
        path: "NAME",
        says: "",
        pack: archives::tar_gz,
        others: &[
            "NAME_Darwin_arm64.tar.gz",
            "NAME_Darwin_x86_64.tar.gz",
            "NAME_Linux_armv7.tar.gz",
            "NAME_Linux_i386.tar.gz",
            "NAME_Linux_x86_64.tar.gz.sbom.json",
            "NAME_Linux_arm64.tar.gz.sbom.json",
            "NAME_Windows_x86_64.zip",
            "checksums.txt.pem",
            "checksums.txt.sig",
        ],
        checksums: Some("checksums.txt"),
        style: Style::Gnu,
    },
    // cargo-dist
    Shape {
        words: ["x86_64", "aarch64"],
        asset: "NAME-ARCH-unknown-linux-musl.tar.xz",
        path: "NAME-ARCH-unknown-linux-musl/NAME",
        says: "",
        pack: archives::tar_xz,
        others: &[
            "NAME-aarch64-apple-darwin.tar.xz",
            "NAME-x86_64-apple-darwin.tar.xz",
            "NAME-aarch64-unknown-linux-gnu.tar.xz",
            "NAME-x86_64-unknown-linux-gnu.tar.xz",
            "NAME-x86_64-pc-windows-msvc.zip",
            "NAME-installer.sh",
            "NAME-installer.ps1",
            "dist-manifest.json",
            "source.tar.gz",
        ],
        checksums: None,
        style: Style::Binary,
    },
    // a bare executable, as deno and bun compile one
    Shape {
        words: ["x64", "arm64"],
        asset: "NAME-linux-ARCH",
        path: "NAME",
        says: "",
        pack: archives::bare,
        others: &["NAME-macos-arm64", "NAME-macos-x64", "NAME-win-x64.exe"],
        checksums: Some("SHA256SUMS"),
        style: Style::Binary,
    },
    // one gzipped file
    Shape {
        words: ["x86_64", "aarch64"],
        asset: "NAME-ARCH-linux.gz",
        path: "NAME",
        says: "",
        pack: archives::gz,
        others: &["NAME-aarch64-macos.gz", "NAME-x86_64-windows.zip"],
        checksums: Some("sha256sums.txt"),
        style: Style::UpperHex,
    },
    // packed by hand, zipped on Windows
    Shape {
        words: ["x86_64", "aarch64"],
        asset: "NAME-vVERSION-linux-ARCH.zip",
        path: "NAME-vVERSION/NAME",
        says: "",
        pack: archives::zip,
        others: &["NAME-vVERSION-macos-aarch64.zip", "NAME-vVERSION-windows-x86_64.zip"],
        checksums: Some("SHA256SUMS.txt"),
        style: Style::CrLf,
    },
    // packed by hand on a BSD
    Shape {
        words: ["amd64", "arm64"],
        asset: "NAME-VERSION-linux-ARCH.tar.bz2",
        path: "NAME-VERSION/bin/NAME",
        says: ", binary: 'NAME-{version}/bin/NAME'",
        pack: archives::tar_bz2,
        others: &["NAME-VERSION-freebsd-amd64.tar.bz2", "NAME-VERSION-openbsd-arm64.tar.bz2"],
        checksums: None,
        style: Style::Bsd,
    },
    // zig's word order, with zstd
    Shape {
        words: ["x86_64", "aarch64"],
        asset: "NAME-ARCH-linux-VERSION.tar.zst",
        path: "bin/NAME",
        says: ", binary: bin/NAME",
        pack: archives::tar_zst,
        others: &["NAME-aarch64-macos-VERSION.tar.zst", "NAME-riscv64-linux-VERSION.tar.zst"],
        checksums: Some("shasums256.txt"),
        style: Style::DotSlash,
    },
    // dots instead of dashes, with a tar of `.`
    Shape {
        words: ["amd64", "arm64"],
        asset: "NAME.linux.ARCH.tgz",
        path: "NAME",
        says: "",
        pack: archives::dotted_tar_gz,
        others: &["NAME.darwin.arm64.tgz", "NAME.linux.arm64.tgz.asc", "NAME.linux.s390x.tgz"],
        checksums: Some("NAME.sha256"),
        style: Style::Gnu,
    },
    // selected by `asset`, because two assets match
    Shape {
        words: ["x86_64", "aarch64"],
        asset: "NAME-lite-VERSION-linux-ARCH.tar.gz",
        path: "NAME",
        says: ", asset: 'NAME-lite-{version}-linux-{arch}.tar.gz', arch: {amd64: x86_64, arm64: aarch64}",
        pack: archives::tar_gz,
        others: &["NAME-full-VERSION-linux-x86_64.tar.gz", "NAME-full-VERSION-linux-aarch64.tar.gz"],
        checksums: None,
        style: Style::Bare,
    },
];

/// The tool with that number. The shapes take turns.
pub fn tool(number: usize) -> Tool {
    let shape = &SHAPES[number % SHAPES.len()];
    let (name, version) = (format!("tool-{number:02}"), "1.4.2");
    let fill = |pattern: &str| pattern.replace("NAME", &name).replace("VERSION", version);
    let mut release = Release::new(&format!("v{version}"));
    let mut expected = BTreeMap::new();
    for (arch, word) in Arch::ALL.into_iter().zip(shape.words) {
        let asset = fill(shape.asset).replace("ARCH", word);
        let path = fill(shape.path).replace("ARCH", word);
        let binary = elf::executable(arch, &name);
        let bytes = (shape.pack)(&[(&path, &binary), ("LICENSE", b"MIT\n")]);
        release = release.asset(&asset, bytes);
        expected.insert(arch, (asset, binary));
    }
    for asset in shape.others {
        release = release.asset(&fill(asset), "not what is wanted");
    }
    release = match shape.checksums {
        Some(list) => release.checksums(&fill(list), shape.style),
        None => release.sidecars(shape.style),
    };
    let (repo, says) = (format!("owner/{name}"), fill(shape.says));
    let entry = format!("  - {{name: {name}, repo: {repo}{says}}}\n");
    Tool { name, repo, version, entry, release, expected }
}

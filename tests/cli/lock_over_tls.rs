//! The default project against GitHub's own names: https, through a proxy, with a certificate of an
//! authority that the environment names.

use std::process::Command;

use crate::support::github::tls::Proxied;
use crate::support::github::{Host, Release, TOKEN};
use crate::support::test;
use crate::support::world::archive;
use crate::support::{Folder, said};
use bake::project::values::Arch;

/// The default project's tools: the command, and how its repository and its assets are called.
const TOOLS: [(&str, &str); 3] = [("gog", "gogcli"), ("goplaces", "goplaces"), ("wacli", "wacli")];

/// The default project, with the one image that the registry here has.
fn project() -> Folder {
    let folder = Folder::project();
    folder.edit("bake.yaml", "ghcr.io/openclaw/openclaw:2026.9.4", "ghcr.io/openclaw/openclaw:1");
    folder
}

fn publish(upstream: &Proxied, version: &str) {
    for (tool, repo) in TOOLS {
        let release = Arch::ALL.into_iter().fold(Release::new(&format!("v{version}")), |release, arch| {
            let name = format!("{repo}_{version}_linux_{arch}.tar.gz");
            release.asset(&name, archive(tool, version, arch))
        });
        upstream.github.publish(&format!("openclaw/{repo}"), release);
    }
}

fn command(folder: &Folder, upstream: &Proxied) -> Command {
    let mut command = folder.command();
    command
        .env("BAKE_CACHE_DIR", folder.join("cache"))
        .env("GITHUB_TOKEN", TOKEN)
        .env("HTTPS_PROXY", upstream.proxy())
        .env("SSL_CERT_FILE", upstream.authority());
    command
}

#[test]
fn the_default_tools_move_to_newer_releases() {
    let upstream = Proxied::start();
    let folder = project();
    publish(&upstream, "99.0.0");
    let update = said(command(&folder, &upstream).args(["lock", "--update"])).done();
    let lock = folder.read("bake.lock");
    for (tool, repo) in TOOLS {
        assert!(update.out.contains(tool), "{}", update.out);
        for arch in Arch::ALL {
            let url = format!(
                "https://github.com/openclaw/{repo}/releases/download/v99.0.0/{repo}_99.0.0_linux_{arch}.tar.gz"
            );
            assert!(lock.contains(&url), "{url} is not in:\n{lock}");
        }
    }
    let requests = upstream.github.requests();
    for host in Host::ALL {
        assert!(requests.iter().any(|request| request.host == host), "{host:?} was not asked");
    }
    let with_token = |host| {
        let of_host = requests.iter().filter(move |request| request.host == host);
        of_host.filter(|request| request.header("authorization") == Some(&format!("Bearer {TOKEN}"))).count()
    };
    assert_eq!(Host::ALL.map(|host| with_token(host) > 0), [true, false, false, false]);
    said(command(&folder, &upstream).arg("lock")).done();
    assert!(upstream.github.requests().is_empty());
    said(command(&folder, &upstream).arg("render")).done();
}

#[test]
fn the_release_is_compared_with_the_catalog() {
    let upstream = Proxied::start();
    let folder = project();
    for version in ["0.37.0", "0.4.4", "0.17.1"] {
        publish(&upstream, version);
    }
    let before = folder.read("bake.lock");
    let refused = said(command(&folder, &upstream).arg("lock")).ended(1);
    for part in [
        "gog",
        "0.37.0",
        "the catalog",
        "API",
        "https://github.com/openclaw/gogcli/releases/download/v0.37.0/",
    ] {
        assert!(refused.err.contains(part), "{part} is not in:\n{}", refused.err);
    }
    assert_eq!(folder.read("bake.lock"), before);
}

#[test]
fn an_untrusted_certificate_is_refused() {
    let upstream = Proxied::start();
    let folder = project();
    publish(&upstream, "99.0.0");
    let other = Proxied::start().authority();
    let before = folder.read("bake.lock");
    let refused =
        said(command(&folder, &upstream).env("SSL_CERT_FILE", other).args(["lock", "--update"])).ended(1);
    assert!(refused.err.contains("certificate"), "{}", refused.err);
    assert!(upstream.github.requests().is_empty());
    assert_eq!(folder.read("bake.lock"), before);
}

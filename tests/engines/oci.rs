//! Compares `bake`'s view of images that real programs make, save, push and copy with a container's view.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::images::{Parts, Tar, gzipped, image, index};
use crate::support::test;
use crate::support::testbed::{self, Pushed};
use bake::http::{Client, RetryPolicy};
use bake::oci::{FoundFile, files_under};
use bake::project::values::{Arch, ImageRef};
use bake::registry::{self, Credentials, ImageSource};
use serde_json::{Value, json};

const BIN: &str = "usr/local/bin";

fn client() -> Client {
    Client::new(RetryPolicy::default())
}

fn reference(text: &str) -> ImageRef {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// An image name that is unique to this test and run.
fn own(name: &str) -> String {
    format!("bake-oci-{name}-{}", std::process::id())
}

/// The headers that `curl` reads for a manifest.
fn digest_header(image: &ImageRef) -> String {
    let (host, name) = image.repository().split_once('/').expect("a repository");
    let mut curl = Command::new("curl");
    curl.args(["-fsSI", "-H", "Accept: application/vnd.oci.image.index.v1+json"])
        .args(["-H", "Accept: application/vnd.docker.distribution.manifest.v2+json"])
        .args(["-H", "Accept: application/vnd.oci.image.manifest.v1+json"])
        .arg(format!("http://{host}/v2/{name}/manifests/{}", image.tag().expect("a tag")));
    let said = crate::support::said(&mut curl).done().out;
    let line = said.lines().find_map(|line| line.strip_prefix("Docker-Content-Digest: "));
    line.expect("a digest").trim().to_owned()
}

#[test]
fn resolves_a_tag_to_the_registry_digest() {
    let pinned = testbed::base_image();
    let (tagged, _) = pinned.split_once('@').expect("a digest");
    let resolved =
        registry::resolve(&client(), &reference(tagged), &Credentials::Anonymous).expect("an image");
    assert_eq!(Some(resolved.digest), reference(&pinned).digest());
    assert_eq!(resolved.digest.oci(), digest_header(&reference(tagged)));
    // A single manifest without an index: only its config names the platform.
    assert_eq!(resolved.platforms.into_iter().collect::<Vec<_>>(), [(Arch::Amd64, resolved.digest)]);
    assert_eq!(resolved.media_type, "application/vnd.docker.distribution.manifest.v2+json");

    let again =
        registry::resolve(&client(), &reference(&pinned), &Credentials::Anonymous).expect("by its digest");
    assert_eq!(again.digest, resolved.digest);
}

#[test]
fn missing_tags_and_digests_are_named() {
    let pinned = testbed::base_image();
    let repository = reference(&pinned).repository().to_owned();
    for (missing, what) in [
        (format!("{repository}:no-such-tag"), "no such tag `no-such-tag`"),
        (format!("{repository}-nothing:1"), "no such "),
        (format!("{repository}@sha256:{}", "0".repeat(64)), "no such manifest sha256:000"),
    ] {
        let error =
            registry::resolve(&client(), &reference(&missing), &Credentials::Anonymous).expect_err("nothing");
        assert!(error.to_string().starts_with(&format!("{missing}: ")), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn resolves_an_index_for_each_architecture_and_detects_a_moved_tag() {
    let (host, _) = (testbed::registry(), testbed::program("skopeo"));
    let folder = tempfile::tempdir().expect("a folder");
    let pushed = Pushed(format!("{host}/{}:1", own("index")));
    let push = |parts: &Parts| {
        let _ = fs::remove_dir_all(folder.path().join("layout"));
        parts.layout(&folder.path().join("layout"), "1");
        let from = format!("oci:{}:1", folder.path().join("layout").display());
        let mut skopeo = testbed::program("skopeo");
        skopeo.args(["copy", "--quiet", "--all", "--preserve-digests", "--dest-tls-verify=false"]);
        crate::support::said(skopeo.arg(from).arg(format!("docker://{}", pushed.0))).done();
    };
    let of =
        |arch: &str, content: &str| image(arch, &[gzipped(Tar::new().file("usr/local/bin/gog", content))]);
    let on = |arch: &str, variant: Value| json!({"os": "linux", "architecture": arch, "variant": variant});
    let attestation = json!({"os": "unknown", "architecture": "unknown"});
    let (amd, arm) = (of("amd64", "amd"), of("arm64", "arm"));
    let first = index(vec![
        (on("amd64", Value::Null), amd.clone()),
        (on("arm64", json!("v8")), arm.clone()),
        (attestation, of("unknown", "attestation")),
    ]);
    push(&first);
    let image = reference(&pushed.0);
    let resolved = registry::resolve(&client(), &image, &Credentials::Anonymous).expect("an index");
    assert_eq!(resolved.digest.oci(), digest_header(&image));
    assert_eq!(resolved.digest, first.digest());
    assert_eq!(resolved.platforms, [(Arch::Amd64, amd.digest()), (Arch::Arm64, arm.digest())].into());
    assert_eq!(resolved.media_type, "application/vnd.oci.image.index.v1+json");

    let second = index(vec![(on("amd64", Value::Null), of("amd64", "newer"))]);
    push(&second);
    let moved = registry::resolve(&client(), &image, &Credentials::Anonymous).expect("an index");
    assert_eq!(moved.digest, second.digest());
    // The old one is still available by digest.
    let old =
        registry::resolve(&client(), &reference(&image.pinned(first.digest())), &Credentials::Anonymous);
    assert_eq!(old.expect("the first"), resolved);
}

/// Later layers change the folder's files.
const CHANGES: &str = "\
FROM scratch
COPY busybox /bin/busybox
RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]
RUN mkdir -p /usr/local/bin /opt/x && cd /usr/local/bin && \\
    for name in replaced gone kept linked; do echo first $name >$name; done && \\
    mkdir folder && echo inside >folder/file && chown 1000:1001 kept && chmod 4751 kept
RUN cd /usr/local/bin && echo second >replaced && rm gone && ln linked hard && \\
    rm -r folder && mkdir folder && echo other >folder/other
RUN echo gog >/opt/x/gog && chmod 755 /opt/x/gog && cd /usr/local/bin && \\
    ln -s /opt/x/gog absolute && ln -s ../../../opt/x/gog relative && ln -s nowhere dangling && \\
    ln -s self self && ln -s /opt/x to-folder && ln -s /bin/busybox box && mkfifo pipe && chmod 600 linked
";

/// A later layer deletes and recreates the folder.
const OPAQUE: &str = "RUN rm -r /usr/local/bin && mkdir /usr/local/bin && echo new >/usr/local/bin/new\n";

/// A later layer deletes and recreates the folder's parent.
const PARENT: &str = "RUN rm -r /usr/local && mkdir -p /usr/local/bin && echo new >/usr/local/bin/new\n";

/// A later layer replaces the folder with a link.
const MOVED: &str =
    "RUN mv /usr/local/bin /opt/bin && ln -s ../../opt/bin /usr/local/bin && echo new >/opt/bin/new\n";

/// A later layer replaces the folder with a file.
const FILE: &str = "RUN rm -r /usr/local/bin && echo no folder >/usr/local/bin\n";

/// Prints the type and the content's digest of each name in the folder, as a process sees it.
const LOOK: &str = r#"
[ -d "/$0/." ] || exit 0
cd "/$0" || exit 1
for name in * .[!.]*; do
    if [ -f "$name" ]; then
        digest=$(sha256sum <"$name")
        echo "$name file $(stat -L -c '%a %u %g %s' "$name") ${digest%% *}"
    elif [ -d "$name" ]; then echo "$name folder"
    elif [ -e "$name" ]; then echo "$name other"
    elif [ -L "$name" ]; then echo "$name link $(readlink "$name")"
    fi
done
"#;

/// `bake`'s view, in the same format.
fn seen(source: &ImageSource) -> BTreeSet<String> {
    seen_in(source, BIN)
}

fn seen_in(source: &ImageSource, folder: &str) -> BTreeSet<String> {
    let images = source.open(&client(), &Credentials::Anonymous).unwrap_or_else(|error| panic!("{error}"));
    let image = images.image(Arch::Amd64).unwrap_or_else(|error| panic!("{error}"));
    let found = files_under(&*images, &image, folder).unwrap_or_else(|error| panic!("{error}"));
    let line = |(name, found)| match found {
        FoundFile::File { sha256, size, mode, uid, gid, .. } => {
            format!("{name} file {mode:o} {uid} {gid} {size} {sha256}")
        }
        FoundFile::Directory => format!("{name} folder"),
        FoundFile::Link { target } => format!("{name} link {target}"),
        FoundFile::Other => format!("{name} other"),
    };
    found.into_iter().map(line).collect()
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

/// A build context with the steps that follow the changes.
fn context(steps: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("Dockerfile"), format!("{CHANGES}{steps}")).expect("a file");
    fs::copy("/bin/busybox", folder.path().join("busybox")).expect("busybox-static");
    folder
}

/// An image in a builder's store and its name in the registry. Both are removed at the end.
struct Built<'a> {
    builder: &'a str,
    names: Vec<String>,
}

impl Built<'_> {
    fn run(&self, arguments: &[&str]) -> String {
        crate::support::said(testbed::tool(self.builder).args(arguments)).done().out
    }
}

impl Drop for Built<'_> {
    fn drop(&mut self) {
        let _ = testbed::tool(self.builder).args(["rmi", "--force"]).args(&self.names).output();
    }
}

/// The registry. Skips the test if the builder or busybox is missing.
fn ready(builder: &str) -> String {
    testbed::tool(builder);
    testbed::program("busybox");
    testbed::registry()
}

/// Builds, saves and pushes with Docker, and compares `bake`'s view with a container's.
fn docker(builder: &str, name: &str, steps: &str) -> BTreeSet<String> {
    let host = ready(builder);
    let context = context(steps);
    let image = format!("{host}/{}:1", own(&format!("{builder}-{name}")));
    let built = Built { builder, names: vec![image.clone()] };
    built.run(&["build", "--quiet", "--tag", &image, &context.path().display().to_string()]);
    let run = ["run", "--rm", "--network", "none", &image, "/bin/busybox", "sh", "-c", LOOK, BIN];
    let expected = lines(&built.run(&run));

    let tarball = context.path().join("saved.tar");
    built.run(&["save", "--output", &tarball.display().to_string(), &image]);
    assert_eq!(seen(&ImageSource::Tarball(tarball)), expected, "{builder} save, {name}");
    let pushed = Pushed(image.clone());
    built.run(&["push", "--quiet", &image]);
    assert_eq!(seen(&ImageSource::Registry(reference(&pushed.0))), expected, "{builder} push, {name}");
    expected
}

#[test]
fn images_of_the_classic_builder_match_their_containers() {
    let expected = docker("docker-20", "changes", "");
    if !expected.is_empty() {
        // Make sure that the comparison is not empty.
        assert_eq!(expected.len(), 12, "{expected:#?}");
        assert!(expected.iter().any(|line| line.starts_with("kept file 4751 1000 1001 ")), "{expected:#?}");
        assert!(!expected.iter().any(|line| line.starts_with("gone ")), "{expected:#?}");
    }
    for (name, steps, left) in
        [("opaque", OPAQUE, 1), ("parent", PARENT, 1), ("moved", MOVED, 13), ("file", FILE, 0)]
    {
        let expected = docker("docker-20", name, steps);
        assert!(expected.is_empty() || expected.len() == left, "{expected:#?}");
    }
}

#[test]
fn images_of_buildkit_match_their_containers() {
    for (name, steps) in
        [("changes", ""), ("opaque", OPAQUE), ("parent", PARENT), ("moved", MOVED), ("file", FILE)]
    {
        docker("docker-26", name, steps);
    }
}

#[test]
fn images_of_buildah_match_their_containers() {
    let host = ready("buildah");
    for (name, steps) in [("changes", ""), ("opaque", OPAQUE), ("parent", PARENT), ("moved", MOVED)] {
        let context = context(steps);
        let image = format!("{host}/{}:1", own(&format!("buildah-{name}")));
        let built = Built { builder: "buildah", names: vec![image.clone()] };
        built.run(&["build", "--quiet", "--layers", "--tag", &image, &context.path().display().to_string()]);
        let container = built.run(&["from", &image]);
        // buildah sometimes exits before it has passed on the container's output.
        let look = format!("{LOOK}\necho THE END");
        let look = || built.run(&["run", container.trim(), "--", "/bin/busybox", "sh", "-c", &look, BIN]);
        let expected = (0..5).find_map(|_| look().trim_end().strip_suffix("THE END").map(lines));
        built.run(&["rm", container.trim()]);
        let expected = expected.expect("the complete output of the container");
        assert!(!expected.is_empty());

        let at = |form: &str| context.path().join(form);
        for (form, prefix) in
            [("layout", "oci:"), ("oci.tar", "oci-archive:"), ("docker.tar", "docker-archive:")]
        {
            let target = format!("{prefix}{}", at(form).display());
            built.run(&["push", "--quiet", &image, &target]);
            let source = ImageSource::find(&at(form).display().to_string()).expect("an image");
            assert_eq!(seen(&source), expected, "buildah push {prefix}, {name}");
        }
        let pushed = Pushed(image.clone());
        built.run(&["push", "--quiet", &image]);
        assert_eq!(seen(&ImageSource::Registry(reference(&pushed.0))), expected, "buildah push, {name}");

        // Other compression, and another program that unpacks.
        let (mut skopeo, mut umoci) = (testbed::program("skopeo"), testbed::program("umoci"));
        skopeo.args(["copy", "--quiet", "--dest-compress", "--dest-compress-format", "zstd"]);
        skopeo.arg(format!("oci:{}", at("layout").display())).arg(format!("oci:{}:1", at("zstd").display()));
        crate::support::said(&mut skopeo).done();
        assert_eq!(seen(&ImageSource::Layout(at("zstd"))), expected, "zstd, {name}");
        let mut again = testbed::program("skopeo");
        again.args(["copy", "--quiet", &format!("oci:{}", at("layout").display())]);
        crate::support::said(again.arg(format!("oci:{}:1", at("gzip").display()))).done();
        umoci.args(["unpack", "--image", &format!("{}:1", at("gzip").display())]).arg(at("bundle"));
        crate::support::said(&mut umoci).done();
        assert_eq!(seen(&ImageSource::Layout(at("gzip"))), in_root(&at("bundle/rootfs")), "umoci, {name}");
    }
}

/// The view of a process with this root.
fn in_root(root: &Path) -> BTreeSet<String> {
    let mut chroot = Command::new("chroot");
    chroot.arg(root).args(["/bin/busybox", "sh", "-c", LOOK, BIN]);
    lines(&crate::support::said(&mut chroot).done().out)
}

#[test]
fn reads_the_whole_base_image() {
    let (image, mut docker) = (testbed::base_image(), testbed::tool("docker-26"));
    // Debian's `bin` is a link to `usr/bin`, where many links lead through `/etc/alternatives`.
    docker.args(["run", "--rm", "--network", "none", "--user", "0", "--entrypoint", "sh"]);
    docker.args(["localhost/openclaw-standin:1", "-c", LOOK, "bin"]);
    let expected = lines(&crate::support::said(&mut docker).done().out);
    assert!(expected.len() > 100, "{expected:#?}");
    assert_eq!(seen_in(&ImageSource::Registry(reference(&image)), "bin"), expected);
}

/// Docker 20.10 saves the second copy of a layer as a symbolic link to the first.
#[test]
fn a_repeated_layer_is_read_twice() {
    let host = ready("docker-20");
    let folder = tempfile::tempdir().expect("a folder");
    let copy = "COPY gog /\n";
    let other = "COPY other /gog\n";
    fs::write(folder.path().join("Dockerfile"), format!("FROM scratch\n{copy}{other}{copy}"))
        .expect("a file");
    fs::write(folder.path().join("gog"), "gog").expect("a file");
    fs::write(folder.path().join("other"), "other").expect("a file");
    let image = format!("{host}/{}:1", own("twice"));
    let built = Built { builder: "docker-20", names: vec![image.clone()] };
    built.run(&["build", "--quiet", "--tag", &image, &folder.path().display().to_string()]);
    let tarball = folder.path().join("saved.tar");
    built.run(&["save", "--output", &tarball.display().to_string(), &image]);
    let listed =
        crate::support::said(Command::new("tar").arg("--list").arg("--verbose").arg("--file").arg(&tarball));
    assert!(listed.done().out.contains("layer.tar -> ../"));
    let seen = seen_in(&ImageSource::Tarball(tarball), "/");
    assert!(seen.iter().all(|line| line.contains(&bake::digest::Sha256::of("gog").to_string())), "{seen:?}");
    assert_eq!(seen.len(), 1);
}

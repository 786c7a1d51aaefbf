//! How `bake` reaches its users: the files of a release, the install script, workflows, and the GitHub Action.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::cargo::cargo_bin_cmd;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use bake::digest::Sha256;
use bake::lock::Evidence;
use bake::project::values::Arch;

use crate::support::github::{Release, TOKEN};
use crate::support::sigstore::{Authority, Run};
use crate::support::testbed::Pushed;
use crate::support::world::{World, release};
use crate::support::{Folder, Said, elf, said, test, testbed};

/// The repository that publishes the tests' release.
const REPOSITORY: &str = "example/bake";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_release_installs_and_a_damaged_one_does_not() {
    let script = root().join("tests/packaging/install");
    let kept = tempfile::tempdir().expect("a temporary folder");
    let foreign = Folder::empty();
    foreign.write("bake", elf::executable(Arch::Arm64, "bake"));
    let bake = cargo_bin_cmd!("bake");
    let mut command = Command::new(script);
    command.env("BAKE", bake.get_program()).env("BAKE_KEEP", kept.path());
    let run = said(command.env("BAKE_ARM64", foreign.join("bake")));
    if run.code == 77 {
        testbed::missing(run.out.trim());
    }
    println!("{}", run.done().out);
    package_managers_find_the_archives(kept.path());
    let world = published(kept.path());
    bake_makes_the_image_of_its_release(&world);
    let world = published(kept.path());
    bake_locks_its_own_release(&world);
}

/// The names that cargo-binstall, aqua and Homebrew derive from their files are those of the archives.
#[track_caller]
fn package_managers_find_the_archives(files: &Path) {
    let names = fs::read_dir(files).expect("a folder").flatten().map(|entry| entry.file_name());
    let archives: BTreeSet<_> = names
        .map(|name| name.into_string().expect("UTF-8"))
        .filter(|name| name.ends_with(".tar.gz"))
        .collect();
    let read = |path: PathBuf| fs::read_to_string(path).expect("a file");
    let (cargo, aqua) = (read(root().join("Cargo.toml")), read(files.join("aqua.yaml")));
    let value = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key).map(str::to_owned));
        line.unwrap_or_else(|| panic!("no {key}")).trim_matches('"').to_owned()
    };
    let version = env!("CARGO_PKG_VERSION");

    let of_binstall = value(&cargo, "pkg-url = ").replace("{ version }", version);
    let platforms = ["linux", "darwin"].into_iter().flat_map(|os| ["amd64", "arm64"].map(|arch| (os, arch)));
    let (mut binstall, mut of_aqua) = (BTreeSet::new(), BTreeSet::new());
    for (os, arch) in platforms {
        let (os, arch) = (value(&aqua, &format!("{os}: ")), value(&aqua, &format!("{arch}: ")));
        let url = of_binstall.replace("{ target }", &format!("{arch}-{os}"));
        binstall.insert(url.rsplit('/').next().expect("a name").to_owned());
        let asset = value(&aqua, "asset: ").replace("{{trimV .Version}}", version);
        of_aqua.insert(asset.replace("{{.Arch}}", &arch).replace("{{.OS}}", &os));
    }
    let formula = read(files.join("bake.rb"));
    let urls = formula.lines().filter_map(|line| line.trim().strip_prefix("url ")?.rsplit('/').next());
    let of_homebrew = urls.map(|name| name.trim_matches('"').to_owned()).collect::<BTreeSet<_>>();
    assert_eq!([&binstall, &of_aqua, &of_homebrew], [&archives; 3]);
}

/// A world whose GitHub has the release of `example/bake`, attested by its release workflow.
fn published(files: &Path) -> World {
    let files = fs::read_dir(files).expect("a folder").flatten().map(|entry| entry.path());
    let version = env!("CARGO_PKG_VERSION");
    let files: Vec<_> = files
        .map(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
            (name, fs::read(path).expect("a file"))
        })
        .collect();
    let authority = Authority::new();
    let world = World::new("");
    world.folder.write("root.json", authority.root());
    let root = world.folder.join("root.json");
    let world = world.with("GITHUB_TOKEN", TOKEN).with("BAKE_TRUSTED_ROOT", root.to_str().expect("UTF-8"));
    let published = files.iter().fold(Release::new(&format!("v{version}")), |release, (name, content)| {
        release.asset(name, content.as_slice())
    });
    world.github.publish(REPOSITORY, published);
    let run = Run::of(REPOSITORY, world.github.id(REPOSITORY));
    for (name, content) in files.iter().filter(|(name, _)| name.ends_with(".tar.gz")) {
        let sha256 = Sha256::of(content);
        world.github.attest(REPOSITORY, sha256, authority.attest(&run, name, sha256), true);
    }
    world
}

/// `bake` is a tool like others: chosen by name, and held to the release's own checksums and attestations.
#[track_caller]
fn bake_locks_its_own_release(world: &World) {
    let version = env!("CARGO_PKG_VERSION");
    world.bake(["add", REPOSITORY]).done();
    let lock = world.folder.read("bake.lock");
    let archive = format!("v{version}/bake-{version}-x86_64-unknown-linux-gnu.tar.gz");
    assert!(lock.contains(&archive), "{lock}");
    for evidence in [Evidence::ChecksumFile, Evidence::Attestation] {
        assert!(world.evidence("bake").contains(&evidence), "{lock}");
    }
    world.bake(["audit", "--against", "upstream"]).done();
    let name = archive.rsplit('/').next().expect("a name");
    world.github.replace(REPOSITORY, &format!("v{version}"), name, "another program");
    assert!(world.bake(["audit", "--against", "upstream"]).ended(1).out.contains("bake"));
}

/// The image of a release, in a container as in docs/install.md.
#[track_caller]
fn bake_makes_the_image_of_its_release(world: &World) {
    let repository = format!("{}/bake-release-{}", testbed::registry(), std::process::id());
    let image = format!("{repository}:1");
    let _pushed = Pushed(image.clone());
    let bake = world.command();
    let make = || {
        let mut script = Command::new(root().join("packaging/image"));
        script
            .arg(bake.get_program())
            .arg(&image)
            .env("BAKE_REPOSITORY", format!("https://github.com/{REPOSITORY}"));
        script.env("BAKE_IMAGE_BASE", testbed::base_image());
        for (name, value) in bake.get_envs() {
            script.env(name, value.unwrap_or_default());
        }
        said(&mut script)
    };
    let reference = make().done().out.trim().to_owned();
    assert!(reference.starts_with(&format!("{image}@sha256:")), "{reference}");

    let project = Folder::project();
    said(Command::new("chmod").args(["-R", "a+rwX"]).arg(project.path())).done();
    let run = |options: &[&str], script: &str| {
        let mut docker = testbed::tool("docker-26");
        docker.args(["run", "--rm", "--volume", &format!("{}:/work", project.path().display())]);
        docker.args(["--workdir", "/work"]).args(options).args([&reference, "sh", "-c", script]);
        said(&mut docker).done().out
    };
    assert_eq!(run(&[], "bake --version"), format!("bake {}\n", env!("CARGO_PKG_VERSION")));
    // A user whom the image does not know.
    let script = "bake check && bake render && bake render --check && bake gcloud create | sh -n && id -u";
    let shown = run(&["--user", "4711:4711", "--env", "HOME=/tmp"], script);
    assert!(shown.ends_with("\n4711\n") && project.join("out/user-data.yaml").exists(), "{shown}");
    said(testbed::tool("docker-26").args(["rmi", "--force", &reference])).done();

    world.github.forget_attestations();
    let refused = make().ended(1);
    assert!(refused.err.contains("requires `attested`"), "{refused:?}");
}

fn linter(name: &str) -> Command {
    let path = testbed::folder().join("linters/bin").join(name);
    if !path.exists() {
        testbed::missing(name);
    }
    Command::new(path)
}

/// All problems that zizmor finds, and those that the published schemas find.
fn problems(files: &[PathBuf]) -> String {
    let mut found = String::new();
    let run =
        said(linter("zizmor").args(["--offline", "--pedantic", "--no-progress", "--quiet"]).args(files));
    // 3 means that it could read no file.
    assert_ne!(run.code, 3, "{run:?}");
    if run.code != 0 {
        found += &run.out;
    }
    for file in files {
        let is_action = file.file_name().is_some_and(|name| name == "action.yml");
        let schema = if is_action { "vendor.github-actions" } else { "vendor.github-workflows" };
        let run = said(linter("check-jsonschema").args(["--builtin-schema", schema]).arg(file));
        if run.code != 0 {
            found += &run.out;
        }
    }
    found
}

#[test]
fn workflows_and_action_pass_the_linters() {
    let workflows = fs::read_dir(root().join(".github/workflows")).expect("a folder").flatten();
    let mut files: Vec<_> = workflows.map(|entry| entry.path()).collect();
    files.extend(["action.yml", "examples/github/bake.yml"].map(|name| root().join(name)));
    assert_eq!(problems(&files), "");

    let folder = Folder::empty();
    let text = fs::read_to_string(root().join("action.yml")).expect("a file");
    let folder = folder.write("action.yml", text.replace("using: composite", "using: compost"));
    assert!(problems(&[folder.join("action.yml")]).contains("compost"));
    let text = fs::read_to_string(root().join(".github/workflows/release.yml")).expect("a file");
    let (before, rest) = text.split_once("actions/checkout@").expect("a step");
    let unpinned = format!("{before}actions/checkout@v7{}", &rest[40..]);
    folder.write("release.yml", unpinned);
    assert!(problems(&[folder.join("release.yml")]).contains("unpinned-uses"));
}

/// `gh`: records its arguments, and the documents that it is given.
const GH: &str = r#"#!/bin/sh
set -eu
echo "gh $*" >>"$GH_RECORD/calls"
previous=
for argument; do
    case $previous in
    --input | --body-file) cat -- "$(echo "$argument" | sed 's|^-$|/dev/stdin|')" >"$GH_RECORD/document" ;;
    esac
    previous=$argument
done
case $* in
"pr list"*) cat "$GH_RECORD/open" 2>/dev/null || : ;;
*"--paginate"*) cat "$GH_RECORD/comments" ;;
esac
"#;

/// A repository with a project at GitHub, with a stand-in for `gh`.
struct Repository {
    world: World,
    /// The files of `gh` and of the runner, and the remote repository.
    aside: Folder,
}

impl Repository {
    fn new() -> Self {
        let world = World::new("  - {name: tool, repo: owner/tool}\n");
        world.github.publish("owner/tool", release("tool", "v1.0.0"));
        world.bake(["lock"]).done();
        world.bake(["render"]).done();
        let aside = Folder::empty();
        aside.program("bin/gh", GH).write("calls", "").write("comments", "[]").write("open", "");
        let it = Self { world, aside };
        let remote = it.remote();
        it.git(&["init", "--quiet", "--bare", remote.to_str().expect("UTF-8")]);
        it.git(&["init", "--quiet", "--initial-branch=main"]);
        it.git(&["add", "--all"]);
        it.git(&["commit", "--quiet", "--message=One"]);
        it
    }

    fn damage_the_bundle(&self) {
        let text = self.world.folder.read("out/Dockerfile");
        self.world.folder.write("out/Dockerfile", text + "RUN true\n");
    }

    fn remote(&self) -> PathBuf {
        self.aside.join("me/gateway")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.world.folder.path()).env_clear();
        for (name, value) in self.world.command().get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let path = std::env::var("PATH").expect("a PATH");
        command
            .env("PATH", format!("{}:{path}", self.aside.join("bin").display()))
            .env("HOME", self.aside.path())
            .env("GIT_CONFIG_NOSYSTEM", "1");
        for role in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{role}_NAME"), "Test")
                .env(format!("GIT_{role}_EMAIL"), "test@example.org");
        }
        command
    }

    fn git(&self, arguments: &[&str]) -> String {
        said(self.command("git").args(arguments)).done().out
    }

    /// Runs the action as for this event.
    fn act(&self, event: &str, document: &Value, inputs: &[&str]) -> Said {
        for name in ["output", "summary", "calls", "document"] {
            self.aside.write(name, "");
        }
        self.aside.write("event.json", document.to_string());
        let (script, action) = (root().join("tests/packaging/act.py"), root().join("action.yml"));
        let bake = format!("program={}", cargo_bin_cmd!("bake").get_program().to_string_lossy());
        let mut command = self.command("/usr/bin/python3");
        command.arg(script).arg(action).arg(bake).args(inputs);
        command
            .env("GH_RECORD", self.aside.path())
            .env("GITHUB_EVENT_NAME", event)
            .env("GITHUB_EVENT_PATH", self.aside.join("event.json"))
            .env("GITHUB_OUTPUT", self.aside.join("output"))
            .env("GITHUB_REF", "refs/heads/main")
            .env("GITHUB_REF_NAME", "main")
            .env("GITHUB_REPOSITORY", "me/gateway")
            .env("GITHUB_SERVER_URL", format!("file://{}", self.aside.path().display()))
            .env("GITHUB_SHA", self.git(&["rev-parse", "HEAD"]).trim())
            .env("GITHUB_STEP_SUMMARY", self.aside.join("summary"))
            .env("RUNNER_TEMP", self.aside.path())
            .env("TEST_TOKEN", TOKEN);
        let said = said(&mut command);
        let leaked = said.out.contains(TOKEN) || self.aside.read("calls").contains(TOKEN);
        assert!(!leaked && !said.err.contains(TOKEN), "{said:?}");
        said
    }
}

#[test]
fn the_action_checks_pull_requests() {
    let it = Repository::new();
    let event = json!({"pull_request": {"number": 12}});
    it.act("pull_request", &event, &["run=check"]).done();
    assert_eq!(it.aside.read("calls"), "");
    it.damage_the_bundle();
    it.act("pull_request", &event, &["run=check"]).ended(1);
    it.git(&["checkout", "--quiet", "out"]);
    it.world.folder.edit("images/binaries.yaml", "owner/tool}", "owner/tool, version: 3.0.0}");
    it.act("pull_request", &event, &["run=check"]).ended(2);
    it.act("pull_request", &event, &["run=destroy"]).ended(2);

    // A plan with differences is a comment, and a second one replaces it. The script's credentials of gcloud are
    // not part of the action, so another `bake` prints a script here.
    let fence = "~~~~~~~~~~\\n| sh";
    for (code, changed) in [(1, "true"), (0, "false")] {
        let script = format!("printf '+ disk {fence}\\n'; exit {code}");
        let program = format!("#!/bin/sh\ncat <<'END'\n{script}\nEND\n");
        it.aside.program("bin/planner", &program);
        let program = format!("program={}", it.aside.join("bin/planner").display());
        it.act("pull_request", &event, &["run=plan", &program]).done();
        assert_eq!(it.aside.read("output"), format!("changed={changed}\n"));
        let document: Value = serde_json::from_str(&it.aside.read("document")).expect("JSON");
        let body = document["body"].as_str().expect("a body");
        assert!(body.contains("+ disk"), "{body}");
        assert_eq!(body.lines().filter(|line| line.starts_with("~~~~~~~~~~")).count(), 2, "{body}");
        let calls = it.aside.read("calls");
        let request = if code == 1 {
            "--method POST repos/me/gateway/issues/12/comments"
        } else {
            "--method PATCH repos/me/gateway/issues/comments/99"
        };
        assert!(calls.contains(request), "{calls}");
        let comments = json!([{"id": 98, "body": "Another."}, {"id": 99, "body": body}]);
        it.aside.write("comments", comments.to_string());
    }
    it.aside.program("bin/planner", "#!/bin/sh\necho 'exit 2'\n");
    let program = format!("program={}", it.aside.join("bin/planner").display());
    it.act("pull_request", &event, &["run=plan", &program]).ended(2);
}

#[test]
fn the_action_builds_and_pushes_the_image() {
    let it = Repository::new();
    let pushed = Pushed(format!("{}/bake-action-{}:1", testbed::registry(), std::process::id()));
    let spec = it.world.folder.read("bake.yaml");
    let spec = spec.replace(&it.world.github.image(), &testbed::base_image());
    let image = format!("image: {{strategy: registry, registry: '{}', apt: []}}\n", pushed.0);
    it.world.folder.write("bake.yaml", spec + &image);
    it.world.bake(["lock"]).done();
    let event = json!({"pull_request": {"number": 12}});
    it.act("pull_request", &event, &["run=image-build"]).done();
    let built = it.aside.read("output");
    assert!(built.starts_with("digest=sha256:"), "{built}");
    assert!(it.world.folder.join("oci/index.json").exists());
    it.act("push", &json!({}), &["run=image-push"]).done();
    assert_eq!(it.aside.read("output"), built);
    let digest = it.world.lock().pushed.expect("a pushed image").digest.oci();
    assert_eq!(built, format!("digest={digest}\n"));
}

#[test]
fn the_action_updates_and_audits_on_a_schedule() {
    let it = Repository::new();
    let event = json!({"schedule": "17 5 * * 1"});
    let update = ["run=update", "min-age=0"];
    it.act("schedule", &event, &update).done();
    assert_eq!(it.aside.read("output"), "changed=false\n");
    assert_eq!(it.aside.read("calls"), "");

    it.world.github.publish("owner/tool", release("tool", "v2.0.0"));
    for (open, request) in [("", "gh pr create"), ("7\n", "gh pr edit 7")] {
        it.aside.write("open", open);
        it.git(&["switch", "--quiet", "main"]);
        it.act("schedule", &event, &update).done();
        assert_eq!(it.aside.read("output"), "changed=true\n");
        let calls = it.aside.read("calls");
        assert!(calls.contains(request), "{calls}");
        let body = it.aside.read("document");
        assert!(body.contains("| tool | 1.0.0 | 2.0.0 | "), "{body}");
        let remote = format!("--git-dir={}", it.remote().display());
        let shown = |path: &str| it.git(&[&remote, "show", &format!("bake/lock-update:{path}")]);
        assert!(shown("bake.lock").contains("2.0.0") && shown("out/Dockerfile").contains("2.0.0"));
        let log = it.git(&[&remote, "log", "--format=%s", "bake/lock-update"]);
        assert_eq!(log, "Update locked versions\nOne\n");
    }

    it.git(&["switch", "--quiet", "main"]);
    it.git(&["merge", "--quiet", "bake/lock-update"]);
    for (damaged, code) in [(false, 0), (true, 1)] {
        if damaged {
            it.damage_the_bundle();
        }
        let said = it.act("schedule", &event, &["run=audit"]);
        assert!(it.aside.read("calls").contains("--method POST repos/me/gateway/code-scanning/sarifs"));
        let document: Value = serde_json::from_str(&it.aside.read("document")).expect("JSON");
        assert_eq!(document["ref"], "refs/heads/main");
        assert_eq!(document["commit_sha"], it.git(&["rev-parse", "HEAD"]).trim());
        let packed = STANDARD.decode(document["sarif"].as_str().expect("a text")).expect("base64");
        let mut sarif = String::new();
        GzDecoder::new(packed.as_slice()).read_to_string(&mut sarif).expect("gzip");
        let sarif: Value = serde_json::from_str(&sarif).expect("JSON");
        let results = sarif["runs"][0]["results"].to_string();
        assert_eq!(results.contains("bundle-differs"), damaged, "{results}");
        assert_eq!(said.code, code, "{results}");
    }
}

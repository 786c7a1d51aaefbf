//! Wrong inputs: each is refused with its message and its place, and nothing is written.
//!
//! A folder of `fixtures/bad` has the files that differ from the default project; `FILE.absent` removes one.
//! `expected.txt` is the whole of standard error; `BAKE_BLESS=1` rewrites it.

#![allow(clippy::print_stdout, reason = "times are for people to read")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::test;
use crate::support::{Folder, Said};
use bake::diagnostics::{Code, Problems, Source, json, terminal};
use bake::lock::forge::Forge;
use bake::lock::{self, Lock};
use bake::project::catalog::Catalog;
use bake::project::{Project, manifest, spec};
use proptest::prelude::*;

/// The secret of every fixture that has one.
const SECRET: &str = "hunter2";
/// The files of a fixture that are not part of the project.
const EXPECTED: &str = "expected.txt";
const ABSENT: &str = ".absent";

/// Problems that a terminal lists; the others are counted.
const TOLD: usize = 50;

const AUDIT: &str = "about what the project is held against, and the project is right";
const ASKING: &str = "met by who asks publishers, in tests/lock.rs";

/// Codes that no stored fixture meets, and why.
const JSON: &str = "about arguments or an image: `json.rs`";
const MET_ELSEWHERE: [(Code, &str); 36] = [
    (Code::AmbiguousAsset, ASKING),
    (Code::BadArchive, ASKING),
    (Code::BadArgument, JSON),
    (Code::BadImage, JSON),
    (Code::BadSignature, ASKING),
    (Code::BundleDiffers, AUDIT),
    (Code::BundleNearLimit, "a warning about a bundle that is rendered all the same"),
    (Code::BundleTooLarge, "takes thousands of binaries, and spec, manifest and lock are right"),
    (Code::CannotCache, ASKING),
    (Code::CannotEdit, "about an edit, and the manifest is right"),
    (Code::ChecksumMismatch, ASKING),
    (Code::CouldNotCheck, AUDIT),
    (Code::Downgrade, ASKING),
    (Code::EditedMeanwhile, "needs two runs at the same time: `kills.rs`"),
    (Code::InputTooLarge, "takes megabytes; made below"),
    (Code::Interrupted, "needs a signal: `image.rs`"),
    (Code::IoFailed, "about a path outside the project: `json.rs`"),
    (Code::LessTrust, ASKING),
    (Code::MissingLoader, "about an executable: `loaders.rs`"),
    (Code::NeedsBuilder, "about `bake image`, and spec, manifest and lock are right"),
    (Code::NewerVersion, AUDIT),
    (Code::NotInImage, AUDIT),
    (Code::NotInLock, AUDIT),
    (Code::VmDiffers, AUDIT),
    (Code::NotInManifest, "about an edit, and the manifest is right"),
    (Code::NotPushed, "about what is missing outside, and every file is right"),
    (Code::OtherRepository, ASKING),
    (Code::RehearsalFailed, "needs QEMU"),
    (Code::NotPublished, ASKING),
    (Code::RepositoryMoved, ASKING),
    (Code::Republished, ASKING),
    (Code::TagMoved, ASKING),
    (Code::UnknownExecutable, "a warning about a lock that fits: `commands.rs`"),
    (Code::UpstreamFailed, ASKING),
    (Code::UpstreamGone, ASKING),
    (Code::UpstreamUnreachable, ASKING),
];

fn fixtures() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bad");
    let entries = fs::read_dir(all).expect("the fixtures");
    let mut folders: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    folders.sort();
    folders
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("a path below it").to_str().expect("a name");
                found.insert(name.to_owned(), fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

/// The default project with a fixture's files over it.
fn project(fixture: &Path) -> Folder {
    let folder = Folder::empty();
    folder.write("bake.yaml", SPEC).write("images/binaries.yaml", MANIFEST).write("bake.lock", LOCK);
    for (name, content) in files(fixture) {
        if let Some(name) = name.strip_suffix(ABSENT) {
            fs::remove_file(folder.join(name)).expect("a file to take away");
        } else if name != EXPECTED {
            folder.write(&name, content);
        }
    }
    folder
}

/// Characters that a terminal obeys instead of showing them, and those that turn text around.
fn commands_terminal(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// `text` without the colours that `bake` itself sets.
fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        plain.push_str(&rest[..at]);
        let sequence = &rest[at + 2..];
        let end = sequence.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(sequence.len());
        if sequence[end..].starts_with('m') {
            rest = &sequence[end + 1..];
        } else {
            plain.push('\u{1b}');
            rest = &rest[at + 1..];
        }
    }
    plain + rest
}

/// Rules for every error message.
fn held(said: &Said) -> Result<(), String> {
    let all = format!("{}{}", said.out, said.err);
    if said.code != 2 {
        return Err(format!("exit code {}", said.code));
    }
    if all.contains("panicked") || all.contains("RUST_BACKTRACE") {
        return Err("a panic".to_owned());
    }
    if all.contains(SECRET) {
        return Err("the secret is told".to_owned());
    }
    match all.chars().find(|c| commands_terminal(*c)) {
        Some(c) => Err(format!("the control character {}", c.escape_unicode())),
        None => Ok(()),
    }
}

/// Runs one fixture; the codes that it met.
fn run(fixture: &Path) -> Result<BTreeSet<String>, String> {
    let folder = project(fixture);
    let before = files(folder.path());
    let said = folder.bake(["render"]);
    held(&said)?;
    if !said.out.is_empty() {
        return Err(format!("standard output: {}", said.out));
    }
    if files(folder.path()) != before || folder.join("out").exists() {
        return Err("it changed a file".to_owned());
    }
    let coloured = folder.bake(["--color", "always", "render"]);
    if without_colours(&coloured.err) != said.err {
        return Err(format!("colours change the text: {:?}", coloured.err));
    }

    let checked = folder.bake(["check", "--json"]);
    held(&checked)?;
    if !checked.err.is_empty() {
        return Err(format!("beside the JSON document: {}", checked.err));
    }
    let document: serde_json::Value =
        serde_json::from_str(&checked.out).map_err(|error| format!("no JSON document: {error}"))?;
    let problems = document["problems"].as_array().filter(|problems| !problems.is_empty());
    let mut codes = BTreeSet::new();
    for (index, problem) in problems.ok_or("the JSON document has no problem")?.iter().enumerate() {
        let code = problem["code"].as_str().unwrap_or_default();
        if !Code::ALL.iter().any(|known| known.as_str() == code) {
            return Err(format!("the code `{code}` is not listed"));
        }
        codes.insert(code.to_owned());
        if let Some(place) = problem.get("place").filter(|_| index < TOLD) {
            let place = format!(
                "{}:{}:{}",
                place["file"].as_str().unwrap_or_default(),
                place["line"],
                place["column"]
            );
            if !said.err.lines().any(|line| line.trim_end().ends_with(&format!(" {place}"))) {
                return Err(format!("{place} is in the JSON document only:\n{}", said.err));
            }
        }
    }

    let expected = fixture.join(EXPECTED);
    if std::env::var_os("BAKE_BLESS").is_some() {
        fs::write(expected, &said.err).map_err(|error| error.to_string())?;
    } else if fs::read_to_string(expected).unwrap_or_default() != said.err {
        return Err(format!("another message than expected:\n{}", said.err));
    }
    Ok(codes)
}

#[test]
fn each_is_refused_with_its_message_and_its_place() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 60, "{} fixtures", fixtures.len());
    let mut codes = BTreeSet::new();
    let mut wrong = Vec::new();
    let next = std::sync::Mutex::new(fixtures.iter());
    let worker = || {
        let take = || next.lock().expect("no panic while it is held").next();
        std::iter::from_fn(|| take().map(|fixture| (fixture, run(fixture)))).collect::<Vec<_>>()
    };
    let results = std::thread::scope(|scope| {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect::<Vec<_>>()
    });
    for (fixture, result) in results {
        match result {
            Ok(met) => codes.extend(met),
            Err(why) => wrong.push(format!("{}: {why}", fixture.display())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let met: BTreeSet<_> = Code::ALL.iter().filter(|code| codes.contains(code.as_str())).collect();
    for code in Code::ALL {
        let elsewhere = MET_ELSEWHERE.iter().any(|(known, _)| known == code);
        assert!(met.contains(code) != elsewhere, "`{code}`: a fixture, or a reason for none");
    }
}

/// A secret in a fixture is always the same, so that its absence means something.
#[test]
fn every_fixture_about_secrets_holds_the_secret() {
    let about = |folder: &&PathBuf| {
        folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("secret-"))
    };
    for fixture in fixtures().iter().filter(about) {
        let holds = files(fixture).values().any(|bytes| String::from_utf8_lossy(bytes).contains(SECRET));
        assert!(holds, "{}", fixture.display());
    }
}

/// Runs `bake render` on one large file, and tells how long it took.
#[track_caller]
fn hostile(what: &str, name: &str, content: impl AsRef<[u8]>) -> Said {
    let folder = Folder::project();
    folder.write(name, content);
    timed(what, &folder)
}

#[track_caller]
fn timed(what: &str, folder: &Folder) -> Said {
    let mut least = Duration::MAX;
    let mut said = None;
    for command in [&["render"][..], &["check", "--json"]] {
        let start = Instant::now();
        let this = folder.bake(command.iter().copied());
        println!("{what}: {command:?} {:?}", start.elapsed());
        least = least.min(start.elapsed());
        if let Err(why) = held(&this) {
            panic!("{what}: {why}\n{}", &this.err.chars().take(2000).collect::<String>());
        }
        said.get_or_insert(this);
    }
    assert!(!folder.join("out").exists(), "{what}");
    said.expect("a run")
}

#[test]
fn a_normal_run_for_comparison() {
    let folder = Folder::project();
    for command in [&["check", "--json"][..], &["render"]] {
        let start = Instant::now();
        folder.bake(command.iter().copied()).done();
        println!("normal: {command:?} {:?}", start.elapsed());
    }
}

#[test]
fn files_that_are_too_large_are_not_read() {
    for name in ["bake.yaml", "images/binaries.yaml", "bake.lock"] {
        let said = hostile(&format!("9 MiB {name}"), name, vec![b'#'; 9 << 20]);
        assert!(said.err.contains("input-too-large") && said.err.contains(name), "{}", said.err);
    }
}

#[test]
fn nesting_without_end_is_refused() {
    for name in ["bake.yaml", "images/binaries.yaml", "bake.lock"] {
        for (kind, open) in [("lists", "["), ("maps", "{a: "), ("blocks", "- "), ("keys", "? ")] {
            let said = hostile(&format!("100,000 {kind} in {name}"), name, open.repeat(100_000));
            assert!(said.err.contains(&format!("{name}:1:")), "{}", said.err);
        }
        let mut deep = String::new();
        for depth in 0..3_000 {
            deep.push_str(&" ".repeat(depth));
            deep.push_str("a:\n");
        }
        hostile(&format!("3,000 indented maps in {name}"), name, deep);
    }
}

#[test]
fn alias_bombs_are_refused() {
    let level = |level: usize| {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        format!("a{level}: &a{level} [{items}]\n")
    };
    let laughs: String = std::iter::once("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned())
        .chain((1..30).map(level))
        .collect();
    let flat = format!("a: &a [{}]\nb: [{}]\n", "x,".repeat(9_000), "*a,".repeat(9_000));
    for name in ["bake.yaml", "images/binaries.yaml", "bake.lock"] {
        let said = hostile(&format!("a billion laughs in {name}"), name, &laughs);
        assert!(said.err.contains("not-yaml"), "{}", said.err);
        hostile(&format!("9,000 aliases of 9,000 in {name}"), name, &flat);
    }
}

#[test]
fn more_than_anyone_writes_is_refused() {
    let items = "-\n".repeat(100_000);
    let key = format!("{}: 1\n", "k".repeat(1 << 20));
    let unknown: String = (0..10_000).map(|i| format!("unknown_{i}: {i}\n")).collect();
    let twice: String = (0..10_000).map(|_| "name: a\n").collect();
    let anchors: String = (0..10_000).map(|i| format!("unknown_{i}: &a{i} {i}\n")).collect();
    let line = format!("{{{}}}\n", (0..10_000).map(|i| format!("u{i}: {i},")).collect::<String>());
    let value = format!("name: {}\n", "n".repeat(1 << 20));
    let quotes = format!("name: \"{}", "\\\n".repeat(1 << 20));
    for name in ["bake.yaml", "images/binaries.yaml", "bake.lock"] {
        for (what, text) in [
            ("100,000 empty items", &items),
            ("a key of 1 MB", &key),
            ("10,000 unknown keys", &unknown),
            ("10,000 times the same key", &twice),
            ("10,000 anchors", &anchors),
            ("10,000 unknown keys on one line", &line),
            ("a value of 1 MB", &value),
            ("an open quote of 2 MB", &quotes),
        ] {
            hostile(&format!("{what} in {name}"), name, text);
        }
    }
    let within = [
        ("100,000 empty binaries", "images/binaries.yaml", format!("binaries:\n{items}")),
        (
            "10,000 wrong binaries",
            "images/binaries.yaml",
            format!("binaries:\n{}", "- {name: A B}\n".repeat(10_000)),
        ),
        (
            "10,000 times the same binary",
            "images/binaries.yaml",
            format!("binaries:\n{}", "- gog\n".repeat(10_000)),
        ),
        (
            "10,000 unknown tools",
            "images/binaries.yaml",
            format!("binaries:\n{}", (0..10_000).map(|i| format!("- tool-{i}\n")).collect::<String>()),
        ),
        (
            "10,000 literal secrets",
            "bake.yaml",
            format!("secrets:\n{}", (0..10_000).map(|i| format!("  K{i}: {SECRET}\n")).collect::<String>()),
        ),
        (
            "10,000 secrets without a source",
            "bake.yaml",
            format!("secrets:\n{}", (0..10_000).map(|i| format!("  K{i}: {{}}\n")).collect::<String>()),
        ),
        (
            "10,000 secrets in env",
            "bake.yaml",
            format!(
                "gateway:\n env:\n{}",
                (0..10_000).map(|i| format!("  K{i}_TOKEN: {SECRET}\n")).collect::<String>()
            ),
        ),
        (
            "10,000 packages twice",
            "bake.yaml",
            format!("image: {{apt: [{0}{0}]}}\n", (0..10_000).map(|i| format!("p{i},")).collect::<String>()),
        ),
        (
            "10,000 wrong builds",
            "bake.lock",
            format!(
                "version: 1\nbinaries:\n{}",
                (0..10_000)
                    .map(|i| format!("  t{i}: {{builds: {{amd64: {{url: x}}}}}}\n"))
                    .collect::<String>()
            ),
        ),
        (
            "100,000 lines that are suspects, and an error",
            "bake.yaml",
            format!("secrets:\n{}  x: [", format!("  K_TOKEN: {SECRET}\n").repeat(100_000)),
        ),
    ];
    for (what, name, text) in within {
        hostile(what, name, text);
    }
}

#[test]
fn a_project_consists_of_regular_files() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    for name in ["bake.yaml", "images/binaries.yaml", "bake.lock"] {
        let without = || {
            let folder = Folder::project();
            fs::remove_file(folder.join(name)).expect("a file");
            folder
        };
        let pipe = without();
        rustix::fs::mkfifoat(rustix::fs::CWD, pipe.join(name), 0o600.into()).expect("a pipe");
        let folder = without();
        fs::create_dir(folder.join(name)).expect("a folder");
        let dangling = without();
        symlink("nowhere", dangling.join(name)).expect("a link");
        let cycle = without();
        symlink(Path::new(name).file_name().expect("a name"), cycle.join(name)).expect("a link");
        let device = without();
        symlink("/dev/zero", device.join(name)).expect("a link");
        for (what, folder) in [
            ("a pipe", pipe),
            ("a folder", folder),
            ("a dangling link", dangling),
            ("a cycle", cycle),
            ("a device", device),
        ] {
            let said = timed(&format!("{what} as {name}"), &folder);
            assert!(said.err.contains("missing-file") && said.err.contains(name), "{}", said.err);
        }
    }

    let locked = Folder::project();
    fs::set_permissions(locked.join("images"), fs::Permissions::from_mode(0o000)).expect("permissions");
    if fs::read_dir(locked.join("images")).is_err() {
        timed("an unreadable folder", &locked);
    } else {
        // Root can read everything, so another user runs the command.
        fs::set_permissions(locked.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
        let program = locked.program_for_others();
        let mut other = std::process::Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program).arg("render");
        let said = crate::support::said(other.current_dir(locked.path()));
        held(&said).unwrap_or_else(|why| panic!("{why}: {said:?}"));
        assert!(said.err.contains("images/binaries.yaml"), "{}", said.err);
    }
    fs::set_permissions(locked.join("images"), fs::Permissions::from_mode(0o755)).expect("permissions");
}

/// Reads the three texts as `bake check` does, and tells what is wrong in both ways.
fn read(spec_text: &str, manifest_text: &str, lock_text: &str) -> (String, String) {
    let mut problems = Problems::default();
    let spec = spec::read(Source::new("bake.yaml", spec_text), &mut problems);
    let manifest =
        manifest::read(Source::new("images/binaries.yaml", manifest_text), Catalog::builtin(), &mut problems);
    let lock = lock::read(Source::new("bake.lock", lock_text), &mut problems);
    if let (Some(spec), Some(manifest)) = (spec, manifest) {
        let project = Project::new(spec, manifest, &mut problems);
        if let Some((lock, place)) = &lock {
            lock::check_staleness(lock, &project, &Forge::default(), place, &mut problems);
        }
        let old: Option<&Lock> = lock.as_ref().map(|(lock, _)| lock);
        let _ = lock::from_catalog(&project, old, Catalog::builtin());
    }
    let told = serde_json::to_string(&json::records(&problems)).expect("JSON");
    (terminal::render(&problems, false), told)
}

const SPEC: &str = include_str!("../../images/bake.yaml");
const MANIFEST: &str = include_str!("../../images/binaries.yaml");
const LOCK: &str = include_str!("../../images/bake.lock");

/// Damage to a file: bytes flipped or lost, lines swapped, duplicated or lost, and YAML's special characters
/// inserted anywhere.
#[derive(Clone, Debug)]
enum Slip {
    Flip(prop::sample::Index, u8),
    Lose(prop::sample::Index, usize),
    Swap(prop::sample::Index, prop::sample::Index),
    Double(prop::sample::Index),
    Put(prop::sample::Index, String),
}

fn slips() -> impl Strategy<Value = Vec<Slip>> {
    let at = any::<prop::sample::Index>;
    let put = "[-:{}\\[\\]\"'#&*!|>?%@`, \t\n\r\\\\<=~\u{feff}\u{85}\u{2028}\u{1b}é😀]{1,4}";
    let slip = prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Slip::Flip(at, byte)),
        (at(), 1..40_usize).prop_map(|(at, count)| Slip::Lose(at, count)),
        (at(), at()).prop_map(|(a, b)| Slip::Swap(a, b)),
        at().prop_map(Slip::Double),
        (at(), put).prop_map(|(at, text)| Slip::Put(at, text)),
    ];
    prop::collection::vec(slip, 1..6)
}

fn slipped(text: &str, slips: &[Slip]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for slip in slips {
        if bytes.is_empty() {
            break;
        }
        let lines = |bytes: &[u8]| {
            bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        match slip {
            Slip::Flip(at, by) => {
                let at = at.index(bytes.len());
                bytes[at] ^= by;
            }
            Slip::Lose(at, count) => {
                let at = at.index(bytes.len());
                bytes.drain(at..(at + count).min(bytes.len()));
            }
            Slip::Swap(a, b) => {
                let mut lines = lines(&bytes);
                let (a, b) = (a.index(lines.len()), b.index(lines.len()));
                lines.swap(a, b);
                bytes = lines.concat();
            }
            Slip::Double(at) => {
                let mut lines = lines(&bytes);
                let at = at.index(lines.len());
                lines.insert(at, lines[at].clone());
                bytes = lines.concat();
            }
            Slip::Put(at, text) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, text.bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_does_not_panic(text in "\\PC*|(?s).{0,200}") {
        read(&text, &text, &text);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        read(&text, &text, &text);
    }

    /// Nearly YAML gets further than noise does.
    #[test]
    fn arbitrary_punctuation_does_not_panic(text in "([-:{}\\[\\]\"'#&*!|>?, \n]|secrets|gateway|env|A_TOKEN|a|1|é|\r\n){0,60}") {
        read(&text, &text, &text);
    }

    #[test]
    fn a_slip_in_a_good_file_does_not_panic(spec in slips(), manifest in slips(), lock in slips()) {
        let (text, _) = read(&slipped(SPEC, &spec), MANIFEST, LOCK);
        prop_assert!(!text.contains(commands_terminal), "{text}");
        read(SPEC, &slipped(MANIFEST, &manifest), LOCK);
        read(SPEC, MANIFEST, &slipped(LOCK, &lock));
    }

    /// Damage next to a literal secret, or to the secret, does not reveal it.
    #[test]
    fn a_slip_next_to_a_secret_does_not_reveal_it(before in slips(), after in slips(), shape in 0..SHAPES.len()) {
        let (head, rest) = SHAPES[shape].split_once('^').expect("a mark");
        let (name, tail) = rest.split_once(SECRET).expect("a secret");
        for text in [
            format!("{}{name}{SECRET}{tail}", slipped(head, &before)),
            format!("{head}{name}{SECRET}{}", slipped(tail, &after)),
        ] {
            let (told, records) = read(&text, MANIFEST, LOCK);
            prop_assert!(!told.contains(SECRET), "{text}\n{told}");
            prop_assert!(!records.contains(SECRET), "{text}\n{records}");
        }
    }
}

/// Specs with a literal secret that is recognized by its name. The text from the mark to the secret is not
/// damaged, because without the name it is not recognized.
const SHAPES: [&str; 5] = [
    "version: 1\ngateway:\n  port: 1\n  env: {LANG: C}\nsecrets:\n  ^OPENAI_API_KEY: hunter2\ngcp:\n  zone: us-central1-a\n",
    "version: 1\ngateway:\n  env:\n    LANG: C\n    ^BOT_TOKEN: hunter2\n  port: 1\nsecrets: {A: {generate: hex32}}\n",
    "version: 1\nsecrets:\n  A: {generate: hex32}\n  ^DB_PASSWORD: {value: hunter2}\nname: x\nhost: {arch: arm64}\n",
    "{version: 1, secrets: {^GATEWAY_TOKEN: 'hunter2', B: {generate: hex32}}, name: x}\n",
    "name: x\nsecrets:\n  ^DEPLOY_KEY: |\n    hunter2\n  OTHER: {generate: hex32}\nhost:\n  swap: 1GB\n",
];

//! Downloads and their cache: resuming, refusing, repairing, and several programs at the same time, one of
//! which is killed.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::support::server::{Answer, Asked, Gate, Ranges, Server};
use crate::support::test;
use crate::support::{Folder, testbed};
use bake::digest::Sha256;
use bake::fetch::{
    Cache, Download, DownloadMeter, FetchError, Fetched, Kept, Progress, Silent, fetch, in_parallel,
    published,
};
use bake::http::{self, Client, RetryPolicy};
use url::Url;

const LIMIT: u64 = 10_000_000;
const TAG: &str = "\"one\"";

/// A cache, a server, and a document on the server.
struct Site {
    folder: Folder,
    server: Server,
    body: Vec<u8>,
}

impl Site {
    fn new() -> Self {
        // Bytes of which no part repeats, so that a wrong one shows.
        let body: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let this = Self { folder: Folder::empty(), server: Server::start(), body };
        this.serve(this.document());
        this
    }

    fn document(&self) -> Answer {
        Answer::of(self.body.clone()).ranges(TAG, Ranges::Served)
    }

    fn serve(&self, answer: Answer) {
        self.server.answer("/x", answer);
    }

    fn url(&self) -> Url {
        self.server.url("/x").parse().expect("a URL")
    }

    fn digest(&self) -> Sha256 {
        Sha256::of(&self.body)
    }

    fn cache(&self) -> Cache {
        Cache::open(self.folder.path()).expect("a cache")
    }

    fn get(&self, expected: Option<Sha256>, size: Option<u64>) -> Result<Fetched, FetchError> {
        let url = self.url();
        let download = Download { url: &url, expected, size, limit: LIMIT, label: "x" };
        fetch(&client(), &self.cache(), &download, &Silent)
    }

    /// Downloads by digest, and holds the result to be right.
    #[track_caller]
    fn right(&self) -> Fetched {
        let mut fetched = self.get(Some(self.digest()), None).expect("a download");
        self.hold(&mut fetched);
        fetched
    }

    #[track_caller]
    fn hold(&self, fetched: &mut Fetched) {
        let mut found = Vec::new();
        fetched.file.read_to_end(&mut found).expect("a file");
        assert!(found == self.body, "other bytes");
        assert_eq!((fetched.sha256, fetched.size), (self.digest(), self.body.len() as u64));
        assert!(fs::read(self.blob()).expect("a blob") == self.body, "other bytes in the cache");
        assert!(self.partials().is_empty(), "{:?}", self.partials());
    }

    fn blob(&self) -> PathBuf {
        self.cache().path(&self.digest())
    }

    /// The file of a running download of the document.
    fn partial(&self) -> PathBuf {
        self.folder.join("partial").join(self.digest().to_string())
    }

    fn partials(&self) -> Vec<PathBuf> {
        files(&self.folder.join("partial"))
    }

    /// A file of an earlier run.
    fn left(&self, bytes: &[u8]) {
        self.cache();
        fs::write(self.partial(), bytes).expect("a partial file");
    }

    /// The ranges that were asked for; `-` for a request without.
    fn ranges(&self) -> Vec<String> {
        let range = |asked: &Asked| asked.header("Range").unwrap_or("-").to_owned();
        self.server.requests().iter().map(range).collect()
    }

    /// Holds nothing to be in the cache, not even in part.
    #[track_caller]
    fn nothing_kept(&self) {
        assert!(self.partials().is_empty(), "{:?}", self.partials());
        assert!(files(&self.folder.join("sha256")).is_empty());
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn client() -> Client {
    let patience = RetryPolicy {
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(2),
        stall: Duration::from_secs(30),
        ..RetryPolicy::default()
    };
    Client::new(patience)
}

#[test]
fn a_download_is_kept_and_asked_for_once() {
    let site = Site::new();
    assert!(!site.cache().has(&site.digest()));
    assert!(!site.right().from_cache);
    assert!(site.cache().has(&site.digest()));
    assert!(site.right().from_cache);
    assert_eq!(site.ranges(), ["-"]);
    // The file is read-only.
    let mode = fs::metadata(site.blob()).expect("a blob").permissions().mode();
    assert_eq!(mode & 0o222, 0, "{mode:o}");
}

#[test]
fn without_a_digest_it_is_asked_for_each_time() {
    let site = Site::new();
    for _ in 0..2 {
        let mut fetched = site.get(None, None).expect("a download");
        assert!(!fetched.from_cache);
        site.hold(&mut fetched);
    }
    assert_eq!(site.ranges(), ["-", "-"]);
    // It is found by its digest.
    assert!(site.right().from_cache);
}

#[test]
fn a_cut_is_gone_on_from() {
    for expected in [true, false] {
        let site = Site::new();
        site.serve(site.document().after(2, site.document().cut_at(100_000)));
        let expected = expected.then(|| site.digest());
        site.hold(&mut site.get(expected, None).expect("a download"));
        let requests = site.server.requests();
        let asked: Vec<_> =
            requests.iter().map(|asked| (asked.header("Range"), asked.header("If-Range"))).collect();
        let same = Some(TAG);
        assert_eq!(asked, [(None, None), (Some("bytes=100000-"), same), (Some("bytes=200000-"), same)]);
    }
}

#[test]
fn a_download_that_grows_is_not_given_up() {
    let mut site = Site::new();
    site.body = (0..2_500_000_u32).flat_map(u32::to_le_bytes).collect();
    // Nine cuts, and five attempts; but each brings more than a mebibyte.
    site.serve(site.document().after(9, site.document().cut_at(1_100_000)));
    let url = site.url();
    let download = Download { url: &url, expected: None, size: None, limit: 10_000_000, label: "x" };
    fetch(&client(), &site.cache(), &download, &Silent).expect("a download");
    assert_eq!(site.ranges().len(), 10);
}

#[test]
fn a_download_that_does_not_grow_is() {
    let site = Site::new();
    site.serve(site.document().cut_at(10));
    let error = site.get(Some(site.digest()), None).expect_err("an error");
    assert!(matches!(&error, FetchError::Net(http::HttpError::Cut { .. })), "{error}");
    assert!(error.to_string().starts_with(site.url().as_str()), "{error}");
    assert_eq!(site.ranges().len(), 5);
    // The next run can use these bytes.
    assert_eq!(fs::read(site.partial()).expect("a partial file"), &site.body[..50]);
    site.serve(site.document());
    site.right();
    assert_eq!(site.ranges(), ["bytes=50-"]);
}

#[test]
fn without_a_digest_nothing_is_put_together_that_may_not_belong_together() {
    let site = Site::new();
    let body = || Answer::of(site.body.clone());
    for header in [None, Some(("ETag", "W/\"one\""))] {
        let answer = header.iter().fold(body(), |answer, (name, value)| answer.header(name, *value));
        site.serve(answer.clone().after(1, answer.cut_at(100_000)));
        site.hold(&mut site.get(None, None).expect("a download"));
        assert_eq!(site.ranges(), ["-", "-"], "{header:?}");
    }
    // With a digest, any wrong byte would show.
    fs::remove_file(site.blob()).expect("a blob");
    site.serve(body().after(1, body().cut_at(100_000)));
    site.right();
    assert_eq!(site.ranges(), ["-", "bytes=100000-"]);
}

#[test]
fn a_document_that_changes_during_the_download_restarts() {
    let site = Site::new();
    let other = Answer::of(vec![7; site.body.len()]).ranges("\"other\"", Ranges::Served);
    site.serve(site.document().after(1, other.cut_at(100_000)));
    site.hold(&mut site.get(None, None).expect("a download"));
    assert_eq!(site.ranges(), ["-", "bytes=100000-"]);
}

#[test]
fn a_server_without_ranges_is_asked_for_the_whole_file() {
    let cases = [
        (Ranges::Ignored, vec!["-", "bytes=100000-"]),
        (Ranges::Short, vec!["-", "bytes=100000-", "bytes=200000-", "bytes=300000-"]),
        (Ranges::Refused, vec!["-", "bytes=100000-", "-"]),
        (Ranges::WrongRange, vec!["-", "bytes=100000-", "-"]),
        (Ranges::NoRange, vec!["-", "bytes=100000-", "-"]),
    ];
    for (ranges, asked) in cases {
        for known in [true, false] {
            let site = Site::new();
            let answer = Answer::of(site.body.clone()).ranges(TAG, ranges);
            site.serve(answer.clone().after(1, answer.cut_at(100_000)));
            site.hold(&mut site.get(known.then(|| site.digest()), None).expect("a download"));
            assert_eq!(site.ranges(), asked, "{ranges:?}");
        }
    }
}

#[test]
fn a_server_that_cannot_do_parts_is_not_asked_for_another() {
    let site = Site::new();
    let answer = Answer::of(site.body.clone()).ranges(TAG, Ranges::Refused);
    site.serve(answer.clone().after(3, answer.cut_at(100_000)));
    site.right();
    assert_eq!(site.ranges(), ["-", "bytes=100000-", "-", "-"]);
}

#[test]
fn a_server_that_lies_about_parts_is_found_out() {
    let site = Site::new();
    let answer = Answer::of(site.body.clone()).ranges(TAG, Ranges::WrongBytes);
    site.serve(answer.clone().after(1, answer.clone().cut_at(100_000)));
    site.right();
    assert_eq!(site.ranges(), ["-", "bytes=100000-", "-"]);
    // And what is wrong in one piece, too, is refused after that one time.
    fs::remove_file(site.blob()).expect("a blob");
    let wrong = Answer::of(vec![7; site.body.len()]).ranges(TAG, Ranges::Served);
    site.serve(wrong.clone().after(1, wrong.cut_at(100_000)));
    let error = site.get(Some(site.digest()), None).expect_err("an error");
    assert!(matches!(error, FetchError::Mismatch { .. }), "{error}");
    assert_eq!(site.ranges(), ["-", "bytes=100000-", "-"]);
    site.nothing_kept();
}

#[test]
fn a_download_compressed_for_transfer_restarts() {
    let site = Site::new();
    let answer = Answer::gzip(&site.body).header("ETag", TAG);
    site.serve(answer.clone().after(1, answer.cut_at(1000)));
    site.right();
    assert_eq!(site.ranges(), ["-", "-"]);
}

#[test]
fn a_stall_is_gone_on_from() {
    let site = Site::new();
    site.serve(site.document().after(1, site.document().stall_at(100_000)));
    let patience = RetryPolicy { stall: Duration::from_secs(5), ..RetryPolicy::default() };
    let (url, client) = (site.url(), Client::new(patience));
    let download =
        Download { url: &url, expected: Some(site.digest()), size: None, limit: LIMIT, label: "x" };
    site.hold(&mut fetch(&client, &site.cache(), &download, &Silent).expect("a download"));
    assert_eq!(site.ranges(), ["-", "bytes=100000-"]);
}

#[test]
fn other_bytes_are_refused_at_once() {
    let site = Site::new();
    site.serve(Answer::of("something else"));
    let error = site.get(Some(site.digest()), None).expect_err("an error");
    let (url, found, expected) = (site.url(), Sha256::of("something else"), site.digest());
    assert_eq!(error.to_string(), format!("{url}: its SHA-256 is {found}, and {expected} was expected"));
    assert_eq!(site.ranges(), ["-"]);
    site.nothing_kept();
}

#[test]
fn another_length_is_refused_before_it_came() {
    let site = Site::new();
    let gate = Gate::default();
    // Only the head is needed; the body would never arrive.
    site.serve(site.document().wait_at(0, &gate));
    let error = site.get(Some(site.digest()), Some(5)).expect_err("an error");
    assert_eq!(error.to_string(), format!("{}: it has 400000 bytes, and 5 were expected", site.url()));
    gate.open();
    site.serve(site.document().chunked());
    let error = site.get(None, Some(5)).expect_err("an error");
    assert!(matches!(error, FetchError::WrongSize { expected: 5, found: 6.., .. }), "{error}");
    site.nothing_kept();
    site.right();
    let error = site.get(Some(site.digest()), Some(5)).expect_err("an error");
    assert!(matches!(error, FetchError::WrongSize { expected: 5, found: 400_000, .. }), "{error}");
}

#[test]
fn no_more_than_the_limit_is_taken() {
    let site = Site::new();
    let url = site.url();
    let limited = |limit| {
        let download = Download { url: &url, expected: None, size: None, limit, label: "x" };
        fetch(&client(), &site.cache(), &download, &Silent)
    };
    let gate = Gate::default();
    site.serve(site.document().wait_at(0, &gate));
    let told = limited(399_999).expect_err("an error");
    gate.open();
    // An answer without an end is left in the middle.
    site.serve(site.document().until_close().stall_at(399_000));
    let untold = limited(1000).expect_err("an error");
    site.serve(Answer::gzip(&vec![0; 1_000_000]));
    let bomb = limited(1000).expect_err("an error");
    for error in [told, untold, bomb] {
        assert!(matches!(error, FetchError::Net(http::HttpError::TooLarge { .. })), "{error}");
    }
    site.nothing_kept();
    site.serve(site.document());
    limited(400_000).expect("a download");
}

#[test]
fn a_partial_download_is_resumed_if_possible() {
    type Left = fn(&[u8]) -> Vec<u8>;
    let cases: [(&str, Left, &[&str]); 6] = [
        ("nothing", |_| Vec::new(), &["-"]),
        ("a beginning", |body| body[..300_000].to_vec(), &["bytes=300000-"]),
        ("all, without its name", <[u8]>::to_vec, &[]),
        ("other bytes", |_| vec![7; 1000], &["bytes=1000-", "-"]),
        ("zeros, as after a power cut", |body| vec![0; body.len()], &["bytes=400000-", "-"]),
        ("more than there is", |body| [body, b"more"].concat(), &["bytes=400004-", "-"]),
    ];
    for (what, left, asked) in cases {
        let site = Site::new();
        site.left(&left(&site.body));
        assert!(!site.right().from_cache, "{what}");
        assert_eq!(site.ranges(), asked, "{what}");
    }
    // A length that is known spares the question.
    let site = Site::new();
    site.left(&[&site.body[..], b"more"].concat());
    site.hold(&mut site.get(Some(site.digest()), Some(400_000)).expect("a download"));
    assert_eq!(site.ranges(), ["-"]);
}

#[test]
fn obstacles_in_the_cache_are_removed() {
    let outside = tempfile::NamedTempFile::new().expect("a file");
    fs::write(outside.path(), "not ours").expect("a file");
    let site = Site::new();
    // The right bytes, in a file that another program may change.
    let right = tempfile::NamedTempFile::new().expect("a file");
    fs::write(right.path(), &site.body).expect("a file");
    for path in [site.partial(), site.blob()] {
        let in_the_way: [&dyn Fn(); 5] = [
            &|| symlink(right.path(), &path).expect("a link"),
            &|| symlink(outside.path(), &path).expect("a link"),
            &|| symlink("/nowhere/at/all", &path).expect("a link"),
            &|| {
                fs::create_dir_all(path.join("a/b")).expect("a folder");
                symlink(outside.path(), path.join("a/b/c")).expect("a link");
            },
            &|| {
                let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo");
                assert!(made.success());
            },
        ];
        for place in in_the_way {
            let _ = fs::remove_file(site.blob());
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            place();
            assert!(!site.right().from_cache);
            assert!(fs::symlink_metadata(site.blob()).expect("a blob").is_file());
            assert_eq!(fs::read_to_string(outside.path()).expect("a file"), "not ours");
        }
    }
}

#[test]
fn a_wrong_file_in_the_cache_is_never_handed_out() {
    type Alter = fn(&File);
    let altered: [(&str, Alter); 4] = [
        ("one bit", |mut file| {
            file.seek(SeekFrom::Start(200_000)).expect("a place");
            let mut byte = [0];
            { file }.read_exact(&mut byte).expect("a byte");
            file.seek(SeekFrom::Start(200_000)).expect("a place");
            file.write_all(&[byte[0] ^ 1]).expect("a byte");
        }),
        ("torn", |file| file.set_len(399_999).expect("a cut")),
        ("empty", |file| file.set_len(0).expect("a cut")),
        ("longer", |file| file.set_len(400_001).expect("a byte more")),
    ];
    for (what, alter) in altered {
        let site = Site::new();
        site.right();
        fs::set_permissions(site.blob(), fs::Permissions::from_mode(0o644)).expect("permissions");
        alter(&OpenOptions::new().read(true).write(true).open(site.blob()).expect("a blob"));
        // To look at it changes nothing; to ask for it heals.
        assert!(matches!(site.cache().look(&site.digest()).expect("a look"), Kept::Altered(_)), "{what}");
        assert!(site.cache().has(&site.digest()), "{what}");
        assert!(!site.right().from_cache, "{what}");
        assert!(matches!(site.cache().look(&site.digest()).expect("a look"), Kept::Sound(_)), "{what}");
        fs::set_permissions(site.blob(), fs::Permissions::from_mode(0o644)).expect("permissions");
        fs::write(site.blob(), "wrong").expect("a blob");
        assert!(site.cache().get(&site.digest()).expect("a cache").is_none(), "{what}");
        assert!(matches!(site.cache().look(&site.digest()).expect("a look"), Kept::Nothing), "{what}");
    }
}

#[test]
fn a_cache_that_cannot_be_says_why() {
    let folder = Folder::empty();
    folder.write("file", "");
    let error = Cache::open(&folder.join("file")).expect_err("an error").to_string();
    assert!(error.contains("file/sha256: the cache cannot make a folder here: Not a directory"), "{error}");
    // Root writes anywhere but here.
    let error = Cache::open(Path::new("/proc/self/bake")).expect_err("an error").to_string();
    assert!(error.starts_with("/proc/self/bake"), "{error}");
}

#[test]
fn abandoned_downloads_are_removed_after_a_week() {
    const MINUTE: u64 = 60;
    const WEEK: u64 = 7 * 24 * 60 * MINUTE;
    let site = Site::new();
    site.cache();
    let made = |name: &str, age: u64| {
        let path = site.folder.join("partial").join(name);
        let file = File::create(&path).expect("a file");
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("a time");
        (path, file)
    };
    let (old, _) = made("old", WEEK + MINUTE);
    let (new, _) = made("new", WEEK - MINUTE);
    let (busy, lock) = made("busy", WEEK + MINUTE);
    lock.lock().expect("a lock");
    // Without a digest, it can never be resumed.
    let (useless, _) = made("url-0", 0);
    site.cache();
    assert!(!old.exists() && !useless.exists());
    assert!(new.exists() && busy.exists());
    // A process that another test starts may inherit the file, so closing it would not unlock it.
    lock.unlock().expect("no lock");
    site.cache();
    assert!(!busy.exists());
}

/// Not a test: the tests below run it as a separate process.
#[test]
#[ignore = "a part of other tests"]
fn child_fetches() {
    let setting = |name| std::env::var(name).expect("a setting");
    let url = setting("URL").parse().expect("a URL");
    let expected = std::env::var("DIGEST").ok().map(|digest| digest.parse().expect("a digest"));
    let download = Download { url: &url, expected, size: None, limit: LIMIT, label: "x" };
    let cache = Cache::open(Path::new(&setting("CACHE"))).expect("a cache");
    match fetch(&client(), &cache, &download, &Silent) {
        Ok(fetched) => println!("\nresult: {}", fetched.from_cache),
        Err(error) => println!("\nresult: {error}"),
    }
}

fn child_command(program: &mut Command, site: &Site, known: bool) -> Child {
    program.args(["fetch::child_fetches", "--exact", "--ignored", "--nocapture"]);
    program.env("URL", site.url().as_str()).env("CACHE", site.folder.path());
    if known {
        program.env("DIGEST", site.digest().to_string());
    }
    program.stdout(Stdio::piped()).spawn().expect("a child")
}

fn child(site: &Site, known: bool) -> Child {
    child_command(&mut Command::new(std::env::current_exe().expect("this program")), site, known)
}

fn result(child: Child) -> String {
    let out = child.wait_with_output().expect("an end").stdout;
    let out = String::from_utf8(out).expect("text");
    let result = out.lines().find_map(|line| line.strip_prefix("result: "));
    result.unwrap_or_else(|| panic!("no result: {out}")).to_owned()
}

/// Waits for an action of another process.
fn wait_until(happened: impl Fn() -> bool) {
    while !happened() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Whether a process waits for the lock of a file.
fn is_waited_for(path: &Path) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    let inode = format!(":{} ", metadata.ino());
    let locks = fs::read_to_string("/proc/locks").expect("a list of locks");
    locks.lines().any(|line| line.contains("->") && line.contains(&inode))
}

#[test]
fn two_programs_download_once() {
    let site = Site::new();
    let gate = Gate::default();
    site.serve(site.document().wait_at(100_000, &gate));
    let first = child(&site, true);
    wait_until(|| fs::metadata(site.partial()).is_ok_and(|file| file.len() == 100_000));
    let second = child(&site, true);
    wait_until(|| is_waited_for(&site.partial()));
    gate.open();
    assert_eq!((result(first), result(second)), ("false".to_owned(), "true".to_owned()));
    assert_eq!(site.ranges(), ["-"]);
    assert!(site.right().from_cache);
}

#[test]
fn two_programs_with_one_url_do_not_mix() {
    let site = Site::new();
    let gate = Gate::default();
    let other = vec![7; 400_000];
    let first_answer = Answer::of(other.clone()).wait_at(100_000, &gate);
    site.serve(site.document().after(1, first_answer));
    let first = child(&site, false);
    let partial = site.folder.join("partial").join(format!("url-{}", Sha256::of(site.url().as_str())));
    wait_until(|| fs::metadata(&partial).is_ok_and(|file| file.len() == 100_000));
    let second = child(&site, false);
    wait_until(|| is_waited_for(&partial));
    gate.open();
    assert_eq!((result(first), result(second)), ("false".to_owned(), "false".to_owned()));
    assert!(site.right().from_cache);
    assert!(site.cache().get(&Sha256::of(&other)).expect("a cache").is_some());
}

#[test]
fn a_killed_program_is_gone_on_from() {
    for (known, asked) in [(true, ["-", "bytes=100000-"]), (false, ["-", "-"])] {
        let site = Site::new();
        site.serve(site.document().after(1, site.document().stall_at(100_000)));
        let mut first = child(&site, known);
        wait_until(|| {
            site.folder.join("partial").exists() && {
                let left: Vec<_> =
                    fs::read_dir(site.folder.join("partial")).expect("a folder").flatten().collect();
                left.iter().any(|entry| entry.metadata().is_ok_and(|file| file.len() == 100_000))
            }
        });
        first.kill().expect("a child");
        first.wait().expect("an end");
        assert!(!site.cache().has(&site.digest()));
        site.hold(&mut site.get(known.then(|| site.digest()), None).expect("a download"));
        assert_eq!(site.ranges(), asked);
    }
}

#[test]
fn whenever_a_program_is_killed_the_next_one_succeeds() {
    let mut site = Site::new();
    // Long enough to be killed in the middle.
    site.body = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
    site.serve(site.document());
    for round in 0..40 {
        let _ = fs::remove_file(site.blob());
        let mut first = child(&site, round % 2 == 0);
        // At another moment each time, from the start of the program to beyond its end.
        thread::sleep(Duration::from_millis(round));
        let _ = first.kill();
        first.wait().expect("an end");
        for path in files(&site.folder.join("sha256")) {
            assert_eq!(path, site.blob());
            assert!(fs::read(path).expect("a blob") == site.body, "a wrong file has a digest's name");
        }
        site.right();
    }
}

#[test]
fn many_threads_share_a_cache() {
    let site = Site::new();
    let (client, cache, url) = (client(), site.cache(), site.url());
    let fetched = in_parallel(&[(); 16], 8, |()| {
        let download =
            Download { url: &url, expected: Some(site.digest()), size: None, limit: LIMIT, label: "x" };
        fetch(&client, &cache, &download, &Silent).expect("a download").from_cache
    });
    assert_eq!(fetched.iter().filter(|from_cache| !**from_cache).count(), 1);
    assert_eq!(site.ranges(), ["-"]);
}

#[test]
fn a_full_disk_is_reported_and_leaves_nothing() {
    let site = Site::new();
    let mut unshare = testbed::program("unshare");
    fs::create_dir(site.folder.join("small")).expect("a folder");
    let script = "mount -t tmpfs -o size=256k tmpfs \"$CACHE\" || exit 9
        \"$@\"; find \"$CACHE/partial\" -type f";
    let this = std::env::current_exe().expect("this program");
    unshare.args(["--mount", "sh", "-c", script, "sh"]).arg(this);
    let child = child_command(&mut unshare, &site, true);
    let out = child.wait_with_output().expect("an end");
    let out = String::from_utf8(out.stdout).expect("text");
    let result = out.lines().find(|line| line.starts_with("result: ")).expect("a result");
    assert!(result.contains("No space left on device") && result.contains("make room"), "{result}");
    assert!(!out.contains("\n/"), "a part is left: {out}");
}

/// Records its calls.
#[derive(Default)]
struct Notes(std::sync::Arc<Mutex<Vec<String>>>);

struct Note(std::sync::Arc<Mutex<Vec<String>>>, u64);

impl Progress for Notes {
    fn started(&self, label: &str, total: Option<u64>) -> Box<dyn DownloadMeter> {
        self.0.lock().expect("notes").push(format!("{label} of {total:?}"));
        Box::new(Note(std::sync::Arc::clone(&self.0), 0))
    }
}

impl DownloadMeter for Note {
    fn advance(&mut self, bytes: u64) {
        self.1 += bytes;
    }

    fn restart_at(&mut self, byte: u64) {
        self.0.lock().expect("notes").push(format!("{} to {byte}", self.1));
        self.1 = byte;
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        self.0.lock().expect("notes").push(format!("{} at the end", self.1));
    }
}

#[test]
fn a_published_file_is_hashed_and_not_kept() {
    let site = Site::new();
    site.serve(site.document().after(2, site.document().cut_at(100_000)));
    let url = site.url();
    let download = |limit| Download { url: &url, expected: None, size: None, limit, label: "x" };
    let found = published(&client(), &download(LIMIT), &Silent).expect("a digest");
    assert_eq!(found, (site.digest(), site.body.len() as u64));
    assert_eq!(site.ranges(), ["-", "-", "-"], "each from the beginning");
    let message = published(&client(), &download(1000), &Silent).expect_err("too large").to_string();
    assert!(message.contains("1000 bytes"), "{message}");
    assert_eq!(files(site.folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn progress_is_reported() {
    let site = Site::new();
    site.left(&site.body[..50_000]);
    let whole = Answer::of(site.body.clone());
    site.serve(whole.after(1, site.document().cut_at(100_000)));
    let (notes, url) = (Notes::default(), site.url());
    let download =
        Download { url: &url, expected: Some(site.digest()), size: None, limit: LIMIT, label: "x" };
    for _ in 0..2 {
        fetch(&client(), &site.cache(), &download, &notes).expect("a download");
    }
    let notes = notes.0.lock().expect("notes").clone();
    assert_eq!(notes, ["x of Some(400000)", "0 to 50000", "150000 to 0", "400000 at the end"]);
}

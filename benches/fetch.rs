//! Downloads into an empty cache against `curl --parallel` and `sha256sum -c` on the same files from
//! the same server, in one run: `cargo bench --bench fetch`.
//!
//! Both have what they need in memory: the server's bodies are made before, and neither side's files
//! are there when it begins. Machines differ, ratios less so.

#[path = "../tests/support/mod.rs"]
mod support;

use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::Instant;

use bake::digest::Sha256;
use bake::fetch::{Cache, Download, Silent, fetch, in_parallel};
use bake::http::{Client, RetryPolicy};
use support::server::{Answer, Server};
use support::{Folder, said};
use url::Url;

const ARCHIVES: usize = 100;
const BYTES: usize = 5_000_000;
const RUNS: usize = 7;

fn main() {
    let server = Server::start();
    let archives: Vec<(Url, Sha256)> = (0..ARCHIVES)
        .map(|index| {
            let (path, body) = (format!("/archive-{index}.tar.gz"), noise(index as u64));
            let sha256 = Sha256::of(&body);
            server.answer(&path, Answer::of(body));
            (server.url(&path).parse().expect("a URL"), sha256)
        })
        .collect();
    // A first run of each, so that neither pays for initial work.
    let _ = (ours(&archives, 4), curl(&archives));
    println!("{ARCHIVES} archives of {BYTES} bytes from loopback, seconds, median of {RUNS}:");
    let (mut curls, mut all) = (Vec::new(), [2, 4, 8].map(|workers| (workers, Vec::new())));
    for _ in 0..RUNS {
        curls.push(curl(&archives));
        for (workers, seconds) in &mut all {
            seconds.push(ours(&archives, *workers));
        }
    }
    let (transfer, check): (Vec<_>, Vec<_>) = curls.iter().copied().unzip();
    let theirs = median(curls.iter().map(|(transfer, check)| transfer + check).collect());
    let (transfer, check) = (median(transfer), median(check));
    println!("  curl --parallel, sha256sum -c  {theirs:6.2}  ({transfer:.2} and {check:.2})");
    for (workers, seconds) in all {
        let seconds = median(seconds);
        println!("  bake, {workers} at a time             {seconds:6.2}  ratio {:.2}", seconds / theirs);
    }
}

/// Seconds to bring all into an empty cache.
fn ours(archives: &[(Url, Sha256)], workers: usize) -> f64 {
    let folder = Folder::empty();
    let start = Instant::now();
    let client = Client::new(RetryPolicy::default());
    let cache = Cache::open(folder.path()).expect("a cache");
    let fetched = in_parallel(archives, workers, |(url, sha256)| {
        let size = Some(BYTES as u64);
        let download = Download { url, expected: Some(*sha256), size, limit: u64::MAX, label: "" };
        fetch(&client, &cache, &download, &Silent).expect("a download").size
    });
    assert_eq!(fetched.len(), archives.len());
    start.elapsed().as_secs_f64()
}

/// Seconds of the downloads, and of the check.
fn curl(archives: &[(Url, Sha256)]) -> (f64, f64) {
    let folder = Folder::empty();
    let (mut config, mut sums) = (String::new(), String::new());
    for (index, (url, sha256)) in archives.iter().enumerate() {
        let _ = writeln!(config, "url = \"{url}\"\noutput = \"{index}\"");
        let _ = writeln!(sums, "{sha256}  {index}");
    }
    folder.write("urls", config).write("sums", sums);
    let start = Instant::now();
    let arguments = ["--parallel", "--fail", "--silent", "--show-error", "--config", "urls"];
    said(Command::new("curl").args(arguments).current_dir(folder.path())).done();
    let transferred = start.elapsed().as_secs_f64();
    said(Command::new("sha256sum").args(["--check", "--quiet", "sums"]).current_dir(folder.path())).done();
    let all = start.elapsed().as_secs_f64();
    assert!(fs::metadata(folder.join("0")).is_ok_and(|file| file.len() == BYTES as u64));
    (transferred, all - transferred)
}

/// Bytes that no two archives share (xorshift, as by Marsaglia).
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(BYTES).collect()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

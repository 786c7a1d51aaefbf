//! Which file of a release is chosen, for the names of real ones: `fixtures/release-names.jsonl`.

use std::collections::BTreeMap;

use crate::support::test;
use bake::lock::assets;
use bake::lock::upstream::ReleaseAsset;
use bake::project::values::Arch;
use serde::Deserialize;

const RELEASES: &str = include_str!("../../fixtures/release-names.jsonl");

/// Other releases, many with variants of one tool, for which a name must not decide.
const MORE: &str = include_str!("../../fixtures/release-names-more.jsonl");

#[derive(Deserialize)]
struct Names {
    repo: String,
    assets: Vec<String>,
    /// The right file for each architecture that has one.
    expect: BTreeMap<String, String>,
}

/// A file that is not chosen can be named by hand; a wrong one must never be.
#[test]
fn none_is_wrong_and_few_are_refused() {
    let (mut all, mut refused, mut wrong) = (0, Vec::new(), Vec::new());
    for (title, releases) in [("a registry of tools", RELEASES), ("other releases", MORE)] {
        let before = (all, refused.len(), wrong.len());
        for line in releases.lines() {
            let Names { repo, assets, expect } = serde_json::from_str(line).expect("a release");
            // A script, or an archive for several processors.
            if expect.len() == 2 && expect["amd64"] == expect["arm64"] {
                continue;
            }
            all += 1;
            let assets: Vec<_> = assets.into_iter().map(asset).collect();
            let chosen =
                Arch::ALL.map(|arch| (expect.get(arch.as_str()), assets::choose(&assets, arch, None)));
            let is_wrong = |(wanted, got): &(Option<&String>, Result<&ReleaseAsset, _>)| {
                got.as_ref().is_ok_and(|got| Some(&got.name) != *wanted)
            };
            if chosen.iter().any(is_wrong) {
                wrong.push(repo);
            } else if chosen.iter().any(|(wanted, got)| wanted.is_some() && got.is_err()) {
                refused.push(repo);
            }
        }
        let (of, wrong, refused) = (all - before.0, &wrong[before.2..], &refused[before.1..]);
        let right = of - wrong.len() - refused.len();
        println!(
            "{title}: {right} right of {of}, {} wrong, {} refused: {refused:?}",
            wrong.len(),
            refused.len()
        );
    }
    assert!(wrong.is_empty(), "wrong: {wrong:?}");
    assert!(refused.len() * 100 <= all * 3, "refused: {refused:?}");
}

fn asset(name: String) -> ReleaseAsset {
    ReleaseAsset { name, url: "https://example.org/x".parse().expect("a URL"), size: 1, digest: None }
}

//! Compares the stand-in for GitHub with GitHub's documentation: a wrong stand-in would prove nothing.

use std::time::Duration;

use crate::support::github::{Fault, GitHub, Host, Release, TOKEN};
use crate::support::test;
use bake::digest::Sha256;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::redirect::Policy;
use serde_json::Value;

fn get(url: &str) -> RequestBuilder {
    // The first test of the process installs it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().user_agent("test").redirect(Policy::none()).no_proxy();
    client.build().expect("a client").get(url)
}

fn sent(request: RequestBuilder) -> Response {
    request.send().expect("an answer")
}

fn json(response: Response) -> Value {
    serde_json::from_str(&response.text().expect("text")).expect("JSON")
}

fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).unwrap_or_else(|| panic!("no {name}")).to_str().expect("text").to_owned()
}

fn tags(releases: &Value) -> Vec<&str> {
    releases.as_array().expect("a list").iter().filter_map(|release| release["tag_name"].as_str()).collect()
}

#[test]
fn releases_come_in_pages_the_newest_first() {
    let github = GitHub::start();
    for version in 1..=65 {
        github.publish("owner/tool", Release::new(&format!("v{version}")));
    }
    let first = sent(get(&format!("{}/repos/owner/tool/releases", github.api())));
    let link = header(&first, "link");
    assert_eq!(tags(&json(first)).first(), Some(&"v65"));
    let (next, rest) = link.split_once(">; rel=\"next\", ").expect("a next page");
    assert!(rest.contains("page=3>; rel=\"last\""), "{link}");
    let second = sent(get(next.trim_start_matches('<')));
    assert_eq!(tags(&json(second)).first(), Some(&"v35"));
    let last = sent(get(&format!("{}/repos/owner/tool/releases?per_page=50&page=2", github.api())));
    assert!(!header(&last, "link").contains("next"));
    assert_eq!(tags(&json(last)).last(), Some(&"v1"));
}

#[test]
fn the_latest_release_is_neither_draft_nor_pre_release() {
    let github = GitHub::start();
    github.publish("owner/tool", Release::new("v1"));
    github.publish("owner/tool", Release::new("v2-rc.1").prerelease());
    github.publish("owner/tool", Release::new("v2").draft());
    let releases = format!("{}/repos/owner/tool/releases", github.api());
    assert_eq!(json(sent(get(&format!("{releases}/latest"))))["tag_name"], "v1");
    assert_eq!(tags(&json(sent(get(&releases)))), ["v2-rc.1", "v1"]);
    assert_eq!(tags(&json(sent(get(&releases).bearer_auth(TOKEN)))), ["v2", "v2-rc.1", "v1"]);
    assert_eq!(sent(get(&format!("{releases}/tags/v2"))).status(), 404);
    let missing = json(sent(get(&format!("{releases}/tags/v3"))));
    assert_eq!((&missing["message"], &missing["status"]), (&"Not Found".into(), &"404".into()));
}

#[test]
fn a_download_is_redirected_to_a_store_that_knows_ranges() {
    let github = GitHub::start();
    github.publish("owner/tool", Release::new("v1").asset("tool.gz", "0123456789"));
    let release = json(sent(get(&format!("{}/repos/owner/tool/releases/tags/v1", github.api()))));
    let asset = &release["assets"][0];
    assert_eq!(asset["digest"], Sha256::of("0123456789").oci());
    let url = asset["browser_download_url"].as_str().expect("a URL");
    assert_eq!(url, github.download("owner/tool", "v1", "tool.gz"));
    let redirect = sent(get(url));
    assert_eq!(redirect.status(), 302);
    let store = header(&redirect, "location");
    let part = sent(get(&store).header("range", "bytes=4-"));
    assert_eq!((part.status().as_u16(), header(&part, "content-range")), (206, "bytes 4-9/10".to_owned()));
    assert_eq!(part.text().expect("text"), "456789");
    assert_eq!(sent(get(&store).header("range", "bytes=10-")).status(), 416);
    assert_eq!(sent(get(&store).header("range", "bytes=4-").header("if-range", "\"0x0\"")).status(), 200);
    assert_eq!(sent(get(&store).bearer_auth(TOKEN)).status(), 401);
}

#[test]
fn a_repository_with_another_name_is_found_by_its_number() {
    let github = GitHub::start();
    github.publish("old/tool", Release::new("v1").asset("tool", "x"));
    github.rename("old/tool", "new/tool");
    let moved = sent(get(&format!("{}/repos/old/tool/releases/latest?x=1", github.api())));
    assert_eq!(moved.status(), 301);
    let there = header(&moved, "location");
    assert!(there.contains("/repositories/") && there.ends_with("/releases/latest?x=1"), "{there}");
    assert_eq!(json(moved)["message"], "Moved Permanently");
    let release = json(sent(get(&there)));
    assert!(release["html_url"].as_str().is_some_and(|url| url.contains("/new/tool/")), "{release}");
    let download = sent(get(&github.download("old/tool", "v1", "tool")));
    assert_eq!(
        (download.status().as_u16(), header(&download, "location")),
        (301, github.download("new/tool", "v1", "tool"))
    );
}

#[test]
fn requests_are_counted_and_then_refused() {
    let github = GitHub::start();
    github.publish("owner/tool", Release::new("v1"));
    let url = format!("{}/repos/owner/tool/releases", github.api());
    let first = sent(get(&url));
    assert_eq!(header(&first, "x-ratelimit-remaining"), "59");
    let again = sent(get(&url).header("if-none-match", header(&first, "etag")));
    assert_eq!((again.status().as_u16(), header(&again, "x-ratelimit-remaining")), (304, "59".to_owned()));
    github.exhaust();
    let refused = sent(get(&url));
    assert_eq!((refused.status().as_u16(), header(&refused, "x-ratelimit-remaining")), (403, "0".to_owned()));
    assert_eq!(header(&refused, "x-ratelimit-reset"), github.reset().to_string());
    assert!(
        json(refused)["message"].as_str().is_some_and(|text| text.starts_with("API rate limit exceeded"))
    );
    assert_eq!(sent(get(&url).bearer_auth("another")).status(), 401);
}

#[test]
fn it_fails_on_demand() {
    let github = GitHub::start();
    github.publish("owner/tool", Release::new("v1").asset("tool", "0123456789"));
    let store = header(&sent(get(&github.download("owner/tool", "v1", "tool"))), "location");
    let with = |fault| {
        github.heal();
        let patience = Duration::from_secs(if matches!(fault, Fault::Stall(_)) { 1 } else { 60 });
        github.fault(Host::Objects, "filename%3Dtool", fault);
        get(&store).timeout(patience).send().and_then(Response::text)
    };
    assert!(with(Fault::Cut(4)).is_err());
    assert!(with(Fault::Stall(4)).is_err_and(|error| error.is_timeout()));
    assert!(with(Fault::Length(2)).is_err());
    assert_eq!(with(Fault::Length(-2)).expect("a short body"), "01234567");
    assert_eq!(with(Fault::Body(b"other".to_vec())).expect("a body"), "other");
    github.heal();
    github.fault_times(2, Host::Objects, "tool", Fault::Status(500));
    let statuses = [(); 3].map(|()| sent(get(&store)).status().as_u16());
    assert_eq!(statuses, [500, 500, 200]);
    github.fault(Host::Objects, "tool", Fault::TooMany(7));
    assert_eq!(header(&sent(get(&store)), "retry-after"), "7");
    github.heal();
    github.fault(Host::Objects, "tool", Fault::Gzip);
    assert_eq!(header(&sent(get(&store)), "content-encoding"), "gzip");
    github.heal();
    github.fault(Host::Objects, "tool", Fault::Loop);
    assert_eq!(header(&sent(get(&store)), "location"), store);
    assert!(github.requests().iter().any(|request| request.host == Host::Objects));
}

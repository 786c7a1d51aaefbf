//! The tags of a repository (distribution-spec, "Content Discovery").

use serde::Deserialize;
use url::Url;

use super::{AttemptError, Registry, RepositoryClient};
use crate::http::Request;
use crate::oci::{LONGEST_DOCUMENT, OciError};

/// Tags to ask for at once.
const AT_ONCE: &str = "1000";

/// Pages that are read.
const MOST_PAGES: usize = 50;

/// The length of the longest tag.
const LONGEST_TAG: usize = 128;

#[derive(Deserialize)]
struct TagList {
    /// Some registries answer `null` for none.
    tags: Option<Vec<String>>,
}

impl Registry {
    /// All tags of the repository.
    ///
    /// # Errors
    /// If the registry does not list them.
    pub fn tags(&self) -> Result<Vec<String>, OciError> {
        let repository = &self.repository;
        let (mut found, mut next) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let (page, following) = repository.with_retries(|| page(repository, next.as_ref()))?;
            found.extend(page.into_iter().filter(|tag| tag.len() <= LONGEST_TAG));
            match following {
                Some(url) => next = Some(url),
                None => break,
            }
        }
        Ok(found)
    }
}

/// The tags at `url`, or the first ones, and the URL of those after them.
fn page(
    repository: &RepositoryClient,
    url: Option<&Url>,
) -> Result<(Vec<String>, Option<Url>), AttemptError> {
    let mut url = url.map_or_else(|| repository.url("tags/list"), |url| Ok(url.clone()))?;
    if url.query().is_none() {
        url.query_pairs_mut().append_pair("n", AT_ONCE);
    }
    let mut response = repository.ask(&url, Request::new(url.clone()).accept("application/json"))?;
    if response.status() != 200 {
        return Err(repository.refused(response, "list of tags"));
    }
    let wrong = |why: String| AttemptError::Final(repository.answer(why));
    let next = response.header("link").and_then(next).map(|next| url.join(next)).transpose();
    let next = next.map_err(|error| wrong(format!("the link to its next tags is not a URL: {error}")))?;
    if next.as_ref().is_some_and(|next| !repository.is_home(next)) {
        return Err(wrong("the link to its next tags leads to another server".to_owned()));
    }
    let list: TagList = serde_json::from_slice(&response.document(LONGEST_DOCUMENT)?)
        .map_err(|error| wrong(format!("its list of tags is not JSON: {error}")))?;
    Ok((list.tags.unwrap_or_default(), next))
}

/// The target of `rel="next"` (RFC 8288).
fn next(link: &str) -> Option<&str> {
    let (target, rest) = link.strip_prefix('<')?.split_once('>')?;
    (rest.contains("rel=\"next\"") || rest.contains("rel=next")).then_some(target)
}

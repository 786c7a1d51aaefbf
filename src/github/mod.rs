//! Releases, as GitHub's REST API tells of them.

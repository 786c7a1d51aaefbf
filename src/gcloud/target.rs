//! The subject of an action: a spec, and the required part of its lock.

use crate::digest::Sha256;
use crate::plan::Plan;
use crate::project::spec::Spec;

/// The gateway that an action is about. Actions that read or rescue need its spec alone.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The spec.
    pub spec: &'a Spec,
    /// The digest of the lock; none where the action was printed without one.
    pub lock: Option<Sha256>,
    /// Whether to take over resources of its names that bake did not create for this project.
    pub adopt: bool,
}

impl<'a> Target<'a> {
    /// The gateway of `spec`, without its lock.
    pub const fn of(spec: &'a Spec) -> Self {
        Self { spec, lock: None, adopt: false }
    }

    /// The lock's digest, for a header.
    pub(super) fn lock(self) -> String {
        self.lock.map_or_else(|| "none".to_owned(), |lock| lock.to_string())
    }
}

impl<'a> From<&'a Plan<'_>> for Target<'a> {
    fn from(plan: &'a Plan<'_>) -> Self {
        Self { spec: plan.spec, lock: Some(plan.lock_digest), adopt: false }
    }
}

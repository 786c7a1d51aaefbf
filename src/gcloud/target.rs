//! What an action is about: a spec, and as much of its lock as the action needs.

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
    /// Whether resources of its names are to be taken over, which bake did not make for this project.
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

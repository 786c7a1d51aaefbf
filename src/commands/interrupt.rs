//! Ctrl-C, and whatever else asks the program to end.

use super::Failure;
use crate::diagnostics::Code;

/// Has `action` done, on a thread of its own, instead of ending the program.
pub(super) fn on_interrupt(action: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    ctrlc::set_handler(action)
        .map_err(|error| Failure::Other(Code::IoFailed, format!("signals cannot be handled: {error}")))
}

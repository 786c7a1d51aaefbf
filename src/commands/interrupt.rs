//! Ctrl-C and the signals that end the program.

use super::Failure;
use crate::diagnostics::Code;

/// Runs `action` on a separate thread instead of ending the program.
pub(super) fn on_interrupt(action: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    ctrlc::set_handler(action)
        .map_err(|error| Failure::Other(Code::IoFailed, format!("signals cannot be handled: {error}")))
}

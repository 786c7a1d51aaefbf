//! A question that only a person at a terminal can answer.

use super::script::{Shell, Step};

const FUNCTIONS: &[&str] = &[include_str!("sh/confirm.sh")];

/// Explains the consequences, and continues only if `name` is typed.
pub(super) fn confirm(name: &str, what: &str) -> Step {
    Step::shell(
        "Asks on the terminal, since standard input may be this script.",
        Shell::calling(
            "asks for the name on the terminal, and ends with an error unless it is typed",
            FUNCTIONS,
            ["confirmed"],
        )
        .argument(name.into())
        .argument(what.into()),
    )
}

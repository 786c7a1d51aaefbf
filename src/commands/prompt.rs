//! Questions on a terminal, a line each.
//!
//! Plain lines, read and edited by the terminal itself: Ctrl-C ends the program as it ends any other, and
//! there is no mode of the terminal's to be put back.

use std::io::{self, BufRead, IsTerminal, Write};

use super::Failure;
use crate::diagnostics::Code;

/// Whether there is a terminal to ask on.
pub(super) fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Repeats the question until `read` accepts the answer. An empty line selects `default`, if there is one.
pub(super) fn ask<T>(
    question: &str,
    default: Option<&str>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Failure> {
    loop {
        let mut screen = io::stderr().lock();
        let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
        let _ = write!(screen, "{question}{shown}: ");
        let _ = screen.flush();
        let mut line = String::new();
        let taken = io::stdin().lock().read_line(&mut line);
        match taken {
            Ok(0) => {
                let _ = writeln!(screen);
                return Err(Failure::Other(
                    Code::Interrupted,
                    "nothing was written: the questions were not answered".to_owned(),
                ));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let _ = writeln!(screen, "  That was not UTF-8.");
                continue;
            }
            Err(error) => {
                return Err(Failure::Other(Code::IoFailed, format!("the terminal cannot be read: {error}")));
            }
        }
        let answer = Some(line.trim()).filter(|answer| !answer.is_empty()).or(default);
        let Some(answer) = answer else { continue };
        match read(answer) {
            Ok(value) => return Ok(value),
            Err(why) => {
                let _ = writeln!(screen, "  {why}");
            }
        }
    }
}

//! Asks the gateway's agent a question.
//!
//! Without SSH, the question is passed in the firmware tables (`credential.rs`); `ask.sh` sends it to the
//! agent and reports the answer as guest attributes.

use super::metadata::AttributeChange;
use super::serial::plain;

const NAMESPACE: &str = "openclaw-rehearsal";

/// The answer received so far.
#[derive(Debug, Default)]
pub struct Reply {
    text: String,
    error: String,
    code: Option<String>,
}

impl Reply {
    /// Ignores other guest attributes.
    pub fn take(&mut self, change: &AttributeChange) {
        if change.namespace != NAMESPACE {
            return;
        }
        // Sanitize model output for the terminal.
        let value: Vec<_> = change.value.iter().flat_map(|value| value.lines()).map(plain).collect();
        let value = value.join("\n").trim().to_owned();
        match change.key.as_str() {
            "reply" => self.text = value,
            "error" => self.error = value,
            "code" => self.code = Some(value),
            _ => {}
        }
    }

    /// The answer or the error; `None` while waiting.
    pub fn settled(&self) -> Option<Result<&str, String>> {
        let code = self.code.as_deref()?;
        Some(match (code, self.text.as_str()) {
            ("0", "") => Err("the agent's reply was empty".to_owned()),
            ("0", text) => Ok(text),
            ("124", _) => Err("the agent did not reply within 15 minutes".to_owned()),
            _ if self.error.is_empty() => Err(format!("the agent did not reply (exit code {code})")),
            _ => Err(format!("the agent did not reply (exit code {code}): {}", self.error)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{AttributeChange, Reply};

    fn reply(values: &[(&str, &str, &str)]) -> Reply {
        let mut reply = Reply::default();
        for (namespace, key, value) in values {
            let [namespace, key, value] = [namespace, key, value].map(|text| (*text).to_owned());
            reply.take(&AttributeChange { namespace, key, value: Some(value) });
        }
        reply
    }

    #[test]
    fn a_reply_is_complete_with_its_code_and_sanitized() {
        let ours = "openclaw-rehearsal";
        let begun = [(ours, "reply", "forty\u{1b}[31m-two\r\n\n  or so\u{7}\n"), ("openclaw", "code", "0")];
        assert!(reply(&begun).settled().is_none());
        let whole = [&begun[..], &[(ours, "code", "0")]].concat();
        assert_eq!(reply(&whole).settled(), Some(Ok("forty-two\n\n  or so")));
        let failed = reply(&[(ours, "error", "no key\u{9b}"), (ours, "code", "1")]);
        assert_eq!(failed.settled(), Some(Err("the agent did not reply (exit code 1): no key".to_owned())));
        for code in ["0", "124", "137", "x"] {
            assert!(matches!(reply(&[(ours, "code", code)]).settled(), Some(Err(_))), "{code}");
        }
    }
}

//! Shell functions that know what to do about each kind of error, made from [`crate::vm::ERRORS`].

use std::fmt::Write;
use std::sync::LazyLock;

use super::shell::{quote, without_directives};
use crate::vm::{ERRORS, ErrorKind, PLACEHOLDERS};

/// `remedy` and the functions that it uses, for a script that begins with `vm-state.sh`.
pub(super) fn functions() -> &'static str {
    static FUNCTIONS: LazyLock<String> = LazyLock::new(generate);
    &FUNCTIONS
}

fn generate() -> String {
    let mut text = without_directives(include_str!("sh/advice.sh")).to_owned();
    text.push_str("\n# The kind of `$error`, for a VM that does not report kinds.\nkind_of_text() {\n    case $error in\n");
    for kind in &ERRORS {
        if let Some(pattern) = kind.text {
            let _ = writeln!(text, "    {}) echo {} ;;", pattern.replace('|', " | "), kind.name);
        }
    }
    text.push_str("    esac\n}\n\n# Whether a lack of memory may cause an error of the kind `$1`.\n");
    let not_memory: Vec<_> = ERRORS.iter().filter(|kind| !kind.may_be_memory).map(|kind| kind.name).collect();
    let _ = writeln!(
        text,
        "may_be_memory() {{\n    case $1 in\n    {}) return 1 ;;\n    esac\n}}\n",
        not_memory.join(" | \\\n        ")
    );
    text.push_str("# The advice for an error of the kind `$1`.\nadvise() {\n    case $1 in\n");
    for kind in &ERRORS {
        let _ = writeln!(text, "    {})\n{}        ;;", kind.name, told(kind));
    }
    text.push_str("    esac\n}\n");
    text
}

fn told(kind: &ErrorKind) -> String {
    match kind.fleet_advice {
        None => tell(kind.advice, "        "),
        Some(in_fleet) => format!(
            "        if [ -n \"$fleet\" ]; then\n{}        else\n{}        fi\n",
            tell(in_fleet, "            "),
            tell(kind.advice, "            ")
        ),
    }
}

fn tell(lines: &[&str], indent: &str) -> String {
    let words: Vec<_> = lines.iter().map(|line| word(line)).collect();
    format!("{indent}tell {}\n", words.join(&format!(" \\\n{indent}    ")))
}

/// A line of advice as a word of the shell.
fn word(line: &str) -> String {
    if !line.contains('{') {
        return quote(line);
    }
    let mut text = String::new();
    for c in line.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            text.push('\\');
        }
        text.push(c);
    }
    for name in PLACEHOLDERS {
        let value = if name == "member" { "${fleet:+ --member $vm}".to_owned() } else { format!("${name}") };
        text = text.replace(&format!("{{{name}}}"), &value);
    }
    format!("\"{text}\"")
}

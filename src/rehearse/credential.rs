//! What a rehearsal puts into the VM beside its metadata: a way to the gateway's port and the port of
//! this machine that leads there, where its Secret Manager is, and a question to the agent.
//!
//! The gateway listens on the VM's loopback interface only, where nobody outside reaches it; people
//! go there through SSH. A rehearsal has no SSH keys, so a socket of systemd's forwards one port.
//! It gets there as the credential `tmpfiles.extra` in the firmware's tables (systemd.system-credentials(7),
//! from systemd 252 on), so that disk and user-data stay as they are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::network::ADDRESS;

const UNITS: &str = "/etc/systemd/system";
/// Where the question is, and what puts it to the agent.
const ASKED: &str = "/run/openclaw-rehearsal";
const ASK: &str = include_str!("ask.sh");
/// The port of the VM's network interface that leads to the gateway.
pub(super) const FORWARDED: u16 = 80;

/// The value of an OEM string (SMBIOS type 11) that makes the VM's systemd write those files.
///
/// `port` is that of the gateway on the VM's loopback interface, `host_port` the one of this machine
/// that leads there.
pub(super) fn oem_string(port: u16, host_port: u16, question: Option<&str>) -> String {
    let files = tmpfiles(port, host_port, question);
    format!("io.systemd.credential.binary:tmpfiles.extra={}", STANDARD.encode(files))
}

/// Lines of tmpfiles.d(5). Units are written at each boot and kept, since a unit is read before these
/// are; the question is of one boot, in memory, and its unit does nothing without it.
fn tmpfiles(port: u16, host_port: u16, question: Option<&str>) -> String {
    let socket = format!(
        "[Unit]\nDescription=The gateway's port, for the machine that rehearses\n\
         [Socket]\nListenStream={ADDRESS}:{FORWARDED}\nFreeBind=yes\n"
    );
    let service = format!(
        "[Unit]\nDescription=Forwards to the gateway\n\
         [Service]\nExecStart=/usr/lib/systemd/systemd-socket-proxyd 127.0.0.1:{port}\n"
    );
    let asking = format!(
        "[Unit]\nDescription=Puts the rehearsal's question to the gateway's agent\n\
         ConditionPathExists={ASKED}/question\n\
         [Service]\nExecStart=/bin/bash {ASKED}/ask.sh\n"
    );
    let gateway = "[Unit]\nWants=openclaw-rehearsal.socket openclaw-rehearsal-ask.service\n\
                   [Service]\nEnvironment=OPENCLAW_SECRET_MANAGER_URL=http://metadata.google.internal\n";
    let files = [
        ("openclaw-rehearsal.socket", socket.as_str()),
        ("openclaw-rehearsal.service", service.as_str()),
        ("openclaw-rehearsal-ask.service", asking.as_str()),
        ("openclaw-gateway.service.d/rehearsal.conf", gateway),
    ];
    let folder = format!("d {UNITS}/openclaw-gateway.service.d 0755 root root -\n");
    let lines: String = files
        .map(|(name, text)| format!("f+~ {UNITS}/{name} 0644 root root - {}\n", STANDARD.encode(text)))
        .concat();
    let question = question.map_or_else(String::new, |question| {
        let file = |name: &str, text: &str| {
            format!("f+~ {ASKED}/{name} 0600 root root - {}\n", STANDARD.encode(text))
        };
        format!("d {ASKED} 0700 root root -\n{}{}", file("question", question), file("ask.sh", ASK))
    });
    // The VM's `configure.py` allows it for the Control UI. Not in the unit, which is read before.
    let origin = format!("f+ /run/openclaw-rehearsal-port 0644 root root - {host_port}\n");
    // On Compute Engine the resolver knows this name; QEMU's asks that of the machine it runs on.
    folder
        + &lines
        + &origin
        + &question
        + "w+ /etc/hosts - - - - 169.254.169.254 metadata.google.internal\\n\n"
}

#[cfg(test)]
mod tests {
    use super::{ASK, Engine, STANDARD, tmpfiles};

    /// A disk that boots again has the units of before, and the question must not be there any more.
    #[test]
    fn a_question_is_there_for_the_boot_that_asks_it() {
        let without = tmpfiles(18789, 18789, None);
        assert!(without.contains("/openclaw-rehearsal-ask.service ") && !without.contains("/question "));
        let text = "it's\n\"$HOME\" %h ñ";
        let with = tmpfiles(18789, 18789, Some(text));
        for (file, text) in [("question", text), ("ask.sh", ASK)] {
            let line =
                format!("f+~ /run/openclaw-rehearsal/{file} 0600 root root - {}\n", STANDARD.encode(text));
            assert!(with.contains(&line), "{with}");
        }
    }
}

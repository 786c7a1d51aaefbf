//! Additions to the VM besides metadata: port forwarding to the gateway, the address of the
//! emulated Secret Manager, and the question for the agent.
//!
//! The gateway listens only on the VM's loopback interface, and users reach it through SSH. A rehearsal has
//! no SSH keys; a systemd socket forwards one port instead. The unit is passed as the credential
//! `tmpfiles.extra` in the firmware tables (systemd.system-credentials(7), systemd 252 or later), so that
//! disk and user-data stay unmodified.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::network::ADDRESS;

const UNITS: &str = "/etc/systemd/system";
/// Folder of the question and the script that sends it.
const ASKED: &str = "/run/openclaw-rehearsal";
const ASK: &str = include_str!("ask.sh");
/// The VM's port that is forwarded to the gateway.
pub(super) const FORWARDED: u16 = 80;

/// An OEM string (SMBIOS type 11) with which systemd creates these files.
///
/// `port` is the gateway's port on the VM's loopback interface, `host_port` the forwarded port of this
/// machine.
pub(super) fn oem_string(port: u16, host_port: u16, question: Option<&str>) -> String {
    let files = tmpfiles(port, host_port, question);
    format!("io.systemd.credential.binary:tmpfiles.extra={}", STANDARD.encode(files))
}

/// Lines of tmpfiles.d(5). Units are written at every boot and persist, because systemd loads units before
/// this runs. The question is in memory for one boot; its unit does nothing without it.
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
    // `configure.py` allows this origin for the Control UI. It is not in the unit, which is loaded before.
    let origin = format!("f+ /run/openclaw-rehearsal-port 0644 root root - {host_port}\n");
    // Compute Engine's resolver knows this name; QEMU uses the host's resolver.
    folder
        + &lines
        + &origin
        + &question
        + "w+ /etc/hosts - - - - 169.254.169.254 metadata.google.internal\\n\n"
}

#[cfg(test)]
mod tests {
    use super::{ASK, Engine, STANDARD, tmpfiles};

    /// A disk that boots again still has the units, but must not have the question.
    #[test]
    fn a_question_lasts_for_one_boot() {
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

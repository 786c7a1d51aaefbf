//! What a rehearsal puts into the VM beside its metadata: a way to the gateway's port, the port that
//! browsers use on the machine that rehearses, and where its Secret Manager is.
//!
//! The gateway listens on the VM's loopback interface only, where nobody outside reaches it; people
//! go there through SSH. A rehearsal has no SSH keys, so a socket of systemd's forwards one port.
//! It gets there as the credential `tmpfiles.extra` in the firmware's tables (systemd.system-credentials(7),
//! from systemd 252 on), so that disk and user-data stay as they are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::network::ADDRESS;

const UNITS: &str = "/etc/systemd/system";
/// The port of the VM's network interface that leads to the gateway.
pub(super) const FORWARDED: u16 = 80;

/// The value of an OEM string (SMBIOS type 11) that makes the VM's systemd write those files.
///
/// `port` is that of the gateway on the VM's loopback interface, `host_port` the one of this machine
/// that leads there.
pub(super) fn oem_string(port: u16, host_port: u16) -> String {
    format!("io.systemd.credential.binary:tmpfiles.extra={}", STANDARD.encode(tmpfiles(port, host_port)))
}

/// Lines of tmpfiles.d(5). Written at each boot and kept, since a unit is read before these are.
fn tmpfiles(port: u16, host_port: u16) -> String {
    let socket = format!(
        "[Unit]\nDescription=The gateway's port, for the machine that rehearses\n\
         [Socket]\nListenStream={ADDRESS}:{FORWARDED}\nFreeBind=yes\n"
    );
    let service = format!(
        "[Unit]\nDescription=Forwards to the gateway\n\
         [Service]\nExecStart=/usr/lib/systemd/systemd-socket-proxyd 127.0.0.1:{port}\n"
    );
    let gateway = "[Unit]\nWants=openclaw-rehearsal.socket\n\
                   [Service]\nEnvironment=OPENCLAW_SECRET_MANAGER_URL=http://metadata.google.internal\n";
    let files = [
        ("openclaw-rehearsal.socket", socket.as_str()),
        ("openclaw-rehearsal.service", service.as_str()),
        ("openclaw-gateway.service.d/rehearsal.conf", gateway),
    ];
    let folder = format!("d {UNITS}/openclaw-gateway.service.d 0755 root root -\n");
    let lines: String = files
        .map(|(name, text)| format!("f+~ {UNITS}/{name} 0644 root root - {}\n", STANDARD.encode(text)))
        .concat();
    // The VM's `configure.py` allows it for the Control UI. Not in the unit, which is read before.
    let origin = format!("f+ /run/openclaw-rehearsal-port 0644 root root - {host_port}\n");
    // On Compute Engine the resolver knows this name; QEMU's asks that of the machine it runs on.
    folder + &lines + &origin + "w+ /etc/hosts - - - - 169.254.169.254 metadata.google.internal\\n\n"
}

//! Hardware virtualization where it works, emulation elsewhere.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::option::option;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceleration {
    /// With QEMU's name of the accelerator.
    Hardware(&'static str),
    /// About twenty times slower.
    Emulation,
}

/// QEMU's name of the accelerator on this system.
const HARDWARE: Option<&str> = if cfg!(target_os = "linux") {
    Some("kvm")
} else if cfg!(target_os = "macos") {
    Some("hvf")
} else {
    None
};

/// I/O port of `isa-debug-exit`, with which a guest exits QEMU.
const EXIT_PORT: u8 = 0xf4;
/// When the guest writes `n`, QEMU exits with `2n + 1`.
const SAID: u8 = 0x21;
const ENDED: i32 = 0x43;
/// A working guest, even an emulated one, takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(4);

impl Acceleration {
    /// The best option that works with this QEMU.
    ///
    /// That the device can be opened proves nothing: in a VM without nested virtualization it may fail, or run
    /// slower than emulation. Therefore this boots a disk whose boot sector counts briefly and exits with a
    /// known code. The disk is written to `folder` and deleted.
    pub fn best(qemu: &str, folder: &Path) -> io::Result<Self> {
        match HARDWARE {
            Some(name) if works(qemu, name, folder)? => Ok(Self::Hardware(name)),
            _ => Ok(Self::Emulation),
        }
    }
}

/// Whether this QEMU version emulates reliably: version 7.2 causes crashes in the kernel and Python of
/// Debian 13, version 10.0 does not.
pub fn emulates_well(qemu: &str) -> io::Result<bool> {
    let output = Command::new(qemu).arg("--version").stdin(Stdio::null()).output()?;
    // `QEMU emulator version 10.0.13 (…)`
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said.split_whitespace().skip_while(|word| *word != "version").nth(1).unwrap_or_default();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    Ok(major.is_none_or(|major| major >= 10))
}

/// Whether a guest runs with this accelerator; see [`Acceleration::best`].
pub fn works(qemu: &str, acceleration: &str, folder: &Path) -> io::Result<bool> {
    let disk = folder.join("probe.img");
    fs::write(&disk, boot_sector())?;
    let ended = ends_as_said(qemu, acceleration, &disk);
    fs::remove_file(&disk)?;
    ended
}

fn ends_as_said(qemu: &str, acceleration: &str, disk: &Path) -> io::Result<bool> {
    let mut probe = Command::new(qemu)
        .args(["-accel", acceleration, "-nodefaults", "-no-user-config", "-display", "none", "-m", "32"])
        .args(["-device", &format!("isa-debug-exit,iobase={EXIT_PORT:#x},iosize=1")])
        .arg("-drive")
        .arg(option("format=raw,if=ide,file=", disk))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let begun = Instant::now();
    loop {
        if let Some(status) = probe.try_wait()? {
            return Ok(status.code() == Some(ENDED));
        }
        if begun.elapsed() > PATIENCE {
            probe.kill()?;
            probe.wait()?;
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// 65 million iterations, then writes [`SAID`] to [`EXIT_PORT`].
fn boot_sector() -> [u8; 512] {
    let program = [
        [0xba, 0xe8, 0x03].as_slice(),  // mov dx, 1000
        &[0x31, 0xc9],                  // outer: xor cx, cx
        &[0xe2, 0xfe],                  // inner: loop inner
        &[0x4a],                        // dec dx
        &[0x75, 0xf9],                  // jnz outer
        &[0xb0, SAID, 0xe6, EXIT_PORT], // mov al, SAID; out EXIT_PORT, al
        &[0xf4],                        // hlt
    ]
    .concat();
    let mut sector = [0; 512];
    sector[..program.len()].copy_from_slice(&program);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

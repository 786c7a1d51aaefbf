//! How the VM's instructions are carried out: by the processor where that works, emulated elsewhere.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::option::option;

/// How the VM runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceleration {
    /// By the processor, through what QEMU calls by this name.
    Hardware(&'static str),
    /// Emulated, some twenty times slower.
    Emulation,
}

/// What a processor's own virtual machines are called on this system.
const HARDWARE: Option<&str> = if cfg!(target_os = "linux") {
    Some("kvm")
} else if cfg!(target_os = "macos") {
    Some("hvf")
} else {
    None
};

/// The port of `isa-debug-exit`, through which a guest ends QEMU.
const EXIT_PORT: u8 = 0xf4;
/// The guest writes `n`, and QEMU ends with `2n + 1`.
const SAID: u8 = 0x21;
const ENDED: i32 = 0x43;
/// A guest that works, emulated ones among them, says so within a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(4);

impl Acceleration {
    /// The best that works with this QEMU.
    ///
    /// A device that can be opened is no proof: in a VM without nested virtualization it may not
    /// work, or take instructions one by one, and be slower than emulation. So a disk is booted whose
    /// boot sector counts for a moment and then ends QEMU with a certain code; it is written to
    /// `folder`, and removed.
    ///
    /// # Errors
    /// Where the disk cannot be written or QEMU cannot be started.
    pub fn best(qemu: &str, folder: &Path) -> io::Result<Self> {
        match HARDWARE {
            Some(name) if works(qemu, name, folder)? => Ok(Self::Hardware(name)),
            _ => Ok(Self::Emulation),
        }
    }
}

/// Whether this QEMU was seen to emulate well: version 7.2 runs the kernel and the Python of Debian 13
/// into faults that they do not have, version 10.0 does not.
///
/// # Errors
/// Where QEMU cannot be started.
pub fn emulates_well(qemu: &str) -> io::Result<bool> {
    let output = Command::new(qemu).arg("--version").stdin(Stdio::null()).output()?;
    // `QEMU emulator version 10.0.13 (…)`
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said.split_whitespace().skip_while(|word| *word != "version").nth(1).unwrap_or_default();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    Ok(major.is_none_or(|major| major >= 10))
}

/// Whether a guest runs under what QEMU calls by that name; see [`Acceleration::best`].
///
/// # Errors
/// Where the disk cannot be written or QEMU cannot be started.
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

/// 65 million turns of a loop, then [`SAID`] to [`EXIT_PORT`].
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

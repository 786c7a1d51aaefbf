//! Hardware virtualization where it works, emulation elsewhere.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::option::option;
use super::platform::{is_native, qemu};
use crate::project::values::Arch;

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

/// I/O port of `isa-debug-exit`, with which a guest exits QEMU on amd64.
const EXIT_PORT: u8 = 0xf4;
/// When the guest writes `n`, QEMU exits with `2n + 1`.
const SAID: u8 = 0x21;
const ENDED: i32 = 0x43;
/// On arm64 the guest powers off.
const POWERED_OFF: i32 = 0;
/// A working guest, even an emulated one, takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(4);

impl Acceleration {
    /// The best option that works with this machine's QEMU for VMs of that architecture.
    ///
    /// That the device can be opened proves nothing: in a VM without nested virtualization it may fail, or run
    /// slower than emulation. Therefore this boots a program that counts briefly and exits with a known code. It is
    /// written to `folder` and deleted.
    pub fn best(arch: Arch, folder: &Path) -> io::Result<Self> {
        match HARDWARE {
            Some(name) if is_native(arch) && works(arch, name, folder)? => Ok(Self::Hardware(name)),
            // Fails if there is no QEMU.
            _ => version(arch).map(|_| Self::Emulation),
        }
    }
}

/// Whether this QEMU version emulates reliably: version 7.2 causes crashes in the kernel and Python of
/// Debian 13, version 10.0 does not.
pub fn emulates_well(arch: Arch) -> io::Result<bool> {
    // `QEMU emulator version 10.0.13 (…)`
    let said = version(arch)?;
    let version = said.split_whitespace().skip_while(|word| *word != "version").nth(1).unwrap_or_default();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    Ok(major.is_none_or(|major| major >= 10))
}

fn version(arch: Arch) -> io::Result<String> {
    let output = Command::new(qemu(arch)).arg("--version").stdin(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a guest runs with this accelerator; see [`Acceleration::best`].
pub fn works(arch: Arch, acceleration: &str, folder: &Path) -> io::Result<bool> {
    let file = folder.join("probe.img");
    match arch {
        Arch::Amd64 => fs::write(&file, boot_sector())?,
        Arch::Arm64 => fs::write(&file, arm64_program())?,
    }
    let ended = ends_as_said(arch, acceleration, &file);
    fs::remove_file(&file)?;
    ended
}

fn ends_as_said(arch: Arch, acceleration: &str, file: &Path) -> io::Result<bool> {
    let mut probe = Command::new(qemu(arch));
    probe.args(["-accel", acceleration, "-nodefaults", "-no-user-config", "-display", "none", "-m", "32"]);
    let expected = match arch {
        Arch::Amd64 => {
            probe.args(["-device", &format!("isa-debug-exit,iobase={EXIT_PORT:#x},iosize=1")]);
            probe.arg("-drive").arg(option("format=raw,if=ide,file=", file));
            ENDED
        }
        Arch::Arm64 => {
            probe.args(["-machine", "virt", "-cpu", "max", "-kernel"]).arg(file);
            POWERED_OFF
        }
    };
    let mut probe = probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let begun = Instant::now();
    loop {
        if let Some(status) = probe.try_wait()? {
            return Ok(status.code() == Some(expected));
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

/// 65 million iterations, then PSCI's `SYSTEM_OFF`.
fn arm64_program() -> Vec<u8> {
    let program: [u32; 9] = [
        0x5280_7d01, // mov w1, 1000
        0x529f_ffe0, // outer: mov w0, 65535
        0x7100_0400, // inner: subs w0, w0, 1
        0x54ff_ffe1, // b.ne inner
        0x7100_0421, // subs w1, w1, 1
        0x54ff_ff81, // b.ne outer
        0x5280_0100, // mov w0, 0x8
        0x72b0_8000, // movk w0, 0x8400, lsl 16
        0xd400_0002, // hvc 0
    ];
    program.iter().flat_map(|instruction| instruction.to_le_bytes()).collect()
}

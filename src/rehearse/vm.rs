//! Configures QEMU as a Compute Engine VM: firmware tables, disks, network and serial console.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::acceleration::Acceleration;
use super::credential;
use super::network::{ADDRESS, MAC, METADATA, NET, RESOLVER, ROUTER};
use super::option::{escaped, option};
use super::platform::qemu;
use crate::project::values::Arch;

/// The emulated processor. For amd64 a minimal one with fast hashing and encryption: with all features that QEMU can
/// emulate, kernels crashed with double faults. Unsupported features are dropped with a warning. For arm64 that of
/// `t2a`, without the pointer authentication of newer ones, which is slow to emulate.
const fn processor(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+aes,+pclmulqdq,+sha-ni",
        Arch::Arm64 => "neoverse-n1",
    }
}

/// Time source of an emulated VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Counts VM instructions, so that timeouts behave as on real hardware.
    Instructions,
    /// This machine's clock.
    Host,
}

pub struct Disk {
    /// In qcow2 format.
    pub file: PathBuf,
    /// As in `/dev/disk/by-id/google-NAME`.
    pub device_name: String,
}

pub struct VmConfig {
    pub name: String,
    pub id: u64,
    pub arch: Arch,
    /// Required for arm64.
    pub firmware: Option<PathBuf>,
    pub memory_mib: u32,
    /// Number of processors; ignored for emulation.
    pub cpus: u32,
    pub acceleration: Acceleration,
    /// Only for emulation.
    pub clock: Clock,
    /// The first is the boot disk.
    pub disks: Vec<Disk>,
    /// Appended to.
    pub serial_log: PathBuf,
    pub qemu_log: PathBuf,
    /// Address of the metadata server.
    pub metadata: SocketAddr,
    /// The `bake` executable, which relays connections to the metadata server.
    pub relay: PathBuf,
    /// On the VM's loopback interface.
    pub gateway_port: u16,
    /// Forwarded port on this machine's loopback interface.
    pub host_port: u16,
    /// Sent to the agent once the gateway is ready.
    pub question: Option<String>,
    /// Additional QEMU arguments.
    pub more: Vec<OsString>,
}

impl VmConfig {
    /// Powers on.
    pub fn start(&self) -> io::Result<Running> {
        OpenOptions::new().create(true).append(true).open(&self.serial_log)?;
        let mut command = Command::new(qemu(self.arch));
        let said = File::create(&self.qemu_log)?;
        command.args(self.arguments()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        // Ctrl-C in a terminal signals the whole process group; QEMU must not react to it.
        command.process_group(0);
        command.spawn().map(|child| Running { child, log: self.qemu_log.clone() })
    }

    fn arguments(&self) -> Vec<OsString> {
        let mut all: Vec<OsString> = Vec::new();
        let mut add = |parts: &[&str]| all.extend(parts.iter().map(OsString::from));
        let machine = match self.arch {
            Arch::Amd64 => "pc",
            Arch::Arm64 => "virt,gic-version=max",
        };
        add(&["-name", &escaped(&self.name), "-machine", machine, "-nodefaults", "-no-user-config"]);
        add(&["-display", "none", "-m", &format!("{}M", self.memory_mib)]);
        match self.acceleration {
            Acceleration::Hardware(name) => {
                add(&["-accel", name, "-cpu", "host", "-smp", &self.cpus.to_string()]);
            }
            Acceleration::Emulation => {
                add(&["-accel", "tcg,thread=single,tb-size=1024", "-cpu", processor(self.arch)]);
                match self.clock {
                    Clock::Instructions => add(&["-icount", "shift=0", "-rtc", "base=utc,clock=vm"]),
                    Clock::Host => add(&["-rtc", "base=utc"]),
                }
            }
        }
        if let Some(firmware) = &self.firmware {
            all.extend(["-bios".into(), firmware.into()]);
        }
        let mut add = |parts: &[&str]| all.extend(parts.iter().map(OsString::from));
        // cloud-init and Google's guest agent detect Compute Engine by this.
        let serial = format!("GoogleCloud-{:032X}", self.id);
        add(&["-smbios", "type=0,vendor=Google,version=Google"]);
        let product = "manufacturer=Google,product=Google Compute Engine";
        add(&["-smbios", &format!("type=1,{product},serial={serial}")]);
        add(&["-smbios", &format!("type=2,{product},serial=Board-{serial}")]);
        let question = self.question.as_deref();
        let credential = credential::oem_string(self.gateway_port, self.host_port, question);
        add(&["-smbios", &format!("type=11,value={credential}")]);
        add(&["-device", "virtio-rng-pci", "-device", "virtio-scsi-pci,id=scsi0"]);
        for (number, disk) in self.disks.iter().enumerate() {
            all.push("-drive".into());
            // With `unsafe`, a flush in the VM only reaches the host's page cache, which survives QEMU.
            // Only a crash of the host loses data.
            all.push(option(
                &format!(
                    "if=none,id=disk{number},format=qcow2,cache=unsafe,discard=unmap,werror=report,file="
                ),
                &disk.file,
            ));
            all.push("-device".into());
            // udev names the disk by vendor, product and serial as on Compute Engine.
            let device = format!(
                "scsi-hd,bus=scsi0.0,drive=disk{number},vendor=Google,product=PersistentDisk,serial={0},device_id={0},bootindex={number}",
                escaped(&disk.device_name)
            );
            all.push(device.into());
        }
        all.push("-netdev".into());
        all.push(self.network());
        let mut add = |parts: &[&str]| all.extend(parts.iter().map(OsString::from));
        // A VM boots from its disks only, so the card needs no program to boot from the network.
        add(&["-device", &format!("virtio-net-pci,netdev=net0,mac={MAC},romfile=")]);
        all.push("-chardev".into());
        all.push(option("file,id=serial0,append=on,path=", &self.serial_log));
        all.extend(["-serial".into(), "chardev:serial0".into()]);
        all.extend(self.more.iter().cloned());
        all
    }

    /// QEMU's user network, with the metadata server at 169.254.169.254.
    fn network(&self) -> OsString {
        // QEMU splits the command like a shell, after splitting the option at commas.
        let relay = self.relay.to_string_lossy();
        let relay = shlex::try_quote(&relay).map_or_else(|_| relay.to_string(), Cow::into_owned);
        let command = escaped(&format!("{relay} relay {}", self.metadata));
        let (host_port, forwarded) = (self.host_port, credential::FORWARDED);
        format!(
            "user,id=net0,ipv6=off,net={NET},host={ROUTER},dns={RESOLVER},dhcpstart={ADDRESS},\
             hostfwd=tcp:127.0.0.1:{host_port}-{ADDRESS}:{forwarded},guestfwd=tcp:{METADATA}:80-cmd:{command}"
        )
        .into()
    }
}

/// Dropping it cuts the VM's power.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Exit status and output, if QEMU has ended.
    pub fn ended(&mut self) -> io::Result<Option<(ExitStatus, String)>> {
        let Some(status) = self.child.try_wait()? else { return Ok(None) };
        let said = String::from_utf8_lossy(&fs::read(&self.log)?).trim().to_owned();
        Ok(Some((status, said)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::{Acceleration, Arch, Clock, VmConfig};

    fn arguments(arch: Arch, firmware: Option<&str>, acceleration: Acceleration) -> String {
        let config = VmConfig {
            name: "gateway".to_owned(),
            id: 1,
            arch,
            firmware: firmware.map(Into::into),
            memory_mib: 4096,
            cpus: 2,
            acceleration,
            clock: Clock::Instructions,
            disks: Vec::new(),
            serial_log: "serial.log".into(),
            qemu_log: "qemu.log".into(),
            metadata: ([127, 0, 0, 1], 80).into(),
            relay: "bake".into(),
            gateway_port: 18789,
            host_port: 18789,
            question: None,
            more: Vec::new(),
        };
        let words: Vec<_> =
            config.arguments().iter().map(|word| word.to_string_lossy().into_owned()).collect();
        words.join(" ")
    }

    #[test]
    fn the_machine_follows_the_architecture() {
        let amd64 = arguments(Arch::Amd64, None, Acceleration::Emulation);
        assert!(amd64.contains("-machine pc ") && amd64.contains("-cpu qemu64,"), "{amd64}");
        assert!(!amd64.contains("-bios"), "{amd64}");
        let arm64 = arguments(Arch::Arm64, Some("/uefi.fd"), Acceleration::Emulation);
        for part in [
            "-machine virt,",
            "-cpu neoverse-n1 ",
            "-bios /uefi.fd ",
            "-icount shift=0 ",
            "product=Google Compute Engine",
        ] {
            assert!(arm64.contains(part), "{part}: {arm64}");
        }
        let native = arguments(Arch::Arm64, Some("/uefi.fd"), Acceleration::Hardware("kvm"));
        assert!(native.contains("-accel kvm -cpu host -smp 2 ") && !native.contains("icount"), "{native}");
    }
}

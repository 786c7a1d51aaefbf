//! QEMU as a VM of Compute Engine: firmware tables, disks, network, serial console.

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

/// The program that runs VMs of the architecture that is rehearsed.
pub const QEMU: &str = "qemu-system-x86_64";

/// The processor that is emulated: QEMU's plainest, with what makes digests and ciphers cheap. With all
/// that QEMU can emulate, kernels died of double faults. What it cannot, it leaves out, with a warning.
const PROCESSOR: &str = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+aes,+pclmulqdq,+sha-ni";

/// What an emulated VM's clock counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The VM's instructions, so that time limits in it mean what they mean on real hardware.
    Instructions,
    /// The time of this machine.
    Host,
}

/// A disk.
pub struct Disk {
    /// The image, in qcow2.
    pub file: PathBuf,
    /// As in `/dev/disk/by-id/google-NAME`.
    pub device_name: String,
}

/// Everything that makes a VM.
pub struct VmConfig {
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: u64,
    /// MiB of memory.
    pub memory_mib: u32,
    /// How many processors it has, unless it is emulated.
    pub cpus: u32,
    /// How it runs.
    pub acceleration: Acceleration,
    /// What its clock counts if it is emulated.
    pub clock: Clock,
    /// Its disks, the first of which it boots from.
    pub disks: Vec<Disk>,
    /// Where its serial console is written to the end of.
    pub serial_log: PathBuf,
    /// Where QEMU's own messages go.
    pub qemu_log: PathBuf,
    /// The metadata server.
    pub metadata: SocketAddr,
    /// This program, which carries connections to the metadata server.
    pub relay: PathBuf,
    /// The gateway's port on the VM's loopback interface.
    pub gateway_port: u16,
    /// The port of this machine's loopback interface that leads there.
    pub host_port: u16,
    /// What the gateway's agent is asked once the gateway is ready.
    pub question: Option<String>,
    /// Further arguments of QEMU's.
    pub more: Vec<OsString>,
}

impl VmConfig {
    /// Powers it on.
    ///
    /// # Errors
    /// Where QEMU cannot be started.
    pub fn start(&self) -> io::Result<Running> {
        OpenOptions::new().create(true).append(true).open(&self.serial_log)?;
        let mut qemu = Command::new(QEMU);
        let said = File::create(&self.qemu_log)?;
        qemu.args(self.arguments()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        // Ctrl-C in a terminal goes to a whole group of processes, and it is not QEMU's to answer.
        qemu.process_group(0);
        qemu.spawn().map(|child| Running { child, log: self.qemu_log.clone() })
    }

    fn arguments(&self) -> Vec<OsString> {
        let mut all: Vec<OsString> = Vec::new();
        let mut add = |parts: &[&str]| all.extend(parts.iter().map(OsString::from));
        add(&["-name", &escaped(&self.name), "-machine", "pc", "-nodefaults", "-no-user-config"]);
        add(&["-display", "none", "-m", &format!("{}M", self.memory_mib)]);
        match self.acceleration {
            Acceleration::Hardware(name) => {
                add(&["-accel", name, "-cpu", "host", "-smp", &self.cpus.to_string()]);
            }
            Acceleration::Emulation => {
                add(&["-accel", "tcg,thread=single,tb-size=1024", "-cpu", PROCESSOR]);
                match self.clock {
                    Clock::Instructions => add(&["-icount", "shift=0", "-rtc", "base=utc,clock=vm"]),
                    Clock::Host => add(&["-rtc", "base=utc"]),
                }
            }
        }
        // cloud-init and Google's guest agent look here for where they are.
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
            all.push(option(
                &format!("if=none,id=disk{number},format=qcow2,discard=unmap,werror=report,file="),
                &disk.file,
            ));
            all.push("-device".into());
            // By vendor, product and serial udev names the disk as it does on Compute Engine.
            let device = format!(
                "scsi-hd,bus=scsi0.0,drive=disk{number},vendor=Google,product=PersistentDisk,serial={0},device_id={0},bootindex={number}",
                escaped(&disk.device_name)
            );
            all.push(device.into());
        }
        all.push("-netdev".into());
        all.push(self.network());
        let mut add = |parts: &[&str]| all.extend(parts.iter().map(OsString::from));
        add(&["-device", &format!("virtio-net-pci,netdev=net0,mac={MAC}")]);
        all.push("-chardev".into());
        all.push(option("file,id=serial0,append=on,path=", &self.serial_log));
        all.extend(["-serial".into(), "chardev:serial0".into()]);
        all.extend(self.more.iter().cloned());
        all
    }

    /// QEMU's own network, in which 169.254.169.254 is the metadata server as on Compute Engine.
    fn network(&self) -> OsString {
        // QEMU splits the command as a shell would, after it has split the option at its commas.
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

/// A VM that runs until this is dropped, as if its plug were pulled.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// How QEMU ended and what it said, if it has ended.
    ///
    /// # Errors
    /// Where the system does not say.
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

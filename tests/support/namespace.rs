//! A private network for one VM: only loopback, with one address that stands for the whole internet.
//! Processes inside reach only what listens inside.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::said;

/// The address of the internet (RFC 5737: documentation).
pub const INTERNET: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

/// The `iptables` rule that silently drops all traffic to the internet.
const CUT: [&str; 5] = ["INPUT", "--destination", "192.0.2.10", "--jump", "DROP"];

/// The `iptables` rule that slows down the metadata server: TCP retransmits lost packets after growing pauses. It spares
/// the packets that open a connection, because QEMU's user network makes its sockets by connections to itself, and
/// waits for them: with a lost one the whole VM would stand still, for good if the last one is lost often enough.
const SLOW: [&str; 15] = [
    "INPUT",
    "--source",
    "127.0.0.1",
    "--protocol",
    "tcp",
    "--tcp-flags",
    "PSH",
    "PSH",
    "--match",
    "statistic",
    "--mode",
    "random",
    "--probability=0.2",
    "--jump",
    "DROP",
];

/// A network namespace that exists until it is dropped.
pub struct Namespace {
    name: String,
}

impl Namespace {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = Self { name: format!("bake-{}-{count}", std::process::id()) };
        ip(&["netns", "add", &namespace.name]);
        let configuration = namespace.configuration();
        fs::create_dir_all(&configuration).expect("a folder");
        fs::write(configuration.join("resolv.conf"), format!("nameserver {INTERNET}\n")).expect("a file");
        ip(&["-n", &namespace.name, "link", "set", "lo", "up"]);
        ip(&["-n", &namespace.name, "address", "add", &format!("{INTERNET}/32"), "dev", "lo"]);
        namespace
    }

    /// `ip netns exec` mounts this over `/etc`.
    fn configuration(&self) -> PathBuf {
        Path::new("/etc/netns").join(&self.name)
    }

    /// A program to run inside. It ends with the thread that started it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "ip", "netns", "exec", &self.name]).arg(program);
        command
    }

    /// A listener inside, for use by any thread.
    pub fn listen(&self, port: u16) -> TcpListener {
        self.inside(|| TcpListener::bind((INTERNET, port))).expect("a free port")
    }

    /// Forwards `port` of the loopback interface inside to an address outside, as SSH does. Returns the port; 0 chooses
    /// a free one.
    pub fn forward(&self, port: u16, to: SocketAddr) -> u16 {
        let listener = self.inside(|| TcpListener::bind((Ipv4Addr::LOCALHOST, port))).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        // Ends with the process, which is the namespace's last user.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || relay(&stream, to).unwrap_or_default());
            }
        });
        port
    }

    /// Connects to the internet and closes the connection. Returns whether the port accepts connections.
    pub fn knock(&self, port: u16) -> bool {
        let address = SocketAddr::from((INTERNET, port));
        self.inside(|| TcpStream::connect_timeout(&address, Duration::from_secs(1))).is_ok()
    }

    fn inside<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        let namespace = fs::File::open(Path::new("/run/netns").join(&self.name)).expect("a namespace");
        // A thread cannot return from a namespace, so use a new one.
        let thread = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("a way in");
            action()
        };
        thread::scope(|scope| scope.spawn(thread).join().expect("a thread that ends"))
    }

    /// Disconnects the internet.
    pub fn cut(&self) {
        self.iptables("--insert", &CUT);
    }

    /// Reconnects the internet.
    pub fn mend(&self) {
        self.iptables("--delete", &CUT);
    }

    /// Delays the metadata server's responses by seconds, sometimes by many.
    pub fn slow_down(&self) {
        self.iptables("--insert", &SLOW);
    }

    /// Ends [`Self::slow_down`].
    pub fn speed_up(&self) {
        self.iptables("--delete", &SLOW);
    }

    fn iptables(&self, action: &str, rule: &[&str]) {
        said(self.command("iptables").args(["--wait", action]).args(rule)).done();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
        let _ = fs::remove_dir_all(self.configuration());
    }
}

fn ip(arguments: &[&str]) {
    said(Command::new("ip").args(arguments)).done();
}

/// Copies in both directions until both ends close.
fn relay(stream: &TcpStream, to: SocketAddr) -> io::Result<()> {
    let far = TcpStream::connect(to)?;
    thread::scope(|scope| {
        scope.spawn(|| copy(&far, stream));
        copy(stream, &far)
    })
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let copied = io::copy(&mut from, &mut to);
    to.shutdown(Shutdown::Write)?;
    copied.map(drop)
}

//! One connection of the VM, carried to a server on this machine.
//!
//! QEMU starts a program for each connection to an address that it forwards (`guestfwd` in
//! qemu(1)), with the connection as its standard input; only so every connection is one of its own,
//! and no port below 1024 is needed here.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;

/// Carries bytes between standard input, which is a socket, and the server, until both sides are done.
///
/// # Errors
/// Where standard input is closed, or the server cannot be reached.
pub fn relay(server: SocketAddr) -> io::Result<()> {
    let guest = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let host = TcpStream::connect(server)?;
    let (mut from_guest, mut to_host) = (guest.try_clone()?, host.try_clone()?);
    let up = thread::spawn(move || {
        let carried = io::copy(&mut from_guest, &mut to_host);
        let _ = to_host.shutdown(Shutdown::Write);
        carried
    });
    let (mut from_host, mut to_guest) = (host, guest);
    let carried = io::copy(&mut from_host, &mut to_guest);
    // The server's last word is the last: QEMU keeps the VM's half open for as long as it likes.
    let _ = to_guest.shutdown(Shutdown::Both);
    let _ = up.join();
    carried.map(|_| ())
}

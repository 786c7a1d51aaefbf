//! Relays one connection of the VM to a server on this machine.
//!
//! QEMU starts a program for each forwarded connection (`guestfwd` in qemu(1)) with the connection as
//! standard input. This is the only mode that supports several connections, and it needs no port below
//! 1024.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;

/// Copies in both directions between standard input, which must be a socket, and the server.
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
    // The server decides when to close: QEMU may keep the VM's side half-open indefinitely.
    let _ = to_guest.shutdown(Shutdown::Both);
    let _ = up.join();
    carried.map(|_| ())
}

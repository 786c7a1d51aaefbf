//! The server thread.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::future;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::guest::{AttributeChange, GuestAttributes};
use super::instance::Instance;
use super::secrets::Secrets;
use super::service::Service;

/// Pause after the machine has run out of resources for connections.
const NO_ROOM: Duration = Duration::from_millis(50);

/// Metadata server and Secret Manager; stopped on drop.
pub struct Server {
    address: SocketAddr,
    service: Arc<Service>,
    /// Dropping it ends the thread.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves `instance` on a free port of 127.0.0.1, in a new thread.
    ///
    /// Every change of a guest attribute is sent to `changes`, in order; the receiver may be dropped.
    pub fn start(
        instance: Instance,
        secrets: impl Secrets,
        changes: mpsc::Sender<AttributeChange>,
    ) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let service = Arc::new(Service::new(instance, Arc::new(secrets), changes));
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _context = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let accepting = accept(listener, Arc::clone(&service));
        let thread = thread::Builder::new().name("metadata".to_owned()).spawn(move || {
            runtime.block_on(future::select(pin!(accepting), stopped));
            // Does not wait for a secret that is still being read.
            runtime.shutdown_background();
        })?;
        Ok(Self { address, service, stop: Some(stop), thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the instance's attributes while the VM runs.
    pub fn set_attributes(&self, attributes: BTreeMap<String, String>) {
        self.service.set_attributes(attributes);
    }

    pub fn guest_attributes(&self) -> GuestAttributes {
        self.service.guest_attributes()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic has already been printed.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, service: Arc<Service>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(NO_ROOM).await;
            continue;
        };
        let service = Arc::clone(&service);
        let answer = service_fn(move |request| {
            let service = Arc::clone(&service);
            async move { Ok::<_, Infallible>(service.answer(request).await.into_response()) }
        });
        // The timer closes connections with incomplete requests.
        let connection =
            http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer);
        tokio::spawn(async move {
            // A client that disconnects is not an error.
            let _ = connection.await;
        });
    }
}

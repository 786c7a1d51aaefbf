//! The server's thread: accepts connections and answers what comes over them.

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

/// How long to leave accepting alone where the machine has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(50);

/// A metadata server and Secret Manager that run until this is dropped.
pub struct Server {
    address: SocketAddr,
    service: Arc<Service>,
    /// Ends the thread by being dropped.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts both servers for `instance` on a free port of 127.0.0.1, in a thread of their own.
    ///
    /// Every guest attribute that is set or deleted goes to `changes`, in order; whoever does not
    /// care drops the other end.
    ///
    /// # Errors
    /// Where the machine gives no port or no thread.
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
            // A secret that takes forever to read keeps nobody waiting.
            runtime.shutdown_background();
        })?;
        Ok(Self { address, service, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The guest attributes as they are now.
    pub fn guest_attributes(&self) -> GuestAttributes {
        self.service.guest_attributes()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has no result, and a panic was told when it happened.
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
        // With a timer, whoever begins a request and does not go on is hung up on.
        let connection =
            http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer);
        tokio::spawn(async move {
            // A client that went away is no news.
            let _ = connection.await;
        });
    }
}

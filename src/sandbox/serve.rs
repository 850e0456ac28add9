//! HTTP/1.1 on loopback, by a plain door and, where a certificate is given, by one with TLS: connections, and their end
//! on request.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::Body;
use super::dispatch::Reset;
use super::s3::intake;
use super::{Options, Sandbox};
use crate::error::{Error, Result};

/// The largest request body taken, except by S3: a block and a half.
const MAX_BODY: u64 = 768 * 1024;
/// What a connection reads at a time: little enough to be hashed and copied while it is in the CPU's cache.
const READ: usize = 64 * 1024;
/// How long a client has to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a shutdown waits for answers that are under way.
const GRACE: Duration = Duration::from_millis(500);

/// A sandbox that is being served.
#[derive(Debug)]
pub struct Running {
    /// Where.
    pub addr: SocketAddr,
    /// What is being served, for those in the same process.
    pub sandbox: Arc<Sandbox>,
    /// Whether it speaks TLS.
    secure: bool,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// The lock of the state directory: let go only when nothing is answered any more.
    lock: Mutex<Option<File>>,
}

impl Running {
    /// Keeps a lock for as long as this serves.
    pub(super) fn hold(&self, lock: File) {
        *super::lock(&self.lock) = Some(lock);
    }

    /// `http://127.0.0.1:PORT`, or `https://` of a door with TLS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.addr)
    }
    /// Ends it: no new connections; what is under way gets half a second.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(GRACE, self.tasks.wait()).await.is_err() {
            tracing::debug!("sandbox: answers that were under way were cut off");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Serves the sandbox that `options` describe.
///
/// # Errors
/// The scenario or the state cannot be read, or the address cannot be bound.
pub async fn serve(options: Options) -> Result<Running> {
    let listen = options.listen;
    let sandbox = tokio::task::spawn_blocking(move || Sandbox::new(&options))
        .await
        .map_err(|cause| Error::failed(format!("the sandbox could not be set up: {cause}")))??;
    serve_sandbox(Arc::new(sandbox), listen).await
}

/// Serves a sandbox that exists already.
///
/// # Errors
/// The address cannot be bound.
pub async fn serve_sandbox(sandbox: Arc<Sandbox>, listen: SocketAddr) -> Result<Running> {
    open_door(sandbox, listen, None).await
}

/// One more door to a sandbox, with TLS: what is measured there is what real endpoints take.
///
/// # Errors
/// Usage: the PEM files hold no certificate, or no key that fits it. The address cannot be bound.
pub async fn serve_tls(sandbox: Arc<Sandbox>, listen: SocketAddr, certificate: &Path, key: &Path) -> Result<Running> {
    open_door(sandbox, listen, Some(acceptor(certificate, key)?)).await
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor> {
    let unusable = |path: &Path, why: &dyn std::fmt::Display| Error::usage(format!("{}: {why}", path.display()));
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|error| unusable(certificate, &format!("no certificate in PEM: {error}")))?;
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &format!("no key in PEM: {error}")))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
        .map_err(|error| unusable(certificate, &error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn open_door(sandbox: Arc<Sandbox>, listen: SocketAddr, tls: Option<TlsAcceptor>) -> Result<Running> {
    if !listen.ip().is_loopback() {
        return Err(Error::refused(format!("the sandbox listens on loopback only, not on {listen}"))
            .todo("choose an address like 127.0.0.1:4571"));
    }
    let bound = TcpListener::bind(listen).await;
    let listener = bound.map_err(|cause| Error::io(format!("the sandbox could not listen on {listen}"), &cause))?;
    let addr = listener.local_addr().map_err(|cause| Error::io("the sandbox's address is not known", &cause))?;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let (secure, door) = (tls.is_some(), Door { sandbox: Arc::clone(&sandbox), stop: stop.clone(), tls });
    tasks.spawn(accept(listener, door, tasks.clone()));
    Ok(Running { addr, sandbox, secure, stop, tasks, lock: Mutex::new(None) })
}

/// What every connection of a listener shares.
#[derive(Clone)]
struct Door {
    sandbox: Arc<Sandbox>,
    stop: CancellationToken,
    tls: Option<TlsAcceptor>,
}

async fn accept(listener: TcpListener, door: Door, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = door.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(connection(stream, door.clone()));
            }
            Err(cause) => {
                // Out of descriptors, mostly: pass the time instead of spinning.
                tracing::warn!(%cause, "sandbox: a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, door: Door) {
    if let Err(cause) = stream.set_nodelay(true) {
        tracing::debug!(%cause, "sandbox: no TCP_NODELAY");
    }
    let reset = Arc::new(AtomicBool::new(false));
    let io = Io { stream, reset: Arc::clone(&reset) };
    match &door.tls {
        None => talk(io, reset, &door).await,
        // Whoever does not trust the certificate hangs up.
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE, acceptor.accept(io)).await {
            Ok(Ok(io)) => talk(io, reset, &door).await,
            Ok(Err(cause)) => tracing::debug!(%cause, "sandbox: no TLS with this client"),
            Err(_) => tracing::debug!("sandbox: no TLS within its time"),
        },
    }
}

/// Answers what comes by one connection.
async fn talk<S>(io: S, reset: Arc<AtomicBool>, door: &Door)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Door { sandbox, stop, .. } = door;
    sandbox.counters().connection(true);
    let spare = Arc::new(Mutex::new(BytesMut::new()));
    let service = service_fn(|request: Request<Incoming>| {
        let (sandbox, reset, spare) = (Arc::clone(sandbox), Arc::clone(&reset), Arc::clone(&spare));
        async move {
            let into = std::mem::take(&mut *super::lock(&spare));
            let received = if intake::is_for_s3(request.headers()) {
                intake::receive(request, sandbox.s3()).await.map(Some)
            } else {
                whole(request, into).await
            };
            let answered = match received {
                Ok(Some(request)) => {
                    let body = request.body().clone();
                    let answered = sandbox.answer(request).await;
                    // What was kept of it stays with its keeper.
                    *super::lock(&spare) = body.try_into_mut().unwrap_or_default();
                    answered
                }
                Ok(None) => Ok(too_large()),
                Err(_) => Err(Reset),
            };
            answered.map_err(|Reset| {
                reset.store(true, Ordering::Relaxed);
                io::Error::from(io::ErrorKind::ConnectionReset)
            })
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).half_close(false).max_buf_size(READ);
    let serving = http.serve_connection(TokioIo::new(io), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            match tokio::time::timeout(GRACE, serving).await {
                Ok(ended) => ended,
                Err(_) => Ok(()),
            }
        }
    };
    if let Err(cause) = ended {
        tracing::trace!(%cause, "sandbox: a connection ended early");
    }
    sandbox.counters().connection(false);
}

/// The request with its body in one piece, in that buffer; `None` when it is too large.
async fn whole(
    request: Request<Incoming>,
    mut into: BytesMut,
) -> std::result::Result<Option<Request<Bytes>>, hyper::Error> {
    let (head, mut body) = request.into_parts();
    let expected = body.size_hint().lower();
    if expected > MAX_BODY {
        return Ok(None);
    }
    into.clear();
    into.reserve(usize::try_from(expected).unwrap_or(0));
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if into.len() as u64 + data.len() as u64 > MAX_BODY {
                return Ok(None);
            }
            into.extend_from_slice(&data);
        }
    }
    Ok(Some(Request::from_parts(head, into.freeze())))
}

fn too_large() -> Response<Body> {
    let mut answer = Response::new(Body::from("{\"Message\":\"The request body is too large.\"}".to_owned()));
    *answer.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    answer
}

/// A connection that ends with a reset (RST) instead of a farewell (FIN) when told to.
#[derive(Debug)]
struct Io {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Io {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed)
            && let Err(cause) = self.stream.set_zero_linger()
        {
            tracing::debug!(%cause, "sandbox: a reset became a close");
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.load(Ordering::Relaxed) {
            // A farewell now would reach the client before the reset.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

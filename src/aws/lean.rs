//! Connections of floe's own, for blocks and for S3: small and alike, so that hundreds of them are no matter.
//!
//! The pool that every other call goes through lets a connection keep up to 408 KiB of read buffer where there is no TLS.
//! Where there is, it reads into buffers of many lengths that come and go, and between them the allocator keeps the room
//! of blocks that went: 256 lanes of a download held 120 MiB that no budget knew of. Invariants: a connection here reads
//! into one buffer, [`READ`] bytes long, and keeps no more than that and its TLS records; there are never more of them
//! than requests were in flight at once; one whose answer was not read to its end is closed, never used again.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes as Buffer;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::rt::{Read, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use rustls::ClientConfig;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tower_service::Service;

/// What a connection reads at a time: large enough that the system call does not matter, small enough to be hashed
/// and copied while it is in the cache.
const READ: usize = 64 * 1024;
/// The same where it comes in TLS records, none of which is longer.
const RECORD: usize = 16 * 1024;

/// A connection and what drives it. Dropped, both are gone at once, with the body that was on its way: hyper would close it
/// politely first, and TLS has to send what it holds before that. On an uplink that is slow every request that was given up
/// kept its block for as long, beside the one that the next attempt sends.
struct Sender {
    requests: SendRequest<SdkBody>,
    driver: AbortHandle,
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// How other ends are reached.
pub(super) struct Ways {
    /// How long until a connection is there, its TLS as well.
    pub(super) connect: Duration,
    /// What stands before `https://` addresses.
    pub(super) proxies: Matcher,
    /// Makes the TLS side, when it is first needed.
    pub(super) tls: Box<dyn Fn() -> Result<ClientConfig, BoxError> + Send + Sync>,
}

/// Where a connection leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Origin {
    scheme: Scheme,
    host: Authority,
}

impl Origin {
    fn of(uri: &Uri) -> Result<Self, BoxError> {
        let host = uri.authority().cloned().ok_or("the address names no host")?;
        Ok(Self { scheme: uri.scheme().cloned().unwrap_or(Scheme::HTTP), host })
    }

    fn is_secure(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    fn uri(&self) -> Result<Uri, BoxError> {
        let uri = Uri::builder().scheme(self.scheme.clone()).authority(self.host.clone()).path_and_query("/");
        Ok(uri.build()?)
    }
}

/// The client. Clones share their connections.
#[derive(Debug, Clone)]
pub(super) struct Lean(Arc<Pool>);

struct Pool {
    /// The latest used last.
    idle: Mutex<HashMap<Origin, Vec<(Sender, Instant)>>>,
    keep: Duration,
    ways: Ways,
    tcp: Tcp,
    tls: OnceLock<Arc<ClientConfig>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("keep", &self.keep).field("proxies", &self.ways.proxies).finish_non_exhaustive()
    }
}

impl Lean {
    /// Opens nothing yet; connections that were idle for `keep` are not used again.
    pub(super) fn new(ways: Ways, keep: Duration) -> Self {
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(ways.connect));
        Self(Arc::new(Pool { idle: Mutex::default(), keep, ways, tcp, tls: OnceLock::new() }))
    }

    /// Whether it has a way to an `https://` address: straight, or through a proxy that makes tunnels.
    pub(super) fn reaches(&self, uri: &Uri) -> bool {
        self.0.ways.proxies.intercept(uri).is_none_or(|proxy| proxy.uri().scheme() == Some(&Scheme::HTTP))
    }
}

impl HttpConnector for Lean {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let pool = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let answer = pool.send(request).await.map_err(ConnectorError::io)?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

impl Pool {
    async fn send(self: Arc<Self>, mut request: Request<SdkBody>) -> Result<Response<Answer>, BoxError> {
        let origin = Origin::of(request.uri())?;
        // Whoever signs it names the host; the SDK leaves that to its own pool.
        if !request.headers().contains_key(http::header::HOST) {
            let named = http::HeaderValue::from_str(origin.host.as_str())?;
            request.headers_mut().insert(http::header::HOST, named);
        }
        *request.uri_mut() = request.uri().path_and_query().map_or_else(Uri::default, |path| path.clone().into());
        loop {
            let known = self.take(&origin);
            let fresh = known.is_none();
            let mut sender = match known {
                Some(sender) => sender,
                None => tokio::time::timeout(self.ways.connect, self.connect(&origin)).await??,
            };
            if let Err(error) = sender.requests.ready().await {
                if fresh {
                    return Err(error.into());
                }
                continue;
            }
            match sender.requests.try_send_request(request).await {
                Ok(answer) => {
                    let home = (Arc::clone(&self), origin, sender);
                    return Ok(answer.map(|body| Answer::of(body, home)));
                }
                // A connection that the server had closed meanwhile: nothing of the request was sent.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !fresh => request = unsent,
                    _ => return Err(error.into_error().into()),
                },
            }
        }
    }

    /// The connection that was used last, if it is still there; those that are too old go.
    fn take(&self, origin: &Origin) -> Option<Sender> {
        let mut idle = self.lock();
        let known = idle.get_mut(origin)?;
        known.retain(|(sender, since)| !sender.requests.is_closed() && since.elapsed() < self.keep);
        known.pop().map(|(sender, _)| sender)
    }

    fn give(&self, origin: Origin, sender: Sender) {
        self.lock().entry(origin).or_default().push((sender, Instant::now()));
    }

    async fn connect(&self, origin: &Origin) -> Result<Sender, BoxError> {
        let (uri, mut tcp) = (origin.uri()?, self.tcp.clone());
        if !origin.is_secure() {
            return speak(tcp.call(uri).await?, READ).await;
        }
        let stream = match self.ways.proxies.intercept(&uri) {
            None => HttpsConnector::from((tcp, self.tls()?)).call(uri).await?,
            Some(proxy) => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
                if let Some(name) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(name.clone());
                }
                HttpsConnector::from((tunnel, self.tls()?)).call(uri).await?
            }
        };
        speak(stream, RECORD).await
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, BoxError> {
        if let Some(known) = self.tls.get() {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new((self.ways.tls)()?);
        Ok(Arc::clone(self.tls.get_or_init(|| made)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Vec<(Sender, Instant)>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that HTTP is spoken over, with so much of it read at a time.
async fn speak<S: Read + Write + Send + Unpin + 'static>(stream: S, read: usize) -> Result<Sender, BoxError> {
    let (requests, connection) = Builder::new().read_buf_exact_size(Some(read)).handshake(stream).await?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended");
        }
    });
    Ok(Sender { requests, driver: driver.abort_handle() })
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.requests.fmt(f)
    }
}

/// The body of an answer; its connection goes back when it is read to its end.
#[derive(Debug)]
struct Answer {
    body: Incoming,
    home: Option<(Arc<Pool>, Origin, Sender)>,
}

impl Answer {
    fn of(body: Incoming, home: (Arc<Pool>, Origin, Sender)) -> Self {
        let mut answer = Self { body, home: Some(home) };
        if answer.body.is_end_stream() {
            answer.go_home();
        }
        answer
    }

    fn go_home(&mut self) {
        if let Some((pool, origin, sender)) = self.home.take() {
            pool.give(origin, sender);
        }
    }
}

impl Body for Answer {
    type Data = Buffer;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Buffer>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        // A chunked body knows its end only when it is there.
        if frame.is_none() || self.body.is_end_stream() {
            self.go_home();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn lean() -> Lean {
        let (connect, proxies) = (Duration::from_secs(3), Matcher::builder().build());
        Lean::new(Ways { connect, proxies, tls: Box::new(|| Err("no TLS here".into())) }, Duration::from_secs(15))
    }

    /// Answers `answers` requests on each connection with 100 kB and hangs up; how many connections there were.
    async fn server(answers: u32) -> (String, Arc<AtomicU32>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let mut heads = 0;
                    let mut last = [0; 4];
                    while heads < answers {
                        let Ok(byte) = stream.read_u8().await else { return };
                        last.rotate_left(1);
                        last[3] = byte;
                        if last == *b"\r\n\r\n" {
                            heads += 1;
                            let body = vec![7; 100_000];
                            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await;
                            let _ = stream.write_all(&body).await;
                        }
                    }
                });
            }
        });
        (url, count)
    }

    async fn ask(lean: &Lean, url: &str) -> SdkBody {
        lean.call(HttpRequest::get(url).unwrap()).await.unwrap().into_body()
    }

    async fn read(mut body: SdkBody) -> usize {
        let mut length = 0;
        while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            length += frame.unwrap().into_data().unwrap().len();
        }
        length
    }

    #[tokio::test]
    async fn a_connection_is_used_again_once_its_answer_was_read() {
        let (url, count) = server(100).await;
        let lean = lean();
        for _ in 0..5 {
            assert_eq!(read(ask(&lean, &url).await).await, 100_000);
        }
        assert_eq!(count.load(Ordering::Relaxed), 1);
        let half = ask(&lean, &url).await;
        assert_eq!(read(ask(&lean, &url).await).await, 100_000, "the first one's answer is still on its way");
        assert_eq!(count.load(Ordering::Relaxed), 2);
        drop(half);
        for _ in 0..5 {
            assert_eq!(read(ask(&lean, &url).await).await, 100_000);
        }
        assert_eq!(count.load(Ordering::Relaxed), 2, "the one that was not read to its end is gone");
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_between_two_requests_costs_a_connection_and_no_error() {
        let (url, count) = server(1).await;
        let lean = lean();
        for asked in 1..=5 {
            assert_eq!(read(ask(&lean, &url).await).await, 100_000);
            assert_eq!(count.load(Ordering::Relaxed), asked);
            let hung_up = || lean.0.lock().values().flatten().all(|(sender, _)| sender.requests.is_closed());
            while !hung_up() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// The other end of a link that takes nothing: neither bytes, nor that this is the end.
    struct Stalled;

    impl Read for Stalled {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: hyper::rt::ReadBufCursor<'_>,
        ) -> Poll<std::io::Result<()>> {
            Poll::Pending
        }
    }

    impl Write for Stalled {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<std::io::Result<usize>> {
            Poll::Pending
        }
        // As TLS says: what is written lies where it was until it is gone.
        fn is_write_vectored(&self) -> bool {
            true
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Pending
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Pending
        }
    }

    /// A block that says when it is gone.
    struct Block(Vec<u8>, Arc<AtomicU32>);

    impl AsRef<[u8]> for Block {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    impl Drop for Block {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// As TLS does it on a slow uplink: what it holds goes out before the connection is closed.
    #[tokio::test]
    async fn a_request_that_is_given_up_keeps_no_block_however_slow_its_connection_ends() {
        let gone = Arc::new(AtomicU32::new(0));
        let mut sender = speak(Stalled, RECORD).await.unwrap();
        let block = Buffer::from_owner(Block(vec![7; 524_288], Arc::clone(&gone)));
        let request = Request::put("/x").body(SdkBody::from(block)).unwrap();
        let sending = sender.requests.try_send_request(request);
        assert!(tokio::time::timeout(Duration::from_millis(20), sending).await.is_err(), "nobody takes it");
        assert_eq!(gone.load(Ordering::Relaxed), 0, "it is on its way");
        drop(sender);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(gone.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn nobody_there_is_an_error_of_the_network() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let lean = lean();
        assert!(lean.call(HttpRequest::get(&url).unwrap()).await.unwrap_err().is_io());
    }
}

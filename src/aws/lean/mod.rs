//! Connections of floe's own, for blocks and for S3: small and alike, so that hundreds of them are no matter.
//!
//! The pool that every other call goes through lets a connection keep up to 408 KiB of read buffer where there is no TLS.
//! Where there is, it reads into buffers of many lengths that come and go, and between them the allocator keeps the room
//! of blocks that went: 256 lanes of a download held 120 MiB that no budget knew of. Here hyper speaks for one request at
//! a time: it writes it and reads the head of the answer. The body of a download it does not see: its length is known, and
//! it goes from the socket (or out of its TLS records) to where the block will lie. Invariants: a connection that waits
//! for an answer holds no buffer beside a head's, one that waits for a request none at all; there are never more
//! connections than requests were in flight at once; one whose answer was not read to its end is closed, never used again.

mod exchange;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http::uri::{Authority, Scheme};
use http::{Method, Request, Response, Uri, header};
use http_body::Body as _;
use hyper::rt::{Read, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use rustls::ClientConfig;
use tokio::time::Instant;
use tower_service::Service;

pub(super) use exchange::Answer;
use exchange::Exchange;

/// What HTTP is spoken over.
trait Link: Read + Write + Send + Sync + Unpin {}

impl<T: Read + Write + Send + Sync + Unpin> Link for T {}

type Stream = Box<dyn Link>;

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
    idle: Mutex<Idle>,
    keep: Duration,
    ways: Ways,
    tcp: Tcp,
    tls: OnceLock<Arc<ClientConfig>>,
}

/// Connections that wait for a request.
#[derive(Default)]
struct Idle {
    /// The latest used last.
    streams: HashMap<Origin, Vec<(Stream, Instant)>>,
    /// Whether somebody closes those that are too old.
    swept: bool,
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

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(&self, request: HttpRequest) -> Result<Response<Answer>, ConnectorError> {
        let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        Arc::clone(&self.0).send(request).await.map_err(ConnectorError::io)
    }

    /// Whether it has a way to an `https://` address: straight, or through a proxy that makes tunnels.
    pub(super) fn reaches(&self, uri: &Uri) -> bool {
        self.0.ways.proxies.intercept(uri).is_none_or(|proxy| proxy.uri().scheme() == Some(&Scheme::HTTP))
    }
}

impl HttpConnector for Lean {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let lean = self.clone();
        HttpConnectorFuture::new(async move {
            let answer = lean.send(request).await?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

impl Pool {
    async fn send(self: Arc<Self>, mut request: Request<SdkBody>) -> Result<Response<Answer>, BoxError> {
        let origin = Origin::of(request.uri())?;
        // Whoever signs it names the host; the SDK leaves that to its own pool.
        if !request.headers().contains_key(header::HOST) {
            let named = http::HeaderValue::from_str(origin.host.as_str())?;
            request.headers_mut().insert(header::HOST, named);
        }
        *request.uri_mut() = request.uri().path_and_query().map_or_else(Uri::default, |path| path.clone().into());
        let only_asks = request.method() == Method::GET && request.body().is_end_stream();
        loop {
            let known = self.take(&origin);
            let fresh = known.is_none();
            let stream = match known {
                Some(stream) => stream,
                None => tokio::time::timeout(self.ways.connect, self.connect(&origin)).await??,
            };
            let mut exchange = Exchange::over(stream).await?;
            if !fresh && exchange.has_ended() {
                continue;
            }
            match exchange.ask(request).await {
                Ok(answer) => return Ok(exchange.answer(answer, only_asks, (Arc::clone(&self), origin))),
                // A connection that the server had closed meanwhile: nothing of the request was sent.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !fresh => request = unsent,
                    _ => return Err(error.into_error().into()),
                },
            }
        }
    }

    /// The connection that was used last; those that are too old go.
    fn take(&self, origin: &Origin) -> Option<Stream> {
        let mut idle = self.lock();
        let known = idle.streams.get_mut(origin)?;
        known.retain(|(_, since)| since.elapsed() < self.keep);
        known.pop().map(|(stream, _)| stream)
    }

    fn give(self: &Arc<Self>, origin: Origin, stream: Stream) {
        let mut idle = self.lock();
        idle.streams.entry(origin).or_default().push((stream, Instant::now()));
        // Where nothing runs any more nobody will ask again, and the pool goes with all it holds.
        if let (false, Ok(runtime)) = (idle.swept, tokio::runtime::Handle::try_current()) {
            idle.swept = true;
            runtime.spawn(sweep(Arc::downgrade(self), self.keep));
        }
    }

    async fn connect(&self, origin: &Origin) -> Result<Stream, BoxError> {
        let (uri, mut tcp) = (origin.uri()?, self.tcp.clone());
        if !origin.is_secure() {
            return Ok(Box::new(tcp.call(uri).await?));
        }
        Ok(match self.ways.proxies.intercept(&uri) {
            None => Box::new(HttpsConnector::from((tcp, self.tls()?)).call(uri).await?),
            Some(proxy) => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
                if let Some(name) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(name.clone());
                }
                Box::new(HttpsConnector::from((tunnel, self.tls()?)).call(uri).await?)
            }
        })
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, BoxError> {
        if let Some(known) = self.tls.get() {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new((self.ways.tls)()?);
        Ok(Arc::clone(self.tls.get_or_init(|| made)))
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes connections that nobody wanted for `keep`, until there are none.
async fn sweep(pool: Weak<Pool>, keep: Duration) {
    loop {
        tokio::time::sleep(keep).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut idle = pool.lock();
        idle.streams.retain(|_, known| {
            known.retain(|(_, since)| since.elapsed() < keep);
            !known.is_empty()
        });
        if idle.streams.is_empty() {
            idle.swept = false;
            return;
        }
    }
}

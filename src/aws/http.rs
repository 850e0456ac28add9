//! The one HTTP client of a world: shared by every service, region and profile, and by our own block calls.
//!
//! Proxy and roots come from the environment, as every AWS tool takes them (`HTTPS_PROXY`, `NO_PROXY`,
//! `AWS_CA_BUNDLE`). Connections are bounded per host and closed when idle for 15 s: services drop theirs at about
//! 20 s, and a request on a dropped one is lost. Blocks, and all of S3, come by connections of `lean`.

use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, ready};
use std::time::Duration;

use aws_sdk_ebs::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_http_client::pool::{Client, ConnectionEvent, ConnectionPool, DriverSpawner, Partition, PartitionId};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::{Bytes as Buffer, BytesMut};
use http::Response;
use http::uri::Scheme;
use http_body::{Body, Frame, SizeHint};
use hyper_util::client::proxy::matcher::Matcher;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::lean::{Answer, Lean, Ways};
use super::settings::{Profiles, Settings};
use crate::error::{Error, Result};

/// Above every useful window (a snapshot gives 1,000 blocks a second; at 200 ms that is 200 in flight), below
/// what a laptop's file descriptors bear.
const CONNECTIONS_PER_HOST: usize = 512;
const IDLE: Duration = Duration::from_secs(15);
/// The SDK's own default since its behaviour version of 2026-01-12.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(3_100);

const PARTITION: PartitionId = PartitionId::from_index(0);

/// The shared client, and the connector below it for calls that we sign ourselves.
#[derive(Debug, Clone)]
pub(super) struct Http {
    shared: SharedHttpClient,
    lean: SharedHttpClient,
    connector: Arc<OnceLock<SharedHttpConnector>>,
    small: Small,
    skew: Skew,
}

/// The connections for blocks, and where they lead.
#[derive(Debug, Clone)]
struct Small {
    lean: Lean,
    connector: SharedHttpConnector,
    /// Whether no proxy stands before endpoints without TLS.
    direct: bool,
}

impl Small {
    /// Whether they lead there: not to an address without TLS before which a proxy stands, nor through one that speaks
    /// something else than HTTP.
    fn lead_to(&self, uri: &str) -> bool {
        let Ok(to) = uri.parse::<http::Uri>() else { return false };
        match to.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => self.lean.reaches(&to),
            Some(_) => self.direct || is_loopback(uri),
            None => false,
        }
    }
}

/// How far the clock of the service that answered last is ahead of ours, in milliseconds.
#[derive(Debug, Clone)]
struct Skew(Arc<AtomicI64>);

impl Skew {
    const UNKNOWN: i64 = i64::MIN;

    fn note(&self, date: Option<&str>) {
        if let Some(Ok(theirs)) = date.map(jiff::fmt::rfc2822::parse) {
            let ours = crate::wall::now().as_millisecond();
            self.0.store(theirs.timestamp().as_millisecond() - ours, Ordering::Relaxed);
        }
    }
}

impl Http {
    /// Reads proxy and roots from the environment; opens nothing.
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let client = pooled(settings)?;
        let connector = Arc::new(OnceLock::new());
        let skew = Skew(Arc::new(AtomicI64::new(Skew::UNKNOWN)));
        let proxies = if proxy(settings)?.is_disabled() {
            Matcher::builder().build()
        } else {
            settings.surroundings.proxy.matcher()
        };
        let bundle = settings.surroundings.ca_bundle.clone();
        let tls = Box::new(move || client_config(bundle.as_deref()));
        let lean = Lean::new(Ways { connect: CONNECT_TIMEOUT, proxies, tls }, IDLE);
        let direct = settings.surroundings.proxy.config(Some("http://endpoint")).is_ok_and(|proxy| proxy.is_disabled());
        let small = Small { connector: SharedHttpConnector::new(lean.clone()), lean, direct };
        let tapped = |small| {
            let (client, connector, skew) = (client.clone(), Arc::clone(&connector), skew.clone());
            SharedHttpClient::new(Tapped { client, connector, skew, small })
        };
        let (shared, lean) = (tapped(None), tapped(Some(small.clone())));
        Ok(Self { shared, lean, connector, small, skew })
    }

    /// How far the service that answered an SDK call last is ahead of this machine's clock, in milliseconds.
    pub(super) fn skew_ms(&self) -> Option<i64> {
        Some(self.skew.0.load(Ordering::Relaxed)).filter(|skew| *skew != Skew::UNKNOWN)
    }

    /// For the SDK's clients.
    pub(super) fn sdk(&self) -> SharedHttpClient {
        self.shared.clone()
    }

    /// For the SDK's client of a service whose answers are blocks: its connections are as small as ours.
    pub(super) fn lean(&self) -> SharedHttpClient {
        self.lean.clone()
    }

    /// For our own calls to that address: no read deadline (deadlines are the caller's).
    ///
    /// # Errors
    /// Where only the SDK's pool leads there, before the first SDK call of this world; a session always makes one (STS)
    /// before it is handed out.
    pub(super) fn way(&self, uri: &str) -> Result<Way<'_>> {
        if self.small.lead_to(uri) {
            return Ok(Way::Lean(&self.small.lean));
        }
        let pooled = self.connector.get();
        pooled.map(Way::Pooled).ok_or_else(|| Error::failed("a block was asked for before a session was opened"))
    }
}

/// How a call of our own gets where it should.
pub(super) enum Way<'a> {
    Lean(&'a Lean),
    Pooled(&'a SharedHttpConnector),
}

impl Way<'_> {
    /// Sends a request and waits for the head of its answer.
    pub(super) async fn call(self, request: HttpRequest) -> std::result::Result<Response<Coming>, ConnectorError> {
        match self {
            Way::Lean(lean) => Ok(lean.send(request).await?.map(Coming::Lean)),
            Way::Pooled(connector) => {
                let answer = connector.call(request).await?.try_into_http1x();
                Ok(answer.map_err(|error| ConnectorError::other(error.into(), None))?.map(Coming::Pooled))
            }
        }
    }
}

/// The body of an answer to a call of our own.
#[derive(Debug)]
pub(super) enum Coming {
    Lean(Answer),
    Pooled(SdkBody),
}

impl Coming {
    /// Adds what comes next to `into`: how many bytes, none at the end; `None` when more than `room` bytes come.
    ///
    /// # Errors
    /// It was cut.
    pub(super) async fn read(
        &mut self,
        into: &mut BytesMut,
        room: usize,
    ) -> std::result::Result<Option<usize>, BoxError> {
        if let Coming::Lean(answer) = self {
            if answer.rest().is_some_and(|rest| rest > room as u64) {
                return Ok(None);
            }
            if let Some(read) = answer.read(into).await {
                return Ok(Some(read?));
            }
        }
        while let Some(frame) = self.frame().await {
            let frame = frame?;
            if frame.len() > room {
                return Ok(None);
            }
            if !frame.is_empty() {
                into.extend_from_slice(&frame);
                return Ok(Some(frame.len()));
            }
        }
        Ok(Some(0))
    }

    /// The next piece of it: `None` at its end, trailers left out.
    pub(super) async fn frame(&mut self) -> Option<std::result::Result<Buffer, BoxError>> {
        loop {
            let frame = poll_fn(|context| match self {
                Coming::Lean(answer) => Pin::new(answer).poll_frame(context),
                Coming::Pooled(body) => Pin::new(body).poll_frame(context),
            });
            match frame.await?.map(Frame::into_data) {
                Ok(Ok(data)) => return Some(Ok(data)),
                Ok(Err(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The pool's client, which also keeps a connector of its own from the first SDK call: a connector wants the
/// SDK's runtime components, and only the SDK can make them.
#[derive(Debug)]
struct Tapped {
    client: Client,
    connector: Arc<OnceLock<SharedHttpConnector>>,
    skew: Skew,
    /// Where blocks go instead.
    small: Option<Small>,
}

impl HttpClient for Tapped {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        self.connector.get_or_init(|| {
            let ours = HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build();
            self.client.http_connector(&ours, components)
        });
        let pooled = self.client.http_connector(settings, components);
        let connector = match self.small.clone() {
            Some(small) => SharedHttpConnector::new(Parted { pooled, small }),
            None => pooled,
        };
        SharedHttpConnector::new(Bounded(connector, self.skew.clone()))
    }
}

/// Two ways: small connections where they lead, the pool for the rest.
#[derive(Debug)]
struct Parted {
    pooled: SharedHttpConnector,
    small: Small,
}

impl HttpConnector for Parted {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if self.small.lead_to(request.uri()) { self.small.connector.call(request) } else { self.pooled.call(request) }
    }
}

/// No answer to an SDK call is longer: a page of 1,000 snapshots with 50 tags each is a quarter of it, and the SDK
/// reads every answer whole before it looks at it.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// A connector whose answers end, and whose clock is noticed.
#[derive(Debug)]
struct Bounded(SharedHttpConnector, Skew);

impl HttpConnector for Bounded {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        // An instance's metadata tell the time as well; they are this host, not AWS.
        let here = ["://169.254.", "://[fd00:ec2:"].iter().any(|local| request.uri().contains(local));
        let answer = self.0.call(request);
        let skew = self.1.clone();
        HttpConnectorFuture::new(async move {
            let bounded = |body: SdkBody| SdkBody::from_body_1_x(Capped { body, left: ANSWER_MAX });
            let answer = answer.await?;
            if !here {
                skew.note(answer.headers().get("date"));
            }
            Ok(answer.map(bounded))
        })
    }
}

/// A body that is an error once it is too long.
struct Capped {
    body: SdkBody,
    left: usize,
}

impl Body for Capped {
    type Data = Buffer;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Buffer>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, Buffer::len);
            match self.left.checked_sub(length) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err("the answer is too long to be one".into()))),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.body)
    }
}

/// The one place that chooses the pool.
fn pooled(settings: &Settings) -> Result<Client> {
    let broken = |why: String| Error::usage(format!("the HTTP client cannot be set up: {why}"));
    let pool = ConnectionPool::builder()
        .partitions([Partition::new(PARTITION, DriverSpawner::from_fn(spawn))])
        .max_connections_per_host(CONNECTIONS_PER_HOST)
        .idle_timeout(IDLE)
        .tcp_nodelay(true)
        .proxy_config(proxy(settings)?)
        .event_listener(|event: &ConnectionEvent<'_>| {
            if let ConnectionEvent::Opened(opened) = event {
                let connection = opened.connection();
                tracing::debug!(origin = ?connection.origin(), protocol = ?connection.protocol(), "connection opened");
            }
        })
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
        .tls_context(tls_context(settings.surroundings.ca_bundle.as_deref())?)
        .build_https()
        .map_err(|error| broken(error.to_string()))?;
    Client::from_partition(&pool, PARTITION).map_err(|error| broken(error.to_string()))
}

/// Connections live on the runtime of whoever asked. Outside of one nothing can be asked, so what is dropped there
/// is the end of a connection that nobody waits for.
fn spawn(driver: Pin<Box<dyn Future<Output = ()> + Send + 'static>>) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(driver);
    }
}

/// The sandbox and other loopback endpoints are never asked through a proxy.
fn proxy(settings: &Settings) -> Result<ProxyConfig> {
    let endpoint = settings.endpoint.as_deref().or(settings.surroundings.endpoint.as_deref());
    let loopback = endpoint.is_some_and(is_loopback);
    if loopback || matches!(settings.profiles, Profiles::Fixed(_)) {
        Ok(ProxyConfig::disabled())
    } else {
        settings.surroundings.proxy.config(endpoint)
    }
}

fn is_loopback(endpoint: &str) -> bool {
    let host = endpoint.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    host.is_some_and(|host| {
        let host = host.trim_matches(['[', ']']);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// `AWS_CA_BUNDLE` replaces the system's roots, as it does in the AWS CLI.
fn tls_context(bundle: Option<&Path>) -> Result<tls::TlsContext> {
    let broken = |why: String| Error::usage(format!("AWS_CA_BUNDLE cannot be used: {why}"));
    let Some(path) = bundle else { return Ok(tls::TlsContext::default()) };
    let shown = path.display();
    let pem = std::fs::read(path).map_err(|error| broken(format!("{shown}: {error}")))?;
    if !pem.windows(11).any(|window| window == b"-----BEGIN ") {
        return Err(broken(format!("{shown} holds no PEM certificate")).todo("name a PEM file, or unset AWS_CA_BUNDLE"));
    }
    let roots = tls::TrustStore::empty().with_pem_certificate(pem);
    tls::TlsContext::builder().with_trust_store(roots).build().map_err(|error| broken(format!("{shown}: {error}")))
}

/// TLS as the pool has it: the same roots, of the bundle or of the system.
fn client_config(bundle: Option<&Path>) -> std::result::Result<ClientConfig, BoxError> {
    let mut roots = RootCertStore::empty();
    match bundle {
        Some(path) => {
            for certificate in CertificateDer::pem_file_iter(path)? {
                roots.add(certificate?)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_endpoints_are_told_from_others() {
        for near in ["http://127.0.0.1:4566", "http://localhost:1", "http://[::1]:80/x"] {
            assert!(is_loopback(near), "{near}");
        }
        for far in ["https://ebs.eu-west-1.amazonaws.com", "http://10.0.0.1", "nonsense"] {
            assert!(!is_loopback(far), "{far}");
        }
    }

    #[test]
    fn small_connections_lead_wherever_they_can() {
        let to = |env: &[(&str, &str)], uri: &str| {
            let of = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            let surroundings = crate::aws::Surroundings::of_process(of);
            Http::new(&Settings { surroundings, ..Settings::default() }).unwrap().small.lead_to(uri)
        };
        let aws = "https://ebs.eu-west-1.amazonaws.com/snapshots";
        assert!(to(&[], aws) && to(&[], "http://10.0.0.1:9000/x") && !to(&[], "nonsense"));
        assert!(to(&[("HTTPS_PROXY", "proxy:3128")], aws), "a tunnel");
        assert!(!to(&[("HTTPS_PROXY", "https://proxy:3128")], aws), "a proxy that itself wants TLS");
        assert!(to(&[("HTTPS_PROXY", "https://proxy:3128"), ("NO_PROXY", "amazonaws.com")], aws));
        assert!(!to(&[("HTTP_PROXY", "proxy:3128")], "http://10.0.0.1:9000/x"), "no tunnel without TLS");
        assert!(to(&[("HTTP_PROXY", "proxy:3128")], "http://127.0.0.1:9000/x"));
    }

    #[test]
    fn an_https_client_is_built_without_the_network() {
        assert!(Http::new(&Settings::default()).is_ok());
    }
}

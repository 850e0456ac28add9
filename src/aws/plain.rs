//! Connections without TLS on this machine, for blocks: those of the sandbox and of other servers on loopback.
//!
//! The pool that everything else goes through lets each connection keep up to 408 KiB of read buffer. Under TLS a
//! read is one record of 16 KiB and the buffer stays small; without TLS it fills, and 256 lanes keep 100 MiB that no
//! budget knows of. Invariant: a connection here keeps [`READ`] bytes and no more.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// What a connection reads at a time: large enough that the system call does not matter, small enough to be hashed
/// and copied while it is in the cache.
const READ: usize = 64 * 1024;

/// The client. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Plain(Client<Tcp, SdkBody>);

impl Plain {
    /// Opens nothing yet.
    pub(super) fn new(connect: Duration, idle: Duration) -> Self {
        let mut tcp = Tcp::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(idle)
            .http1_read_buf_exact_size(READ)
            .set_host(false)
            .build(tcp);
        Self(client)
    }
}

impl HttpConnector for Plain {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let answer = client.request(request).await.map_err(|error| ConnectorError::io(error.into()))?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

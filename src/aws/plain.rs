//! Connections without TLS, for blocks and for S3: those of the sandbox and of other servers that no proxy stands before.
//!
//! The pool that everything else goes through lets each connection keep up to 408 KiB of read buffer. Under TLS a
//! read is one record of 16 KiB and the buffer stays small; without TLS it fills, and 256 lanes keep 100 MiB that no
//! budget knows of. Invariants: a connection here keeps [`READ`] bytes and no more; there are never more of them than
//! requests were in flight at once; one whose answer was not read to its end is closed, never used again.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes as Buffer;
use http::uri::Authority;
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// What a connection reads at a time: large enough that the system call does not matter, small enough to be hashed
/// and copied while it is in the cache.
const READ: usize = 64 * 1024;

type Sender = SendRequest<SdkBody>;

/// The client. Clones share their connections.
#[derive(Debug, Clone)]
pub(super) struct Plain(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    /// The latest used last.
    idle: Mutex<HashMap<Authority, Vec<(Sender, Instant)>>>,
    connect: Duration,
    keep: Duration,
}

impl Plain {
    /// Opens nothing yet; connections that were idle for `keep` are not used again.
    pub(super) fn new(connect: Duration, keep: Duration) -> Self {
        Self(Arc::new(Pool { idle: Mutex::default(), connect, keep }))
    }
}

impl HttpConnector for Plain {
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
        let host = request.uri().authority().cloned().ok_or("the address names no host")?;
        // Whoever signs it names the host; the SDK leaves that to its own pool.
        if !request.headers().contains_key(http::header::HOST) {
            let named = http::HeaderValue::from_str(host.as_str())?;
            request.headers_mut().insert(http::header::HOST, named);
        }
        *request.uri_mut() = request.uri().path_and_query().map_or_else(Uri::default, |path| path.clone().into());
        loop {
            let known = self.take(&host);
            let fresh = known.is_none();
            let mut sender = match known {
                Some(sender) => sender,
                None => tokio::time::timeout(self.connect, connect(&host)).await??,
            };
            if let Err(error) = sender.ready().await {
                if fresh {
                    return Err(error.into());
                }
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(answer) => {
                    let home = (Arc::clone(&self), host, sender);
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
    fn take(&self, host: &Authority) -> Option<Sender> {
        let mut idle = self.lock();
        let known = idle.get_mut(host)?;
        known.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < self.keep);
        known.pop().map(|(sender, _)| sender)
    }

    fn give(&self, host: Authority, sender: Sender) {
        self.lock().entry(host).or_default().push((sender, Instant::now()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Authority, Vec<(Sender, Instant)>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn connect(host: &Authority) -> Result<Sender, BoxError> {
    let stream = TcpStream::connect((host.host().trim_matches(['[', ']']), host.port_u16().unwrap_or(80))).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = Builder::new().read_buf_exact_size(Some(READ)).handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a plain connection ended");
        }
    });
    Ok(sender)
}

/// The body of an answer; its connection goes back when it is read to its end.
#[derive(Debug)]
struct Answer {
    body: Incoming,
    home: Option<(Arc<Pool>, Authority, Sender)>,
}

impl Answer {
    fn of(body: Incoming, home: (Arc<Pool>, Authority, Sender)) -> Self {
        let mut answer = Self { body, home: Some(home) };
        if answer.body.is_end_stream() {
            answer.go_home();
        }
        answer
    }

    fn go_home(&mut self) {
        if let Some((pool, host, sender)) = self.home.take() {
            pool.give(host, sender);
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

    async fn ask(plain: &Plain, url: &str) -> SdkBody {
        plain.call(HttpRequest::get(url).unwrap()).await.unwrap().into_body()
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
        let plain = Plain::new(Duration::from_secs(3), Duration::from_secs(15));
        for _ in 0..5 {
            assert_eq!(read(ask(&plain, &url).await).await, 100_000);
        }
        assert_eq!(count.load(Ordering::Relaxed), 1);
        let half = ask(&plain, &url).await;
        assert_eq!(read(ask(&plain, &url).await).await, 100_000, "the first one's answer is still on its way");
        assert_eq!(count.load(Ordering::Relaxed), 2);
        drop(half);
        for _ in 0..5 {
            assert_eq!(read(ask(&plain, &url).await).await, 100_000);
        }
        assert_eq!(count.load(Ordering::Relaxed), 2, "the one that was not read to its end is gone");
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_between_two_requests_costs_a_connection_and_no_error() {
        let (url, count) = server(1).await;
        let plain = Plain::new(Duration::from_secs(3), Duration::from_secs(15));
        for asked in 1..=5 {
            assert_eq!(read(ask(&plain, &url).await).await, 100_000);
            assert_eq!(count.load(Ordering::Relaxed), asked);
            let hung_up = || plain.0.lock().values().flatten().all(|(sender, _)| sender.is_closed());
            while !hung_up() {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn nobody_there_is_an_error_of_the_network() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let plain = Plain::new(Duration::from_secs(3), Duration::from_secs(15));
        assert!(plain.call(HttpRequest::get(&url).unwrap()).await.unwrap_err().is_io());
    }
}

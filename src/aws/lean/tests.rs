use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes as Buffer, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const LONG: usize = 100_000;

fn lean() -> Lean {
    keeping(Duration::from_secs(15))
}

fn keeping(keep: Duration) -> Lean {
    let (connect, proxies) = (Duration::from_secs(3), Matcher::builder().build());
    Lean::new(Ways { connect, proxies, tls: Box::new(|| Err("no TLS here".into())) }, keep)
}

/// No two pieces of it are alike.
fn long() -> Vec<u8> {
    (0..LONG).map(|n| (n ^ (n >> 8)) as u8).collect()
}

fn said(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes(), body].concat()
}

/// What a server of the tests answers to its nth request, in pieces.
type Answers = Arc<dyn Fn(u32) -> Vec<Vec<u8>> + Send + Sync>;

/// A server: what it was asked, how many connections it had, and how many of them are closed again.
struct Server {
    url: String,
    opened: Arc<AtomicU32>,
    closed: Arc<AtomicU32>,
}

impl Server {
    /// Hangs up after `most` requests on a connection.
    async fn new(most: u32, answers: impl Fn(u32) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        let server = Self { url, opened: Arc::default(), closed: Arc::default() };
        let (opened, closed, answers): (_, _, Answers) =
            (Arc::clone(&server.opened), Arc::clone(&server.closed), Arc::new(answers));
        let asked = Arc::new(AtomicU32::new(0));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                opened.fetch_add(1, Ordering::Relaxed);
                let (closed, answers, asked) = (Arc::clone(&closed), Arc::clone(&answers), Arc::clone(&asked));
                tokio::spawn(async move {
                    talk(stream, most, &*answers, &asked).await;
                    closed.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        server
    }

    async fn long() -> Self {
        Self::new(100, |_| vec![said("content-length: 100000", &long())]).await
    }

    fn opened(&self) -> u32 {
        self.opened.load(Ordering::Relaxed)
    }

    async fn closed(&self, connections: u32) {
        while self.closed.load(Ordering::Relaxed) < connections {
            tokio::task::yield_now().await;
        }
    }
}

async fn talk(
    mut stream: TcpStream,
    most: u32,
    answers: &(dyn Fn(u32) -> Vec<Vec<u8>> + Send + Sync),
    asked: &AtomicU32,
) {
    let _ = stream.set_nodelay(true);
    for _ in 0..most {
        let mut last = [0; 4];
        while last != *b"\r\n\r\n" {
            let Ok(byte) = stream.read_u8().await else { return };
            last.rotate_left(1);
            last[3] = byte;
        }
        for piece in answers(asked.fetch_add(1, Ordering::Relaxed)) {
            if stream.write_all(&piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

async fn asked(lean: &Lean, server: &Server) -> Answer {
    lean.send(HttpRequest::get(&server.url).unwrap()).await.unwrap().into_body()
}

async fn frames(mut body: impl http_body::Body<Data = Buffer, Error = BoxError> + Unpin) -> Result<Vec<u8>, BoxError> {
    let mut all = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        all.extend_from_slice(&frame?.into_data().unwrap());
    }
    Ok(all)
}

async fn straight(answer: &mut Answer) -> std::io::Result<BytesMut> {
    let mut all = BytesMut::with_capacity(LONG);
    while answer.read(&mut all).await.expect("a long body is read past hyper")? > 0 {}
    assert_eq!(answer.rest(), Some(0));
    Ok(all)
}

#[tokio::test]
async fn a_connection_is_used_again_once_its_answer_was_read() {
    let (server, lean) = (Server::long().await, lean());
    for _ in 0..5 {
        assert_eq!(frames(asked(&lean, &server).await).await.unwrap(), long());
        assert_eq!(straight(&mut asked(&lean, &server).await).await.unwrap(), long());
        let sdk = lean.call(HttpRequest::get(&server.url).unwrap()).await.unwrap().into_body();
        assert_eq!(frames(sdk).await.unwrap(), long());
    }
    assert_eq!(server.opened(), 1);
    let half = asked(&lean, &server).await;
    assert_eq!(
        frames(asked(&lean, &server).await).await.unwrap(),
        long(),
        "the first one's answer is on its way still"
    );
    assert_eq!(server.opened(), 2);
    drop(half);
    for _ in 0..5 {
        assert_eq!(straight(&mut asked(&lean, &server).await).await.unwrap(), long());
    }
    assert_eq!(server.opened(), 2, "the one that was not read to its end is gone");
}

#[tokio::test]
async fn a_body_is_whole_wherever_the_network_cuts_it() {
    let mut random = fastrand::Rng::with_seed(7);
    let sizes: Vec<usize> = (0..400).map(|_| random.usize(1..=3_000)).collect();
    let cut = move |nth: u32| {
        let whole = said("content-length: 100000", &long());
        let (mut pieces, mut from) = (Vec::new(), 0);
        for size in sizes.iter().cycle().skip(nth as usize * 17) {
            pieces.push(whole[from..whole.len().min(from + size)].to_vec());
            from += size;
            if from >= whole.len() {
                break;
            }
        }
        pieces
    };
    let (server, lean) = (Server::new(100, cut).await, lean());
    for _ in 0..5 {
        assert_eq!(straight(&mut asked(&lean, &server).await).await.unwrap(), long());
        assert_eq!(frames(asked(&lean, &server).await).await.unwrap(), long());
    }
    assert_eq!(server.opened(), 1);
}

#[tokio::test]
async fn short_and_chunked_and_empty_answers_keep_their_connection_too() {
    let answers = |nth: u32| {
        vec![match nth % 3 {
            0 => said("content-length: 5", b"short"),
            1 => said("transfer-encoding: chunked", b"3\r\nchu\r\n3\r\nnks\r\n0\r\n\r\n"),
            _ => said("content-length: 0", b""),
        }]
    };
    let (server, lean) = (Server::new(100, answers).await, lean());
    for _ in 0..3 {
        for wanted in ["short", "chunks", ""] {
            assert_eq!(frames(asked(&lean, &server).await).await.unwrap(), wanted.as_bytes());
        }
    }
    assert_eq!(server.opened(), 1);
}

#[tokio::test]
async fn what_only_names_a_length_has_no_body() {
    let (server, lean) = (Server::new(100, |_| vec![said("content-length: 100000", b"")]).await, lean());
    for _ in 0..3 {
        let mut request = HttpRequest::get(&server.url).unwrap();
        request.set_method("HEAD").unwrap();
        let answer = lean.send(request).await.unwrap().into_body();
        assert!(frames(answer).await.unwrap().is_empty());
    }
    assert_eq!(server.opened(), 1);
}

#[tokio::test]
async fn a_server_that_says_close_is_not_asked_again_on_that_connection() {
    for head in ["content-length: 100000\r\nConnection: Keep-Alive, Close", "content-length: 2\r\nconnection: close"] {
        let body = if head.contains("100000") { long() } else { b"ok".to_vec() };
        let answer = said(head, &body);
        let (server, lean) = (Server::new(100, move |_| vec![answer.clone()]).await, lean());
        for opened in 1..=3 {
            assert_eq!(frames(asked(&lean, &server).await).await.unwrap(), body);
            assert_eq!(server.opened(), opened, "{head}");
        }
    }
    let old = said("content-length: 100000", &long());
    let old = [b"HTTP/1.0", &old[8..]].concat();
    let (server, lean) = (Server::new(100, move |_| vec![old.clone()]).await, lean());
    for opened in 1..=3 {
        assert_eq!(straight(&mut asked(&lean, &server).await).await.unwrap(), long());
        assert_eq!(server.opened(), opened, "HTTP/1.0");
    }
}

#[tokio::test]
async fn bytes_past_the_end_belong_to_no_answer() {
    for length in [20_000, 17_000] {
        let answer = [said(&format!("content-length: {length}"), &long()[..length]), b"HTTP/1.1 200 OK\r\n".to_vec()];
        let answer = answer.concat();
        // In one piece, so that they lie behind the body whoever reads it.
        let (server, lean) = (Server::new(100, move |_| vec![answer.clone()]).await, lean());
        for _ in 0..3 {
            let mut answer = asked(&lean, &server).await;
            assert_eq!(straight(&mut answer).await.unwrap(), long()[..length]);
            // The stray bytes are seen before the next request goes out.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(server.opened(), 3, "{length}");
    }
}

#[tokio::test]
async fn a_body_that_is_cut_is_an_error_however_it_is_read() {
    for length in ["content-length: 100000", "transfer-encoding: chunked"] {
        let head = said(length, b"");
        let body = if length.contains("chunked") { b"186a0\r\n".to_vec() } else { Vec::new() };
        let answer = [head, body, long()[..60_000].to_vec()].concat();
        let (server, lean) = (Server::new(1, move |_| vec![answer.clone()]).await, lean());
        assert!(frames(asked(&lean, &server).await).await.is_err(), "{length}");
        let mut answer = asked(&lean, &server).await;
        if length.contains("chunked") {
            assert!(answer.read(&mut BytesMut::new()).await.is_none(), "hyper reads it");
        } else {
            assert!(straight(&mut answer).await.is_err());
        }
    }
}

#[tokio::test]
async fn a_request_that_was_answered_before_it_was_sent_leaves_no_connection() {
    let answers = |_: u32| vec![b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\n\r\n".to_vec()];
    // It reads the head, answers, and never looks at the body.
    let (server, lean) = (Server::new(100, answers).await, lean());
    for opened in 1..=2 {
        let mut request = HttpRequest::new(SdkBody::from(vec![7; 64 * 1024 * 1024]));
        request.set_uri(server.url.clone()).unwrap();
        request.set_method("PUT").unwrap();
        request.headers_mut().insert("content-length", (64 * 1024 * 1024).to_string());
        let answer = lean.send(request).await.unwrap();
        assert_eq!(answer.status(), 503);
        assert!(frames(answer.into_body()).await.unwrap().is_empty());
        assert_eq!(server.opened(), opened);
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_between_two_requests_costs_a_connection_and_no_error() {
    let (server, lean) = (Server::new(1, |_| vec![said("content-length: 100000", &long())]).await, lean());
    for asked_for in 1..=5 {
        assert_eq!(straight(&mut asked(&lean, &server).await).await.unwrap(), long());
        assert_eq!(server.opened(), asked_for);
        server.closed(asked_for).await;
        // Until it is known here, too.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_connection_that_nobody_wants_is_closed() {
    let (server, lean) = (Server::long().await, keeping(Duration::from_millis(30)));
    for connections in 1..=2 {
        assert_eq!(frames(asked(&lean, &server).await).await.unwrap(), long());
        server.closed(connections).await;
        assert!(lean.0.lock().streams.is_empty());
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

#[tokio::test]
async fn a_request_that_is_given_up_keeps_no_block_however_slow_its_connection_ends() {
    let gone = Arc::new(AtomicU32::new(0));
    let mut exchange = Exchange::over(Box::new(Stalled)).await.unwrap();
    let block = Buffer::from_owner(Block(vec![7; 524_288], Arc::clone(&gone)));
    let request = Request::put("/x").body(SdkBody::from(block)).unwrap();
    let sending = exchange.ask(request);
    assert!(tokio::time::timeout(Duration::from_millis(20), sending).await.is_err(), "nobody takes it");
    assert_eq!(gone.load(Ordering::Relaxed), 0, "it is on its way");
    drop(exchange);
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

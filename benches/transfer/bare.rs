//! A client that does the least: sign, send, read, hash, throw away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;

use crate::figures::{Figures, cpu_of_self, peak_of};

/// Connections, each with one request in flight: what the peers were measured with.
const CONNECTIONS: usize = 64;

struct Target {
    authority: String,
    region: String,
    credentials: Credentials,
}

impl Target {
    fn request(&self, path: &str) -> http::Request<Empty<Bytes>> {
        let url = format!("http://{}{path}", self.authority);
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("ebs")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .expect("signing parameters")
            .into();
        let headers = [("host", self.authority.as_str())];
        let signable =
            SignableRequest::new("GET", &url, headers.into_iter(), SignableBody::Bytes(&[])).expect("signable");
        let (instructions, _) = sign(signable, &params).expect("signed").into_parts();
        let mut request =
            http::Request::get(path).header("host", &self.authority).body(Empty::new()).expect("a request");
        instructions.apply_to_request_http1x(&mut request);
        request
    }
}

async fn connect(authority: &str) -> SendRequest<Empty<Bytes>> {
    let stream = tokio::net::TcpStream::connect(authority).await.expect("connects");
    stream.set_nodelay(true).expect("nodelay");
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("http");
    tokio::spawn(connection);
    sender
}

async fn text(sender: &mut SendRequest<Empty<Bytes>>, request: http::Request<Empty<Bytes>>) -> Bytes {
    let answer = sender.send_request(request).await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    answer.into_body().collect().await.expect("a body").to_bytes()
}

async fn list(target: &Target, snapshot: &str) -> Vec<(u32, String)> {
    let mut sender = connect(&target.authority).await;
    let (mut blocks, mut page) = (Vec::new(), None::<String>);
    loop {
        let token = page.map(|t| format!("&pageToken={}", encoded(&t))).unwrap_or_default();
        let path = format!("/snapshots/{snapshot}/blocks?maxResults=10000{token}");
        let body = text(&mut sender, target.request(&path)).await;
        let json: serde_json::Value = serde_json::from_slice(&body).expect("json");
        for block in json["Blocks"].as_array().expect("blocks") {
            let index = block["BlockIndex"].as_u64().and_then(|i| u32::try_from(i).ok()).expect("an index");
            blocks.push((index, encoded(block["BlockToken"].as_str().expect("a token"))));
        }
        match json["NextToken"].as_str() {
            Some(next) => page = Some(next.to_owned()),
            None => return blocks,
        }
    }
}

fn encoded(token: &str) -> String {
    token.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

/// Lists and fetches the whole snapshot once.
pub fn fetch(endpoint: &str, keys: &(String, String), region: &str, snapshot: &str, bytes: u64, hash: bool) -> Figures {
    let authority = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let credentials = Credentials::new(&keys.0, &keys.1, None, None, "bench");
    let target = Arc::new(Target { authority, region: region.to_owned(), credentials });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let cpu = cpu_of_self();
    let start = Instant::now();
    runtime.block_on(async {
        let blocks = Arc::new(list(&target, snapshot).await);
        let next = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                tokio::spawn(lane(
                    Arc::clone(&target),
                    snapshot.to_owned(),
                    Arc::clone(&blocks),
                    Arc::clone(&next),
                    hash,
                ))
            })
            .collect();
        for task in tasks {
            task.await.expect("a lane");
        }
    });
    Figures { bytes, wall: start.elapsed(), cpu: cpu_of_self() - cpu, peak: peak_of(std::process::id()) }
}

async fn lane(
    target: Arc<Target>,
    snapshot: String,
    blocks: Arc<Vec<(u32, String)>>,
    next: Arc<AtomicUsize>,
    hash: bool,
) {
    let mut sender = connect(&target.authority).await;
    while let Some((index, token)) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
        let path = format!("/snapshots/{snapshot}/blocks/{index}?blockToken={token}");
        sender.ready().await.expect("ready");
        let answer = sender.send_request(target.request(&path)).await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
        let said = answer.headers()["x-amz-checksum"].to_str().expect("text").to_owned();
        let mut body = answer.into_body();
        let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let data = frame.expect("a frame").into_data().unwrap_or_default();
            length += data.len();
            if hash {
                digest.update(&data);
            }
        }
        assert_eq!(length, 524_288);
        if hash {
            assert_eq!(base64_simd::STANDARD.encode_to_string(digest.finish()), said);
        }
    }
}

/// How often the server has answered an operation.
pub fn served(endpoint: &str, operation: &str) -> u64 {
    use std::io::{Read, Write};
    let authority = endpoint.trim_start_matches("http://").trim_end_matches('/');
    let ask = || -> std::io::Result<String> {
        let mut stream = std::net::TcpStream::connect(authority)?;
        write!(stream, "GET /_sandbox/stats HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let json: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    json["apis"][operation]["requests"].as_u64().unwrap_or(0)
}

/// SHA-256 of 512 KiB blocks on one core, MiB/s.
pub fn sha256_rate() -> f64 {
    let block = vec![0x5a_u8; 524_288];
    let (start, mut blocks) = (Instant::now(), 0u32);
    while start.elapsed() < Duration::from_millis(500) {
        std::hint::black_box(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, std::hint::black_box(&block)));
        blocks += 1;
    }
    f64::from(blocks) / 2.0 / start.elapsed().as_secs_f64()
}

//! A request's body on its way in: the frames of `aws-chunked` taken away, hashed, and spooled past its first
//! quarter of a mebibyte, so that a part of any length costs one buffer.
//!
//! Nothing is refused here: what is wrong with a body is kept with it and said once the signature was believed, as
//! S3 does. What the signature is over (the payload's hash, or one hash per signed chunk) goes to `sigv4` as
//! extensions of the request.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::BodyExt as _;
use md5::Digest as _;

use super::blob::{Blob, Spool};
use super::chunked::Frames;
use super::refusal::Refusal;
use super::store::Store;
use crate::sandbox::pool::finish;
use crate::sandbox::sigv4::BodyHash;

/// The most that one request carries: 5 GiB.
const BODY_MAX: u64 = 5 << 30;
/// What frames and signatures may add to that.
const FRAMES_MAX: u64 = 64 << 20;
/// The part of a credential scope that names S3, whose bodies are longer than all others.
const S3: &[u8] = b"/s3/aws4_request";

/// A body that came in.
#[derive(Debug)]
pub struct Taken {
    /// Its bytes without frames.
    pub payload: Blob,
    /// Their MD5.
    pub md5: [u8; 16],
    /// The headers that came after them.
    pub trailers: HeaderMap,
    /// What is wrong with it.
    pub broken: Option<Refusal>,
    /// When it had come.
    pub at: Instant,
}

/// Whether a request is signed for S3.
#[must_use]
pub fn is_for_s3(headers: &HeaderMap) -> bool {
    let signed = headers.get(http::header::AUTHORIZATION).map_or(&b""[..], http::HeaderValue::as_bytes);
    signed.windows(S3.len()).any(|scope| scope == S3)
}

/// Takes a request's body in; the request goes on without it, and with [`Taken`] among its extensions.
///
/// # Errors
/// The connection broke.
pub async fn receive<B>(request: Request<B>, store: &Store) -> Result<Request<Bytes>, B::Error>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let (mut head, mut body) = request.into_parts();
    let mut intake = Intake::new(&head.headers, store);
    if body.size_hint().lower() > BODY_MAX + FRAMES_MAX {
        intake.broken = Some(too_large());
    } else {
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                intake.feed(&data);
            }
        }
    }
    let (taken, hash, seals) = intake.finish(&head.headers);
    head.extensions.insert(Arc::new(taken));
    head.extensions.insert(BodyHash(hash));
    if let Some(seals) = seals {
        head.extensions.insert(seals);
    }
    Ok(Request::from_parts(head, Bytes::new()))
}

fn too_large() -> Refusal {
    Refusal::bad("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
        .naming("MaxSizeAllowed", BODY_MAX.to_string())
}

/// What takes a body apart while it comes.
struct Intake {
    frames: Option<Frames>,
    raw: digest::Context,
    sink: Sink,
    broken: Option<Refusal>,
}

/// Where the payload goes.
struct Sink {
    md5: md5::Md5,
    spool: Spool,
    failed: Option<io::Error>,
}

impl Sink {
    fn take(&mut self, payload: &[u8]) {
        self.md5.update(payload);
        if self.failed.is_none() {
            self.failed = self.spool.write(payload).err();
        }
    }
}

impl Intake {
    fn new(headers: &HeaderMap, store: &Store) -> Self {
        Self {
            frames: Frames::of(headers),
            raw: digest::Context::new(&digest::SHA256),
            sink: Sink { md5: md5::Md5::new(), spool: store.spool(), failed: None },
            broken: None,
        }
    }

    fn feed(&mut self, data: &[u8]) {
        match &mut self.frames {
            Some(frames) => frames.feed(data, |payload| self.sink.take(payload)),
            None => {
                self.raw.update(data);
                self.sink.take(data);
            }
        }
        if self.sink.spool.len() > BODY_MAX {
            self.broken.get_or_insert_with(too_large);
        }
    }

    fn finish(self, headers: &HeaderMap) -> (Taken, crate::units::Digest, Option<crate::sandbox::sigv4::Seals>) {
        let Self { frames, raw, sink: Sink { md5, spool, failed }, mut broken } = self;
        let length = spool.len();
        let payload = match (failed, spool.finish()) {
            (Some(cause), _) | (None, Err(cause)) => {
                broken.get_or_insert_with(|| Refusal::internal(&cause));
                Blob::default()
            }
            (None, Ok(payload)) => payload,
        };
        let (mut trailers, mut seals) = (HeaderMap::new(), None);
        if let Some(frames) = frames {
            match frames.finish(headers, length) {
                Ok(end) => (trailers, seals) = (end.trailers, end.seals),
                Err(refusal) => broken = broken.or(Some(refusal)),
            }
        } else if headers.contains_key(http::header::TRANSFER_ENCODING) {
            let message = "A header you provided implies functionality that is not implemented";
            let refusal = Refusal::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message);
            broken = broken.or(Some(refusal.naming("Header", "Transfer-Encoding")));
        }
        (Taken { payload, md5: md5.finalize().into(), trailers, broken, at: Instant::now() }, finish(raw), seals)
    }
}

//! S3 (REST): buckets, objects with ranges and conditions, checksums, multipart uploads and copies.
//!
//! `serve` → `intake` (the body, spooled) → `dispatch` → [`route`] (which operation) → [`handle`] → `bucket`,
//! `object`, `copy`, `multipart`, `list` → `store`. It refuses what S3 refuses, in S3's words. What it does not have
//! (lists of versions, policies, access points, notifications) answers `NotImplemented`, as S3 does to what it does not know.
//! One thing it does otherwise: the ETag of bytes that it copied itself is an MD5 only up to [`sums::MD5_MAX`].

pub mod blob;
mod bucket;
mod chunked;
mod copy;
mod element;
pub mod intake;
mod list;
mod meta;
mod multipart;
mod object;
mod read;
mod refusal;
mod route;
mod saved;
pub mod seed;
pub mod store;
pub mod sums;
mod tags;
#[cfg(test)]
mod tests;
mod versions;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use jiff::Timestamp;

use self::blob::Blob;
use self::element::Element;
use self::intake::Taken;
pub use self::refusal::Refusal;
pub use self::route::{Route, route};
use self::store::{Bucket, Buckets, Store};
use super::body::Body;
use super::faults::Fault;
use super::{Caller, Sandbox};

/// The namespace of answers.
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";
/// The longest document in a request.
const DOCUMENT_MAX: u64 = 2 << 20;

/// A request that was believed.
#[derive(Debug)]
struct Ask<'a> {
    route: &'a Route,
    caller: &'a Caller,
    /// With the trailers of its body.
    headers: HeaderMap,
    taken: Arc<Taken>,
    /// A lie that its answer is to tell.
    lie: Option<Fault>,
    now: Timestamp,
}

impl<'a> Ask<'a> {
    /// Holds the body against what its headers say of it.
    fn read(
        caller: &'a Caller,
        route: &'a Route,
        mut headers: HeaderMap,
        taken: Arc<Taken>,
        lie: Option<Fault>,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        if !headers.contains_key("x-amz-content-sha256") {
            let message = "Missing required header for this request: x-amz-content-sha256";
            return Err(Refusal::bad("InvalidRequest", message));
        }
        if let Some(broken) = &taken.broken {
            return Err(broken.clone());
        }
        headers.extend(taken.trailers.clone());
        if let Some(said) = headers.get("content-md5") {
            if base64_simd::STANDARD.decode_to_vec(said.as_bytes()).map_or(0, |bytes| bytes.len()) != 16 {
                return Err(Refusal::bad("InvalidDigest", "The Content-MD5 you specified was invalid."));
            }
            let ours = base64_simd::STANDARD.encode_to_string(taken.md5);
            if said.as_bytes() != ours.as_bytes() {
                let message = "The Content-MD5 you specified did not match what we received.";
                return Err(Refusal::bad("BadDigest", message)
                    .naming("ExpectedDigest", String::from_utf8_lossy(said.as_bytes()))
                    .naming("CalculatedDigest", ours));
            }
        }
        Ok(Self { route, caller, headers, taken, lie, now })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn payload(&self) -> &Blob {
        &self.taken.payload
    }

    /// The XML document in the request's body.
    fn document(&self) -> Result<Element, Refusal> {
        let bytes = self.payload().whole(DOCUMENT_MAX).map_err(|_| Refusal::malformed())?;
        Element::parse(&bytes)
    }

    /// The bucket, where the caller may use it and asked its own region.
    fn bucket<'b>(&self, buckets: &'b Buckets) -> Result<&'b Bucket, Refusal> {
        let bucket = buckets.all.get(&self.route.bucket).ok_or_else(|| Refusal::no_bucket(&self.route.bucket))?;
        self.may_use(bucket)?;
        Ok(bucket)
    }

    fn bucket_mut<'b>(&self, buckets: &'b mut Buckets) -> Result<&'b mut Bucket, Refusal> {
        let bucket = buckets.all.get_mut(&self.route.bucket).ok_or_else(|| Refusal::no_bucket(&self.route.bucket))?;
        self.may_use(bucket)?;
        Ok(bucket)
    }

    fn may_use(&self, bucket: &Bucket) -> Result<(), Refusal> {
        if bucket.region != self.caller.region {
            return Err(self.elsewhere(bucket));
        }
        self.owns(bucket, "x-amz-expected-bucket-owner")
    }

    /// Whether the bucket is the caller's, and its owner the one that the request expects.
    fn owns(&self, bucket: &Bucket, expected: &str) -> Result<(), Refusal> {
        let other = self.header(expected).is_some_and(|owner| owner != bucket.owner.as_str());
        if other || bucket.owner != self.caller.account {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied"));
        }
        Ok(())
    }

    /// The bucket is in another region. By a host that leads there anyway, only the signature is wrong.
    fn elsewhere(&self, bucket: &Bucket) -> Refusal {
        let (theirs, right) = (self.caller.region.as_str(), bucket.region.as_str());
        let refusal = match &self.route.host {
            Some(named) if named.as_deref().is_none_or(|named| named == right) => Refusal::bad(
                "AuthorizationHeaderMalformed",
                format!("The authorization header is malformed; the region '{theirs}' is wrong; expecting '{right}'"),
            )
            .naming("Region", right),
            _ => Refusal::new(
                StatusCode::MOVED_PERMANENTLY,
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed using the specified endpoint. Please send \
                 all future requests to this endpoint.",
            )
            .naming("Endpoint", format!("{}.s3-{right}.amazonaws.com", self.route.bucket))
            .naming("Bucket", &self.route.bucket),
        };
        refusal.with_header("x-amz-bucket-region", right)
    }
}

/// Answers a request; the second is what statistics call its outcome. The work is done where it may block.
pub(super) async fn handle(
    sandbox: &Arc<Sandbox>,
    caller: &Caller,
    route: &Route,
    request: &Request<bytes::Bytes>,
    lie: Option<&Fault>,
) -> (Response<Body>, String) {
    let method = request.method().clone();
    let taken = request.extensions().get::<Arc<Taken>>().cloned();
    let (headers, lie) = (request.headers().clone(), lie.cloned());
    let (owned, who, what) = (Arc::clone(sandbox), caller.clone(), route.clone());
    let working = tokio::task::spawn_blocking(move || {
        let taken = taken.ok_or_else(|| Refusal::internal(&"a request without its body"))?;
        let now = owned.now();
        serve(&owned.s3, &Ask::read(&who, &what, headers, taken, lie, now)?)
    });
    let answered = working.await.unwrap_or_else(|cause| Err(Refusal::internal(&cause)));
    match answered {
        Ok(answer) => (answer, "ok".to_owned()),
        Err(refusal) => (refusal.answer(&method, &caller.request_id), refusal.code.into_owned()),
    }
}

fn serve(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    match ask.route.api {
        "ListBuckets" => list::buckets(store, ask),
        "CreateBucket" => bucket::create(store, ask),
        "DeleteBucket" => bucket::delete(store, ask),
        "HeadBucket" => bucket::head(store, ask),
        "GetBucketLocation" => bucket::location(store, ask),
        "GetBucketVersioning" => versions::get(store, ask),
        "PutBucketVersioning" => versions::put(store, ask),
        "ListObjectsV2" => list::objects(store, ask, true),
        "ListObjects" => list::objects(store, ask, false),
        "ListMultipartUploads" => list::uploads(store, ask),
        "ListParts" => list::parts(store, ask),
        "PutObject" => object::put(store, ask),
        "GetObject" => read::get(store, ask, true),
        "HeadObject" => read::get(store, ask, false),
        "GetObjectAttributes" => read::attributes(store, ask),
        "DeleteObject" => object::delete(store, ask),
        "DeleteObjects" => object::delete_many(store, ask),
        "GetObjectTagging" => tags::get(store, ask),
        "PutObjectTagging" => tags::put(store, ask),
        "DeleteObjectTagging" => tags::delete(store, ask),
        "RestoreObject" => object::restore(store, ask),
        "CopyObject" => copy::object(store, ask),
        "UploadPartCopy" => copy::part(store, ask),
        "CreateMultipartUpload" => multipart::create(store, ask),
        "UploadPart" => multipart::part(store, ask),
        "CompleteMultipartUpload" => multipart::complete(store, ask),
        "AbortMultipartUpload" => multipart::abort(store, ask),
        _ => Err(Refusal::new(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            "A header or query you provided implies functionality that is not implemented",
        )),
    }
}

/// An XML document as an answer.
fn document(text: String) -> Response<Body> {
    let mut answer = Response::new(Body::from(text));
    answer.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    answer
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(Body::default());
    *answer.status_mut() = status;
    answer
}

/// Sets a header whose value may be anything that a client stored.
fn set(answer: &mut Response<Body>, name: &str, value: &str) {
    let name = http::HeaderName::from_bytes(name.as_bytes());
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
        answer.headers_mut().insert(name, value);
    }
}

/// `Fri, 20 Nov 2026 05:41:00 GMT`.
fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

//! S3 in one session: lists, ranged and conditional reads, checked and conditional writes, multipart uploads.
//!
//! No retries here: the engine owns the one retry layer, and one call is one request with its whole body. What is
//! written carries a SHA-256 that S3 checks before it says yes; mutating calls take a [`Grant`] and the root that it
//! names, and touch no key outside of it. Bodies are bounded by what was asked for.

mod buckets;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Wake, Poll};

use aws_config::retry::RetryConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart, ServerSideEncryption,
    StorageClass,
};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes as Buffer;
use http_body::{Body, Frame, SizeHint};
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::wire::{self, SdkError};
use crate::error::{Error, Result};
use crate::grant::{Call, Grant};
use crate::ids::Region;
use crate::units::{Bytes, Digest};

/// S3 gives at most so many keys a page.
pub const KEYS_A_PAGE: u16 = 1000;
/// Parts of one upload at most.
pub const PARTS_MAX: u32 = 10_000;
/// The least that a part has, except for the last one.
pub const PART_LEAST: Bytes = Bytes::mib(5);

/// One object as a listing tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Object {
    /// Its whole key.
    pub key: String,
    /// Its length.
    pub bytes: Bytes,
    /// Its ETag, quotes left out.
    pub etag: String,
    /// Its storage class.
    pub class: String,
}

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3Page {
    /// Keys in ascending order of their bytes.
    pub objects: Vec<S3Object>,
    /// What lies between two slashes, where it was asked for.
    pub folders: Vec<String>,
    /// The next page; `None` is the end.
    pub next: Option<String>,
}

/// What HeadObject tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Head {
    /// Its length.
    pub bytes: Bytes,
    /// Its ETag, quotes left out.
    pub etag: String,
    /// Its version, where the bucket keeps versions.
    pub version: Option<String>,
    /// Its storage class; none for STANDARD.
    pub class: Option<String>,
    /// Its SHA-256, where it was written with one in a single piece.
    pub sha256: Option<Digest>,
}

/// Bytes that were read, and of what.
#[derive(Debug, Clone)]
pub struct S3Bytes {
    /// All that was asked for.
    pub data: Buffer,
    /// The object's ETag, quotes left out.
    pub etag: String,
}

/// How objects are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Keep {
    /// `STANDARD_IA`, `GLACIER_IR`, …; none leaves it to S3 (STANDARD).
    pub class: Option<String>,
    /// A KMS key for SSE-KMS; none leaves it to the bucket's default.
    pub kms_key: Option<String>,
    /// Tags of each object.
    pub tags: Vec<(String, String)>,
}

/// Where mutating calls of one plan may write: the bucket, and the root that the grant names.
#[derive(Debug, Clone)]
pub struct Root {
    /// The bucket.
    pub bucket: String,
    /// Everything that is written begins with it; it ends with a slash, or is the one key itself.
    pub prefix: String,
}

impl Root {
    /// As a grant names it.
    #[must_use]
    pub fn resource(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }
}

/// One part that S3 has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3Part {
    /// From 1.
    pub number: u32,
    /// Its ETag as S3 gave it.
    pub etag: String,
    /// SHA-256 of it.
    pub sha256: Digest,
}

/// S3 in one session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct S3 {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    context: Context,
    client: Client,
}

impl S3 {
    pub(super) fn new(context: Context) -> Self {
        let sdk = context.sdk();
        let mut config = aws_sdk_s3::config::Builder::from(&sdk)
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // Checksums are ours: the SDK's own would wrap the body in chunks with a trailer, and hash it again.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .timeout_config(
                aws_config::timeout::TimeoutConfig::builder()
                    .connect_timeout(super::http::CONNECT_TIMEOUT)
                    .disable_operation_attempt_timeout()
                    .build(),
            );
        if let Some(endpoint) = context.s3_endpoint() {
            // Other servers rarely have a name for every bucket.
            config = config.endpoint_url(endpoint).force_path_style(true);
        }
        let client = Client::from_conf(config.build());
        Self { inner: Arc::new(Inner { context, client }) }
    }

    /// The region in which this session asks.
    #[must_use]
    pub fn region(&self) -> &Region {
        self.inner.context.region()
    }

    fn failed<E>(&self, operation: &'static str, error: &SdkError<E>, what: String) -> Error
    where
        E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        let mut failed = self.inner.context.sdk_error(operation, error, what);
        // An answer to a HEAD has no body, so nothing but its status says what was wrong.
        if let Some(aws) = failed.aws.as_mut().filter(|aws| aws.code.is_empty() || aws.code == "NotFound") {
            match aws.status {
                Some(404) => aws.code = "NoSuchKey".to_owned(),
                Some(403) => {
                    aws.code = "AccessDenied".to_owned();
                    failed.todo = Some(format!("allow {operation} and s3:ListBucket (floe iam copy)"));
                }
                _ => {}
            }
        }
        failed
    }

    /// The region that a bucket is in. Asked from any region.
    ///
    /// # Errors
    /// There is no such bucket, or it may not be looked at.
    pub async fn bucket_region(&self, bucket: &str) -> Result<Region> {
        let named = |text: Option<&str>| text.and_then(|text| text.parse::<Region>().ok());
        match self.inner.client.head_bucket().bucket(bucket).send().await {
            Ok(answer) => Ok(named(answer.bucket_region()).unwrap_or_else(|| self.region().clone())),
            Err(error) => {
                let header = error.raw_response().and_then(|raw| raw.headers().get("x-amz-bucket-region"));
                let status = error.raw_response().map(|raw| raw.status().as_u16());
                if let (Some(region), Some(301 | 400 | 307)) = (named(header), status) {
                    return Ok(region);
                }
                let mut failed = self.failed("s3:ListBucket", &error, format!("could not look at bucket {bucket}"));
                if status == Some(404) {
                    failed.what = format!("there is no bucket {bucket}");
                    failed.todo = Some("check its name; floe makes no buckets".to_owned());
                }
                Err(failed)
            }
        }
    }

    /// One page of the keys that begin with `prefix`, those after `after` only; with `folders`, what has a slash
    /// behind it comes as a folder.
    ///
    /// # Errors
    /// As classified.
    pub async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        folders: bool,
        after: Option<&str>,
        token: Option<&str>,
    ) -> Result<S3Page> {
        let answer = self
            .inner
            .client
            .list_objects_v2()
            .bucket(bucket)
            .prefix(prefix)
            .set_delimiter(folders.then(|| "/".to_owned()))
            .set_start_after(after.filter(|_| token.is_none()).map(str::to_owned))
            .set_continuation_token(token.map(str::to_owned))
            .max_keys(i32::from(KEYS_A_PAGE))
            .send()
            .await
            .map_err(|error| self.failed("s3:ListBucket", &error, format!("could not list s3://{bucket}/{prefix}")))?;
        let objects = answer.contents.unwrap_or_default().into_iter().filter_map(|object| {
            Some(S3Object {
                key: object.key?,
                bytes: Bytes(u64::try_from(object.size?).ok()?),
                etag: unquoted(object.e_tag),
                class: object.storage_class.map_or_else(|| "STANDARD".to_owned(), |c| c.as_str().to_owned()),
            })
        });
        let folder = |folder: aws_sdk_s3::types::CommonPrefix| folder.prefix;
        Ok(S3Page {
            objects: objects.collect(),
            folders: answer.common_prefixes.unwrap_or_default().into_iter().filter_map(folder).collect(),
            next: answer.next_continuation_token.filter(|token| !token.is_empty()),
        })
    }

    /// What an object is; `None` when there is none.
    ///
    /// # Errors
    /// As classified.
    pub async fn head(&self, bucket: &str, key: &str) -> Result<Option<S3Head>> {
        let asked = self.inner.client.head_object().bucket(bucket).key(key).checksum_mode(ChecksumMode::Enabled);
        let answer = match asked.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let failed = self.failed("s3:GetObject", &error, format!("could not look at s3://{bucket}/{key}"));
                return if failed.has_code("NoSuchKey") { Ok(None) } else { Err(failed) };
            }
        };
        let composite = answer.checksum_type() == Some(&ChecksumType::Composite);
        Ok(Some(S3Head {
            bytes: Bytes(answer.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default()),
            sha256: answer.checksum_sha256().filter(|_| !composite).and_then(Digest::from_base64),
            class: answer.storage_class().map(|class| class.as_str().to_owned()),
            version: answer.version_id.filter(|version| version != "null"),
            etag: unquoted(answer.e_tag),
        }))
    }

    /// Reads `length` bytes from `from` on, all of them or none; with `etag`, only of that very object.
    ///
    /// # Errors
    /// As classified; an object that changed is permanent (`PreconditionFailed`), a short body transient.
    pub async fn read(&self, bucket: &str, key: &str, from: u64, length: u64, etag: Option<&str>) -> Result<S3Bytes> {
        let what = || format!("could not read s3://{bucket}/{key}");
        let last = from.saturating_add(length).saturating_sub(1);
        let asked = self
            .inner
            .client
            .get_object()
            .bucket(bucket)
            .key(key)
            .range(format!("bytes={from}-{last}"))
            .set_if_match(etag.map(|etag| format!("\"{etag}\"")));
        let answer = asked.send().await.map_err(|error| self.failed("s3:GetObject", &error, what()))?;
        let etag = unquoted(answer.e_tag);
        let data = self.body(answer.body, length, &what).await?;
        if data.len() as u64 != length {
            return Err(Error::transient(format!("{}: {} bytes came, not {length}", what(), data.len())));
        }
        Ok(S3Bytes { data, etag })
    }

    /// Reads a small object whole, if it is not longer than `most`; `None` when there is none.
    ///
    /// # Errors
    /// As classified; it is longer.
    pub async fn read_small(&self, bucket: &str, key: &str, most: u64) -> Result<Option<S3Bytes>> {
        let what = || format!("could not read s3://{bucket}/{key}");
        let answer = match self.inner.client.get_object().bucket(bucket).key(key).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let failed = self.failed("s3:GetObject", &error, what());
                return if failed.has_code("NoSuchKey") { Ok(None) } else { Err(failed) };
            }
        };
        let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
        if length.is_some_and(|length| length > most) {
            return Err(Error::failed(format!("{}: it is too long for what it is called", what())));
        }
        let etag = unquoted(answer.e_tag);
        let data = self.body(answer.body, most, &what).await?;
        if length.is_some_and(|length| length != data.len() as u64) {
            return Err(Error::transient(format!("{}: it was cut off", what())));
        }
        Ok(Some(S3Bytes { data, etag }))
    }

    async fn body(&self, mut body: ByteStream, most: u64, what: &impl Fn() -> String) -> Result<Buffer> {
        let mut data = bytes::BytesMut::new();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| {
                Error::transient(format!("{}: {}", what(), wire::chain(&error))).in_region(self.region())
            })?;
            if (data.len() + piece.len()) as u64 > most {
                return Err(Error::transient(format!("{}: more came than was asked for", what())));
            }
            data.reserve(usize::try_from(most).unwrap_or(0).min(1 << 20).saturating_sub(data.len()).max(piece.len()));
            data.extend_from_slice(&piece);
        }
        Ok(data.freeze())
    }

    fn allow(&self, grant: &Grant, call: Call, root: &Root, key: &str) -> Result<()> {
        if !key.starts_with(&root.prefix) {
            return Err(Error::refused(format!("{key} lies outside of {}", root.resource())));
        }
        self.inner.context.allow(grant, call, Some(&root.resource()))
    }

    /// Writes an object in one request; `data` is its pieces one after the other, `sha256` of all of them together.
    /// With `new`, only where there is none (`If-None-Match`). Answers its ETag.
    ///
    /// # Errors
    /// As classified; `PreconditionFailed` where there is one already.
    #[expect(clippy::too_many_arguments, reason = "one request and all that it says")]
    pub async fn put(
        &self,
        grant: &Grant,
        root: &Root,
        key: &str,
        data: &[Buffer],
        sha256: &Digest,
        keep: &Keep,
        new: bool,
    ) -> Result<String> {
        self.allow(grant, Call::PutObject, root, key)?;
        let bucket = &root.bucket;
        let length: usize = data.iter().map(Buffer::len).sum();
        let answer = self
            .inner
            .client
            .put_object()
            .bucket(bucket)
            .key(key)
            .body(stream(data))
            .content_length(i64::try_from(length).unwrap_or(i64::MAX))
            .checksum_sha256(sha256.base64())
            .set_if_none_match(new.then(|| "*".to_owned()))
            .set_storage_class(keep.class.as_deref().map(StorageClass::from))
            .set_server_side_encryption(keep.kms_key.as_ref().map(|_| ServerSideEncryption::AwsKms))
            .set_ssekms_key_id(keep.kms_key.clone())
            .set_tagging(keep.tagging())
            .send()
            .await
            .map_err(|error| self.failed("s3:PutObject", &error, format!("could not write s3://{bucket}/{key}")))?;
        Ok(unquoted(answer.e_tag))
    }

    /// Begins an upload in parts, whose checksums are SHA-256. Answers its id.
    ///
    /// # Errors
    /// As classified.
    pub async fn begin_upload(&self, grant: &Grant, root: &Root, key: &str, keep: &Keep) -> Result<String> {
        self.allow(grant, Call::PutObject, root, key)?;
        let bucket = &root.bucket;
        let what = || format!("could not begin to upload s3://{bucket}/{key}");
        let answer = self
            .inner
            .client
            .create_multipart_upload()
            .bucket(bucket)
            .key(key)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .set_storage_class(keep.class.as_deref().map(StorageClass::from))
            .set_server_side_encryption(keep.kms_key.as_ref().map(|_| ServerSideEncryption::AwsKms))
            .set_ssekms_key_id(keep.kms_key.clone())
            .set_tagging(keep.tagging())
            .send()
            .await
            .map_err(|error| self.failed("s3:PutObject", &error, what()))?;
        answer.upload_id.ok_or_else(|| Error::transient(format!("{}: the answer names none", what())))
    }

    /// Writes one part, numbered from 1.
    ///
    /// # Errors
    /// As classified.
    pub async fn put_part(
        &self,
        grant: &Grant,
        root: &Root,
        key: &str,
        upload: &str,
        number: u32,
        data: &[Buffer],
    ) -> Result<S3Part> {
        self.allow(grant, Call::PutObject, root, key)?;
        let bucket = &root.bucket;
        let what = || format!("could not write part {number} of s3://{bucket}/{key}");
        let mut sum = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        data.iter().for_each(|piece| sum.update(piece));
        let mut sha256 = Digest([0; 32]);
        sha256.0.copy_from_slice(sum.finish().as_ref());
        let length: usize = data.iter().map(Buffer::len).sum();
        let answer = self
            .inner
            .client
            .upload_part()
            .bucket(bucket)
            .key(key)
            .upload_id(upload)
            .part_number(i32::try_from(number).unwrap_or(i32::MAX))
            .body(stream(data))
            .content_length(i64::try_from(length).unwrap_or(i64::MAX))
            .checksum_sha256(sha256.base64())
            .send()
            .await
            .map_err(|error| self.failed("s3:PutObject", &error, what()))?;
        let etag = answer.e_tag.ok_or_else(|| Error::transient(format!("{}: the answer has no ETag", what())))?;
        Ok(S3Part { number, etag, sha256 })
    }

    /// Makes an object of its parts; with `new`, only where there is none.
    ///
    /// # Errors
    /// As classified; a `ConditionalRequestConflict` wants a new upload.
    pub async fn end_upload(
        &self,
        grant: &Grant,
        root: &Root,
        key: &str,
        upload: &str,
        parts: &[S3Part],
        new: bool,
    ) -> Result<()> {
        self.allow(grant, Call::PutObject, root, key)?;
        let bucket = &root.bucket;
        let part = |part: &S3Part| {
            CompletedPart::builder()
                .part_number(i32::try_from(part.number).unwrap_or(i32::MAX))
                .e_tag(&part.etag)
                .checksum_sha256(part.sha256.base64())
                .build()
        };
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.iter().map(part).collect())).build();
        let what = || format!("could not put s3://{bucket}/{key} together");
        self.inner
            .client
            .complete_multipart_upload()
            .bucket(bucket)
            .key(key)
            .upload_id(upload)
            .multipart_upload(parts)
            .set_if_none_match(new.then(|| "*".to_owned()))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| self.failed("s3:PutObject", &error, what()))
    }

    /// Gives an upload up, so that its parts are not paid for; one that is gone already is fine.
    ///
    /// # Errors
    /// As classified.
    pub async fn abort_upload(&self, grant: &Grant, root: &Root, key: &str, upload: &str) -> Result<()> {
        self.allow(grant, Call::AbortMultipartUpload, root, key)?;
        let bucket = &root.bucket;
        let asked = self.inner.client.abort_multipart_upload().bucket(bucket).key(key).upload_id(upload);
        match asked.send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let what = format!("could not give up the upload of s3://{bucket}/{key}");
                let failed = self.failed("s3:AbortMultipartUpload", &error, what);
                if failed.has_code("NoSuchUpload") || failed.has_code("NoSuchKey") { Ok(()) } else { Err(failed) }
            }
        }
    }

    /// Uploads that were begun under a prefix and not ended: their keys and ids, a thousand at most.
    ///
    /// # Errors
    /// As classified.
    pub async fn uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<(String, String)>> {
        let what = || format!("could not list the uploads of s3://{bucket}/{prefix}");
        let asked = self.inner.client.list_multipart_uploads().bucket(bucket).prefix(prefix);
        let answer = asked.send().await;
        let answer = answer.map_err(|error| self.failed("s3:ListBucketMultipartUploads", &error, what()))?;
        let named = |upload: aws_sdk_s3::types::MultipartUpload| Some((upload.key?, upload.upload_id?));
        Ok(answer.uploads.unwrap_or_default().into_iter().filter_map(named).collect())
    }

    /// Removes one object that this job made.
    ///
    /// # Errors
    /// As classified.
    pub async fn delete(&self, grant: &Grant, root: &Root, key: &str) -> Result<()> {
        self.allow(grant, Call::DeleteObject, root, key)?;
        let bucket = &root.bucket;
        let what = || format!("could not remove s3://{bucket}/{key}");
        let asked = self.inner.client.delete_object().bucket(bucket).key(key);
        asked.send().await.map(|_| ()).map_err(|error| self.failed("s3:DeleteObject", &error, what()))
    }
}

impl Keep {
    /// Tags as S3 takes them in a header: a query.
    fn tagging(&self) -> Option<String> {
        let pairs = self.tags.iter().map(|(key, value)| format!("{}={}", encoded(key), encoded(value)));
        let query = pairs.collect::<Vec<_>>().join("&");
        (!query.is_empty()).then_some(query)
    }

    /// Whether what is kept so has to be brought back before it can be read.
    #[must_use]
    pub fn needs_restore(&self) -> bool {
        self.class.as_deref().is_some_and(needs_restore)
    }
}

/// Whether objects of that class have to be brought back (RestoreObject) before they can be read.
#[must_use]
pub fn needs_restore(class: &str) -> bool {
    matches!(class, "GLACIER" | "DEEP_ARCHIVE")
}

/// Percent-encodes all but the unreserved characters.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

fn unquoted(etag: Option<String>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

/// Whether an error says that there was an object already, or another one.
#[must_use]
pub fn is_precondition(error: &Error) -> bool {
    error.has_code("PreconditionFailed")
}

fn stream(data: &[Buffer]) -> ByteStream {
    ByteStream::new(SdkBody::from_body_1_x(Pieces(data.iter().cloned().collect())))
}

/// A body in pieces: nothing is copied, and its length is known.
#[derive(Debug)]
struct Pieces(VecDeque<Buffer>);

impl Body for Pieces {
    type Data = Buffer;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Wake<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Buffer>, std::convert::Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_written_as_a_query() {
        let keep = Keep {
            tags: vec![("a b".to_owned(), "x=y&ü".to_owned()), ("c".to_owned(), String::new())],
            ..Keep::default()
        };
        assert_eq!(keep.tagging().as_deref(), Some("a%20b=x%3Dy%26%C3%BC&c="));
        assert_eq!(Keep::default().tagging(), None);
    }

    #[test]
    fn classes_that_need_a_restore_are_known() {
        let of = |class: &str| Keep { class: Some(class.to_owned()), ..Keep::default() }.needs_restore();
        assert!(of("GLACIER") && of("DEEP_ARCHIVE"));
        assert!(!of("GLACIER_IR") && !of("STANDARD_IA") && !Keep::default().needs_restore());
    }

    #[test]
    fn a_body_in_pieces_knows_its_length() {
        let body = Pieces([Buffer::from_static(b"abc"), Buffer::from_static(b"de")].into());
        assert_eq!(body.size_hint().exact(), Some(5));
    }
}

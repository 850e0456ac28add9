//! Objects: looked at, read by ranges, written in one request, removed.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context as Wake, Poll};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType, ServerSideEncryption, StorageClass};
use aws_smithy_types::body::SdkBody;
use bytes::{Bytes as Buffer, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::{Keep, Root, S3, needs_restore, unquoted};
use crate::aws::wire;
use crate::error::{Class, Error, Result};
use crate::grant::{Call, Grant};
use crate::units::{Bytes, Digest};

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
    /// Whether it has to be brought back (RestoreObject) before it can be read, and is not.
    pub asleep: bool,
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

/// A range of an object whose answer has begun.
#[derive(Debug)]
pub struct S3Arriving<'a> {
    s3: &'a S3,
    what: String,
    body: ByteStream,
    length: u64,
    etag: String,
}

impl S3Arriving<'_> {
    /// Reads it to its end, into the memory of `into`, which holds nothing else afterwards. Answers the object's ETag.
    ///
    /// # Errors
    /// It was cut, or is too long: transient.
    pub async fn read(self, into: &mut BytesMut) -> Result<String> {
        let what = || self.what.clone();
        self.s3.body(self.body, self.length, into, &what).await?;
        if into.len() as u64 != self.length {
            return Err(Error::transient(format!("{}: {} bytes came, not {}", self.what, into.len(), self.length)));
        }
        Ok(self.etag)
    }
}

impl S3 {
    /// What an object is; `None` when there is none.
    ///
    /// # Errors
    /// As classified.
    pub async fn head(&self, bucket: &str, key: &str) -> Result<Option<S3Head>> {
        self.head_version(bucket, key, None).await
    }

    /// The same of one version, where one is named: needs `s3:GetObjectVersion`.
    ///
    /// # Errors
    /// As [`S3::head`].
    pub async fn head_version(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<Option<S3Head>> {
        let asked = self.inner.client.head_object().bucket(bucket).key(key).checksum_mode(ChecksumMode::Enabled);
        let answer = match asked.set_version_id(version.map(str::to_owned)).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let action = if version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
                let failed = self.failed(action, &error, format!("could not look at s3://{bucket}/{key}"));
                return if failed.has_code("NoSuchKey") { Ok(None) } else { Err(failed) };
            }
        };
        let awake = answer.restore().is_some_and(|text| text.contains("ongoing-request=\"false\""));
        let composite = answer.checksum_type() == Some(&ChecksumType::Composite);
        Ok(Some(S3Head {
            bytes: Bytes(answer.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default()),
            sha256: answer.checksum_sha256().filter(|_| !composite).and_then(Digest::from_base64),
            asleep: answer.storage_class().is_some_and(|class| needs_restore(class.as_str())) && !awake,
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
        let mut data = BytesMut::new();
        let etag = self.ask((bucket, key), None, from, length, etag).await?.read(&mut data).await?;
        Ok(S3Bytes { data: data.freeze(), etag })
    }

    /// The first half of [`S3::read`], of one version of an object where one is named (needs `s3:GetObjectVersion`):
    /// answers when the bytes begin to arrive, so that memory for them need not be held while S3 looks for them.
    ///
    /// # Errors
    /// As [`S3::read`]; a version that is not there any more is permanent (`NoSuchVersion`).
    pub async fn ask(
        &self,
        (bucket, key): (&str, &str),
        version: Option<&str>,
        from: u64,
        length: u64,
        etag: Option<&str>,
    ) -> Result<S3Arriving<'_>> {
        let what = || format!("could not read s3://{bucket}/{key}");
        let last = from.saturating_add(length).saturating_sub(1);
        let asked = self
            .inner
            .client
            .get_object()
            .bucket(bucket)
            .key(key)
            .set_version_id(version.map(str::to_owned))
            .range(format!("bytes={from}-{last}"))
            .set_if_match(etag.map(|etag| format!("\"{etag}\"")));
        let action = if version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
        let answer = asked.send().await.map_err(|error| self.failed(action, &error, what()))?;
        Ok(S3Arriving { s3: self, what: what(), body: answer.body, length, etag: unquoted(answer.e_tag) })
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
        let mut data = BytesMut::new();
        self.body(answer.body, most, &mut data, &what).await?;
        if length.is_some_and(|length| length != data.len() as u64) {
            return Err(Error::transient(format!("{}: it was cut off", what())));
        }
        Ok(Some(S3Bytes { data: data.freeze(), etag }))
    }

    async fn body(
        &self,
        mut body: ByteStream,
        most: u64,
        data: &mut BytesMut,
        what: &impl Fn() -> String,
    ) -> Result<()> {
        data.clear();
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
        Ok(())
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

/// Whether an error says that there was an object already, or another one.
#[must_use]
pub fn is_precondition(error: &Error) -> bool {
    error.has_code("PreconditionFailed")
}

/// Whether another write or removal of the key met a conditional one. A PutObject or CopyObject is then sent again; what
/// was being put together of parts wants a new upload and every part anew, says S3's documentation of
/// CompleteMultipartUpload.
#[must_use]
pub fn is_conflict(error: &Error) -> bool {
    error.has_code("ConditionalRequestConflict")
}

/// The same call with the same upload brings nothing after a conflict: it is told at once, not tried for a minute.
pub(super) fn no_second_try(error: Error) -> Error {
    if is_conflict(&error) { Error { class: Class::Permanent, ..error } } else { error }
}

pub(super) fn stream(data: &[Buffer]) -> ByteStream {
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
    fn a_body_in_pieces_knows_its_length() {
        let body = Pieces([Buffer::from_static(b"abc"), Buffer::from_static(b"de")].into());
        assert_eq!(body.size_hint().exact(), Some(5));
    }
}

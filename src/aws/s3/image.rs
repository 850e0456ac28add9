//! Objects that are written as whole images: every part, and the object, checked by CRC64NVME.
//!
//! That checksum is of the whole object (`FULL_OBJECT`) however it was cut, and can be put together from those of its
//! parts: the one that S3 has to accept is of the bytes that were read, not of what S3 says that it got.

use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ChecksumType};
use bytes::Bytes as Buffer;

use super::objects::no_second_try;
use super::parts::{Upload, begun, kept, known, written};
use super::{Keep, Root, S3, unquoted};
use crate::error::{Error, Result};
use crate::grant::Grant;
use crate::units::Bytes;

/// The CRC64NVME of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Crc64(pub u64);

const CRC: crc_fast::CrcAlgorithm = crc_fast::CrcAlgorithm::Crc64Nvme;

impl Crc64 {
    /// Of pieces one after the other.
    #[must_use]
    pub fn of<'a>(data: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut sum = crc_fast::Digest::new(CRC);
        data.into_iter().for_each(|piece| sum.update(piece));
        Self(sum.finalize())
    }

    /// Of these bytes and `length` more, whose own is `next`.
    #[must_use]
    pub fn then(self, next: Self, length: Bytes) -> Self {
        Self(crc_fast::checksum_combine(CRC, self.0, next.0, length.0))
    }

    /// As S3 writes it.
    #[must_use]
    pub fn base64(self) -> String {
        base64_simd::STANDARD.encode_to_string(self.0.to_be_bytes())
    }

    fn from_base64(text: &str) -> Option<Self> {
        let bytes = base64_simd::STANDARD.decode_to_vec(text.as_bytes()).ok()?;
        Some(Self(u64::from_be_bytes(bytes.try_into().ok()?)))
    }
}

/// What has to be under the key for a write to be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// Nothing (`If-None-Match: *`).
    Nothing,
    /// An object with this ETag (`If-Match`).
    This(String),
    /// Whatever is there: of names that are the job's own.
    Anything,
}

impl Over {
    fn none_match(&self) -> Option<String> {
        (*self == Self::Nothing).then(|| "*".to_owned())
    }

    fn is_match(&self) -> Option<String> {
        match self {
            Self::This(etag) => Some(format!("\"{etag}\"")),
            Self::Nothing | Self::Anything => None,
        }
    }
}

/// What HeadObject tells of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageHead {
    /// Its length.
    pub bytes: Bytes,
    /// Its ETag, quotes left out.
    pub etag: String,
    /// The checksum of all of it, where S3 has one.
    pub crc: Option<Crc64>,
    /// The job that wrote it.
    pub writer: Option<String>,
}

/// One part that S3 has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePart {
    /// From 1.
    pub number: u32,
    /// Its ETag as S3 gave it.
    pub etag: String,
    /// What S3 found its checksum to be.
    pub crc: Crc64,
}

/// The user metadata that names the job which wrote an object.
const WRITER: &str = "floe-job";

impl S3 {
    /// What an image is; `None` when there is none.
    ///
    /// # Errors
    /// As classified.
    pub async fn image_head(&self, bucket: &str, key: &str) -> Result<Option<ImageHead>> {
        let asked = self.inner.client.head_object().bucket(bucket).key(key).checksum_mode(ChecksumMode::Enabled);
        let answer = match asked.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let failed = self.failed("s3:GetObject", &error, format!("could not look at s3://{bucket}/{key}"));
                return if failed.has_code("NoSuchKey") { Ok(None) } else { Err(failed) };
            }
        };
        let composite = answer.checksum_type() == Some(&ChecksumType::Composite);
        Ok(Some(ImageHead {
            bytes: Bytes(answer.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default()),
            crc: answer.checksum_crc64_nvme().filter(|_| !composite).and_then(Crc64::from_base64),
            writer: answer.metadata().and_then(|all| all.get(WRITER)).cloned(),
            etag: unquoted(answer.e_tag),
        }))
    }

    /// Begins an upload of an image in parts. Answers its id.
    ///
    /// # Errors
    /// As classified.
    pub async fn begin_image(
        &self,
        grant: &Grant,
        root: &Root,
        key: &str,
        keep: &Keep,
        writer: &str,
    ) -> Result<String> {
        let what = || format!("could not begin to upload s3://{}/{key}", root.bucket);
        let answer = kept(self.beginning(grant, root, key)?, keep)
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .checksum_type(ChecksumType::FullObject)
            .metadata(WRITER, writer)
            .send()
            .await
            .map_err(|error| self.failed("s3:PutObject", &error, what()))?;
        // A server that knows nothing of checksums vouches for nothing: better known before anything is sent.
        if answer.checksum_algorithm() != Some(&ChecksumAlgorithm::Crc64Nvme) {
            return Err(Error::failed(format!("{}: this server checks no CRC64NVME", what()))
                .todo("write an archive there instead: s3://bucket/prefix/"));
        }
        begun(answer.upload_id, what)
    }

    /// Writes one part of an image, numbered from 1; S3 checks its bytes against `crc`.
    ///
    /// # Errors
    /// As classified.
    #[expect(clippy::too_many_arguments, reason = "one request and all that it says")]
    pub async fn put_image_part(
        &self,
        grant: &Grant,
        root: &Root,
        key: &str,
        upload: &str,
        number: u32,
        data: &[Buffer],
        crc: Crc64,
    ) -> Result<ImagePart> {
        let what = || format!("could not write part {number} of s3://{}/{key}", root.bucket);
        let asked = self.filling(grant, Upload { root, key, id: upload }, number, data)?;
        let answer = asked.checksum_crc64_nvme(crc.base64()).send().await;
        let answer = answer.map_err(|error| self.failed("s3:PutObject", &error, what()))?;
        Ok(ImagePart { number, etag: written(answer.e_tag, what)?, crc })
    }

    /// Lets S3 copy a whole object of this bucket, which is under the same root, into a part. Answers its ETag, and its
    /// checksum where this S3 names it.
    ///
    /// # Errors
    /// As classified.
    pub async fn copy_image_part(
        &self,
        grant: &Grant,
        root: &Root,
        key: &str,
        upload: &str,
        number: u32,
        from: &str,
    ) -> Result<(String, Option<Crc64>)> {
        let bucket = &root.bucket;
        let what = || format!("could not copy s3://{bucket}/{from} into part {number} of s3://{bucket}/{key}");
        let path: Vec<String> = from.split('/').map(super::encoded).collect();
        let source = format!("{bucket}/{}", path.join("/"));
        let asked = self.taking(grant, Upload { root, key, id: upload }, number, source)?;
        let answer = asked.send().await.map_err(|error| self.failed("s3:PutObject", &error, what()))?;
        let copied = answer.copy_part_result();
        let etag = written(copied.and_then(|copied| copied.e_tag()).map(str::to_owned), what)?;
        Ok((etag, copied.and_then(|copied| copied.checksum_crc64_nvme()).and_then(Crc64::from_base64)))
    }

    /// Whether an upload is still known.
    ///
    /// # Errors
    /// As classified.
    pub async fn has_upload(&self, bucket: &str, key: &str, upload: &str) -> Result<bool> {
        let asked = self.inner.client.list_parts().bucket(bucket).key(key).upload_id(upload).max_parts(1);
        match asked.send().await {
            Ok(_) => Ok(true),
            Err(error) => {
                let what = format!("could not look at the upload of s3://{bucket}/{key}");
                let failed = self.failed("s3:ListMultipartUploadParts", &error, what);
                if failed.has_code("NoSuchUpload") { Ok(false) } else { Err(failed) }
            }
        }
    }

    /// Makes an image of its parts, which S3 accepts only when the checksum of all of them is `crc` and their length
    /// `length`.
    ///
    /// # Errors
    /// As classified; a conflict ([`super::is_conflict`]) is final for this upload, and wants a new one.
    #[expect(clippy::too_many_arguments, reason = "one request and all that it says")]
    pub async fn end_image(
        &self,
        grant: &Grant,
        root: &Root,
        key: &str,
        upload: &str,
        parts: &[ImagePart],
        (crc, length): (Crc64, Bytes),
        over: &Over,
    ) -> Result<()> {
        let what = || format!("could not put s3://{}/{key} together", root.bucket);
        let parts = parts.iter().map(|of| known(of.number, &of.etag).checksum_crc64_nvme(of.crc.base64()).build());
        let answer = self
            .ending(grant, Upload { root, key, id: upload }, parts)?
            .checksum_type(ChecksumType::FullObject)
            .checksum_crc64_nvme(crc.base64())
            .mpu_object_size(i64::try_from(length.0).unwrap_or(i64::MAX))
            .set_if_none_match(over.none_match())
            .set_if_match(over.is_match())
            .send()
            .await
            .map_err(|error| no_second_try(self.failed("s3:PutObject", &error, what())))?;
        // Whether this S3 keeps one at all is asked of the object, before anything is called proved.
        match answer.checksum_crc64_nvme().and_then(Crc64::from_base64) {
            Some(said) if said != crc => {
                Err(Error::failed(format!("{}: it has another checksum than what was sent", what())))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_parts_make_that_of_the_whole() {
        let whole: Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
        let (a, b) = whole.split_at(30_001);
        let joined = Crc64::of([a]).then(Crc64::of([b]), Bytes(b.len() as u64));
        assert_eq!(joined, Crc64::of([&whole[..]]));
        assert_eq!(Crc64::of([a, b]), joined);
        assert_eq!(Crc64::of([&b"123456789"[..]]).0, 0xae8b_1486_0a79_9888, "the published check value");
        assert_eq!(Crc64::from_base64(&joined.base64()), Some(joined));
        assert_eq!(Crc64::of([]).then(joined, Bytes(100_000)), joined, "of nothing, and then this");
    }
}

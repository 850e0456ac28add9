//! Uploads in parts: begun, filled, put together or given up.

use aws_sdk_s3::types::ChecksumAlgorithm;
use bytes::Bytes as Buffer;
use serde::{Deserialize, Serialize};

use super::objects::no_second_try;
use super::parts::{Upload, begun, kept, known, written};
use super::{Keep, Root, S3};
use crate::error::Result;
use crate::grant::{Call, Grant};
use crate::units::{Bytes, Digest};

/// Parts of one upload at most.
pub const PARTS_MAX: u32 = 10_000;
/// The least that a part has, except for the last one.
pub const PART_LEAST: Bytes = Bytes::mib(5);

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

impl S3 {
    /// Begins an upload in parts, whose checksums are SHA-256. Answers its id.
    ///
    /// # Errors
    /// As classified.
    pub async fn begin_upload(&self, grant: &Grant, root: &Root, key: &str, keep: &Keep) -> Result<String> {
        let what = || format!("could not begin to upload s3://{}/{key}", root.bucket);
        let asked = kept(self.beginning(grant, root, key)?, keep).checksum_algorithm(ChecksumAlgorithm::Sha256);
        let answer = asked.send().await.map_err(|error| self.failed("s3:PutObject", &error, what()))?;
        begun(answer.upload_id, what)
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
        let what = || format!("could not write part {number} of s3://{}/{key}", root.bucket);
        let mut sum = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        data.iter().for_each(|piece| sum.update(piece));
        let mut sha256 = Digest([0; 32]);
        sha256.0.copy_from_slice(sum.finish().as_ref());
        let asked = self.filling(grant, Upload { root, key, id: upload }, number, data)?;
        let answer = asked.checksum_sha256(sha256.base64()).send().await;
        let answer = answer.map_err(|error| self.failed("s3:PutObject", &error, what()))?;
        Ok(S3Part { number, etag: written(answer.e_tag, what)?, sha256 })
    }

    /// Makes an object of its parts; with `new`, only where there is none.
    ///
    /// # Errors
    /// As classified; a conflict ([`super::is_conflict`]) is final for this upload, and wants a new one.
    pub async fn end_upload(
        &self,
        grant: &Grant,
        root: &Root,
        key: &str,
        upload: &str,
        parts: &[S3Part],
        new: bool,
    ) -> Result<()> {
        let what = || format!("could not put s3://{}/{key} together", root.bucket);
        let parts = parts.iter().map(|of| known(of.number, &of.etag).checksum_sha256(of.sha256.base64()).build());
        let asked = self.ending(grant, Upload { root, key, id: upload }, parts)?;
        let answer = asked.set_if_none_match(new.then(|| "*".to_owned())).send().await;
        answer.map(|_| ()).map_err(|error| no_second_try(self.failed("s3:PutObject", &error, what())))
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
}

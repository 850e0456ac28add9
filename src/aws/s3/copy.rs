//! Copies inside S3: what an object is besides its bytes, whole copies, and parts that S3 copies itself.
//!
//! Invariants: every copy names the ETag (and the version, where there is one) of what it copies, so that no part is of
//! another object; an answer without an ETag is no success (S3 can answer 200 and fail in the body). The checksum of the
//! whole, where the source has one, is told to S3 when it puts parts together: it refuses what is not the same.

use std::collections::BTreeMap;

use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, MetadataDirective, ServerSideEncryption, StorageClass, Tag, Tagging,
    TaggingDirective,
};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::{Deserialize, Serialize};

use super::objects::no_second_try;
use super::parts::{Upload, begun, known, written};
use super::{Keep, Root, S3, encoded, unquoted};
use crate::error::{Error, Result};
use crate::grant::{Call, Grant};
use crate::units::Bytes;

/// With what an object is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sse {
    /// As S3 does it, or as the bucket's default says.
    #[default]
    Default,
    /// With a key of KMS: that one, or the account's `aws/s3`.
    Kms {
        /// Its ARN.
        key: Option<String>,
        /// In two layers (`aws:kms:dsse`).
        dual: bool,
    },
}

/// What travels with an object beside its bytes and tags.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Properties {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    pub disposition: Option<String>,
    /// `Content-Encoding`.
    pub encoding: Option<String>,
    /// `Content-Language`.
    pub language: Option<String>,
    /// `Expires`, as it came.
    pub expires: Option<String>,
    /// Where a website redirects.
    pub redirect: Option<String>,
    /// `x-amz-meta-…`.
    pub metadata: BTreeMap<String, String>,
}

/// A checksum that S3 keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3Sum {
    /// `CRC64NVME`, `SHA256`, …
    pub algorithm: String,
    /// As S3 writes it.
    pub value: String,
    /// Over the whole object; otherwise over the checksums of its parts.
    pub whole: bool,
}

/// Everything that HeadObject tells of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Facts {
    /// Its length.
    pub bytes: Bytes,
    /// Its ETag, quotes left out.
    pub etag: String,
    /// Its version, where the bucket keeps versions.
    pub version: Option<String>,
    /// Its storage class.
    pub class: String,
    /// Whether it was brought back from an archive class and can be read.
    pub restored: bool,
    /// How it is encrypted.
    pub sse: Sse,
    /// What travels with it.
    pub properties: Properties,
    /// How many tags it has; the caller may not be told.
    pub tag_count: usize,
    /// Its checksum, where it has one.
    pub sum: Option<S3Sum>,
    /// When it was written, seconds since the epoch.
    pub modified: i64,
}

/// The object that is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFrom {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// The version that is pinned.
    pub version: Option<String>,
    /// The ETag that is pinned.
    pub etag: String,
}

/// What the copy is to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CopyAs {
    /// Its properties; without them those of the source are taken over by S3.
    pub properties: Option<Properties>,
    /// Its tags; without them those of the source are taken over by S3.
    pub tags: Option<Vec<(String, String)>>,
    /// Its storage class.
    pub class: Option<String>,
    /// Its encryption.
    pub sse: Sse,
    /// The algorithm of its checksum, over the whole object.
    pub sum: Option<String>,
    /// Only where there is no object of that key.
    pub new: bool,
}

/// A part of an upload, as S3 lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedPart {
    /// From 1.
    pub number: u32,
    /// Its ETag as S3 gave it.
    pub etag: String,
    /// Its length.
    pub bytes: Bytes,
}

impl CopyFrom {
    fn header(&self) -> String {
        let key: Vec<String> = self.key.split('/').map(encoded).collect();
        let version = self.version.as_deref().map(|id| format!("?versionId={}", encoded(id))).unwrap_or_default();
        format!("{}/{}{version}", self.bucket, key.join("/"))
    }

    fn quoted(&self) -> String {
        format!("\"{}\"", self.etag)
    }

    fn shown(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }
}

impl Sse {
    fn ask(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match self {
            Self::Default => (None, None),
            Self::Kms { key, dual: false } => (Some(ServerSideEncryption::AwsKms), key.clone()),
            Self::Kms { key, dual: true } => (Some(ServerSideEncryption::AwsKmsDsse), key.clone()),
        }
    }
}

fn expires(properties: &Properties) -> Option<DateTime> {
    properties.expires.as_deref().and_then(|text| DateTime::from_str(text, Format::HttpDate).ok())
}

fn metadata(properties: &Properties) -> std::collections::HashMap<String, String> {
    properties.metadata.clone().into_iter().collect()
}

fn tagging(tags: &[(String, String)]) -> Option<String> {
    Keep { tags: tags.to_vec(), ..Keep::default() }.tagging()
}

impl S3 {
    /// Everything of an object, or of one version of it, but its bytes; `None` when there is none.
    ///
    /// # Errors
    /// As classified.
    pub async fn facts(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<Option<S3Facts>> {
        let asked = self.inner.client.head_object().bucket(bucket).key(key).checksum_mode(ChecksumMode::Enabled);
        let answer = match asked.set_version_id(version.map(str::to_owned)).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let action = if version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
                let failed = self.failed(action, &error, format!("could not look at s3://{bucket}/{key}"));
                return if failed.has_code("NoSuchKey") { Ok(None) } else { Err(failed) };
            }
        };
        let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let properties = Properties {
            content_type: text(answer.content_type()),
            cache_control: text(answer.cache_control()),
            disposition: text(answer.content_disposition()),
            encoding: text(answer.content_encoding()),
            language: text(answer.content_language()),
            expires: text(answer.expires_string()),
            redirect: text(answer.website_redirect_location()),
            metadata: answer.metadata().cloned().unwrap_or_default().into_iter().collect(),
        };
        let sse = match answer.server_side_encryption() {
            Some(ServerSideEncryption::AwsKms) => Sse::Kms { key: text(answer.ssekms_key_id()), dual: false },
            Some(ServerSideEncryption::AwsKmsDsse) => Sse::Kms { key: text(answer.ssekms_key_id()), dual: true },
            _ => Sse::Default,
        };
        let sums = [
            ("CRC64NVME", answer.checksum_crc64_nvme()),
            ("CRC32C", answer.checksum_crc32_c()),
            ("CRC32", answer.checksum_crc32()),
            ("SHA256", answer.checksum_sha256()),
            ("SHA1", answer.checksum_sha1()),
        ];
        // A checksum of parts ends with their number, whatever the type says (or does not say).
        let whole = |value: &str| answer.checksum_type() != Some(&ChecksumType::Composite) && !value.contains('-');
        let sum = sums.into_iter().find_map(|(algorithm, value)| {
            let value = value?.to_owned();
            Some(S3Sum { algorithm: algorithm.to_owned(), whole: whole(&value), value })
        });
        Ok(Some(S3Facts {
            bytes: Bytes(answer.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default()),
            version: text(answer.version_id()).filter(|version| version != "null"),
            class: answer.storage_class().map_or_else(|| "STANDARD".to_owned(), |class| class.as_str().to_owned()),
            restored: answer.restore().is_some_and(|text| text.contains("ongoing-request=\"false\"")),
            sse,
            properties,
            tag_count: answer.tag_count().and_then(|count| usize::try_from(count).ok()).unwrap_or_default(),
            sum,
            modified: answer.last_modified().map(DateTime::secs).unwrap_or_default(),
            etag: unquoted(answer.e_tag),
        }))
    }

    /// The tags of an object, in the order of their keys.
    ///
    /// # Errors
    /// As classified.
    pub async fn tags(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<Vec<(String, String)>> {
        let what = || format!("could not read the tags of s3://{bucket}/{key}");
        let answer = self.inner.client.get_object_tagging().bucket(bucket).key(key);
        let answer = answer.set_version_id(version.map(str::to_owned)).send().await;
        let action = if version.is_some() { "s3:GetObjectVersionTagging" } else { "s3:GetObjectTagging" };
        let answer = answer.map_err(|error| self.failed(action, &error, what()))?;
        let mut tags: Vec<_> = answer.tag_set.into_iter().map(|tag| (tag.key, tag.value)).collect();
        tags.sort();
        Ok(tags)
    }

    /// Sets all tags of an object.
    ///
    /// # Errors
    /// As classified.
    pub async fn put_tags(&self, grant: &Grant, root: &Root, key: &str, tags: &[(String, String)]) -> Result<()> {
        self.allow(grant, Call::PutObjectTagging, root, key)?;
        let bucket = &root.bucket;
        let what = || format!("could not set the tags of s3://{bucket}/{key}");
        let tags: Vec<Tag> =
            tags.iter().filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok()).collect();
        let tagging = Tagging::builder().set_tag_set(Some(tags)).build();
        let tagging = tagging.map_err(|error| Error::failed(format!("{}: {error}", what())))?;
        let asked = self.inner.client.put_object_tagging().bucket(bucket).key(key).tagging(tagging);
        asked.send().await.map(|_| ()).map_err(|error| self.failed("s3:PutObjectTagging", &error, what()))
    }

    /// Has S3 copy an object of up to 5 GB. Answers the ETag of the copy.
    ///
    /// # Errors
    /// As classified; `PreconditionFailed` when the source changed, or when there is an object already and `new` was said.
    pub async fn copy_object(
        &self,
        grant: &Grant,
        root: &Root,
        key: &str,
        from: &CopyFrom,
        to: &CopyAs,
    ) -> Result<String> {
        self.allow(grant, Call::PutObject, root, key)?;
        let bucket = &root.bucket;
        let what = || format!("could not copy {} to s3://{bucket}/{key}", from.shown());
        let (sse, kms) = to.sse.ask();
        let mut asked = self
            .inner
            .client
            .copy_object()
            .bucket(bucket)
            .key(key)
            .copy_source(from.header())
            .copy_source_if_match(from.quoted())
            .set_if_none_match(to.new.then(|| "*".to_owned()))
            .set_storage_class(to.class.as_deref().map(StorageClass::from))
            .set_checksum_algorithm(to.sum.as_deref().map(ChecksumAlgorithm::from))
            .set_server_side_encryption(sse)
            .set_ssekms_key_id(kms);
        if let Some(tags) = &to.tags {
            asked = asked.tagging_directive(TaggingDirective::Replace).set_tagging(tagging(tags));
        }
        if let Some(own) = &to.properties {
            asked = asked
                .metadata_directive(MetadataDirective::Replace)
                .set_content_type(own.content_type.clone())
                .set_cache_control(own.cache_control.clone())
                .set_content_disposition(own.disposition.clone())
                .set_content_encoding(own.encoding.clone())
                .set_content_language(own.language.clone())
                .set_expires(expires(own))
                .set_website_redirect_location(own.redirect.clone())
                .set_metadata(Some(metadata(own)));
        }
        let answer = asked.send().await.map_err(|error| self.failed("s3:CopyObject", &error, what()))?;
        let etag = answer.copy_object_result.and_then(|result| result.e_tag);
        Ok(unquoted(Some(written(etag, what)?)))
    }

    /// Begins an upload whose parts S3 copies itself. Answers its id.
    ///
    /// # Errors
    /// As classified.
    pub async fn begin_copy(&self, grant: &Grant, root: &Root, key: &str, to: &CopyAs) -> Result<String> {
        let what = || format!("could not begin to copy to s3://{}/{key}", root.bucket);
        let (sse, kms) = to.sse.ask();
        let own = to.properties.clone().unwrap_or_default();
        let sum = to.sum.as_deref().map(ChecksumAlgorithm::from);
        let asked = self
            .beginning(grant, root, key)?
            .set_checksum_type(sum.is_some().then_some(ChecksumType::FullObject))
            .set_checksum_algorithm(sum)
            .set_storage_class(to.class.as_deref().map(StorageClass::from))
            .set_server_side_encryption(sse)
            .set_ssekms_key_id(kms)
            .set_tagging(to.tags.as_deref().and_then(tagging))
            .set_expires(expires(&own))
            .set_metadata(Some(metadata(&own)))
            .set_content_type(own.content_type)
            .set_cache_control(own.cache_control)
            .set_content_disposition(own.disposition)
            .set_content_encoding(own.encoding)
            .set_content_language(own.language)
            .set_website_redirect_location(own.redirect);
        let answer = asked.send().await.map_err(|error| self.failed("s3:PutObject", &error, what()))?;
        begun(answer.upload_id, what)
    }

    /// Has S3 copy the bytes from `at` on as one part, numbered from 1. Answers its ETag as S3 gave it.
    ///
    /// # Errors
    /// As classified; `PreconditionFailed` when the source changed, `NoSuchUpload` when the upload is gone.
    #[expect(clippy::too_many_arguments, reason = "one request and all that it says")]
    pub async fn copy_part(
        &self,
        grant: &Grant,
        root: &Root,
        key: &str,
        upload: &str,
        part: u32,
        from: &CopyFrom,
        (at, length): (u64, u64),
    ) -> Result<String> {
        let what = || format!("could not copy part {part} of {} to s3://{}/{key}", from.shown(), root.bucket);
        let asked = self
            .taking(grant, Upload { root, key, id: upload }, part, from.header())?
            .copy_source_if_match(from.quoted())
            .copy_source_range(format!("bytes={at}-{}", at + length.max(1) - 1));
        let answer = asked.send().await.map_err(|error| self.failed("s3:CopyObject", &error, what()))?;
        written(answer.copy_part_result.and_then(|result| result.e_tag), what)
    }

    /// The parts that an upload has, by number; `None` when there is no such upload.
    ///
    /// # Errors
    /// As classified.
    pub async fn parts(&self, bucket: &str, key: &str, upload: &str) -> Result<Option<Vec<CopiedPart>>> {
        let what = || format!("could not list the parts of s3://{bucket}/{key}");
        let (mut all, mut after): (Vec<CopiedPart>, Option<String>) = (Vec::new(), None);
        loop {
            let asked = self.inner.client.list_parts().bucket(bucket).key(key).upload_id(upload);
            let answer = match asked.set_part_number_marker(after.clone()).send().await {
                Ok(answer) => answer,
                Err(error) => {
                    let failed = self.failed("s3:ListMultipartUploadParts", &error, what());
                    let gone = failed.has_code("NoSuchUpload") || failed.has_code("NoSuchKey");
                    return if gone { Ok(None) } else { Err(failed) };
                }
            };
            let next = answer.next_part_number_marker().map(str::to_owned).filter(|next| Some(next) != after.as_ref());
            let more = answer.is_truncated() == Some(true);
            all.extend(answer.parts.unwrap_or_default().into_iter().filter_map(|part| {
                Some(CopiedPart {
                    number: u32::try_from(part.part_number?).ok()?,
                    etag: part.e_tag?,
                    bytes: Bytes(u64::try_from(part.size?).ok()?),
                })
            }));
            match next.filter(|_| more && all.len() <= super::PARTS_MAX as usize) {
                Some(next) => after = Some(next),
                None => return Ok(Some(all)),
            }
        }
    }

    /// Uploads of exactly that key that were begun at that second or later: their ids.
    ///
    /// # Errors
    /// As classified.
    pub async fn uploads_of(&self, bucket: &str, key: &str, since: i64) -> Result<Vec<String>> {
        let what = || format!("could not list the uploads of s3://{bucket}/{key}");
        let answer = self.inner.client.list_multipart_uploads().bucket(bucket).prefix(key).send().await;
        let answer = answer.map_err(|error| self.failed("s3:ListBucketMultipartUploads", &error, what()))?;
        let ours = answer.uploads.unwrap_or_default().into_iter().filter(|upload| {
            upload.key.as_deref() == Some(key) && upload.initiated.is_some_and(|begun| begun.secs() >= since)
        });
        Ok(ours.filter_map(|upload| upload.upload_id).collect())
    }

    /// Makes an object of its parts. `sum` is what its CRC64NVME has to be, `length` how long it has to be.
    ///
    /// # Errors
    /// As classified; `BadDigest` when the object would be another one; a conflict ([`super::is_conflict`]) is final for this
    /// upload, and wants a new one.
    #[expect(clippy::too_many_arguments, reason = "one request and all that it says")]
    pub async fn end_copy(
        &self,
        grant: &Grant,
        root: &Root,
        key: &str,
        upload: &str,
        parts: &BTreeMap<u32, String>,
        (length, sum): (Bytes, Option<&str>),
        new: bool,
    ) -> Result<String> {
        let what = || format!("could not put s3://{}/{key} together", root.bucket);
        let parts = parts.iter().map(|(number, etag)| known(*number, etag).build());
        let answer = self
            .ending(grant, Upload { root, key, id: upload }, parts)?
            .mpu_object_size(i64::try_from(length.0).unwrap_or(i64::MAX))
            .set_checksum_type(sum.map(|_| ChecksumType::FullObject))
            .set_checksum_crc64_nvme(sum.map(str::to_owned))
            .set_if_none_match(new.then(|| "*".to_owned()))
            .send()
            .await
            .map_err(|error| no_second_try(self.failed("s3:PutObject", &error, what())))?;
        Ok(unquoted(Some(written(answer.e_tag, what)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_as_s3_reads_it() {
        let from = CopyFrom {
            bucket: "vault".to_owned(),
            key: "a b/ü+?.raw".to_owned(),
            version: Some("v/1".to_owned()),
            etag: "abc-2".to_owned(),
        };
        assert_eq!(from.header(), "vault/a%20b/%C3%BC%2B%3F.raw?versionId=v%2F1");
        assert_eq!(from.quoted(), "\"abc-2\"");
    }
}

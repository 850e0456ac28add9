//! The requests of an upload in parts, of whatever kind: begun, filled, ended.
//!
//! Invariant: none of them can be had without the grant, for a key of its root. What is only one kind's own (its
//! checksums, its conditions) is added by who asks for it: archives, images and copies inside S3.

use aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder as Ending;
use aws_sdk_s3::operation::create_multipart_upload::builders::CreateMultipartUploadFluentBuilder as Beginning;
use aws_sdk_s3::operation::upload_part::builders::UploadPartFluentBuilder as Filling;
use aws_sdk_s3::operation::upload_part_copy::builders::UploadPartCopyFluentBuilder as Taking;
use aws_sdk_s3::types::builders::CompletedPartBuilder;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, ServerSideEncryption, StorageClass};
use bytes::Bytes as Buffer;

use super::objects::stream;
use super::{Keep, Root, S3};
use crate::error::{Error, Result};
use crate::grant::{Call, Grant};

/// One upload of one object, by which parts of it are named.
#[derive(Debug, Clone, Copy)]
pub(super) struct Upload<'a> {
    /// Where it may write.
    pub(super) root: &'a Root,
    /// The object's key.
    pub(super) key: &'a str,
    /// What S3 called it when it began.
    pub(super) id: &'a str,
}

impl S3 {
    /// Begins one.
    pub(super) fn beginning(&self, grant: &Grant, root: &Root, key: &str) -> Result<Beginning> {
        self.allow(grant, Call::PutObject, root, key)?;
        Ok(self.inner.client.create_multipart_upload().bucket(&root.bucket).key(key))
    }

    /// Sends a part of it, numbered from 1.
    pub(super) fn filling(&self, grant: &Grant, to: Upload<'_>, part: u32, data: &[Buffer]) -> Result<Filling> {
        self.allow(grant, Call::PutObject, to.root, to.key)?;
        let length: usize = data.iter().map(Buffer::len).sum();
        let asked = self.inner.client.upload_part().bucket(&to.root.bucket).key(to.key).upload_id(to.id);
        let asked = asked.part_number(number(part)).body(stream(data));
        Ok(asked.content_length(i64::try_from(length).unwrap_or(i64::MAX)))
    }

    /// Lets S3 take a part of it, numbered from 1, from another object.
    pub(super) fn taking(&self, grant: &Grant, to: Upload<'_>, part: u32, source: String) -> Result<Taking> {
        self.allow(grant, Call::PutObject, to.root, to.key)?;
        let asked = self.inner.client.upload_part_copy().bucket(&to.root.bucket).key(to.key).upload_id(to.id);
        Ok(asked.part_number(number(part)).copy_source(source))
    }

    /// Makes the object of its parts.
    pub(super) fn ending(
        &self,
        grant: &Grant,
        to: Upload<'_>,
        parts: impl Iterator<Item = CompletedPart>,
    ) -> Result<Ending> {
        self.allow(grant, Call::PutObject, to.root, to.key)?;
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let asked = self.inner.client.complete_multipart_upload().bucket(&to.root.bucket).key(to.key);
        Ok(asked.upload_id(to.id).multipart_upload(parts))
    }
}

/// With how the object is to be kept.
pub(super) fn kept(asked: Beginning, keep: &Keep) -> Beginning {
    asked
        .set_storage_class(keep.class.as_deref().map(StorageClass::from))
        .set_server_side_encryption(keep.kms_key.as_ref().map(|_| ServerSideEncryption::AwsKms))
        .set_ssekms_key_id(keep.kms_key.clone())
        .set_tagging(keep.tagging())
}

/// A part that S3 has, as an ending names it.
pub(super) fn known(part: u32, etag: &str) -> CompletedPartBuilder {
    CompletedPart::builder().part_number(number(part)).e_tag(etag)
}

/// The id of an upload that has begun: an answer without one is asked for again.
pub(super) fn begun(id: Option<String>, what: impl Fn() -> String) -> Result<String> {
    id.ok_or_else(|| Error::transient(format!("{}: the answer names none", what())))
}

/// The ETag of what was written: an answer without one is no success.
pub(super) fn written(etag: Option<String>, what: impl Fn() -> String) -> Result<String> {
    etag.ok_or_else(|| Error::transient(format!("{}: the answer has no ETag", what())))
}

/// As the SDK takes it.
fn number(part: u32) -> i32 {
    i32::try_from(part).unwrap_or(i32::MAX)
}

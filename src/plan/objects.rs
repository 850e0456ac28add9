//! A raw image in S3 as the source of a plan: any key, read by ranges, pinned by its ETag.

use crate::address::Address;
use crate::aws::{Aws, Session, needs_restore};
use crate::error::{Error, Result};
use crate::inventory::archives::{last_folder, patiently};
use crate::plan::archives::session;
use crate::plan::files::format_of;
use crate::plan::make::passed;
use crate::plan::model::{Finding, Level, OmitZeros, Options, SourceKind, SourcePlan};
use crate::units::{Bytes, Quantity};

/// What is looked at in front and at the end: a fixed VHD says what it is only in its last 512 bytes.
const LOOK: u64 = 512;

/// Reads what an object is.
///
/// # Errors
/// There is none, it is empty, or it is no raw image; or as classified.
pub(super) async fn source(
    aws: &Aws,
    address: &Address,
    options: &Options,
    findings: &mut Vec<Finding>,
) -> Result<SourcePlan> {
    let Address::Object(profile, bucket, key) = address else {
        return Err(Error::failed(format!("`{address}` is no object")));
    };
    let session = session(aws, profile.as_ref(), bucket).await?;
    let head = patiently(|| session.s3().head(bucket, key)).await?.ok_or_else(|| {
        Error::usage(format!("there is no object s3://{bucket}/{key}"))
            .todo(format!("an archive is written with a slash at its end: s3://{bucket}/{key}/"))
    })?;
    if head.bytes == Bytes::ZERO {
        return Err(Error::usage(format!("s3://{bucket}/{key} is empty")));
    }
    if let Some(class) = head.class.as_deref().filter(|class| needs_restore(class)) {
        findings.push(Finding {
            level: Level::Warning,
            text: format!("s3://{bucket}/{key} is in {class} and can be read only after it was brought back"),
            todo: Some(format!("aws s3api restore-object --bucket {bucket} --key {key} --restore-request Days=1")),
        });
    } else {
        must_be_raw(&session, bucket, key, head.bytes, &head.etag).await?;
    }
    findings.push(passed(format!("s3://{bucket}/{key} is pinned by its ETag {}", head.etag)));
    Ok(SourcePlan {
        address: Address::Object(session.profile().cloned(), bucket.clone(), key.clone()),
        profile: session.profile().cloned(),
        region: Some(session.region().clone()),
        account: Some(session.account().clone()),
        kind: SourceKind::Object { bucket: bucket.clone(), key: key.clone(), etag: head.etag, length: head.bytes },
        name: Some(last_folder(key).to_owned()),
        tags: options.tags.clone(),
        volume: head.bytes,
        blocks: match options.omit_zeros {
            OmitZeros::All => Quantity::at_most(head.bytes.blocks()),
            OmitZeros::Off | OmitZeros::Holes => Quantity::exact(head.bytes.blocks()),
        },
    })
}

/// Refuses what shows itself to be something else than raw blocks.
async fn must_be_raw(session: &Session, bucket: &str, key: &str, length: Bytes, etag: &str) -> Result<()> {
    let look = LOOK.min(length.0);
    let head = patiently(|| session.s3().read(bucket, key, 0, look, Some(etag))).await?;
    let last = patiently(|| session.s3().read(bucket, key, length.0 - look, look, Some(etag))).await?;
    match format_of(&head.data, &last.data) {
        None => Ok(()),
        Some(name) => Err(Error::usage(format!("s3://{bucket}/{key} is {name}; a snapshot holds raw blocks"))
            .todo("fetch it, make a raw image of it (qemu-img convert -O raw), and copy that")),
    }
}

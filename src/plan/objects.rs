//! A raw image in S3 as an end of a plan: any key as a source, read by ranges, pinned by its ETag and where there is one
//! by its version; as a destination the whole image, in as many parts as S3 takes.

use crate::address::Address;
use crate::aws::{Aws, Session};
use crate::error::{Error, Result};
use crate::inventory::archives::{last_folder, patiently};
use crate::plan::archives::{can_be_read, encryption, keep, session};
use crate::plan::files::format_of;
use crate::plan::layout::Layout;
use crate::plan::make::passed;
use crate::plan::model::{
    DestinationKind, DestinationPlan, Finding, Level, OmitZeros, Options, SourceKind, SourcePlan, Strategy,
};
use crate::plan::pins::{Pin, Seen};
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
    if let Some(class) = head.class.as_deref().filter(|_| head.asleep) {
        findings.push(Finding {
            level: Level::Refused,
            text: format!("s3://{bucket}/{key} is in {class} and can be read only after it was brought back"),
            todo: Some(format!("aws s3api restore-object --bucket {bucket} --key {key} --restore-request Days=1")),
        });
    } else {
        must_be_raw(&session, bucket, key, head.bytes, &head.etag).await?;
    }
    let seen = Seen { bucket, key, etag: &head.etag, version: head.version.as_deref(), tagged: false };
    let pin = Pin::of(&[&session], seen).await?;
    findings.push(pin.finding(seen));
    Ok(SourcePlan {
        address: Address::Object(session.profile().cloned(), bucket.clone(), key.clone()),
        profile: session.profile().cloned(),
        region: Some(session.region().clone()),
        account: Some(session.account().clone()),
        kind: SourceKind::Object {
            bucket: bucket.clone(),
            key: key.clone(),
            version: pin.version(),
            etag: head.etag,
            length: head.bytes,
        },
        name: Some(last_folder(key).to_owned()),
        tags: options.tags.clone(),
        volume: head.bytes,
        class: head.class,
        blocks: match options.omit_zeros {
            OmitZeros::All => Quantity::at_most(head.bytes.blocks()),
            OmitZeros::Off | OmitZeros::Holes => Quantity::exact(head.bytes.blocks()),
        },
    })
}

/// Checks that an object can be made there.
///
/// # Errors
/// Something is there and `--force` was not said, the source is none that becomes an object, or as classified.
pub(super) async fn destination(
    aws: &Aws,
    address: &Address,
    source: &SourcePlan,
    options: &Options,
    findings: &mut Vec<Finding>,
) -> Result<DestinationPlan> {
    let Address::Object(profile, bucket, key) = address else {
        return Err(Error::failed(format!("`{address}` is no object")));
    };
    must_become_an_object(address, source)?;
    let keep = keep(options)?;
    let session = session(aws, profile.as_ref(), bucket).await?;
    let there = patiently(|| session.s3().head(bucket, key)).await?;
    let place = session.region();
    match &there {
        None => findings.push(passed(format!("s3://{bucket}/{key} is free; the bucket is in {place}"))),
        Some(_) if !options.force => {
            return Err(Error::refused(format!("s3://{bucket}/{key} exists"))
                .todo("--force replaces it, or write to another key"));
        }
        Some(there) => findings.push(Finding {
            level: Level::Warning,
            text: format!("s3://{bucket}/{key} is replaced: {} with the ETag {}", there.bytes, there.etag),
            todo: None,
        }),
    }
    let encryption = encryption("object", source, options, findings);
    can_be_read(options, findings)?;
    Ok(DestinationPlan {
        address: Address::Object(session.profile().cloned(), bucket.clone(), key.clone()),
        profile: session.profile().cloned(),
        region: Some(place.clone()),
        account: Some(session.account().clone()),
        kind: DestinationKind::Object {
            bucket: bucket.clone(),
            key: key.clone(),
            // Cut anew whenever the plan is weighed: it follows memory and pace.
            layout: Layout { length: source.volume, piece: 0, gathered: 1 },
            replaces: there.map(|there| there.etag),
            keep,
            encryption,
        },
        strategy: Strategy::Direct,
    })
}

/// Refuses what cannot become a raw image of its own.
fn must_become_an_object(address: &Address, source: &SourcePlan) -> Result<()> {
    if source.kind.base().is_some() {
        return Err(Error::usage(format!(
            "a delta cannot be written to {address}: it needs a base that can be changed in its place, and an object is only replaced whole"
        ))
        .todo("copy the second snapshot whole, or the delta to an archive: s3://bucket/prefix/"));
    }
    if source.volume > Layout::longest() {
        return Err(Error::usage(format!(
            "an object holds at most {} here (10,000 parts of 5 GiB), and {} is {}",
            Layout::longest(),
            source.address,
            source.volume
        ))
        .todo("write an archive instead: s3://bucket/prefix/"));
    }
    Ok(())
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

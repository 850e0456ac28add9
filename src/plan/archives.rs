//! Archives in S3 as an end of a plan: what is there, what would be there, and what is missing.
//!
//! Called by `make`; nothing is changed. An archive that exists refuses here, before anything is sent, and again when
//! its job opens it.

use crate::address::Address;
use crate::archive::ArchiveId;
use crate::aws::{Aws, Keep, Session, needs_restore};
use crate::error::{Error, Kind, Result};
use crate::ids::Profile;
use crate::inventory::archives::{self, Fsp, Layer, above, chain, find, patiently};
use crate::plan::make::passed;
use crate::plan::model::{
    ArchiveLayer, DestinationKind, DestinationPlan, Finding, Level, Options, SourceKind, SourcePlan, Strategy, Verify,
};
use crate::units::{Blocks, Quantity};

/// Storage classes that objects can be written with.
const CLASSES: [&str; 7] =
    ["STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"];
/// S3 takes so many tags on an object.
const TAGS_MAX: usize = 10;

/// The session of a bucket's own region, whatever region the command is in.
pub(super) async fn session(aws: &Aws, profile: Option<&Profile>, bucket: &str) -> Result<Session> {
    let asks = aws.session(profile, aws.home_region(profile).as_ref()).await?;
    let region = patiently(|| asks.s3().bucket_region(bucket)).await?;
    if region == *asks.region() { Ok(asks) } else { aws.session(profile, Some(&region)).await }
}

/// What of the options counts for objects.
pub(super) fn keep(options: &Options) -> Result<Keep> {
    if let Some(class) = options.storage_class.as_deref().filter(|class| !CLASSES.contains(class)) {
        return Err(Error::usage(format!("`{class}` is not a storage class that is written"))
            .todo(format!("the classes are {}", CLASSES.join(", "))));
    }
    if options.tags.len() > TAGS_MAX {
        return Err(Error::usage(format!(
            "an object has at most {TAGS_MAX} tags, {} are asked for",
            options.tags.len()
        )));
    }
    Ok(Keep { class: options.storage_class.clone(), kms_key: options.kms_key.clone(), tags: options.tags.clone() })
}

/// The name that an archive of this source has, and what it goes onto.
fn name(source: &SourcePlan) -> ArchiveId {
    match &source.kind {
        SourceKind::Snapshot { id, .. } | SourceKind::Fsp { snapshot: id, .. } => ArchiveId::whole(id),
        SourceKind::Delta { first, second, .. } => ArchiveId::delta(first, second),
        SourceKind::Archive { snapshot: Some(id), .. } => ArchiveId::whole(id),
        SourceKind::Archive { layers, .. } => {
            let last = layers.last().map_or("", |layer| archives::last_folder(&layer.root));
            last.parse().unwrap_or_else(|_| ArchiveId::file(last, &unique()))
        }
        SourceKind::Image { .. } => {
            source.kind.snapshot().map_or_else(|| ArchiveId::file("image", &unique()), ArchiveId::whole)
        }
        SourceKind::Object { key, .. } | SourceKind::Prefix { prefix: key, .. } => {
            ArchiveId::file(archives::last_folder(key), &unique())
        }
        SourceKind::File { path, .. } => {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            ArchiveId::file(&name, &unique())
        }
    }
}

fn unique() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// With what S3 encrypts what is written, and why; says when the source had a key of its own.
pub(super) fn encryption(what: &str, source: &SourcePlan, options: &Options, findings: &mut Vec<Finding>) -> String {
    if let Some(key) = &options.kms_key {
        return format!("SSE-KMS with {key}, as asked");
    }
    if source.kind.is_encrypted() {
        findings.push(Finding {
            level: Level::Warning,
            text: format!(
                "the source is encrypted with a key of its own; the {what} is encrypted by S3, as the bucket's default says"
            ),
            todo: Some("--kms-key arn:aws:kms:… keeps it under a key of yours".to_owned()),
        });
    }
    "as the bucket's default says".to_owned()
}

/// Says when what is written has to be brought back first, and refuses to prove it by reading then.
pub(super) fn can_be_read(options: &Options, findings: &mut Vec<Finding>) -> Result<()> {
    if let Some(class) = options.storage_class.as_deref().filter(|class| needs_restore(class)) {
        if options.verify == Verify::Full {
            return Err(Error::usage(format!("objects in {class} cannot be read back without being restored first"))
                .todo("--verify listing, or --storage-class GLACIER_IR"));
        }
        findings.push(Finding {
            level: Level::Warning,
            text: format!("objects in {class} have to be brought back, for hours, before they can be read"),
            todo: Some("--storage-class GLACIER_IR can be read at once".to_owned()),
        });
    }
    Ok(())
}

/// Checks that an archive can be made there.
pub(super) async fn destination(
    aws: &Aws,
    address: &Address,
    source: &SourcePlan,
    options: &Options,
    findings: &mut Vec<Finding>,
) -> Result<DestinationPlan> {
    let Address::Archive(profile, bucket, prefix) = address else {
        return Err(Error::failed(format!("`{address}` is no archive")));
    };
    let keep = keep(options)?;
    let session = session(aws, profile.as_ref(), bucket).await?;
    let archive = name(source);
    let root = format!("{prefix}{archive}/");
    if let Some(found) = find(session.s3(), bucket, &root).await? {
        return Err(Error::refused(format!("the archive s3://{bucket}/{root} exists, made {}", found.manifest.made))
            .todo("use it, or write to another prefix: an archive is never overwritten"));
    }
    findings.push(passed(format!("s3://{bucket}/{root} is free; the bucket is in {}", session.region())));
    let encryption = encryption("archive", source, options, findings);
    can_be_read(options, findings)?;
    Ok(DestinationPlan {
        address: address.clone(),
        profile: session.profile().cloned(),
        region: Some(session.region().clone()),
        account: Some(session.account().clone()),
        kind: DestinationKind::Archive {
            bucket: bucket.clone(),
            root,
            archive,
            base: source.kind.base().cloned(),
            keep,
            encryption,
        },
        strategy: Strategy::Direct,
    })
}

/// Reads what an archive is, and what it goes onto, and whether all of it is there.
pub(super) async fn source(
    aws: &Aws,
    address: &Address,
    options: &Options,
    findings: &mut Vec<Finding>,
) -> Result<SourcePlan> {
    let Address::Archive(profile, bucket, root) = address else {
        return Err(Error::failed(format!("`{address}` is no archive")));
    };
    let session = session(aws, profile.as_ref(), bucket).await?;
    let found = match chain(session.s3(), bucket, root).await {
        Err(error) if error.kind == Kind::Usage => {
            return match Fsp::open(session.s3(), bucket, root).await? {
                Some(found) => Ok(fsp(&session, bucket, root, &found, options, findings)),
                None => Err(nothing(&session, bucket, root, error).await),
            };
        }
        found => found?,
    };
    let (mut layers, mut blocks, mut class, mut bare) = (Vec::new(), Blocks::ZERO, None, None);
    for found in &found {
        let layer = Layer::open(session.s3().clone(), bucket, found.clone()).await?;
        let missing = archives::missing(&layer).await?;
        if !missing.is_empty() {
            let text = format!(
                "{} of {} blocks of {} are missing: {}",
                missing.blocks,
                found.manifest.blocks,
                found.manifest.archive,
                missing.text()
            );
            findings.push(gap(text, options, missing.more));
        }
        if let Some(class) = &missing.class {
            findings.push(asleep(bucket, found, missing.asleep, class));
        }
        blocks += found.manifest.blocks.less(missing.blocks);
        class = class.or(missing.kept_in);
        bare = missing.bare.filter(|_| missing.blocks == Blocks::ZERO);
        layers.push(ArchiveLayer {
            root: found.root.clone(),
            manifest: found.digest,
            gaps: missing.ranges,
            index: found.manifest.index.bytes,
            chunks: layer.chunks(),
        });
    }
    let Some(top) = found.last().map(|found| &found.manifest) else {
        return Err(Error::failed(format!("`{address}` is no archive")));
    };
    findings.push(passed(match found.len() {
        1 => format!("{} is whole: manifest, index and objects agree", top.archive),
        several => format!("{} goes onto {} other archives, and all are there", top.archive, several - 1),
    }));
    let kept = top.tags.iter().filter(|(key, _)| !key.starts_with("aws:")).cloned().collect();
    Ok(SourcePlan {
        address: Address::Archive(session.profile().cloned(), bucket.clone(), root.clone()),
        profile: session.profile().cloned(),
        region: Some(session.region().clone()),
        account: Some(session.account().clone()),
        kind: SourceKind::Archive {
            bucket: bucket.clone(),
            layers,
            encrypted: found.iter().any(|found| found.manifest.encryption.encrypted),
            snapshot: top.origin.snapshot.clone(),
            // What several have together is not known from each of them.
            bare: bare.filter(|_| found.len() == 1),
        },
        name: top.origin.name.clone(),
        tags: kept,
        volume: top.volume,
        class,
        blocks: match found.len() {
            1 => Quantity::exact(blocks),
            _ => Quantity::at_most(blocks.min(top.volume.blocks())),
        },
    })
}

/// A folder of flexible-snapshot-proxy: there is nothing to hold its names against, so every gap is one.
fn fsp(
    session: &Session,
    bucket: &str,
    folder: &str,
    found: &Fsp,
    options: &Options,
    findings: &mut Vec<Finding>,
) -> SourcePlan {
    let gaps = found.gaps();
    if !gaps.is_empty() {
        let text = format!(
            "no segment covers {} of {} blocks of {}: {}. They were zeros, or their segments were lost: nothing says which",
            gaps.blocks,
            found.root.volume.blocks(),
            found.root.id,
            gaps.text()
        );
        findings.push(gap(text, options, false));
    }
    SourcePlan {
        address: Address::Archive(session.profile().cloned(), bucket.to_owned(), folder.to_owned()),
        profile: session.profile().cloned(),
        region: Some(session.region().clone()),
        account: Some(session.account().clone()),
        kind: SourceKind::Fsp {
            bucket: bucket.to_owned(),
            folder: folder.to_owned(),
            snapshot: found.root.id.clone(),
            listing: found.digest(),
            largest: found.largest(),
            segments: found.segments.len() as u64,
            gaps: !gaps.is_empty(),
        },
        name: None,
        tags: Vec::new(),
        volume: found.root.volume,
        class: None,
        blocks: Quantity::exact(found.blocks()),
    }
}

/// Objects that were moved to an archive class: the first read of one would fail, hours of waiting before it works.
fn asleep(bucket: &str, found: &archives::Found, blocks: Blocks, class: &str) -> Finding {
    Finding {
        level: Level::Refused,
        text: format!(
            "objects with {blocks} blocks of {} are in {class} and have to be brought back before they can be read",
            found.manifest.archive
        ),
        todo: Some(format!(
            "for each key below s3://{bucket}/{}: aws s3api restore-object --bucket {bucket} --key KEY \
             --restore-request Days=7; it takes hours",
            found.root
        )),
    }
}

/// What a gap means: nothing is restored over it, unless the user says so.
fn gap(text: String, options: &Options, more: bool) -> Finding {
    let (level, todo) = match (options.allow_gaps, more) {
        (true, false) => {
            (Level::Warning, "they are left out, as --allow-gaps says: the result is not what was archived")
        }
        (true, true) => (Level::Refused, "too many ranges are missing: use another copy of the archive"),
        (false, _) => (Level::Refused, "use another copy of the archive; --allow-gaps restores what there is"),
    };
    Finding { level, text, todo: Some(todo.to_owned()) }
}

/// Nothing is there: names what is.
async fn nothing(session: &Session, bucket: &str, root: &str, error: Error) -> Error {
    let rows = archives::list(session.s3(), bucket, root).await.unwrap_or_default();
    let named: Vec<&str> = rows.iter().take(3).map(|row| row.address.as_str()).collect();
    match named.as_slice() {
        [] => error.todo(format!("floe ls archives s3://{bucket}/{}", above(root))),
        named => error.todo(format!("under it are {}", named.join(", "))),
    }
}

/// The session of a bucket's own region.
///
/// # Errors
/// There is no such bucket, or it may not be looked at.
pub async fn bucket_session(aws: &Aws, profile: Option<&Profile>, bucket: &str) -> Result<Session> {
    session(aws, profile, bucket).await
}

/// What a bucket keeps, to be compared: an archive and what it goes onto, or a raw image. With `alone` an archive is
/// held against itself, and what is missing of it is for the comparison to tell; else nothing of it may be missing.
///
/// # Errors
/// There is none; objects of it are missing or have to be brought back first.
pub async fn kept(aws: &Aws, address: &Address, alone: bool) -> Result<(Session, SourcePlan)> {
    let options = Options { allow_gaps: alone, ..Options::default() };
    let mut findings = Vec::new();
    let (profile, bucket, plan) = match address {
        Address::Archive(profile, bucket, _) => (profile, bucket, source(aws, address, &options, &mut findings).await?),
        Address::Object(profile, bucket, _) => {
            (profile, bucket, super::objects::source(aws, address, &options, &mut findings).await?)
        }
        _ => return Err(Error::usage(format!("`{address}` is in no bucket"))),
    };
    if let Some(refused) = findings.into_iter().find(|finding| finding.level == Level::Refused) {
        return Err(Error::failed(refused.text).todo(refused.todo.unwrap_or_default()));
    }
    Ok((session(aws, profile.as_ref(), bucket).await?, plan))
}

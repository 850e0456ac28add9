//! From a plan to the two ends of its job: sessions, accounts, source, destinations.
//!
//! Invariant: the account that STS names now is the one that the plan was made with; otherwise nothing runs.

use std::sync::{Arc, Mutex};

use super::journal;
use super::keeper::MAX_DESTINATIONS;
use super::protocol::DestinationState;
use super::sink::{
    ArchiveSink, Asked, CopySink, DeviceSink, Facts, FileSink, ImageSink, InPlaceSink, Made, Mark, NativeSink,
    NullSink, ObjectSink, Provenance, Sink, SnapshotSink, Under, What,
};
use super::source::{
    ArchiveSource, DeltaSource, FileSource, FspSource, Holes, ObjectSource, Parents, ServedSource, SnapshotSource,
    Source, UnreadSource,
};
use super::spec::{JobDir, Spec};
use super::turns::Turns;
use crate::archive::{Encryption, Origin};
use crate::aws::{Aws, CopyFrom, Over, Root, Session};
use crate::error::{Error, Result};
use crate::ids::{AccountId, Profile, Region};
use crate::plan::choices::unpackers;
use crate::plan::{DestinationKind, DestinationPlan, OmitZeros, SourceKind, SourcePlan, Strategy};
use crate::units::Bytes;

/// The ends of a job.
pub(super) struct Ends {
    pub source: Arc<dyn Source>,
    /// What whole results lie on: where these have a block and the source has none, zeros are written.
    pub parents: Vec<Parents>,
    pub sinks: Vec<Arc<dyn Sink>>,
}

/// The source's identity, as the ledger keeps it.
pub(super) fn identity(spec: &Spec) -> Result<String> {
    serde_json::to_string(&spec.item()?.source.kind)
        .map_err(|e| Error::failed(format!("could not name the source: {e}")))
}

/// Sessions, accounts, and what the plan says, as objects.
pub(super) async fn ends(spec: &Spec, aws: &Aws, dir: &JobDir) -> Result<Ends> {
    let item = spec.item()?;
    if item.destinations.len() > MAX_DESTINATIONS {
        return Err(Error::usage(format!("a copy has at most {MAX_DESTINATIONS} destinations")));
    }
    let mut sinks: Vec<Arc<dyn Sink>> = Vec::with_capacity(item.destinations.len());
    let mut parents = Vec::new();
    for (dest, plan) in item.destinations.iter().enumerate() {
        let under = under(spec, dir, dest, plan)?;
        if let (Some(under), None) = (&under, item.source.kind.base()) {
            let session = session(aws, plan.profile.as_ref(), plan.region.as_ref(), plan.account.as_ref()).await?;
            parents.push(Parents { session, id: under.id.clone(), volume: under.volume });
        }
        sinks.push(sink(spec, aws, dir, dest, plan, under).await?);
    }
    let source = &item.source;
    let source: Arc<dyn Source> = match &source.kind {
        _ if item.is_copied() => Arc::new(ServedSource),
        SourceKind::Prefix { .. } => return Err(Error::failed("objects below a prefix are copied by S3 only")),
        SourceKind::Snapshot { id, .. } => {
            let session =
                session(aws, source.profile.as_ref(), source.region.as_ref(), source.account.as_ref()).await?;
            Arc::new(SnapshotSource::new(session, id.clone(), source.volume))
        }
        SourceKind::Image { disks, .. } => match disks.as_slice() {
            [disk] => {
                let session =
                    session(aws, source.profile.as_ref(), source.region.as_ref(), source.account.as_ref()).await?;
                Arc::new(SnapshotSource::new(session, disk.snapshot.clone(), source.volume))
            }
            _ => Arc::new(UnreadSource),
        },
        SourceKind::Delta { first, second, .. } => {
            let session =
                session(aws, source.profile.as_ref(), source.region.as_ref(), source.account.as_ref()).await?;
            Arc::new(DeltaSource::new(session, first.clone(), second.clone(), source.volume))
        }
        SourceKind::Archive { bucket, layers, .. } => {
            let session =
                session(aws, source.profile.as_ref(), source.region.as_ref(), source.account.as_ref()).await?;
            let gaps = layers.iter().any(|layer| !layer.gaps.is_empty());
            if gaps && !spec.plan.operation.options.allow_gaps {
                return Err(
                    Error::refused("objects of this archive are missing").todo("--allow-gaps restores the rest")
                );
            }
            Arc::new(ArchiveSource::open(session, bucket, layers, unpackers(spec.plan.share())).await?)
        }
        SourceKind::Fsp { bucket, folder, listing, gaps, .. } => {
            let session =
                session(aws, source.profile.as_ref(), source.region.as_ref(), source.account.as_ref()).await?;
            if *gaps && !spec.plan.operation.options.allow_gaps {
                return Err(
                    Error::refused("no segment covers some of this volume").todo("--allow-gaps restores the rest")
                );
            }
            Arc::new(FspSource::open(session, bucket, folder, *listing).await?)
        }
        SourceKind::Object { bucket, key, etag, version, length } => {
            let session =
                session(aws, source.profile.as_ref(), source.region.as_ref(), source.account.as_ref()).await?;
            Arc::new(ObjectSource::new(session, (bucket, key), etag, version.as_deref(), *length))
        }
        kind @ SourceKind::File { .. } => {
            let holes = if sinks.iter().any(|sink| sink.wants_holes()) { Holes::Listed } else { Holes::LeftOut };
            Arc::new(FileSource::open(kind, holes, spec.plan.operation.options.allow_changed)?)
        }
    };
    Ok(Ends { source, parents, sinks })
}

/// The parent of a destination: planned, or what the job before has made there.
fn under(spec: &Spec, dir: &JobDir, dest: usize, plan: &DestinationPlan) -> Result<Option<Under>> {
    let DestinationKind::Snapshot { on: Some(parent), .. } = &plan.kind else { return Ok(None) };
    let id = match (&parent.id, spec.after) {
        (Some(id), _) => id.clone(),
        (None, None) => return Err(Error::failed("the plan names no parent").todo("make a new plan")),
        (None, Some(before)) => {
            let picture = journal::replay(&dir.beside(before).events())?;
            let made = picture.destinations.get(dest).filter(|known| known.state == DestinationState::Completed);
            made.and_then(|known| known.id.as_deref()?.parse().ok()).ok_or_else(|| {
                Error::failed(format!("job {before}, which makes the parent, has not completed it"))
                    .todo(format!("floe jobs resume {before}, then this one"))
            })?
        }
    };
    Ok(Some(Under { id, volume: parent.volume }))
}

async fn session(
    aws: &Aws,
    profile: Option<&Profile>,
    region: Option<&Region>,
    account: Option<&AccountId>,
) -> Result<Session> {
    let session = aws.session(profile, region).await?;
    match account {
        Some(planned) if planned != session.account() => Err(Error::refused(format!(
            "the plan was made with account {}, these credentials are of {}",
            planned.grouped(),
            session.account().grouped()
        ))
        .todo("sign in to the account of the plan, or make a new plan")),
        _ => Ok(session),
    }
}

async fn sink(
    spec: &Spec,
    aws: &Aws,
    dir: &JobDir,
    dest: usize,
    plan: &DestinationPlan,
    under: Option<Under>,
) -> Result<Arc<dyn Sink>> {
    let options = &spec.plan.operation.options;
    let source = &spec.item()?.source;
    Ok(match &plan.kind {
        DestinationKind::Null => Arc::new(NullSink),
        DestinationKind::File { path, length, onto: Some(planned), .. } => {
            let SourceKind::Delta { first, second, .. } = &source.kind else {
                return Err(Error::failed("only a delta is written into a file in its place"));
            };
            let mark = Mark {
                world: spec.plan.world.text(),
                from: first.clone(),
                to: second.clone(),
                unique: spec.unique.clone(),
            };
            Arc::new(InPlaceSink::new(path.clone(), *length, planned.clone(), mark))
        }
        DestinationKind::File { path, length, .. } => {
            Arc::new(FileSink::new(&spec.unique, dest, path, *length, options.force))
        }
        DestinationKind::Device { path, length, device, inode, .. } => {
            Arc::new(DeviceSink::new(path, *length, (*device, *inode)))
        }
        DestinationKind::Archive { bucket, root, archive, base, keep, .. } => {
            let session = session(aws, plan.profile.as_ref(), plan.region.as_ref(), plan.account.as_ref()).await?;
            Arc::new(ArchiveSink {
                session,
                root: Root { bucket: bucket.clone(), prefix: root.clone() },
                keep: keep.clone(),
                facts: Facts {
                    archive: archive.clone(),
                    made: spec.created,
                    origin: origin(source),
                    base: base.clone(),
                    volume: source.volume,
                    encryption: encryption(source),
                    tags: source.tags.clone(),
                },
                grant: Arc::new(spec.grant.clone()),
                pace: options.pace,
                run: spec.plan.choices.run_blocks(spec.item()?.archives()),
                lanes: spec.plan.choices.lanes_max,
                unique: spec.unique.clone(),
                share: options.memory,
                places: dir.places(dest),
                open: Mutex::default(),
            })
        }
        DestinationKind::Object { bucket, key, layout, replaces, keep, .. } => {
            let session = session(aws, plan.profile.as_ref(), plan.region.as_ref(), plan.account.as_ref()).await?;
            Arc::new(ObjectSink {
                session,
                root: Root { bucket: bucket.clone(), prefix: key.clone() },
                layout: *layout,
                over: replaces.clone().map_or(Over::Nothing, Over::This),
                keep: keep.clone(),
                grant: Arc::new(spec.grant.clone()),
                unique: spec.unique.clone(),
                records: dir.parts(dest),
                open: Mutex::default(),
            })
        }
        DestinationKind::Image { name, ask_encrypted, ask_key, encrypted, .. } => {
            let SourceKind::Image { id, .. } = &source.kind else {
                return Err(Error::failed("only an image is copied as one"));
            };
            let account = plan.account.as_ref();
            Arc::new(ImageSink {
                session: session(aws, plan.profile.as_ref(), plan.region.as_ref(), account).await?,
                from: session(aws, plan.profile.as_ref(), source.region.as_ref(), account).await?,
                source: id.clone(),
                name: name.clone(),
                asked: asked(spec, (*ask_encrypted, ask_key, *encrypted))?,
                within: options.complete_within,
                made: Made::new(spec.grant.clone()),
                pairs: Mutex::default(),
            })
        }
        DestinationKind::Copied { bucket, key: root, .. }
        | DestinationKind::CopiedTree { bucket, prefix: root, .. } => {
            let to = session(aws, plan.profile.as_ref(), plan.region.as_ref(), plan.account.as_ref()).await?;
            let from = session(aws, source.profile.as_ref(), source.region.as_ref(), source.account.as_ref()).await?;
            let root = Root { bucket: bucket.clone(), prefix: root.clone() };
            let what = copied_what(source, &plan.kind)?;
            Arc::new(CopySink::new((from, to), what, root, options, spec.grant.clone(), dir.failures(dest)))
        }
        DestinationKind::Snapshot { volume_gib, ask_encrypted, ask_key, encrypted, .. } => {
            let session = session(aws, plan.profile.as_ref(), plan.region.as_ref(), plan.account.as_ref()).await?;
            let is_file = matches!(source.kind, SourceKind::File { .. } | SourceKind::Object { .. });
            let asked = asked(spec, (*ask_encrypted, ask_key, *encrypted))?;
            if let (Strategy::Native, SourceKind::Snapshot { id, .. }) = (plan.strategy, &source.kind) {
                let from =
                    self::session(aws, plan.profile.as_ref(), source.region.as_ref(), plan.account.as_ref()).await?;
                return Ok(Arc::new(NativeSink {
                    session,
                    from,
                    source: id.clone(),
                    asked,
                    within: options.complete_within,
                    made: Made::new(spec.grant.clone()),
                }));
            }
            Arc::new(SnapshotSink {
                session,
                volume_gib: *volume_gib,
                parent: under,
                asked,
                omit_zeros: is_file && options.omit_zeros == OmitZeros::All,
                write_holes: options.omit_zeros == OmitZeros::Off,
                made: Made::new(spec.grant.clone()),
                turns: Turns::default(),
            })
        }
    })
}

/// What is asked for of AWS, whoever makes it; `encryption` as planned: what is asked, with which key, what comes of it.
fn asked(
    spec: &Spec,
    (ask_encrypted, ask_key, encrypted): (Option<bool>, &Option<String>, Option<bool>),
) -> Result<Asked> {
    let (options, source) = (&spec.plan.operation.options, &spec.item()?.source);
    let mut tags = source.tags.clone();
    for tag in &options.tags {
        tags.retain(|(key, _)| *key != tag.0);
        tags.push(tag.clone());
    }
    Ok(Asked {
        ask_encrypted,
        ask_key: ask_key.clone(),
        encrypted,
        tags,
        description: options.description.clone().unwrap_or_else(|| format!("floe copy of {}", source.address)),
        provenance: Provenance { source: source.address.to_string(), unique: spec.unique.clone() },
    })
}

/// What S3 is to copy.
fn copied_what(source: &SourcePlan, to: &DestinationKind) -> Result<What> {
    match (&source.kind, to) {
        (
            SourceKind::Object { bucket, key, etag, length, .. },
            DestinationKind::Copied { version, parts, action, .. },
        ) => {
            let (bucket, key, version) = (bucket.clone(), key.clone(), version.clone());
            let from = CopyFrom { bucket, key, version, etag: etag.clone() };
            Ok(What::One { from, length: *length, parts: *parts, action: action.clone() })
        }
        (SourceKind::Prefix { bucket, prefix, .. }, DestinationKind::CopiedTree { by_etag, .. }) => {
            Ok(What::Tree { bucket: bucket.clone(), prefix: prefix.clone(), by_etag: *by_etag })
        }
        _ => Err(Error::failed("S3 copies objects to objects only")),
    }
}

/// What the manifest of an archive says of its source.
fn origin(source: &SourcePlan) -> Origin {
    let snapshot = match &source.kind {
        SourceKind::Snapshot { id, .. } | SourceKind::Delta { second: id, .. } => Some(id.clone()),
        SourceKind::Archive { snapshot, .. } => snapshot.clone(),
        SourceKind::Fsp { snapshot, .. } => Some(snapshot.clone()),
        SourceKind::Image { .. } => source.kind.snapshot().cloned(),
        SourceKind::File { .. } | SourceKind::Object { .. } | SourceKind::Prefix { .. } => None,
    };
    Origin { address: source.address.to_string(), snapshot, name: source.name.clone() }
}

fn encryption(source: &SourcePlan) -> Encryption {
    match &source.kind {
        SourceKind::Snapshot { encrypted, kms_key, .. } | SourceKind::Delta { encrypted, kms_key, .. } => {
            Encryption { encrypted: *encrypted, key: kms_key.clone() }
        }
        SourceKind::Archive { encrypted, .. } | SourceKind::Image { encrypted, .. } => {
            Encryption { encrypted: *encrypted, key: None }
        }
        SourceKind::File { .. } | SourceKind::Fsp { .. } | SourceKind::Object { .. } | SourceKind::Prefix { .. } => {
            Encryption { encrypted: false, key: None }
        }
    }
}

/// What a job holds at least.
pub(super) const fn floor(item: Bytes) -> Bytes {
    crate::plan::choices::floor(item)
}

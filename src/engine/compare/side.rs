//! What can be compared, and how it is opened.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::aws::Session;
use crate::engine::call::{Caller, retried};
use crate::engine::rate::Api;
use crate::engine::source::{
    ArchiveSource, FileSource, FspSource, Holes, ObjectSource, Routes, SnapshotSource, Source, pin_file,
};
use crate::error::{Class, Error, Result};
use crate::ids::{BlockIndex, BlockRange, SnapshotId};
use crate::plan::choices::{FETCHED_ITEM, LOCAL_ITEM, PAGE_MIN, UNPACKER};
use crate::plan::{SourceKind, item_weight};
use crate::units::Bytes;

/// One of those that are compared.
#[derive(Debug)]
pub enum Side {
    /// A snapshot, in the session of its account and region.
    Snapshot(Session, SnapshotId),
    /// An image file or a device.
    File(PathBuf),
    /// What a bucket keeps, in the session of its region, and how long its volume is: an archive and what it goes
    /// onto, a folder of flexible-snapshot-proxy, or a raw image.
    Kept(Session, SourceKind, Bytes),
}

impl Side {
    pub(super) const fn is_remote(&self) -> bool {
        !matches!(self, Self::File(_))
    }

    /// What a block of it weighs while it is here.
    pub(super) fn weight(&self) -> Bytes {
        match self {
            Self::Snapshot(..) => FETCHED_ITEM,
            Self::File(_) => LOCAL_ITEM,
            // Nobody keeps memory for what unpacks it: each block has its own.
            Self::Kept(_, kind @ SourceKind::Archive { .. }, _) => item_weight(kind) + UNPACKER,
            Self::Kept(_, kind, _) => item_weight(kind),
        }
    }

    /// What of an archive is not there. Nothing else says of itself what it should hold.
    pub(super) fn missing(&self) -> Result<Vec<BlockRange>> {
        match self {
            Self::Kept(_, SourceKind::Archive { layers, .. }, _) => {
                Ok(layers.iter().flat_map(|layer| layer.gaps.iter().copied()).collect())
            }
            Self::Kept(_, SourceKind::Fsp { .. }, _) => Ok(Vec::new()),
            _ => Err(Error::usage("only an archive can be compared with itself")),
        }
    }
}

/// One side, opened.
#[derive(Debug)]
pub(in crate::engine) struct End {
    pub source: Arc<dyn Source>,
    pub routes: Option<Routes>,
    pub length: Bytes,
    pub listed: AtomicU64,
}

/// Opens it; `as_is` takes a file or a device that is in use, and what changes in it meanwhile.
pub(in crate::engine) async fn open(side: Side, as_is: bool, caller: &Caller) -> Result<End> {
    let (source, length): (Arc<dyn Source>, Bytes) = match side {
        Side::File(path) => {
            let kind = pin_file(&path)?;
            let length = match &kind {
                SourceKind::File { length, .. } => *length,
                _ => Bytes::ZERO,
            };
            (Arc::new(FileSource::open(&kind, Holes::LeftOut, as_is)?), length)
        }
        Side::Kept(session, kind, length) => (kept(session, &kind).await?, length),
        Side::Snapshot(session, id) => {
            let route = caller.route(Api::List, &session, Some(&id));
            let ebs = session.ebs();
            let page = retried!(caller.own_tries(&route), ebs.list_blocks(&id, Some(BlockIndex(0)), None, PAGE_MIN))?;
            (Arc::new(SnapshotSource::new(session, id, page.volume)), page.volume)
        }
    };
    let routes = source.routes(caller);
    Ok(End { source, routes, length, listed: AtomicU64::new(0) })
}

async fn kept(session: Session, kind: &SourceKind) -> Result<Arc<dyn Source>> {
    Ok(match kind {
        SourceKind::Archive { bucket, layers, .. } => Arc::new(ArchiveSource::open(session, bucket, layers, 1).await?),
        SourceKind::Fsp { bucket, folder, listing, .. } => {
            Arc::new(FspSource::open(session, bucket, folder, *listing).await?)
        }
        SourceKind::Object { bucket, key, etag, version, length } => {
            Arc::new(ObjectSource::new(session, (bucket, key), etag, version.as_deref(), *length))
        }
        SourceKind::Snapshot { .. }
        | SourceKind::Delta { .. }
        | SourceKind::Image { .. }
        | SourceKind::Prefix { .. }
        | SourceKind::File { .. } => {
            return Err(Error::failed("one of the two is in no bucket"));
        }
    })
}

/// Whether a block is gone or damaged where it lies: asking again, or as somebody else, would not bring it back.
pub(super) fn is_lost(error: &Error) -> bool {
    let said_so = error.aws.is_none() || error.has_code("NoSuchKey") || error.has_code("InvalidRange");
    error.class == Class::Permanent && error.block.is_some() && said_so
}

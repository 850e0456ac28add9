//! An archive in S3 as a destination: blocks are compressed and gathered into objects, then index and manifest.
//!
//! Invariants: a block is done when S3 accepted the checksum of the object that holds it, and where it is was written
//! down before; no run writes over another's objects (each has a name of its own, and every put says `If-None-Match`);
//! the manifest is committed last, and an archive that has one is never written to.

mod commit;
mod gather;
mod places;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::{Bytes as Buffer, BytesMut};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use self::gather::{Gather, Held, Joined, given_up};
use self::places::{Owner, Place, Places, run_id};
use super::{Desk, Opened, Sink, in_s3};
use crate::archive::{ArchiveId, Compressor, Encryption, FRAME_MAX, Header, Origin, Piece, RunId, SEGMENT_BLOCKS};
use crate::aws::{Keep, Root, S3, Session, is_precondition};
use crate::engine::blocks::{Pool, lock};
use crate::engine::budget::{Part, Permit, Weight};
use crate::engine::call::{Caller, Route, retried};
use crate::engine::hub::Hub;
use crate::engine::journal::{DestinationPicture, Step};
use crate::engine::ledger::Linear;
use crate::engine::proof::{Listed, Proof};
use crate::engine::protocol::{DestinationState, Evidence, Tone};
use crate::engine::rate::Api;
use crate::engine::source::ArchiveSource;
use crate::error::{Class, Error, Result};
use crate::grant::Grant;
use crate::ids::{BlockIndex, SnapshotId};
use crate::inventory::archives;
use crate::plan::choices::{compressor, compressors, level, unpackers};
use crate::plan::{ArchiveLayer, Pace, Verify};
use crate::store::copies::Spot;
use crate::units::{Bytes, Digest};

/// What the manifest will say, as far as the plan knows it.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Facts {
    pub archive: ArchiveId,
    pub made: Timestamp,
    pub origin: Origin,
    pub base: Option<SnapshotId>,
    pub volume: Bytes,
    pub encryption: Encryption,
    pub tags: Vec<(String, String)>,
}

/// One archive that is being made.
#[derive(Debug)]
pub(in crate::engine) struct ArchiveSink {
    pub session: Session,
    pub root: Root,
    pub keep: Keep,
    pub facts: Facts,
    pub grant: Arc<Grant>,
    pub pace: Pace,
    /// Blocks of one object, as planned.
    pub run: u32,
    /// The most lanes that the plan counts on.
    pub lanes: u32,
    /// Unique for this job, in any state directory.
    pub unique: String,
    /// The most memory that the job was given, when it was given some of its own.
    pub share: Option<Bytes>,
    /// Where the places are kept.
    pub places: PathBuf,
    pub open: Mutex<Option<Arc<Open>>>,
}

/// Frames below this have memory of their own length.
const SHORT: usize = FRAME_MAX / 2;

/// What a run of the engine writes with.
#[derive(Debug)]
pub(in crate::engine) struct Open {
    run: RunId,
    number: u16,
    places: Places,
    gather: Gather,
    caller: Arc<Caller>,
    hub: Arc<Hub>,
    route: Arc<Route>,
    workers: Semaphore,
    idle: Mutex<Vec<Compressor>>,
    /// Long frames lie in the job's buffers, which are used again: the allocator keeps room between frames of many lengths.
    pool: Arc<Pool>,
    /// The tables of the compressors.
    _memory: Permit,
}

impl ArchiveSink {
    fn s3(&self) -> &S3 {
        self.session.s3()
    }

    fn opened(&self) -> Result<Arc<Open>> {
        lock(&self.open).clone().ok_or_else(|| Error::failed("the archive is not open"))
    }

    /// Begins a run: its places, its name, its compressors.
    async fn begin(&self, desk: &Desk) -> Result<bool> {
        let blocks = u32::try_from(self.facts.volume.blocks().0).unwrap_or(u32::MAX);
        let owner = Owner { unique: self.unique.clone(), dest: u32::try_from(desk.dest).unwrap_or(u32::MAX), blocks };
        let path = self.places.clone();
        let begun = tokio::task::spawn_blocking(move || Places::begin(&path, &owner)).await;
        let begun = begun.map_err(|e| Error::failed(format!("opening an archive: {e}")))??;
        *lock(&self.open) = None;
        let limit = desk.work.budget.limit();
        let workers = compressors(self.share.map_or(limit, |share| share.min(limit)), self.lanes);
        let tables = Weight::of(Part::Compression, Bytes(compressor(self.pace).0 * u64::from(workers)));
        let denied = |denied| Error { class: Class::Quota, ..Error::from(denied) };
        let memory = desk.work.budget.acquire(tables).await.map_err(denied)?;
        let open = Open {
            run: run_id(&self.unique, begun.run)?,
            number: begun.run,
            places: begun.places,
            gather: Gather::new(desk.work.coming.clone()),
            caller: Arc::clone(&desk.caller),
            hub: Arc::clone(&desk.hub),
            route: desk.caller.route(Api::Store, &self.session, None),
            workers: Semaphore::new(workers as usize),
            idle: Mutex::default(),
            pool: Arc::clone(&desk.work.pool),
            _memory: memory,
        };
        open.route.begin();
        *lock(&self.open) = Some(Arc::new(open));
        Ok(begun.fresh)
    }

    /// Writes one object and says where its blocks are.
    async fn store(&self, open: &Arc<Open>, held: &[Held]) -> Result<()> {
        let header = Header { pieces: held.iter().map(|held| held.piece).collect() };
        let name = header.name().ok_or_else(|| Error::failed("a run without blocks"))?;
        let key = format!("{}{}/{name}", self.root.prefix, open.run);
        let mut data = Vec::with_capacity(held.len() + 1);
        data.push(Buffer::from(header.bytes()));
        data.extend(held.iter().map(|held| held.frame.clone()));
        let (data, sum) = sum(data).await?;
        let put = retried!(
            open.caller.own_tries(&open.route),
            self.s3().put(&self.grant, &self.root, &key, &data, &sum, &self.keep, true)
        );
        match put {
            Ok(_) => {}
            // The answer to an earlier try was lost, and that one arrived.
            Err(error) if is_precondition(&error) => {
                let head = retried!(open.caller.control(), self.s3().head(&self.root.bucket, &key))?;
                let same =
                    head.is_some_and(|head| head.bytes.0 == header.object() && head.sha256.is_none_or(|s| s == sum));
                if !same {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        self.note(open, &header).await
    }

    async fn note(&self, open: &Arc<Open>, header: &Header) -> Result<()> {
        let (open, header) = (Arc::clone(open), header.clone());
        let written = tokio::task::spawn_blocking(move || {
            let Some(segment) = header.name() else { return Ok(()) };
            let (object, mut offset) = (u32::try_from(header.object()), header.length());
            let object = object.map_err(|_| Error::failed("an object is larger than it can be"))?;
            for piece in &header.pieces {
                let at = u32::try_from(offset).unwrap_or(u32::MAX);
                let place = Place { run: open.number, segment, object, offset: at, length: piece.length };
                open.places.put(piece.index, &place)?;
                offset += piece.length as usize;
            }
            Ok(())
        });
        written.await.map_err(|e| Error::failed(format!("writing down an object: {e}")))?
    }

    /// Whether the archive that is there is what this job committed: then its answer was lost.
    fn is_ours(&self, found: &archives::Found) -> bool {
        found.manifest.index.run.as_str().starts_with(&self.unique)
    }

    fn exists(&self) -> Error {
        Error::refused(format!("{} exists and is complete: an archive is never overwritten", self.root.resource()))
            .todo("use it, or write to another prefix")
    }
}

impl Open {
    /// Compresses a block where there is a worker for it.
    async fn frame(&self, block: Buffer, level: i32) -> Result<Buffer> {
        // Nobody closes the semaphore.
        let turn = self.workers.acquire().await.ok();
        let (idle, pool) = (lock(&self.idle).pop(), Arc::clone(&self.pool));
        let (compressor, frame) = tokio::task::spawn_blocking(move || {
            let mut compressor = idle.map_or_else(|| Compressor::new(level), Ok)?;
            let frame = compressor.frame(&block, |length| {
                if length < SHORT {
                    return BytesMut::with_capacity(length);
                }
                let mut buffer = pool.take();
                buffer.clear();
                buffer
            });
            Ok::<_, std::io::Error>((compressor, pool.lend(frame.into())))
        })
        .await
        .map_err(|e| Error::failed(format!("compressing a block: {e}")))?
        .map_err(|e| Error::io("could not compress a block", &e))?;
        lock(&self.idle).push(compressor);
        drop(turn);
        Ok(frame)
    }

    /// Blocks of a run that is opened now: as many as the plan counts on, or fewer where lanes were turned down below
    /// what would ever fill it.
    fn run_blocks(&self, planned: u32) -> usize {
        (planned.min(self.hub.lanes_target().max(1)) as usize).min(SEGMENT_BLOCKS)
    }
}

/// SHA-256 of pieces that are sent one after the other, computed where it keeps no lane.
pub(super) async fn sum(data: Vec<Buffer>) -> Result<(Vec<Buffer>, Digest)> {
    let summed = tokio::task::spawn_blocking(move || {
        let mut sum = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        data.iter().for_each(|piece| sum.update(piece));
        let mut digest = Digest([0; 32]);
        digest.0.copy_from_slice(sum.finish().as_ref());
        (data, digest)
    });
    summed.await.map_err(|e| Error::failed(format!("hashing an object: {e}")))
}

#[async_trait]
impl Sink for ArchiveSink {
    fn address(&self) -> String {
        in_s3(&self.session, &self.root.resource())
    }

    fn spot(&self) -> Result<Option<Spot>> {
        Ok(Some(Spot::Stored(self.root.resource())))
    }

    async fn open(&self, desk: &Desk, known: &DestinationPicture) -> Result<Opened> {
        let stood = known.failed_in.unwrap_or(known.state);
        let completing = matches!(stood, DestinationState::Completing | DestinationState::Checking);
        let found = retried!(desk.caller.control(), archives::find(self.s3(), &self.root.bucket, &self.root.prefix))?;
        match found {
            Some(found) if completing && self.is_ours(&found) => {}
            Some(_) => return Err(self.exists()),
            None => {}
        }
        let fresh = self.begin(desk).await?;
        if fresh && completing {
            return Err(Error::failed("what was written down of this archive is gone, and it was being completed")
                .todo("cancel the job and copy again"));
        }
        if completing {
            return Ok(Opened::Completing);
        }
        if known.attempt == 0 {
            let client_token = desk.client_token(&self.unique, 1);
            desk.step(Step::Starting { attempt: 1, client_token }).await?;
            desk.step(Step::Started { id: self.root.resource() }).await?;
        }
        if fresh {
            if known.attempt > 0 {
                let text = "where its blocks are was lost; everything is written again";
                desk.say(self.address(), text, Tone::Warning);
            }
            desk.keeper.clear(desk.dest).await?;
        }
        desk.step(Step::Writing).await?;
        Ok(Opened::Ready)
    }

    async fn write(&self, index: BlockIndex, data: Buffer, digest: &Digest) -> Result<()> {
        let open = self.opened()?;
        let coming = open.gather.comes();
        let frame = open.frame(data, level(self.pace)).await?;
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        debug_assert!(frame.len() <= FRAME_MAX, "longer than any frame");
        let joined = open.gather.join(Piece { index, length, digest: *digest }, frame, open.run_blocks(self.run));
        drop(coming);
        match joined {
            Joined::Waits(heard) => match heard.await {
                Ok(told) => told.outcome,
                Err(_) => Err(given_up()),
            },
            Joined::Owns(owner) => {
                let held = owner.close().await;
                let _comes = open.gather.comes_on();
                let outcome = self.store(&open, &held).await;
                held.into_iter().for_each(|held| held.tell(&outcome, &open.gather));
                outcome
            }
        }
    }

    /// A block waits for its run to be full.
    fn waits_for_others(&self) -> bool {
        true
    }

    /// Its long frames.
    fn packs(&self) -> bool {
        true
    }

    /// Where a block is has to be on the disk before the ledger says that it is done.
    fn needs_sync(&self) -> bool {
        true
    }

    fn sync(&self) -> Result<()> {
        self.opened()?.places.sync()
    }

    async fn complete(&self, desk: &Desk, written: &Linear) -> Result<()> {
        desk.step(Step::Completing { blocks: written.blocks, checksum: Some(written.checksum) }).await?;
        commit::commit(self, &*self.opened()?, desk, written).await
    }

    async fn check(&self, desk: &Desk, written: &Linear) -> Result<Proof> {
        let found = retried!(desk.caller.control(), archives::find(self.s3(), &self.root.bucket, &self.root.prefix))?;
        let found = found.filter(|found| self.is_ours(found)).ok_or_else(|| {
            Error::failed(format!("{} has no manifest of this job, though it was committed", self.root.resource()))
        })?;
        if desk.verify == Verify::None {
            return Ok(Evidence::Service.into());
        }
        let layer = ArchiveLayer {
            root: found.root,
            manifest: found.digest,
            gaps: Vec::new(),
            index: found.manifest.index.bytes,
            chunks: 0,
        };
        // Its compressors are done, and what unpacks takes less.
        let limit = desk.work.budget.limit();
        let workers = unpackers(self.share.map_or(limit, |share| share.min(limit)));
        let source = ArchiveSource::open(self.session.clone(), &self.root.bucket, &[layer], workers).await?;
        let listed = Listed {
            desk,
            name: self.address(),
            region: self.session.region(),
            source: Arc::new(source),
            volume: self.facts.volume,
            omits_zeros: false,
        };
        let reads = desk.verify == Verify::Full;
        listed.prove(written.blocks, reads).await?;
        Ok(if reads { Evidence::ReRead } else { Evidence::Service }.into())
    }

    async fn discard(&self, desk: &Desk, known: &DestinationPicture) -> Result<()> {
        if known.attempt == 0 {
            return Ok(());
        }
        commit::discard(self, desk).await
    }
}

//! A file that is changed in its place: a delta onto the copy of its first snapshot.
//!
//! Invariants: before the first byte is written, the journal has the intent and the record of what the file holds says
//! that it is torn, so nobody ever takes half of it for the whole; only the very file that the plan saw is opened, and
//! nobody else writes to it meanwhile; a block counts as done only after a sync that came after its write; what it held and
//! the delta leaves alone is there at the end as well, as far as the file system's own map of it tells.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes as Buffer;
use tokio::sync::Semaphore;

use super::file::{LOOKED_UP, WRITERS, disk, is_at};
use super::{Desk, Opened, Sink};
use crate::engine::blocks::lock;
use crate::engine::crash::{self, Point};
use crate::engine::direct::Direct;
use crate::engine::journal::{DestinationPicture, Step};
use crate::engine::ledger::Linear;
use crate::engine::proof::{Base, Proof, Room, Whole, inside};
use crate::engine::protocol::{DestinationState, Evidence, Tone};
use crate::error::{Class, Error, Result};
use crate::ids::{BlockIndex, SnapshotId};
use crate::plan::{InPlace, Verify};
use crate::store::copies::{Copied, FileId, Holds, Spot, Witness};
use crate::units::{Bytes, Digest};

/// One file. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::engine) struct InPlaceSink(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    length: Bytes,
    planned: InPlace,
    /// What it is on its way from and to, where, and whose way it is.
    mark: Mark,
    open: Mutex<Option<Arc<Direct>>>,
    /// Keeps everybody else out, as long as the job has the file.
    held: Mutex<Option<File>>,
    writers: Semaphore,
}

/// What the record says while it is half of each.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Mark {
    pub world: String,
    pub from: SnapshotId,
    pub to: SnapshotId,
    pub unique: String,
}

impl Inner {
    fn handle(&self) -> Result<Arc<Direct>> {
        lock(&self.open).clone().ok_or_else(|| Error::failed(format!("{} is not open", self.path.display())))
    }

    fn disk(&self, what: &str, cause: &io::Error) -> Error {
        disk(format!("could not {what} {}", self.path.display()), cause)
    }

    fn another(&self, when: &str) -> Error {
        Error::failed(format!("another file has taken the place of {} {when}", self.path.display()))
            .todo("put the file back, or make a new plan")
    }

    /// Opens the file that the plan saw; before anything was written to it, in the state in which the plan saw it.
    fn open(&self, untouched: bool) -> Result<()> {
        let shown = self.path.display();
        let file = OpenOptions::new().read(true).write(true).open(&self.path).map_err(|e| self.disk("open", &e))?;
        let now = FileId::from(&file.metadata().map_err(|e| self.disk("look at", &e))?);
        if !now.is_same_file(&self.planned.file) {
            return Err(self.another("since the plan"));
        }
        if untouched && now != self.planned.file {
            return Err(Error::refused(format!("{shown} was changed since the plan: what it holds is not known"))
                .todo("make a new plan; nothing was written"));
        }
        if now.length > self.length {
            return Err(Error::failed(format!(
                "{shown} has {} now, more than the {} of the volume",
                now.length, self.length
            )));
        }
        let mut held = lock(&self.held);
        if held.is_none() {
            let own = File::open(&self.path).map_err(|e| self.disk("open", &e))?;
            match own.try_lock() {
                Ok(()) => *held = Some(own),
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::refused(format!("{shown} is being written by another job"))
                        .todo("wait until that one is over"));
                }
                Err(TryLockError::Error(cause)) => return Err(self.disk("lock", &cause)),
            }
        }
        drop(held);
        *lock(&self.open) = Some(Arc::new(Direct::writer(file)));
        Ok(())
    }

    /// Opens it anew, after a sync that failed: the old description may tell no error any more.
    fn reopen(&self) -> Result<()> {
        self.open(false)
    }

    /// It is the file that the job began with, not one that was made when that was gone and has its number.
    fn must_be_the_one(&self, base: &Path) -> Result<()> {
        let Some(base) = Base::open(base)? else { return Ok(()) };
        let handle = self.handle()?;
        let other = base.is_of_another(handle.file()).map_err(|e| self.disk("look at", &e))?;
        if other { Err(self.another("since the job began")) } else { Ok(()) }
    }

    /// What it held or was given it does not hold any more.
    fn lost(&self, what: &str, index: BlockIndex) -> Error {
        let (shown, to) = (self.path.display(), &self.mark.to);
        Error::failed(format!("{shown} does not hold {what}: it was cut off, or a hole was made in it, meanwhile"))
            .at_block(index)
            .todo(format!("copy the second snapshot whole: floe copy {to} {shown} --force"))
    }

    /// Looks at these blocks of the job, and at what the file held before `end`, or to its end.
    fn look(
        &self,
        (mut room, mut base): (Room, Option<Base>),
        end: Option<u32>,
        known: &[(BlockIndex, Digest)],
    ) -> Result<(Room, Option<Base>)> {
        let handle = self.handle()?;
        let failed = |e: io::Error| self.disk("look through", &e);
        if let Some(index) = room.first_lost(handle.file(), self.length, known).map_err(failed)? {
            return Err(self.lost("what was written to it", index));
        }
        if let Some(base) = &mut base
            && let Some(index) = base.first_lost(handle.file(), end.unwrap_or(u32::MAX), known).map_err(failed)?
        {
            return Err(self.lost("what it held before", index));
        }
        Ok((room, base))
    }

    /// The volume's exact length, on the disk.
    fn finish(&self) -> Result<()> {
        let handle = self.handle()?;
        let file = handle.file();
        if !is_at(file, &self.path) {
            return Err(self.another("while the job wrote to it"));
        }
        file.set_len(self.length.0).map_err(|e| self.disk("size", &e))?;
        file.sync_all().map_err(|e| self.disk("sync", &e))?;
        let length = fs::metadata(&self.path).map_err(|e| self.disk("find", &e))?.len();
        if length != self.length.0 {
            let text = format!("{} has {length} bytes, not the {} of the volume", self.path.display(), self.length.0);
            return Err(Error::failed(text));
        }
        Ok(())
    }
}

impl InPlaceSink {
    pub(in crate::engine) fn new(path: PathBuf, length: Bytes, planned: InPlace, mark: Mark) -> Self {
        let writers = Semaphore::new(WRITERS);
        Self(Arc::new(Inner { path, length, planned, mark, open: Mutex::new(None), held: Mutex::new(None), writers }))
    }

    /// From here on nobody believes that it holds what it held.
    fn mark_torn(&self, desk: &Desk) -> Result<()> {
        let Inner { path, planned, mark, .. } = &*self.0;
        let spot = Spot::File { path: path.clone(), id: planned.file.clone() };
        let holds = Holds::Torn { from: mark.from.clone(), to: mark.to.clone() };
        let witness = Witness::Copied { job: desk.job, unique: mark.unique.clone() };
        desk.copies.keep(&Copied::new(mark.world.clone(), spot, holds, witness))
    }

    fn whole<'a>(&self, desk: &'a Desk) -> Whole<'a> {
        Whole { desk, path: self.0.path.clone(), length: self.0.length }
    }

    /// Where it is written down what the file held.
    fn base(desk: &Desk) -> PathBuf {
        desk.copies.beside_ledger(desk.job, &format!("base-{}", desk.dest))
    }

    /// What the file held, and what was written to it, is data there still.
    async fn must_hold_all(&self, desk: &Desk) -> Result<()> {
        let mut looked = (Room::default(), Base::open(&Self::base(desk))?);
        let mut from = BlockIndex(0);
        loop {
            let known = desk.keeper.digests(desk.dest, from, LOOKED_UP).await?;
            let end = known.last().map(|(last, _)| last.0 + 1);
            from = BlockIndex(end.unwrap_or(u32::MAX));
            looked = self.off(move |inner| inner.look(looked, end, &known)).await?;
            if end.is_none() {
                return Ok(());
            }
        }
    }

    async fn off<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> Result<T> + Send + 'static) -> Result<T> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .map_err(|e| Error::failed(format!("work on {}: {e}", self.0.path.display())))?
    }
}

#[async_trait]
impl Sink for InPlaceSink {
    fn address(&self) -> String {
        self.0.path.display().to_string()
    }

    async fn open(&self, desk: &Desk, known: &DestinationPicture) -> Result<Opened> {
        let stood = known.failed_in.unwrap_or(known.state);
        let begun = known.id.is_some();
        if lock(&self.0.open).is_none() {
            self.off(move |inner| inner.open(!begun)).await?;
        }
        if begun {
            let base = Self::base(desk);
            self.off(move |inner| inner.must_be_the_one(&base)).await?;
            // Perhaps the record of another job or of a verification stands there by now.
            self.mark_torn(desk)?;
            if matches!(stood, DestinationState::Completing | DestinationState::Checking) {
                return Ok(Opened::Completing);
            }
            desk.step(Step::Writing).await?;
            return Ok(Opened::Ready);
        }
        let attempt = known.attempt.max(1);
        desk.step(Step::Starting { attempt, client_token: desk.client_token("file", attempt) }).await?;
        desk.keeper.clear(desk.dest).await?;
        let base = Self::base(desk);
        self.off(move |inner| Base::keep(inner.handle()?.file(), &base)).await?;
        self.mark_torn(desk)?;
        desk.step(Step::Started { id: self.0.path.display().to_string() }).await?;
        // A volume that grew: what is past the old end reads as zeros until it is written.
        self.off(|inner| {
            let handle = inner.handle()?;
            handle.file().set_len(inner.length.0).map_err(|e| inner.disk("size", &e))
        })
        .await?;
        desk.step(Step::Writing).await?;
        Ok(Opened::Ready)
    }

    async fn write(&self, index: BlockIndex, data: Buffer, _digest: &Digest) -> Result<()> {
        let handle = self.0.handle()?;
        let data = data.slice(..inside(self.0.length, index).min(data.len()));
        let _turn = self.0.writers.acquire().await;
        tokio::task::spawn_blocking(move || handle.write_all_at(&data, index.offset()))
            .await
            .map_err(|e| Error::failed(format!("writing a file: {e}")))?
            .map_err(|e| self.0.disk("write", &e).at_block(index))
    }

    fn needs_sync(&self) -> bool {
        true
    }

    fn sync(&self) -> Result<()> {
        let handle = self.0.handle()?;
        let Err(cause) = handle.file().sync_data() else { return Ok(()) };
        let mut error = self.0.disk("sync", &cause);
        drop(handle);
        // Without a new one nothing is written or synced any more: the old one may be silent about what it lost.
        *lock(&self.0.open) = None;
        self.0.reopen()?;
        if error.class == Class::Permanent {
            error.class = Class::Transient;
        }
        Err(error)
    }

    async fn recheck(&self, desk: &Desk) -> Result<()> {
        self.whole(desk).compare().await
    }

    async fn complete(&self, desk: &Desk, written: &Linear) -> Result<()> {
        desk.step(Step::Completing { blocks: written.blocks, checksum: Some(written.checksum) }).await?;
        crash::here(Point::BeforeRename);
        self.must_hold_all(desk).await?;
        self.off(Inner::finish).await
    }

    async fn check(&self, desk: &Desk, written: &Linear) -> Result<Proof> {
        match desk.verify {
            Verify::None | Verify::Listing => Ok(Evidence::Claimed.into()),
            Verify::Checksum | Verify::Full => {
                self.whole(desk).prove(written.blocks).await.map(|()| Evidence::ReRead.into())
            }
        }
    }

    fn spot(&self) -> Result<Option<Spot>> {
        let path = self.0.path.clone();
        let id = FileId::of(&path).map_err(|e| self.0.disk("look at", &e))?;
        Ok(Some(Spot::File { path, id }))
    }

    async fn discard(&self, desk: &Desk, known: &DestinationPicture) -> Result<()> {
        (*lock(&self.0.open), *lock(&self.0.held)) = (None, None);
        if known.id.is_some() {
            let Mark { from, to, .. } = &self.0.mark;
            let text = format!("stays as it is, half {from} and half {to}: no delta is taken onto it any more");
            desk.say(self.address(), text, Tone::Warning);
        }
        Ok(())
    }
}

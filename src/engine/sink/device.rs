//! A block device as a destination: cleared, then written in place.
//!
//! Invariants: from the first byte on nobody else can mount or take it; it is the very device that the plan named; what
//! no block was written to reads as zeros, as far as the volume goes, and what lies behind that is left as it is. A
//! block counts as done only after a sync that came after its write.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes as Buffer;
use rustix::fs::{FallocateFlags, fallocate};
use tokio::sync::Semaphore;

use super::file::{WRITERS, disk};
use super::{Desk, Opened, Sink};
use crate::engine::blocks::{lock, zeros};
use crate::engine::direct::Direct;
use crate::engine::journal::{DestinationPicture, Step};
use crate::engine::ledger::Linear;
use crate::engine::proof::{Proof, Whole, inside};
use crate::engine::protocol::{DestinationState, Evidence, Tone};
use crate::error::{Class, Error, Result};
use crate::ids::BlockIndex;
use crate::plan::{Verify, devices};
use crate::units::{Bytes, Digest};

/// What is cleared at a time: a pause or a cancel waits for no more.
const CLEARED: u64 = 1024 * 1024 * 1024;

/// One device. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::engine) struct DeviceSink(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    length: Bytes,
    which: (u64, u64),
    open: Mutex<Option<Held>>,
    writers: Semaphore,
}

/// The claim keeps others away; what is written goes through a handle of its own, which is opened anew when a sync fails.
#[derive(Debug)]
struct Held {
    _claim: File,
    handle: Arc<Direct>,
}

impl Inner {
    fn handle(&self) -> Result<Arc<Direct>> {
        let held = lock(&self.open);
        let handle = held.as_ref().map(|held| Arc::clone(&held.handle));
        handle.ok_or_else(|| Error::failed(format!("{} is not open", self.path.display())))
    }

    fn plain(&self) -> Result<Direct> {
        let file = OpenOptions::new().read(true).write(true).open(&self.path);
        file.map(Direct::writer).map_err(|e| disk(format!("could not open {}", self.path.display()), &e))
    }

    /// Takes the device, if it is still the one of the plan.
    fn take(&self) -> Result<()> {
        if lock(&self.open).is_some() {
            return Ok(());
        }
        let claim = devices::hold(&self.path, true)?;
        let looked = |e: io::Error| disk(format!("could not look at {}", self.path.display()), &e);
        if devices::which(&claim).map_err(looked)? != self.which || devices::size(&claim).map_err(looked)? < self.length
        {
            return Err(Error::refused(format!("{} is another device than the plan named", self.path.display()))
                .todo("look which one it is now (lsblk -o NAME,SERIAL,SIZE), and make a new plan"));
        }
        let handle = Arc::new(self.plain()?);
        *lock(&self.open) = Some(Held { _claim: claim, handle });
        Ok(())
    }

    /// Makes `from..to` read as zeros, by the device itself where it can.
    fn clear(&self, from: u64, to: u64) -> Result<()> {
        let handle = self.handle()?;
        let failed = |e: io::Error| disk(format!("could not clear {}", self.path.display()), &e);
        match fallocate(handle.file(), FallocateFlags::ZERO_RANGE, from, to - from) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => {}
            Err(cause) => return Err(failed(cause.into())),
        }
        let mut at = from;
        while at < to {
            let piece = zeros().len().min(usize::try_from(to - at).unwrap_or(usize::MAX));
            handle.file().write_all_at(&zeros()[..piece], at).map_err(failed)?;
            at += piece as u64;
        }
        Ok(())
    }
}

impl DeviceSink {
    pub(in crate::engine) fn new(path: &Path, length: Bytes, which: (u64, u64)) -> Self {
        let (open, writers) = (Mutex::new(None), Semaphore::new(WRITERS));
        Self(Arc::new(Inner { path: path.to_owned(), length, which, open, writers }))
    }

    /// Runs `work` where blocking is allowed.
    async fn off<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> Result<T> + Send + 'static) -> Result<T> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .map_err(|e| Error::failed(format!("work on {}: {e}", self.0.path.display())))?
    }

    async fn clear(&self, desk: &Desk) -> Result<()> {
        desk.say(self.address(), format!("clearing {}", self.0.length), Tone::Info);
        let mut from = 0;
        while from < self.0.length.0 {
            let to = (from + CLEARED).min(self.0.length.0);
            self.off(move |inner| inner.clear(from, to)).await?;
            from = to;
        }
        self.off(|inner| {
            let synced = inner.handle()?.file().sync_data();
            synced.map_err(|e| disk(format!("could not sync {}", inner.path.display()), &e))
        })
        .await
    }

    /// What was written, to be read back.
    fn whole<'a>(&self, desk: &'a Desk) -> Whole<'a> {
        Whole { desk, path: self.0.path.clone(), length: self.0.length }
    }
}

#[async_trait]
impl Sink for DeviceSink {
    fn address(&self) -> String {
        self.0.path.display().to_string()
    }

    async fn open(&self, desk: &Desk, known: &DestinationPicture) -> Result<Opened> {
        self.off(Inner::take).await?;
        let stood = known.failed_in.unwrap_or(known.state);
        if matches!(stood, DestinationState::Completing | DestinationState::Checking) {
            return Ok(Opened::Completing);
        }
        if known.id.is_none() {
            let attempt = known.attempt + 1;
            desk.step(Step::Starting { attempt, client_token: desk.client_token("device", attempt) }).await?;
            desk.keeper.clear(desk.dest).await?;
            self.clear(desk).await?;
            desk.step(Step::Started { id: self.address() }).await?;
        }
        desk.step(Step::Writing).await?;
        Ok(Opened::Ready)
    }

    async fn write(&self, index: BlockIndex, data: Buffer, _digest: &Digest) -> Result<()> {
        let handle = self.0.handle()?;
        let data = data.slice(..inside(self.0.length, index).min(data.len()));
        let _turn = self.0.writers.acquire().await;
        tokio::task::spawn_blocking(move || handle.write_all_at(&data, index.offset()))
            .await
            .map_err(|e| Error::failed(format!("writing a device: {e}")))?
            .map_err(|e| disk(format!("could not write {}", self.0.path.display()), &e).at_block(index))
    }

    fn needs_sync(&self) -> bool {
        true
    }

    fn sync(&self) -> Result<()> {
        let Err(cause) = self.0.handle()?.file().sync_data() else { return Ok(()) };
        // The kernel may have dropped the pages and their error: only a new handle tells the truth again, and without
        // one nothing is written or synced any more.
        let handle = self.0.plain();
        let mut open = lock(&self.0.open);
        *open = open.take().zip(handle.ok()).map(|(held, handle)| Held { handle: Arc::new(handle), ..held });
        drop(open);
        let mut error = disk(format!("could not sync {}", self.0.path.display()), &cause);
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
        self.off(|inner| {
            let synced = inner.handle()?.file().sync_all();
            synced.map_err(|e| disk(format!("could not sync {}", inner.path.display()), &e))
        })
        .await
    }

    async fn check(&self, desk: &Desk, written: &Linear) -> Result<Proof> {
        let whole = self.whole(desk);
        match desk.verify {
            Verify::None | Verify::Listing => Ok(Evidence::Claimed.into()),
            Verify::Checksum => whole.prove(written.blocks).await.map(|()| Evidence::ReRead.into()),
            Verify::Full => Ok(Proof { evidence: Evidence::ReRead, image: whole.prove_all().await? }),
        }
    }

    /// There is nothing to remove: what was there before is gone since it was cleared.
    async fn discard(&self, desk: &Desk, known: &DestinationPicture) -> Result<()> {
        *lock(&self.0.open) = None;
        if known.attempt > 0 {
            desk.say(self.address(), "it holds a part of a copy, and nothing of what was there", Tone::Warning);
        }
        Ok(())
    }
}

//! Where blocks go to: one small trait, from opening to the proof that it is complete.
//!
//! Invariants: every state is journaled before the call that it stands for; [`Sink::write`] returns only when
//! the destination acknowledged the block; nothing is put after `complete` was begun. One source feeds any
//! number of these in one read, and the failure of one does not touch the others.

mod archive;
mod asked;
mod copied;
mod device;
mod file;
mod image;
mod inplace;
mod native;
mod null;
mod object;
mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes as Buffer;

pub(super) use self::archive::{ArchiveSink, Facts};
pub(super) use self::asked::{Asked, Made, Provenance};
pub(super) use self::copied::{CopySink, What};
pub(super) use self::device::DeviceSink;
pub(super) use self::file::{FileSink, partial};
pub(super) use self::image::ImageSink;
pub(super) use self::inplace::{InPlaceSink, Mark};
pub(super) use self::native::NativeSink;
pub(super) use self::null::NullSink;
pub(super) use self::object::ObjectSink;
pub(super) use self::snapshot::{SnapshotSink, Under, dies_at};
use super::call::{Caller, Route};
use super::hub::Hub;
use super::journal::{DestinationPicture, Record, Step};
use super::keeper::Keeper;
use super::ledger::Linear;
use super::proof::Proof;
use super::protocol::Tone;
use super::transfer::Job;
use crate::aws::Session;
use crate::error::Result;
use crate::ids::{BlockIndex, JobId, SnapshotId};
use crate::plan::Verify;
use crate::store::copies::{Copies, Held, Spot};
use crate::units::Digest;

/// A place in S3 as an address names it: by the profile that writes there.
fn in_s3(session: &Session, url: &str) -> String {
    format!("{}{url}", session.profile().map(|p| format!("{p}@")).unwrap_or_default())
}

/// What a destination found when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    /// Blocks may be written; what the ledger says is done is done.
    Ready,
    /// It is being completed already: nothing may be written any more.
    Completing,
}

/// A destination's view of its job: what it may ask for while it opens, completes and checks.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub job: JobId,
    pub dest: usize,
    pub keeper: Keeper,
    pub caller: Arc<Caller>,
    pub hub: Arc<Hub>,
    /// Memory, lanes and pace, for what reads back.
    pub work: Arc<Job>,
    pub verify: Verify,
    /// How long a wait for the service may take, when the user bounded it.
    pub wait: Option<Duration>,
    /// What floe knows of copies.
    pub copies: Copies,
}

impl Desk {
    /// Journals a step, synced, and shows it.
    pub(super) async fn step(&self, step: Step) -> Result<()> {
        self.hub.destination_step(self.dest, &step);
        let dest = u16::try_from(self.dest).unwrap_or(u16::MAX);
        self.keeper.journal(Record::Destination { dest, step }).await
    }

    /// What the journal says of this destination.
    pub(super) async fn known(&self) -> Result<DestinationPicture> {
        let picture = self.keeper.picture().await?;
        Ok(picture.destinations.into_iter().nth(self.dest).unwrap_or_default())
    }

    /// Says something about this destination.
    pub(super) fn say(&self, subject: impl Into<String>, text: impl Into<String>, tone: Tone) {
        self.hub.say(subject, text, tone);
    }

    /// The same token after a crash finds the same snapshot.
    pub(super) fn client_token(&self, unique: &str, attempt: u32) -> String {
        format!("floe-{unique}-{}-{}-{attempt}", self.job, self.dest)
    }
}

/// Something that can be filled block by block.
#[async_trait]
pub(super) trait Sink: std::fmt::Debug + Send + Sync {
    /// As it is shown: the planned address, or the id once there is one.
    fn address(&self) -> String;

    /// Makes it, or finds what an earlier run made.
    ///
    /// # Errors
    /// As classified; [`crate::error::Class::Quota`] when it has to wait for its turn.
    async fn open(&self, desk: &Desk, known: &DestinationPicture) -> Result<Opened>;

    /// Writes one block, and lets go of its bytes as soon as they are sent; may be called for the same block again.
    ///
    /// # Errors
    /// As classified.
    async fn write(&self, index: BlockIndex, data: Buffer, digest: &Digest) -> Result<()>;

    /// Whether it holds blocks until more of them came: then [`Sink::write`] takes a block and its memory, and the sink
    /// tells the keeper itself what was acknowledged.
    fn gathers(&self) -> bool {
        false
    }

    /// Whether a write is answered only when other lanes brought blocks, too: then it counts itself while it works.
    fn waits_for_others(&self) -> bool {
        false
    }

    /// Whether what it writes of a block lies in a buffer of the job's pool, beside the block's own.
    fn packs(&self) -> bool {
        false
    }

    /// Whether it has this block already, held or on its way: then it is not read for it again. Asked only where it
    /// gathers; whoever leaves a block out because of it calls [`Sink::settle`], as a write would have.
    fn holds(&self, index: BlockIndex) -> Result<bool> {
        let _ = index;
        Ok(false)
    }

    /// The source is listed up to this index.
    fn listed(&self, through: u32) {
        let _ = through;
    }

    /// Everything that a pass had was written: what is still held is sent.
    ///
    /// # Errors
    /// As classified.
    async fn settle(&self) -> Result<()> {
        Ok(())
    }

    /// A pass is over: what is still held is let go of, and read again.
    fn let_go(&self) {}

    /// Nobody has memory for this block: lets go of what can only be sent after it.
    fn squeeze(&self, index: BlockIndex) {
        let _ = index;
    }

    /// Whether what is written goes anywhere at all.
    fn keeps(&self) -> bool {
        true
    }

    /// Whether blocks are written to it at all; AWS fills the others itself.
    fn takes_blocks(&self) -> bool {
        true
    }

    /// Whether a written block is durable only after [`Sink::sync`].
    fn needs_sync(&self) -> bool {
        false
    }

    /// The route of its puts: their limiters and deadlines. `None` for what is on this machine.
    fn route(&self, caller: &Caller) -> Option<Arc<Route>> {
        let _ = caller;
        None
    }

    /// Makes everything written so far durable. Blocks; called by the keeper's thread.
    ///
    /// # Errors
    /// The disk failed; what was written since the last good sync has to be written again.
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    /// Whether AWS gives it up when it is left alone too long.
    fn dies_when_left(&self) -> bool {
        false
    }

    /// Whether blocks of zeros may be left out of it.
    fn omits_zeros(&self) -> bool {
        false
    }

    /// Whether the holes of a file have to be written to it as zeros.
    fn wants_holes(&self) -> bool {
        false
    }

    /// Compares what was written before a resume with the ledger, where it could have changed meanwhile.
    ///
    /// # Errors
    /// The block that differs.
    async fn recheck(&self, desk: &Desk) -> Result<()> {
        let _ = desk;
        Ok(())
    }

    /// Completes it with what the ledger says was written.
    ///
    /// # Errors
    /// As classified.
    async fn complete(&self, desk: &Desk, written: &Linear) -> Result<()>;

    /// Proves it as far as the job asks, and says who vouches for it.
    ///
    /// # Errors
    /// A difference, named; or as classified.
    async fn check(&self, desk: &Desk, written: &Linear) -> Result<Proof>;

    /// Where it is, for the record of what it holds; `None` for what nothing can be written onto later.
    ///
    /// # Errors
    /// It cannot be looked at.
    fn spot(&self) -> Result<Option<Spot>> {
        Ok(None)
    }

    /// Copies of snapshots that it holds beside: source and where the copy is.
    fn copied(&self) -> Vec<(SnapshotId, Held)> {
        Vec::new()
    }

    /// Removes what was made and not completed.
    ///
    /// # Errors
    /// As classified; there is nothing left when it succeeds.
    async fn discard(&self, desk: &Desk, known: &DestinationPicture) -> Result<()>;
}

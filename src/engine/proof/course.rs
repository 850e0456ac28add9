//! How far one destination is proved: shown at once, journaled now and then, and once more when the proving stops.
//!
//! Invariant: it only goes on in index order, so that everything below what the journal says was compared. After a
//! crash at most [`BATCH`], or what a second brought, is compared again, beside what was being read.

use std::time::{Duration, Instant};

use super::image::ImageHash;
use crate::engine::crash::{self, Point};
use crate::engine::journal::{Checked, Record};
use crate::engine::protocol::Checking;
use crate::engine::sink::Desk;
use crate::error::Result;
use crate::ids::BlockIndex;
use crate::units::{BLOCK_BYTES, Blocks, Bytes};

/// Blocks that are compared between two lines of the journal, at most …
const BATCH: Blocks = Blocks(128);
/// … and how long, while blocks come.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// The way through one destination.
#[derive(Debug)]
pub(in crate::engine) struct Course<'a> {
    desk: &'a Desk,
    at: Checked,
    of: Blocks,
    /// The hash of all bytes so far, where all of them are read in order.
    image: Option<ImageHash>,
    /// What the journal has; nothing of a course that is gone again after every resume.
    saved: Option<(u32, Instant)>,
}

impl<'a> Course<'a> {
    /// Goes on at `from`, through `of` blocks in all.
    pub(in crate::engine) fn goes_on(desk: &'a Desk, from: Checked, of: Blocks) -> Self {
        let saved = Some((from.through, Instant::now()));
        let course = Self { desk, at: Checked { image: None, ..from }, of, image: None, saved };
        course.show();
        course
    }

    /// The same, and hashes the whole image on its way: `from` has the state to go on with, or is the start.
    pub(in crate::engine) fn hashes(desk: &'a Desk, from: Checked, of: Blocks) -> Self {
        let before = Bytes(BlockIndex(from.through).offset());
        let image = from.image.as_ref().map_or_else(ImageHash::new, |state| ImageHash::resumed(state, before));
        let mut course = Self::goes_on(desk, from, of);
        course.image = Some(image);
        course
    }

    /// From the start, and nobody writes down how far it is.
    pub(in crate::engine) fn unsaved(desk: &'a Desk) -> Self {
        Self { desk, at: Checked::default(), of: Blocks::ZERO, image: None, saved: None }
    }

    /// Everything below was compared.
    pub(in crate::engine) const fn through(&self) -> u32 {
        self.at.through
    }

    /// Whether the bytes of every block are wanted.
    pub(in crate::engine) const fn wants_bytes(&self) -> bool {
        self.image.is_some()
    }

    /// The next bytes of the image; those past its end are none of it.
    pub(in crate::engine) fn hash(&mut self, bytes: &[u8]) {
        if let Some(image) = &mut self.image {
            image.update(bytes);
        }
    }

    /// The next block is what it should be.
    pub(in crate::engine) async fn block(&mut self, index: BlockIndex) -> Result<()> {
        if self.saved.is_some() {
            crash::here(Point::Checked);
        }
        self.at.blocks += Blocks(1);
        self.reached(index.0 + 1).await
    }

    /// Blocks that are listed as they should be, and no more is to be known of them.
    pub(in crate::engine) async fn listed(&mut self, blocks: Blocks, through: u32) -> Result<()> {
        self.at.blocks += blocks;
        self.reached(through).await
    }

    /// There is nothing more below.
    pub(in crate::engine) async fn reached(&mut self, through: u32) -> Result<()> {
        self.at.through = self.at.through.max(through);
        let Some((saved, when)) = self.saved else { return Ok(()) };
        self.show();
        let due = u64::from(self.at.through - saved) >= BATCH.0 || when.elapsed() >= SAVE_EVERY;
        match if due { self.record() } else { None } {
            Some(record) => {
                self.saved = Some((self.at.through, Instant::now()));
                self.desk.keeper.record(record).await
            }
            None => Ok(()),
        }
    }

    /// The line of the journal; none where nothing could go on from it.
    fn record(&mut self) -> Option<Record> {
        if let Some(image) = &self.image {
            self.at.image = Some(image.state()?);
        }
        let dest = u16::try_from(self.desk.dest).unwrap_or(u16::MAX);
        Some(Record::Checked { dest, to: self.at.clone() })
    }

    fn show(&self) {
        self.desk.hub.checked(self.desk.dest, Checking { done: self.at.blocks, of: self.of });
    }

    /// The hash of the whole image, once all of it went by.
    pub(in crate::engine) fn image(mut self) -> Option<crate::units::Digest> {
        // There is no more to go on with.
        self.saved = None;
        self.image.take().map(ImageHash::finish)
    }
}

impl Drop for Course<'_> {
    fn drop(&mut self) {
        let unsaved = self.saved.is_some_and(|(saved, _)| saved < self.at.through);
        if let Some(record) = unsaved.then(|| self.record()).flatten() {
            self.desk.keeper.note(record);
        }
    }
}

/// How much of a block lies inside an image of this length.
pub(in crate::engine) fn inside(length: Bytes, index: BlockIndex) -> usize {
    usize::try_from(length.0.saturating_sub(index.offset()).min(BLOCK_BYTES)).unwrap_or(0)
}

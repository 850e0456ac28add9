//! What is listed of a result: the same set of blocks as was written, and, where that is asked for, the same bytes.
//!
//! Invariant: a page is listed only when every block of the one before it was read, so that a listing which voids
//! the block tokens of earlier ones costs nothing; tokens that are refused all the same are listed again, by index,
//! from the first block that was not compared.

use std::sync::Arc;

use super::course::Course;
use super::read::{Reader, Wanted};
use crate::engine::budget::Permit;
use crate::engine::listing::Listing;
use crate::engine::sink::Desk;
use crate::engine::source::{Entry, Source};
use crate::error::{Class, Error, Result};
use crate::ids::{BlockIndex, Region};
use crate::plan::choices::{LISTED_ENTRY, PAGE_MIN};
use crate::units::{Blocks, Bytes, Digest, ZERO_BLOCK_SHA256};

/// Blocks compared at a time, at most.
const PAGE: u64 = 5_000;
/// Block tokens that are refused this often with nothing compared in between lead nowhere.
const REFUSED: u32 = 8;

/// A snapshot that was made, as it is read.
#[derive(Debug)]
pub(in crate::engine) struct Listed<'a> {
    pub desk: &'a Desk,
    pub source: Arc<dyn Source>,
    /// As errors name it.
    pub name: String,
    pub region: &'a Region,
    /// How long it is.
    pub volume: Bytes,
    /// Whether blocks of zeros were left out of it.
    pub omits_zeros: bool,
}

impl Listed<'_> {
    /// Compares its listing with the `written` blocks; with `reads`, also the bytes of each.
    ///
    /// # Errors
    /// The first difference; or as classified.
    pub(in crate::engine) async fn prove(&self, written: Blocks, reads: bool) -> Result<()> {
        let routes = self.source.routes(&self.desk.caller);
        for route in routes.iter().flat_map(|routes| [&routes.list, &routes.get]) {
            route.begin();
        }
        let from = self.desk.known().await?.checked;
        let mut course = Course::goes_on(self.desk, from, written);
        let reader =
            Reader { desk: self.desk, source: Arc::clone(&self.source), routes: routes.clone(), length: self.volume };
        let asks = routes.as_ref().map(|routes| (&*self.desk.caller, routes));
        let mut listing = Listing::new(&*self.source, asks, course.through());
        let mut refused = 0;
        while !listing.is_over() {
            let (memory, size) = self.page_memory().await?;
            let from = listing.through();
            let page = listing.next(size).await?;
            let wanted = self.beside(from, page.entries, listing.is_over()).await?;
            let before = course.through();
            let outcome = match reads {
                true => reader.compare(wanted, &mut course, |index| self.differs(index)).await,
                false => course.listed(Blocks(wanted.len() as u64), listing.through()).await,
            };
            drop(memory);
            match outcome {
                Ok(()) => course.reached(listing.through()).await?,
                Err(error) if error.class == Class::StaleToken => {
                    refused = if course.through() > before { 1 } else { refused + 1 };
                    if refused > REFUSED {
                        return Err(error.during("the service refuses the block tokens that it has just given"));
                    }
                    self.desk.hub.relisted();
                    listing = Listing::new(&*self.source, asks, course.through());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Memory of one page, and how many blocks it has then.
    async fn page_memory(&self) -> Result<(Permit, u16)> {
        let work = &self.desk.work;
        let sharing = u64::from(work.alive().0.count_ones().max(1));
        let room = work.budget.page_room().0 / LISTED_ENTRY.0 / sharing;
        let size = u16::try_from(room.clamp(u64::from(PAGE_MIN), PAGE)).unwrap_or(PAGE_MIN);
        let memory = work.budget.acquire_page(Bytes(u64::from(size) * LISTED_ENTRY.0)).await;
        Ok((memory.map_err(|denied| Error { class: Class::Quota, ..denied.into() })?, size))
    }

    /// One page beside what was written from `from` on; at the `end`, nothing more may have been written.
    async fn beside(&self, from: u32, listed: Vec<Entry>, end: bool) -> Result<Vec<Wanted>> {
        let mut known: Vec<(BlockIndex, Digest)> = Vec::with_capacity(listed.len() + 1);
        let mut at = BlockIndex(from);
        while known.len() <= listed.len() {
            let more = self.desk.keeper.digests(self.desk.dest, at, listed.len() + 1).await?;
            let Some(last) = more.last() else { break };
            at = BlockIndex(last.0.0 + 1);
            known.extend(more.into_iter().filter(|(_, digest)| !self.leaves_out(digest)));
        }
        let missing = known.iter().zip(&listed).find(|((known, _), listed)| *known != listed.index);
        let wrong = match missing {
            Some(((known, _), listed)) if *known < listed.index => Some((*known, "was written and is not listed")),
            Some((_, listed)) => Some((listed.index, "is listed and was not written")),
            None if listed.len() > known.len() => {
                listed.get(known.len()).map(|entry| (entry.index, "is listed and was not written"))
            }
            None if end => known.get(listed.len()).map(|(index, _)| (*index, "was written and is not listed")),
            None => None,
        };
        match wrong {
            None => Ok(listed.into_iter().zip(known).map(|(entry, (_, digest))| (entry, digest)).collect()),
            Some((index, how)) => {
                Err(self.wrong(format!("{} does not equal what was written: a block {how}", self.name), index))
            }
        }
    }

    fn leaves_out(&self, digest: &Digest) -> bool {
        self.omits_zeros && *digest == ZERO_BLOCK_SHA256
    }

    fn differs(&self, index: BlockIndex) -> Error {
        self.wrong(format!("{} reads back other than it was written", self.name), index)
    }

    fn wrong(&self, what: String, index: BlockIndex) -> Error {
        Error::failed(what).in_region(self.region).at_block(index).todo("do not use this snapshot; copy again")
    }
}

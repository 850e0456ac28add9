//! A result that lies on a parent: its list is the parent's and what was written, nothing else changed, and what the
//! service does not show as changed was written all the same.
//!
//! Invariant: the three listings are looked at over the same stretch of indexes, in order; a block is read back when
//! ListChangedBlocks does not show it between the parent and the result, because then only its bytes can tell
//! whether our put arrived (DESIGN §3, rule 1). Tokens that are refused are listed again from the first block that was
//! not compared.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::course::Course;
use super::read::{Reader, Wanted};
use crate::engine::budget::Permit;
use crate::engine::call::Caller;
use crate::engine::listing::Listing;
use crate::engine::sink::Desk;
use crate::engine::source::{Entry, Page, Routes, Source};
use crate::error::{Class, Error, Result};
use crate::ids::{BlockIndex, Region};
use crate::plan::choices::{LISTED_ENTRY, PAGE_MIN};
use crate::units::{Blocks, Bytes, Digest};

/// Blocks compared at a time, at most.
const PAGE: u64 = 5_000;
/// Listings that have a page in memory at a time.
const LISTINGS: u64 = 3;
/// Block tokens that are refused this often with nothing compared in between lead nowhere.
const REFUSED: u32 = 8;

/// A snapshot that was made on a parent.
#[derive(Debug)]
pub(in crate::engine) struct OnParent<'a> {
    pub desk: &'a Desk,
    /// As errors name it.
    pub name: String,
    pub region: &'a Region,
    pub result: Arc<dyn Source>,
    pub parent: Arc<dyn Source>,
    /// From the parent to the result.
    pub changed: Arc<dyn Source>,
    /// How long the result is.
    pub volume: Bytes,
}

const NOT_LISTED: &str = "was written and is not listed";
const NOT_INHERITED: &str = "of its parent is not listed";

/// What is known of the indexes from `from` on, beside the result's list.
struct Stretch {
    from: u32,
    known: Vec<(BlockIndex, Digest)>,
    beneath: BTreeSet<u32>,
    shown: BTreeSet<u32>,
}

/// A listing beside the result's own, taken in steps of that one.
struct Beside<'a> {
    listing: Listing<'a>,
    ahead: VecDeque<u32>,
    size: u16,
}

impl<'a> Beside<'a> {
    fn new(source: &'a Arc<dyn Source>, asks: &'a (Arc<Caller>, Option<Routes>), from: u32, size: u16) -> Self {
        let (caller, routes) = asks;
        let asks = routes.as_ref().map(|routes| (&**caller, routes));
        Self { listing: Listing::new(&**source, asks, from), ahead: VecDeque::new(), size }
    }

    /// Lists on until there is more than what lies below `at`; below what index everything is known then.
    async fn beyond(&mut self, at: u32) -> Result<u32> {
        while self.listing.through() <= at && !self.listing.is_over() {
            let page = self.listing.next(self.size).await?;
            self.ahead.extend(page.entries.iter().map(|entry| entry.index.0));
        }
        Ok(if self.listing.is_over() { u32::MAX } else { self.listing.through() })
    }

    /// Everything below `end` that was not taken yet.
    fn below(&mut self, end: u32) -> BTreeSet<u32> {
        let mut below = BTreeSet::new();
        while let Some(index) = self.ahead.pop_front_if(|index| *index < end) {
            below.insert(index);
        }
        below
    }
}

impl OnParent<'_> {
    /// Compares its listings with the `written` blocks; with `reads`, also the bytes of each of these.
    ///
    /// # Errors
    /// The first difference; or as classified.
    pub(in crate::engine) async fn prove(&self, written: Blocks, reads: bool) -> Result<()> {
        let caller = &self.desk.caller;
        let asks =
            [&self.result, &self.parent, &self.changed].map(|source| (Arc::clone(caller), source.routes(caller)));
        for route in asks.iter().flat_map(|(_, routes)| routes).flat_map(|routes| [&routes.list, &routes.get]) {
            route.begin();
        }
        let from = self.desk.known().await?.checked;
        let mut course = Course::goes_on(self.desk, from, written);
        let mut refused = 0;
        loop {
            let before = course.through();
            match self.go_on(&asks, &mut course, reads).await {
                Ok(()) => return Ok(()),
                Err(error) if error.class == Class::StaleToken => {
                    refused = if course.through() > before { 1 } else { refused + 1 };
                    if refused > REFUSED {
                        return Err(error.during("the service refuses the block tokens that it has just given"));
                    }
                    self.desk.hub.relisted();
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn go_on(
        &self,
        asks: &[(Arc<Caller>, Option<Routes>); 3],
        course: &mut Course<'_>,
        reads: bool,
    ) -> Result<()> {
        let start = course.through();
        let size = self.page_size();
        let [result, parent, changed] = asks;
        let blocks = self.result.blocks();
        let mut parent = Beside::new(&self.parent, parent, start, size);
        let mut changed = Beside::new(&self.changed, changed, start, size);
        let reader =
            Reader { desk: self.desk, source: Arc::clone(&self.result), routes: result.1.clone(), length: self.volume };
        let mut at = start;
        while at < blocks {
            let memory = self.page_memory(size).await?;
            // The result is listed last: whether a listing voids the tokens of the ones before is not documented.
            let bound = parent.beyond(at).await?.min(changed.beyond(at).await?);
            let mut page = self.page(result, at, size).await?;
            let from = at;
            at = page.through.min(bound);
            let end = if at >= blocks { u32::MAX } else { at };
            page.entries.retain(|entry| entry.index.0 < end);
            let known = self.written(from, end, page.entries.len()).await?;
            let stretch = Stretch { from, known, beneath: parent.below(end), shown: changed.below(end) };
            let (wanted, seen) = self.beside(page.entries, stretch, reads)?;
            reader.compare(wanted, course, |index| self.differs(index)).await?;
            course.listed(Blocks(seen), at.min(blocks)).await?;
            drop(memory);
        }
        Ok(())
    }

    /// What of a stretch has to be read, and how many blocks are proved by being shown as changed.
    fn beside(&self, listed: Vec<Entry>, stretch: Stretch, reads: bool) -> Result<(Vec<Wanted>, u64)> {
        let Stretch { from, known, beneath, shown } = stretch;
        let (mut known, mut beneath) = (known.into_iter().peekable(), beneath.into_iter().peekable());
        let (mut wanted, mut seen, mut shown_left) = (Vec::new(), 0, shown.len());
        for entry in listed {
            let index = entry.index;
            self.none_before(beneath.peek().copied(), index, NOT_INHERITED)?;
            self.none_before(known.peek().map(|(at, _)| at.0), index, NOT_LISTED)?;
            let inherited = beneath.next_if_eq(&index.0).is_some();
            let written = known.next_if(|(at, _)| *at == index).map(|(_, digest)| digest);
            let is_shown = shown.contains(&index.0);
            shown_left -= usize::from(is_shown);
            match written {
                None if !inherited => return Err(self.unequal(index, "is listed and was not written")),
                None if is_shown => return Err(self.unequal(index, "was changed and was not written")),
                None => {}
                Some(digest) if reads || !is_shown => wanted.push((entry, digest)),
                Some(_) => seen += 1,
            }
        }
        let last = BlockIndex(u32::MAX);
        self.none_before(beneath.peek().copied(), last, NOT_INHERITED)?;
        self.none_before(known.peek().map(|(at, _)| at.0), last, NOT_LISTED)?;
        if shown_left > 0 {
            return Err(self.unequal(BlockIndex(from), "from there on is shown as changed and is not listed"));
        }
        Ok((wanted, seen))
    }

    /// One page of the result from `at` on, with fresh tokens.
    async fn page(&self, asks: &(Arc<Caller>, Option<Routes>), at: u32, size: u16) -> Result<Page> {
        let mut listing = Beside::new(&self.result, asks, at, size).listing;
        loop {
            let page = listing.next(size).await?;
            if listing.is_over() || listing.through() > at {
                return Ok(Page { through: listing.through(), ..page });
            }
        }
    }

    /// What was written in a stretch, but not more than would prove it wrong.
    async fn written(&self, from: u32, end: u32, listed: usize) -> Result<Vec<(BlockIndex, Digest)>> {
        let mut known: Vec<(BlockIndex, Digest)> = Vec::new();
        let mut at = BlockIndex(from);
        while known.len() <= listed {
            let more = self.desk.keeper.digests(self.desk.dest, at, listed + 1).await?;
            let Some(last) = more.last().map(|(index, _)| *index) else { break };
            known.extend(more.into_iter().filter(|(index, _)| index.0 < end));
            if last.0 >= end {
                break;
            }
            at = BlockIndex(last.0 + 1);
        }
        Ok(known)
    }

    fn page_size(&self) -> u16 {
        let work = &self.desk.work;
        let sharing = u64::from(work.alive().0.count_ones().max(1)) * LISTINGS;
        let room = work.budget.page_room().0 / LISTED_ENTRY.0 / sharing;
        u16::try_from(room.clamp(u64::from(PAGE_MIN), PAGE)).unwrap_or(PAGE_MIN)
    }

    async fn page_memory(&self, size: u16) -> Result<Permit> {
        let room = Bytes(u64::from(size) * LISTED_ENTRY.0 * LISTINGS);
        let memory = self.desk.work.budget.acquire_page(room.min(self.desk.work.budget.page_room())).await;
        memory.map_err(|denied| Error { class: Class::Quota, ..denied.into() })
    }

    fn none_before(&self, found: Option<u32>, listed: BlockIndex, how: &str) -> Result<()> {
        match found {
            Some(index) if index < listed.0 => Err(self.unequal(BlockIndex(index), how)),
            _ => Ok(()),
        }
    }

    fn unequal(&self, index: BlockIndex, how: &str) -> Error {
        self.wrong(format!("{} does not equal its parent and what was written: a block {how}", self.name), index)
    }

    fn differs(&self, index: BlockIndex) -> Error {
        self.wrong(format!("{} reads back other than it was written", self.name), index)
    }

    fn wrong(&self, what: String, index: BlockIndex) -> Error {
        Error::failed(what).in_region(self.region).at_block(index).todo("do not use this snapshot; copy again")
    }
}

//! Who lists what: the pure part of listing in parallel.
//!
//! Invariants: segments cut the volume without gap or overlap; every index is handed out to one cursor at a
//! time; a cursor that ends takes the far half of the largest remaining range; with one cursor left (tokens
//! rotate), nothing is handed out before every page of before is drained.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::BlockRange;

/// A remaining range is not worth a cursor of its own below this many pages.
const WORTH_PAGES: u32 = 2;

/// One segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub range: BlockRange,
    /// The first index that is not listed.
    pub next: u32,
    /// Whether a cursor is at it.
    pub busy: bool,
}

/// What a cursor is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// List this segment from its `next` on.
    Segment { id: u32, from: u32 },
    /// The same, of a segment that was just cut off another: to be journaled first.
    Stolen { id: u32, from: u32, victim: u32 },
    /// List this range again, for fresh tokens.
    Again(BlockRange),
    /// Nothing now; something may come back.
    Wait,
    /// Everything is listed and drained.
    Over,
}

/// All segments of a job.
#[derive(Debug)]
pub(super) struct Segments {
    all: BTreeMap<u32, Segment>,
    again: VecDeque<BlockRange>,
    page: u32,
    /// Pages that still have items on their way.
    open: usize,
    /// Cursors at work.
    busy: usize,
    one_cursor: bool,
    next_id: u32,
}

impl Segments {
    /// Cuts `blocks` indexes into at most `count` segments of equal length.
    pub(super) fn cut(blocks: u32, count: u32) -> Vec<(u32, BlockRange)> {
        let count = count.clamp(1, blocks.max(1));
        let step = blocks.div_ceil(count).max(1);
        (0..count)
            .map(|id| (id, BlockRange::new((id * step).min(blocks), ((id + 1).saturating_mul(step)).min(blocks))))
            .filter(|(_, range)| !range.is_empty())
            .collect()
    }

    /// `all` as (id, range, first index not listed); `again` are ranges with blocks that are listed and not
    /// done; `page` is how many blocks a page has.
    pub(super) fn new(
        all: impl IntoIterator<Item = (u32, BlockRange, u32)>,
        again: impl IntoIterator<Item = BlockRange>,
        page: u16,
        one_cursor: bool,
    ) -> Self {
        let all: BTreeMap<u32, Segment> =
            all.into_iter().map(|(id, range, next)| (id, Segment { range, next, busy: false })).collect();
        let next_id = all.last_key_value().map_or(0, |(id, _)| id + 1);
        let again = again.into_iter().collect();
        Self { all, again, page: u32::from(page).max(1), open: 0, busy: 0, one_cursor, next_id }
    }

    /// Work for a cursor. `first` marks the one that stays when only one is left.
    pub(super) fn claim(&mut self, first: bool) -> Claim {
        if self.one_cursor && (!first || self.open > 0 || self.busy > 0) {
            return if self.is_over() { Claim::Over } else { Claim::Wait };
        }
        if let Some(range) = self.again.pop_front() {
            self.busy += 1;
            return Claim::Again(range);
        }
        if let Some((id, segment)) = self.all.iter_mut().find(|(_, s)| !s.busy && s.next < s.range.end) {
            segment.busy = true;
            self.busy += 1;
            return Claim::Segment { id: *id, from: segment.next };
        }
        if let Some(claim) = self.steal() {
            return claim;
        }
        if self.is_over() { Claim::Over } else { Claim::Wait }
    }

    fn steal(&mut self) -> Option<Claim> {
        if self.one_cursor {
            return None;
        }
        let left = |s: &Segment| s.range.end.saturating_sub(s.next);
        let (&victim, segment) = self.all.iter_mut().filter(|(_, s)| s.busy).max_by_key(|(_, s)| left(s))?;
        let rest = left(segment);
        // The victim has a page on its way; what it brings is not worth taking.
        if rest <= self.page.saturating_mul(WORTH_PAGES) {
            return None;
        }
        let at = segment.range.end - rest / 2;
        let range = BlockRange::new(at, segment.range.end);
        segment.range.end = at;
        let id = self.next_id;
        self.next_id += 1;
        self.all.insert(id, Segment { range, next: at, busy: true });
        self.busy += 1;
        Some(Claim::Stolen { id, from: at, victim })
    }

    /// A page of a segment arrived that covers everything below `through`. Returns the end of the segment as it
    /// is now (it may have been cut meanwhile): what lies at or past it is another's.
    pub(super) fn listed(&mut self, id: u32, through: u32) -> u32 {
        let Some(segment) = self.all.get_mut(&id) else { return 0 };
        segment.next = segment.next.max(through.min(segment.range.end));
        segment.range.end
    }

    /// A cursor leaves what it was at: at its end, or because it must stop.
    pub(super) fn release(&mut self, id: Option<u32>) {
        self.busy = self.busy.saturating_sub(1);
        if let Some(segment) = id.and_then(|id| self.all.get_mut(&id)) {
            segment.busy = false;
        }
    }

    /// Puts a range back that could not be listed to its end: it comes next, so that blocks go out in order.
    pub(super) fn put_back(&mut self, range: BlockRange) {
        if !range.is_empty() {
            self.again.push_front(range);
        }
    }

    /// A page with items was handed on.
    pub(super) fn opened(&mut self) {
        self.open += 1;
    }

    /// Its last item came back; `refused` when some of them need fresh tokens.
    pub(super) fn drained(&mut self, range: BlockRange, refused: bool) {
        self.open = self.open.saturating_sub(1);
        if refused {
            self.put_back(range);
        }
    }

    /// Falls back to one cursor.
    pub(super) fn fall_back(&mut self) {
        self.one_cursor = true;
    }

    pub(super) fn has_one_cursor(&self) -> bool {
        self.one_cursor
    }

    fn is_over(&self) -> bool {
        self.open == 0 && self.busy == 0 && self.again.is_empty() && self.all.values().all(|s| s.next >= s.range.end)
    }

    /// Which segment an index lies in.
    pub(super) fn of(&self, index: u32) -> Option<u32> {
        self.all.iter().find(|(_, s)| s.range.start <= index && index < s.range.end).map(|(id, _)| *id)
    }

    /// All of them.
    #[cfg(test)]
    fn all(&self) -> Vec<(u32, Segment)> {
        self.all.iter().map(|(id, s)| (*id, *s)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fresh(blocks: u32, count: u32, page: u16) -> Segments {
        Segments::new(Segments::cut(blocks, count).into_iter().map(|(id, r)| (id, r, r.start)), [], page, false)
    }

    proptest! {
        #[test]
        fn segments_always_cut_the_volume_whole(blocks in 1u32..200_000, count in 1u32..17, page in 100u16..2000, seed in 0u64..1000) {
            let mut segments = fresh(blocks, count, page);
            let mut random = fastrand::Rng::with_seed(seed);
            let mut listed = vec![0u8; blocks as usize];
            let mut cursors: Vec<(u32, u32)> = Vec::new();
            loop {
                if cursors.len() < count as usize && random.bool() {
                    match segments.claim(false) {
                        Claim::Segment { id, from } | Claim::Stolen { id, from, .. } => cursors.push((id, from)),
                        Claim::Over => break,
                        Claim::Again(_) => unreachable!("nothing was refused"),
                        Claim::Wait => {}
                    }
                    continue;
                }
                if cursors.is_empty() {
                    continue;
                }
                let at = random.usize(..cursors.len());
                let (id, from) = cursors[at];
                let through = from.saturating_add(u32::from(page)).min(blocks);
                let end = segments.listed(id, through);
                for index in from..through.min(end) {
                    listed[index as usize] += 1;
                }
                if through >= end {
                    segments.release(Some(id));
                    cursors.swap_remove(at);
                } else {
                    cursors[at].1 = through;
                }
            }
            prop_assert!(listed.iter().all(|count| *count == 1), "every index is listed once");
            let mut ranges: Vec<BlockRange> = segments.all().iter().map(|(_, s)| s.range).collect();
            ranges.sort_by_key(|range| range.start);
            prop_assert_eq!(ranges.first().map(|r| r.start), Some(0));
            prop_assert_eq!(ranges.last().map(|r| r.end), Some(blocks));
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }

    #[test]
    fn a_cursor_that_ends_takes_the_far_half_of_the_largest_rest() {
        let mut segments = fresh(40_000, 2, 1000);
        assert_eq!(segments.claim(true), Claim::Segment { id: 0, from: 0 });
        assert_eq!(segments.claim(false), Claim::Segment { id: 1, from: 20_000 });
        assert_eq!(segments.listed(0, 20_000), 20_000);
        segments.release(Some(0));
        segments.listed(1, 22_000);
        assert_eq!(segments.claim(true), Claim::Stolen { id: 2, from: 31_000, victim: 1 });
        assert_eq!(segments.listed(1, 32_000), 31_000, "what it brings past its new end is another's");
    }

    #[test]
    fn one_cursor_drains_each_page_before_the_next() {
        let mut segments = fresh(40_000, 2, 1000);
        segments.claim(true);
        segments.listed(0, 1000);
        segments.opened();
        segments.fall_back();
        segments.release(Some(0));
        assert_eq!(segments.claim(true), Claim::Wait, "a page is still on its way");
        segments.drained(BlockRange::new(0, 1000), true);
        assert_eq!(segments.claim(false), Claim::Wait, "only the first cursor goes on");
        assert_eq!(segments.claim(true), Claim::Again(BlockRange::new(0, 1000)));
        segments.release(None);
        assert_eq!(segments.claim(true), Claim::Segment { id: 0, from: 1000 });
    }

    #[test]
    fn nothing_is_over_while_a_page_may_come_back() {
        let mut segments = fresh(500, 1, 1000);
        segments.claim(true);
        segments.listed(0, 500);
        segments.opened();
        segments.release(Some(0));
        assert_eq!(segments.claim(true), Claim::Wait);
        segments.drained(BlockRange::new(0, 500), false);
        assert_eq!(segments.claim(true), Claim::Over);
    }
}

//! What a run is set to, computed in one place: the estimate and the engine call these very functions.
//!
//! Weights are the measured cost of what an item holds on its whole way: its block, and what the connection that brings
//! it keeps. Blocks of EBS and of S3 come by connections that keep no read buffer of their own (`aws/lean`).

use crate::archive::FRAME_MAX;
use crate::plan::model::{Choices, Options, Pace};
use crate::plan::parts::copy_lanes;
use crate::units::{BLOCK_BYTES, Blocks, Bytes};

/// What a connection keeps over which a block comes: the head of its answer, HTTP and TLS state (two records, the lane's
/// own), and what the allocator keeps between them in a long run (release build, 29 November 2026).
pub const CONNECTION: Bytes = Bytes::kib(96);
/// What one block in flight weighs when it is read from EBS or S3: its bytes (those of its frame, until it is unpacked) and
/// the connection's.
pub const FETCHED_ITEM: Bytes = Bytes(BLOCK_BYTES + CONNECTION.0);
/// What a connection keeps over which a block is put: what of it has been encrypted and waits for the network, and small
/// buffers (release build, 29 November 2026: 256 lanes of an upload of 16 GiB over TLS).
pub const PUT_CONNECTION: Bytes = Bytes::kib(64);
/// What one block in flight weighs when it is read from a file: its bytes and the put's connection.
pub const LOCAL_ITEM: Bytes = Bytes(BLOCK_BYTES + PUT_CONNECTION.0);
/// What the frame of one block weighs, compressed or stored, until its object was acknowledged: its bytes, and what the
/// allocator keeps between short frames of many lengths. Long ones lie in the job's buffers.
pub const FRAME: Bytes = Bytes(FRAME_MAX as u64 + 65_536);

/// The level that a pace compresses at: 3 is zstd's own default; 9 takes about four times as long for a few percent.
#[must_use]
pub const fn level(pace: Pace) -> i32 {
    match pace {
        Pace::CostEfficient => 9,
        Pace::Aggressive => 1,
        Pace::Balanced | Pace::Conservative => 3,
    }
}

/// Tables and scratch of one compressor at the level of this pace, rounded up to a quarter of a MiB.
#[must_use]
pub const fn compressor(pace: Pace) -> Bytes {
    match level(pace) {
        ..=1 => Bytes::kib(1536),
        2..=3 => Bytes::kib(2304),
        _ => Bytes::kib(6912),
    }
}

/// What one block of an archive takes beside its frame while it is unpacked: its own buffer, and the tables of a
/// decompressor, about 160 KiB.
pub const UNPACKER: Bytes = Bytes::kib(512 + 8 + 160);
/// Blocks of an archive that are unpacked at a time, at most: what eight cores do is more than a network brings.
const UNPACKERS_MAX: u64 = 8;
/// What the index of an archive holds while it is written: a part of an upload (S3 takes none below 5 MiB), and a chunk.
pub const INDEX: Bytes = Bytes::mib(6);
/// Parts of an index that is longer than one: S3 takes 10,000 of them, none below 5 MiB but the last; the index of 64 TiB
/// has 6 GiB.
pub const INDEX_PART: Bytes = Bytes::mib(5);
/// Segments of flexible-snapshot-proxy that are unpacked at a time: blocks come in order, so lanes read of two at most.
pub const FSP_OPEN: usize = 2;
/// What the name of one segment of flexible-snapshot-proxy takes, 44 bytes, and as much again while their list grows.
const FSP_NAME: u64 = 88;

/// What a folder of flexible-snapshot-proxy keeps while it is read: unpacked segments, and the names of all.
#[must_use]
pub const fn fsp_keeps(largest: Bytes, segments: u64) -> Bytes {
    Bytes(largest.0 * FSP_OPEN as u64 + segments * FSP_NAME)
}
/// Compressors at once, at most: eight write more than a snapshot gives.
const COMPRESSORS_MAX: u64 = 8;
/// Lanes that one compressor keeps up with: with an answer in ten milliseconds they bring 200 MiB a second.
const LANES_A_COMPRESSOR: u32 = 4;
/// Budget for each compressor.
const BUDGET_A_COMPRESSOR: Bytes = Bytes::mib(72);
/// Part of the budget that may be held by what unpacks: a reciprocal.
const UNPACKERS_SHARE: u64 = 24;
/// The most blocks of one object: 32 MiB of volume.
const RUN_MAX: u32 = 64;
/// Lanes that an archive starts with: four runs of half the length are on their way at once.
const ARCHIVE_START: u32 = 128;

/// Blocks that are in memory at a time, at most, of a job whose blocks only pass through: what the network brings stays
/// in its connections until there is a place for it.
pub const IN_HAND: u32 = 40;

/// What the lanes of a job hold: a connection each, and a block each, or a block for as many as hold one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    item: Bytes,
    in_hand: Option<u32>,
}

impl Load {
    /// Every lane holds a whole item of this weight, a block and what belongs to it.
    #[must_use]
    pub const fn whole(item: Bytes) -> Self {
        Self { item, in_hand: None }
    }
    /// The same, with [`IN_HAND`] blocks at a time at most.
    #[must_use]
    pub const fn passing(item: Bytes) -> Self {
        Self { item, in_hand: Some(IN_HAND) }
    }
    /// The blocks that are in memory at a time at most, where that is not one for each lane.
    #[must_use]
    pub const fn in_hand(&self) -> Option<u32> {
        self.in_hand
    }
    /// The blocks that so many lanes hold at most.
    #[must_use]
    pub fn blocks(&self, lanes: u32) -> Bytes {
        Bytes(u64::from(self.in_hand.map_or(lanes, |most| lanes.min(most))) * BLOCK_BYTES)
    }
    /// What so many lanes hold beside that.
    #[must_use]
    pub fn connections(&self, lanes: u32) -> Bytes {
        Bytes(u64::from(lanes) * self.item.0.saturating_sub(BLOCK_BYTES))
    }
    /// All that so many lanes hold.
    #[must_use]
    pub fn of(&self, lanes: u32) -> Bytes {
        self.blocks(lanes) + self.connections(lanes)
    }
    /// Lanes that a budget has room for: at least one.
    #[must_use]
    pub fn lanes_in(&self, budget: Bytes) -> u32 {
        let whole = lanes_for(budget, self.item);
        match self.in_hand.filter(|most| whole > *most) {
            None => whole,
            Some(most) => {
                let room = budget.less(listing_share(budget)).less(self.of(most));
                let each = self.item.0.saturating_sub(BLOCK_BYTES).max(1);
                most.saturating_add(u32::try_from(room.0 / each).unwrap_or(u32::MAX))
            }
        }
    }
}

/// One listed block while it waits: index, token (60 to 216 characters), allocation, and its share of the
/// page's JSON while that is parsed.
pub const LISTED_ENTRY: Bytes = Bytes(400);
/// Part of the budget that listing pages may hold: a reciprocal.
pub const LISTING_SHARE: u64 = 8;
/// The most that listing pages hold, however large the budget: 7,800 blocks ahead of the lanes are eight seconds
/// of the default quota. More would only make a large snapshot dearer in memory than a small one.
pub const LISTING_MOST: Bytes = Bytes::mib(3);
/// Fewest and most blocks that a page may be asked for (ListSnapshotBlocks `MaxResults`).
pub const PAGE_MIN: u16 = 100;
/// See [`PAGE_MIN`].
pub const PAGE_MAX: u16 = 10_000;
/// Listing cursors at once, at most. Their pages share [`LISTING_MOST`], so few cursors ask for large pages: fewer
/// requests to pay for and to be counted against 50 a second, and a tenth of a second an answer still feeds 1,000
/// blocks a second many times over.
pub const CURSORS_MAX: u32 = 4;
/// Blocks below which a second cursor is not worth its request.
const BLOCKS_PER_CURSOR: u64 = 8_192;

/// Default quota of Get and Put requests, per snapshot and per account (L-028ACFB9, L-C125AE42, L-1774F84A, L-AFAE1BE8).
pub const REQUESTS_PER_SECOND: f64 = 1000.0;

impl Choices {
    /// Pages that listing so many of a volume's blocks takes, at most: full ones, a page that ends each cursor's range,
    /// and one more for each range that is divided because a cursor ended early (each halves what is left, down to a page).
    #[must_use]
    pub fn lists_at_most(&self, volume: Blocks, blocks: Blocks) -> u64 {
        let page = u64::from(self.page_size).max(1);
        let cursors = u64::from(self.cursors);
        let each = (volume.0 / page / cursors.max(1)).checked_ilog2().unwrap_or(0);
        let divisions = if cursors > 1 { cursors * u64::from(each) } else { 0 };
        blocks.0.div_ceil(page) + cursors + divisions
    }

    /// What a job keeps all the time leaves less for its lanes.
    pub(super) fn keep(&mut self, kept: Bytes, load: Load, share: Bytes) {
        self.lanes_max = self.lanes_max.min(load.lanes_in(share.less(kept)));
        self.lanes_start = self.lanes_start.min(self.lanes_max);
    }

    /// What changes where blocks go to archives: one cursor, so that what is on its way is nearly contiguous and
    /// objects span little; lanes enough for runs that are worth a request.
    pub(super) fn for_archives(&mut self, pace: Pace) {
        if !matches!(pace, Pace::Conservative) {
            self.lanes_start = self.lanes_start.max(ARCHIVE_START);
        }
        self.lanes_start = self.lanes_start.min(self.lanes_max);
        self.cursors = 1;
    }

    /// What changes where blocks go to objects or come from archives: one cursor, because a part is sent when all of its
    /// blocks are there, and because an index is kept a chunk at a time, so that each is asked for once.
    pub(super) const fn in_order(&mut self) {
        self.cursors = 1;
    }

    /// Blocks of one object of an archive that this run writes, of so many: fixed, so that its requests are known before.
    #[must_use]
    pub const fn run_blocks(&self, archives: u32) -> u32 {
        run_blocks(self.lanes_start, archives)
    }

    /// What changes where S3 copies by itself: an item is one request, and its pace says how many are on their way.
    pub(super) fn for_copies(&mut self, options: &Options) {
        let (start, top, _) = copy_lanes(options.pace);
        self.lanes_max = top.min(options.concurrency.unwrap_or(u32::MAX)).max(1);
        self.lanes_start = start.min(self.lanes_max);
        self.cursors = 1;
    }

    /// Takes over the quotas in force; what is not known keeps AWS's default.
    pub(super) fn limit(&mut self, quotas: Quotas) {
        let known = |quota: Option<f64>| quota.unwrap_or(REQUESTS_PER_SECOND);
        self.get_per_account = known(quotas.get_account);
        self.put_per_account = known(quotas.put_account);
        self.get_per_second = known(quotas.get_snapshot).min(self.get_per_account);
        self.put_per_second = known(quotas.put_snapshot).min(self.put_per_account);
    }
}

/// Requests a second, as Service Quotas tells them where that is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Quotas {
    /// L-C125AE42, adjustable.
    pub get_account: Option<f64>,
    /// L-028ACFB9, not adjustable.
    pub get_snapshot: Option<f64>,
    /// L-AFAE1BE8, adjustable.
    pub put_account: Option<f64>,
    /// L-1774F84A, not adjustable.
    pub put_snapshot: Option<f64>,
}

/// Compressors that a budget has room for, and so many lanes have work for.
#[must_use]
pub fn compressors(budget: Bytes, lanes: u32) -> u32 {
    let room = (budget.0 / BUDGET_A_COMPRESSOR.0).clamp(1, COMPRESSORS_MAX);
    u32::try_from(room).unwrap_or(1).min(lanes.div_ceil(LANES_A_COMPRESSOR)).max(1)
}

/// What the compressors of that many archives hold all the time.
#[must_use]
pub fn compressing(archives: u32, budget: Bytes, lanes: u32, pace: Pace) -> Bytes {
    Bytes(u64::from(archives) * u64::from(compressors(budget, lanes)) * compressor(pace).0)
}

/// Blocks of an archive that are unpacked at a time, under a budget: it is work of the cores, so few are as quick as many.
#[must_use]
pub fn unpackers(budget: Bytes) -> u32 {
    u32::try_from((budget.0 / UNPACKERS_SHARE / UNPACKER.0).clamp(1, UNPACKERS_MAX)).unwrap_or(1)
}

/// What that takes all the time.
#[must_use]
pub fn unpacking(budget: Bytes) -> Bytes {
    Bytes(u64::from(unpackers(budget)) * UNPACKER.0)
}

/// Blocks of an object where so many lanes are open: a quarter of them, so that others are sent
/// meanwhile; with few lanes more of them wait for one object, because a request costs as much for one block as for many.
/// Where several archives are made, each has an object open: together they hold fewer blocks than there are lanes, so that
/// one of them can always be filled.
#[must_use]
pub const fn run_blocks(lanes: u32, archives: u32) -> u32 {
    let blocks = match lanes {
        0..=8 => lanes,
        9..=32 => 8,
        _ => lanes / 4,
    };
    let archives = if archives == 0 { 1 } else { archives };
    let filled = lanes.saturating_sub(1) / archives + 1;
    let most = if filled < RUN_MAX { filled } else { RUN_MAX };
    if blocks == 0 {
        1
    } else if blocks > most {
        most
    } else {
        blocks
    }
}

/// Where lanes start and where they may go, by pace: (start, top).
#[must_use]
pub const fn pace_lanes(pace: Pace) -> (u32, u32) {
    match pace {
        Pace::Balanced => (64, 256),
        Pace::Aggressive => (64, 512),
        Pace::Conservative => (8, 64),
        Pace::CostEfficient => (8, 96),
    }
}

/// What a run's listing pages may hold together.
fn listing_room(budget: Bytes) -> Bytes {
    listing_share(budget).min(LISTING_MOST)
}

/// The listing carve-out of a budget.
#[must_use]
pub const fn listing_share(budget: Bytes) -> Bytes {
    Bytes(budget.0 / LISTING_SHARE)
}

/// The least budget that moves anything: one item, the smallest page, and the carve-out's arithmetic.
#[must_use]
pub const fn floor(item: Bytes) -> Bytes {
    Bytes((item.0 * LISTING_SHARE).div_ceil(LISTING_SHARE - 1) + LISTED_ENTRY.0 * PAGE_MIN as u64)
}

/// Jobs that move blocks at a time, at most: more would only share the same lanes.
pub const RUNNING_MOST: usize = 8;
/// A job of at most this many blocks (64 GiB) may take the last place.
const SMALL: Blocks = Blocks(131_072);

/// How many jobs may run at once: no more than the budget has items for.
#[must_use]
pub fn places(budget: Bytes) -> usize {
    usize::try_from(lanes_for(budget, FETCHED_ITEM)).unwrap_or(1).clamp(1, RUNNING_MOST)
}

/// How many of so many places those have that take long: the last one is for whoever will leave it soon.
#[must_use]
pub fn places_of_large(places: usize) -> usize {
    places.saturating_sub(1).max(1)
}

/// Whether one more job may begin beside so many that run.
#[must_use]
pub fn has_place(running: usize, places: usize, is_small: bool) -> bool {
    running < places && (is_small || running < places_of_large(places))
}

/// Whether a job will leave its place soon.
#[must_use]
pub fn is_small(blocks: Blocks) -> bool {
    blocks <= SMALL
}

/// Lanes that a budget has room for: at least one.
#[must_use]
pub fn lanes_for(budget: Bytes, item: Bytes) -> u32 {
    let room = budget.less(listing_share(budget));
    u32::try_from((room.0 / item.0.max(1)).max(1)).unwrap_or(u32::MAX)
}

/// What a run of this size is set to.
#[must_use]
pub fn choose(volume: Blocks, load: Load, budget: Bytes, options: &Options) -> Choices {
    let share = options.share(budget);
    let (start, top) = pace_lanes(options.pace);
    let cap = options.concurrency.unwrap_or(u32::MAX).max(1);
    let lanes_max = top.min(load.lanes_in(share)).min(cap);
    let pages = listing_room(share).0 / LISTED_ENTRY.0;
    let wanted = u32::try_from(volume.0.div_ceil(BLOCKS_PER_CURSOR)).unwrap_or(u32::MAX);
    let affordable = u32::try_from(pages / u64::from(PAGE_MIN)).unwrap_or(u32::MAX);
    let cursors = wanted.min(affordable).clamp(1, CURSORS_MAX);
    let page = (pages / u64::from(cursors)).clamp(u64::from(PAGE_MIN), u64::from(PAGE_MAX));
    Choices {
        lanes_start: start.min(lanes_max),
        lanes_max,
        cursors,
        page_size: u16::try_from(page).unwrap_or(PAGE_MAX),
        budget,
        get_per_second: REQUESTS_PER_SECOND,
        put_per_second: REQUESTS_PER_SECOND,
        get_per_account: REQUESTS_PER_SECOND,
        put_per_account: REQUESTS_PER_SECOND,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn choices_never_exceed_the_budget(
            blocks in 0u64..200_000_000, mib in 2u64..4096, cap in 1u32..2000, passing: bool,
        ) {
            let load = if passing { Load::passing(FETCHED_ITEM) } else { Load::whole(FETCHED_ITEM) };
            let budget = Bytes::mib(mib);
            let options = Options { concurrency: Some(cap), ..Options::default() };
            let c = choose(Blocks(blocks), load, budget, &options);
            prop_assert!(c.lanes_start >= 1 && c.lanes_start <= c.lanes_max && c.lanes_max <= cap);
            prop_assert!((1..=CURSORS_MAX).contains(&c.cursors));
            prop_assert!((PAGE_MIN..=PAGE_MAX).contains(&c.page_size));
            let pages = u64::from(c.cursors) * u64::from(c.page_size) * LISTED_ENTRY.0;
            prop_assert!(pages <= listing_share(budget).0.max(LISTED_ENTRY.0 * u64::from(PAGE_MIN)));
            if budget >= floor(FETCHED_ITEM) {
                prop_assert!(load.of(c.lanes_max).0 + pages <= budget.0);
            }
        }
    }

    #[test]
    fn objects_follow_the_lanes_and_are_never_empty() {
        let runs = |archives| [0, 1, 8, 9, 32, 64, 128, 256, 512].map(|lanes| run_blocks(lanes, archives));
        assert_eq!(runs(1), [1, 1, 8, 8, 8, 16, 32, 64, 64]);
        assert_eq!(runs(3), [1, 1, 3, 3, 8, 16, 32, 64, 64]);
        assert_eq!([1, 64, 256, 4096].map(|mib| compressors(Bytes::mib(mib), 256)), [1, 1, 3, 8]);
        assert_eq!([0, 1, 4, 5, 8, 29].map(|lanes| compressors(Bytes::mib(1024), lanes)), [1, 1, 1, 2, 2, 8]);
    }

    #[test]
    fn a_compressor_weighs_what_it_holds() {
        let block: Vec<u8> = (0_u32..131_072).flat_map(|n| n.wrapping_mul(n / 7).to_le_bytes()).collect();
        for pace in [Pace::Balanced, Pace::Aggressive, Pace::Conservative, Pace::CostEfficient] {
            let mut one = crate::archive::Compressor::new(level(pace)).unwrap();
            one.frame(&block, bytes::BytesMut::with_capacity);
            let (holds, said) = (one.holds() as u64, compressor(pace).0);
            assert!(holds <= said && holds * 100 >= said * 80, "{pace:?}: {holds} of {said}");
        }
    }

    #[test]
    fn a_small_volume_gets_one_cursor_and_a_large_one_four() {
        let options = Options::default();
        assert_eq!(choose(Blocks(2048), Load::whole(FETCHED_ITEM), Bytes::mib(256), &options).cursors, 1);
        let large = choose(Blocks(33_554_432), Load::whole(FETCHED_ITEM), Bytes::mib(256), &options);
        assert_eq!((large.cursors, large.lanes_start), (CURSORS_MAX, 64));
        assert_eq!(large.lanes_max, 256, "memory has room for what the pace wants");
    }
}

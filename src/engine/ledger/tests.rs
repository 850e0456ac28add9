//! The ledger against a model, on a disk that loses, reorders and tears what was not synced.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::ids::JobId;
use crate::units::ZERO_BLOCK_SHA256;

/// Seven pages of bits, so that a cache of sixteen pages is always too small.
const BLOCKS: u32 = 200_003;

fn head(blocks: u32, destinations: usize) -> Header {
    let destinations = (0..destinations).map(|n| format!("eu-west-{n}:")).collect();
    Header {
        job: JobId(14),
        unique: "0123456789abcdef".into(),
        source: "snap-01c55a9e07b3d2f48".into(),
        blocks,
        destinations,
    }
}

fn digest_of(index: u32) -> Digest {
    Digest(Sha256::digest(index.to_le_bytes()).into())
}

#[derive(Debug, Default)]
struct Platter {
    durable: Vec<u8>,
    now: Vec<u8>,
    unsynced: Vec<(u64, Vec<u8>)>,
    fail_sync: Option<(i32, u32)>,
    syncs: u32,
}

/// A disk whose power can be cut: of what was not synced an arbitrary part, in sectors, survives.
#[derive(Debug, Clone, Default)]
struct Shaky(Arc<Mutex<Platter>>);

impl Shaky {
    fn of(header: &Header) -> Self {
        let len = usize::try_from(Ledger::file_len(header).unwrap().0).unwrap();
        let platter = Platter { durable: vec![0; len], now: vec![0; len], ..Platter::default() };
        Self(Arc::new(Mutex::new(platter)))
    }
    fn cut_power(&self, rng: &mut fastrand::Rng) {
        let mut platter = self.0.lock().unwrap();
        for (offset, data) in std::mem::take(&mut platter.unsynced) {
            for (nth, sector) in data.chunks(512).enumerate() {
                if rng.bool() {
                    let at = offset as usize + nth * 512;
                    platter.durable[at..at + sector.len()].copy_from_slice(sector);
                }
            }
        }
        platter.now = platter.durable.clone();
        platter.fail_sync = None;
    }
}

impl Disk for Shaky {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let platter = self.0.lock().unwrap();
        let from = platter.now.get(offset as usize..offset as usize + into.len());
        into.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn write_at(&mut self, from: &[u8], offset: u64) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        platter.now[offset as usize..offset as usize + from.len()].copy_from_slice(from);
        platter.unsynced.push((offset, from.to_vec()));
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        if let Some((errno, times)) = platter.fail_sync {
            platter.fail_sync = (times > 1).then_some((errno, times - 1));
            // What the kernel had to write it calls clean: shown as long as it is cached, and never written again.
            platter.unsynced.clear();
            return Err(io::Error::from_raw_os_error(errno));
        }
        for (offset, data) in std::mem::take(&mut platter.unsynced) {
            platter.durable[offset as usize..offset as usize + data.len()].copy_from_slice(&data);
        }
        platter.syncs += 1;
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }
    fn wants(&self) -> Bytes {
        Bytes::ZERO
    }
}

#[derive(Debug, Clone)]
enum Op {
    List(u32, u32),
    Done(u16, u32, u32),
    Flush,
    Clear(u16, u32, u32),
    Kill,
    CutPower(u64),
    /// The disk fails so often, and is full or broken; then the power is cut.
    FailSync {
        seed: u64,
        times: u32,
        full: bool,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let at = 0..BLOCKS;
    prop_oneof![
        3 => (at.clone(), 1..5000u32).prop_map(|(at, n)| Op::List(at, n)),
        8 => (0..2u16, at.clone(), 1..300u32).prop_map(|(dest, at, n)| Op::Done(dest, at, n)),
        2 => Just(Op::Flush),
        1 => (0..2u16, at, 1..5000u32).prop_map(|(dest, at, n)| Op::Clear(dest, at, n)),
        1 => Just(Op::Kill),
        1 => any::<u64>().prop_map(Op::CutPower),
        2 => (any::<u64>(), 1..4u32, any::<bool>()).prop_map(|(seed, times, full)| Op::FailSync { seed, times, full }),
    ]
}

/// What must be there, and what may be there.
#[derive(Debug, Clone, Default)]
struct Model {
    listed: BTreeSet<u32>,
    done: [BTreeSet<u32>; 2],
}

fn runs<D: Disk>(ledger: &Ledger<D>, wanted: Wanted, range: BlockRange) -> BTreeSet<u32> {
    let mut scan = Scan::new(wanted, range);
    let mut found = BTreeSet::new();
    while let Some(run) = scan.next(ledger).unwrap() {
        assert!(!run.is_empty() && range.start <= run.start && run.end <= range.end);
        for index in run.start..run.end {
            assert!(found.last().is_none_or(|last| *last < index), "runs come in order");
            found.insert(index);
        }
    }
    found
}

fn check_equal<D: Disk>(ledger: &mut Ledger<D>, model: &Model) {
    let all = ledger.range();
    assert_eq!(runs(ledger, Wanted::Listed, all), model.listed);
    assert_eq!(ledger.listed().0, model.listed.len() as u64);
    let part = BlockRange::new(BLOCKS / 3, BLOCKS / 2);
    for (nth, done) in model.done.iter().enumerate() {
        let dest = Dest(nth as u16);
        assert_eq!(&runs(ledger, Wanted::Done(dest), all), done);
        assert_eq!(ledger.done(dest).0, done.len() as u64);
        let inside = done.range(part.start..part.end).count() as u64;
        assert_eq!(ledger.count(&Wanted::Done(dest), part).unwrap().0, inside);
        let mut hash = Sha256::new();
        for index in done {
            hash.update(digest_of(*index).0);
        }
        let linear = ledger.linear(dest, false).unwrap();
        assert_eq!(linear, Linear { blocks: Blocks(done.len() as u64), checksum: Digest(hash.finalize().into()) });
    }
    let both = vec![Dest(0), Dest(1)];
    let missing =
        model.listed.iter().filter(|i| !(model.done[0].contains(i) && model.done[1].contains(i))).copied().collect();
    assert_eq!(runs(ledger, Wanted::Pending(both), all), missing);
}

/// After a crash: nothing is made up, nothing that was flushed is lost, every digest is the right one.
fn check_survivor(ledger: &mut Ledger<Shaky>, must: &Model, may: &Model) -> Model {
    let all = ledger.range();
    let found = Model {
        listed: runs(ledger, Wanted::Listed, all),
        done: [0, 1].map(|d| runs(ledger, Wanted::Done(Dest(d)), all)),
    };
    assert!(found.listed.is_superset(&must.listed) && found.listed.is_subset(&may.listed));
    for (dest, done) in found.done.iter().enumerate() {
        assert!(done.is_superset(&must.done[dest]), "a flushed block was lost");
        assert!(done.is_subset(&may.done[dest]), "a block was made up");
        for index in done {
            assert_eq!(ledger.digest(BlockIndex(*index)).unwrap(), Some(digest_of(*index)), "block {index}");
        }
    }
    found
}

/// As a file is opened: what an earlier process left is made safe.
fn opened_again(disk: &Shaky, cache: Bytes) -> Ledger<Shaky> {
    let mut ledger = Ledger::load(disk.clone(), cache).unwrap();
    ledger.write_bits_again().unwrap();
    ledger
}

fn run_case(ops: &[Op]) {
    let disk = Shaky::of(&head(BLOCKS, 2));
    let tiny = Bytes(1);
    let mut ledger = Ledger::format(disk.clone(), head(BLOCKS, 2), tiny).unwrap();
    let (mut model, mut flushed) = (Model::default(), Model::default());
    for op in ops {
        match *op {
            Op::List(at, n) => {
                let range = BlockRange::new(at, at.saturating_add(n).min(BLOCKS));
                let before = model.listed.len();
                model.listed.extend(range.start..range.end);
                let news = (model.listed.len() - before) as u64;
                assert_eq!(ledger.mark_listed_range(range).unwrap(), Blocks(news));
            }
            Op::Done(dest, at, n) => {
                // Far apart, as 16 segments are.
                for nth in 0..n {
                    let index = (at + nth * 997) % BLOCKS;
                    let news = model.done[usize::from(dest)].insert(index);
                    assert_eq!(ledger.mark_done(Dest(dest), BlockIndex(index), &digest_of(index)).unwrap(), news);
                }
            }
            Op::Flush => {
                ledger.flush().unwrap();
                assert!(ledger.is_flushed());
                flushed = model.clone();
            }
            Op::Clear(dest, at, n) => {
                let range = BlockRange::new(at, at.saturating_add(n).min(BLOCKS));
                let done = &mut model.done[usize::from(dest)];
                let before = done.len();
                done.retain(|index| !range.contains(BlockIndex(*index)));
                let gone = (before - done.len()) as u64;
                assert_eq!(ledger.clear_done(Dest(dest), range).unwrap(), Blocks(gone));
                flushed = model.clone();
            }
            Op::Kill => {
                // kill -9: the page cache of the kernel survives, ours does not.
                drop(ledger);
                ledger = opened_again(&disk, tiny);
                model = check_survivor(&mut ledger, &flushed, &model);
                flushed = model.clone();
            }
            Op::CutPower(seed) => {
                drop(ledger);
                disk.cut_power(&mut fastrand::Rng::with_seed(seed));
                ledger = Ledger::load(disk.clone(), tiny).unwrap();
                model = check_survivor(&mut ledger, &flushed, &model);
                flushed = model.clone();
            }
            Op::FailSync { seed, times, full } => {
                if ledger.is_flushed() {
                    continue;
                }
                disk.0.lock().unwrap().fail_sync = Some((if full { 28 } else { 5 }, times));
                let mut tries = 0;
                let saved = loop {
                    let saved = ledger.flush();
                    tries += 1;
                    if saved.is_ok() || !full {
                        break saved;
                    }
                    // Room is waited for, and meanwhile what fits is taken.
                    if ledger.mark_listed(BlockIndex(0)).is_ok() {
                        model.listed.insert(0);
                    }
                };
                if full {
                    assert!(saved.is_ok() && (2..=times + 1).contains(&tries), "{tries} for {times}");
                } else if times > 1 {
                    assert!(saved.is_err() && ledger.mark_listed(BlockIndex(0)).is_err(), "twice in a row is final");
                    disk.0.lock().unwrap().fail_sync = None;
                    assert!(ledger.flush().is_err(), "also when the disk says that all is well again");
                }
                if saved.is_ok() {
                    flushed = model.clone();
                }
                drop(ledger);
                if seed % 2 == 0 {
                    // Killed first: the next process reads what only the kernel has.
                    ledger = opened_again(&disk, tiny);
                    model = check_survivor(&mut ledger, &flushed, &model);
                    flushed = model.clone();
                    drop(ledger);
                }
                disk.cut_power(&mut fastrand::Rng::with_seed(seed));
                ledger = Ledger::load(disk.clone(), tiny).unwrap();
                model = check_survivor(&mut ledger, &flushed, &model);
                flushed = model.clone();
            }
        }
    }
    check_equal(&mut ledger, &model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_ledger_is_its_model_whatever_crashes(ops in proptest::collection::vec(op(), 1..40)) {
        run_case(&ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_map_adds_up(
        seed: u64, start in 0..BLOCKS, len in 1..BLOCKS, cells in 1usize..300,
    ) {
        let mut ledger = Ledger::format(Shaky::of(&head(BLOCKS, 2)), head(BLOCKS, 2), CACHE).unwrap();
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..40 {
            let at = rng.u32(0..BLOCKS - 600);
            ledger.mark_listed_range(BlockRange::new(at, at + 600)).unwrap();
            for index in at..at + rng.u32(0..300) {
                ledger.mark_done(Dest(0), BlockIndex(index), &digest_of(index)).unwrap();
            }
        }
        let range = BlockRange::new(start, start.saturating_add(len).min(BLOCKS));
        let map = ledger.map(range, cells, &[Dest(0)]).unwrap();
        assert!(map.len() <= cells && map[0].range.start == range.start && map[map.len() - 1].range.end == range.end);
        assert!(map.windows(2).all(|two| two[0].range.end == two[1].range.start));
        for cell in &map {
            assert_eq!(u64::from(cell.listed), ledger.count(&Wanted::Listed, cell.range).unwrap().0);
            assert_eq!(u64::from(cell.done), ledger.count(&Wanted::Done(Dest(0)), cell.range).unwrap().0);
        }
        let behind = ledger.map(range, cells, &[Dest(0), Dest(1)]).unwrap();
        assert!(behind.iter().all(|cell| cell.done == 0), "the destination that is furthest behind counts");
    }
}

#[test]
fn bits_reach_the_disk_after_their_digests_and_nothing_is_synced_for_nothing() {
    let disk = Shaky::of(&head(1000, 1));
    let mut ledger = Ledger::format(disk.clone(), head(1000, 1), CACHE).unwrap();
    let syncs = || disk.0.lock().unwrap().syncs;
    let before = syncs();
    ledger.flush().unwrap();
    assert_eq!(syncs(), before, "nothing changed");
    ledger.mark_listed(BlockIndex(7)).unwrap();
    ledger.flush().unwrap();
    assert_eq!(syncs(), before + 1);
    ledger.mark_done(Dest(0), BlockIndex(7), &digest_of(7)).unwrap();
    ledger.mark_done(Dest(0), BlockIndex(8), &digest_of(8)).unwrap();
    ledger.flush().unwrap();
    assert_eq!(syncs(), before + 3, "digests, then bits: two syncs for any number of blocks");
}

#[test]
fn a_16_tib_ledger_is_sparse_and_held_in_two_mebibytes() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    let blocks = 33_554_432;
    let mut ledger = Ledger::create(&path, head(blocks, 2), CACHE).unwrap();
    for nth in 0..2_000u32 {
        let index = BlockIndex(nth * 16_777 % blocks);
        ledger.mark_listed(index).unwrap();
        ledger.mark_done(Dest(0), index, &digest_of(index.0)).unwrap();
    }
    ledger.flush().unwrap();
    assert!(ledger.memory() <= CACHE + Bytes::kib(128), "{}", ledger.memory());
    let taken = std::fs::metadata(&path).unwrap();
    assert!(taken.len() > 1 << 30 && taken.blocks() * 512 < 24 << 20, "{} of {}", taken.blocks() * 512, taken.len());
    assert_eq!(ledger.map(ledger.range(), 4096, &[Dest(0)]).unwrap().iter().map(|c| c.done).sum::<u32>(), 2_000);
    drop(ledger);
    let mut ledger = Ledger::open(&path, CACHE).unwrap();
    assert_eq!(
        (ledger.listed(), ledger.done(Dest(0)), ledger.done(Dest(1))),
        (Blocks(2_000), Blocks(2_000), Blocks(0))
    );
    assert_eq!(ledger.mark_listed_range(ledger.range()).unwrap(), Blocks(u64::from(blocks) - 2_000));
    assert!(ledger.memory() <= CACHE + Bytes::kib(128), "{}", ledger.memory());
}

/// A disk that counts what it is asked for.
struct Counted {
    file: File,
    syncs: u64,
    written: u64,
}

impl Disk for Counted {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        Disk::read_at(&self.file, into, offset)
    }
    fn write_at(&mut self, from: &[u8], offset: u64) -> io::Result<()> {
        self.written += from.len() as u64;
        Disk::write_at(&mut self.file, from, offset)
    }
    fn sync(&mut self) -> io::Result<()> {
        // Only counted: whether it is durable is the other tests' matter.
        self.syncs += 1;
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        Disk::len(&self.file)
    }
    fn wants(&self) -> Bytes {
        Bytes::ZERO
    }
}

/// What 32,768 blocks of 16 TiB cost, a thousand of them between two flushes, told in the order in which four cursors list
/// them and lanes get done: syncs, bytes written, and what was held at most.
fn cost(cache: Bytes, apart: u32) -> (u64, u64, Bytes) {
    const VOLUME: u32 = 33_554_432;
    const MARKED: u32 = 32_768;
    let header = head(VOLUME, 2);
    let file = tempfile::tempfile().unwrap();
    file.set_len(Ledger::file_len(&header).unwrap().0).unwrap();
    let mut ledger = Ledger::format(Counted { file, syncs: 0, written: 0 }, header, cache).unwrap();
    let (mut rng, mut held) = (fastrand::Rng::with_seed(4), Bytes::ZERO);
    let order: Vec<u32> =
        (0..MARKED / 4).flat_map(|nth| (0..4).map(move |cursor| cursor * (MARKED / 4) + nth)).collect();
    for some in order.chunks(1_000) {
        let mut some = some.to_vec();
        for nth in &some {
            ledger.mark_listed(BlockIndex(nth * apart)).unwrap();
        }
        rng.shuffle(&mut some);
        for nth in &some {
            for dest in 0..2 {
                ledger.mark_done(Dest(dest), BlockIndex(nth * apart), &digest_of(*nth)).unwrap();
            }
        }
        ledger.flush().unwrap();
        held = held.max(ledger.memory());
    }
    assert_eq!(ledger.done(Dest(1)), Blocks(u64::from(MARKED)));
    (ledger.pages.disk().syncs, ledger.pages.disk().written, held)
}

#[test]
fn blocks_far_apart_cost_no_more_syncs_than_blocks_side_by_side() {
    let said = crate::plan::LEDGER_CACHE;
    let (dense, dense_bytes, dense_held) = cost(most(2, 1), 1);
    let (apart, apart_bytes, apart_held) = cost(most(2, 1), 1_023);
    println!("side by side: {dense} syncs, {dense_bytes} bytes, {dense_held}");
    println!("far apart: {apart} syncs, {apart_bytes} bytes, {apart_held}");
    let (small, _, small_held) = cost(CACHE, 1_023);
    println!("far apart within {CACHE}: {small} syncs, {small_held}");
    assert!(apart <= 2 * dense, "{apart} syncs far apart, {dense} side by side");
    assert!(apart_held <= said && dense_held <= CACHE + Bytes::kib(256), "{apart_held}, {dense_held}");
    // A page of digests for every block, and little beside it.
    assert!(apart_bytes <= 32_768 * 2 * PAGE as u64, "{apart_bytes} bytes");
}

#[test]
fn ledgers_together_hold_no_more_than_plans_say() {
    let said = crate::plan::LEDGER_CACHE;
    for (destinations, together) in [(1, 1), (2, 1), (8, 1), (1, 4), (1, 8), (3, 8)] {
        let counters = Bytes((destinations as u64 + 1) * u64::from(CHUNKS + 1) * 4);
        let one = most(destinations, together);
        assert!(one >= CACHE, "{destinations} destinations, {together} ledgers: {one}");
        let all = Bytes((one.0 + if one > CACHE { counters.0 } else { 0 }) * together as u64);
        assert!(all <= said, "{destinations} destinations, {together} ledgers: {all}");
    }
}

#[test]
fn a_header_that_is_damaged_foreign_or_of_the_future_is_refused() {
    let disk = Shaky::of(&head(1000, 2));
    drop(Ledger::format(disk.clone(), head(1000, 2), CACHE).unwrap());
    let load = || Ledger::load(disk.clone(), CACHE);
    assert!(load().unwrap().header().must_equal(&head(1000, 2)).is_ok());
    assert!(load().unwrap().header().must_equal(&head(1001, 2)).unwrap_err().what.contains("1000 blocks, not 1001"));
    assert!(load().unwrap().header().must_equal(&head(1000, 3)).unwrap_err().what.contains("destinations"));
    let elsewhere = Header { unique: "fedcba9876543210".into(), ..head(1000, 2) };
    let refused = load().unwrap().header().must_equal(&elsewhere).unwrap_err();
    assert!(refused.what.contains("job 14 of another state directory"), "{refused}");
    assert!(Header { unique: String::new(), ..head(1000, 2) }.must_equal(&elsewhere).is_ok(), "one of before");
    for at in [0, 3, 13, 16, 40, 90] {
        disk.0.lock().unwrap().now[at] ^= 0x10;
        let error = load().unwrap_err();
        assert!(error.what.contains("damaged"), "byte {at}: {error}");
        disk.0.lock().unwrap().now[at] ^= 0x10;
    }
    disk.0.lock().unwrap().now[8] = 2;
    assert!(load().unwrap_err().what.contains("format version 2, this floe reads version 1"));
    disk.0.lock().unwrap().now[8] = 1;
    let len = disk.0.lock().unwrap().now.len();
    for keep in [0, 100, 4096, len - 1] {
        let cut = Shaky::default();
        cut.0.lock().unwrap().now = disk.0.lock().unwrap().now[..keep].to_vec();
        assert!(Ledger::load(cut, CACHE).unwrap_err().what.contains("cut off"), "{keep} bytes");
    }
}

#[test]
fn one_writer_and_only_what_it_knows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    let mut ledger = Ledger::create(&path, head(100, 1), CACHE).unwrap();
    assert!(Ledger::open(&path, CACHE).unwrap_err().what.contains("in use by another engine"));
    assert!(Ledger::create(&path, head(100, 1), CACHE).is_err(), "an existing ledger is never started over");
    assert!(ledger.mark_listed(BlockIndex(100)).is_err());
    assert!(ledger.mark_done(Dest(1), BlockIndex(0), &digest_of(0)).is_err());
    assert!(ledger.is_done(Dest(0), BlockIndex(100)).is_err());
    assert!(ledger.mark_listed_range(BlockRange::new(50, 101)).is_err());
    assert!(Ledger::file_len(&head(u32::MAX, 1)).is_err());
}

#[test]
fn a_source_that_changes_between_two_reads_is_found() {
    let mut ledger = Ledger::format(Shaky::of(&head(100, 2)), head(100, 2), CACHE).unwrap();
    assert_eq!(ledger.digest(BlockIndex(5)).unwrap(), None);
    assert!(ledger.mark_done(Dest(0), BlockIndex(5), &digest_of(5)).unwrap());
    assert!(!ledger.mark_done(Dest(0), BlockIndex(5), &digest_of(5)).unwrap());
    assert!(ledger.mark_done(Dest(1), BlockIndex(5), &digest_of(5)).unwrap(), "another destination, the same content");
    let error = ledger.mark_done(Dest(1), BlockIndex(5), &digest_of(6)).unwrap_err();
    assert!(error.what.contains("source changed") && error.block == Some(BlockIndex(5)), "{error}");
    ledger.clear_done(Dest(0), ledger.range()).unwrap();
    ledger.clear_done(Dest(1), ledger.range()).unwrap();
    assert!(ledger.mark_done(Dest(1), BlockIndex(5), &digest_of(6)).unwrap(), "after it was given up, anything goes");
}

#[test]
fn the_linear_checksum_counts_what_was_written_and_digests_come_in_batches() {
    let mut ledger = Ledger::format(Shaky::of(&head(9000, 1)), head(9000, 1), Bytes(1)).unwrap();
    let mut known = BTreeMap::new();
    for index in (0..9000u32).filter(|i| i % 3 != 1) {
        let digest = if index % 5 == 0 { ZERO_BLOCK_SHA256 } else { digest_of(index) };
        ledger.mark_done(Dest(0), BlockIndex(index), &digest).unwrap();
        known.insert(index, digest);
    }
    let expect = |omit: bool| {
        let kept: Vec<_> = known.values().filter(|d| !omit || **d != ZERO_BLOCK_SHA256).collect();
        let hash = kept.iter().fold(Sha256::new(), |hash, digest| hash.chain_update(digest.0));
        Linear { blocks: Blocks(kept.len() as u64), checksum: Digest(hash.finalize().into()) }
    };
    assert_eq!(ledger.linear(Dest(0), false).unwrap(), expect(false));
    assert_eq!(ledger.linear(Dest(0), true).unwrap(), expect(true));
    let (mut from, mut seen) = (BlockIndex(0), BTreeMap::new());
    loop {
        let batch = ledger.done_digests(Dest(0), from, 100).unwrap();
        let Some((last, _)) = batch.last() else { break };
        from = BlockIndex(last.0 + 1);
        assert!(batch.len() == 100 || ledger.done_digests(Dest(0), from, 1).unwrap().is_empty());
        seen.extend(batch.into_iter().map(|(index, digest)| (index.0, digest)));
    }
    assert_eq!(seen, known);
}

#[test]
fn what_is_behind_is_counted_from_the_counters() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::create(&dir.path().join("ledger"), head(1_000_000, 3), CACHE).unwrap();
    let mut random = fastrand::Rng::with_seed(11);
    let dests = [Dest(0), Dest(1), Dest(2)];
    for round in 0..40 {
        let start = random.u32(..990_000);
        let length = random.u32(1..9_000);
        ledger.mark_listed_range(BlockRange::new(start, start + length)).unwrap();
        for (dest, share) in dests.iter().zip([1, 2, random.u32(1..4)]) {
            for index in (start..start + length).filter(|index| index % share == 0).take(500 * round) {
                ledger.mark_done(*dest, BlockIndex(index), &Digest([7; 32])).unwrap();
            }
        }
        for some in [&dests[..], &dests[..2], &dests[1..], &dests[..1], &[]] {
            let exact = ledger.count(&Wanted::Pending(some.to_vec()), ledger.range()).unwrap();
            let counted = ledger.behind(some).unwrap();
            // Without any destination nothing can be done anywhere.
            let exact = if some.is_empty() { ledger.listed() } else { exact };
            assert_eq!(counted, exact, "round {round}, {some:?}");
        }
    }
    assert!(ledger.behind(&[Dest(9)]).is_err());
}

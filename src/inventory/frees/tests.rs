//! Freed bytes against a block store that counts references: random trees of volumes and snapshots, random sets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::ids::SnapshotId;
use crate::inventory::verdict::Sureness;
use crate::inventory::{Origin, SnapshotRow, State, Tier, VolumeRow};
use crate::units::{Blocks, Bytes};

/// Which version of each block.
type Map = BTreeMap<u32, u64>;

struct Snap {
    row: SnapshotRow,
    map: Map,
    /// Named the same for all that descend from one volume.
    lineage: u32,
}

struct Vol {
    row: VolumeRow,
    map: Map,
    lineage: u32,
    is_there: bool,
}

/// A region in which every version of a block is stored once.
struct World {
    dice: fastrand::Rng,
    snaps: Vec<Snap>,
    vols: Vec<Vol>,
    next: u64,
    origin: Arc<Origin>,
}

const BLOCKS: u32 = 40;

impl World {
    fn new(seed: u64) -> Self {
        let account = "123456789012".parse().unwrap();
        let origin = Arc::new(Origin { profile: None, account, region: "us-east-1".parse().unwrap() });
        Self { dice: fastrand::Rng::with_seed(seed), snaps: Vec::new(), vols: Vec::new(), next: 1, origin }
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn volume(&mut self, from: Option<usize>) {
        let (id, now) = (self.id(), self.next);
        let (map, lineage) =
            from.map_or_else(|| (Map::new(), id as u32), |n| (self.snaps[n].map.clone(), self.snaps[n].lineage));
        let row = VolumeRow {
            origin: self.origin.clone(),
            id: format!("vol-{id:017x}").parse().unwrap(),
            name: None,
            size: Bytes::gib(1),
            kind: "gp3".to_owned(),
            state: "available".to_owned(),
            zone: String::new(),
            attached_to: Vec::new(),
            snapshot: from.map(|n| self.snaps[n].row.id.clone()),
            iops: None,
            throughput: None,
            encrypted: false,
            created: jiff::Timestamp::from_second(now as i64).unwrap(),
            tags: Vec::new(),
        };
        self.vols.push(Vol { row, map, lineage, is_there: true });
    }

    /// Writes, drops and writes again.
    fn work(&mut self, vol: usize) {
        for _ in 0..self.dice.u32(0..20) {
            let (at, version) = (self.dice.u32(0..BLOCKS), self.id());
            if self.dice.u8(0..4) == 0 {
                self.vols[vol].map.remove(&at);
            } else {
                self.vols[vol].map.insert(at, version);
            }
        }
    }

    fn keep(&mut self, volume: crate::ids::VolumeId, map: Map, lineage: u32) {
        let id = self.id();
        let row = SnapshotRow {
            origin: self.origin.clone(),
            id: format!("snap-{id:017x}").parse().unwrap(),
            name: None,
            owner: self.origin.account.clone(),
            volume: Some(volume),
            size: Bytes::gib(1),
            full: None,
            state: State::Completed,
            state_message: None,
            progress: None,
            started: jiff::Timestamp::from_second(id as i64).unwrap(),
            tier: Tier::Standard,
            encrypted: false,
            kms_key: None,
            data_key_id: None,
            description: String::new(),
            tags: Vec::new(),
        };
        self.snaps.push(Snap { row, map, lineage });
    }

    fn snapshot(&mut self, vol: usize) {
        let one = &self.vols[vol];
        let (volume, map, lineage) = (one.row.id.clone(), one.map.clone(), one.lineage);
        self.keep(volume, map, lineage);
    }

    /// A random history. A `plain` one has volumes and snapshots only: every chain of it is linear.
    fn live(&mut self, plain: bool) {
        self.volume(None);
        for _ in 0..self.dice.usize(6..40) {
            let vol = self.dice.usize(0..self.vols.len());
            let of = |dice: &mut fastrand::Rng, all: usize| (all > 0).then(|| dice.usize(0..all));
            let snap = of(&mut self.dice, self.snaps.len());
            match (self.dice.u8(0..20), snap) {
                (0 | 1, _) => self.volume(None),
                (2 | 3, Some(from)) if !plain => self.volume(Some(from)),
                (4, Some(from)) if !plain => {
                    let (map, lineage) = (self.snaps[from].map.clone(), self.snaps[from].lineage);
                    self.keep("vol-ffffffff".parse().unwrap(), map, lineage);
                }
                (5, Some(n)) if !plain => self.snaps[n].row.state = State::Recoverable,
                (6, Some(n)) if !plain && self.snaps[n].row.state == State::Completed => {
                    self.snaps.remove(n);
                }
                (7, _) if !plain => self.vols[vol].is_there = false,
                (8, Some(n)) if !plain && self.dice.bool() => self.snaps[n].row.state = State::Pending,
                _ if self.vols[vol].is_there => {
                    self.work(vol);
                    self.snapshot(vol);
                }
                _ => {}
            }
        }
    }

    fn find(&self, id: &SnapshotId) -> &Snap {
        self.snaps.iter().find(|snap| snap.row.id == *id).expect("it is there")
    }

    /// What a set frees, counted by references.
    fn truth(&self, goes: &BTreeSet<SnapshotId>) -> u64 {
        let versions = |stays: bool| -> BTreeSet<u64> {
            let all = self.snaps.iter().filter(|snap| goes.contains(&snap.row.id) != stays);
            all.flat_map(|snap| snap.map.values().copied()).collect()
        };
        versions(false).difference(&versions(true)).count() as u64
    }

    /// The lifetimes of a stretch, from lists as AWS makes them, walked in ranges.
    fn walked(&self, stretch: &Stretch) -> Lifetimes {
        let empty = Map::new();
        let mut all = Lifetimes::default();
        for first in (0..BLOCKS).step_by(16) {
            let mut walk = Walk::new(first, 16, stretch.before.is_some());
            for (before, this) in stretch.steps() {
                let (old, new) = (before.map_or(&empty, |id| &self.find(id).map), &self.find(this).map);
                for index in 0..BLOCKS {
                    if old.get(&index) != new.get(&index) {
                        walk.event(index, new.contains_key(&index));
                    }
                }
                walk.stepped();
            }
            all = all.and(walk.end(stretch.after.is_some()));
        }
        all
    }

    /// Every chain, with its suspects asked about.
    fn chains(&self) -> Vec<Chain> {
        self.chains_seen(false)
    }

    /// The same; what lies in the Recycle Bin is `apart` from what is described, as EC2 has it, and told by its volume.
    fn chains_seen(&self, apart: bool) -> Vec<Chain> {
        let binned = |snap: &&Snap| apart && snap.row.state == State::Recoverable;
        let rows: Vec<&SnapshotRow> = self.snaps.iter().filter(|snap| !binned(snap)).map(|snap| &snap.row).collect();
        let bin: Vec<_> = self.snaps.iter().filter(binned).filter_map(|snap| snap.row.volume.clone()).collect();
        let volumes: Vec<&VolumeRow> = self.vols.iter().filter(|vol| vol.is_there).map(|vol| &vol.row).collect();
        let mut seen = BTreeSet::new();
        let mut out = Vec::new();
        for row in &rows {
            if seen.contains(&row.id) {
                continue;
            }
            let mut chain = Chain::of(row, &rows, &volumes);
            seen.extend(chain.members.iter().map(|member| member.id.clone()));
            let own = chain.spokesman().map(|id| self.find(id).lineage);
            let related =
                chain.suspects.iter().any(|suspect| own.is_none_or(|own| self.find(&suspect.id).lineage == own));
            chain.answered(related.then_some(Why::Related));
            chain.binned(row, Some(&bin), &rows, &volumes);
            out.push(chain);
        }
        out
    }

    /// What is exact of it, and what is at most; none where nothing is only at most.
    fn figure(&self, chains: &[Chain], goes: &BTreeSet<SnapshotId>) -> (u64, Option<u64>) {
        let stretches = chains.iter().flat_map(|chain| chain.stretches(|id| goes.contains(id)));
        parts(stretches.map(|stretch| (self.walked(&stretch).freed(|_| true), stretch.sure())))
    }

    /// The same from one walk over each whole chain, as the deck has it.
    fn figure_at_once(&self, chains: &[Chain], goes: &BTreeSet<SnapshotId>) -> (u64, Option<u64>) {
        let touched =
            chains.iter().filter(|chain| chain.members.iter().any(|one| one.is_listed && goes.contains(&one.id)));
        parts(touched.filter_map(|chain| {
            let whole = chain.whole()?;
            let frees = chain.freed(&whole, &self.walked(&whole), |id| goes.contains(id));
            Some((frees.bytes.blocks(), frees.label))
        }))
    }

    /// Tags what has no volume with parents of its lineage: some true, some not, some that name each other.
    fn record(&mut self) {
        let known: Vec<(u32, SnapshotId)> = self.snaps.iter().map(|snap| (snap.lineage, snap.row.id.clone())).collect();
        for snap in
            self.snaps.iter_mut().filter(|snap| snap.row.volume.as_ref().is_some_and(|one| one.is_placeholder()))
        {
            let kin: Vec<&SnapshotId> =
                known.iter().filter(|(lineage, _)| *lineage == snap.lineage).map(|(_, id)| id).collect();
            if let Some(named) = self.dice.choice(&kin) {
                snap.row.tags = vec![("floe:parent".to_owned(), named.to_string())];
            }
        }
    }

    fn some(&mut self) -> BTreeSet<SnapshotId> {
        let share = self.dice.u8(1..=4);
        let mut goes = BTreeSet::new();
        for snap in &self.snaps {
            if snap.row.state == State::Completed && self.dice.u8(0..4) < share {
                goes.insert(snap.row.id.clone());
            }
        }
        goes
    }
}

fn parts(of: impl Iterator<Item = (Blocks, Sureness)>) -> (u64, Option<u64>) {
    of.fold((0, None), |(exact, at_most), (blocks, sure)| match sure {
        Sureness::Exact => (exact + blocks.0, at_most),
        Sureness::UpperBound | Sureness::Unknown => (exact, Some(at_most.unwrap_or(0) + blocks.0)),
    })
}

#[test]
fn exact_is_the_truth_and_at_most_is_never_below_it() {
    let (mut exact, mut bounds, mut tight) = (0, 0, 0);
    for seed in 0..400 {
        let mut world = World::new(seed);
        world.live(false);
        world.record();
        let chains = world.chains_seen(seed % 2 == 0);
        for _ in 0..12 {
            let goes = world.some();
            let truth = world.truth(&goes);
            for (how, (sure, at_most)) in
                [("runs", world.figure(&chains, &goes)), ("at once", world.figure_at_once(&chains, &goes))]
            {
                match at_most {
                    None => {
                        exact += 1;
                        assert_eq!(sure, truth, "seed {seed}, {how}: {goes:?}");
                    }
                    Some(more) => {
                        bounds += 1;
                        tight += u32::from(sure + more == truth);
                        assert!(sure + more >= truth, "seed {seed}, {how}: {sure} + {more} is below {truth}: {goes:?}");
                        assert!(sure <= truth, "seed {seed}, {how}: {sure} for sure, and it is {truth}: {goes:?}");
                    }
                }
            }
        }
    }
    // Of both kinds there are enough to mean something.
    assert!(exact > 1_600 && bounds > 1_600 && tight > 200, "{exact} exact, {bounds} at most, {tight} of them tight");
}

#[test]
fn every_linear_chain_is_exact_and_one_walk_answers_for_every_set() {
    for seed in 0..250 {
        let mut world = World::new(seed);
        world.live(true);
        let chains = world.chains();
        let lives: Vec<(Stretch, Lifetimes)> =
            chains.iter().filter_map(Chain::whole).map(|all| (all.clone(), world.walked(&all))).collect();
        for _ in 0..8 {
            let goes = world.some();
            let exactly = (world.truth(&goes), None);
            assert_eq!(world.figure(&chains, &goes), exactly, "seed {seed}");
            assert_eq!(world.figure_at_once(&chains, &goes), exactly, "seed {seed}: the walk over all says the same");
        }
        for (all, lives) in &lives {
            for (n, id) in (0u32..).zip(&all.ids) {
                assert_eq!(lives.unique(n).0, world.truth(&BTreeSet::from([id.clone()])), "seed {seed}");
            }
        }
    }
}

/// The oldest, a middle one, the newest, and several at once; each frees less alone.
#[test]
fn a_set_frees_more_than_its_parts() {
    let mut world = World::new(1);
    world.volume(None);
    for version in [&[(0, 1), (1, 2)][..], &[(1, 3)], &[(1, 4), (2, 5)]] {
        for (at, number) in version {
            world.vols[0].map.insert(*at, *number);
        }
        world.snapshot(0);
    }
    let (chain, ids) = (world.chains().remove(0), world.snaps.iter().map(|s| s.row.id.clone()).collect::<Vec<_>>());
    let lives = world.walked(&chain.whole().expect("a stretch"));
    assert_eq!([lives.unique(0).0, lives.unique(1).0, lives.unique(2).0], [1, 1, 2]);
    assert_eq!(lives.freed(|n| n < 2), Blocks(2));
    assert_eq!(lives.freed(|_| true), Blocks(5), "block 0 goes only with all three");
    let stretch = chain.stretches(|id| *id == ids[1]).remove(0);
    assert_eq!(
        (stretch.before.as_ref(), stretch.after.as_ref(), stretch.sure()),
        (Some(&ids[0]), Some(&ids[2]), Sureness::Exact)
    );
}

#[test]
fn what_makes_it_at_most_is_told() {
    let mut world = World::new(2);
    world.volume(None);
    for _ in 0..3 {
        world.work(0);
        world.snapshot(0);
    }
    let whys = |world: &World, n: usize| world.chains()[0].whys(|id| *id == world.snaps[n].row.id).keys();
    assert_eq!(whys(&world, 0), "");
    world.snaps[1].row.state = State::Pending;
    assert_eq!(whys(&world, 0), "pending", "a neighbour cannot be listed");
    world.snaps[1].row.state = State::Completed;
    world.snaps[2].row.state = State::Pending;
    assert_eq!(whys(&world, 0), "", "it is not next to what goes");
    world.snaps[2].row.state = State::Completed;
    world.keep("vol-ffffffff".parse().unwrap(), world.snaps[1].map.clone(), world.snaps[1].lineage);
    assert_eq!(whys(&world, 0), "copies", "a copy within the region");
    let copy = world.snaps[3].row.clone();
    let rows: Vec<&SnapshotRow> = world.snaps.iter().map(|snap| &snap.row).collect();
    let of_copy = Chain::of(&copy, &rows, &[]);
    assert_eq!(of_copy.whys(|id| *id == copy.id).keys(), "no-volume", "the copy itself");
    world.snaps[3].row.encrypted = true;
    assert_eq!(whys(&world, 0), "", "under a key of its own it shares nothing");
}

/// What was made on a parent by hand, or by floe, names it in a tag: what both hold is not counted as long as that one
/// stays.
#[test]
fn a_recorded_parent_is_held_against_what_was_made_on_it_unless_it_goes_too() {
    let mut world = World::new(4);
    world.volume(None);
    world.work(0);
    world.snapshot(0);
    world.keep("vol-ffffffff".parse().unwrap(), world.snaps[0].map.clone(), world.snaps[0].lineage);
    let named = |world: &mut World, id: &str| world.snaps[1].row.tags = vec![("floe:parent".into(), id.into())];
    let found = |world: &World| {
        let rows: Vec<&SnapshotRow> = world.snaps.iter().map(|snap| &snap.row).collect();
        let (made, own) = (&world.snaps[1].row, world.snaps[1].row.id.clone());
        let chain = Chain::of(made, &rows, &[]);
        let alone = chain.stretches(|id| *id == own).remove(0);
        let both = chain.stretches(|_| true).remove(0);
        ((alone.before, alone.whys.keys()), (both.before, both.whys.keys()))
    };
    let nothing = || ((None, "no-volume".to_owned()), (None, "no-volume".to_owned()));
    assert_eq!(found(&world), nothing(), "no tag");
    let parent = world.snaps[0].row.id.clone();
    named(&mut world, &parent.to_string());
    let beside = (Some(parent.clone()), "no-volume recorded-parent".to_owned());
    assert_eq!(found(&world), (beside, (None, "no-volume root-goes".to_owned())), "with it what both hold goes too");
    let own = world.snaps[1].row.id.to_string();
    for id in [own.as_str(), "snap-0123456789abcdef0", "that one"] {
        named(&mut world, id);
        assert_eq!(found(&world), nothing(), "{id} is no parent of it");
    }
    named(&mut world, &parent.to_string());
    world.snaps[0].row.encrypted = true;
    assert_eq!(found(&world), nothing(), "under another key nothing is shared");
    world.snaps[0].row.encrypted = false;
    world.snaps[0].row.state = State::Pending;
    assert_eq!(found(&world), nothing(), "it cannot be listed");
}

/// What AWS has to be asked, and what it says.
#[test]
fn what_was_asked_and_what_came_of_it_is_told() {
    let mut world = World::new(3);
    world.volume(None);
    world.work(0);
    world.snapshot(0);
    world.volume(None);
    world.work(1);
    world.snapshot(1);
    let rows: Vec<&SnapshotRow> = world.snaps.iter().map(|snap| &snap.row).collect();
    let row = rows[0];
    // The volumes are gone: nothing says what they were made from.
    let chain = Chain::of(row, &rows, &[]);
    let keys = |chain: &Chain| chain.whys(|id| *id == row.id).keys();
    assert_eq!((keys(&chain).as_str(), chain.suspects.len()), ("not-asked", 1));
    for (answer, told) in [
        (None, ""),
        (Some(Why::Related), "related"),
        (Some(Why::NotTold), "not-told"),
        (Some(Why::TooMany), "too-many"),
    ] {
        let mut asked = chain.clone();
        asked.answered(answer);
        assert_eq!(keys(&asked), told);
    }
    let mut binned = chain.clone();
    binned.answered(None);
    let mut unknown = binned.clone();
    binned.binned(row, Some(&["vol-ffffffff".parse().unwrap()]), &rows, &[]);
    assert_eq!(keys(&binned), "bin", "what lies there names no volume");
    unknown.binned(row, None, &rows, &[]);
    assert_eq!(keys(&unknown), "bin-unknown", "nobody could list it");
}

/// Restored volumes: one of what goes, and one of what it was made from.
#[test]
fn forks_and_roots_are_told() {
    let mut world = World::new(4);
    world.volume(None);
    world.work(0);
    world.snapshot(0);
    world.volume(Some(0));
    world.work(1);
    world.snapshot(1);
    let chains = world.chains();
    let of = |n: usize| {
        let id = &world.snaps[n].row.id;
        chains.iter().find(|chain| chain.members.iter().any(|one| one.id == *id)).expect("a chain")
    };
    let (base, child) = (world.snaps[0].row.id.clone(), world.snaps[1].row.id.clone());
    assert_eq!(of(0).whys(|id| *id == base).keys(), "fork");
    assert_eq!(of(1).whys(|id| *id == child).keys(), "", "what it was restored from stays before it");
    assert_eq!(of(1).whys(|id| *id == child || *id == base).keys(), "root-goes");
}

#[test]
fn the_bin_and_the_archive_tier_go_on_billing() {
    let now: jiff::Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
    assert_eq!(billed_until(Tier::Standard, None, None, now), Billed::AtOnce);
    let day = |billed: Billed| match billed {
        Billed::Until { day, .. } => day.strftime("%Y-%m-%d").to_string(),
        other => format!("{other:?}"),
    };
    assert_eq!(day(billed_until(Tier::Standard, Some(28), None, now)), "2026-12-18");
    assert_eq!(billed_until(Tier::Archive, Some(28), None, now), Billed::Unknown);
    let archived = "2026-10-01T00:00:00Z".parse().ok();
    assert_eq!(day(billed_until(Tier::Archive, Some(28), archived, now)), "2026-12-30");
}

//! What the deck has looked into, and what it knows of freed bytes: both stay true, because snapshots never change.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::clock::Now;
use super::effect::Effect;
use super::model::Model;
use super::screen::compare::{ASK_ABOVE, money};
use crate::engine::inside::Looked;
use crate::error::Result;
use crate::ids::{SnapshotId, VolumeId};
use crate::inventory::frees::{Billed, Chain, Lifetimes, Stretch, Whys};
use crate::inventory::verdict::Frees;
use crate::inventory::{Origin, SnapshotRow, State, Tier};
use crate::plan::compare::look_cost;
use crate::plan::frees::Around;
use crate::rows::BinRule;
use crate::units::{Blocks, Bytes, Quantity, Usd};

/// Looks that are kept: each is a few KiB.
const KEPT: usize = 100;
/// Chains whose lifetimes are kept.
const CHAINS: usize = 2_000;

/// A snapshot, and where it is.
pub type At = (Arc<Origin>, SnapshotId);

/// What was looked into.
#[derive(Debug, Default)]
pub struct Insides {
    known: VecDeque<(At, Result<Looked>)>,
    /// What is being looked into.
    pub running: Option<At>,
}

impl Insides {
    /// What was found in it, when it was looked into.
    #[must_use]
    pub fn get(&self, at: &At) -> Option<&Result<Looked>> {
        self.known.iter().find(|(known, _)| known == at).map(|(_, looked)| looked)
    }

    /// Keeps what was found.
    pub fn keep(&mut self, at: At, looked: Result<Looked>) {
        if self.running.as_ref() == Some(&at) {
            self.running = None;
        }
        self.known.retain(|(known, _)| *known != at);
        self.known.push_back((at, looked));
        if self.known.len() > KEPT {
            self.known.pop_front();
        }
    }
}

/// Looks into it, unless that was done; what failed is tried again.
pub fn look(model: &mut Model, at: &At) -> Vec<Effect> {
    if matches!(model.insides.get(at), Some(Ok(_))) || model.insides.running.as_ref() == Some(at) {
        return Vec::new();
    }
    model.insides.known.retain(|(known, _)| known != at);
    model.insides.running = Some(at.clone());
    vec![Effect::LookInside(at.0.clone(), at.1.clone())]
}

/// Looks no more.
pub fn stop(model: &mut Model) -> Vec<Effect> {
    if model.insides.running.take().is_some() { vec![Effect::StopLooking] } else { Vec::new() }
}

/// How long each block of a chain lives.
#[derive(Debug, Clone, PartialEq)]
pub struct Lives {
    /// The chain, with its suspects asked about.
    pub chain: Chain,
    /// Its members that can be listed.
    pub stretch: Stretch,
    /// Their blocks.
    pub lives: Lifetimes,
    /// Rules of the Recycle Bin there; none when they could not be asked.
    pub rules: Option<Vec<BinRule>>,
}

impl Lives {
    /// What these free together.
    fn freed(&self, goes: impl Fn(&SnapshotId) -> bool) -> Frees {
        self.chain.freed(&self.stretch, &self.lives, goes)
    }

    /// What of the blocks of these stays, because a newer one of the chain has it too: the nearest such one, and how
    /// much; most first.
    #[must_use]
    pub fn stays(&self, goes: impl Fn(&SnapshotId) -> bool) -> Vec<(SnapshotId, Bytes)> {
        let goes: Vec<bool> = self.stretch.ids.iter().map(goes).collect();
        let mut held = vec![0_u64; goes.len()];
        for (born, gone, blocks) in self.lives.versions() {
            let span = born as usize..(gone as usize).min(goes.len());
            let Some(first) = span.clone().find(|n| goes[*n]) else { continue };
            if let Some(keeper) = (first..span.end).find(|n| !goes[*n]) {
                held[keeper] += blocks;
            }
        }
        let some = held.into_iter().zip(&self.stretch.ids).filter(|(blocks, _)| *blocks > 0);
        let mut out: Vec<_> = some.map(|(blocks, id)| (id.clone(), Blocks(blocks).bytes())).collect();
        out.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        out
    }

    /// Until when one of it is billed after its removal.
    #[must_use]
    pub fn billed(&self, row: &SnapshotRow, now: jiff::Timestamp) -> Billed {
        Around { rules: self.rules.clone(), ..Around::default() }.billed(row, now)
    }

    /// Whether the chain is made of exactly these still, and what its volume was restored from is there.
    fn is_of(&self, rows: &HashMap<&SnapshotId, &SnapshotRow>, members: &HashMap<&VolumeId, usize>) -> bool {
        let ids = &self.stretch.ids;
        let volume = ids.first().and_then(|id| rows.get(id)).and_then(|row| row.volume.as_ref());
        let expected = match volume.filter(|volume| !volume.is_placeholder()) {
            Some(volume) => members.get(volume).copied().unwrap_or(0),
            None => 1,
        };
        let rooted = self.chain.root.as_ref().is_none_or(|root| rows.contains_key(root));
        rooted && expected == ids.len() && ids.iter().all(|id| rows.contains_key(id))
    }
}

/// What is known of freed bytes.
#[derive(Debug, Default)]
pub struct Freed {
    known: HashMap<At, Arc<Lives>>,
    order: VecDeque<(Arc<Origin>, Arc<Lives>)>,
    /// Of whose chain it is being asked.
    pub running: Vec<At>,
    /// What was offered for its price: the same key again takes it.
    pub offered: Option<At>,
}

impl Freed {
    /// Whether nothing is known yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The chain of a snapshot, when it was asked about.
    #[must_use]
    pub fn of(&self, row: &SnapshotRow) -> Option<&Lives> {
        self.known.get(&(row.origin.clone(), row.id.clone())).map(|lives| &**lives)
    }

    /// Keeps what was told; a chain that was asked about again is known anew.
    pub fn keep(&mut self, at: &At, lives: Option<Lives>) {
        self.running.retain(|running| running != at);
        let Some(lives) = lives.map(Arc::new) else { return };
        self.drop_chains(|origin, old| {
            *origin == at.0 && old.stretch.ids.iter().any(|id| lives.stretch.ids.contains(id))
        });
        for id in &lives.stretch.ids {
            self.known.insert((at.0.clone(), id.clone()), Arc::clone(&lives));
        }
        self.order.push_back((at.0.clone(), lives));
        if self.order.len() > CHAINS
            && let Some((origin, oldest)) = self.order.pop_front()
        {
            self.forget(&origin, &oldest);
        }
    }

    /// Forgets chains that are not what they were: a member came or went, so that other blocks go with a removal.
    pub fn forget_changed<'r>(&mut self, origin: &Origin, rows: impl Iterator<Item = &'r SnapshotRow> + Clone) {
        if !self.order.iter().any(|(known, _)| **known == *origin) {
            return;
        }
        let listed = |row: &&SnapshotRow| row.state == State::Completed && row.tier == Tier::Standard;
        let mut members: HashMap<&VolumeId, usize> = HashMap::new();
        for volume in rows.clone().filter(listed).filter_map(|row| row.volume.as_ref()) {
            *members.entry(volume).or_default() += 1;
        }
        let by_id: HashMap<&SnapshotId, &SnapshotRow> = rows.map(|row| (&row.id, row)).collect();
        self.drop_chains(|known, lives| **known == *origin && !lives.is_of(&by_id, &members));
    }

    fn drop_chains(&mut self, which: impl Fn(&Arc<Origin>, &Lives) -> bool) {
        let (gone, kept): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.order).into_iter().partition(|(origin, lives)| which(origin, lives));
        self.order = kept;
        for (origin, lives) in gone {
            self.forget(&origin, &lives);
        }
    }

    fn forget(&mut self, origin: &Arc<Origin>, lives: &Lives) {
        for id in &lives.stretch.ids {
            self.known.remove(&(origin.clone(), id.clone()));
        }
    }

    /// What it alone holds; none until its chain was asked about.
    #[must_use]
    pub fn alone(&self, row: &SnapshotRow) -> Option<Frees> {
        self.of(row).map(|lives| lives.freed(|id| *id == row.id))
    }

    /// The same as a figure.
    #[must_use]
    pub fn unique(&self, row: &SnapshotRow) -> Quantity<Bytes> {
        self.alone(row).map_or_else(Quantity::unknown, |frees| frees.quantity())
    }

    /// What these free together; none when the chain of one of them is not known.
    #[must_use]
    pub fn together(&self, rows: &[&SnapshotRow]) -> Option<Frees> {
        let (mut bytes, mut why) = (Bytes::ZERO, Whys::NONE);
        let mut done: HashSet<*const Lives> = HashSet::new();
        let ids: HashSet<(&Origin, &SnapshotId)> = rows.iter().map(|row| (&*row.origin, &row.id)).collect();
        for row in rows {
            let lives = self.of(row)?;
            if done.insert(std::ptr::from_ref(lives)) {
                let part = lives.freed(|id| ids.contains(&(&*row.origin, id)));
                (bytes, why) = (bytes + part.bytes, why.with(part.why));
            }
        }
        Some(Frees::counted(bytes, why))
    }
}

/// Asks what removing these frees, unless it is known: one chain each. What costs more than a few cents is offered with
/// its price first, and taken by the same key again.
pub fn ask(model: &mut Model, rows: &[SnapshotRow], now: Now) -> Vec<Effect> {
    let (mut of, mut covered, mut cost) = (Vec::<At>::new(), Vec::<SnapshotId>::new(), Quantity::at_most(Usd(0.0)));
    for row in rows {
        if model.freed.of(row).is_some() || covered.contains(&row.id) {
            continue;
        }
        let chain = model.catalog.lineage(row);
        let one = look_cost(row.size, &row.origin.region);
        #[expect(clippy::cast_precision_loss, reason = "a chain has a few thousand snapshots")]
        let times = chain.len().max(1) as f64;
        cost = Quantity { value: Usd(cost.value.0 + one.value.0 * times), sure: cost.sure.and(one.sure) };
        covered.extend(chain.iter().map(|one| one.id.clone()));
        of.push((row.origin.clone(), row.id.clone()));
    }
    let Some(first) = of.first().cloned() else {
        model.say(now, "it is known what removing it frees: see UNIQUE, and L for marks together");
        return Vec::new();
    };
    if cost.value.0 > ASK_ABOVE.0 && model.freed.offered.as_ref() != Some(&first) {
        model.say(now, format!("listing its chain costs {}: the same key again starts it", money(cost)));
        model.freed.offered = Some(first);
        return Vec::new();
    }
    model.say(now, format!("asking what it frees: listing only, {}; x stops on its lineage (L)", money(cost)));
    begin(model, of)
}

/// Asks about these chains, beside those that are asked about already.
pub fn begin(model: &mut Model, of: Vec<At>) -> Vec<Effect> {
    model.freed.offered = None;
    for at in of {
        if !model.freed.running.contains(&at) {
            model.freed.running.push(at);
        }
    }
    vec![Effect::AskFreed(model.freed.running.clone())]
}

/// Asks no more; what was told stays.
pub fn stop_asking(model: &mut Model) -> Vec<Effect> {
    if std::mem::take(&mut model.freed.running).is_empty() { Vec::new() } else { vec![Effect::AskFreed(Vec::new())] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Content, Inside};
    use crate::engine::inside::Reads;
    use crate::error::Error;
    use crate::inventory::frees::Walk;
    use crate::tui::msg::Msg;
    use crate::tui::screen::Screen;
    use crate::tui::testing::{deck, frame, now, press, snapshot};
    use crate::tui::update::update;
    use crate::units::Sure;

    fn looked() -> Looked {
        let content: Content = serde_json::from_value(serde_json::json!({
            "kind": "xfs", "label": "data", "uuid": null, "bytes": 8_589_934_592u64, "free": null,
            "mounted_on": null, "made": null, "mounted": null, "written": null, "notes": ["version 5"],
        }))
        .unwrap();
        let reads = Reads { blocks: 3, lists: 2, usd: Quantity::exact(Usd(0.00001)) };
        Looked { inside: Inside { bytes: Bytes::gib(8), content: Some(content), ..Inside::default() }, reads }
    }

    #[test]
    fn i_looks_inside_and_esc_stops_it() {
        let (mut model, mut now) = (deck(120, 36), now());
        model.go(Screen::Snapshots);
        let asked = press(&mut model, &["i"], &mut now);
        let [Effect::LookInside(origin, id)] = asked.as_slice() else { panic!("{asked:?}") };
        let at = (origin.clone(), id.clone());
        assert!(frame(&model, now).iter().any(|line| line.contains("reading a handful of blocks, ≤ $0.0009")));
        let stopped = press(&mut model, &["esc"], &mut now);
        assert!(matches!(stopped.as_slice(), [Effect::StopLooking]) && model.overlays.is_empty());
        press(&mut model, &["i"], &mut now);
        update(&mut model, Msg::Looked(at.clone(), Box::new(Ok(looked()))), now);
        let lines = frame(&model, now);
        for words in ["XFS \"data\" on all of it", "version 5", "read 3 blocks and 2 listings, = $0.0001"] {
            assert!(lines.iter().any(|line| line.contains(words)), "{words}: {lines:#?}");
        }
        assert!(press(&mut model, &["esc"], &mut now).is_empty(), "nothing runs any more");
        assert!(press(&mut model, &["i"], &mut now).is_empty(), "and it is not read again");
        press(&mut model, &["esc"], &mut now);
        assert!(frame(&model, now).iter().any(|line| line.contains("INSIDE")), "the detail keeps it");
    }

    #[test]
    fn a_look_that_fails_says_why_and_can_be_tried_again() {
        let (mut model, mut now) = (deck(120, 36), now());
        model.go(Screen::Snapshots);
        let asked = press(&mut model, &["i"], &mut now);
        let [Effect::LookInside(origin, id)] = asked.as_slice() else { panic!("{asked:?}") };
        let told = Msg::Looked((origin.clone(), id.clone()), Box::new(Err(Error::failed("the key is gone"))));
        update(&mut model, told, now);
        assert!(frame(&model, now).iter().any(|line| line.contains("the key is gone")));
        assert!(matches!(press(&mut model, &["r"], &mut now).as_slice(), [Effect::LookInside(..)]));
    }

    /// A chain of the deck's own rows: 0 wrote a block that 1 kept and 2 wrote over.
    fn lives(rows: &[SnapshotRow]) -> Lives {
        let refs: Vec<&SnapshotRow> = rows.iter().collect();
        let mut chain = Chain::of(&rows[0], &refs, &[]);
        chain.answered(None);
        let stretch = chain.whole().unwrap();
        let mut walk = Walk::new(0, 8, false);
        for step in [&[(0, true), (1, true)][..], &[(1, true)], &[(0, true)]] {
            step.iter().for_each(|(index, there)| walk.event(*index, *there));
            walk.stepped();
        }
        Lives { chain, stretch, lives: walk.end(false), rules: None }
    }

    #[test]
    fn marks_free_more_together_than_each_alone() {
        let model = deck(120, 36);
        let origin = model.catalog.origins[0].clone();
        let volume = "vol-0123456789abcdef0".parse().ok();
        let rows: Vec<SnapshotRow> = (0..3)
            .map(|n| SnapshotRow {
                volume: volume.clone(),
                tier: crate::inventory::Tier::Standard,
                state: crate::inventory::State::Completed,
                ..snapshot(&origin, 900 - n)
            })
            .collect();
        let mut rows = rows;
        rows.sort_by_key(|row| row.started);
        let mut freed = Freed::default();
        assert_eq!(freed.unique(&rows[0]), Quantity::unknown());
        freed.keep(&(origin.clone(), rows[0].id.clone()), Some(lives(&rows)));
        let block = crate::units::BLOCK_BYTES;
        let bytes = |quantity: Quantity<Bytes>| (quantity.value.0 / block, quantity.sure);
        assert_eq!(bytes(freed.unique(&rows[0])), (1, Sure::Exact));
        assert_eq!(bytes(freed.unique(&rows[1])), (0, Sure::Exact), "what it wrote the newest holds too");
        assert_eq!(bytes(freed.together(&[&rows[0], &rows[1]]).unwrap().quantity()), (2, Sure::Exact));
        assert_eq!(bytes(freed.together(&rows.iter().collect::<Vec<_>>()).unwrap().quantity()), (4, Sure::Exact));
    }

    #[test]
    fn asking_says_its_price_and_fills_the_column() {
        let (mut model, mut now) = (deck(140, 36), now());
        model.go(Screen::Snapshots);
        let none = frame(&model, now);
        assert!(!none.iter().any(|line| line.contains("UNIQUE")), "no empty column");
        let asked = press(&mut model, &["X"], &mut now);
        let [Effect::AskFreed(of)] = asked.as_slice() else { panic!("{asked:?}: {:?}", model.toast) };
        assert!(model.toast.as_ref().is_some_and(|toast| toast.text.contains('$')), "{:?}", model.toast);
        let at = of[0].clone();
        let row = model.snapshots.list.current().and_then(|at| model.catalog.snapshots.get(at)).cloned().unwrap();
        let chain = Chain::of(&row, &[&row], &[]);
        let stretch = chain.whole().expect("it can be listed");
        let mut walk = Walk::new(0, 8, false);
        walk.event(3, true);
        walk.stepped();
        let told = Lives { chain, stretch, lives: walk.end(false), rules: None };
        update(&mut model, Msg::Freed(at, Box::new(Ok(told))), now);
        let lines = frame(&model, now);
        assert!(lines.iter().any(|line| line.contains("UNIQUE")), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("512 KiB")), "{lines:#?}");
        assert!(model.freed.running.is_empty());
    }
}

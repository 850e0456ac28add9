//! `X`: the chains behind the rows are listed, so that what each frees is a figure and no bound.
//!
//! What it costs is said first; over five cents `S` starts it. One chain answers for all of its snapshots, so rows are
//! asked about by chain, those that are known are not asked again, and `esc` stops it: what was told stays.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::ids::VolumeId;
use crate::inventory::relations::Region;
use crate::inventory::verdict::{Frees, Thing};
use crate::inventory::{Origin, SnapshotRow, State as Life, Tier};
use crate::plan::Prices;
use crate::plan::count::lists_at_most;
use crate::plan::frees::ASKED_MOST;
use crate::plan::prices::Api;
use crate::tui::catalog::Ref;
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::insides::{self, At};
use crate::tui::model::Model;
use crate::tui::msg::Msg;
use crate::tui::screen::compare::{ASK_ABOVE, money};
use crate::tui::text;
use crate::units::{Bytes, Quantity, Usd, grouped};

/// Rows that one `X` asks about at most, and that one frame adds up.
pub const MOST: usize = 2_000;

/// The snapshots of a region by the volume that they are of.
#[derive(Debug)]
pub struct Families {
    region: Arc<Region>,
    /// Places among the region's snapshots, old to new.
    of: HashMap<VolumeId, Vec<usize>>,
}

impl Families {
    /// Sorts a region's snapshots.
    pub fn new(region: &Arc<Region>) -> Self {
        let mut of: HashMap<VolumeId, Vec<usize>> = HashMap::new();
        let rows = region.snapshots();
        for (at, row) in rows.iter().enumerate() {
            if let Some(volume) = row.volume.as_ref().filter(|volume| !volume.is_placeholder()) {
                of.entry(volume.clone()).or_default().push(at);
            }
        }
        for places in of.values_mut() {
            places.sort_by(|a, b| rows[*a].started.cmp(&rows[*b].started).then_with(|| rows[*a].id.cmp(&rows[*b].id)));
        }
        Self { region: Arc::clone(region), of }
    }

    /// The snapshots of a volume, old to new.
    pub fn of_volume(&self, volume: &VolumeId) -> Vec<&SnapshotRow> {
        let rows = self.region.snapshots();
        self.of.get(volume).map(|places| places.iter().map(|at| &rows[*at]).collect()).unwrap_or_default()
    }

    /// Whether the volume is there still.
    pub fn has(&self, volume: &VolumeId) -> bool {
        self.region.index.volumes.contains_key(volume)
    }

    /// The chain of a snapshot: itself at least.
    pub fn chain(&self, row: &SnapshotRow) -> Vec<&SnapshotRow> {
        let chain = row.volume.as_ref().map(|volume| self.of_volume(volume)).unwrap_or_default();
        let own = || self.region.snapshots().iter().filter(|one| one.id == row.id).collect();
        if chain.is_empty() { own() } else { chain }
    }

    /// List requests that its chain takes, at most: each step of it, and one for each family that could be related.
    fn lists(&self, row: &SnapshotRow) -> u64 {
        let volume = row.volume.as_ref().filter(|volume| !volume.is_placeholder());
        let places = volume.and_then(|volume| self.of.get(volume)).map_or(&[][..], Vec::as_slice);
        let rows = self.region.snapshots();
        let size = places.iter().map(|at| rows[*at].size).max().unwrap_or(row.size);
        let suspects = self.of.len().saturating_sub(1).min(ASKED_MOST) as u64;
        places.len().max(1) as u64 * lists_at_most(size) + suspects
    }
}

/// What asking takes.
#[derive(Debug)]
pub struct Asked {
    /// One snapshot of each chain.
    pub of: Vec<At>,
    /// List requests, at most.
    pub lists: u64,
    /// What they cost.
    pub usd: Quantity<Usd>,
}

impl Asked {
    /// `≤ 74 List requests, ≤ $0.0001`.
    pub fn words(&self) -> String {
        format!("≤ {} List requests, {}", grouped(self.lists), money(self.usd))
    }
}

/// Whether its blocks can be listed: others are left as they are.
fn is_listed(row: &SnapshotRow) -> bool {
    row.state == Life::Completed && row.tier == Tier::Standard
}

/// The rows that `X` is about: the marks, or all that are shown.
pub fn about(model: &Model) -> Vec<Ref> {
    let list = &model.orphans.list;
    if list.marks.is_empty() { list.index.shown.iter().copied().take(MOST).collect() } else { list.chosen() }
}

/// The chains of these rows that nobody asked about yet.
pub fn asked(model: &Model, rows: &[Ref]) -> Asked {
    let mut out = Asked { of: Vec::new(), lists: 0, usd: Quantity::at_most(Usd(0.0)) };
    let mut covered: HashSet<(&Origin, &VolumeId)> = HashSet::new();
    for row in rows.iter().filter_map(|at| snapshot(model, *at)) {
        if !is_listed(row) || model.freed.of(row).is_some() {
            continue;
        }
        let volume = row.volume.as_ref().filter(|volume| !volume.is_placeholder());
        if volume.is_some_and(|volume| !covered.insert((&row.origin, volume))) {
            continue;
        }
        let Some(families) = model.orphans.families.get(&row.origin) else { continue };
        let lists = families.lists(row);
        let price = Prices::bundled().request(Api::List, &row.origin.region);
        #[expect(clippy::cast_precision_loss, reason = "counts of pages are far below 2^52")]
        let usd = Usd(price.value.0 * lists as f64);
        out.lists += lists;
        out.usd = Quantity { value: out.usd.value + usd, sure: out.usd.sure.and(price.sure) };
        out.of.push((row.origin.clone(), row.id.clone()));
    }
    out
}

/// The row as a snapshot.
pub fn snapshot(model: &Model, at: Ref) -> Option<&SnapshotRow> {
    match model.orphans.table.get(at)?.thing()? {
        Thing::Snapshot(row) => Some(row),
        Thing::Volume(_) | Thing::Image(_) => None,
    }
}

/// Whether its chain is being asked about.
pub fn is_running(model: &Model, row: &SnapshotRow) -> bool {
    let running = &model.freed.running;
    let Some(families) = model.orphans.families.get(&row.origin).filter(|_| !running.is_empty()) else { return false };
    let chain = families.chain(row);
    running.iter().any(|(origin, id)| *origin == row.origin && chain.iter().any(|one| one.id == *id))
}

/// Why there is nothing to ask.
pub fn cannot(model: &Model) -> Option<String> {
    if model.orphans.list.is_empty() {
        return Some("there is nothing judged here yet".to_owned());
    }
    if model.orphans.list.marks.len() > MOST {
        return Some(format!("{} at once at most: unmark some", text::count(MOST as u64, "mark")));
    }
    let asked = asked(model, &about(model));
    if asked.of.is_empty() {
        return Some("what each of these frees is known as far as it can be listed".to_owned());
    }
    None
}

/// Asks; what costs more than a few cents only when it was `paid` for with `S`.
pub fn ask(model: &mut Model, paid: bool, now: Now) -> Vec<Effect> {
    let asked = asked(model, &about(model));
    let chains = text::count(asked.of.len() as u64, "chain");
    if asked.usd.value.0 > ASK_ABOVE.0 && !paid {
        model.say(now, format!("{chains}: {}. S starts it", asked.words()));
        return Vec::new();
    }
    model.say(now, format!("asking what {chains} would free: {} · esc stops", asked.words()));
    insides::begin(model, asked.of)
}

/// Stops asking, if anything is being asked.
pub fn stop(model: &mut Model, now: Now) -> Option<Vec<Effect>> {
    let effects = insides::stop_asking(model);
    if effects.is_empty() {
        return None;
    }
    model.say(now, "stopped asking; what was told stays");
    Some(effects)
}

/// What a snapshot alone frees, as its row shows it.
pub fn frees(model: &Model, row: &SnapshotRow) -> Option<Frees> {
    model.freed.alone(row)
}

/// Something was told of a chain: the rows of it show it.
pub fn hear(model: &mut Model, msg: &Msg) {
    let Msg::Freed((origin, id), told) = msg else { return };
    let Ok(lives) = &**told else { return };
    let ids = lives.stretch.ids.iter().chain([id]);
    let places: Vec<Ref> = ids.filter_map(|id| model.orphans.table.find_in(origin, &id.as_str().to_owned())).collect();
    for at in places {
        if let Some(frees) = snapshot(model, at).and_then(|row| frees(model, row)) {
            model.orphans.table.change(at, |row| row.told(frees));
        }
    }
}

/// The sum of two figures, as sure as the less sure one.
pub fn and(a: Quantity<Bytes>, b: Quantity<Bytes>) -> Quantity<Bytes> {
    Quantity { value: a.value + b.value, sure: a.sure.and(b.sure) }
}

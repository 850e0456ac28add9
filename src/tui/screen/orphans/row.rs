//! A judged thing as a row of the deck: where it is in its region's facts, how it stands, what it would free.
//!
//! No text is kept: evidence is put into words for the row under the cursor only, so 100,000 rows stay small.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::ids::Region as RegionName;
use crate::inventory::relations::Region;
use crate::inventory::verdict::{Frees, Judged, Policy, Standing, Subject, Sureness, Thing, View};
use crate::inventory::{Fields, Kind, Origin, Tag, Tier};
use crate::plan::monthly;
use crate::tui::catalog::Record;
use crate::units::{Bytes, Quantity, Sure, Usd};

/// One row.
#[derive(Clone)]
pub struct OrphanRow {
    region: Arc<Region>,
    policy: Arc<Policy>,
    kind: Subject,
    at: usize,
    id: String,
    /// How it stands.
    pub standing: Standing,
    /// What removing it alone would free.
    pub frees: Frees,
    /// Dollars a month for that.
    pub usd: Option<f64>,
}

impl fmt::Debug for OrphanRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrphanRow").field("id", &self.id).field("standing", &self.standing).finish_non_exhaustive()
    }
}

/// Every row of a region.
#[must_use]
pub fn rows(region: &Arc<Region>, policy: &Arc<Policy>, now: Timestamp) -> Vec<OrphanRow> {
    let view = View { region, policy, now };
    let (mut kind, mut at) = (Subject::Snapshot, 0);
    let mut out = Vec::new();
    for thing in view.things() {
        if thing.subject() != kind {
            (kind, at) = (thing.subject(), 0);
        }
        let frees = view.frees(thing);
        out.push(OrphanRow {
            region: Arc::clone(region),
            policy: Arc::clone(policy),
            kind,
            at,
            id: thing.id().to_owned(),
            standing: view.standing(thing),
            frees,
            usd: monthly(thing, &frees),
        });
        at += 1;
    }
    out
}

impl OrphanRow {
    /// What it is, as it was listed; the row keeps its region's facts, so it is there.
    #[must_use]
    pub fn thing(&self) -> Option<Thing<'_>> {
        match self.kind {
            Subject::Snapshot => self.region.snapshots().get(self.at).map(Thing::Snapshot),
            Subject::Volume => self.region.volumes().get(self.at).map(Thing::Volume),
            Subject::Image => self.region.images().get(self.at).map(Thing::Image),
        }
    }

    /// It was told what removing it alone frees.
    pub fn told(&mut self, frees: Frees) {
        self.frees = frees;
        self.usd = self.thing().and_then(|thing| monthly(thing, &frees));
    }

    /// The facts that it is judged by.
    #[must_use]
    pub fn view(&self, now: Timestamp) -> View<'_> {
        View { region: &self.region, policy: &self.policy, now }
    }

    /// The verdict in words.
    #[must_use]
    pub fn judged(&self, now: Timestamp) -> Option<Judged> {
        let thing = self.thing()?;
        let mut judged = self.view(now).judge(thing);
        judged.frees = self.frees;
        judged.usd_per_month = self.usd;
        Some(judged)
    }

    /// In two words why.
    #[must_use]
    pub fn because(&self, now: Timestamp) -> String {
        self.thing().map(|thing| self.view(now).because(thing, &self.standing)).unwrap_or_default()
    }

    /// When it was made.
    #[must_use]
    pub fn made(&self) -> Option<Timestamp> {
        match self.thing()? {
            Thing::Snapshot(row) => Some(row.started),
            Thing::Volume(row) => Some(row.created),
            Thing::Image(row) => row.created,
        }
    }
}

impl Record for OrphanRow {
    type Id = String;
    // What can be done to volumes can be done to it: nothing but looking, as far as a list knows.
    const KIND: Kind = Kind::Volumes;
    fn id(&self) -> &String {
        &self.id
    }
    fn origin(&self) -> &Arc<Origin> {
        &self.region.facts.origin
    }
    fn name(&self) -> Option<&str> {
        self.thing().map(Thing::name).filter(|name| !name.is_empty())
    }
    fn bytes(&self) -> Bytes {
        self.frees.bytes
    }
    fn month(&self) -> Quantity<Usd> {
        match (self.usd, self.frees.label) {
            (None, _) => Quantity::unknown(),
            (Some(usd), Sureness::Exact) => Quantity::exact(Usd(usd)),
            (Some(usd), _) => Quantity { value: Usd(usd), sure: Sure::AtMost },
        }
    }
    fn tally(&self) -> [u64; crate::tui::catalog::TALLIES] {
        use crate::inventory::verdict::Verdict;
        let is = |verdict| u64::from(self.standing.verdict == verdict);
        [is(Verdict::Orphan), is(Verdict::Unknown), u64::from(self.standing.is_open()), 0, 0]
    }
}

/// Tally: orphans.
pub const TALLY_ORPHAN: usize = 0;
/// Tally: what would be an orphan if all that is asked one by one said no.
pub const TALLY_OPEN: usize = 2;
/// Tally: things that nobody knows.
pub const TALLY_UNKNOWN: usize = 1;

/// What a field of the row itself says.
macro_rules! of_row {
    ($self:ident, $row:ident => $value:expr, $none:expr) => {
        match $self.thing() {
            Some(Thing::Snapshot($row)) => $value,
            Some(Thing::Volume($row)) => $value,
            Some(Thing::Image($row)) => $value,
            None => $none,
        }
    };
}

impl Fields for OrphanRow {
    fn id(&self) -> &str {
        &self.id
    }
    fn name(&self) -> &str {
        self.thing().map(Thing::name).unwrap_or_default()
    }
    fn description(&self) -> &str {
        of_row!(self, row => Fields::description(row), "")
    }
    fn tags(&self) -> &[Tag] {
        of_row!(self, row => Fields::tags(row), &[])
    }
    fn region(&self) -> &RegionName {
        &self.region.facts.origin.region
    }
    fn size(&self) -> Option<Bytes> {
        of_row!(self, row => Fields::size(row), None)
    }
    fn full(&self) -> Option<Bytes> {
        of_row!(self, row => Fields::full(row), None)
    }
    fn born(&self) -> Option<Timestamp> {
        self.made()
    }
    fn state(&self) -> &str {
        of_row!(self, row => Fields::state(row), "")
    }
    fn tier(&self) -> Option<Tier> {
        of_row!(self, row => Fields::tier(row), None)
    }
    fn verdict(&self) -> Option<&str> {
        Some(self.standing.verdict.word())
    }
    fn frees(&self) -> Option<Bytes> {
        (self.frees.label != Sureness::Unknown).then_some(self.frees.bytes)
    }
    fn usd(&self) -> Option<Usd> {
        self.usd.map(Usd)
    }
    fn used_by(&self, tell: &mut dyn FnMut(&str)) {
        if let Some(thing) = self.thing() {
            self.view(Timestamp::UNIX_EPOCH).users(thing, tell);
        }
    }
}

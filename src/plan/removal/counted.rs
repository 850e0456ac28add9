//! What the snapshots of a plan free together, from their blocks: beside what each alone does, which is less.
//!
//! [`Sets`] are the chains that they are in, read before anything is listed, so that what listing costs can be said
//! first. What was counted before is used from the disk ([`remembered`]). A chain that cannot be counted leaves its
//! snapshots at most at their full size, which is never below the truth.

use std::collections::{BTreeMap, BTreeSet};

use super::make::settled;
use super::model::RemovalPlan;
use super::sums::Together;
use super::target::Target;
use crate::aws::{Aws, Session};
use crate::error::Result;
use crate::ids::{AccountId, Region, SnapshotId};
use crate::inventory::frees::{Chain, Lifetimes, Stretch, Whys};
use crate::inventory::verdict::{Frees, Sureness};
use crate::inventory::{self, SnapshotRow};
use crate::plan::count::Counting;
use crate::plan::frees::{self, Around, Kept, Quote};
use crate::rows::Tier;
use crate::store::StateDir;
use crate::units::{Bytes, Quantity, Usd};

/// The snapshots of one account's region that would go.
#[derive(Debug)]
struct Place {
    session: Session,
    going: BTreeSet<SnapshotId>,
}

/// One place with the chains of its snapshots.
#[derive(Debug)]
struct Set {
    place: Place,
    chains: Vec<Chain>,
    notes: Vec<String>,
}

/// Everything that would be listed for a plan.
#[derive(Debug)]
pub struct Sets {
    sets: Vec<Set>,
    kept: Kept,
}

/// The places of a plan: blocks are shared within one account's region, whatever profile named it.
async fn places(aws: &Aws, plan: &RemovalPlan) -> Result<Vec<Place>> {
    let mut places: BTreeMap<(AccountId, Region), Place> = BTreeMap::new();
    for item in plan.removals() {
        let (Target::Snapshot(id), origin) = (&item.target, &item.judged.origin) else { continue };
        let key = (origin.account.clone(), origin.region.clone());
        if !places.contains_key(&key) {
            let session = aws.session(origin.profile.as_ref(), Some(&origin.region)).await?;
            places.insert(key.clone(), Place { session, going: BTreeSet::new() });
        }
        if let Some(place) = places.get_mut(&key) {
            place.going.insert(id.clone());
        }
    }
    Ok(places.into_values().collect())
}

/// The chains that these are in. What is archived is in none, and nothing that is not there either.
fn chains(around: &Around, going: &BTreeSet<SnapshotId>) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    for id in going {
        let known = chains.iter().any(|chain| has(chain, id));
        let row = around.row(id).filter(|row| row.tier == Tier::Standard && !known);
        if let Some(row) = row {
            chains.push(around.chain(row));
        }
    }
    chains
}

fn has(chain: &Chain, id: &SnapshotId) -> bool {
    chain.members.iter().any(|member| member.is_listed && member.id == *id)
}

impl Sets {
    /// Reads the regions of a plan. Nothing is listed yet.
    ///
    /// # Errors
    /// The snapshots of a region cannot be described.
    pub async fn of(aws: &Aws, plan: &RemovalPlan, kept: Kept) -> Result<Self> {
        let mut sets = Vec::new();
        for place in places(aws, plan).await? {
            let around = frees::around(&place.session).await?;
            let chains = chains(&around, &place.going);
            sets.push(Set { place, chains, notes: around.notes });
        }
        Ok(Self { sets, kept })
    }

    /// What listing takes at most, by region; what was counted before takes nothing.
    pub async fn quotes(&self) -> Vec<(Region, Quote)> {
        let mut quotes = Vec::new();
        for set in &self.sets {
            let session = &set.place.session;
            let mut open: Vec<Stretch> = Vec::new();
            for stretch in set.stretches() {
                if frees::known(session, &stretch, &self.kept).await.is_none() {
                    open.push(stretch);
                }
            }
            let mut suspects = 0;
            for chain in &set.chains {
                suspects += if frees::is_settled(session, chain, &self.kept).await { 0 } else { chain.suspects.len() };
            }
            quotes.push((session.region().clone(), frees::quote(&open, suspects, session.region())));
        }
        quotes
    }

    /// Lists, and puts what came of it into the plan. What was counted says so in its rows and in
    /// [`RemovalPlan::together`]; what was not stays as it was, and a note says why.
    ///
    /// # Errors
    /// Never in practice: a plan is plain data.
    pub async fn count(self, mut plan: RemovalPlan, watch: &Counting) -> Result<RemovalPlan> {
        for mut set in self.sets {
            for chain in &mut set.chains {
                frees::settled(&set.place.session, chain, &self.kept).await;
            }
            let mut counted = Counted::new(set.notes);
            for chain in &set.chains {
                counted
                    .chain(&set.place, chain, async |stretch: &Stretch| {
                        frees::lifetimes(&set.place.session, stretch, watch, &self.kept).await
                    })
                    .await;
            }
            counted.into_plan(&mut plan, &set.place);
        }
        settled(&plan)
    }
}

impl Set {
    fn stretches(&self) -> Vec<Stretch> {
        self.chains.iter().flat_map(|chain| chain.stretches(|id| self.place.going.contains(id))).collect()
    }
}

/// What was counted of one place.
struct Counted {
    alone: BTreeMap<SnapshotId, Frees>,
    exact: Bytes,
    at_most: Bytes,
    why: Whys,
    notes: Vec<String>,
}

impl Counted {
    const fn new(notes: Vec<String>) -> Self {
        Self { alone: BTreeMap::new(), exact: Bytes::ZERO, at_most: Bytes::ZERO, why: Whys::NONE, notes }
    }

    /// One chain: all of its stretches, or none.
    async fn chain(&mut self, place: &Place, chain: &Chain, lives: impl AsyncFn(&Stretch) -> Result<Lifetimes>) {
        let stretches = chain.stretches(|id| place.going.contains(id));
        let mut all = Vec::with_capacity(stretches.len());
        for stretch in stretches {
            match lives(&stretch).await {
                Ok(lives) => all.push((stretch, lives)),
                Err(error) => {
                    let of = stretch.ids.first().map(ToString::to_string).unwrap_or_default();
                    self.notes.push(format!("the blocks of {of} and its neighbours were not counted: {}", error.what));
                    return;
                }
            }
        }
        self.listed(chain, all);
    }

    /// One chain, every run of it listed.
    fn listed(&mut self, chain: &Chain, all: Vec<(Stretch, Lifetimes)>) {
        for (stretch, lives) in all {
            self.add(Frees::counted(lives.freed(|_| true).bytes(), stretch.whys));
            for (at, id) in (0..).zip(&stretch.ids) {
                let alone = Frees::counted(lives.unique(at).bytes(), chain.whys(|one| one == id));
                self.alone.insert(id.clone(), alone);
            }
        }
    }

    /// One chain of which all was listed before: that one walk answers for every set of it.
    fn whole(&mut self, place: &Place, chain: &Chain, whole: &Stretch, lives: &Lifetimes) {
        self.add(chain.freed(whole, lives, |id| place.going.contains(id)));
        for id in whole.ids.iter().filter(|id| place.going.contains(id)) {
            self.alone.insert(id.clone(), chain.freed(whole, lives, |one| one == id));
        }
    }

    /// What a part of it frees together.
    fn add(&mut self, part: Frees) {
        match part.label {
            Sureness::Exact => self.exact += part.bytes,
            Sureness::UpperBound | Sureness::Unknown => self.at_most += part.bytes,
        }
        self.why = self.why.with(part.why);
    }

    fn into_plan(self, plan: &mut RemovalPlan, place: &Place) {
        if self.alone.is_empty() && self.notes.is_empty() {
            return;
        }
        let (account, region) = (place.session.account().clone(), place.session.region().clone());
        let usd = |frees| dollars(frees::month(frees, Tier::Standard, &region));
        for item in &mut plan.items {
            let origin = &item.judged.origin;
            let Target::Snapshot(id) = &item.target else { continue };
            let Some(alone) = self.alone.get(id).filter(|_| origin.account == account && origin.region == region)
            else {
                continue;
            };
            item.judged.frees = *alone;
            item.judged.usd_per_month = usd(*alone);
        }
        plan.together.retain(|one| one.account != account || one.region != region);
        plan.together.push(Together {
            snapshots: self.alone.into_keys().collect(),
            exact: self.exact,
            at_most: self.at_most,
            usd_exact: usd(Frees::exact(self.exact)),
            usd_at_most: usd(Frees { bytes: self.at_most, label: Sureness::UpperBound, why: self.why }),
            why: self.why,
            notes: self.notes,
            account,
            region,
        });
    }
}

/// To the cent: money goes through JSON, and a plan's hash must be the same there.
fn dollars(month: Quantity<Usd>) -> Option<f64> {
    month.known().map(|usd| (usd.0 * 100.0).round() / 100.0)
}

/// Puts in what is known without a List request: from lists of at most ten minutes ago that still name the same
/// snapshots of the volumes, and from what was counted before. All of a chain, or nothing of it.
///
/// # Errors
/// A session could not be had.
pub async fn remembered(aws: &Aws, plan: RemovalPlan, state: &StateDir) -> Result<RemovalPlan> {
    let (mut plan, kept) = (plan, Kept::of(state));
    for place in places(aws, &plan).await? {
        let Some(known) = inventory::known(state, &aws.world(), place.session.origin()).await else { continue };
        let at = known.at;
        let around = Around { snapshots: known.snapshots, volumes: known.volumes, bin: known.bin, ..Around::default() };
        let mut counted = Counted::new(Vec::new());
        for mut chain in chains(&around, &place.going) {
            if frees::is_settled(&place.session, &chain, &kept).await && is_still(&place.session, &around, &chain).await
            {
                frees::settled(&place.session, &mut chain, &kept).await;
                let (session, kept) = (&place.session, &kept);
                if let Some((whole, lives)) = whole_before(session, &chain, kept).await {
                    counted.whole(&place, &chain, &whole, &lives);
                } else if let Some(all) = runs_before(session, &chain, &place.going, kept).await {
                    counted.listed(&chain, all);
                }
            }
        }
        // What is not known is no news here.
        counted.notes = vec![format!("from lists of {}; --frees counts anew", at.strftime("%H:%M UTC"))];
        if !counted.alone.is_empty() {
            counted.into_plan(&mut plan, &place);
        }
    }
    settled(&plan)
}

/// All of a chain, where that was listed before.
async fn whole_before(session: &Session, chain: &Chain, kept: &Kept) -> Option<(Stretch, Lifetimes)> {
    let whole = chain.whole()?;
    let lives = frees::known(session, &whole, kept).await?;
    Some((whole, lives))
}

/// The runs of it that go, where each of them was listed before.
async fn runs_before(
    session: &Session,
    chain: &Chain,
    going: &BTreeSet<SnapshotId>,
    kept: &Kept,
) -> Option<Vec<(Stretch, Lifetimes)>> {
    let mut all = Vec::new();
    for stretch in chain.stretches(|id| going.contains(id)) {
        let lives = frees::known(session, &stretch, kept).await?;
        all.push((stretch, lives));
    }
    Some(all)
}

/// Whether the snapshots of a chain's volume are the ones that are remembered: one question that costs nothing.
async fn is_still(session: &Session, around: &Around, chain: &Chain) -> bool {
    let volume = |member: &SnapshotId| around.row(member).and_then(|row: &SnapshotRow| row.volume.clone());
    let Some(volume) = chain.members.first().and_then(|member| volume(&member.id)) else { return false };
    if volume.is_placeholder() {
        return false;
    }
    let Ok(now) = session.ec2().snapshots_of(std::slice::from_ref(&volume)).await else { return false };
    let told = |rows: &mut dyn Iterator<Item = &SnapshotRow>| -> BTreeSet<String> {
        rows.map(|row| format!("{} {:?} {:?}", row.id, row.state, row.tier)).collect()
    };
    told(&mut now.iter()) == told(&mut around.snapshots.iter().filter(|row| row.volume.as_ref() == Some(&volume)))
}

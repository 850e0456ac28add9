//! What removing snapshots frees, asked of AWS: the region's rows, who is related, the changes along a stretch.
//!
//! The rule and its proof are [`crate::inventory::frees`]; this lists for it, range by range, with the counter's own
//! pages and retries. Memory is a word for each index of eight ranges, whatever the volumes' size. What was listed is
//! kept on disk under what it is of: snapshots never change. Dropping a future stops it.

mod kept;

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;

use super::compare::is_unrelated;
use super::count::{self, Counting, LISTINGS, Listing, RANGE};
use super::prices::{Api, Prices};
use crate::aws::{Ebs, Keeps, Page, Session};
use crate::error::{Class, Error, Result};
use crate::ids::{BlockIndex, BlockRange, Region, SnapshotId, VolumeId};
use crate::inventory::archives::patiently;
use crate::inventory::frees::{Billed, Chain, Lifetimes, Stretch, Walk, Why, Whys, billed_until};
use crate::inventory::verdict::{Frees, Sureness};
use crate::inventory::{SnapshotRow, Tier, VolumeRow};
use crate::rows::BinRule;
use crate::units::{Bytes, Quantity, Sure, Usd};

pub use self::kept::Kept;
use self::kept::{Key, Kin};

/// Families that are asked about for one chain; where there are more, its figures are at most.
pub const ASKED_MOST: usize = 200;
/// Pages of one list, before it is called endless.
const PAGES_MOST: usize = 10_000;

/// Everything in a region that figures rest on.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// All snapshots of the account there.
    pub snapshots: Vec<SnapshotRow>,
    /// All volumes there.
    pub volumes: Vec<VolumeRow>,
    /// Of which volumes snapshots lie in the Recycle Bin; none when it could not be asked.
    pub bin: Option<Vec<VolumeId>>,
    /// Rules of the Recycle Bin; none when they could not be asked.
    pub rules: Option<Vec<BinRule>>,
    /// Since when what is archived is.
    pub archived: BTreeMap<SnapshotId, Timestamp>,
    /// What could not be asked, in words.
    pub notes: Vec<String>,
}

async fn pages<T, F: Future<Output = Result<Page<T>>>>(mut ask: impl FnMut(Option<String>) -> F) -> Result<Vec<T>> {
    let (mut out, mut token) = (Vec::new(), None::<String>);
    for _ in 0..PAGES_MOST {
        let page = patiently(|| ask(token.clone())).await?;
        out.extend(page.rows);
        token = page.next;
        if token.is_none() {
            return Ok(out);
        }
    }
    Err(Error::failed("the list does not end"))
}

/// Reads a region. What is denied beside the snapshots themselves makes figures at most, and is noted.
///
/// # Errors
/// The snapshots cannot be listed.
pub async fn around(session: &Session) -> Result<Around> {
    let ec2 = session.ec2();
    let snapshots = pages(|token| async move { ec2.snapshots(token.as_deref()).await }).await?;
    let mut out = Around { snapshots, ..Around::default() };
    let mut note = |what: &str, error: &Error| {
        let why =
            error.aws.as_ref().map_or_else(|| error.what.clone(), |aws| format!("{} ({})", aws.operation, aws.name()));
        out.notes.push(format!("{what}: {why}"));
    };
    match pages(|token| async move { ec2.volumes(token.as_deref()).await }).await {
        Ok(volumes) => out.volumes = volumes,
        Err(error) => note("the volumes could not be listed, so nobody says what they were restored from", &error),
    }
    match pages(|token| async move { ec2.binned_snapshots(token.as_deref()).await }).await {
        // One that names no volume could be of any.
        Ok(rows) => {
            let placeholder = || "vol-ffffffff".parse().ok();
            out.bin = rows.into_iter().map(|row| row.volume.or_else(placeholder)).collect();
        }
        Err(error) => note("the Recycle Bin could not be listed, and may hold neighbours", &error),
    }
    let archived = out.snapshots.iter().filter(|row| row.tier == Tier::Archive).map(|row| row.id.clone());
    let archived: Vec<SnapshotId> = archived.collect();
    match patiently(|| ec2.archived_among(&archived)).await {
        Ok(since) => out.archived.extend(since),
        Err(error) => note("when snapshots were archived could not be learnt", &error),
    }
    match patiently(|| session.bin_rules(Keeps::Snapshots)).await {
        Ok(rules) => out.rules = Some(rules),
        Err(error) => note("the rules of the Recycle Bin could not be read", &error),
    }
    Ok(out)
}

impl Around {
    /// The row of a snapshot.
    #[must_use]
    pub fn row(&self, id: &SnapshotId) -> Option<&SnapshotRow> {
        self.snapshots.iter().find(|row| row.id == *id)
    }

    /// The chain of a snapshot; its suspects are not asked about yet.
    #[must_use]
    pub fn chain(&self, row: &SnapshotRow) -> Chain {
        chain_of(
            row,
            &self.snapshots.iter().collect::<Vec<_>>(),
            &self.volumes.iter().collect::<Vec<_>>(),
            self.bin.as_deref(),
        )
    }

    /// Until when it is billed after its removal.
    #[must_use]
    pub fn billed(&self, row: &SnapshotRow, now: Timestamp) -> Billed {
        let Some(rules) = &self.rules else { return Billed::Unknown };
        let days = rules.iter().filter(|rule| rule.matches(&row.tags)).map(|rule| rule.days).max();
        billed_until(row.tier, days, self.archived.get(&row.id).copied(), now)
    }
}

/// The chain of a snapshot among rows of its account and region, with what is known of the Recycle Bin.
#[must_use]
pub fn chain_of(row: &SnapshotRow, rows: &[&SnapshotRow], volumes: &[&VolumeRow], bin: Option<&[VolumeId]>) -> Chain {
    let mut chain = Chain::of(row, rows, volumes);
    chain.binned(row, bin, rows, volumes);
    chain
}

/// What asking takes, at most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quote {
    /// List requests.
    pub lists: u64,
    /// What they cost.
    pub usd: Quantity<Usd>,
}

/// What listing these, and asking about so many suspects, takes at most.
#[must_use]
pub fn quote(stretches: &[Stretch], suspects: usize, region: &Region) -> Quote {
    // Where a recorded parent is none, that is found out by the first requests.
    let tried = |stretch: &Stretch| if stretch.whys.has(Why::Recorded) { LISTINGS as u64 } else { 0 };
    let of = |stretch: &Stretch| stretch.steps().len() as u64 * count::lists_at_most(stretch.size) + tried(stretch);
    let lists = stretches.iter().map(of).sum::<u64>() + suspects.min(ASKED_MOST) as u64;
    let price = Prices::bundled().request(Api::List, region);
    #[expect(clippy::cast_precision_loss, reason = "counts of pages are far below 2^52")]
    let usd = Usd(price.value.0 * lists as f64);
    Quote { lists, usd: Quantity { value: usd, sure: Sure::AtMost.and(price.sure) } }
}

/// Asks whether its suspects are related to a chain: one List each, until one is; nobody where that was asked before.
/// Who cannot be asked about is taken for a relative.
pub async fn settled(session: &Session, chain: &mut Chain, kept: &Kept) {
    let suspects: Vec<SnapshotId> = chain.suspects.iter().map(|suspect| suspect.id.clone()).collect();
    let Some(own) = chain.spokesman().cloned() else { return };
    let kin = Kin::of(session, &own, &suspects);
    match kept.load::<_, bool>(&kin).await {
        Some(related) => chain.answered(related.then_some(Why::Related)),
        None => {
            let answer = related(session.ebs(), chain).await;
            if let Some(related) = answer {
                kept.save(&kin, &related).await;
            }
        }
    }
}

/// Whether nobody has to be asked whether they are related to a chain.
pub async fn is_settled(session: &Session, chain: &Chain, kept: &Kept) -> bool {
    let suspects: Vec<SnapshotId> = chain.suspects.iter().map(|suspect| suspect.id.clone()).collect();
    let Some(own) = chain.spokesman() else { return false };
    suspects.is_empty()
        || chain.is_entangled()
        || kept.load::<_, bool>(&Kin::of(session, own, &suspects)).await.is_some()
}

/// Whether anything was found to be related; none where nothing was asked, or somebody could not be.
async fn related(ebs: &Ebs, chain: &mut Chain) -> Option<bool> {
    let suspects: Vec<SnapshotId> = chain.suspects.iter().map(|suspect| suspect.id.clone()).collect();
    let own = chain.spokesman().cloned()?;
    if suspects.is_empty() || chain.is_entangled() {
        chain.answered(None);
        return None;
    }
    if suspects.len() > ASKED_MOST {
        chain.answered(Some(Why::TooMany));
        return None;
    }
    let ask = |id: SnapshotId| {
        let own = own.clone();
        async move {
            match patiently(|| ebs.list_changed(&own, &id, Some(BlockIndex(0)), None, 100)).await {
                Ok(_) => Some(true),
                Err(error) if is_unrelated(&error) => Some(false),
                Err(_) => None,
            }
        }
    };
    let mut answers = stream::iter(suspects).map(ask).buffer_unordered(LISTINGS);
    let mut all = Some(false);
    while let Some(one) = answers.next().await {
        match one {
            Some(false) => {}
            Some(true) => {
                all = Some(true);
                break;
            }
            None => {
                all = None;
                break;
            }
        }
    }
    drop(answers);
    chain.answered(match all {
        Some(false) => None,
        Some(true) => Some(Why::Related),
        None => Some(Why::NotTold),
    });
    all
}

/// How long the versions of a stretch live, where that was listed before.
pub async fn known(session: &Session, stretch: &Stretch, kept: &Kept) -> Option<Lifetimes> {
    kept.load(&Key::of(session, stretch)).await
}

/// Lists a stretch and tells how long each version of a block lives in it.
///
/// # Errors
/// As AWS answers, after the retries that its class allows.
pub async fn lifetimes(session: &Session, stretch: &Stretch, watch: &Counting, kept: &Kept) -> Result<Lifetimes> {
    let key = Key::of(session, stretch);
    if let Some(known) = kept.load(&key).await {
        return Ok(known);
    }
    let lives = match walked(session, stretch, watch).await {
        // Its tag names a parent that AWS knows no way from: then all of it is listed, and that is at most as well.
        Err(error) if stretch.whys.has(Why::Recorded) && error.class == Class::Permanent => {
            walked(session, &Stretch { before: None, ..stretch.clone() }, watch).await?
        }
        outcome => outcome?,
    };
    kept.save(&key, &lives).await;
    Ok(lives)
}

/// Lists it, range by range.
async fn walked(session: &Session, stretch: &Stretch, watch: &Counting) -> Result<Lifetimes> {
    let end =
        u32::try_from(stretch.size.blocks().0).map_err(|_| Error::failed(format!("a volume of {}", stretch.size)))?;
    let ranges: Vec<BlockRange> = (0..end)
        .step_by(RANGE as usize)
        .map(|start| BlockRange::new(start, start.saturating_add(RANGE).min(end)))
        .collect();
    let steps = stretch.steps();
    watch.ranges.store((ranges.len() * steps.len()) as u64, std::sync::atomic::Ordering::Relaxed);
    let steps = &steps;
    stream::iter(ranges)
        .map(|range| async move {
            let mut walk = Walk::new(range.start, range.len(), stretch.before.is_some());
            for (before, this) in steps {
                let listing = before.map_or(Listing::Whole(this), |before| Listing::Delta(before, this));
                count::each(session.ebs(), listing, range, watch, |index, there| walk.event(index, there)).await?;
                walk.stepped();
            }
            Ok::<_, Error>(walk.end(stretch.after.is_some()))
        })
        .buffer_unordered(LISTINGS)
        .try_fold(Lifetimes::default(), |all, one| async move { Ok(all.and(one)) })
        .await
}

/// What a set frees: its figure, how sure it is, and what it costs a month.
///
/// # Errors
/// As AWS answers.
pub async fn freed(session: &Session, stretches: &[Stretch], watch: &Counting, kept: &Kept) -> Result<Frees> {
    let (mut bytes, mut why) = (Bytes::ZERO, Whys::NONE);
    for stretch in stretches {
        bytes += lifetimes(session, stretch, watch, kept).await?.freed(|_| true).bytes();
        why = why.with(stretch.whys);
    }
    Ok(Frees::counted(bytes, why))
}

/// What an archived snapshot frees: it is stored whole and shares with nobody.
#[must_use]
pub fn freed_of_archived(row: &SnapshotRow) -> Option<Frees> {
    (row.tier == Tier::Archive).then_some(match row.full {
        Some(bytes) => Frees::exact(bytes),
        None => Frees::whole(row.size),
    })
}

/// What these bytes cost a month in a tier, as sure as they are.
#[must_use]
pub fn month(frees: Frees, tier: Tier, region: &Region) -> Quantity<Usd> {
    let price = Prices::bundled().stored_month(tier, region);
    let sure = match frees.label {
        Sureness::Exact => Sure::Exact,
        Sureness::UpperBound => Sure::AtMost,
        Sureness::Unknown => return Quantity::unknown(),
    };
    match price.known() {
        Some(usd) => Quantity { value: Usd(frees.bytes.as_gib() * usd.0), sure: sure.and(price.sure) },
        None => Quantity::unknown(),
    }
}

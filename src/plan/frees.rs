//! What removing snapshots frees, asked of AWS: the region's rows, who is related, the changes along a stretch.
//!
//! The rule and its proof are [`crate::inventory::frees`]; this lists for it, range by range, with the counter's own
//! pages and retries. Memory is a word for each index of eight ranges, whatever the volumes' size. What was listed is
//! kept on disk under what it is of: snapshots never change. Dropping a future stops it.

use std::path::PathBuf;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::compare::is_unrelated;
use super::count::{self, Counting, LISTINGS, Listing, RANGE};
use super::prices::{Api, Prices};
use crate::aws::{Ebs, Keeps, Page, Session};
use crate::error::{Error, Result};
use crate::ids::{BlockIndex, BlockRange, Region, SnapshotId, VolumeId};
use crate::inventory::archives::patiently;
use crate::inventory::frees::{Billed, Chain, Lifetimes, Stretch, Walk, billed_until};
use crate::inventory::verdict::{Frees, Sureness};
use crate::inventory::{SnapshotRow, Tier, VolumeRow};
use crate::rows::BinRule;
use crate::store::StateDir;
use crate::store::atomic;
use crate::units::{Bytes, Digest, Quantity, Sure, Usd};

/// Families that are asked about for one chain; where there are more, its figures are at most.
pub const ASKED_MOST: usize = 200;
/// Pages of one list, before it is called endless.
const PAGES_MOST: usize = 10_000;
/// Version of what is kept on disk.
const VERSION: u32 = 1;

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
            error.aws.as_ref().map_or_else(|| error.what.clone(), |aws| format!("{} ({})", aws.operation, aws.code));
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
        billed_until(row, days, None, now)
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
    let of = |stretch: &Stretch| stretch.steps().len() as u64 * count::lists_at_most(stretch.size);
    let lists = stretches.iter().map(of).sum::<u64>() + suspects.min(ASKED_MOST) as u64;
    let price = Prices::bundled().request(Api::List, region);
    #[expect(clippy::cast_precision_loss, reason = "counts of pages are far below 2^52")]
    let usd = Usd(price.value.0 * lists as f64);
    Quote { lists, usd: Quantity { value: usd, sure: Sure::AtMost.and(price.sure) } }
}

/// Asks whether its suspects are related to a chain: one List each, until one is.
///
/// # Errors
/// None of its own: who cannot be asked about is taken for a relative.
pub async fn settle(ebs: &Ebs, chain: &mut Chain) -> Result<()> {
    let suspects: Vec<SnapshotId> = chain.suspects.iter().map(|suspect| suspect.id.clone()).collect();
    let Some(own) = chain.spokesman().cloned() else { return Ok(()) };
    if suspects.is_empty() || chain.is_entangled {
        chain.answered(chain.is_entangled);
        return Ok(());
    }
    if suspects.len() > ASKED_MOST {
        chain.answered(true);
        return Ok(());
    }
    let ask = |id: SnapshotId| {
        let own = own.clone();
        async move {
            let asked = patiently(|| ebs.list_changed(&own, &id, Some(BlockIndex(0)), None, 100)).await;
            !asked.is_err_and(|error| is_unrelated(&error))
        }
    };
    let mut answers = stream::iter(suspects).map(ask).buffer_unordered(LISTINGS);
    let mut related = false;
    while let Some(one) = answers.next().await {
        related |= one;
        if related {
            break;
        }
    }
    drop(answers);
    chain.answered(related);
    Ok(())
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
    let end =
        u32::try_from(stretch.size.blocks().0).map_err(|_| Error::failed(format!("a volume of {}", stretch.size)))?;
    let ranges: Vec<BlockRange> = (0..end)
        .step_by(RANGE as usize)
        .map(|start| BlockRange::new(start, start.saturating_add(RANGE).min(end)))
        .collect();
    let steps = stretch.steps();
    watch.ranges.store((ranges.len() * steps.len()) as u64, std::sync::atomic::Ordering::Relaxed);
    let steps = &steps;
    let lives = stream::iter(ranges)
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
        .await?;
    kept.save(&key, &lives).await;
    Ok(lives)
}

/// What a set frees: its figure, how sure it is, and what it costs a month.
///
/// # Errors
/// As AWS answers.
pub async fn freed(session: &Session, stretches: &[Stretch], watch: &Counting, kept: &Kept) -> Result<Frees> {
    let mut out = Frees { bytes: Bytes::ZERO, label: Sureness::Exact };
    for stretch in stretches {
        out.bytes += lifetimes(session, stretch, watch, kept).await?.freed(|_| true).bytes();
        if stretch.sure != Sureness::Exact {
            out.label = Sureness::UpperBound;
        }
    }
    Ok(out)
}

/// What an archived snapshot frees: it is stored whole and shares with nobody.
#[must_use]
pub fn freed_of_archived(row: &SnapshotRow) -> Option<Frees> {
    (row.tier == Tier::Archive).then_some(match row.full {
        Some(bytes) => Frees { bytes, label: Sureness::Exact },
        None => Frees { bytes: row.size, label: Sureness::UpperBound },
    })
}

/// What these bytes cost a month in the standard tier, as sure as they are.
#[must_use]
pub fn month(frees: Frees, region: &Region) -> Quantity<Usd> {
    let price = Prices::bundled().snapshot_month(region);
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

/// What a figure is of: snapshots never change, so this never ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    version: u32,
    world: String,
    account: String,
    region: Region,
    before: Option<SnapshotId>,
    ids: Vec<SnapshotId>,
    after: Option<SnapshotId>,
}

impl Key {
    fn of(session: &Session, stretch: &Stretch) -> Self {
        Self {
            version: VERSION,
            world: session.ebs().endpoint().to_owned(),
            account: session.account().to_string(),
            region: session.region().clone(),
            before: stretch.before.clone(),
            ids: stretch.ids.clone(),
            after: stretch.after.clone(),
        }
    }
}

/// Where figures are kept; without a place none is.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    dir: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    of: Key,
    lives: Lifetimes,
}

impl Kept {
    /// In a state directory.
    #[must_use]
    pub fn of(state: &StateDir) -> Self {
        Self { dir: state.cache().ok().map(|cache| cache.join("frees")) }
    }

    fn path(&self, key: &Key) -> Option<PathBuf> {
        let name = Digest::of(&serde_json::to_vec(key).ok()?).hex();
        Some(self.dir.as_ref()?.join(format!("{name}.json")))
    }

    async fn load(&self, key: &Key) -> Option<Lifetimes> {
        let path = self.path(key)?;
        let read = tokio::task::spawn_blocking(move || std::fs::read(path).ok()).await.ok()??;
        // A file that cannot be read, or is of something else, is asked for again.
        serde_json::from_slice::<File>(&read).ok().filter(|file| file.of == *key).map(|file| file.lives)
    }

    async fn save(&self, key: &Key, lives: &Lifetimes) {
        let (Some(path), Some(dir)) = (self.path(key), self.dir.clone()) else { return };
        let Ok(bytes) = serde_json::to_vec(&File { of: key.clone(), lives: lives.clone() }) else { return };
        // A cache: what cannot be written is listed again.
        let written = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(dir).and_then(|()| atomic::write(&path, &bytes).map_err(std::io::Error::other))
        });
        if let Ok(Err(error)) = written.await {
            tracing::warn!(%error, "what was counted will not be remembered");
        }
    }
}

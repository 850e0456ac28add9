//! What the deck asks the world on the side: counts of blocks, records of copies, archives, names to complete.
//!
//! Each is one future that ends in a message; [`super::outside`] runs and stops them. Nothing here changes anything.

use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;

use super::figures::{Count, Progress, What};
use super::insides::{At, Lives};
use super::msg::Msg;
use super::names::Entry;
use super::screen::archives::Prefix;
use super::screen::world_region::Setup;
use crate::aws::{Aws, Keeps, Session};
use crate::engine::compare::Side;
use crate::engine::inside;
use crate::error::{Error, Result};
use crate::ids::Profile;
use crate::inventory::archives::{self, ArchiveRow};
use crate::inventory::{Origin, elsewhere};
use crate::plan;
use crate::plan::compare::ChangeMap;
use crate::plan::count::{self, Counting};
use crate::plan::frees::{self, Around, Kept};
use crate::store::copies::Copies;

/// A cursor that stays so long has come to rest.
const RESTS: Duration = Duration::from_millis(250);
/// How often a count says how far it is.
const BEAT: Duration = Duration::from_millis(250);

/// Counts each, one after the other, and says how far it is meanwhile.
pub(super) async fn counts(aws: Aws, number: u64, of: Vec<What>, answers: mpsc::Sender<Msg>) {
    for what in of {
        let map = matches!(what, What::Delta(..)).then(ChangeMap::default);
        let watch = Arc::new(Counting { map, ..Counting::default() });
        let counting = counted(&aws, &what, &watch);
        tokio::pin!(counting);
        let mut beat = tokio::time::interval(BEAT);
        let outcome = loop {
            tokio::select! {
                done = &mut counting => break done,
                _ = beat.tick() => {
                    let progress = Box::new(so_far(&what, &watch));
                    if answers.send(Msg::Counting(number, progress)).await.is_err() {
                        return;
                    }
                }
            }
        };
        if answers.send(Msg::Counted(what.clone(), Box::new(outcome))).await.is_err() {
            return;
        }
    }
}

fn so_far(what: &What, watch: &Counting) -> Progress {
    Progress {
        what: what.clone(),
        blocks: watch.blocks.load(Ordering::Relaxed),
        ranges: (watch.done.load(Ordering::Relaxed), watch.ranges.load(Ordering::Relaxed)),
        cells: watch.map.as_ref().map(ChangeMap::tallies).unwrap_or_default(),
    }
}

async fn counted(aws: &Aws, what: &What, watch: &Counting) -> Result<Count> {
    let (What::Whole(origin, _) | What::Delta(origin, ..)) = what;
    let session = aws.session(origin.profile.as_ref(), Some(&origin.region)).await?;
    let counted = match what {
        What::Whole(_, id) => count::snapshot(session.ebs(), id, watch).await?,
        What::Delta(_, first, second) => count::delta(session.ebs(), first, second, watch).await?,
    };
    Ok(Count { counted, cells: watch.map.as_ref().map(ChangeMap::tallies).unwrap_or_default() })
}

/// What is inside a snapshot.
pub(super) async fn inside(aws: Aws, at: At) -> Msg {
    let looked = async {
        let session = aws.session(at.0.profile.as_ref(), Some(&at.0.region)).await?;
        inside::inspect(Side::Snapshot(session, at.1.clone()), Arc::default()).await
    };
    let looked = looked.await;
    Msg::Looked(at, Box::new(looked))
}

/// How the account is set up in a region. A cursor that only passes by asks nothing.
pub(super) async fn setup(aws: Aws, of: Arc<Origin>) -> Msg {
    tokio::time::sleep(RESTS).await;
    let setup = match aws.session(of.profile.as_ref(), Some(&of.region)).await {
        Ok(session) => {
            let ec2 = session.ec2();
            let (encryption, sharing, bin, quotas) = tokio::join!(
                ec2.encryption_default(),
                ec2.public_sharing(),
                session.bin_rules(Keeps::Snapshots),
                plan::region_quotas(&session)
            );
            Setup { encryption, sharing, bin, quotas }
        }
        Err(error) => {
            Setup { encryption: Err(error.clone()), sharing: Err(error.clone()), bin: Err(error), quotas: Vec::new() }
        }
    };
    Msg::Setup(of, Box::new(setup))
}

/// How long the blocks of the chains of these live, one chain after the other. A region is read once for all of its
/// chains.
pub(super) async fn freed(aws: Aws, mut of: Vec<At>, kept: Kept, answers: mpsc::Sender<Msg>) {
    let place = |at: &At| (at.0.profile.clone(), at.0.account.clone(), at.0.region.clone());
    of.sort_by_cached_key(|at| format!("{:?}", place(at)));
    let mut here: Option<(Arc<Origin>, Result<Here>)> = None;
    for at in of {
        if here.as_ref().is_none_or(|(origin, _)| *origin != at.0) {
            here = Some((at.0.clone(), around(&aws, &at).await));
        }
        let told = match &here {
            Some((_, Ok((session, around)))) => lives(session, around, &at, &kept).await,
            Some((_, Err(error))) => Err(error.clone()),
            None => continue,
        };
        if answers.send(Msg::Freed(at, Box::new(told))).await.is_err() {
            return;
        }
    }
}

/// A region, read for all of its chains.
type Here = (Session, Around);

async fn around(aws: &Aws, at: &At) -> Result<Here> {
    let session = aws.session(at.0.profile.as_ref(), Some(&at.0.region)).await?;
    let around = frees::around(&session).await?;
    Ok((session, around))
}

async fn lives(session: &Session, around: &Around, at: &At, kept: &Kept) -> Result<Lives> {
    let gone = || Error::failed(format!("{} is not there any more", at.1));
    let row = around.row(&at.1).ok_or_else(gone)?;
    let mut chain = around.chain(row);
    frees::settled(session, &mut chain, kept).await;
    let cannot = || Error::failed(format!("the blocks of {} cannot be listed", at.1));
    let stretch = chain.whole().ok_or_else(cannot)?;
    let lives = frees::lifetimes(session, &stretch, &Counting::default(), kept).await?;
    Ok(Lives { chain, stretch, lives, rules: around.rules.clone() })
}

/// What people call the account of a profile; where that is refused its number has to do.
pub(super) async fn alias(aws: Aws, profile: Option<Profile>) -> Option<Msg> {
    let session = aws.session(profile.as_ref(), aws.home_region(profile.as_ref()).as_ref()).await.ok()?;
    let alias = session.account_alias().await.unwrap_or_else(|error| {
        tracing::debug!(%error, "the account has no name here");
        None
    });
    Some(Msg::Alias(session.account().clone(), alias))
}

/// The records of copies, each file looked at as it is now.
pub(super) async fn copies(copies: Copies, world: String) -> Msg {
    let read = tokio::task::spawn_blocking(move || elsewhere::recorded(&copies, &world)).await;
    // A worker that was stopped knows of no copy; the next look asks again.
    Msg::Copies(read.unwrap_or_default())
}

/// What Cost Explorer says was billed. It is asked once: each question is charged.
pub(super) async fn billed(aws: Aws, profile: Option<Profile>) -> Msg {
    let asked = async {
        let region = aws.home_region(profile.as_ref());
        let session = aws.session(profile.as_ref(), region.as_ref()).await?;
        session.billed(crate::wall::now().to_zoned(jiff::tz::TimeZone::UTC).date()).await
    };
    Msg::Billed(Box::new(asked.await))
}

/// Entries of a directory read at most.
const ENTRIES: usize = 1_000;

/// The entries of a directory, directories first; none where it cannot be read.
pub(super) async fn directory(typed: String, path: PathBuf) -> Msg {
    let read = tokio::task::spawn_blocking(move || {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let path = path.strip_prefix("~").map_or_else(|_| path.clone(), |rest| home.join(rest));
        let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
        let mut out: Vec<Entry> = entries
            .flatten()
            .take(ENTRIES)
            .filter_map(|entry| {
                // Links count as what they lead to: devices by a stable name are links.
                let kind = std::fs::metadata(entry.path()).ok()?.file_type();
                let word = match () {
                    () if kind.is_dir() => "directory",
                    () if kind.is_block_device() => "device",
                    () if kind.is_file() => "file",
                    () => return None,
                };
                Some(Entry { name: entry.file_name().into_string().ok()?, kind: word })
            })
            .collect();
        out.sort_by(|a, b| (a.kind != "directory", &a.name).cmp(&(b.kind != "directory", &b.name)));
        out
    });
    Msg::Directory(typed, read.await.unwrap_or_default())
}

/// The buckets of a profile; none where that is denied.
pub(super) async fn buckets(aws: Aws, profile: Option<Profile>) -> Msg {
    let names = async {
        let session = aws.session(profile.as_ref(), aws.home_region(profile.as_ref()).as_ref()).await?;
        session.s3().buckets().await
    };
    let names = names.await.unwrap_or_else(|error| {
        tracing::debug!(%error, "buckets are not completed");
        Vec::new()
    });
    Msg::Buckets(profile, names)
}

/// The archives right below a prefix.
pub(super) async fn archives(aws: Aws, prefix: Prefix) -> Msg {
    let listed = async {
        let session = plan::bucket_session(&aws, prefix.profile.as_ref(), &prefix.bucket).await?;
        archives::list(session.s3(), &prefix.bucket, &prefix.key).await
    };
    let listed = listed.await;
    Msg::Archives(prefix, Box::new(listed))
}

/// One of them, closely.
pub(super) async fn archive(aws: Aws, prefix: Prefix, row: ArchiveRow, check: bool) -> Msg {
    let root = row.address.splitn(4, '/').nth(3).unwrap_or_default().to_owned();
    let is_ours = matches!(row.kind.as_str(), "whole" | "delta" | "file");
    let inspected = async {
        let session = plan::bucket_session(&aws, prefix.profile.as_ref(), &prefix.bucket).await?;
        archives::inspect(&session, &prefix.bucket, &root, is_ours, check).await
    };
    let inspected = inspected.await;
    Msg::Inspected(row.address, Box::new(inspected))
}

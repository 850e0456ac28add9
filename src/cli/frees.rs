//! `floe size --frees`: what removing one or several snapshots frees together, how sure that is, from when it is felt,
//! and what asking costs, said before it is asked.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use super::args::Format;
use super::progress::Line;
use super::resolve::{Resolved, World};
use super::table::{self, Side};
use super::{Code, say};
use crate::address::{Address, Place};
use crate::aws::Session;
use crate::error::{Error, Result};
use crate::ids::SnapshotId;
use crate::inventory::frees::{Billed, Chain, Stretch};
use crate::inventory::verdict::{Frees, Sureness};
use crate::plan;
use crate::plan::count::Counting;
use crate::plan::frees::{self, Around, Kept, Quote};
use crate::rows::Tier;
use crate::units::{Bytes, Quantity, Usd, grouped};

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Report {
    snapshots: Vec<Row>,
    frees: Frees,
    usd_per_month: Quantity<Usd>,
    asked: Quote,
    notes: Vec<String>,
}

/// One of them, alone.
#[derive(Debug, Serialize)]
struct Row {
    address: String,
    id: SnapshotId,
    frees: Frees,
    usd_per_month: Quantity<Usd>,
    #[serde(flatten)]
    billed: Billed,
}

/// Asks and prints.
///
/// # Errors
/// Usage for what is no snapshot, or snapshots of several places; else as AWS answers.
pub async fn run(addresses: &[String], resolved: &Resolved) -> Result<Code> {
    let (place, ids) = named(addresses)?;
    let world = resolved.open().await?;
    let session = resolved.session(&world, &place).await?;
    let around = match frees::around(&session).await {
        Ok(around) => around,
        Err(error) => return Err(world.explain(&place, error).await),
    };
    for id in &ids {
        if around.row(id).is_none() {
            return Err(missing(&world, &place, &session, id).await);
        }
    }
    let report = ask(&world, resolved, &session, &around, &ids).await?;
    print(&report, resolved.output)?;
    Ok(0)
}

/// The snapshots, all of one place: what goes together lies together.
fn named(addresses: &[String]) -> Result<(Place, Vec<SnapshotId>)> {
    let (mut place, mut ids) = (None::<Place>, Vec::new());
    for text in addresses {
        let Address::Snapshot(here, id) = Address::source(text)? else {
            return Err(Error::usage(format!("`{text}` is no snapshot that could be removed"))
                .todo("size --frees takes snapshots of one region: [PROFILE@][REGION:]snap-…"));
        };
        if place.as_ref().is_some_and(|place| *place != here) {
            return Err(Error::usage(format!("`{text}` is in another place than the ones before it"))
                .todo("ask for each region by itself: blocks are shared within one only"));
        }
        place = Some(here);
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok((place.unwrap_or_default(), ids))
}

async fn missing(world: &World, place: &Place, session: &Session, id: &SnapshotId) -> Error {
    let error = Error::failed(format!("{id} is not among the account's snapshots in {}", session.region()));
    plan::elsewhere(&world.aws, place, session, id, error).await
}

/// The chains that the snapshots are in, with which of them.
fn chains(around: &Around, ids: &[SnapshotId]) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    for id in ids {
        let known = chains.iter().any(|chain| chain.members.iter().any(|member| member.id == *id));
        if let Some(row) = around.row(id).filter(|_| !known) {
            chains.push(around.chain(row));
        }
    }
    chains
}

async fn ask(
    world: &World,
    resolved: &Resolved,
    session: &Session,
    around: &Around,
    ids: &[SnapshotId],
) -> Result<Report> {
    let mut chains = chains(around, ids);
    let together = |chains: &[Chain]| -> Vec<Stretch> {
        chains.iter().flat_map(|chain| chain.stretches(|id| ids.contains(id))).collect()
    };
    let alone = |chains: &[Chain], id: &SnapshotId| -> Vec<Stretch> {
        chains.iter().flat_map(|chain| chain.stretches(|one| one == id)).collect()
    };
    let suspects = chains.iter().map(|chain| chain.suspects.len()).sum();
    let mut all = together(&chains);
    if ids.len() > 1 {
        all.extend(ids.iter().flat_map(|id| alone(&chains, id)));
    }
    let asked = frees::quote(&all, suspects, session.region());
    resolved.say.note(&format!("asks at most {} List requests, {}", grouped(asked.lists), asked.usd));
    let kept = Kept::of(&world.state);
    for chain in &mut chains {
        frees::settled(session, chain, &kept).await;
    }
    let mut rows = Vec::with_capacity(ids.len());
    let now = crate::wall::now();
    let mut total = shown(freed(session, &together(&chains), &kept), resolved).await?;
    // Each tier has its own price.
    let mut archived = Frees::exact(Bytes::ZERO);
    for id in ids {
        let Some(row) = around.row(id) else { continue };
        let own = match frees::freed_of_archived(row) {
            Some(one) => {
                archived = and(archived, one);
                one
            }
            None if !chains.iter().any(|chain| chain.members.iter().any(|one| one.id == *id && one.is_listed)) => {
                total.label = Sureness::Unknown;
                Frees::UNKNOWN
            }
            None => shown(freed(session, &alone(&chains, id), &kept), resolved).await?,
        };
        let place = Place { profile: None, region: Some(session.region().clone()) };
        rows.push(Row {
            address: Address::Snapshot(place, id.clone()).to_string(),
            id: id.clone(),
            frees: own,
            usd_per_month: frees::month(own, row.tier, session.region()),
            billed: around.billed(row, now),
        });
    }
    let month = |frees, tier| frees::month(frees, tier, session.region());
    let (standard, apart) = (month(total, Tier::Standard), month(archived, Tier::Archive));
    let usd_per_month = if archived.bytes == Bytes::ZERO {
        standard
    } else {
        Quantity { value: Usd(standard.value.0 + apart.value.0), sure: standard.sure.and(apart.sure) }
    };
    Ok(Report { snapshots: rows, frees: and(total, archived), usd_per_month, asked, notes: around.notes.clone() })
}

/// Both together; as sure as the less sure one.
fn and(a: Frees, b: Frees) -> Frees {
    let label = match (a.label, b.label) {
        (Sureness::Unknown, _) | (_, Sureness::Unknown) => Sureness::Unknown,
        (Sureness::UpperBound, _) | (_, Sureness::UpperBound) => Sureness::UpperBound,
        _ => Sureness::Exact,
    };
    Frees { bytes: a.bytes + b.bytes, label, why: a.why.with(b.why) }
}

/// A count with its watch.
fn freed<'a>(
    session: &'a Session,
    stretches: &'a [Stretch],
    kept: &'a Kept,
) -> (impl Future<Output = Result<Frees>> + 'a, Arc<Counting>) {
    let watch = Arc::new(Counting::default());
    let seen = Arc::clone(&watch);
    (async move { frees::freed(session, stretches, &watch, kept).await }, seen)
}

/// Shows how far it is while it asks.
pub(super) async fn shown<T>(
    (asking, watch): (impl Future<Output = Result<T>>, Arc<Counting>),
    resolved: &Resolved,
) -> Result<T> {
    let mut line = Line::new(resolved.say);
    let mut beat = tokio::time::interval(Duration::from_millis(250));
    tokio::pin!(asking);
    loop {
        tokio::select! {
            done = &mut asking => {
                line.clear();
                return done;
            }
            _ = beat.tick() => {
                let of = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
                line.show(&format!("listing: {} blocks, {} of {} ranges", grouped(of(&watch.blocks)), of(&watch.done), of(&watch.ranges)));
            }
        }
    }
}

pub(super) fn until(billed: &Billed) -> String {
    match billed {
        Billed::AtOnce => "at once".to_owned(),
        Billed::Until { day, why } => format!("from {}: {why}", day.strftime("%Y-%m-%d")),
        Billed::Unknown => "not known".to_owned(),
    }
}

/// Why figures are at most, each sentence once with what it is of.
fn whys(report: &Report) -> Vec<(String, String)> {
    let rows = report.snapshots.iter().filter_map(|row| Some((row.frees.why.said()?, row.address.clone())));
    let many = report.snapshots.len() > 1;
    let together = report.frees.why.said().filter(|_| many).map(|why| (why, "together".to_owned()));
    let mut out: Vec<(String, String)> = Vec::new();
    for (why, of) in rows.chain(together) {
        match out.iter_mut().find(|(known, _)| *known == why) {
            Some((_, all)) => *all = format!("{all}, {of}"),
            None => out.push((why, of)),
        }
    }
    out
}

fn print(report: &Report, output: Format) -> Result<()> {
    if output == Format::Json {
        return table::json(report);
    }
    let columns =
        [("snapshot", Side::Left), ("frees alone", Side::Right), ("a month", Side::Right), ("felt", Side::Left)];
    let cells =
        |row: &Row| vec![row.address.clone(), row.frees.text(), row.usd_per_month.to_string(), until(&row.billed)];
    let rows = report.snapshots.iter().map(cells);
    if output == Format::Csv {
        return table::csv(&columns.map(|(head, _)| head), rows);
    }
    let mut text = table::render(&columns, rows);
    if report.snapshots.len() > 1 {
        let sum: Bytes = report.snapshots.iter().map(|row| row.frees.bytes).sum();
        text.push_str(&format!("\n\ntogether {}, {} a month", report.frees.text(), report.usd_per_month));
        if sum < report.frees.bytes {
            text.push_str(&format!("; each alone, summed, {sum}"));
        }
    }
    for note in &report.notes {
        text.push_str(&format!("\n! {note}"));
    }
    for (why, of) in whys(report) {
        text.push_str(&format!("\n≤ {of} {why}"));
    }
    say::page(&text)
}

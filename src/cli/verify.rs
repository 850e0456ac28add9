//! `floe verify`: any two of snapshots, image files, archives and raw images in S3, compared block by block; both are
//! read in full. An archive alone is held against its own index, where it lies.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::args::{Format, VerifyArgs};
use super::outcome::Outcome;
use super::progress::Line;
use super::resolve::{Resolved, World};
use super::{Code, say, table};
use crate::address::{Address, Place};
use crate::engine::compare::{self, Compared, Knobs, Side, Watch};
use crate::error::{Error, Result};
use crate::plan;
use crate::store::copies::{Copied, Copies, FileId, Held, Holds, Spot, Witness};
use crate::units::{Blocks, counted, grouped};

/// The exit code of "they differ".
const DIFFERENT: Code = 3;
/// Ranges that are printed for people; JSON has all that are kept.
const SHOWN: usize = 100;

/// Compares and prints: 0 the same, or whole; 3 different, or damaged.
///
/// # Errors
/// Usage for what cannot be compared; else what kept the two from being compared.
pub async fn run(args: VerifyArgs, resolved: &Resolved) -> Result<Code> {
    let mut named = vec![comparable(&args.first)?];
    match &args.second {
        Some(second) => named.push(comparable(second)?),
        None => can_stand_alone(&named[0])?,
    }
    let machine = resolved.machine(None, args.memory)?;
    let (world, began, watch) = (resolved.open().await?, Instant::now(), Arc::new(Watch::default()));
    let knobs = Knobs { concurrency: args.concurrency, memory: machine.budget() };
    let (asked, files) = (named.clone(), named.iter().map(file_of).collect::<Vec<_>>());
    let compared = match sides(&world, resolved, &mut named).await {
        Ok(sides) => shown(compare::compare(sides, knobs, Arc::clone(&watch)), &watch, resolved).await,
        Err(error) => Err(error),
    };
    let compared = match compared {
        Ok(compared) => Ok(compared),
        Err(error) => Err(explain(&world, &asked, error).await),
    };
    if resolved.output == Format::Json {
        table::json(&Outcome::compared(&named, compared.as_ref(), &watch, began.elapsed()))?;
    }
    let compared = compared?;
    if compared.different.count == Blocks::ZERO && compared.is_even() {
        remember(&world, &named, &files);
    }
    match resolved.output {
        Format::Json => {}
        Format::Csv => table::csv(
            &["first", "last"],
            compared.different.ranges().map(|(first, last)| vec![first.to_string(), last.to_string()]),
        )?,
        Format::Table | Format::Ids | Format::Html => say::page(&text(&named, &compared))?,
    }
    Ok(if compared.different.count == Blocks::ZERO { 0 } else { DIFFERENT })
}

fn comparable(text: &str) -> Result<Address> {
    match Address::source(text)? {
        address @ (Address::Snapshot(..) | Address::Path(_) | Address::Archive(..) | Address::Object(..)) => Ok(address),
        other => Err(Error::usage(format!("`{other}` cannot be compared"))
            .todo("verify compares two of: a snapshot, [PROFILE@][REGION:]snap-…; an image file, ./disk.img; an archive, s3://bucket/prefix/snap-…/; a raw image in S3, s3://bucket/key")),
    }
}

/// Only an archive says itself what it should hold.
fn can_stand_alone(address: &Address) -> Result<()> {
    match address {
        Address::Archive(..) => Ok(()),
        other => Err(Error::usage(format!("`{other}` alone has nothing that it could be compared with"))
            .todo(format!("name what it should be equal to: floe verify {other} ADDRESS; `floe copy {other} null:` reads all of it"))),
    }
}

/// Opens the sessions; the addresses get the regions that are in force.
async fn sides(world: &World, resolved: &Resolved, addresses: &mut [Address]) -> Result<Vec<Side>> {
    let alone = addresses.len() == 1;
    let mut sides = Vec::with_capacity(addresses.len());
    for address in addresses {
        sides.push(side(world, resolved, address, alone).await?);
    }
    Ok(sides)
}

/// One side, opened; what is missing of an archive is taken as it is when it stands `alone`.
pub(super) async fn side(world: &World, resolved: &Resolved, address: &mut Address, alone: bool) -> Result<Side> {
    match address {
        Address::Snapshot(place, id) => {
            let session = resolved.session(world, place).await?;
            *place = Place { profile: place.profile.take(), region: Some(session.region().clone()) };
            Ok(Side::Snapshot(session, id.clone()))
        }
        Address::Path(path) => Ok(Side::File(absolute(path)?)),
        Address::Archive(..) | Address::Object(..) => {
            let (session, plan) = plan::kept(&world.aws, address, alone).await?;
            if resolved.sandbox.is_none() {
                resolved.limits.check_account(session.account())?;
            }
            Ok(Side::Kept(session, plan.kind, plan.volume))
        }
        other => Err(Error::usage(format!("`{other}` cannot be compared"))),
    }
}

fn absolute(path: &Path) -> Result<std::path::PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io(format!("could not find {}", path.display()), &e))
}

/// Which file it is, before it is read.
fn file_of(address: &Address) -> Option<FileId> {
    match address {
        Address::Path(path) => FileId::of(path).ok(),
        _ => None,
    }
}

/// Writes down that one holds the other, so that deltas may go onto it.
fn remember(world: &World, named: &[Address], files: &[Option<FileId>]) {
    let copies = Copies::of(&world.state);
    if named.len() < 2 {
        return;
    }
    let name = world.aws.world().text();
    for (nth, other) in [(0, 1), (1, 0)] {
        let Some(held) = held(&named[other]) else { continue };
        let spot = match (&named[nth], &files[nth]) {
            (Address::Path(path), Some(before)) => match absolute(path) {
                // What was read is what was there at first, untouched since.
                Ok(path) if FileId::of(&path).is_ok_and(|now| now == *before) => {
                    Spot::File { path, id: before.clone() }
                }
                _ => continue,
            },
            (address, _) => match self::held(address) {
                Some(held) => Spot::Snapshot(held),
                None => continue,
            },
        };
        let record = Copied::new(name.clone(), spot, Holds::Proved(held), Witness::Verified);
        if let Err(error) = copies.keep(&record) {
            tracing::warn!(%error, "what was proved could not be written down");
        }
    }
}

fn held(address: &Address) -> Option<Held> {
    match address {
        Address::Snapshot(place, id) => Some(Held { region: place.region.clone()?, id: id.clone() }),
        _ => None,
    }
}

/// A snapshot that is not there: names the place where it is.
pub(super) async fn explain(world: &World, addresses: &[Address], error: Error) -> Error {
    if !error.has_code("ResourceNotFoundException") && !error.has_code("InvalidSnapshot.NotFound") {
        return match addresses.iter().find_map(Address::place) {
            Some(place) => world.explain(place, error).await,
            None => error,
        };
    }
    let named = |id: &str| error.what.contains(id) || error.aws.as_ref().is_some_and(|aws| aws.message.contains(id));
    let missing = addresses.iter().find_map(|address| match address {
        Address::Snapshot(place, id) if named(id.as_str()) => Some((place, id)),
        _ => None,
    });
    let Some((place, id)) = missing else { return error };
    match world.aws.session(place.profile.as_ref(), place.region.as_ref()).await {
        Ok(session) => plan::elsewhere(&world.aws, place, &session, id, error).await,
        Err(_) => error,
    }
}

/// Shows how far it is while it compares.
async fn shown(
    comparing: impl Future<Output = Result<Compared>>,
    watch: &Watch,
    resolved: &Resolved,
) -> Result<Compared> {
    let mut line = Line::new(resolved.say);
    let mut beat = tokio::time::interval(Duration::from_millis(250));
    tokio::pin!(comparing);
    loop {
        tokio::select! {
            done = &mut comparing => {
                line.clear();
                return done;
            }
            _ = beat.tick() => {
                let of = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
                let indexes = of(&watch.indexes);
                if indexes > 0 {
                    line.show(&format!(
                        "comparing: {} of {} blocks, {} read, {} differ",
                        grouped(of(&watch.reached)),
                        grouped(indexes),
                        Blocks(of(&watch.read)).bytes(),
                        grouped(of(&watch.different)),
                    ));
                }
            }
        }
    }
}

fn text(named: &[Address], compared: &Compared) -> String {
    let mut text = String::new();
    for (nth, address) in named.iter().enumerate() {
        text.push_str(&format!(
            "{address}\n  {}, {}\n",
            compared.lengths[nth],
            counted(compared.blocks[nth].0, "block")
        ));
    }
    if !compared.is_even() {
        text.push_str("Their lengths differ; past its end the shorter one was read as zeros.\n");
    }
    let different = &compared.different;
    let (same, differs) = match named.len() {
        1 => ("Whole: every block was read and has the digest of the index.", "Missing or damaged are"),
        _ => ("The same: every block of both was read and compared.", "Different in"),
    };
    if different.count == Blocks::ZERO {
        text.push_str(same);
        return text;
    }
    text.push_str(&format!("{differs} {}:", counted(different.count.0, "block")));
    for (first, last) in different.ranges().take(SHOWN) {
        text.push_str(&if first == last { format!("\n  {first}") } else { format!("\n  {first}-{last}") });
    }
    if different.is_cut() || different.ranges().nth(SHOWN).is_some() {
        text.push_str(&format!("\n  and more: the first {SHOWN} ranges are shown"));
    }
    text
}

//! `floe size`: the exact number of allocated blocks, by listing; no data is read.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use super::args::{Format, Size};
use super::progress::Line;
use super::resolve::Resolved;
use super::{Code, frees, say, table};
use crate::address::{Address, Place};
use crate::aws::Session;
use crate::error::{Error, Result};
use crate::ids::SnapshotId;
use crate::plan;
use crate::plan::count::{self, Counted, Counting};
use crate::units::{Blocks, grouped};

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Row {
    address: String,
    volume_bytes: u64,
    blocks: u64,
    bytes: u64,
    #[serde(flatten)]
    delta: Option<Delta>,
}

#[derive(Debug, Serialize)]
struct Delta {
    added: u64,
    changed: u64,
    removed: u64,
}

/// Counts and prints.
///
/// # Errors
/// Usage for an address that has no blocks to list; else as AWS answers.
pub async fn run(args: Size, resolved: &Resolved) -> Result<Code> {
    if args.frees {
        return frees::run(&args.addresses, resolved).await;
    }
    let [address] = args.addresses.as_slice() else {
        return Err(Error::usage("size counts one snapshot or one delta")
            .todo("--frees takes several, and tells what removing them would free together"));
    };
    let address = Address::source(address)?;
    let (Address::Snapshot(place, second) | Address::Delta(place, _, second)) = &address else {
        return Err(Error::usage(format!("`{address}` has no blocks to list"))
            .todo("size counts a snapshot, [REGION:]snap-…, or a delta, [REGION:]snap-A..snap-B"));
    };
    let world = resolved.open().await?;
    let session = resolved.session(&world, place).await?;
    let watch = Arc::new(Counting::default());
    let counting = count_of(&session, &address, second, Arc::clone(&watch));
    let counted = match shown(counting, &watch, resolved).await {
        Ok(counted) => counted,
        Err(error) if is_not_there(&error) => {
            return Err(plan::elsewhere(&world.aws, place, &session, missing(&address, second, &error), error).await);
        }
        Err(error) => return Err(world.explain(place, error).await),
    };
    print(&address, &session, counted, resolved.output)?;
    Ok(0)
}

/// Which of a delta's two snapshots an error names; the second one when it names none.
fn missing<'a>(address: &'a Address, second: &'a SnapshotId, error: &Error) -> &'a SnapshotId {
    let says = |id: &SnapshotId| error.aws.as_ref().is_some_and(|aws| aws.message.contains(id.as_str()));
    match address {
        Address::Delta(_, first, _) if says(first) && !says(second) => first,
        _ => second,
    }
}

fn is_not_there(error: &Error) -> bool {
    error.has_code("ResourceNotFoundException") || error.has_code("InvalidSnapshot.NotFound")
}

async fn count_of(session: &Session, address: &Address, second: &SnapshotId, watch: Arc<Counting>) -> Result<Counted> {
    match address {
        Address::Delta(_, first, _) => count::delta(session.ebs(), first, second, &watch).await,
        _ => count::snapshot(session.ebs(), second, &watch).await,
    }
}

/// Shows how far it is while it counts.
async fn shown(
    counting: impl Future<Output = Result<Counted>>,
    watch: &Counting,
    resolved: &Resolved,
) -> Result<Counted> {
    let mut line = Line::new(resolved.say);
    let mut beat = tokio::time::interval(Duration::from_millis(250));
    tokio::pin!(counting);
    loop {
        tokio::select! {
            done = &mut counting => {
                line.clear();
                return done;
            }
            _ = beat.tick() => {
                let (blocks, done) = (watch.blocks.load(Ordering::Relaxed), watch.done.load(Ordering::Relaxed));
                let ranges = watch.ranges.load(Ordering::Relaxed);
                if ranges > 0 {
                    line.show(&format!("counting: {} blocks, {done} of {ranges} ranges", grouped(blocks)));
                }
            }
        }
    }
}

fn print(address: &Address, session: &Session, counted: Counted, output: Format) -> Result<()> {
    let mut full = address.clone();
    if let Some(place) = full.place_mut() {
        *place = Place { profile: place.profile.take(), region: Some(session.region().clone()) };
    }
    let is_delta = matches!(address, Address::Delta(..));
    let row = Row {
        address: full.to_string(),
        volume_bytes: counted.volume.0,
        blocks: counted.blocks.0,
        bytes: counted.blocks.bytes().0,
        delta: is_delta.then_some(Delta {
            added: counted.added.0,
            changed: counted.changed.0,
            removed: counted.removed.0,
        }),
    };
    match output {
        Format::Json => table::json(&row),
        Format::Csv => {
            let mut heads = vec!["address", "volume_bytes", "blocks", "bytes"];
            let mut cells =
                vec![row.address, row.volume_bytes.to_string(), row.blocks.to_string(), row.bytes.to_string()];
            if let Some(delta) = row.delta {
                heads.extend(["added", "changed", "removed"]);
                cells.extend([delta.added, delta.changed, delta.removed].map(|n| n.to_string()));
            }
            table::csv(&heads, [cells])
        }
        Format::Table | Format::Ids | Format::Html => say::page(&text(&row.address, counted, is_delta)),
    }
}

fn text(address: &str, counted: Counted, is_delta: bool) -> String {
    let all = counted.volume.blocks();
    #[expect(clippy::cast_precision_loss, reason = "a percentage needs two digits")]
    let percent = if all == Blocks::ZERO { 0.0 } else { counted.blocks.0 as f64 * 100.0 / all.0 as f64 };
    let verb = if is_delta { "differ" } else { "are allocated" };
    let mut text = format!(
        "{address}\n= {} of {} blocks {verb}: {} of {} ({percent:.1} %)",
        counted.blocks,
        all,
        counted.blocks.bytes(),
        counted.volume
    );
    if is_delta {
        text.push_str(&format!(
            "\n  added {}, changed {}, removed {}",
            counted.added, counted.changed, counted.removed
        ));
    }
    text
}

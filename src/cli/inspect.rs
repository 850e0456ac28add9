//! `floe inspect`: partition tables, file systems and boot loaders of a snapshot, an image file, a device, an archive
//! or a raw image in S3; a handful of blocks is read, and what that costs is said before and after.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::args::{Format, Inspect};
use super::progress::Line;
use super::resolve::Resolved;
use super::table::Side as At;
use super::{Code, say, table, verify};
use crate::address::Address;
use crate::disk::{Content, Inside, Partition, Scheme};
use crate::engine::inside::{self, Looked, Watch};
use crate::error::{Error, Result};
use crate::units::{Bytes, Quantity, Usd, counted};

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Row {
    address: String,
    #[serde(flatten)]
    looked: Looked,
}

/// Looks and prints.
///
/// # Errors
/// Usage for an address that is no disk; else as reading it fails.
pub async fn run(args: Inspect, resolved: &Resolved) -> Result<Code> {
    let mut address = match Address::source(&args.address)? {
        address @ (Address::Snapshot(..) | Address::Path(_) | Address::Archive(..) | Address::Object(..)) => address,
        Address::Delta(place, _, second) => {
            return Err(Error::usage("a delta is no disk: it holds only what changed")
                .todo(format!("floe inspect {}", Address::Snapshot(place, second))));
        }
        other => {
            return Err(Error::usage(format!("`{other}` is no disk that can be looked into")).todo(
                "inspect takes a snapshot, [PROFILE@][REGION:]snap-…; an image file or a device, ./disk.img; an archive, s3://bucket/prefix/snap-…/; a raw image in S3, s3://bucket/key",
            ));
        }
    };
    let (world, asked) = (resolved.open().await?, vec![address.clone()]);
    let side = match verify::side(&world, resolved, &mut address, true).await {
        Ok(side) => side,
        Err(error) => return Err(verify::explain(&world, &asked, error).await),
    };
    let most = inside::most(&side);
    if most.usd.value > Usd(0.0) {
        resolved.say.note(&format!("reads at most {} blocks, {}", most.blocks, most.usd));
    }
    let watch = Arc::new(Watch::default());
    let looked = match shown(inside::inspect(side, Arc::clone(&watch)), &watch, resolved).await {
        Ok(looked) => looked,
        Err(error) => return Err(verify::explain(&world, &asked, error).await),
    };
    let address = address.to_string();
    match resolved.output {
        Format::Json => table::json(&Row { address, looked })?,
        Format::Csv => table::csv(&HEADS.map(|(head, _)| head), rows(&looked.inside))?,
        Format::Table | Format::Ids | Format::Html => say::page(&text(&address, &looked))?,
    }
    Ok(0)
}

/// Shows how far it is while it looks.
async fn shown(looking: impl Future<Output = Result<Looked>>, watch: &Watch, resolved: &Resolved) -> Result<Looked> {
    let mut line = Line::new(resolved.say);
    let mut beat = tokio::time::interval(Duration::from_millis(250));
    tokio::pin!(looking);
    loop {
        tokio::select! {
            done = &mut looking => {
                line.clear();
                return done;
            }
            _ = beat.tick() => line.show(&format!("looking: {} blocks read", watch.read.load(Ordering::Relaxed))),
        }
    }
}

const HEADS: [table::Column; 10] = [
    ("part", At::Left),
    ("start", At::Right),
    ("size", At::Right),
    ("for", At::Left),
    ("holds", At::Left),
    ("label", At::Left),
    ("uuid", At::Left),
    ("mounted", At::Left),
    ("written", At::Left),
    ("notes", At::Left),
];

/// A row for each partition and each logical volume; one for a disk without partitions.
fn rows(inside: &Inside) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    let whole = [String::new(), "0 B".to_owned(), inside.bytes.to_string(), String::new()];
    for (place, content) in inside
        .partitions
        .iter()
        .map(|part| (place(part), part.content.as_ref()))
        .chain(inside.content.as_ref().map(|content| (whole, Some(content))))
    {
        let number = place[0].clone();
        out.push(place.into_iter().chain(cells(content)).collect());
        for volume in content.into_iter().flat_map(|content| &content.volumes) {
            let name = if number.is_empty() { volume.name.clone() } else { format!("{number}/{}", volume.name) };
            let place = [name, String::new(), volume.bytes.to_string(), "logical volume".to_owned()];
            out.push(place.into_iter().chain(cells(volume.content.as_deref())).collect());
        }
    }
    out
}

fn place(part: &Partition) -> [String; 4] {
    let active = if part.active { ", active" } else { "" };
    let name = part.name.as_deref().map_or_else(String::new, |name| format!(" ({name})"));
    let purpose = format!("{}{name}{active}", part.purpose);
    [part.number.to_string(), part.start.to_string(), part.bytes.to_string(), purpose]
}

fn cells(content: Option<&Content>) -> [String; 6] {
    let Some(content) = content else { return Default::default() };
    let day = |at: Option<Timestamp>| at.map(|at| at.strftime("%Y-%m-%d").to_string());
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mounted = match (day(content.mounted), &content.mounted_on) {
        (Some(day), Some(on)) => format!("{day} on {on}"),
        (day, on) => day.or_else(|| on.clone()).unwrap_or_default(),
    };
    let free = content.free.map(|free| format!("{free} free"));
    let notes = free.into_iter().chain(content.notes.iter().cloned()).collect::<Vec<_>>().join(", ");
    let written = day(content.written).unwrap_or_default();
    [content.kind.name().to_owned(), text(&content.label), text(&content.uuid), mounted, written, notes]
}

fn text(address: &str, looked: &Looked) -> String {
    let inside = &looked.inside;
    let mut out = format!("{address}\n{}: {}", inside.bytes, what(inside));
    let rows = rows(inside);
    if !rows.is_empty() {
        // What no row has is no column.
        let used = |n: &usize| rows.iter().any(|row| row.get(*n).is_some_and(|cell| !cell.is_empty()));
        let columns: Vec<usize> = (0..HEADS.len()).filter(used).collect();
        let heads: Vec<table::Column> = columns.iter().map(|n| HEADS[*n]).collect();
        let cells = rows.iter().map(|row| columns.iter().map(|n| row[*n].clone()).collect());
        out.push_str(&format!("\n\n{}\n", table::render(&heads, cells)));
    }
    for boot in &inside.boot {
        let place = boot.partition.map_or_else(|| "first sector".to_owned(), |number| format!("partition {number}"));
        out.push_str(&format!("\nboots with {} ({place})", boot.what));
    }
    let notes = inside.table.iter().flat_map(|table| &table.notes).chain(&inside.notes);
    out.extend(notes.map(|note| format!("\n! {note}")));
    out.push_str(&format!("\n{}", took(looked)));
    out
}

/// What it is, in a sentence.
fn what(inside: &Inside) -> String {
    match (&inside.table, &inside.content) {
        (Some(table), _) => {
            let scheme = match table.scheme {
                Scheme::Gpt => "a GUID partition table",
                Scheme::Mbr => "an MBR partition table",
            };
            let id = table.id.as_deref().map_or_else(String::new, |id| format!(" {id}"));
            let count = inside.partitions.len();
            format!("{scheme}{id} with {count} partition{}", if count == 1 { "" } else { "s" })
        }
        (None, Some(content)) => format!("no partition table, {} on all of it", content.kind.name()),
        (None, None) if inside.bytes == Bytes::ZERO => "nothing".to_owned(),
        (None, None) => "no partition table and no file system that is known here".to_owned(),
    }
}

fn took(looked: &Looked) -> String {
    let reads = &looked.reads;
    let lists = if reads.lists > 0 { format!(" and {}", counted(reads.lists, "listing")) } else { String::new() };
    let usd = match reads.usd {
        Quantity { value: Usd(0.0), .. } => String::new(),
        Quantity { value, .. } if value < Usd(0.0001) => ", under $0.0001".to_owned(),
        usd => format!(", {usd}"),
    };
    format!("read {}{lists}{usd}", counted(reads.blocks, "block"))
}

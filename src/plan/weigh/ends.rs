//! Start and end of a job, counted: what is asked one after the other before the blocks move and after the last of them,
//! times what an answer takes on this route, and what a service and a disk take for themselves.
//!
//! Destinations are opened and completed at once, so that of several the longest counts. What is asked here is what
//! `engine/run` asks; `tests/it/steps.rs` holds each line against the requests that the sandbox saw, in their order.

use super::limits::past;
use super::s3::{index_gets, index_puts, objects_of, of_value};
use crate::aws::KEYS_A_PAGE;
use crate::inventory::archives::Layer;
use crate::plan::layout::{Layout, SIDE_BY_SIDE, ZEROS_WORTH};
use crate::plan::model::{
    Choices, DestinationKind, DestinationPlan, Facts, ItemPlan, Options, SourceKind, Strategy, TimePart, Verify, When,
};
use crate::store::routes::Past;
use crate::units::{counted, grouped};

/// Seconds that an answer takes, at best and at worst, until this route has been measured: a machine in the region, and
/// the far side of the world.
const ASSUMED: (f64, f64) = (0.002, 0.1);
/// Seconds that AWS completes a snapshot in once it has all blocks; nobody publishes a figure.
const COMPLETING: (f64, f64) = (0.0, 5.0);
/// Records that a job syncs to the disk of its state directory, one after the other.
const RECORDS: u32 = 14;
/// Seconds that a sync takes, on a disk of flash and on a busy one.
const SYNC: (f64, f64) = (0.000_1, 0.02);
/// Seconds that a file takes whose last batch (64 MiB) is still to be synced, and its name and folder.
const LAST_BATCH: (f64, f64) = (0.001, 1.5);
/// Blocks of a page of a result that is listed back.
const PAGE_BACK_BLOCKS: u64 = 5_000;

/// What a line of pages is called that are listed back.
pub(super) const LISTED_BACK: &str = "listed back";

/// What removes what was temporary: uploads and objects listed, one removed, and none found any more.
const SWEEP: u64 = 4;

/// What one answer takes on this route, and how that is known.
struct Latency {
    low: f64,
    high: f64,
    how: String,
}

impl Latency {
    /// By the quickest block of earlier jobs, half as long to twice as long; else as assumed.
    fn of(item: &ItemPlan, facts: &Facts) -> Self {
        let measured =
            past(item, facts).iter().map(|past| f64::from(past.get_ms.max(past.put_ms))).filter(|ms| *ms > 0.0);
        match measured.reduce(f64::min) {
            Some(ms) => {
                let how = format!("{:.0}–{:.0} ms measured", ms / 2.0, ms * 2.0);
                Self { low: ms / 2_000.0, high: ms / 500.0, how }
            }
            None => {
                let how = "2–100 ms assumed".to_owned();
                Self { low: ASSUMED.0, high: ASSUMED.1, how }
            }
        }
    }

    fn line(&self, when: When, name: &str, answers: u64) -> TimePart {
        self.and(when, name, answers, (0.0, 0.0), "")
    }

    /// The same, and what is taken beside the answers, in words.
    #[expect(clippy::cast_precision_loss, reason = "a few answers")]
    fn and(&self, when: When, name: &str, answers: u64, own: (f64, f64), words: &str) -> TimePart {
        let mut formula = match answers {
            0 => String::new(),
            many => format!("{} × {}", grouped(many), self.how),
        };
        if !words.is_empty() {
            formula = if formula.is_empty() { words.to_owned() } else { format!("{formula}; {words}") };
        }
        TimePart {
            name: name.to_owned(),
            when,
            answers,
            low_seconds: answers as f64 * self.low + own.0,
            high_seconds: answers as f64 * self.high + own.1,
            formula,
        }
    }
}

/// Answers of a source, by when they come.
#[derive(Default)]
struct Asks {
    /// Before anything else, and again when all was read: whether it is still what was planned.
    open: u64,
    unchanged: u64,
    /// Its first page.
    pages: u64,
    /// The first block, alone.
    first: u64,
}

fn of_source(item: &ItemPlan) -> Asks {
    match &item.source.kind {
        SourceKind::Snapshot { .. } | SourceKind::Image { .. } | SourceKind::Delta { .. } => {
            Asks { pages: 1, first: 1, ..Asks::default() }
        }
        SourceKind::Archive { layers, .. } => {
            let many = layers.len() as u64;
            // The manifest, a look at the index, and all of it.
            let open = layers.iter().map(|layer| 2 + Layer::steps(layer.index)).sum();
            Asks { open, unchanged: many, pages: many, first: 1 }
        }
        SourceKind::Fsp { segments, .. } => {
            let pages = (segments + 1).div_ceil(u64::from(KEYS_A_PAGE));
            Asks { open: pages, unchanged: pages, pages: 0, first: 1 }
        }
        SourceKind::Object { .. } => Asks { unchanged: 1, first: 1, ..Asks::default() },
        SourceKind::File { .. } | SourceKind::Prefix { .. } => Asks::default(),
    }
}

/// Answers before a destination can be written to, and those of its first block.
fn to_open(to: &DestinationPlan) -> (u64, u64) {
    match &to.kind {
        DestinationKind::Snapshot { .. } if to.strategy != Strategy::Native => (1, 1),
        DestinationKind::Archive { .. } => (1, 1),
        // A piece is sent when all of it is there.
        DestinationKind::Object { .. } => (2, 0),
        _ => (0, 0),
    }
}

/// What a destination takes once it has all blocks.
fn to_end(
    item: &ItemPlan,
    to: &DestinationPlan,
    options: &Options,
    choices: &Choices,
    latency: &Latency,
) -> Vec<TimePart> {
    let line = |name: &str, answers| latency.line(When::After, name, answers);
    let blocks = item.source.blocks.value.0;
    let listed = options.verify != Verify::None;
    match &to.kind {
        DestinationKind::Snapshot { on, .. } if to.strategy != Strategy::Native => {
            let words = "AWS's own 0–5 s assumed; looked at after 0.1 s, then twice as late";
            let mut all = vec![
                line("told it is complete", 1),
                latency.and(When::After, "until it is completed", 1, COMPLETING, words),
            ];
            if listed {
                let sides = if on.is_some() { 3 } else { 1 };
                all.push(line(LISTED_BACK, sides * blocks.div_ceil(PAGE_BACK_BLOCKS).max(1)));
            }
            all
        }
        DestinationKind::Archive { .. } => {
            let objects = objects_of(blocks, choices.run_blocks(item.archives()));
            let lists = if listed { objects.div_ceil(u64::from(KEYS_A_PAGE)).max(1) } else { 0 };
            let (compared, chunks) = index_gets(blocks);
            let back = if listed { 2 + of_value(compared) + of_value(chunks) } else { 0 };
            vec![
                line("index and manifest put", 1 + lists + of_value(index_puts(blocks)) + 1),
                line("archive read back", 1 + back),
            ]
        }
        DestinationKind::Object { layout, .. } => {
            let mut all = vec![line("upload ended", 3)];
            all.extend(zeros(layout, blocks, latency));
            all
        }
        DestinationKind::File { .. } | DestinationKind::Device { .. } => {
            let words = "64 MiB at most to be synced: assumed";
            vec![latency.and(When::After, "synced and renamed", 0, LAST_BATCH, words)]
        }
        _ => Vec::new(),
    }
}

/// Pieces without a block, as many as there can be: an object of zeros that S3 copies into their places, a few at a time, and
/// that is removed then. None of it where its blocks are spread over all pieces.
fn zeros(layout: &Layout, blocks: u64, latency: &Latency) -> Option<TimePart> {
    let piece = u64::from(layout.piece.max(1));
    let empty = u64::from(layout.pieces()).saturating_sub(blocks.div_ceil(piece));
    if empty < u64::from(ZEROS_WORTH) {
        return None;
    }
    let rounds = empty.div_ceil(SIDE_BY_SIDE as u64);
    let words = "none where blocks lie in all of them";
    let line = latency.and(When::After, "pieces without a block", 1 + rounds + SWEEP, (0.0, 0.0), words);
    Some(TimePart { low_seconds: 0.0, ..line })
}

/// What jobs take beside their blocks: those of one item, or of all of them at once.
pub(super) fn ends(item: &ItemPlan, options: &Options, choices: &Choices, facts: &Facts) -> Vec<TimePart> {
    let latency = Latency::of(item, facts);
    let asks = of_source(item);
    let line = |when, name, answers| latency.line(when, name, answers);
    let opens = item.destinations.iter().map(|to| to_open(to).0).max().unwrap_or(0);
    let puts = item.destinations.iter().map(|to| to_open(to).1).max().unwrap_or(0);
    let parents = item.destinations.iter().filter(|to| is_on_parent(item, to)).count() as u64;
    let mut all = vec![
        line(When::Before, "source opened", asks.open),
        line(When::Before, "destinations opened", opens),
        line(When::Before, "source as planned", asks.unchanged),
        line(When::Before, "first page listed", asks.pages + parents),
        line(When::Before, "first block, alone", asks.first + puts),
        line(When::After, "source as planned", asks.unchanged),
    ];
    let longest = item.destinations.iter().map(|to| to_end(item, to, options, choices, &latency));
    let seconds = |lines: &[TimePart]| lines.iter().map(|line| line.high_seconds).sum::<f64>();
    all.extend(longest.reduce(|a, b| if seconds(&b) > seconds(&a) { b } else { a }).unwrap_or_default());
    all.retain(|line| line.high_seconds > 0.0);
    let words = format!("{RECORDS} syncs × 0.1–20 ms assumed");
    let own = (f64::from(RECORDS) * SYNC.0, f64::from(RECORDS) * SYNC.1);
    all.push(latency.and(When::After, "journal and ledger", 0, own, &words));
    all
}

/// What earlier jobs on the route took beside their blocks, in one line.
pub(super) fn as_before(low: f64, high: f64, jobs: usize) -> TimePart {
    TimePart {
        name: "start and end".to_owned(),
        when: When::After,
        answers: 0,
        low_seconds: low / 2.0,
        high_seconds: high * 2.0,
        formula: format!("{}'s, half to twice", counted(jobs as u64, "earlier job")),
    }
}

/// Seconds of an earlier job beside its blocks, where it was kept.
pub(super) fn beside(past: &Past) -> Option<f64> {
    (past.moving > 0.0 && past.seconds >= past.moving).then_some(past.seconds - past.moving)
}

fn is_on_parent(item: &ItemPlan, to: &DestinationPlan) -> bool {
    item.source.kind.base().is_none() && matches!(to.kind, DestinationKind::Snapshot { on: Some(_), .. })
}

//! What archives and objects in S3 cost: requests, keys, transfer, and their class's month.
//!
//! Requests are counted as the engine sends them: its own constants and cuts are used ([`Layout::asks`],
//! [`Choices::run_blocks`], [`Layer::steps`]), and a test compares each class with what a strict S3 counted. What is
//! exact is said so; where positions, compression or a file's holes decide, the most that it takes is said as that. LIST
//! is paid as PUT, HEAD as GET, DELETE costs nothing.

use super::cost::{Bill, Line, Measure};
use crate::archive::{CHUNK_MAX, Directory, ROWS_A_CHUNK};
use crate::aws::{KEYS_A_PAGE, Keep};
use crate::ids::Region;
use crate::inventory::archives::Layer;
use crate::plan::choices::INDEX_PART;
use crate::plan::layout::{Empty, Layout, OBJECT_HEADS};
use crate::plan::model::{ArchiveLayer, Charge, Choices, ItemPlan, Options, SourceKind, Verify};
use crate::units::{Bytes, Quantity, Sure};

/// A source is looked at before its first block is read and after its last one: is it still what was planned?
const LOOKS: u64 = 2;

/// How S3 is asked beside blocks.
const READS_MANIFEST: u64 = 1;

/// Requests, exact or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    value: u64,
    exact: bool,
}

impl Count {
    const fn exact(value: u64) -> Self {
        Self { value, exact: true }
    }
    const fn most(value: u64) -> Self {
        Self { value, exact: false }
    }
    fn and(self, other: Self) -> Self {
        Self { value: self.value + other.value, exact: self.exact && other.exact }
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
    fn quantity(self) -> Quantity<f64> {
        let value = self.value as f64;
        if self.exact { Quantity::exact(value) } else { Quantity::at_most(value) }
    }
}

/// How many, whether exactly or at most.
pub(super) const fn of_value(count: Count) -> u64 {
    count.value
}

/// Objects that so many blocks become. The first block goes alone: it shows whether all of it may be done at all.
pub(super) fn objects_of(blocks: u64, run: u32) -> u64 {
    blocks.min(1) + blocks.saturating_sub(1).div_ceil(u64::from(run.max(1)))
}

fn most(quantity: Quantity<f64>) -> Quantity<f64> {
    Quantity { value: quantity.value, sure: quantity.sure.and(Sure::AtMost) }
}

/// A key of KMS is asked for each object that is written or read, unless the bucket keeps one.
fn keys(bill: &mut Bill<'_>, at: usize, keep: &Keep, region: &Region, requests: Quantity<f64>) {
    if keep.kms_key.is_some() {
        let price = bill.prices.kms_request();
        let line = Line::once(format!("KMS for S3 in {region}"), "requests", Charge::Fixed).to(at);
        let line = line.assumes("one KMS request for each request that writes; a bucket key makes them far fewer");
        bill.add(line, most(requests), price);
    }
}

/// A line of requests, where there are any.
fn asked(bill: &mut Bill<'_>, to: Option<usize>, (name, charge): (&str, Charge), region: &Region, count: Count) {
    if count.value == 0 {
        return;
    }
    let price = bill.prices.s3("STANDARD", region);
    // A LIST costs what a PUT costs.
    let price = if name.starts_with("S3 LIST") { price.put } else { price.get };
    let line = Line::once(format!("{name} in {region}"), "requests", charge);
    let line = match to {
        Some(at) => line.to(at),
        None => line,
    };
    bill.add(line, count.quantity(), price);
}

/// The index of an archive of so many blocks, at most: chunks that do not get shorter, and the directory.
fn index_most(blocks: u64) -> Bytes {
    let chunks = blocks.div_ceil(ROWS_A_CHUNK as u64);
    Bytes(
        chunks * CHUNK_MAX as u64 + Directory::MOST.min(usize::try_from(chunks * 20 + 24).unwrap_or(usize::MAX)) as u64,
    )
}

/// Requests that write an index: one, or an upload in parts.
pub(super) fn index_puts(blocks: u64) -> Count {
    let bytes = index_most(blocks);
    match bytes < INDEX_PART {
        true => Count::exact(1),
        false => Count::most(2 + bytes.0.div_ceil(INDEX_PART.0) + 1),
    }
}

/// Requests that compare an index with its manifest, and those that read its rows then.
pub(super) fn index_gets(blocks: u64) -> (Count, Count) {
    let (steps, chunks) = (Layer::steps(index_most(blocks)), blocks.div_ceil(ROWS_A_CHUNK as u64));
    (if steps <= 1 { Count::exact(1) } else { Count::most(steps) }, Count::exact(chunks))
}

/// What an archive costs. Its bytes are at most, because nothing says before how far blocks compress; its requests follow
/// from the number of its blocks.
#[expect(clippy::too_many_arguments, reason = "one line of a bill each")]
#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
pub(super) fn archive(
    bill: &mut Bill<'_>,
    item: &ItemPlan,
    at: usize,
    keep: &Keep,
    region: &Region,
    choices: &Choices,
    options: &Options,
    size: &Measure,
    here: Option<&Region>,
) {
    let class = keep.class.as_deref().unwrap_or("STANDARD");
    let price = bill.prices.s3(class, region);
    let blocks = item.source.blocks.value.0;
    // Two archives of one source wait for each other's objects.
    let known = is_known(item) && item.archives() == 1;
    let sure = |count: Count| if known { count } else { Count::most(count.value) };
    let objects = objects_of(blocks, choices.run_blocks(item.archives()));
    let written = sure(Count::exact(objects + 1).and(index_puts(blocks))).quantity();
    let line = Line::once(format!("S3 PUT in {region}"), "requests", Charge::Store).to(at);
    bill.add(line, written, price.put);
    keys(bill, at, keep, region, written);
    bill.transfer((here, Some(region)), most(size.gib), Charge::Written, Some(at));
    // Whether there is one: before, when it is committed, and whether it is there then.
    let (mut gets, mut rows, mut lists, mut heads) = (Count::exact(3 * READS_MANIFEST), Count::exact(0), 0, 0);
    if options.verify != Verify::None {
        let (compared, chunks) = index_gets(blocks);
        (gets, rows) = (gets.and(Count::exact(READS_MANIFEST)).and(compared), chunks);
        lists = objects.div_ceil(u64::from(KEYS_A_PAGE)).max(1);
        heads = 1;
    }
    asked(bill, Some(at), ("S3 LIST", Charge::Fixed), region, sure(Count::exact(lists)));
    asked(bill, Some(at), ("S3 HEAD", Charge::Fixed), region, Count::exact(heads));
    asked(bill, Some(at), ("S3 index", Charge::Fixed), region, sure(gets));
    asked(bill, Some(at), ("S3 index rows", Charge::Fetch), region, sure(rows));
    if options.verify == Verify::Full {
        let line = Line::once(format!("S3 GET back in {region}"), "requests", Charge::Fetch).to(at);
        bill.add(line, if known { size.blocks } else { most(size.blocks) }, price.get);
        bill.retrieval(Some(class), region, most(size.gib), Charge::Back, Some(at));
        bill.transfer((Some(region), here), most(size.gib), Charge::Back, Some(at));
    }
    bill.stored((&price, class), region, most(size.gib), objects as f64, at);
}

/// Whether it is known which of its blocks are listed: of a file, its holes are found when it is read.
fn is_known(item: &ItemPlan) -> bool {
    item.source.blocks.sure == Sure::Exact && !matches!(item.source.kind, SourceKind::File { .. })
}

/// Pieces of the object that hold no block, where that is known.
fn empty(item: &ItemPlan, layout: &Layout) -> Option<Empty> {
    let all = item.source.blocks.value == layout.length.blocks();
    match &item.source.kind {
        _ if !is_known(item) => None,
        SourceKind::Archive { bare: Some(bare), .. } => Some(layout.empty(bare)),
        _ => all.then(Empty::default),
    }
}

/// What an object costs: its storage is its whole length, zeros as well.
#[expect(clippy::too_many_arguments, reason = "one line of a bill each")]
pub(super) fn object(
    bill: &mut Bill<'_>,
    item: &ItemPlan,
    at: usize,
    (layout, keep): (&Layout, &Keep),
    region: &Region,
    options: &Options,
    size: &Measure,
    here: Option<&Region>,
) {
    let class = keep.class.as_deref().unwrap_or("STANDARD");
    let price = bill.prices.s3(class, region);
    let gib = Quantity::exact(layout.length.as_gib());
    let (empty, known) = (empty(item, layout), is_known(item));
    let asks = empty.map_or_else(|| layout.asks_at_most(), |empty| layout.asks(empty));
    let count = |value| if empty.is_some() { Count::exact(value) } else { Count::most(value) };
    let written = count(asks.puts).quantity();
    let line = Line::once(format!("S3 PUT in {region}"), "requests", Charge::Store).to(at);
    bill.add(line, written, price.put);
    keys(bill, at, keep, region, written);
    asked(bill, Some(at), ("S3 LIST", Charge::Fixed), region, count(asks.lists));
    asked(bill, Some(at), ("S3 HEAD", Charge::Fixed), region, Count::exact(OBJECT_HEADS));
    let dense = empty == Some(Empty::default());
    bill.transfer((here, Some(region)), if dense { gib } else { most(gib) }, Charge::Written, Some(at));
    if options.verify == Verify::Full {
        let sure = |quantity| if known { quantity } else { most(quantity) };
        let line = Line::once(format!("S3 GET back in {region}"), "requests", Charge::Fetch).to(at);
        bill.add(line, sure(size.blocks), price.get);
        bill.retrieval(Some(class), region, sure(size.gib), Charge::Back, Some(at));
        bill.transfer((Some(region), here), sure(size.gib), Charge::Back, Some(at));
    }
    bill.stored((&price, class), region, gib, 1.0, at);
}

/// What reading from S3 costs.
pub(super) fn source(bill: &mut Bill<'_>, item: &ItemPlan, size: &Measure, here: Option<&Region>) {
    let Some(region) = &item.source.region else { return };
    // Blocks are read one by one; of what else is asked it is known how often.
    let none = Count::exact(0);
    let (blocks, gets, rows, heads, lists) = match &item.source.kind {
        SourceKind::Object { .. } => (size.blocks, none, none, LOOKS, 0),
        SourceKind::Archive { layers, .. } => {
            let gets = layers.iter().map(layer).fold(none, Count::and);
            let rows = layers.iter().map(|layer| u64::from(layer.chunks)).sum();
            (size.blocks, gets, Count::exact(rows), layers.len() as u64, 0)
        }
        // Each segment once, as long as no more than two are read of at a time; never more often than once a block.
        SourceKind::Fsp { segments, .. } => {
            let pages = segments.div_ceil(u64::from(KEYS_A_PAGE)).max(1);
            (most(size.blocks), none, none, 0, (LOOKS + 1) * pages)
        }
        _ => return,
    };
    let class = item.source.class.as_deref();
    let get = bill.prices.s3(class.unwrap_or("STANDARD"), region).get;
    bill.add(Line::once(format!("S3 GET in {region}"), "requests", Charge::Fetch), blocks, get);
    asked(bill, None, ("S3 index", Charge::Fixed), region, gets);
    asked(bill, None, ("S3 index rows", Charge::Fetch), region, rows);
    asked(bill, None, ("S3 HEAD", Charge::Fixed), region, Count::exact(heads));
    asked(bill, None, ("S3 LIST", Charge::Fixed), region, Count::exact(lists));
    bill.retrieval(class, region, size.gib, Charge::Read, None);
    bill.transfer((Some(region), here), size.gib, Charge::Read, None);
}

/// The manifest when it is opened and each time it is looked at, and its index compared once; its rows are read later.
fn layer(layer: &ArchiveLayer) -> Count {
    let manifests = (1 + LOOKS) * READS_MANIFEST;
    match layer.index.0 {
        // Planned by an older version: nobody noted how large it is.
        0 => Count::most(manifests),
        _ => Count::exact(manifests + Layer::steps(layer.index)),
    }
}

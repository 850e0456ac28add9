//! What archives and objects in S3 cost: requests, keys, transfer, and their class's month.

use super::cost::{Bill, Line, Measure};
use crate::aws::Keep;
use crate::ids::Region;
use crate::plan::choices::run_blocks;
use crate::plan::layout::Layout;
use crate::plan::model::{Charge, Choices, Options, Verify};
use crate::units::{BLOCK_BYTES, Blocks, Bytes, Quantity, Sure};

fn most(quantity: Quantity<f64>) -> Quantity<f64> {
    Quantity { value: quantity.value, sure: quantity.sure.and(Sure::AtMost) }
}

/// A key of KMS is asked for each object that is written or read, unless the bucket keeps one.
fn keys(bill: &mut Bill<'_>, at: usize, keep: &Keep, region: &Region, requests: Quantity<f64>) {
    if keep.kms_key.is_some() {
        let price = bill.prices.kms_request();
        let line = Line::once(format!("KMS for S3 in {region}"), "requests", Charge::Fixed).to(at);
        bill.add(line, most(requests), price);
    }
}

/// What an archive costs: at most, because nothing says before how far its blocks compress.
#[expect(clippy::too_many_arguments, reason = "one line of a bill each")]
pub(super) fn archive(
    bill: &mut Bill<'_>,
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
    let objects = Quantity {
        value: (size.blocks.value / f64::from(run_blocks(choices.lanes_start))).ceil() + 2.0,
        sure: size.blocks.sure.and(Sure::Estimate),
    };
    let line = |name: &str, charge| Line::once(format!("{name} in {region}"), "requests", charge).to(at);
    bill.add(line("S3 PUT", Charge::Store), objects, price.put);
    keys(bill, at, keep, region, objects);
    bill.transfer((here, Some(region)), most(size.gib), Charge::Written, Some(at));
    if options.verify == Verify::Full {
        bill.add(line("S3 GET back", Charge::Fetch), size.blocks, price.get);
        bill.retrieval(Some(class), region, most(size.gib), Charge::Back, Some(at));
        bill.transfer((Some(region), here), most(size.gib), Charge::Back, Some(at));
    }
    bill.stored((&price, class), region, most(size.gib), objects.value, at);
}

/// What an object costs: its storage is its whole length, zeros as well; its requests are counted before.
#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
pub(super) fn object(
    bill: &mut Bill<'_>,
    at: usize,
    (layout, keep): (&Layout, &Keep),
    region: &Region,
    options: &Options,
    blocks: Quantity<Blocks>,
    here: Option<&Region>,
) {
    let class = keep.class.as_deref().unwrap_or("STANDARD");
    let count = Quantity { value: blocks.value.0 as f64, sure: blocks.sure };
    let price = bill.prices.s3(class, region);
    let gib = Quantity::exact(layout.length.as_gib());
    let dense = blocks.sure == Sure::Exact && blocks.value == layout.length.blocks();
    let requests = layout.requests(dense) as f64;
    let requests = if dense { Quantity::exact(requests) } else { Quantity::at_most(requests) };
    let line = |name: &str, charge| Line::once(format!("{name} in {region}"), "requests", charge).to(at);
    bill.add(line("S3 PUT", Charge::Store), requests, price.put);
    keys(bill, at, keep, region, requests);
    bill.transfer((here, Some(region)), if dense { gib } else { most(gib) }, Charge::Written, Some(at));
    if options.verify == Verify::Full {
        let read = Quantity { value: count.value * BLOCK_BYTES as f64 / Bytes::gib(1).0 as f64, sure: count.sure };
        bill.add(line("S3 GET back", Charge::Fetch), count, price.get);
        bill.retrieval(Some(class), region, read, Charge::Back, Some(at));
        bill.transfer((Some(region), here), read, Charge::Back, Some(at));
    }
    bill.stored((&price, class), region, gib, 1.0, at);
}

//! What copies inside S3 cost and hold: requests by the part, the way between regions, a month of storage.

use super::cost::{Bill, Line};
use super::memory::{Outer, PROCESS_BASE};
use crate::ids::Region;
use crate::plan::copied::Action;
use crate::plan::model::{
    Charge, Choices, DestinationKind, DestinationPlan, Fit, ItemPlan, MemoryEstimate, MemoryPart, Options, SourceKind,
    Verify,
};
use crate::plan::parts::{COMPARED, Parts, is_retuned};
use crate::units::{Bytes, Quantity, Sure};

/// What one request on its way holds: its buffers, and what is known of its object.
const REQUEST: Bytes = Bytes::kib(64);
/// Pages of two listings with a thousand keys each, and the objects that wait for their turn.
const LISTINGS: Bytes = Bytes::mib(4);

/// No block passes us, so what is held is small and does not follow the objects.
pub fn memory(choices: &Choices, within: &Outer<'_>) -> MemoryEstimate {
    let part = |name: &str, bytes: Bytes, in_budget: bool| MemoryPart { name: name.to_owned(), bytes, in_budget };
    let parts = vec![
        part("requests in flight", Bytes(u64::from(choices.lanes_max) * REQUEST.0), false),
        part("listings", LISTINGS, false),
        part(MemoryEstimate::PROCESS, PROCESS_BASE, false),
    ];
    let total: Bytes = parts.iter().map(|part| part.bytes).sum();
    MemoryEstimate {
        total,
        parts,
        budget: choices.budget,
        limit: within.limit,
        limit_name: within.name.to_owned(),
        jobs: 1,
        fit: if total > within.limit { Fit::WillNotFit } else { Fit::Fits },
        ebs_py: Quantity::unknown(),
    }
}

/// What one destination takes: bytes that are copied, requests that copy, requests that look, pages that are listed.
struct Takes {
    copied: Quantity<f64>,
    copies: Quantity<f64>,
    looks: f64,
    lists: f64,
    objects: f64,
}

impl Takes {
    /// Nothing but looking.
    const fn looking(looks: f64) -> Self {
        let none = Quantity::exact(0.0);
        Self { copied: none, copies: none, looks, lists: 0.0, objects: 0.0 }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn takes(item: &ItemPlan, to: &DestinationPlan, options: &Options) -> Option<Takes> {
    let gib = item.source.volume.as_gib();
    match (&to.kind, &item.source.kind) {
        (DestinationKind::Copied { parts, action, .. }, _) => Some(match action {
            Action::Copy { .. } => {
                Takes { copied: Quantity::exact(gib), copies: requests(parts), looks: 4.0, lists: 0.0, objects: 1.0 }
            }
            Action::Set { properties, tags, .. } => Takes {
                copies: Quantity::exact(f64::from(u8::from(*properties)) + f64::from(u8::from(*tags))),
                ..Takes::looking(4.0)
            },
            Action::Skip { .. } | Action::Refuse { .. } => Takes::looking(2.0),
        }),
        (DestinationKind::CopiedTree { .. }, SourceKind::Prefix { objects, requests, counted, .. }) => {
            let sure = if *counted { Sure::AtMost } else { Sure::Unknown };
            let looks = if options.verify == Verify::None { 1.0 } else { 2.0 };
            Some(Takes {
                copied: Quantity { value: gib, sure },
                copies: Quantity { value: *requests as f64, sure },
                looks: looks * *objects as f64,
                lists: 2.0 * (*objects as f64 / 1000.0).ceil(),
                objects: *objects as f64,
            })
        }
        _ => None,
    }
}

/// Parts, and the requests that begin and end their upload.
fn requests(parts: &Parts) -> Quantity<f64> {
    let value = f64::from(parts.count) + if parts.whole { 0.0 } else { 2.0 };
    if is_retuned(parts) { Quantity::estimate(value) } else { Quantity::exact(value) }
}

/// The lines of the bill of what S3 copies itself.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn cost(bill: &mut Bill<'_>, item: &ItemPlan, options: &Options, here: Option<&Region>) {
    for (at, to) in item.destinations.iter().enumerate() {
        let (Some(takes), Some(region), Some(from)) = (takes(item, to, options), &to.region, &item.source.region)
        else {
            continue;
        };
        let class = options.storage_class.as_deref().unwrap_or("STANDARD");
        let price = bill.prices.s3(class, region);
        let standard = bill.prices.s3("STANDARD", region);
        let line = |name: &str, charge| Line::once(format!("{name} in {region}"), "requests", charge).to(at);
        bill.add(line("S3 COPY", Charge::Store), takes.copies, price.put);
        bill.add(line("S3 HEAD", Charge::Fixed), Quantity::at_most(takes.looks), standard.get);
        if takes.lists > 0.0 {
            // A LIST costs what a PUT costs.
            let lists = Quantity { value: takes.lists, sure: takes.copied.sure };
            bill.add(line("S3 LIST", Charge::Fixed), lists, standard.put);
        }
        bill.retrieval(item.source.class.as_deref(), from, takes.copied, Charge::Written, Some(at));
        bill.transfer((Some(from), Some(region)), takes.copied, Charge::Written, Some(at));
        if options.verify == Verify::Full && takes.objects > 0.0 {
            // By pieces, and each object has a last one.
            let pieces = takes.copied.value * Bytes::gib(1).0 as f64 / COMPARED.0 as f64 + takes.objects;
            let gets = Quantity { value: 2.0 * pieces.ceil(), sure: Sure::AtMost };
            bill.add(line("S3 GET back", Charge::Fetch), gets, standard.get);
            bill.transfer((Some(from), here), takes.copied, Charge::Back, Some(at));
            bill.transfer((Some(region), here), takes.copied, Charge::Back, Some(at));
        }
        bill.stored((&price, class), region, takes.copied, takes.objects, at);
    }
}

//! What a thing costs a month: what its removal would save at most.

use super::Prices;
use crate::inventory::verdict::{Frees, Sureness, Thing};
use crate::units::{Bytes, Sure};

/// US dollars a month for what removing `thing` would free; none where no price or no size is known.
#[must_use]
pub fn monthly(thing: Thing<'_>, frees: &Frees) -> Option<f64> {
    let prices = Prices::bundled();
    match thing {
        Thing::Snapshot(row) => {
            let price = prices.stored_month(row.tier, &row.origin.region);
            let known = price.sure != Sure::Unknown && frees.label != Sureness::Unknown;
            known.then(|| price.value.0 * gib(frees.bytes))
        }
        Thing::Volume(row) => {
            let price = prices.volume_month(&row.origin.region, &row.kind, gib(row.size), row.iops, row.throughput);
            (price.sure != Sure::Unknown).then_some(price.value.0)
        }
        // A name costs nothing; its snapshots do.
        Thing::Image(_) => Some(0.0),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a size in GiB is far below the 52 bits of a double")]
fn gib(bytes: Bytes) -> f64 {
    bytes.0 as f64 / Bytes::gib(1).0 as f64
}

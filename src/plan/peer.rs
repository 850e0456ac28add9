//! What the same job takes in ebs.py (flexible-snapshot-proxy), by its own published memory profile.
//!
//! Its README gives 420 bytes a block for the index that every command but upload and getfroms3 builds, and a share for
//! each parent process beside it: 16 of them within a region, 27 across regions, 128 to S3. Of a job that reads no
//! snapshot nothing was published, and nothing is guessed.

use crate::plan::model::{DestinationKind, ItemPlan};
use crate::units::{Blocks, Bytes, Quantity, Sure};

/// Before its first block: what is left of the published totals of `list` once 420 bytes a block are taken off.
const BASE: Bytes = Bytes::mib(88);
/// The index, per block.
const INDEX_ENTRY: u64 = 420;
/// The snapshot that the shares were published for.
const PROFILED: Blocks = Blocks(31_318_565);

/// Parent processes, and what each takes at [`PROFILED`] blocks.
const WITHIN: (u64, Bytes) = (16, Bytes::mib(950)); // "905 MiB" is said, 999 follow from the 28 GiB that were measured
const ACROSS: (u64, Bytes) = (27, Bytes::mib(1_123)); // from the 42 GiB that were measured
const TO_S3: (u64, Bytes) = (128, Bytes::mib(125)); // from the 28 GiB that were measured

/// Its memory for these items, one after the other; unknown as soon as one of them is nothing that it published.
pub(super) fn ebs_py(items: &[ItemPlan]) -> Quantity<Bytes> {
    let mut most = Quantity::<Bytes>::unknown();
    for item in items {
        if !item.source.kind.is_snapshot() {
            return Quantity::unknown();
        }
        let bytes = job(item.source.blocks.value, share_of(item));
        if bytes > most.value {
            most = Quantity { value: bytes, sure: Sure::Estimate };
        }
    }
    most
}

fn share_of(item: &ItemPlan) -> (u64, Bytes) {
    let to_s3 = |kind: &DestinationKind| matches!(kind, DestinationKind::Archive { .. });
    let across = |to: &crate::plan::DestinationPlan| to.region.is_some() && to.region != item.source.region;
    // A destination of each kind is a command of its own there: the largest decides.
    let all = item.destinations.iter().map(|to| match &to.kind {
        kind if to_s3(kind) => TO_S3,
        _ if across(to) => ACROSS,
        _ => WITHIN,
    });
    all.max_by_key(|(jobs, each)| jobs * each.0).unwrap_or(WITHIN)
}

/// What `list` and `diff` take.
fn index(blocks: Blocks) -> Bytes {
    Bytes(BASE.0 + blocks.0.saturating_mul(INDEX_ENTRY))
}

fn job(blocks: Blocks, (jobs, each): (u64, Bytes)) -> Bytes {
    let shares = u128::from(jobs * each.0) * u128::from(blocks.0) / u128::from(PROFILED.0);
    Bytes(index(blocks).0.saturating_add(u64::try_from(shares).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_published_table_comes_out_within_five_percent() {
        let near = |found: Bytes, published: f64| {
            let off = found.as_mib() / published - 1.0;
            assert!(off.abs() < 0.05, "{found} for {published} MiB: {:+.1} %", off * 100.0);
        };
        near(index(Blocks(7_834_357)), 3_230.0);
        near(index(Blocks(15_778_569)), 6_309.0);
        near(index(PROFILED), 12_688.0);
        near(job(PROFILED, WITHIN), 28.0 * 1024.0);
        near(job(PROFILED, WITHIN), 12_688.0 + 16.0 * 905.0);
        near(job(PROFILED, ACROSS), 42.0 * 1024.0);
        near(job(PROFILED, TO_S3), 28.0 * 1024.0);
        // "For a 64 TiB snapshot, you will need over 48 GiB" for the list.
        assert!(index(Blocks(4 * PROFILED.0)) > Bytes::gib(48));
    }
}

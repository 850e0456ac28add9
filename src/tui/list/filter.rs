//! The one filter language on the deck's rows: what `/` takes, `--filter` takes too.

use crate::error::Result;
use crate::inventory::{ImageRow, SnapshotRow, VolumeRow};
use crate::tui::clock::Now;

pub use crate::inventory::Filter;

/// Reads a filter; ages in it count back from now.
///
/// # Errors
/// A sentence that names the known keys.
pub fn parse(text: &str, now: Now) -> Result<Filter> {
    Filter::parse(text, now.wall)
}

/// Whether a snapshot passes.
#[must_use]
pub fn snapshot(filter: &Filter, row: &SnapshotRow, _: Now) -> bool {
    filter.matches(row)
}

/// Whether a volume passes.
#[must_use]
pub fn volume(filter: &Filter, row: &VolumeRow, _: Now) -> bool {
    filter.matches(row)
}

/// Whether an image passes.
#[must_use]
pub fn image(filter: &Filter, row: &ImageRow, _: Now) -> bool {
    filter.matches(row)
}

//! What a filter can see of a row.

use jiff::Timestamp;

use crate::ids::Region;
use crate::rows::{ImageRow, InstanceRow, SnapshotRow, State, Tag, Tier, VolumeRow};
use crate::units::{Bytes, Usd};

/// A row that can be filtered. What a kind of row does not have stays at its default and matches nothing.
pub trait Fields {
    /// Its id.
    fn id(&self) -> &str;
    /// Its name, or nothing.
    fn name(&self) -> &str;
    /// Its description, or nothing.
    fn description(&self) -> &str {
        ""
    }
    /// Its tags.
    fn tags(&self) -> &[Tag];
    /// Where it is.
    fn region(&self) -> &Region;
    /// Size of the volume.
    fn size(&self) -> Option<Bytes> {
        None
    }
    /// Size of all its blocks.
    fn full(&self) -> Option<Bytes> {
        None
    }
    /// When it was made.
    fn born(&self) -> Option<Timestamp> {
        None
    }
    /// Its state in AWS's word.
    fn state(&self) -> &str;
    /// Where it is stored.
    fn tier(&self) -> Option<Tier> {
        None
    }
    /// `orphan`, `in-use`, …, where it was judged.
    fn verdict(&self) -> Option<&str> {
        None
    }
    /// What its deletion frees, where that was computed.
    fn frees(&self) -> Option<Bytes> {
        None
    }
    /// What it costs a month, where that was computed.
    fn usd(&self) -> Option<Usd> {
        None
    }
    /// Tells the ids of what uses it.
    fn used_by(&self, tell: &mut dyn FnMut(&str)) {
        let _ = tell;
    }
}

impl Fields for SnapshotRow {
    fn id(&self) -> &str {
        self.id.as_str()
    }
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
    fn description(&self) -> &str {
        &self.description
    }
    fn tags(&self) -> &[Tag] {
        &self.tags
    }
    fn region(&self) -> &Region {
        &self.origin.region
    }
    fn size(&self) -> Option<Bytes> {
        Some(self.size)
    }
    fn full(&self) -> Option<Bytes> {
        self.full
    }
    fn born(&self) -> Option<Timestamp> {
        Some(self.started)
    }
    fn state(&self) -> &str {
        match self.state {
            State::Pending => "pending",
            State::Completed => "completed",
            State::Error => "error",
            State::Recoverable => "recoverable",
            State::Recovering => "recovering",
        }
    }
    fn tier(&self) -> Option<Tier> {
        Some(self.tier)
    }
}

impl Fields for VolumeRow {
    fn id(&self) -> &str {
        self.id.as_str()
    }
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
    fn tags(&self) -> &[Tag] {
        &self.tags
    }
    fn region(&self) -> &Region {
        &self.origin.region
    }
    fn size(&self) -> Option<Bytes> {
        Some(self.size)
    }
    fn born(&self) -> Option<Timestamp> {
        Some(self.created)
    }
    fn state(&self) -> &str {
        &self.state
    }
    fn used_by(&self, tell: &mut dyn FnMut(&str)) {
        self.attached_to.iter().for_each(|instance| tell(instance.as_str()));
    }
}

impl Fields for ImageRow {
    fn id(&self) -> &str {
        self.id.as_str()
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn description(&self) -> &str {
        &self.description
    }
    fn tags(&self) -> &[Tag] {
        &self.tags
    }
    fn region(&self) -> &Region {
        &self.origin.region
    }
    fn size(&self) -> Option<Bytes> {
        Some(self.size)
    }
    fn born(&self) -> Option<Timestamp> {
        self.created
    }
    fn state(&self) -> &str {
        &self.state
    }
}

impl Fields for InstanceRow {
    fn id(&self) -> &str {
        self.id.as_str()
    }
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
    fn tags(&self) -> &[Tag] {
        &self.tags
    }
    fn region(&self) -> &Region {
        &self.origin.region
    }
    fn born(&self) -> Option<Timestamp> {
        self.launched
    }
    fn state(&self) -> &str {
        &self.state
    }
}

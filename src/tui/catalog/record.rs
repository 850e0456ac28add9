//! What a table asks of each kind of row.

use std::sync::Arc;

use super::{Record, TALLIES};
use crate::ids::{ImageId, InstanceId, SnapshotId, VolumeId};
use crate::inventory::{ImageRow, InstanceRow, Kind, Origin, SnapshotRow, State, VolumeRow};
use crate::plan::Prices;
use crate::units::{Bytes, Quantity, Sure, Usd};

impl Record for SnapshotRow {
    type Id = SnapshotId;
    const KIND: Kind = Kind::Snapshots;
    fn id(&self) -> &SnapshotId {
        &self.id
    }
    fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
    fn bytes(&self) -> Bytes {
        self.full.unwrap_or(self.size)
    }
    /// All its blocks in the standard tier: what it shares with its ancestors is stored once, so it costs at most this.
    fn month(&self) -> Quantity<Usd> {
        let price = Prices::bundled().snapshot_month(&self.origin.region);
        if price.sure == Sure::Unknown {
            return Quantity::unknown();
        }
        Quantity { value: Usd(self.bytes().as_gib() * price.value.0), sure: Sure::AtMost.and(price.sure) }
    }
    fn tally(&self) -> [u64; TALLIES] {
        let (pending, error) = (self.state == State::Pending, self.state == State::Error);
        [u64::from(self.encrypted), u64::from(pending), u64::from(error), 0, 0]
    }
}

impl Record for VolumeRow {
    type Id = VolumeId;
    const KIND: Kind = Kind::Volumes;
    fn id(&self) -> &VolumeId {
        &self.id
    }
    fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
    fn bytes(&self) -> Bytes {
        self.size
    }
    fn month(&self) -> Quantity<Usd> {
        Prices::bundled().volume_month(&self.origin.region, &self.kind, self.size.as_gib(), self.iops, self.throughput)
    }
    fn tally(&self) -> [u64; TALLIES] {
        let loose = self.attached_to.is_empty();
        let gib = if loose { self.size.0 >> 30 } else { 0 };
        [u64::from(self.encrypted), 0, 0, u64::from(loose), gib]
    }
}

impl Record for ImageRow {
    type Id = ImageId;
    const KIND: Kind = Kind::Images;
    fn id(&self) -> &ImageId {
        &self.id
    }
    fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }
    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }
    fn bytes(&self) -> Bytes {
        self.size
    }
    /// Its snapshots are billed, not the image.
    fn month(&self) -> Quantity<Usd> {
        Quantity::exact(Usd(0.0))
    }
}

impl Record for InstanceRow {
    type Id = InstanceId;
    const KIND: Kind = Kind::Instances;
    fn id(&self) -> &InstanceId {
        &self.id
    }
    fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
    fn bytes(&self) -> Bytes {
        Bytes::ZERO
    }
    fn month(&self) -> Quantity<Usd> {
        Quantity::exact(Usd(0.0))
    }
}

//! The same questions as in bulk, about a few things only: what is asked just before something is removed.
//!
//! By ids and filters, so that calls grow with the things and not with the region. Nothing is asked for in pages, since
//! AWS looks at a region page by page even where a filter leaves nothing of it; a token that comes all the same is
//! followed. A refusal is an error, never an empty list.

use aws_sdk_ec2::types::Filter;

use super::Ec2;
use super::removal::{FILTER_VALUES, filter};
use super::users::{self, fast_restore_row, lock_row, tiering_row};
use crate::aws::describe::{instance_row, keep, snapshot_row, time, volume_row};
use crate::error::Result;
use crate::ids::{ImageId, SnapshotId, VolumeId};
use crate::rows::{FastRestoreRow, InstanceRow, LockRow, SnapshotRow, TieringRow, VolumeRow};

fn among(name: &str, ids: &[impl ToString]) -> Filter {
    filter(name, ids.iter().map(ToString::to_string))
}

impl Ec2 {
    async fn own_snapshots_where(&self, name: &str, values: &[impl ToString]) -> Result<Vec<SnapshotRow>> {
        let mut rows = Vec::new();
        for some in values.chunks(FILTER_VALUES) {
            let failed = |error| {
                self.context.sdk_error(
                    "ec2:DescribeSnapshots",
                    &error,
                    format!("could not look for snapshots by {name}"),
                )
            };
            let ask = || self.client.describe_snapshots().owner_ids("self").filters(among(name, some));
            let found = all!(ask(), snapshots, failed);
            rows.extend(keep(Some(found), |snapshot| snapshot_row(snapshot, self.context.origin())));
        }
        Ok(rows)
    }

    /// The account's own snapshots that were taken of one of these volumes.
    ///
    /// # Errors
    /// As classified.
    pub async fn snapshots_of(&self, volumes: &[VolumeId]) -> Result<Vec<SnapshotRow>> {
        self.own_snapshots_where("volume-id", volumes).await
    }

    /// The account's own snapshots whose text names one of these images.
    ///
    /// # Errors
    /// As classified.
    pub async fn snapshots_naming(&self, images: &[ImageId]) -> Result<Vec<SnapshotRow>> {
        let texts: Vec<String> = images.iter().map(|image| format!("*{image}*")).collect();
        self.own_snapshots_where("description", &texts).await
    }

    /// The volumes that were made from one of these snapshots.
    ///
    /// # Errors
    /// As classified.
    pub async fn volumes_from(&self, snapshots: &[SnapshotId]) -> Result<Vec<VolumeRow>> {
        let mut rows = Vec::new();
        for some in snapshots.chunks(FILTER_VALUES) {
            let failed = |error| {
                let what = "could not look for volumes that were made from snapshots".to_owned();
                self.context.sdk_error("ec2:DescribeVolumes", &error, what)
            };
            let ask = || self.client.describe_volumes().filters(among("snapshot-id", some));
            let found = all!(ask(), volumes, failed);
            rows.extend(keep(Some(found), |volume| volume_row(volume, self.context.origin())));
        }
        Ok(rows)
    }

    /// The instances that one of these volumes is mapped into.
    ///
    /// # Errors
    /// As classified.
    pub async fn instances_with(&self, volumes: &[VolumeId]) -> Result<Vec<InstanceRow>> {
        let mut rows = Vec::new();
        for some in volumes.chunks(FILTER_VALUES) {
            let failed = |error| {
                let what = "could not look for instances that have volumes attached".to_owned();
                self.context.sdk_error("ec2:DescribeInstances", &error, what)
            };
            let wanted = || among("block-device-mapping.volume-id", some);
            let found = all!(self.client.describe_instances().filters(wanted()), reservations, failed);
            let instances = found.into_iter().flat_map(|one| one.instances.unwrap_or_default()).collect();
            rows.extend(keep(Some(instances), |instance| instance_row(instance, self.context.origin())));
        }
        Ok(rows)
    }

    /// Those of these snapshots, all of them the account's own, that everybody may read.
    ///
    /// # Errors
    /// As classified.
    pub async fn public_among(&self, snapshots: &[SnapshotId]) -> Result<Vec<SnapshotId>> {
        let mut ids = Vec::new();
        for some in snapshots.chunks(FILTER_VALUES) {
            let failed = |error| {
                let what = "could not learn which snapshots are public".to_owned();
                self.context.sdk_error("ec2:DescribeSnapshots", &error, what)
            };
            let ask = || self.client.describe_snapshots().owner_ids("self").restorable_by_user_ids("all");
            let found = all!(ask().filters(among("snapshot-id", some)), snapshots, failed);
            ids.extend(found.into_iter().filter_map(|row| row.snapshot_id?.parse().ok()));
        }
        Ok(ids)
    }

    /// The locks of these snapshots, also those that are over. All of them must be there.
    ///
    /// # Errors
    /// As classified.
    pub async fn locks_among(&self, snapshots: &[SnapshotId]) -> Result<Vec<LockRow>> {
        let mut rows = Vec::new();
        for some in snapshots.chunks(FILTER_VALUES) {
            let failed = |error| {
                let what = "could not learn which snapshots are locked".to_owned();
                self.context.sdk_error("ec2:DescribeLockedSnapshots", &error, what)
            };
            let ids: Vec<String> = some.iter().map(ToString::to_string).collect();
            let ask = || self.client.describe_locked_snapshots().set_snapshot_ids(Some(ids.clone()));
            rows.extend(keep(Some(all!(ask(), snapshots, failed)), lock_row));
        }
        Ok(rows)
    }

    /// The fast restores of these snapshots.
    ///
    /// # Errors
    /// As classified.
    pub async fn fast_restores_among(&self, snapshots: &[SnapshotId]) -> Result<Vec<FastRestoreRow>> {
        let mut rows = Vec::new();
        for some in snapshots.chunks(FILTER_VALUES) {
            let failed = |error| {
                let what = "could not learn which snapshots are restored fast".to_owned();
                self.context.sdk_error("ec2:DescribeFastSnapshotRestores", &error, what)
            };
            let ask = || self.client.describe_fast_snapshot_restores().filters(among("snapshot-id", some));
            rows.extend(keep(Some(all!(ask(), fast_snapshot_restores, failed)), fast_restore_row));
        }
        Ok(rows)
    }

    /// Moves of these snapshots between tiers that are under way, or whose end is still to come.
    ///
    /// # Errors
    /// As classified.
    pub async fn tierings_among(&self, snapshots: &[SnapshotId]) -> Result<Vec<TieringRow>> {
        let mut rows = Vec::new();
        // The filters of one question share its 200 values.
        for some in snapshots.chunks(FILTER_VALUES - users::TIERINGS.len()) {
            let wanted = || self.client.describe_snapshot_tier_status().filters(among("snapshot-id", some));
            let failed = |error| {
                let what = "could not learn which snapshots are moved between tiers".to_owned();
                self.context.sdk_error("ec2:DescribeSnapshotTierStatus", &error, what)
            };
            rows.extend(keep(
                Some(all!(wanted().filters(users::moving()), snapshot_tier_statuses, failed)),
                tiering_row,
            ));
        }
        Ok(rows)
    }

    /// Since when those of these snapshots that lie in the archive tier do.
    ///
    /// # Errors
    /// As classified.
    pub async fn archived_among(&self, snapshots: &[SnapshotId]) -> Result<Vec<(SnapshotId, jiff::Timestamp)>> {
        let mut since = Vec::new();
        for some in snapshots.chunks(FILTER_VALUES) {
            let failed = |error| {
                let what = "could not learn which snapshots are moved between tiers".to_owned();
                self.context.sdk_error("ec2:DescribeSnapshotTierStatus", &error, what)
            };
            let ask = || self.client.describe_snapshot_tier_status().filters(among("snapshot-id", some));
            let found = all!(ask(), snapshot_tier_statuses, failed);
            since.extend(
                found
                    .into_iter()
                    .filter_map(|row| Some((row.snapshot_id?.parse().ok()?, time(row.archival_complete_time)?))),
            );
        }
        Ok(since)
    }
}

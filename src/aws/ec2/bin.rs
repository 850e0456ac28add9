//! What lies in the Recycle Bin, and bringing it back.

use super::{Ec2, Page, Receipt};
use crate::aws::describe::time;
use crate::error::Result;
use crate::grant::{Call, Grant};
use crate::ids::{ImageId, SnapshotId};
use crate::rows::BinnedRow;
use aws_sdk_ec2::operation::RequestId as _;

impl Ec2 {
    /// One page of the snapshots in the Recycle Bin.
    ///
    /// # Errors
    /// As classified.
    pub async fn binned_snapshots(&self, page: Option<&str>) -> Result<Page<BinnedRow>> {
        let asked = self.client.list_snapshots_in_recycle_bin().max_results(super::PAGE);
        let answer = asked.set_next_token(page.map(str::to_owned)).send().await.map_err(|error| {
            let what = "could not list the snapshots in the Recycle Bin".to_owned();
            self.context.sdk_error("ec2:ListSnapshotsInRecycleBin", &error, what)
        })?;
        let rows = answer.snapshots.unwrap_or_default().into_iter().filter_map(|row| {
            Some(BinnedRow {
                origin: self.context.origin().clone(),
                id: row.snapshot_id?,
                name: None,
                description: row.description.unwrap_or_default(),
                volume: row.volume_id.and_then(|volume| volume.parse().ok()),
                entered: time(row.recycle_bin_enter_time),
                exits: time(row.recycle_bin_exit_time),
            })
        });
        Ok(Page { rows: rows.collect(), next: answer.next_token.filter(|token| !token.is_empty()) })
    }

    /// One page of the images in the Recycle Bin.
    ///
    /// # Errors
    /// As classified.
    pub async fn binned_images(&self, page: Option<&str>) -> Result<Page<BinnedRow>> {
        let asked = self.client.list_images_in_recycle_bin().max_results(super::PAGE);
        let answer = asked.set_next_token(page.map(str::to_owned)).send().await.map_err(|error| {
            let what = "could not list the images in the Recycle Bin".to_owned();
            self.context.sdk_error("ec2:ListImagesInRecycleBin", &error, what)
        })?;
        let rows = answer.images.unwrap_or_default().into_iter().filter_map(|row| {
            Some(BinnedRow {
                origin: self.context.origin().clone(),
                id: row.image_id?,
                name: row.name,
                description: row.description.unwrap_or_default(),
                volume: None,
                entered: time(row.recycle_bin_enter_time),
                exits: time(row.recycle_bin_exit_time),
            })
        });
        Ok(Page { rows: rows.collect(), next: answer.next_token.filter(|token| !token.is_empty()) })
    }

    /// Brings a snapshot back from the Recycle Bin.
    ///
    /// # Errors
    /// Refused outside the grant; `InvalidSnapshot.NotFound` when it is not there; else as classified.
    pub async fn restore_snapshot(&self, grant: &Grant, id: &SnapshotId) -> Result<Receipt> {
        self.context.allow(grant, Call::RestoreSnapshot, Some(id.as_str()))?;
        let asked = self.client.restore_snapshot_from_recycle_bin().snapshot_id(id.as_str());
        let answer = asked.send().await.map_err(|error| {
            let what = format!("could not bring {id} back from the Recycle Bin");
            self.context.sdk_error(Call::RestoreSnapshot.action(), &error, what)
        })?;
        Ok(Receipt { request_id: answer.request_id().map(str::to_owned) })
    }

    /// Brings an image back from the Recycle Bin; its snapshots must be there already.
    ///
    /// # Errors
    /// Refused outside the grant; `InvalidAMIID.NotFound` when it is not there; else as classified.
    pub async fn restore_image(&self, grant: &Grant, id: &ImageId) -> Result<Receipt> {
        self.context.allow(grant, Call::RestoreImage, Some(id.as_str()))?;
        let asked = self.client.restore_image_from_recycle_bin().image_id(id.as_str());
        let answer = asked.send().await.map_err(|error| {
            let what = format!("could not bring {id} back from the Recycle Bin");
            self.context.sdk_error(Call::RestoreImage.action(), &error, what)
        })?;
        Ok(Receipt { request_id: answer.request_id().map(str::to_owned) })
    }
}

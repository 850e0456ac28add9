//! What removes, and what has to be known just before: each call once, its request id kept for the audit log.
//!
//! None of these is repeated by the SDK: whoever asks looks first whether an answer that was lost did its work.

use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::operation::RequestId as _;
use aws_sdk_ec2::types::{Filter, ResourceType, SnapshotAttributeName, Tag as Ec2Tag, TagSpecification};

use super::Ec2;
use crate::aws::describe::{image_row, instance_row, keep, snapshot_row, volume_row};
use crate::error::{Error, Result};
use crate::grant::{Call, Grant};
use crate::ids::{ImageId, SnapshotId, VolumeId};
use crate::rows::{ImageRow, InstanceRow, SnapshotRow, Tag, VolumeRow};

/// Values that one filter takes.
pub const FILTER_VALUES: usize = 200;

/// What AWS calls an answer, so that its support can find it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// The request's id.
    pub request_id: Option<String>,
}

fn once() -> aws_sdk_ec2::config::Builder {
    aws_sdk_ec2::config::Builder::default().retry_config(RetryConfig::disabled())
}

pub(super) fn filter(name: &str, values: impl Iterator<Item = String>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.collect())).build()
}

impl Ec2 {
    /// Those of these snapshots that the account owns and that are there; the others are left out.
    ///
    /// # Errors
    /// As classified.
    pub async fn own_snapshots_among(&self, ids: &[SnapshotId]) -> Result<Vec<SnapshotRow>> {
        let mut rows = Vec::new();
        for some in ids.chunks(FILTER_VALUES) {
            let wanted = filter("snapshot-id", some.iter().map(ToString::to_string));
            let failed = |error| {
                let what = format!("could not describe {} snapshots", some.len());
                self.context.sdk_error("ec2:DescribeSnapshots", &error, what)
            };
            let ask = || self.client.describe_snapshots().owner_ids("self").filters(wanted.clone());
            let found = all!(ask(), snapshots, failed);
            rows.extend(keep(Some(found), |snapshot| snapshot_row(snapshot, self.context.origin())));
        }
        Ok(rows)
    }

    /// The same of volumes.
    ///
    /// # Errors
    /// As classified.
    pub async fn volumes_among(&self, ids: &[VolumeId]) -> Result<Vec<VolumeRow>> {
        let mut rows = Vec::new();
        for some in ids.chunks(FILTER_VALUES) {
            let wanted = filter("volume-id", some.iter().map(ToString::to_string));
            let failed = |error| {
                let what = format!("could not describe {} volumes", some.len());
                self.context.sdk_error("ec2:DescribeVolumes", &error, what)
            };
            let found = all!(self.client.describe_volumes().filters(wanted.clone()), volumes, failed);
            rows.extend(keep(Some(found), |volume| volume_row(volume, self.context.origin())));
        }
        Ok(rows)
    }

    /// The account's own images that a filter finds, disabled and deprecated ones too.
    async fn images_where(&self, name: &str, ids: impl Iterator<Item = String>) -> Result<Vec<ImageRow>> {
        let ids: Vec<String> = ids.collect();
        let mut rows = Vec::new();
        for some in ids.chunks(FILTER_VALUES) {
            let ask = || self.client.describe_images().owners("self").include_disabled(true).include_deprecated(true);
            let failed =
                |error| self.context.sdk_error("ec2:DescribeImages", &error, "could not look for images".to_owned());
            let found = all!(ask().filters(filter(name, some.iter().cloned())), images, failed);
            rows.extend(keep(Some(found), |image| image_row(image, self.context.origin())));
        }
        Ok(rows)
    }

    /// Those of these images that the account owns and that are there.
    ///
    /// # Errors
    /// As classified.
    pub async fn own_images_among(&self, ids: &[ImageId]) -> Result<Vec<ImageRow>> {
        self.images_where("image-id", ids.iter().map(ToString::to_string)).await
    }

    /// The account's own images that are made of one of these snapshots.
    ///
    /// # Errors
    /// As classified.
    pub async fn own_images_of(&self, snapshots: &[SnapshotId]) -> Result<Vec<ImageRow>> {
        self.images_where("block-device-mapping.snapshot-id", snapshots.iter().map(ToString::to_string)).await
    }

    /// The instances that were launched from one of these images and are not terminated.
    ///
    /// # Errors
    /// As classified.
    pub async fn instances_of(&self, images: &[ImageId]) -> Result<Vec<InstanceRow>> {
        let mut rows = Vec::new();
        for some in images.chunks(FILTER_VALUES) {
            let wanted = filter("image-id", some.iter().map(ToString::to_string));
            let failed = |error| {
                self.context.sdk_error("ec2:DescribeInstances", &error, "could not look for instances".to_owned())
            };
            let found = all!(self.client.describe_instances().filters(wanted.clone()), reservations, failed);
            let instances =
                found.into_iter().flat_map(|reservation| reservation.instances.unwrap_or_default()).collect();
            rows.extend(keep(Some(instances), |instance| instance_row(instance, self.context.origin())));
        }
        rows.retain(|row| row.state != "terminated");
        Ok(rows)
    }

    /// Whom an own snapshot is shared with: account ids, or `all`.
    ///
    /// # Errors
    /// As classified.
    pub async fn shared_with(&self, id: &SnapshotId) -> Result<Vec<String>> {
        let asked = self.client.describe_snapshot_attribute().snapshot_id(id.as_str());
        let answer = asked.attribute(SnapshotAttributeName::CreateVolumePermission).send().await.map_err(|error| {
            let what = format!("could not ask whom {id} is shared with");
            self.context.sdk_error("ec2:DescribeSnapshotAttribute", &error, what)
        })?;
        let all = answer.create_volume_permissions.unwrap_or_default().into_iter();
        Ok(all.filter_map(|who| who.user_id.or_else(|| who.group.map(|group| group.as_str().to_owned()))).collect())
    }

    /// Deletes a snapshot that the grant names.
    ///
    /// # Errors
    /// Refused outside the grant; else as classified.
    pub async fn delete_snapshot(&self, grant: &Grant, id: &SnapshotId) -> Result<Receipt> {
        self.context.allow(grant, Call::DeleteSnapshot, Some(id.as_str()))?;
        let asked = self.client.delete_snapshot().snapshot_id(id.as_str()).customize().config_override(once());
        let answer = asked.send().await.map_err(|error| {
            self.context.sdk_error(Call::DeleteSnapshot.action(), &error, format!("could not delete {id}"))
        })?;
        Ok(Receipt { request_id: answer.request_id().map(str::to_owned) })
    }

    /// Deletes a volume that the grant names: for good.
    ///
    /// # Errors
    /// Refused outside the grant; `VolumeInUse` is permanent; else as classified.
    pub async fn delete_volume(&self, grant: &Grant, id: &VolumeId) -> Result<Receipt> {
        self.context.allow(grant, Call::DeleteVolume, Some(id.as_str()))?;
        let asked = self.client.delete_volume().volume_id(id.as_str()).customize().config_override(once());
        let answer = asked.send().await.map_err(|error| {
            self.context.sdk_error(Call::DeleteVolume.action(), &error, format!("could not delete {id}"))
        })?;
        Ok(Receipt { request_id: answer.request_id().map(str::to_owned) })
    }

    /// Deregisters an image that the grant names; its snapshots stay: each one that goes is a call of its own, so that
    /// nothing goes that the grant does not name.
    ///
    /// # Errors
    /// Refused outside the grant; else as classified.
    pub async fn deregister_image(&self, grant: &Grant, id: &ImageId) -> Result<Receipt> {
        self.context.allow(grant, Call::DeregisterImage, Some(id.as_str()))?;
        let asked = self.client.deregister_image().image_id(id.as_str()).customize().config_override(once());
        let answer = asked.send().await.map_err(|error| {
            self.context.sdk_error(Call::DeregisterImage.action(), &error, format!("could not deregister {id}"))
        })?;
        Ok(Receipt { request_id: answer.request_id().map(str::to_owned) })
    }

    /// Has AWS make a snapshot of a volume that the grant names, once.
    ///
    /// # Errors
    /// Refused outside the grant; else as classified.
    pub async fn create_snapshot(
        &self,
        grant: &Grant,
        volume: &VolumeId,
        description: &str,
        tags: &[Tag],
    ) -> Result<(SnapshotId, Receipt)> {
        self.context.allow(grant, Call::CreateSnapshot, Some(volume.as_str()))?;
        let tags = tags.iter().map(|(key, value)| Ec2Tag::builder().key(&**key).value(&**value).build());
        let tags = TagSpecification::builder().resource_type(ResourceType::Snapshot).set_tags(Some(tags.collect()));
        let asked = self.client.create_snapshot().volume_id(volume.as_str()).description(description);
        let asked = asked.tag_specifications(tags.build()).customize().config_override(once());
        let what = || format!("could not make a snapshot of {volume}");
        let answer = asked
            .send()
            .await
            .map_err(|error| self.context.sdk_error(Call::CreateSnapshot.action(), &error, what()))?;
        let receipt = Receipt { request_id: answer.request_id().map(str::to_owned) };
        let id = answer.snapshot_id.as_deref().and_then(|id| id.parse().ok());
        let id = id.ok_or_else(|| Error::transient(format!("{}: the answer names no snapshot", what())))?;
        Ok((id, receipt))
    }
}

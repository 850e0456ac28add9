//! What EC2 answers only one by one, or ten by ten: whom a snapshot or an image is shared with, and what names an image.

use aws_sdk_ec2::types::{ImageAttributeName, PermissionGroup, SnapshotAttributeName};

use super::{Ec2, PAGE, Page};
use crate::aws::describe::keep;
use crate::error::Result;
use crate::ids::{ImageId, SnapshotId};
use crate::rows::ImageReferenceRow;

impl Ec2 {
    /// Whom a snapshot is shared with: account ids, or `all`.
    ///
    /// # Errors
    /// `InvalidSnapshot.NotFound` is permanent; all else as classified.
    pub async fn snapshot_shares(&self, id: &SnapshotId) -> Result<Vec<String>> {
        let ask = self.client.describe_snapshot_attribute().snapshot_id(id.as_str());
        let answer = ask.attribute(SnapshotAttributeName::CreateVolumePermission).send().await.map_err(|error| {
            let what = format!("could not learn whom {id} is shared with");
            self.context.sdk_error("ec2:DescribeSnapshotAttribute", &error, what)
        })?;
        let permissions = answer.create_volume_permissions.unwrap_or_default().into_iter();
        let shares = permissions.map(|permission| match (permission.user_id, permission.group) {
            (Some(account), _) => account,
            (None, Some(PermissionGroup::All)) => "all".to_owned(),
            (None, group) => group.map_or_else(|| "somebody".to_owned(), |group| group.as_str().to_owned()),
        });
        Ok(shares.collect())
    }

    /// Whom an image may be launched by beside its owner: account ids, ARNs of organisations, or `all`.
    ///
    /// # Errors
    /// `InvalidAMIID.NotFound` is permanent; all else as classified.
    pub async fn image_shares(&self, id: &ImageId) -> Result<Vec<String>> {
        let ask = self.client.describe_image_attribute().image_id(id.as_str());
        let answer = ask.attribute(ImageAttributeName::LaunchPermission).send().await.map_err(|error| {
            let what = format!("could not learn whom {id} is shared with");
            self.context.sdk_error("ec2:DescribeImageAttribute", &error, what)
        })?;
        let permissions = answer.launch_permissions.unwrap_or_default().into_iter();
        let shares = permissions.map(|permission| {
            let named = permission.user_id.or(permission.organization_arn).or(permission.organizational_unit_arn);
            let group = permission.group.map(|group| group.as_str().to_owned());
            named.or(group).unwrap_or_else(|| "somebody".to_owned())
        });
        Ok(shares.collect())
    }

    /// One page of what names any of these images, at most ten, in the account.
    ///
    /// # Errors
    /// As classified.
    pub async fn image_references(&self, ids: &[ImageId], page: Option<&str>) -> Result<Page<ImageReferenceRow>> {
        let ask = self.client.describe_image_references().include_all_resource_types(true).max_results(PAGE);
        let ask = ask.set_image_ids(Some(ids.iter().map(ToString::to_string).collect()));
        let answer = ask.set_next_token(page.map(str::to_owned)).send().await.map_err(|error| {
            let what = "could not learn what refers to images".to_owned();
            self.context.sdk_error("ec2:DescribeImageReferences", &error, what)
        })?;
        let rows = keep(answer.image_references, |row| {
            Some(ImageReferenceRow {
                image: row.image_id?.parse().ok()?,
                kind: row.resource_type.map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
                arn: row.arn.unwrap_or_default(),
            })
        });
        Ok(Page { rows, next: answer.next_token.filter(|token| !token.is_empty()) })
    }
}

//! What refers to snapshots and images or guards them, in bulk: calls grow with pages, not with rows.
//!
//! An error of one of these is an unknown to who judges, never an empty list: so each names its own IAM action.

use aws_sdk_ec2::types::{DescribeFastSnapshotRestoreSuccessItem, Filter, LockedSnapshotsInfo, SnapshotTierStatus};

use super::{Ec2, PAGE, Page};
use crate::aws::describe::{keep, snapshot_row, time};
use crate::error::Result;
use crate::rows::{FastRestoreRow, LockRow, SnapshotRow, TemplateRow, TemplateVersionRow, TieringRow};

/// What EC2 gives at most of launch templates and of fast restores.
const SMALL_PAGE: i32 = 200;

/// Moves between tiers that say something about use: those under way, and those whose end is still to come.
pub(super) const TIERINGS: [&str; 4] = [
    "archival-in-progress",
    "permanent-restore-in-progress",
    "temporary-restore-in-progress",
    "temporary-restore-completed",
];

/// The filter of [`TIERINGS`].
pub(super) fn moving() -> Filter {
    let filter = Filter::builder().name("last-tiering-operation");
    TIERINGS.iter().fold(filter, |filter, word| filter.values(*word)).build()
}

pub(super) fn lock_row(lock: LockedSnapshotsInfo) -> Option<LockRow> {
    Some(LockRow {
        snapshot: lock.snapshot_id?.parse().ok()?,
        state: lock.lock_state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        expires: time(lock.lock_expires_on),
    })
}

pub(super) fn fast_restore_row(fast: DescribeFastSnapshotRestoreSuccessItem) -> Option<FastRestoreRow> {
    Some(FastRestoreRow {
        snapshot: fast.snapshot_id?.parse().ok()?,
        zone: fast.availability_zone.unwrap_or_default(),
        state: fast.state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
    })
}

pub(super) fn tiering_row(tier: SnapshotTierStatus) -> Option<TieringRow> {
    let status = tier.last_tiering_operation_status?;
    Some(TieringRow { snapshot: tier.snapshot_id?.parse().ok()?, status: status.as_str().to_owned() })
}

fn next(token: Option<String>) -> Option<String> {
    token.filter(|token| !token.is_empty())
}

impl Ec2 {
    /// One page of the account's own snapshots that everybody may read.
    ///
    /// # Errors
    /// As classified.
    pub async fn public_snapshots(&self, page: Option<&str>) -> Result<Page<SnapshotRow>> {
        let ask = self.client.describe_snapshots().owner_ids("self").restorable_by_user_ids("all").max_results(PAGE);
        let answer = ask.set_next_token(page.map(str::to_owned)).send().await.map_err(|error| {
            self.context.sdk_error("ec2:DescribeSnapshots", &error, "could not list public snapshots".into())
        })?;
        let rows = keep(answer.snapshots, |snapshot| snapshot_row(snapshot, self.context.origin()));
        Ok(Page { rows, next: next(answer.next_token) })
    }

    /// One page of launch templates.
    ///
    /// # Errors
    /// As classified.
    pub async fn templates(&self, page: Option<&str>) -> Result<Page<TemplateRow>> {
        let ask = self.client.describe_launch_templates().max_results(SMALL_PAGE);
        let answer = ask.set_next_token(page.map(str::to_owned)).send().await.map_err(|error| {
            self.context.sdk_error("ec2:DescribeLaunchTemplates", &error, "could not list launch templates".into())
        })?;
        let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).unwrap_or(1);
        let rows = keep(answer.launch_templates, |template| {
            Some(TemplateRow {
                id: template.launch_template_id?,
                name: template.launch_template_name.unwrap_or_default(),
                default: number(template.default_version_number),
                latest: number(template.latest_version_number),
            })
        });
        Ok(Page { rows, next: next(answer.next_token) })
    }

    /// One page of versions: of one template all of them, of none the newest and the default of every template.
    ///
    /// # Errors
    /// As classified.
    pub async fn template_versions(&self, of: Option<&str>, page: Option<&str>) -> Result<Page<TemplateVersionRow>> {
        let ask = self.client.describe_launch_template_versions().max_results(SMALL_PAGE);
        let ask = match of {
            Some(template) => ask.launch_template_id(template),
            None => ask.versions("$Latest").versions("$Default"),
        };
        let answer = ask.set_next_token(page.map(str::to_owned)).send().await.map_err(|error| {
            let what = match of {
                Some(template) => format!("could not list the versions of launch template {template}"),
                None => "could not list versions of launch templates".to_owned(),
            };
            self.context.sdk_error("ec2:DescribeLaunchTemplateVersions", &error, what)
        })?;
        let rows = keep(answer.launch_template_versions, |version| {
            let data = version.launch_template_data;
            let image = data.as_ref().and_then(|data| data.image_id.clone());
            let disks = data.and_then(|data| data.block_device_mappings).unwrap_or_default().into_iter();
            Some(TemplateVersionRow {
                template: version.launch_template_id?,
                name: version.launch_template_name.unwrap_or_default(),
                number: version.version_number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0),
                is_default: version.default_version.unwrap_or(false),
                image: image.filter(|image| !image.is_empty()),
                snapshots: disks.filter_map(|disk| disk.ebs?.snapshot_id?.parse().ok()).collect(),
            })
        });
        Ok(Page { rows, next: next(answer.next_token) })
    }

    /// One page of locked snapshots, also those whose lock is over.
    ///
    /// # Errors
    /// As classified.
    pub async fn locked_snapshots(&self, page: Option<&str>) -> Result<Page<LockRow>> {
        let ask = self.client.describe_locked_snapshots().max_results(PAGE);
        let answer = ask.set_next_token(page.map(str::to_owned)).send().await.map_err(|error| {
            self.context.sdk_error("ec2:DescribeLockedSnapshots", &error, "could not list locked snapshots".into())
        })?;
        let rows = keep(answer.snapshots, lock_row);
        Ok(Page { rows, next: next(answer.next_token) })
    }

    /// One page of fast restores.
    ///
    /// # Errors
    /// As classified.
    pub async fn fast_restores(&self, page: Option<&str>) -> Result<Page<FastRestoreRow>> {
        let ask = self.client.describe_fast_snapshot_restores().max_results(SMALL_PAGE);
        let answer = ask.set_next_token(page.map(str::to_owned)).send().await.map_err(|error| {
            self.context.sdk_error("ec2:DescribeFastSnapshotRestores", &error, "could not list fast restores".into())
        })?;
        let rows = keep(answer.fast_snapshot_restores, fast_restore_row);
        Ok(Page { rows, next: next(answer.next_token) })
    }

    /// One page of snapshots that are being moved between tiers, or are back for a time only.
    ///
    /// # Errors
    /// As classified.
    pub async fn tierings(&self, page: Option<&str>) -> Result<Page<TieringRow>> {
        let ask = self.client.describe_snapshot_tier_status().filters(moving()).max_results(PAGE);
        let answer = ask.set_next_token(page.map(str::to_owned)).send().await.map_err(|error| {
            self.context.sdk_error(
                "ec2:DescribeSnapshotTierStatus",
                &error,
                "could not list moves between tiers".into(),
            )
        })?;
        let rows = keep(answer.snapshot_tier_statuses, tiering_row);
        Ok(Page { rows, next: next(answer.next_token) })
    }
}

//! EC2's control plane: what exists, in pages, and the few calls that change something.
//!
//! Reads are retried by the SDK (standard mode, its retry budget being one per region); what is left is classified.
//! Rows come back as plain values, so no SDK type leaves this room.

/// The rows of one question, with those behind its tokens. `$ask` is made anew for each.
macro_rules! all {
    ($ask:expr, $rows:ident, $failed:expr) => {{
        let (mut all, mut token) = (Vec::new(), None::<String>);
        let mut tokens = crate::aws::Tokens::default();
        for turn in 0.. {
            let answer = $ask.set_next_token(token.take()).send().await.map_err($failed)?;
            all.extend(answer.$rows.unwrap_or_default());
            token = tokens.next(answer.next_token)?;
            if token.is_none() {
                break;
            }
            if turn == crate::aws::ec2::TOKENS {
                return Err(crate::error::Error::failed("an answer of EC2 does not end"));
            }
        }
        all
    }};
}

mod bin;
mod images;
mod narrow;
mod removal;
mod shares;
mod types;
mod users;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::types::{Filter, ResourceType, SnapshotBlockPublicAccessState, Tag as Ec2Tag, TagSpecification};

use super::context::Context;
use super::describe::{image_row, instance_row, keep, snapshot_row, volume_row};
use crate::error::{Error, Result};
use crate::grant::{Call, Grant};
use crate::ids::{Region, SnapshotId};
use crate::rows::{ImageRow, InstanceRow, RegionRow, SnapshotRow, State, Tag, VolumeRow};
use crate::within::Within;

pub use self::images::CopyImage;
pub use self::removal::Receipt;

/// What EC2 gives at most: calls grow with pages, not with rows.
const PAGE: i32 = 1000;
/// Tokens of one answer that are followed at most, where nobody asked for pages.
const TOKENS: usize = 1_000;

/// One page of a describe and the token of the next.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// `None` is the end.
    pub next: Option<String>,
}

/// What encryption by default means in this region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionDefault {
    /// Whether new snapshots are encrypted without being asked.
    pub on: bool,
    /// The key they get: an ARN or an alias.
    pub key: Option<String>,
}

/// What EC2 does about snapshots that are shared with everybody (block public access for snapshots).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicSharing {
    /// They can be made public.
    Unblocked,
    /// Those that are public stay so; no other can be made so.
    NoNew,
    /// None is public, whatever its permissions say.
    Blocked,
}

/// A snapshot's state as DescribeSnapshots tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotState {
    /// Still being written or completed.
    Pending,
    /// Readable.
    Completed,
    /// Failed, with AWS's message.
    Error(String),
    /// In the Recycle Bin or being brought back from it.
    Recoverable,
}

/// What CopySnapshot is asked for; it is asked in the region that the copy goes to.
#[derive(Debug, Clone)]
pub struct CopySnapshot {
    /// What is copied.
    pub source: SnapshotId,
    /// From which region.
    pub from: Region,
    /// Free text.
    pub description: String,
    /// Tags of the copy.
    pub tags: Vec<Tag>,
    /// Whether it is asked to be encrypted; else its source and the account's default decide.
    pub encrypted: bool,
    /// The key, when it is asked for.
    pub kms_key: Option<String>,
    /// How long it may take; else AWS sets its own pace.
    pub within: Option<Within>,
}

/// EC2 in one session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ec2 {
    context: Context,
    client: Client,
}

impl Ec2 {
    pub(super) fn new(context: Context) -> Self {
        let client = Client::new(&context.sdk());
        Self { context, client }
    }

    /// One page of the account's own snapshots.
    ///
    /// # Errors
    /// As classified.
    pub async fn snapshots(&self, page: Option<&str>) -> Result<Page<SnapshotRow>> {
        let answer = self
            .client
            .describe_snapshots()
            .owner_ids("self")
            .max_results(PAGE)
            .set_next_token(page.map(str::to_owned))
            .send()
            .await
            .map_err(|error| {
                self.context.sdk_error("ec2:DescribeSnapshots", &error, "could not list snapshots".into())
            })?;
        let origin = self.context.origin();
        let rows = keep(answer.snapshots, |snapshot| snapshot_row(snapshot, origin));
        Ok(Page { rows, next: answer.next_token.filter(|token| !token.is_empty()) })
    }

    /// These snapshots, of whatever owner; at most 1,000.
    ///
    /// # Errors
    /// `InvalidSnapshot.NotFound` (permanent) when one of them is not there; all else as classified.
    pub async fn snapshots_by_id(&self, ids: &[SnapshotId]) -> Result<Vec<SnapshotRow>> {
        let what = match ids {
            [] => return Ok(Vec::new()),
            [id] => format!("could not describe {id}"),
            ids => format!("could not describe {} snapshots", ids.len()),
        };
        let answer = self
            .client
            .describe_snapshots()
            .set_snapshot_ids(Some(ids.iter().map(ToString::to_string).collect()))
            .send()
            .await
            .map_err(|error| self.context.sdk_error("ec2:DescribeSnapshots", &error, what))?;
        let origin = self.context.origin();
        Ok(keep(answer.snapshots, |snapshot| snapshot_row(snapshot, origin)))
    }

    /// One snapshot.
    ///
    /// # Errors
    /// `InvalidSnapshot.NotFound` is permanent; all else as classified.
    pub async fn snapshot(&self, id: &SnapshotId) -> Result<SnapshotRow> {
        let rows = self.snapshots_by_id(std::slice::from_ref(id)).await?;
        rows.into_iter().find(|row| row.id == *id).ok_or_else(|| {
            Error::transient(format!("could not describe {id}: the answer does not hold it"))
                .in_region(self.context.region())
        })
    }

    /// The state of one snapshot.
    ///
    /// # Errors
    /// `InvalidSnapshot.NotFound` is permanent; all else as classified.
    pub async fn snapshot_state(&self, id: &SnapshotId) -> Result<SnapshotState> {
        let row = self.snapshot(id).await?;
        Ok(match row.state {
            State::Pending => SnapshotState::Pending,
            State::Completed => SnapshotState::Completed,
            State::Error => SnapshotState::Error(row.state_message.unwrap_or_default()),
            State::Recoverable | State::Recovering => SnapshotState::Recoverable,
        })
    }

    /// One page of volumes.
    ///
    /// # Errors
    /// As classified.
    pub async fn volumes(&self, page: Option<&str>) -> Result<Page<VolumeRow>> {
        let answer = self
            .client
            .describe_volumes()
            .max_results(PAGE)
            .set_next_token(page.map(str::to_owned))
            .send()
            .await
            .map_err(|error| self.context.sdk_error("ec2:DescribeVolumes", &error, "could not list volumes".into()))?;
        let rows = keep(answer.volumes, |volume| volume_row(volume, self.context.origin()));
        Ok(Page { rows, next: answer.next_token.filter(|token| !token.is_empty()) })
    }

    /// One page of the account's own images, disabled and deprecated ones too: they hold snapshots as well.
    ///
    /// # Errors
    /// As classified.
    pub async fn images(&self, page: Option<&str>) -> Result<Page<ImageRow>> {
        let answer = self
            .client
            .describe_images()
            .owners("self")
            .include_disabled(true)
            .include_deprecated(true)
            .max_results(PAGE)
            .set_next_token(page.map(str::to_owned))
            .send()
            .await
            .map_err(|error| self.context.sdk_error("ec2:DescribeImages", &error, "could not list images".into()))?;
        let rows = keep(answer.images, |image| image_row(image, self.context.origin()));
        Ok(Page { rows, next: answer.next_token.filter(|token| !token.is_empty()) })
    }

    /// One page of instances.
    ///
    /// # Errors
    /// As classified.
    pub async fn instances(&self, page: Option<&str>) -> Result<Page<InstanceRow>> {
        let answer = self
            .client
            .describe_instances()
            .max_results(PAGE)
            .set_next_token(page.map(str::to_owned))
            .send()
            .await
            .map_err(|error| {
                self.context.sdk_error("ec2:DescribeInstances", &error, "could not list instances".into())
            })?;
        let instances = answer.reservations.unwrap_or_default().into_iter();
        let instances = instances.flat_map(|reservation| reservation.instances.unwrap_or_default()).collect();
        let rows = keep(Some(instances), |instance| instance_row(instance, self.context.origin()));
        Ok(Page { rows, next: answer.next_token.filter(|token| !token.is_empty()) })
    }

    /// Every region of the partition with the account's state in it, by name.
    ///
    /// # Errors
    /// As classified.
    pub async fn regions(&self) -> Result<Vec<RegionRow>> {
        let answer =
            self.client.describe_regions().all_regions(true).send().await.map_err(|error| {
                self.context.sdk_error("ec2:DescribeRegions", &error, "could not list regions".into())
            })?;
        let mut rows = keep(answer.regions, |region| {
            let opt_in = region.opt_in_status.unwrap_or_else(|| "opt-in-not-required".to_owned());
            Some(RegionRow { name: region.region_name?.parse().ok()?, opt_in })
        });
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(rows)
    }

    /// Whether new snapshots here are encrypted without being asked, and with which key.
    ///
    /// # Errors
    /// As classified.
    pub async fn encryption_default(&self) -> Result<EncryptionDefault> {
        let what = || "could not learn whether new snapshots are encrypted by default".to_owned();
        let on = self.client.get_ebs_encryption_by_default().send();
        let key = self.client.get_ebs_default_kms_key_id().send();
        let (on, key) = tokio::join!(on, key);
        let on = on.map_err(|error| self.context.sdk_error("ec2:GetEbsEncryptionByDefault", &error, what()))?;
        let on = on.ebs_encryption_by_default.unwrap_or(false);
        let key = match key {
            Ok(answer) => answer.kms_key_id,
            // It is a name to be shown: without it they are encrypted all the same.
            Err(_) => None,
        };
        Ok(EncryptionDefault { on, key })
    }

    /// Whether snapshots of the account can be public here.
    ///
    /// # Errors
    /// As classified.
    pub async fn public_sharing(&self) -> Result<PublicSharing> {
        let asked = self.client.get_snapshot_block_public_access_state().send().await;
        let what = || "could not learn whether snapshots can be made public".to_owned();
        let told =
            asked.map_err(|error| self.context.sdk_error("ec2:GetSnapshotBlockPublicAccessState", &error, what()))?;
        match told.state {
            Some(SnapshotBlockPublicAccessState::BlockAllSharing) => Ok(PublicSharing::Blocked),
            Some(SnapshotBlockPublicAccessState::BlockNewSharing) => Ok(PublicSharing::NoNew),
            Some(SnapshotBlockPublicAccessState::Unblocked) => Ok(PublicSharing::Unblocked),
            other => {
                let said = other.map_or_else(|| "nothing".to_owned(), |state| format!("`{state}`"));
                Err(Error::failed(format!("{}: EC2 says {said}", what())))
            }
        }
    }

    /// Tags what the grant names.
    ///
    /// # Errors
    /// Refused outside the grant; else as classified.
    pub async fn create_tags(&self, grant: &Grant, id: &str, tags: &[Tag]) -> Result<()> {
        self.context.allow(grant, Call::CreateTags, Some(id))?;
        let tags = tags.iter().map(|(key, value)| Ec2Tag::builder().key(&**key).value(&**value).build());
        self.client
            .create_tags()
            .resources(id)
            .set_tags(Some(tags.collect()))
            .send()
            .await
            .map_err(|error| self.context.sdk_error("ec2:CreateTags", &error, format!("could not tag {id}")))?;
        Ok(())
    }

    /// The account's own snapshots with this tag; there are few.
    ///
    /// # Errors
    /// As classified.
    pub async fn snapshots_tagged(&self, key: &str, value: &str) -> Result<Vec<SnapshotRow>> {
        let tagged = || Filter::builder().name(format!("tag:{key}")).values(value).build();
        let what = || format!("could not look for the snapshot with the tag {key}={value}");
        // A page that holds none of them may name another one that does: who took it for the end would make a second one.
        let found = all!(self.client.describe_snapshots().owner_ids("self").filters(tagged()), snapshots, |error| {
            self.context.sdk_error("ec2:DescribeSnapshots", &error, what())
        });
        Ok(keep(Some(found), |snapshot| snapshot_row(snapshot, self.context.origin())))
    }

    /// Asks AWS to copy a snapshot to this region, once: the call has no token, and a second one is a second copy.
    ///
    /// # Errors
    /// Refused outside the grant; `ResourceLimitExceeded` waits for its turn; else as classified.
    pub async fn copy_snapshot(&self, grant: &Grant, request: &CopySnapshot) -> Result<SnapshotId> {
        self.context.allow(grant, Call::CopySnapshot, None)?;
        let tags = request.tags.iter().map(|(key, value)| Ec2Tag::builder().key(&**key).value(&**value).build());
        let tags = TagSpecification::builder().resource_type(ResourceType::Snapshot).set_tags(Some(tags.collect()));
        let once = aws_sdk_ec2::config::Builder::default().retry_config(RetryConfig::disabled());
        let what = || format!("could not have {} copied from {}", request.source, request.from);
        let answer = self
            .client
            .copy_snapshot()
            .source_region(request.from.as_str())
            .source_snapshot_id(request.source.as_str())
            .description(&request.description)
            .set_encrypted(request.encrypted.then_some(true))
            .set_kms_key_id(request.kms_key.clone())
            .set_completion_duration_minutes(request.within.and_then(|within| i32::try_from(within.minutes()).ok()))
            .tag_specifications(tags.build())
            .customize()
            .config_override(once)
            .send()
            .await
            .map_err(|error| self.context.sdk_error("ec2:CopySnapshot", &error, what()))?;
        let id = answer.snapshot_id.as_deref().and_then(|id| id.parse().ok());
        id.ok_or_else(|| Error::transient(format!("{}: the answer names no snapshot", what())))
    }
}

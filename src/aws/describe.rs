//! From EC2's wire types to plain rows. A row without an id that floe can read is left out and logged: it could
//! not be named in any command.

use std::sync::Arc;

use aws_sdk_ec2::primitives::DateTime;
use aws_sdk_ec2::types::{Image, Instance, Snapshot, SnapshotState, StorageTier, Volume};
use jiff::Timestamp;

use crate::rows::{ImageDisk, ImageFacts, ImageRow, InstanceRow, Origin, SnapshotRow, State, Tag, Tier, VolumeRow};
use crate::units::Bytes;

/// The rows of a page.
pub(super) fn keep<T: std::fmt::Debug, R>(all: Option<Vec<T>>, row: impl Fn(T) -> Option<R>) -> Vec<R> {
    let all = all.unwrap_or_default();
    let asked = all.len();
    let rows: Vec<R> = all.into_iter().filter_map(row).collect();
    if rows.len() < asked {
        tracing::warn!(left_out = asked - rows.len(), "entries without a readable id were left out");
    }
    rows
}

pub(super) fn time(time: Option<DateTime>) -> Option<Timestamp> {
    let time = time?;
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}

fn text(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn gib(size: Option<i32>) -> Bytes {
    Bytes::gib(size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default())
}

/// All tags in order of their keys, and the one that is a name.
fn tags(all: Option<Vec<aws_sdk_ec2::types::Tag>>) -> (Vec<Tag>, Option<String>) {
    let pairs = all.unwrap_or_default().into_iter();
    let mut tags: Vec<Tag> = pairs.filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).collect();
    tags.sort();
    let name = tags.iter().find(|(key, _)| key == "Name").map(|(_, value)| value.clone());
    (tags, text(name))
}

pub(super) fn snapshot_row(snapshot: Snapshot, origin: &Arc<Origin>) -> Option<SnapshotRow> {
    let (tags, name) = tags(snapshot.tags);
    let state = match snapshot.state {
        Some(SnapshotState::Completed) => State::Completed,
        Some(SnapshotState::Error) => State::Error,
        Some(SnapshotState::Recoverable) => State::Recoverable,
        Some(SnapshotState::Recovering) => State::Recovering,
        _ => State::Pending,
    };
    let progress = snapshot.progress.and_then(|progress| progress.trim_end_matches('%').parse().ok());
    Some(SnapshotRow {
        origin: Arc::clone(origin),
        id: snapshot.snapshot_id?.parse().ok()?,
        name,
        owner: snapshot.owner_id.and_then(|owner| owner.parse().ok()).unwrap_or_else(|| origin.account.clone()),
        volume: snapshot.volume_id.and_then(|volume| volume.parse().ok()),
        size: gib(snapshot.volume_size),
        full: snapshot.full_snapshot_size_in_bytes.and_then(|full| u64::try_from(full).ok()).map(Bytes),
        state,
        state_message: text(snapshot.state_message),
        progress: progress.filter(|_| state == State::Pending),
        started: time(snapshot.start_time).unwrap_or(Timestamp::UNIX_EPOCH),
        tier: if snapshot.storage_tier == Some(StorageTier::Archive) { Tier::Archive } else { Tier::Standard },
        encrypted: snapshot.encrypted.unwrap_or(false),
        kms_key: text(snapshot.kms_key_id),
        data_key_id: text(snapshot.data_encryption_key_id),
        description: snapshot.description.unwrap_or_default(),
        tags,
    })
}

pub(super) fn volume_row(volume: Volume, origin: &Arc<Origin>) -> Option<VolumeRow> {
    let (tags, name) = tags(volume.tags);
    let attachments = volume.attachments.unwrap_or_default().into_iter();
    let unsigned = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok());
    Some(VolumeRow {
        origin: Arc::clone(origin),
        id: volume.volume_id?.parse().ok()?,
        name,
        size: gib(volume.size),
        kind: volume.volume_type.map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        state: volume.state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        zone: volume.availability_zone.unwrap_or_default(),
        attached_to: attachments.filter_map(|attached| attached.instance_id?.parse().ok()).collect(),
        snapshot: volume.snapshot_id.and_then(|id| id.parse().ok()),
        iops: unsigned(volume.iops),
        throughput: unsigned(volume.throughput),
        encrypted: volume.encrypted.unwrap_or(false),
        created: time(volume.create_time).unwrap_or(Timestamp::UNIX_EPOCH),
        tags,
    })
}

pub(super) fn image_row(image: Image, origin: &Arc<Origin>) -> Option<ImageRow> {
    let (tags, _) = tags(image.tags);
    let stamp = |text: Option<String>| text.and_then(|text| text.parse::<Timestamp>().ok());
    let disks: Vec<_> =
        image.block_device_mappings.unwrap_or_default().into_iter().filter_map(|mapping| mapping.ebs).collect();
    Some(ImageRow {
        origin: Arc::clone(origin),
        id: image.image_id?.parse().ok()?,
        name: image.name.unwrap_or_default(),
        state: image.state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        owner: image.owner_id.and_then(|owner| owner.parse().ok()).unwrap_or_else(|| origin.account.clone()),
        architecture: image.architecture.map(|architecture| architecture.as_str().to_owned()).unwrap_or_default(),
        platform: image.platform_details.unwrap_or_default(),
        public: image.public.unwrap_or(false),
        size: disks.iter().map(|disk| gib(disk.volume_size)).sum(),
        snapshots: disks.into_iter().filter_map(|disk| disk.snapshot_id?.parse().ok()).collect(),
        created: stamp(image.creation_date),
        deprecated: stamp(image.deprecation_time),
        last_launched: stamp(image.last_launched_time),
        description: image.description.unwrap_or_default(),
        tags,
    })
}

/// An image in full.
pub(super) fn image_facts(image: Image, origin: &Arc<Origin>) -> Option<ImageFacts> {
    let mappings = image.block_device_mappings.clone().unwrap_or_default();
    let mut disks: Vec<ImageDisk> = Vec::with_capacity(mappings.len());
    let mut layout: Vec<String> = Vec::with_capacity(mappings.len());
    for mapping in mappings {
        let device = mapping.device_name.unwrap_or_default();
        let Some(ebs) = mapping.ebs else {
            layout.push(format!("{device} {}", mapping.virtual_name.unwrap_or_default()));
            continue;
        };
        let kind = ebs.volume_type.as_ref().map(|kind| kind.as_str().to_owned()).unwrap_or_default();
        let end = if ebs.delete_on_termination.unwrap_or(false) { "goes with the instance" } else { "stays" };
        layout.push(format!("{device} {} {kind}, {end}", gib(ebs.volume_size)));
        if let Some(snapshot) = ebs.snapshot_id.and_then(|id| id.parse().ok()) {
            let (size, encrypted) = (gib(ebs.volume_size), ebs.encrypted.unwrap_or(false));
            disks.push(ImageDisk { device, snapshot, size, encrypted, full: None });
        }
    }
    layout.sort();
    let said = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let codes = image.product_codes.clone().unwrap_or_default().into_iter();
    let mut product_codes: Vec<String> = codes.filter_map(|code| code.product_code_id).collect();
    product_codes.sort();
    let usage = image.usage_operation.clone().unwrap_or_default();
    let properties = vec![
        ("block devices", layout.join("; ")),
        ("architecture", said(image.architecture.as_ref().map(|value| value.as_str()))),
        ("platform details", said(image.platform_details.as_deref())),
        ("usage operation", usage.clone()),
        ("product codes", product_codes.join(" ")),
        ("root device", said(image.root_device_name.as_deref())),
        ("root device type", said(image.root_device_type.as_ref().map(|value| value.as_str()))),
        ("virtualization", said(image.virtualization_type.as_ref().map(|value| value.as_str()))),
        ("boot mode", said(image.boot_mode.as_ref().map(|value| value.as_str()))),
        ("TPM", said(image.tpm_support.as_ref().map(|value| value.as_str()))),
        ("IMDS", said(image.imds_support.as_ref().map(|value| value.as_str()))),
        ("ENA", image.ena_support.unwrap_or(false).to_string()),
    ];
    let reason = image.state_reason.clone().and_then(|reason| match (text(reason.code), text(reason.message)) {
        (Some(code), Some(message)) => Some(format!("{code}: {}", message.trim_start_matches(&format!("{code}: ")))),
        (one, other) => one.or(other),
    });
    Some(ImageFacts { row: image_row(image, origin)?, disks, usage, product_codes, reason, properties })
}

pub(super) fn instance_row(instance: Instance, origin: &Arc<Origin>) -> Option<InstanceRow> {
    let (tags, name) = tags(instance.tags);
    let disks = instance.block_device_mappings.unwrap_or_default().into_iter();
    let state = instance.state.and_then(|state| state.name);
    Some(InstanceRow {
        origin: Arc::clone(origin),
        id: instance.instance_id?.parse().ok()?,
        name,
        state: state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        kind: instance.instance_type.map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        image: instance.image_id.and_then(|image| image.parse().ok()),
        volumes: disks.filter_map(|disk| disk.ebs?.volume_id?.parse().ok()).collect(),
        launched: time(instance.launch_time),
        tags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_becomes_a_row_and_one_without_an_id_is_left_out() {
        let origin = Arc::new(Origin {
            profile: None,
            account: "123456789012".parse().expect("an account"),
            region: "eu-west-1".parse().expect("a region"),
        });
        let tag = |key: &str, value: &str| aws_sdk_ec2::types::Tag::builder().key(key).value(value).build();
        let snapshot = Snapshot::builder()
            .snapshot_id("snap-0abc1234")
            .volume_size(8)
            .full_snapshot_size_in_bytes(1024)
            .state(SnapshotState::Pending)
            .progress("67%")
            .tags(tag("team", "db"))
            .tags(tag("Name", "nightly"))
            .start_time(DateTime::from_secs(1_600_000_000))
            .build();
        let row = snapshot_row(snapshot, &origin).expect("a row");
        assert_eq!(row.name.as_deref(), Some("nightly"));
        assert_eq!((row.size, row.full), (Bytes::gib(8), Some(Bytes(1024))));
        assert_eq!((row.state, row.progress, row.tier), (State::Pending, Some(67), Tier::Standard));
        assert_eq!(row.owner, origin.account);
        assert_eq!(row.tags.len(), 2);
        assert_eq!(row.started.as_second(), 1_600_000_000);

        let rows = keep(Some(vec![Snapshot::builder().build()]), |snapshot| snapshot_row(snapshot, &origin));
        assert!(rows.is_empty());
    }
}

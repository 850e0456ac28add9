//! The sandbox's CopySnapshot, CopyImage and DescribeKey as AWS's own SDK sees them.

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::{Image, ImageState, ResourceType, Snapshot, SnapshotState, Tag, TagSpecification};
use floe::sandbox::faults::{Fault, Faults, Rule};

use crate::support::{WEB_DATA, World, put};

/// 64 blocks, encrypted.
const BOOT: &str = "snap-0feed000000b00701";
type Ec2 = aws_sdk_ec2::Client;

fn quick() -> Faults {
    Faults { copying_ms: 30, completing_ms: 0, ..Faults::default() }
}

fn code<T: std::fmt::Debug, E: ProvideErrorMetadata, R>(answer: Result<T, SdkError<E, R>>) -> String {
    answer.expect_err("a refusal").code().unwrap_or("no code").to_owned()
}

async fn seen(ec2: &Ec2, id: &str) -> Snapshot {
    ec2.describe_snapshots().snapshot_ids(id).send().await.expect("described").snapshots()[0].clone()
}

/// Waits until the sandbox has made up its mind.
async fn settled(ec2: &Ec2, id: &str) -> Snapshot {
    let begun = std::time::Instant::now();
    loop {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{id} is pending for ever");
        let row = seen(ec2, id).await;
        if row.state() != Some(&SnapshotState::Pending) {
            return row;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_copy_is_pending_then_holds_the_blocks_of_its_source() {
    let world = World::with(quick()).await;
    let (here, there) = (world.ebs("prod", "us-west-2"), world.ec2("prod", "eu-central-1"));
    // One that was written, so that its blocks lie in a store and not in a formula.
    let source = here.start_snapshot().volume_size(1).send().await.unwrap().snapshot_id.unwrap();
    put(&here, &source, 3, 7).await;
    put(&here, &source, 2000, 8).await;
    here.complete_snapshot().snapshot_id(&source).changed_blocks_count(2).send().await.unwrap();
    world.completed(&source, "us-west-2").await;
    let tags = TagSpecification::builder().resource_type(ResourceType::Snapshot);
    let tags = tags.tags(Tag::builder().key("why").value("test").build()).build();
    let copy = there.copy_snapshot().source_region("us-west-2").source_snapshot_id(&source).tag_specifications(tags);
    let id = copy.send().await.unwrap().snapshot_id.unwrap();
    let pending = seen(&there, &id).await;
    assert_eq!((pending.state(), pending.volume_id()), (Some(&SnapshotState::Pending), Some("vol-ffffffff")));
    assert_ne!(pending.progress(), Some("100%"));
    let done = settled(&there, &id).await;
    assert_eq!((done.state(), done.progress()), (Some(&SnapshotState::Completed), Some("100%")));
    assert_eq!((done.tags()[0].key(), done.full_snapshot_size_in_bytes()), (Some("why"), Some(2 * 524_288)));
    assert_eq!(done.transfer_type().map(|kind| kind.as_str()), Some("standard"));
    assert!(done.description().unwrap().contains(&source));
    // It stands by itself: its source may go.
    let ours = world.contents("prod", "us-west-2", &source).await;
    world.ec2("prod", "us-west-2").delete_snapshot().snapshot_id(&source).send().await.unwrap();
    assert_eq!(world.contents("prod", "eu-central-1", &id).await, ours);
}

#[tokio::test]
async fn encryption_follows_the_source_the_account_and_the_request() {
    let world = World::with(quick()).await;
    let (plain, default) = (world.ec2("prod", "us-west-2"), world.ec2("prod", "eu-west-1"));
    let copy = |ec2: &Ec2, id: &str| ec2.copy_snapshot().source_region("us-east-1").source_snapshot_id(id);
    for (ec2, source, encrypted) in [(&plain, WEB_DATA, false), (&plain, BOOT, true), (&default, WEB_DATA, true)] {
        let id = copy(ec2, source).send().await.unwrap().snapshot_id.unwrap();
        let row = settled(ec2, &id).await;
        assert_eq!((row.state(), row.encrypted()), (Some(&SnapshotState::Completed), Some(encrypted)), "{source}");
        assert_eq!(row.kms_key_id().is_some(), encrypted);
    }
    assert_eq!(code(copy(&plain, BOOT).encrypted(false).send().await), "InvalidParameterValue");
    assert_eq!(code(copy(&plain, BOOT).kms_key_id("alias/aws/ebs").send().await), "InvalidParameterCombination");
    let known = copy(&plain, WEB_DATA).encrypted(true).kms_key_id("alias/aws/ebs").send().await.unwrap();
    let known = settled(&plain, known.snapshot_id().unwrap()).await;
    assert_eq!(known.state(), Some(&SnapshotState::Completed));
    // A key that is not there is found out about only when the copy is under way.
    let wrong = copy(&plain, WEB_DATA).encrypted(true).kms_key_id("alias/no-such-key").send().await.unwrap();
    let wrong = settled(&plain, wrong.snapshot_id().unwrap()).await;
    assert_eq!(wrong.state(), Some(&SnapshotState::Error));
    assert_eq!((wrong.state_message(), wrong.progress()), (Some("Given key ID is not accessible"), Some("0%")));
}

#[tokio::test]
async fn what_aws_refuses_to_copy() {
    let world = World::with(Faults { copying_ms: 60_000, ..Faults::default() }).await;
    let ec2 = world.ec2("prod", "us-west-2");
    let copy = || ec2.copy_snapshot().source_region("us-east-1").source_snapshot_id(WEB_DATA);
    assert_eq!(code(ec2.copy_snapshot().source_snapshot_id(WEB_DATA).send().await), "MissingParameter");
    assert_eq!(code(copy().source_region("eu-west-1").send().await), "InvalidSnapshot.NotFound");
    assert_eq!(code(copy().dry_run(true).send().await), "DryRunOperation");
    for minutes in [0, 7, 2895] {
        let timed = copy().completion_duration_minutes(minutes).send().await;
        assert_eq!(code(timed), "InvalidParameterValue", "{minutes} minutes");
    }
    let large = copy().source_snapshot_id("snap-01c55a9e07b3d2f48").completion_duration_minutes(15).send().await;
    assert_eq!(code(large), "InvalidParameterValue", "15 TiB in a quarter of an hour");
    let timed = copy().completion_duration_minutes(15).send().await.unwrap();
    let row = seen(&ec2, timed.snapshot_id().unwrap()).await;
    assert_eq!(row.transfer_type().map(|kind| kind.as_str()), Some("time-based"));
    assert_eq!(row.completion_duration_minutes(), Some(15));
    for _ in 1..20 {
        copy().send().await.unwrap();
    }
    assert_eq!(code(copy().send().await), "ResourceLimitExceeded");
    let elsewhere = world.ec2("prod", "eu-central-1");
    let elsewhere = elsewhere.copy_snapshot().source_region("us-east-1").source_snapshot_id(WEB_DATA).send().await;
    assert!(elsewhere.is_ok(), "every destination region has its own twenty");
    let stranger = world.ec2("dr", "us-west-2");
    let stranger = stranger.copy_snapshot().source_region("us-east-1").source_snapshot_id(WEB_DATA).send().await;
    assert_eq!(code(stranger), "InvalidSnapshot.NotFound", "what is not shared is not seen");
}

#[tokio::test]
async fn an_image_is_copied_with_its_snapshots_once_for_each_token() {
    let world = World::with(quick()).await;
    let (here, there) = (world.ec2("prod", "us-east-1"), world.ec2("prod", "us-west-2"));
    let own = here.describe_images().owners("self").send().await.unwrap();
    let source = own.images().iter().find(|image| image.state() == Some(&ImageState::Available)).unwrap();
    let from = source.image_id().unwrap();
    let copy = || {
        let copy = there.copy_image().source_region("us-east-1").source_image_id(from).name("copied");
        copy.client_token("once").copy_image_tags(true)
    };
    let id = copy().send().await.unwrap().image_id.unwrap();
    assert_eq!(copy().send().await.unwrap().image_id(), Some(id.as_str()), "the same token, the same image");
    assert_eq!(code(copy().description("other").send().await), "IdempotentParameterMismatch");
    assert_eq!(code(copy().client_token("twice").send().await), "InvalidAMIName.Duplicate");
    assert_eq!(code(copy().client_token("twice").name("a*b").send().await), "InvalidAMIName.Malformed");
    let look = async || -> Image { there.describe_images().image_ids(&id).send().await.unwrap().images()[0].clone() };
    let first = look().await;
    let snapshots: Vec<String> = first
        .block_device_mappings()
        .iter()
        .filter_map(|mapping| mapping.ebs()?.snapshot_id().map(str::to_owned))
        .collect();
    assert_eq!(snapshots.len(), source.block_device_mappings().len());
    for snapshot in &snapshots {
        let row = settled(&there, snapshot).await;
        assert!(
            row.description().unwrap().starts_with(&format!("Copied for DestinationAmi {id} from SourceAmi {from}"))
        );
    }
    let done = look().await;
    assert_eq!((done.state(), done.name()), (Some(&ImageState::Available), Some("copied")));
    assert_eq!(done.platform_details(), source.platform_details());
    world.running.sandbox.set_faults(Faults { rules: vec![Rule::of(Fault::FailLater).on("CopyImage")], ..quick() });
    let broken = copy().client_token("twice").name("broken").send().await.unwrap().image_id.unwrap();
    let rows = there.describe_images().image_ids(&broken).send().await.unwrap();
    let first = rows.images()[0].block_device_mappings()[0].ebs().unwrap().snapshot_id().unwrap().to_owned();
    assert_eq!(settled(&there, &first).await.state(), Some(&SnapshotState::Error));
    let rows = there.describe_images().image_ids(&broken).send().await.unwrap();
    assert_eq!(rows.images()[0].state(), Some(&ImageState::Failed));
    let reason = rows.images()[0].state_reason().and_then(|reason| reason.message());
    assert_eq!(reason, Some("Given key ID is not accessible"));
    // An image holds its snapshots until it is deregistered, and they stay when it is.
    let delete = async |id: &str| there.delete_snapshot().snapshot_id(id).send().await;
    assert_eq!(code(delete(&first).await), "InvalidSnapshot.InUse");
    assert_eq!(code(there.deregister_image().image_id(&broken).dry_run(true).send().await), "DryRunOperation");
    there.deregister_image().image_id(&broken).send().await.unwrap();
    assert_eq!(code(there.deregister_image().image_id(&broken).send().await), "InvalidAMIID.NotFound");
    assert_eq!(code(there.describe_images().image_ids(&broken).send().await), "InvalidAMIID.NotFound");
    delete(&first).await.unwrap();
    let gone = there.deregister_image().image_id(&id).delete_associated_snapshots(true).send().await.unwrap();
    assert_eq!(gone.delete_snapshot_results().len(), snapshots.len());
    assert_eq!(code(there.describe_snapshots().snapshot_ids(&snapshots[0]).send().await), "InvalidSnapshot.NotFound");
}

#[tokio::test]
async fn what_aws_refuses_to_copy_of_images() {
    let world = World::with(Faults { copying_ms: 60_000, ..Faults::default() }).await;
    let (here, there) = (world.ec2("prod", "us-east-1"), world.ec2("prod", "us-west-2"));
    let copy = |id: &str| there.copy_image().source_region("us-east-1").source_image_id(id).name("copied");
    assert_eq!(code(copy("ami-0aaaa0000000000ff").send().await), "InvalidAMIID.NotFound");
    assert_eq!(code(copy("ami-0c1d4e8855b0f77a2").send().await), "InvalidAMIID.Unavailable", "a disabled one");
    let own = here.describe_images().owners("self").send().await.unwrap();
    let from = own.images().iter().find(|image| image.state() == Some(&ImageState::Available)).unwrap();
    let from = from.image_id().unwrap();
    assert_eq!(code(copy(from).encrypted(false).send().await), "InvalidParameterValue");
    assert_eq!(code(copy(from).kms_key_id("alias/aws/ebs").send().await), "InvalidParameterCombination");
    for minutes in [7, 2895] {
        let timed = copy(from).snapshot_copy_completion_duration_minutes(minutes).send().await;
        assert_eq!(code(timed), "InvalidParameterValue", "{minutes} minutes");
    }
    assert_eq!(code(copy(from).dry_run(true).send().await), "DryRunOperation");
    for n in 0..20 {
        copy(from).name(format!("copy {n}")).send().await.unwrap();
    }
    assert_eq!(code(copy(from).send().await), "ResourceLimitExceeded");
    let stranger = world.ec2("dr", "us-east-1").deregister_image().image_id(from).send().await;
    assert_eq!(code(stranger), "InvalidAMIID.NotFound", "what is not shared is not seen");
}

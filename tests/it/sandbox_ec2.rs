//! The sandbox's EC2, STS and Service Quotas as AWS's own SDK sees them.

use std::collections::BTreeSet;

use aws_credential_types::Credentials;
use aws_sdk_ec2::Client as Ec2;
use aws_sdk_ec2::config::{BehaviorVersion, Region};
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::{Filter, SnapshotAttributeName, SnapshotState, StorageTier, Tag};
use floe::sandbox::{Options, Running, serve};

const DB: &str = "snap-01c55a9e07b3d2f48";

struct Cloud(Running);

macro_rules! config {
    ($service:ident, $cloud:expr, $profile:expr, $region:expr) => {{
        let keys =
            $cloud.0.sandbox.profiles().into_iter().find(|keys| keys.name.as_str() == $profile).expect("a profile");
        let credentials = Credentials::new(keys.access_key_id, keys.secret, keys.session_token, None, "sandbox");
        $service::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new($region))
            .endpoint_url($cloud.0.url())
            .credentials_provider(credentials)
            .retry_config(aws_sdk_ec2::config::retry::RetryConfig::disabled())
            .build()
    }};
}

impl Cloud {
    async fn of(scenario: &str) -> Self {
        Self(
            serve(Options { scenario: Some(scenario.into()), ..Options::default() }).await.expect("the sandbox serves"),
        )
    }

    fn ec2(&self, profile: &str, region: &'static str) -> Ec2 {
        Ec2::from_conf(config!(aws_sdk_ec2, self, profile, region))
    }
}

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// EC2's code of a refusal.
fn code<T: std::fmt::Debug, E: ProvideErrorMetadata, R>(
    answer: Result<T, aws_sdk_ec2::error::SdkError<E, R>>,
) -> String {
    let refusal = answer.expect_err("a refusal");
    refusal.code().unwrap_or("no code").to_owned()
}

#[tokio::test]
async fn the_sdk_pages_through_all_snapshots() {
    let cloud = Cloud::of("default").await;
    let ec2 = cloud.ec2("prod", "us-east-1");
    let whole = ec2.describe_snapshots().owner_ids("self").send().await.unwrap();
    assert_eq!(whole.next_token(), None);
    let mut pages = ec2.describe_snapshots().owner_ids("self").into_paginator().page_size(50).send();
    let mut seen = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert!(page.snapshots().len() <= 50);
        seen.extend(page.snapshots().iter().map(|row| row.snapshot_id().unwrap().to_owned()));
    }
    let once: BTreeSet<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!((seen.len(), once.len()), (whole.snapshots().len(), whole.snapshots().len()));
}

#[tokio::test]
async fn the_sdk_reads_every_field_of_a_snapshot() {
    let cloud = Cloud::of("default").await;
    let ec2 = cloud.ec2("prod", "us-east-1");
    let answer = ec2.describe_snapshots().snapshot_ids(DB).send().await.unwrap();
    let row = &answer.snapshots()[0];
    assert_eq!(row.full_snapshot_size_in_bytes(), Some(31_318_565 * 524_288));
    assert_eq!(
        (row.volume_size(), row.volume_id(), row.progress()),
        (Some(16_384), Some("vol-0b77e1c2"), Some("100%"))
    );
    assert_eq!((row.state(), row.storage_tier()), (Some(&SnapshotState::Completed), Some(&StorageTier::Standard)));
    assert_eq!((row.encrypted(), row.owner_id()), (Some(true), Some("123456789012")));
    assert!(row.kms_key_id().is_some() && row.data_encryption_key_id().is_some());
    assert!(row.start_time() < row.completion_time());
    assert!(row.tags().iter().any(|tag| tag.key() == Some("Name") && tag.value() == Some("db-data")));
    let copies = cloud.ec2("prod", "eu-west-1");
    let copies = copies.describe_snapshots().filters(filter("transfer-type", "time-based")).send().await.unwrap();
    assert!(copies.snapshots().iter().all(|row| row.volume_id() == Some("vol-ffffffff")));
    assert_eq!(copies.snapshots().len(), 7);
}

#[tokio::test]
async fn the_sdk_reads_volumes_images_and_instances() {
    let cloud = Cloud::of("default").await;
    let ec2 = cloud.ec2("prod", "us-east-1");
    let instances = ec2.describe_instances().filters(filter("tag:Name", "web-1")).send().await.unwrap();
    let instance = &instances.reservations()[0].instances()[0];
    let volumes = ec2.describe_volumes();
    let volumes =
        volumes.filters(filter("attachment.instance-id", instance.instance_id().unwrap())).send().await.unwrap();
    let names = |volume: &aws_sdk_ec2::types::Volume| {
        volume.tags().iter().find(|tag| tag.key() == Some("Name")).and_then(|tag| tag.value()).map(str::to_owned)
    };
    let names: BTreeSet<String> = volumes.volumes().iter().filter_map(names).collect();
    assert_eq!(names, BTreeSet::from(["web-data".to_owned(), "web-root".to_owned()]));
    assert_eq!(instance.block_device_mappings().len(), 2);
    let images = ec2.describe_images().owners("self").include_disabled(true).send().await.unwrap();
    let disabled = images.images().iter().find(|image| image.name() == Some("db-golden")).unwrap();
    let mapping = disabled.block_device_mappings()[0].ebs().unwrap();
    assert_eq!((mapping.snapshot_id(), mapping.volume_size()), (Some(DB), Some(16_384)));
    let regions = ec2.describe_regions().all_regions(true).send().await.unwrap();
    assert_eq!(regions.regions().len(), 8);
    let closed = regions.regions().iter().filter(|row| row.opt_in_status() == Some("not-opted-in"));
    assert_eq!(closed.count(), 2);
    let zones = ec2.describe_availability_zones().send().await.unwrap();
    assert_eq!(zones.availability_zones().len(), 5);
    let settings = ec2.get_ebs_encryption_by_default().send().await.unwrap();
    assert_eq!(settings.ebs_encryption_by_default(), Some(true));
    let key = ec2.get_ebs_default_kms_key_id().send().await.unwrap();
    assert!(key.kms_key_id().is_some_and(|key| key.contains(":key/")));
}

#[tokio::test]
async fn the_sdk_gets_ec2s_own_refusals() {
    let cloud = Cloud::of("default").await;
    let ec2 = cloud.ec2("prod", "us-east-1");
    let ask = || ec2.describe_snapshots();
    assert_eq!(code(ask().snapshot_ids("snap-00000000").send().await), "InvalidSnapshot.NotFound");
    assert_eq!(code(ask().snapshot_ids("snap-xyz").send().await), "InvalidSnapshotID.Malformed");
    assert_eq!(code(ask().filters(filter("colour", "red")).send().await), "InvalidParameterValue");
    assert_eq!(code(ask().max_results(4).send().await), "InvalidParameterValue");
    assert_eq!(code(ask().max_results(9).snapshot_ids(DB).send().await), "InvalidParameterCombination");
    assert_eq!(code(ask().next_token("made up").send().await), "InvalidParameterValue");
    assert_eq!(code(ask().dry_run(true).send().await), "DryRunOperation");
    assert_eq!(code(ec2.delete_snapshot().snapshot_id(DB).send().await), "InvalidSnapshot.InUse");
    assert_eq!(code(ec2.describe_vpcs().send().await), "InvalidAction");
    assert_eq!(code(cloud.ec2("prod", "af-south-1").describe_snapshots().send().await), "AuthFailure");
}

#[tokio::test]
async fn tags_and_deletions_are_seen_by_the_next_question() {
    let cloud = Cloud::of("default").await;
    let ec2 = cloud.ec2("prod", "us-east-1");
    let small = "snap-0feed000000f00101";
    let tag = Tag::builder().key("job").value("11 & <more>").build();
    ec2.create_tags().resources(small).tags(tag).send().await.unwrap();
    let found = ec2.describe_snapshots().filters(filter("tag:job", "11*")).send().await.unwrap();
    assert_eq!(
        found.snapshots()[0].tags().iter().find(|t| t.key() == Some("job")).unwrap().value(),
        Some("11 & <more>")
    );
    assert_eq!(code(ec2.delete_snapshot().snapshot_id(small).dry_run(true).send().await), "DryRunOperation");
    ec2.delete_snapshot().snapshot_id(small).send().await.unwrap();
    assert_eq!(code(ec2.describe_snapshots().snapshot_ids(small).send().await), "InvalidSnapshot.NotFound");
    let attribute = ec2.describe_snapshot_attribute().attribute(SnapshotAttributeName::CreateVolumePermission);
    let shared = attribute.snapshot_id("snap-01b7e2d90c4418a3f").send().await.unwrap();
    assert_eq!(shared.create_volume_permissions()[0].user_id(), Some("998877665544"));
}

#[tokio::test]
async fn the_sdk_reads_what_refers_to_snapshots_and_images_page_by_page() {
    let cloud = Cloud::of("clear").await;
    let ec2 = cloud.ec2("prod", "us-east-1");
    let all = ec2.describe_launch_templates().send().await.unwrap();
    let mut pages = ec2.describe_launch_templates().into_paginator().page_size(2).send();
    let mut seen = 0;
    while let Some(page) = pages.next().await {
        seen += page.unwrap().launch_templates().len();
    }
    assert_eq!((seen, all.launch_templates().len() > 4), (all.launch_templates().len(), true));
    let versions = || ec2.describe_launch_template_versions();
    let bulk = versions().versions("$Latest").versions("$Default").send().await.unwrap();
    let old = all.launch_templates().iter().find(|row| row.launch_template_name() == Some("by-old")).unwrap();
    let of = |rows: &[aws_sdk_ec2::types::LaunchTemplateVersion]| {
        rows.iter().filter(|row| row.launch_template_id() == old.launch_template_id()).count()
    };
    assert_eq!(of(bulk.launch_template_versions()), 2, "the older one is not in the bulk answer");
    let numbered = versions().launch_template_id(old.launch_template_id().unwrap()).send().await.unwrap();
    let rows = numbered.launch_template_versions();
    assert_eq!(of(rows), 3);
    let mapped = rows[1].launch_template_data().unwrap().block_device_mappings()[0].ebs().unwrap().snapshot_id();
    assert!(mapped.is_some_and(|id| id.starts_with("snap-")));
    assert_eq!(code(versions().send().await), "MissingParameter");
    assert_eq!(code(versions().versions("2").send().await), "InvalidParameterValue");
    let one = || versions().launch_template_id(old.launch_template_id().unwrap());
    assert_eq!(code(one().versions("9").send().await), "InvalidLaunchTemplateId.VersionNotFound");
    let missing = ec2.describe_launch_templates().launch_template_ids("lt-00000000000000000").send().await;
    assert_eq!(code(missing), "InvalidLaunchTemplateId.NotFound");
    assert_eq!(code(ec2.describe_launch_templates().max_results(201).send().await), "InvalidParameterValue");
    let locks = ec2.describe_locked_snapshots().send().await.unwrap();
    assert!(locks.snapshots().iter().any(|lock| lock.lock_state().is_some_and(|state| state.as_str() == "expired")));
    let fast = ec2.describe_fast_snapshot_restores().max_results(2).send().await.unwrap();
    assert_eq!((fast.fast_snapshot_restores().len(), fast.next_token().is_some()), (2, true));
    let locked = locks.snapshots().iter().find(|lock| lock.lock_state().unwrap().as_str() == "compliance").unwrap();
    let refused = ec2.delete_snapshot().snapshot_id(locked.snapshot_id().unwrap()).send().await;
    assert_eq!(code(refused), "SnapshotLocked");
}

#[tokio::test]
async fn the_sdk_reads_shares_references_and_the_recycle_bin() {
    let cloud = Cloud::of("clear").await;
    let ec2 = cloud.ec2("prod", "us-east-1");
    let images = ec2.describe_images().owners("self").send().await.unwrap();
    let named = |name: &str| images.images().iter().find(|image| image.name() == Some(name)).unwrap();
    let parameter = named("in-parameter").image_id().unwrap();
    let ask = || ec2.describe_image_references().image_ids(parameter);
    let found = ask().include_all_resource_types(true).send().await.unwrap();
    let arns: Vec<&str> = found.image_references().iter().filter_map(|row| row.arn()).collect();
    assert_eq!(arns, ["arn:aws:ssm:us-east-1:123456789012:parameter/golden/web"]);
    assert_eq!(code(ask().send().await), "InvalidParameterCombination");
    let many = (0..11).map(|n| format!("ami-{n:08x}")).collect();
    let many = ec2.describe_image_references().set_image_ids(Some(many)).include_all_resource_types(true);
    assert_eq!(code(many.send().await), "InvalidParameterValue");
    let permission = aws_sdk_ec2::types::ImageAttributeName::LaunchPermission;
    let shared = ec2.describe_image_attribute().attribute(permission.clone());
    let shared = shared.image_id(named("image-shared").image_id().unwrap()).send().await.unwrap();
    assert_eq!(shared.launch_permissions()[0].user_id(), Some("998877665544"));
    let theirs = cloud.ec2("dr", "us-east-1").describe_image_attribute().attribute(permission);
    let theirs = theirs.image_id(named("image-shared").image_id().unwrap()).send().await;
    assert_eq!(code(theirs), "AuthFailure");
    assert!(named("launched-lately").last_launched_time().is_some());
    let binned = ec2.list_images_in_recycle_bin().send().await.unwrap();
    assert!(binned.images().iter().all(|row| row.recycle_bin_enter_time() < row.recycle_bin_exit_time()));
    let id = binned.images()[0].image_id().unwrap();
    assert_eq!(code(ec2.describe_images().image_ids(id).send().await), "InvalidAMIID.NotFound");
    assert_eq!(code(ec2.list_snapshots_in_recycle_bin().max_results(4).send().await), "InvalidParameterValue");
}

#[tokio::test]
async fn a_denied_region_says_which_policy() {
    let cloud = Cloud::of("denied").await;
    let refused = cloud.ec2("prod", "eu-central-1").describe_snapshots().owner_ids("self").send().await;
    let refused = refused.expect_err("denied");
    assert_eq!(refused.code(), Some("UnauthorizedOperation"));
    assert!(refused.message().is_some_and(|text| text.contains("explicit deny in a service control policy")));
    assert_eq!(refused.raw_response().map(|raw| raw.status().as_u16()), Some(403));
    let open = cloud.ec2("prod", "us-east-1").describe_snapshots().owner_ids("self").send().await.unwrap();
    assert_eq!(open.snapshots().len(), 5);
}

#[tokio::test]
async fn sts_names_the_account_of_each_profile() {
    let cloud = Cloud::of("default").await;
    for (profile, account, arn) in [
        ("prod", "123456789012", "arn:aws:iam::123456789012:user/ops"),
        ("dr", "998877665544", "arn:aws:sts::998877665544:assumed-role/DisasterRecovery/ops"),
    ] {
        let sts = aws_sdk_sts::Client::from_conf(config!(aws_sdk_sts, cloud, profile, "us-east-1"));
        let who = sts.get_caller_identity().send().await.unwrap();
        assert_eq!((who.account(), who.arn()), (Some(account), Some(arn)));
        assert!(who.user_id().is_some_and(|id| id.starts_with('A')));
    }
}

#[tokio::test]
async fn service_quotas_answer_what_is_enforced() {
    let cloud = Cloud::of("default").await;
    let quotas = aws_sdk_servicequotas::Client::from_conf(config!(aws_sdk_servicequotas, cloud, "prod", "us-east-1"));
    let put = quotas.get_service_quota().service_code("ebs").quota_code("L-AFAE1BE8").send().await.unwrap();
    let put = put.quota().unwrap();
    assert_eq!((put.value(), put.adjustable()), (Some(5000.0), true));
    let start = quotas.get_service_quota().service_code("ebs").quota_code("L-AFEBDF7A").send().await;
    assert!(start.expect_err("no applied value").into_service_error().is_no_such_resource_exception());
    let start = quotas.get_aws_default_service_quota().service_code("ebs").quota_code("L-AFEBDF7A").send().await;
    assert_eq!(start.unwrap().quota().unwrap().value(), Some(10.0));
    let mut pages = quotas.list_service_quotas().service_code("ebs").into_paginator().page_size(5).send();
    let mut names = BTreeSet::new();
    while let Some(page) = pages.next().await {
        names.extend(page.unwrap().quotas().iter().filter_map(|quota| quota.quota_name().map(str::to_owned)));
    }
    assert!(names.contains("GetSnapshotBlock requests per snapshot"), "{names:?}");
}

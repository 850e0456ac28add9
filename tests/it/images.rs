//! Machine images: AWS copies them as one, and what is made of one snapshot can be read as a disk. Each result is read
//! by somebody who is not floe.

use std::sync::Arc;

use aws_sdk_ec2::types::{Image, ImageState, SnapshotState};
use floe::engine::protocol::{Command, JobState, LeftOvers};
use floe::plan::Options;
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::sandbox::model::{Image as Held, Mapping, Share};

use crate::archives::{archived, keys};
use crate::chains::{assert_holds, behind, without_zeros};
use crate::rig::{Rig, end, row_when, start};
use crate::support::{World, disk};

/// Where the images of these tests are: an account that does not encrypt by default.
const HERE: &str = "us-west-2";
/// Another such place.
const THERE: &str = "eu-central-1";
const ONE: &str = "ami-0aaaa000000000001";
const TWO: &str = "ami-0aaaa000000000002";

fn requests(world: &World, api: &str) -> u64 {
    world.running.sandbox.counters().picture().api(api).requests
}

fn quick() -> Faults {
    Faults { copying_ms: 20, completing_ms: 0, ..Faults::default() }
}

/// An image of prod's in [`HERE`] that is made of these snapshots.
fn image(world: &World, id: &str, snapshots: &[&str], change: impl FnOnce(&mut Held)) {
    let owner = world.running.sandbox.profiles().into_iter().find(|keys| keys.name.as_str() == "prod").expect("prod");
    let devices = ["/dev/xvda", "/dev/sdf", "/dev/sdg"];
    behind(world, HERE, |region| {
        let mappings = snapshots.iter().zip(devices).map(|(snapshot, device)| Mapping {
            device: device.to_owned(),
            snapshot: Some(snapshot.parse().expect("an id")),
            size_gib: 1,
            kind: "gp3".to_owned(),
            encrypted: region.snapshots[&snapshot.parse().expect("an id")].encryption.is_some(),
            delete_on_termination: device == "/dev/xvda",
        });
        let mut image = Held {
            binned: None,
            id: id.parse().expect("an id"),
            name: format!("golden {}", snapshots.len()),
            description: "made by hand".to_owned(),
            owner: owner.account,
            state: "available".to_owned(),
            created: world.running.sandbox.now(),
            deprecated: None,
            architecture: "arm64".to_owned(),
            platform: "Linux/UNIX".to_owned(),
            root_device: "/dev/xvda".to_owned(),
            public: false,
            source_instance: None,
            last_launched: None,
            client_token: None,
            token_print: 0,
            launchers: Vec::new(),
            usage: None,
            product_codes: Vec::new(),
            mappings: mappings.collect(),
            tags: Arc::new([("Name".to_owned(), "golden".to_owned())].into()),
        };
        change(&mut image);
        region.images.insert(image.id.clone(), image);
    });
}

/// A world with an image of one snapshot and one of two.
async fn world(faults: Faults) -> (World, [String; 2]) {
    let world = World::with(faults).await;
    let disks = [disk(&world, HERE, &[(0, 7), (9, 0), (2047, 8)]).await, disk(&world, HERE, &[(3, 1)]).await];
    image(&world, ONE, &[&disks[0]], |_| {});
    image(&world, TWO, &[&disks[0], &disks[1]], |_| {});
    (world, disks)
}

fn here(id: &str) -> String {
    format!("{HERE}:{id}")
}

fn id_of(json: &serde_json::Value, at: usize) -> String {
    let address = json["destinations"][at]["address"].as_str().expect("an address");
    address.rsplit(':').next().expect("an id").to_owned()
}

async fn seen(world: &World, profile: &str, region: &str, id: &str) -> Image {
    let answer = world.ec2(profile, region).describe_images().image_ids(id).send().await.expect("described");
    answer.images()[0].clone()
}

/// Images with floe's mark, whatever became of them.
async fn marked(world: &World, region: &str) -> Vec<Image> {
    let own = world.ec2("prod", region).describe_images().owners("self").include_disabled(true);
    let own = own.send().await.expect("described");
    let ours = |image: &&Image| image.tags().iter().any(|tag| tag.key() == Some("floe:job"));
    own.images().iter().filter(ours).cloned().collect()
}

fn snapshots_of(image: &Image) -> Vec<String> {
    let of = |mapping: &aws_sdk_ec2::types::BlockDeviceMapping| mapping.ebs()?.snapshot_id().map(str::to_owned);
    image.block_device_mappings().iter().filter_map(of).collect()
}

#[track_caller]
fn says(output: &std::process::Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    words.iter().for_each(|word| assert!(said.contains(word), "must say {word:?}: {said}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_copied_by_aws_with_everything_that_makes_it_one() {
    let (world, disks) = world(quick()).await;
    behind(&world, HERE, |region| {
        let image = region.images.get_mut(&TWO.parse().expect("an id")).expect("the image");
        "Windows".clone_into(&mut image.platform);
    });
    let (source, tag) = (here(TWO), "team=db");
    let args = ["copy", &source, &format!("{THERE}:"), "eu-west-1:", "--tag", tag, "--description", "a copy", "--yes"];
    let (code, json, stderr) = world.json(&[&args[..], &["-o", "json"]].concat()).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("CopyImage") || json["destinations"][0]["strategy"] == "native", "{json}");
    assert_eq!((&json["state"], &json["destinations"][0]["evidence"]), (&"done".into(), &"service".into()));
    let origin = seen(&world, "prod", HERE, TWO).await;
    for (at, (region, encrypted)) in [(THERE, false), ("eu-west-1", true)].into_iter().enumerate() {
        let copy = seen(&world, "prod", region, &id_of(&json, at)).await;
        assert_eq!((copy.state(), copy.name()), (Some(&ImageState::Available), Some("golden 2")));
        assert_eq!((copy.platform_details(), copy.usage_operation()), (Some("Windows"), Some("RunInstances:0002")));
        assert_eq!((copy.architecture(), copy.root_device_name()), (origin.architecture(), origin.root_device_name()));
        assert_eq!(copy.description(), Some("a copy"));
        for wanted in [("Name", "golden"), ("team", "db")] {
            let has = |tag: &aws_sdk_ec2::types::Tag| (tag.key(), tag.value()) == (Some(wanted.0), Some(wanted.1));
            assert!(copy.tags().iter().any(has), "{wanted:?}: {:?}", copy.tags());
        }
        let copies = snapshots_of(&copy);
        assert_eq!(copies.len(), 2);
        for (copy, disk) in copies.iter().zip(&disks) {
            let row =
                world.ec2("prod", region).describe_snapshots().snapshot_ids(copy).send().await.expect("described");
            assert_eq!(row.snapshots()[0].encrypted(), Some(encrypted), "{region}");
            assert!(row.snapshots()[0].tags().iter().any(|tag| tag.key() == Some("floe:source")));
            assert_eq!(world.contents("prod", region, copy).await, world.contents("prod", HERE, disk).await);
        }
    }
    assert_eq!(requests(&world, "CopyImage"), 2, "asked once for each region");
    let (code, json, stderr) = world.json(&["jobs", "show", "1", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}: {json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_of_an_image_says_what_aws_would_do() {
    let (world, disks) = world(quick()).await;
    let source = here(ONE);
    let planned = world.run(&["plan", &source, &format!("{THERE}:")]).await;
    let disk = format!("its disk alone, without an image, is prod@{}", here(&disks[0]));
    says(&planned, 0, &["an image of 1 snapshot", "an image called golden 1, copied by AWS", "best effort", &disk]);
    let (_, json, _) = world.json(&["plan", &source, &format!("{THERE}:"), "-o", "json"]).await;
    assert_eq!(json["destinations"][0]["strategy"], "native");
    let names: Vec<_> = json["alternatives"].as_array().expect("ways").iter().map(|way| way["name"].clone()).collect();
    assert_eq!(names, ["native CopyImage", "native, by 15 m"]);
    let parts: Vec<_> = json["cost"]["parts"].as_array().expect("a bill").iter().map(|part| &part["name"]).collect();
    assert!(parts.iter().all(|name| !name.as_str().is_some_and(|name| name.starts_with("Get"))), "{parts:?}");
    // Three blocks of half a MiB at two cents a GiB between these regions.
    let (gib, out) = (3.0 / 2048.0, json["cost"]["parts"][0].clone());
    assert!((out["quantity"].as_f64().expect("GiB") - gib).abs() < 1e-9, "{out}");
    let asked = ["CopyImage", "CopySnapshot"].map(|api| requests(&world, api));
    assert_eq!(asked, [0, 0], "a plan asks for nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_snapshot_of_an_image_goes_everywhere() {
    let (world, disks) = world(quick()).await;
    let source = here(ONE);
    let truth = world.contents("prod", HERE, &disks[0]).await;
    let parent = disk(&world, HERE, &[(5, 5)]).await;
    let on = format!("{}+", here(&parent));
    let said = format!("{ONE} is made of one snapshot, {} at /dev/xvda", disks[0]);
    let to = ["./disk.img", "null:", "s3://floe-vault-us-east-1/amis/", &on];
    let (code, json, stderr) = world.json(&[&["copy", &source], &to[..], &["--yes", "-o", "json"]].concat()).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains(&said), "{stderr}");
    assert!(
        json["source"].as_str().is_some_and(|from| from.ends_with(&disks[0])),
        "it is that snapshot's copy: {json}"
    );
    assert_holds(&world.path("disk.img"), 1, &truth);
    let found = keys(&world, "amis/").await;
    let root = found.iter().find_map(|key| key.strip_suffix("manifest.json")).expect("a manifest");
    assert_eq!(without_zeros(&archived(&world, root).await), without_zeros(&truth));
    let made = world.contents("prod", HERE, &id_of(&json, 3)).await;
    assert_eq!(without_zeros(&made), without_zeros(&truth), "zeros where only the parent has something");
    assert_eq!(requests(&world, "CopyImage"), 0);
    // A disabled image is none for AWS; its disk is one all the same.
    behind(&world, HERE, |region| {
        let image = region.images.get_mut(&ONE.parse().expect("an id")).expect("the image");
        "disabled".clone_into(&mut image.state);
    });
    says(&world.run(&["plan", &source, "null:"]).await, 0, &["is disabled; its snapshot can be read"]);
    says(&world.run(&["plan", &source, "eu-west-1:"]).await, 5, &["is disabled", "enable-image"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_and_its_disk_are_made_in_one_job() {
    let (world, disks) = world(quick()).await;
    let truth = world.contents("prod", HERE, &disks[0]).await;
    let there = format!("{THERE}:");
    let args = ["copy", &here(ONE), &there, "disk.img", "--yes", "-o", "json"];
    let (code, json, stderr) = world.json(&args).await;
    assert_eq!(code, 0, "{stderr}");
    let ways: Vec<_> = (0..2).map(|at| json["destinations"][at]["strategy"].as_str().unwrap_or_default()).collect();
    assert_eq!(ways, ["native", "direct"]);
    assert_holds(&world.path("disk.img"), 1, &truth);
    let copy = seen(&world, "prod", THERE, &id_of(&json, 0)).await;
    assert_eq!(world.contents("prod", THERE, &snapshots_of(&copy)[0]).await, truth);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_several_snapshots_is_no_disk_and_the_command_that_works_is_told() {
    let (world, disks) = world(quick()).await;
    let source = here(TWO);
    for to in ["null:", "s3://floe-vault-us-east-1/both/"] {
        let output = world.run(&["copy", &source, to, "--yes"]).await;
        let command = format!("floe copy --each prod@{} prod@{} {to}", here(&disks[0]), here(&disks[1]));
        says(&output, 2, &["made of 2 snapshots", &format!("/dev/sdf {}", disks[1]), &command]);
    }
    let output = world.run(&["copy", &source, "out.img", "--yes"]).await;
    says(&output, 2, &[&format!("floe copy prod@{} ./out.sdf.img", here(&disks[1]))]);
    assert!(!world.path("out.img").exists());
    // What it told works.
    let (first, second) = (here(&disks[0]), here(&disks[1]));
    let args = ["copy", "--each", &first, &second, "s3://floe-vault-us-east-1/both/", "--yes"];
    says(&world.run(&args).await, 0, &[]);
    for disk in &disks {
        let root = format!("both/{disk}/");
        let truth = world.contents("prod", HERE, disk).await;
        assert_eq!(without_zeros(&archived(&world, &root).await), without_zeros(&truth));
    }
    image(&world, "ami-0aaaa000000000003", &[], |_| {});
    let none = world.run(&["copy", &here("ami-0aaaa000000000003"), "out.img", "--yes"]).await;
    says(&none, 5, &["made of no snapshot", "instance store"]);
    says(&world.run(&["plan", &here("ami-0aaaa0000000000ff"), "null:"]).await, 2, &["does not exist in us-west-2"]);
    let elsewhere = world.run(&["plan", &format!("{THERE}:{ONE}"), "null:"]).await;
    says(&elsewhere, 2, &["it is in another region", &here(ONE)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_never_rebuilt_and_what_aws_does_not_copy_is_refused() {
    let (world, disks) = world(quick()).await;
    let (source, there) = (here(ONE), format!("{THERE}:"));
    let direct = world.run(&["copy", &source, &there, "--strategy", "direct", "--yes"]).await;
    says(&direct, 2, &["CopyImage", "billed and licensed by", "leave --strategy out"]);
    says(&world.run(&["plan", &source, &there, "--verify", "full"]).await, 5, &["no block of an image passes floe"]);
    // Its own region has that name already.
    let same = format!("{HERE}:");
    says(&world.run(&["copy", &source, &same, "--yes"]).await, 5, &["called `golden 1`", ONE, "--name"]);
    says(&world.run(&["plan", &source, &there, "--name", "é"]).await, 2, &["is not a name for an image"]);
    says(&world.run(&["copy", &source, &same, "--name", "golden two", "--yes"]).await, 0, &[]);
    assert_eq!(marked(&world, HERE).await[0].name(), Some("golden two"));
    let twice = world.run(&["plan", "--each", &source, &here(TWO), &there, "--name", "same"]).await;
    says(&twice, 5, &["two images of this plan would be called `same`"]);
    // Another account: shared with it, or not; and with billing codes not at all.
    let dr = "dr@us-east-1:";
    says(&world.run(&["plan", &source, dr]).await, 5, &["does not see", "shared with it first"]);
    let account = world.running.sandbox.profiles().into_iter().find(|keys| keys.name.as_str() == "dr").expect("dr");
    let share = |platform: &str| {
        behind(&world, HERE, |region| {
            let image = region.images.get_mut(&ONE.parse().expect("an id")).expect("the image");
            image.launchers = vec![account.account.clone()];
            platform.clone_into(&mut image.platform);
            let snapshot = region.snapshots.get_mut(&disks[0].parse().expect("an id")).expect("the snapshot");
            snapshot.shared = vec![Share::Account(account.account.clone())];
        });
    };
    share("Windows");
    says(&world.run(&["copy", &source, dr, "--yes"]).await, 5, &["billing codes (Windows", "billed and licensed by"]);
    share("Linux/UNIX");
    let (code, json, stderr) = world.json(&["copy", &source, dr, "--yes", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    let copy = seen(&world, "dr", "us-east-1", &id_of(&json, 0)).await;
    assert_eq!(copy.owner_id(), Some(account.account.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_fails_later_says_why_and_leaves_nothing() {
    let (world, _) = world(Faults { rules: vec![Rule::of(Fault::FailLater).on("CopyImage")], ..quick() }).await;
    let there = format!("{THERE}:");
    let (code, json, stderr) = world.json(&["copy", &here(TWO), &there, "--yes", "-o", "json"]).await;
    assert_eq!((code, &json["state"]), (1, &"failed".into()), "{stderr}");
    for word in ["Given key ID is not accessible", "deregistered and its snapshots removed", "kms:CreateGrant"] {
        assert!(stderr.contains(word), "{word}: {stderr}");
    }
    assert!(marked(&world, THERE).await.is_empty(), "the failed image is gone");
    assert!(world.made_by_floe("prod", THERE).await.is_empty(), "and its snapshots");
    // Its name is free, and a second run of the same copy works.
    world.running.sandbox.set_faults(quick());
    says(&world.run(&["jobs", "resume", "1", "--foreground"]).await, 0, &[]);
    assert_eq!(marked(&world, THERE).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_or_unheard_copy_of_an_image_makes_no_second() {
    let there = format!("{THERE}:");
    for point in ["start-answered", "start-journaled", "checking"] {
        let (world, _) = world(quick()).await;
        let mut command = world.floe(&["copy", &here(TWO), &there, "--yes", "--foreground", "-o", "json"]);
        command.env("FLOE_CRASH_AT", point);
        let killed = tokio::task::spawn_blocking(move || command.output().expect("floe runs")).await.expect("it ends");
        assert_eq!(killed.status.code(), None, "{point}: a signal ended it");
        let (code, json, stderr) = world.json(&["jobs", "resume", "1", "--foreground", "-o", "json"]).await;
        assert_eq!((code, json["state"].as_str()), (0, Some("done")), "{point}: {stderr}");
        assert_eq!(requests(&world, "CopyImage"), 1, "{point}");
        assert_eq!(marked(&world, THERE).await.len(), 1, "{point}");
        assert_eq!(world.made_by_floe("prod", THERE).await.len(), 2, "{point}");
    }
    let lost = Rule::of(Fault::ResetAfter).on("CopyImage").times(2);
    let (world, _) = world(Faults { rules: vec![lost], ..quick() }).await;
    says(&world.run(&["copy", &here(TWO), &there, "--yes"]).await, 0, &[]);
    assert!(requests(&world, "CopyImage") >= 3, "it was asked again, with the same token");
    assert_eq!((marked(&world, THERE).await.len(), world.made_by_floe("prod", THERE).await.len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_copy_of_an_image_is_removed_or_kept_as_it_was_said() {
    let (world, _) = world(Faults { copying_ms: 600_000, completing_ms: 0, ..Faults::default() }).await;
    let rig = Rig::of(world);
    let client = rig.engine(None).await;
    let plan = rig.plan(&here(TWO), &[&format!("{THERE}:")], Options::default()).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.state == JobState::Completing && row.why.contains("AWS copies")).await;
    assert_eq!(marked(&rig.world, THERE).await.len(), 1);
    client.send(Command::Cancel(job, LeftOvers::Keep)).await.expect("told");
    let row = end(&client, job).await;
    assert_eq!((row.state, row.left_overs.len()), (JobState::Paused, 1), "{:?}", row.error);
    assert!(row.left_overs[0].to_string().starts_with("pending image"), "{}", row.left_overs[0]);
    // While it is kept, its name is taken.
    let second = rig.plan(&here(TWO), &[&format!("{THERE}:")], Options::default()).await;
    assert!(second.refusal().is_some_and(|error| error.what.contains("called `golden 2`")));
    client.send(Command::Cancel(job, LeftOvers::CleanUp)).await.expect("told");
    let row = row_when(&client, job, |row| row.state == JobState::Cancelled).await;
    assert!(row.error.is_none(), "{:?}", row.error);
    assert!(marked(&rig.world, THERE).await.is_empty(), "deregistered");
    assert!(rig.world.made_by_floe("prod", THERE).await.is_empty(), "with its snapshots");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_images_beyond_the_quota_wait_for_their_turn() {
    let limited = Fault::Refuse {
        status: 400,
        code: "ResourceLimitExceeded".into(),
        reason: None,
        message: "Too many snapshot copies in progress. The limit is 20 for this destination region.".into(),
    };
    let (world, _) = world(Faults { rules: vec![Rule::of(limited).on("CopyImage").times(1)], ..quick() }).await;
    let rig = Rig::of(world);
    let client = rig.engine(None).await;
    let plan = rig.plan(&here(ONE), &[&format!("{THERE}:")], Options::default()).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.state == JobState::Queued && row.why == "quota").await;
    client.send(Command::Pause(job)).await.ok();
    client.send(Command::Resume(job)).await.expect("resumed");
    let row = row_when(&client, job, |row| row.state == JobState::Done).await;
    assert_eq!(row.destinations[0].evidence, floe::engine::protocol::Evidence::Service);
    assert_eq!((rig.asked("CopyImage"), marked(&rig.world, THERE).await.len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_not_what_its_source_is_is_no_success() {
    let (world, _) = world(Faults { copying_ms: 2_000, completing_ms: 0, ..Faults::default() }).await;
    let there = format!("{THERE}:");
    let mut command = world.floe(&["copy", &here(TWO), &there, "--yes", "--foreground", "-o", "json"]);
    let running = tokio::task::spawn_blocking(move || command.output().expect("floe runs"));
    loop {
        let changed = behind(&world, THERE, |region| {
            let ours = region.images.values_mut().find(|image| image.tags.contains_key("floe:job"));
            ours.map(|image| "Red Hat Enterprise Linux".clone_into(&mut image.platform)).is_some()
        });
        if changed {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let output = running.await.expect("it ends");
    says(&output, 1, &["its platform details are `Red Hat Enterprise Linux` instead of `Linux/UNIX`", "do not use"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_snapshot_of_an_image_is_a_base_for_what_changes_later() {
    let (world, disks) = world(quick()).await;
    let (code, json, stderr) = world.json(&["copy", &here(TWO), "eu-west-1:", "--yes", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    let copies = snapshots_of(&seen(&world, "prod", "eu-west-1", &id_of(&json, 0)).await);
    let later = crate::chains::grown(&world, HERE, Some(&disks[1]), 1, &[(3, 2), (4, 4)]).await;
    let (delta, to) = (format!("{HERE}:{}..{later}", disks[1]), format!("eu-west-1:{}+", copies[1]));
    let (code, json, stderr) = world.json(&["copy", &delta, &to, "--yes", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("AWS copied it itself"), "{stderr}");
    let made = world.contents("prod", "eu-west-1", &id_of(&json, 0)).await;
    assert_eq!(without_zeros(&made), without_zeros(&world.contents("prod", HERE, &later).await));
    let wrong = format!("eu-west-1:{}+", copies[0]);
    says(&world.run(&["copy", &delta, &wrong, "--yes"]).await, 5, &["not proved to hold"]);
    let states = world.made_by_floe("prod", "eu-west-1").await;
    assert!(states.iter().all(|row| row.state() == Some(&SnapshotState::Completed)));
}

/// The machine of two disks that every sandbox has: a newcomer meets both answers.
#[tokio::test(flavor = "multi_thread")]
async fn the_image_of_two_disks_is_refused_as_a_file_and_copied_as_an_image() {
    const TWO: &str = "us-east-1:ami-0feed000000d15c00";
    let world = World::calm().await;
    let refused = world.run(&["plan", TWO, "./out.img"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    for words in ["made of 2 snapshots", "snap-0feed000000d15c01", "snap-0feed000000d15c02", "floe copy", ".img"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (code, json, stderr) = world.json(&["copy", TWO, "eu-west-1:", "--yes", "--foreground", "-o", "json"]).await;
    assert_eq!((code, json["state"].as_str()), (0, Some("done")), "{stderr}");
    let address = json["destinations"][0]["address"].as_str().expect("an address");
    let id = address.rsplit(':').next().expect("an id");
    let ec2 = world.ec2("prod", "eu-west-1");
    let made = ec2.describe_images().image_ids(id).send().await.expect("the image");
    assert_eq!(made.images()[0].block_device_mappings().len(), 2);
}

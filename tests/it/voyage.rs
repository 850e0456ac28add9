//! The first voyage: the real binary against the sandbox, its results read by somebody else.

use std::sync::Arc;

use floe::sandbox::faults::{Fault, Faults, Limit, LimitOf, Rotation, Rule};

use crate::support::{Contents, WEB_DATA, World, assert_image, disk, sha256};

fn id_of(destination: &serde_json::Value) -> String {
    let address = destination["address"].as_str().expect("an address");
    address.rsplit(':').next().expect("an id").to_owned()
}

/// GetSnapshotBlock requests that the sandbox has seen.
fn gets(world: &World) -> u64 {
    world.running.sandbox.counters().picture().api("GetSnapshotBlock").requests
}

/// What a copy of WEB_DATA must equal.
async fn truth(world: &World) -> Contents {
    world.contents("prod", "us-east-1", WEB_DATA).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_read_makes_a_snapshot_and_a_file() {
    let world = World::calm().await;
    let before = gets(&world);
    let image = world.path("copy.img");
    let source = format!("us-east-1:{WEB_DATA}");
    let args = ["copy", &source, "eu-west-1:", &image.display().to_string(), "--yes", "-o", "json"];
    let (code, json, stderr) = world.json(&args).await;
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(json["state"], "done");
    let gets = gets(&world) - before;
    let blocks = json["blocks"].as_u64().expect("blocks");

    let truth = truth(&world).await;
    assert_eq!(blocks, truth.len() as u64);
    assert!(gets <= blocks + 2, "read once: {gets} Gets for {blocks} blocks (one more for the canary)");
    let copied = world.contents("prod", "eu-west-1", &id_of(&json["destinations"][0])).await;
    assert!(copied == truth, "the new snapshot equals the source");
    assert_image(&image, 1, &truth);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_goes_up_to_another_account_and_comes_back_the_same() {
    let world = World::calm().await;
    let image = world.path("up.img");
    let mut bytes = vec![0u8; 3 * 524_288 + 1000];
    bytes.iter_mut().enumerate().filter(|(at, _)| at % 7 == 0).for_each(|(at, byte)| *byte = at.to_le_bytes()[1]);
    std::fs::write(&image, &bytes).expect("an image");
    let (code, json, stderr) =
        world.json(&["copy", &image.display().to_string(), "dr@eu-west-1:", "--yes", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    let id = id_of(&json["destinations"][0]);
    let copied = world.contents("dr", "eu-west-1", &id).await;
    bytes.resize(4 * 524_288, 0);
    let wanted: Contents = (0..).zip(bytes.chunks(524_288).map(sha256)).collect();
    assert_eq!(copied, wanted, "a short last block is padded with zeros");
}

/// A block of a file gives its memory back once it is sent: whoever sends it again has read it again.
#[tokio::test(flavor = "multi_thread")]
async fn blocks_of_a_file_that_are_sent_again_are_the_same_blocks() {
    let failing = |fault| Rule { chance: 0.15, ..Rule::of(fault).on("PutSnapshotBlock") };
    let faults = [Fault::ResetBefore, Fault::ResetAfter, Fault::InternalError].map(failing);
    let world = World::with(Faults { seed: 7, rules: faults.into(), ..Faults::default() }).await;
    let image = world.path("up.img");
    let block = |index: u64| (0..524_288u64).map(move |at| (at / 7 + index * 31).to_le_bytes()[0]);
    let bytes: Vec<u8> = (0..48).flat_map(block).collect();
    std::fs::write(&image, &bytes).expect("an image");
    let (code, json, stderr) =
        world.json(&["copy", &image.display().to_string(), "eu-west-1:", "--yes", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(json["retries"].as_u64() > Some(5), "{json}");
    world.running.sandbox.set_faults(Faults::default());
    let copied = world.contents("prod", "eu-west-1", &id_of(&json["destinations"][0])).await;
    let wanted: Contents = (0..).zip(bytes.chunks(524_288).map(sha256)).collect();
    assert!(copied == wanted, "the snapshot is the image");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_any_name_goes_up_and_its_snapshot_can_be_described() {
    let world = World::calm().await;
    let image = world.path("a\nname\u{1b}[31m of <any> & \"kind\".img");
    std::fs::write(&image, [7; 100]).expect("an image");
    let (code, json, stderr) =
        world.json(&["copy", &image.display().to_string(), "eu-west-1:", "--yes", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    let id = id_of(&json["destinations"][0]);
    let made = world.made_by_floe("prod", "eu-west-1").await;
    let snapshot = made.iter().find(|snapshot| snapshot.snapshot_id() == Some(id.as_str())).expect("it is described");
    let source = snapshot.tags().iter().find(|tag| tag.key() == Some("floe:source")).and_then(|tag| tag.value());
    for text in [snapshot.description(), source] {
        let text = text.expect("a text");
        assert!(text.contains("a?name?[31m of <any> & \"kind\".img"), "{text:?}");
    }
}

/// One copy while one percent of all requests fails, in every way it can. Whether it ended right.
async fn in_a_storm(seed: u64, truth: Arc<Contents>) -> bool {
    let world = World::with(Faults { seed, rules: Faults::storm(None, 0.01), ..Faults::default() }).await;
    let source = format!("us-east-1:{WEB_DATA}");
    let (code, json, stderr) = world.json(&["copy", &source, "eu-west-1:", "--yes", "-o", "json"]).await;
    world.running.sandbox.set_faults(Faults::default());
    if code == 0 {
        let copied = world.contents("prod", "eu-west-1", &id_of(&json["destinations"][0])).await;
        assert!(copied == *truth, "seed {seed}: identical bytes");
        return true;
    }
    assert_eq!(code, 1, "seed {seed}: {stderr}");
    let completed = aws_sdk_ec2::types::SnapshotState::Completed;
    let made = world.made_by_floe("prod", "eu-west-1").await;
    let whole = made.iter().filter(|snapshot| snapshot.state() == Some(&completed)).count();
    assert_eq!(whole, 0, "seed {seed}: nothing is completed that is not whole");
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_storms_end_right_or_not_at_all() {
    let mut right = 0;
    let truth = Arc::new(truth(&World::calm().await).await);
    // A few at a time: most of a run is waiting for requests that are never answered.
    for seeds in (1..=20).collect::<Vec<u64>>().chunks(5) {
        let runs: Vec<_> = seeds.iter().map(|seed| tokio::spawn(in_a_storm(*seed, Arc::clone(&truth)))).collect();
        for run in runs {
            right += u32::from(run.await.expect("a run"));
        }
    }
    assert!(right >= 19, "{right} of 20 ended right");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_rotate_cost_a_fifth_more_at_most() {
    for rotate in [Rotation::Listing, Rotation::Page] {
        let world = World::with(Faults { rotate, ..Faults::default() }).await;
        let before = gets(&world);
        let source = format!("us-east-1:{WEB_DATA}");
        let (code, json, stderr) = world.json(&["copy", &source, "eu-west-1:", "--yes", "-o", "json"]).await;
        assert_eq!(code, 0, "{stderr}");
        let gets = gets(&world) - before;
        world.running.sandbox.set_faults(Faults::default());
        let truth = truth(&world).await;
        assert!(gets * 5 <= truth.len() as u64 * 6, "{rotate:?}: {gets} Gets for {} blocks", truth.len());
        assert!(world.contents("prod", "eu-west-1", &id_of(&json["destinations"][0])).await == truth);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_profile_is_not_what_the_environment_says() {
    let world = World::calm().await;
    let prod = world.running.sandbox.profiles().into_iter().find(|p| p.name.as_str() == "prod").expect("prod");
    let dr = world.running.sandbox.profiles().into_iter().find(|p| p.name.as_str() == "dr").expect("dr");
    let with_keys = |args: &[&str]| {
        let mut command = world.floe(args);
        command
            .env_remove("AWS_PROFILE")
            .env("AWS_ACCESS_KEY_ID", &prod.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &prod.secret)
            .env("AWS_REGION", "us-east-1");
        tokio::task::spawn_blocking(move || command.output().expect("floe runs"))
    };
    let listed = with_keys(&["ls", "snapshots", "--profile", "dr", "-o", "json"]).await.expect("ls");
    let rows: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("json");
    let rows = rows.as_array().expect("an array");
    assert!(!rows.is_empty(), "{}", String::from_utf8_lossy(&listed.stderr));
    let text = serde_json::to_string(rows).expect("text");
    assert!(text.contains(dr.account.as_str()) && !text.contains(prod.account.as_str()), "account B, not A");

    let own = rows[0]["id"].as_str().expect("an id");
    let region = rows[0]["region"].as_str().expect("a region");
    for verb in ["size", "plan"] {
        let address = format!("dr@{region}:{own}");
        let args = if verb == "size" { vec![verb, &address] } else { vec![verb, &address, "null:"] };
        let output = with_keys(&args).await.expect("runs");
        assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_paced_to_and_not_hammered() {
    let api = "GetSnapshotBlock".to_owned();
    let limit = Limit { api, of: LimitOf::Snapshot, per_second: 400.0, burst: None };
    let world = World::with(Faults { limits: vec![limit], ..Faults::default() }).await;
    // Long enough that finding the limit, which costs some 130 throttles whatever follows, is not all that is seen.
    let blocks: Vec<(i32, u8)> =
        (0..2000).map(|index| (index, u8::try_from(index % 250).expect("small") + 1)).collect();
    let source = format!("us-east-1:{}", disk(&world, "us-east-1", &blocks).await);
    let (code, json, stderr) = world.json(&["copy", &source, "null:", "--yes", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    let (blocks, throttles) =
        (json["blocks"].as_u64().expect("blocks"), json["throttles"].as_u64().expect("throttles"));
    assert!(throttles * 10 <= blocks, "{throttles} throttles for {blocks} blocks");
}

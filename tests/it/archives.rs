//! Archives in S3: written from any source, read back to any destination, and never believed without a look.
//! What was written is read by the SDK's client and the zstd crate, not by floe.

use std::collections::BTreeMap;

use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::primitives::ByteStream;
use floe::engine::protocol::{Command, DestinationState, JobState, LeftOvers};
use floe::plan::{Level, Options, SourceKind, Verify};
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::units::Bytes;

use crate::rig::{Rig, SMALL, at_rest, end, engine, only, row_when, rule, start};
use crate::support::{BLOCK, Contents, World, assert_image, disk, sha256};

pub const BUCKET: &str = "floe-vault-us-east-1";
pub const VAULT: &str = "s3://floe-vault-us-east-1/ebs/";
pub const ARCHIVE: &str = "s3://floe-vault-us-east-1/ebs/snap-0feed000000b00701/";
pub const ROOT: &str = "ebs/snap-0feed000000b00701/";

pub fn s3(world: &World) -> aws_sdk_s3::Client {
    let keys = world.running.sandbox.profiles().into_iter().find(|keys| keys.name.as_str() == "prod").expect("prod");
    let credentials =
        aws_credential_types::Credentials::new(keys.access_key_id, keys.secret, keys.session_token, None, "test");
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(world.running.url())
        .force_path_style(true)
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

pub async fn keys(world: &World, prefix: &str) -> Vec<String> {
    let listed = s3(world).list_objects_v2().bucket(BUCKET).prefix(prefix).send().await.expect("a listing");
    listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
}

/// The bytes of everything that begins so.
pub async fn stored(world: &World, prefix: &str) -> u64 {
    let listed = s3(world).list_objects_v2().bucket(BUCKET).prefix(prefix).send().await.expect("a listing");
    listed.contents().iter().filter_map(|object| u64::try_from(object.size()?).ok()).sum()
}

pub async fn bytes_of(world: &World, key: &str) -> Vec<u8> {
    let got = s3(world).get_object().bucket(BUCKET).key(key).send().await.expect("an object");
    got.body.collect().await.expect("its body").into_bytes().to_vec()
}

pub async fn replace(world: &World, key: &str, bytes: Vec<u8>) {
    let put = s3(world).put_object().bucket(BUCKET).key(key).body(ByteStream::from(bytes));
    put.send().await.expect("written");
}

pub async fn segments(world: &World, root: &str) -> Vec<String> {
    let all = keys(world, root).await;
    all.into_iter().filter(|key| key.ends_with(".zst") && !key.ends_with("index.zst")).collect()
}

/// What is in an archive, by somebody who knows only zstd and the layout of the header.
pub async fn archived(world: &World, root: &str) -> Contents {
    let mut contents = Contents::new();
    for key in segments(world, root).await {
        let bytes = bytes_of(world, &key).await;
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let count = word(16) as usize;
        let data = zstd::stream::decode_all(&bytes[..]).expect("any decoder reads it");
        assert_eq!(data.len(), count * BLOCK, "{key}");
        for nth in 0..count {
            let digest = sha256(&data[nth * BLOCK..(nth + 1) * BLOCK]);
            assert!(contents.insert(word(20 + nth * 40), digest).is_none(), "a block is in one object");
        }
    }
    contents
}

pub async fn archive(rig: &Rig, source: &str, options: Options) {
    let client = rig.engine(None).await;
    let plan = rig.plan(source, &[VAULT], options).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    client.send(Command::Shutdown).await.expect("it ends");
}

/// A snapshot of so many blocks, each of its own number.
pub async fn numbered(rig: &Rig, count: i32) -> String {
    let blocks: Vec<(i32, u8)> =
        (0..count).map(|index| (index, u8::try_from(index % 250).expect("small") + 1)).collect();
    disk(&rig.world, "us-east-1", &blocks).await
}

async fn small(rig: &Rig) -> Contents {
    rig.world.contents("prod", "us-east-1", "snap-0feed000000b00701").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_becomes_an_archive_that_any_decoder_reads() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let plan = rig.plan(SMALL, &[VAULT], Options { verify: Verify::Full, ..Options::default() }).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_eq!(row.destinations[0].state, DestinationState::Completed);
    assert_eq!(archived(&rig.world, ROOT).await, small(&rig).await);
    let manifest: serde_json::Value =
        serde_json::from_slice(&bytes_of(&rig.world, &format!("{ROOT}manifest.json")).await).expect("JSON");
    assert_eq!((manifest["version"].as_u64(), manifest["blocks"].as_u64()), (Some(1), Some(64)));
    let run = manifest["index"]["run"].as_str().expect("a run");
    let index = bytes_of(&rig.world, &format!("{ROOT}{run}/index.zst")).await;
    let sum: [u8; 32] = sha256(&index);
    assert_eq!(manifest["index"]["sha256"].as_str(), Some(floe::units::Digest(sum).base64().as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_read_back_to_a_file_a_snapshot_and_another_archive_in_one_read() {
    let rig = Rig::calm().await;
    archive(&rig, SMALL, Options::default()).await;
    let client = rig.engine(None).await;
    let image = rig.world.path("back.img");
    let to = ["eu-west-1:", image.to_str().expect("text"), "s3://floe-vault-eu-west-1/again/", "null:"];
    let plan = rig.plan(ARCHIVE, &to, Options::default()).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let truth = small(&rig).await;
    assert_image(&image, 1, &truth);
    assert!(rig.copied(&row, 0).await == truth);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_file_becomes_an_archive_and_comes_back_byte_for_byte() {
    use std::os::unix::fs::FileExt as _;
    let rig = Rig::calm().await;
    let image = rig.world.path("disk.img");
    let file = std::fs::File::create(&image).expect("an image");
    file.set_len(20 * BLOCK as u64 + 77).expect("its length");
    file.write_all_at(b"first", 0).expect("data");
    file.write_all_at(&vec![9; BLOCK + 5], 7 * BLOCK as u64 - 3).expect("data");
    file.write_all_at(b"tail", 20 * BLOCK as u64 + 73).expect("data");
    archive(&rig, image.to_str().expect("text"), Options::default()).await;
    let found = keys(&rig.world, "ebs/disk.img-").await;
    let root = found.iter().find_map(|key| key.strip_suffix("manifest.json")).expect("a manifest");
    let client = rig.engine(None).await;
    let back = rig.world.path("back.img");
    let from = format!("s3://{BUCKET}/{root}");
    let plan = rig.plan(&from, &[back.to_str().expect("text")], Options::default()).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert!(std::fs::read(&image).expect("the image") == std::fs::read(&back).expect("the copy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_exists_is_refused_before_anything_is_put() {
    let rig = Rig::calm().await;
    archive(&rig, SMALL, Options::default()).await;
    let puts = || rig.world.running.sandbox.counters().picture().api("PutObject").requests;
    let before = puts();
    let (code, _, stderr) = rig.world.json(&["copy", SMALL, VAULT, "--yes", "--foreground", "-o", "json"]).await;
    assert_eq!(code, 5, "{stderr}");
    assert!(stderr.contains("never overwritten"), "{stderr}");
    assert_eq!(puts(), before);
}

/// A manifest that comes between a plan and its commit: If-None-Match says so.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_somebody_commits_meanwhile_is_not_replaced() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let plan = rig.plan(SMALL, &[VAULT], Options::default()).await;
    replace(&rig.world, &format!("{ROOT}manifest.json"), b"{\"version\": 1}".to_vec()).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Failed);
    assert_eq!(bytes_of(&rig.world, &format!("{ROOT}manifest.json")).await, b"{\"version\": 1}");
    assert!(segments(&rig.world, ROOT).await.is_empty(), "refused before the first put");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_segment_is_told_by_range_and_restored_over_only_when_that_was_said() {
    let rig = Rig::calm().await;
    archive(&rig, SMALL, Options { concurrency: Some(16), ..Options::default() }).await;
    let gone = segments(&rig.world, ROOT).await.remove(1);
    let bytes = bytes_of(&rig.world, &gone).await;
    let count = u32::from_le_bytes(bytes[16..20].try_into().expect("four bytes")) as usize;
    let lost: Vec<u32> = (0..count)
        .map(|nth| u32::from_le_bytes(bytes[20 + nth * 40..24 + nth * 40].try_into().expect("four bytes")))
        .collect();
    s3(&rig.world).delete_object().bucket(BUCKET).key(&gone).send().await.expect("deleted");
    let image = rig.world.path("back.img");
    let to = [image.to_str().expect("text")];
    let plan = rig.plan(ARCHIVE, &to, Options::default()).await;
    let refusal = plan.refusal().expect("refused");
    assert!(refusal.what.contains(&format!("{count} of 64 blocks")), "{refusal}");
    assert!(refusal.what.contains(&lost[0].to_string()), "{refusal}");
    assert_eq!(refusal.kind.exit_code(), 5);

    let plan = rig.plan(ARCHIVE, &to, Options { allow_gaps: true, ..Options::default() }).await;
    assert!(plan.findings.iter().any(|finding| finding.level == Level::Warning && finding.text.contains("missing")));
    let client = rig.engine(None).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let mut truth = small(&rig).await;
    truth.retain(|index, _| !lost.contains(index));
    assert_image(&image, 1, &truth);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_wherever_it_is() {
    let rig = Rig::calm().await;
    archive(&rig, SMALL, Options::default()).await;
    let segment = segments(&rig.world, ROOT).await.remove(0);
    let good = bytes_of(&rig.world, &segment).await;
    // In the middle of a frame, its length unchanged: only reading it finds it.
    let mut bad = good.clone();
    let middle = bad.len() - 100;
    bad[middle] ^= 1;
    replace(&rig.world, &segment, bad).await;
    let (code, _, stderr) = rig.world.json(&["verify", SMALL, ARCHIVE, "-o", "json"]).await;
    assert_eq!(code, 1, "{stderr}");
    // Cut off: its length says so, before anything is restored.
    replace(&rig.world, &segment, good[..good.len() - 1].to_vec()).await;
    let plan = rig.plan(ARCHIVE, &["null:"], Options::default()).await;
    assert!(plan.refusal().is_some_and(|refusal| refusal.what.contains("missing")));
    replace(&rig.world, &segment, good).await;
    // The index: the manifest knows its digest.
    let index = keys(&rig.world, ROOT).await.into_iter().find(|key| key.ends_with("index.zst")).expect("an index");
    let mut bytes = bytes_of(&rig.world, &index).await;
    bytes[40] ^= 1;
    replace(&rig.world, &index, bytes).await;
    let (code, _, stderr) = rig.world.json(&["plan", ARCHIVE, "null:", "-o", "json"]).await;
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("SHA-256 is not the manifest's"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_that_holds_several_archives_is_none_of_them() {
    let rig = Rig::calm().await;
    archive(&rig, SMALL, Options::default()).await;
    let other = disk(&rig.world, "us-east-1", &[(0, 1), (9, 2)]).await;
    archive(&rig, &format!("us-east-1:{other}"), Options::default()).await;
    let (code, _, stderr) = rig.world.json(&["plan", VAULT, "null:"]).await;
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains(ARCHIVE), "{stderr}");
    let output = rig.world.run(&["ls", "archives", VAULT, "-o", "json"]).await;
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let of = |id: &str| rows.as_array().expect("rows").iter().find(|row| row["id"] == id).cloned().expect("a row");
    assert_eq!(of("snap-0feed000000b00701")["blocks"], 64);
    assert_eq!((&of(&other)["blocks"], &of(&other)["kind"]), (&2.into(), &"whole".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_equals_the_snapshot_that_it_was_made_of() {
    let rig = Rig::calm().await;
    archive(&rig, SMALL, Options::default()).await;
    let (code, json, stderr) = rig.world.json(&["verify", ARCHIVE, SMALL, "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr} {json}");
    let other = disk(&rig.world, "us-east-1", &[(0, 1), (9, 2)]).await;
    let (code, ..) = rig.world.json(&["verify", ARCHIVE, &format!("us-east-1:{other}"), "-o", "json"]).await;
    assert_eq!(code, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_over_s3_costs_requests_and_no_block() {
    let storm = [Fault::InternalError, Fault::Unavailable, Fault::ResetBefore, Fault::ResetAfter];
    let rules = storm
        .into_iter()
        .flat_map(|fault| ["PutObject", "GetObject", "ListObjectsV2"].map(|api| only(api, rule(fault.clone(), 0.04))));
    let rig = Rig::with(Faults { seed: 7, rules: rules.collect(), ..Faults::default() }).await;
    let client = rig.engine(None).await;
    let options = Options { concurrency: Some(24), verify: Verify::Full, ..Options::default() };
    let plan = rig.plan(SMALL, &[VAULT], options).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    rig.heal();
    assert_eq!(archived(&rig.world, ROOT).await, small(&rig).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_was_interrupted_goes_on_and_sends_nothing_twice() {
    // Every put of an object takes its time, so that the pause comes in the middle.
    let slow = only("GetSnapshotBlock", rule(Fault::Delay { ms: 80, jitter: 0 }, 1.0));
    let rig = Rig::with(Faults { rules: vec![slow], ..Faults::default() }).await;
    let id = numbered(&rig, 200).await;
    let client = rig.engine(None).await;
    let plan =
        rig.plan(&format!("us-east-1:{id}"), &[VAULT], Options { concurrency: Some(16), ..Options::default() }).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.blocks_done.0 > 40).await;
    client.send(Command::Pause(job)).await.expect("paused");
    let paused = row_when(&client, job, at_rest).await;
    assert_eq!(paused.state, JobState::Paused, "{:?}", paused.error);
    client.send(Command::Shutdown).await.expect("it ends");
    drop(client);
    rig.heal();
    let before = segments(&rig.world, "ebs/").await;
    assert!(!before.is_empty());
    let client = crate::rig::retry_start(&rig.state, &rig.aws).await;
    client.send(Command::Resume(job)).await.expect("resumed");
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let root = format!("ebs/{id}/");
    let after = segments(&rig.world, &root).await;
    assert!(before.iter().all(|key| after.contains(key)), "what was acknowledged stays where it is");
    let truth = rig.world.contents("prod", "us-east-1", &id).await;
    // Blocks that are in two objects were sent twice: at most what was in flight, and the unsynced second.
    let mut seen: BTreeMap<u32, u32> = BTreeMap::new();
    for key in &after {
        let bytes = bytes_of(&rig.world, key).await;
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        (0..word(16) as usize).for_each(|nth| *seen.entry(word(20 + nth * 40)).or_default() += 1);
    }
    assert_eq!(seen.len(), truth.len());
    assert!(seen.values().filter(|times| **times > 1).count() <= 32, "{:?}", seen.values().filter(|t| **t > 1).count());
    let image = rig.world.path("back.img");
    let from = format!("s3://{BUCKET}/{root}");
    let plan = rig.plan(&from, &[image.to_str().expect("text")], Options::default()).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_image(&image, 1, &truth);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_archive_that_is_cleaned_up_leaves_nothing() {
    let slow = only("GetSnapshotBlock", rule(Fault::Delay { ms: 200, jitter: 0 }, 1.0));
    let rig = Rig::with(Faults { rules: vec![slow], ..Faults::default() }).await;
    let id = numbered(&rig, 150).await;
    let client = rig.engine(None).await;
    replace(&rig.world, "ebs/other.txt", b"somebody else's".to_vec()).await;
    let plan =
        rig.plan(&format!("us-east-1:{id}"), &[VAULT], Options { concurrency: Some(16), ..Options::default() }).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.blocks_done.0 > 8).await;
    client.send(Command::Cancel(job, LeftOvers::CleanUp)).await.expect("cancelled");
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Cancelled, "{:?}", row.error);
    assert_eq!(
        keys(&rig.world, "").await.into_iter().filter(|key| key.starts_with("ebs/")).collect::<Vec<_>>(),
        ["ebs/other.txt"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_goes_on_with_smaller_objects_when_its_budget_is_cut() {
    let slow = only("GetSnapshotBlock", rule(Fault::Delay { ms: 500, jitter: 0 }, 1.0));
    let rig = Rig::with(Faults { rules: vec![slow], ..Faults::default() }).await;
    let id = numbered(&rig, 480).await;
    let client = engine(&rig.state, &rig.aws, Some(Bytes::mib(128))).await.expect("an engine");
    let source = format!("us-east-1:{id}");
    let options = Options { concurrency: Some(40), ..Options::default() };
    let plan = rig.plan_within(&source, &[VAULT], options, Some(Bytes::mib(128))).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.blocks_done.0 > 20).await;
    client.send(Command::Memory(Bytes::mib(12))).await.expect("cut");
    let cut = row_when(&client, job, |row| row.lanes.target < 20).await;
    rig.heal();
    // What the old budget holds at most was perhaps gathered before the cut.
    let after = u32::try_from(cut.blocks_done.0 + Bytes::mib(128).0 / BLOCK as u64).expect("a few");
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let root = format!("ebs/{id}/");
    let contents = archived(&rig.world, &root).await;
    assert_eq!(contents, rig.world.contents("prod", "us-east-1", &id).await);
    // One cursor lists for an archive, so what is behind was written after the cut.
    let mut counts = BTreeMap::new();
    for key in segments(&rig.world, &root).await {
        let bytes = bytes_of(&rig.world, &key).await;
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        counts.insert(word(20), word(16));
    }
    let most = |range: std::ops::Range<u32>| counts.range(range).map(|(_, count)| *count).max().unwrap_or_default();
    let lanes = cut.lanes.target;
    assert!(
        lanes < 10 && most(0..20) == 10 && after < 480 && most(after..u32::MAX) <= lanes,
        "blocks by the first of each object, from {after} on after the cut to {lanes} lanes: {counts:?}"
    );
}

/// Who waits for a login has nothing of the memory, and its sheet says so.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_waits_keeps_no_buffers() {
    let code = "ExpiredTokenException".to_owned();
    let expired = Fault::Refuse { status: 400, code, reason: None, message: "the token has expired".to_owned() };
    let ended = Rule { skip: 400, ..only("GetSnapshotBlock", rule(expired, 1.0)) };
    let slow = only("GetSnapshotBlock", rule(Fault::Delay { ms: 20, jitter: 20 }, 1.0));
    let rig = Rig::with(Faults { rules: vec![slow, ended], ..Faults::default() }).await;
    let source = format!("us-east-1:{}", numbered(&rig, 600).await);
    let client = rig.engine(None).await;
    let plan = rig.plan(&source, &[VAULT], Options::default()).await;
    let job = start(&client, &plan).await;
    let row = row_when(&client, job, |row| row.holds.idle > Bytes::ZERO || at_rest(row)).await;
    assert_eq!(row.state, JobState::Running, "{:?}", row.error);
    let row = row_when(&client, job, |row| row.state == JobState::Waiting || at_rest(row)).await;
    assert_eq!((row.state, row.why.as_str()), (JobState::Waiting, "login prod"), "{:?}", row.error);
    assert_eq!(row.holds.idle, Bytes::ZERO);
    rig.heal();
    client.send(Command::Keys).await.expect("fresh ones");
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
}

/// What writes an archive and what keeps its ledger know each other: neither keeps a runtime from ending.
#[test]
fn an_engine_that_is_dropped_with_an_archive_under_way_leaves_no_thread() {
    let (over, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let slow = only("GetSnapshotBlock", rule(Fault::Delay { ms: 300, jitter: 0 }, 1.0));
            let rig = Rig::with(Faults { rules: vec![slow], ..Faults::default() }).await;
            let source = format!("us-east-1:{}", numbered(&rig, 600).await);
            let client = rig.engine(None).await;
            let plan = rig.plan(&source, &[VAULT], Options::default()).await;
            let job = start(&client, &plan).await;
            let row = row_when(&client, job, |row| row.blocks_done.0 > 0 || at_rest(row)).await;
            assert_eq!(row.state, JobState::Running, "{:?}", row.error);
        });
        drop(runtime);
        over.send(()).expect("somebody waits");
    });
    ended.recv_timeout(std::time::Duration::from_secs(120)).expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_s3_is_paced_to_and_loses_nothing() {
    let throttle = Rule { times: Some(6), ..only("PutObject", rule(Fault::ThrottleAccount, 0.5)) };
    let rig = Rig::with(Faults { seed: 3, rules: vec![throttle], ..Faults::default() }).await;
    let client = rig.engine(None).await;
    let plan = rig.plan(SMALL, &[VAULT], Options { concurrency: Some(8), ..Options::default() }).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert!(row.troubles.throttles() >= 1, "{:?}", row.troubles);
    assert_eq!(archived(&rig.world, ROOT).await, small(&rig).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_an_encrypted_snapshot_comes_back_encrypted() {
    let rig = Rig::calm().await;
    let plan = rig.plan(SMALL, &[VAULT], Options::default()).await;
    let warned = plan.findings.iter().any(|found| found.level == Level::Warning && found.text.contains("encrypted"));
    assert!(warned, "{:?}", plan.findings);
    archive(&rig, SMALL, Options::default()).await;
    let client = rig.engine(None).await;
    // There, encryption by default is off.
    let plan = rig.plan(ARCHIVE, &["us-west-2:"], Options::default()).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let made = rig.world.made_by_floe("prod", "us-west-2").await;
    assert!(made.iter().all(|snapshot| snapshot.encrypted() == Some(true)));
    assert_eq!(made.len(), 1);
}

/// A folder as flexible-snapshot-proxy 1.x writes it: runs of adjacent blocks (the first of each, and how many), one frame
/// each, everything in the name.
pub async fn of_another_tool(world: &World, folder: &str, runs: &[(u32, u32)]) -> Contents {
    let mut truth = Contents::new();
    for (first, count) in runs {
        let blocks: Vec<u8> = (*first..first + count)
            .flat_map(|index| vec![u8::try_from(index % 200).expect("small") + 1; BLOCK])
            .collect();
        for (index, block) in (*first..).zip(blocks.chunks(BLOCK)) {
            truth.insert(index, sha256(block));
        }
        let digest = base64_simd::URL_SAFE.encode_to_string(sha256(&blocks));
        let frame = zstd::bulk::compress(&blocks, 1).expect("compressed");
        replace(world, &format!("{folder}{first}.{digest}.{count}.zstd"), frame).await;
    }
    truth
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_another_tool_is_read_and_its_gaps_are_told() {
    let rig = Rig::calm().await;
    let folder = "fsp/snap-0abc1234.1/";
    let truth = of_another_tool(&rig.world, folder, &[(0, 3), (64, 2), (1000, 1)]).await;
    let from = format!("s3://{BUCKET}/{folder}");
    let image = rig.world.path("back.img");
    let to = [image.to_str().expect("text")];
    let plan = rig.plan(&from, &to, Options::default()).await;
    let refusal = plan.refusal().expect("refused");
    assert!(refusal.what.contains("3-63, 66-999, 1001-2047"), "{refusal}");
    let client = rig.engine(None).await;
    let plan = rig.plan(&from, &to, Options { allow_gaps: true, ..Options::default() }).await;
    // Two segments are unpacked at a time, and every name is kept, twice while their list grows: as the plan says.
    let SourceKind::Fsp { segments, largest, .. } = &plan.items[0].source.kind else { panic!("another source") };
    assert_eq!(*segments, 3);
    let kept = plan.memory.parts.iter().find(|part| part.name == "compression").expect("a part of the memory");
    assert_eq!(kept.bytes.0, 2 * largest.0 + 3 * 88);
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_image(&image, 1, &truth);

    // A name that it does not know is named, not left out.
    replace(&rig.world, &format!("{folder}notes.txt"), b"?".to_vec()).await;
    let (code, _, stderr) = rig.world.json(&["plan", &from, "null:", "--allow-gaps"]).await;
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("notes.txt"), "{stderr}");
}

/// A raw image in S3 becomes a snapshot; one that is replaced meanwhile, or is no raw image, does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_raw_image_in_s3_becomes_a_snapshot_and_stays_the_one_that_was_planned() {
    let rig = Rig::calm().await;
    let mut image: Vec<u8> = (0..20u8).flat_map(|block| vec![block + 1; BLOCK]).collect();
    image.extend_from_slice(&[7; 77]);
    replace(&rig.world, "images/mine.raw", image.clone()).await;
    let from = format!("s3://{BUCKET}/images/mine.raw");
    let client = rig.engine(None).await;
    let back = rig.world.path("back.raw");
    let plan = rig.plan(&from, &["eu-west-1:", back.to_str().expect("text")], Options::default()).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert!(std::fs::read(&back).expect("the copy") == image);
    image.resize(21 * BLOCK, 0);
    let truth: Contents = (0u32..).zip(image.chunks(BLOCK).map(sha256)).collect();
    assert!(rig.copied(&row, 0).await == truth);

    let plan = rig.plan(&from, &["null:"], Options::default()).await;
    replace(&rig.world, "images/mine.raw", vec![9; 21 * BLOCK]).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Failed);
    assert!(row.error.is_some_and(|error| error.what.contains("replaced")));

    replace(&rig.world, "images/not.raw", b"QFI\xfb and the rest".to_vec()).await;
    let (code, _, stderr) = rig.world.json(&["plan", &format!("s3://{BUCKET}/images/not.raw"), "null:"]).await;
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("qcow2"), "{stderr}");
}

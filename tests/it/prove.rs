//! `--verify full`: what was made is read back against the ledger, by lanes, within what the job has; it is seen how
//! far that is, and a resume goes on from there.

use std::path::Path;

use floe::bandwidth::Bandwidth;
use floe::engine::protocol::{Command, DestinationState, Evidence, JobState, JobStatus, Lanes};
use floe::plan::{Options, Verify};
use floe::sandbox::faults::{Fault, Faults, Rotation, Rule};
use floe::units::{Blocks, Bytes};

use crate::rig::{Rig, SMALL, at_rest, end, row_when, start};
use crate::support::{BLOCK, World, sha256};

fn full() -> Options {
    Options { verify: Verify::Full, ..Options::default() }
}

fn hex(bytes: &[u8]) -> String {
    sha256(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 40 blocks and an end of an odd length; the middle is a hole.
fn odd_image(path: &Path) -> Vec<u8> {
    use std::os::unix::fs::FileExt as _;
    let mut bytes = vec![0; 40 * BLOCK + 1_001];
    for (at, byte) in bytes.iter_mut().enumerate().filter(|(at, _)| !(5 * BLOCK..30 * BLOCK).contains(at)) {
        *byte = (at / 7).to_le_bytes()[0] | 1;
    }
    let file = std::fs::File::create(path).expect("an image");
    file.write_all_at(&bytes[..5 * BLOCK], 0).expect("its begin");
    file.write_all_at(&bytes[30 * BLOCK..], 30 * BLOCK as u64).expect("its end");
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_read_back_in_full_has_the_sum_that_sha256sum_says() {
    let world = World::calm().await;
    let bytes = odd_image(&world.path("odd.img"));
    let copy = world.path("copy.img").display().to_string();
    let output = world.run(&["copy", "./odd.img", &copy, "--verify", "full", "--yes"]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, format!("{}  {copy}\n", hex(&bytes)), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(std::fs::read(&copy).expect("the copy") == bytes);

    // The volume of a snapshot: 1 GiB, most of it nothing.
    let (code, json, stderr) =
        world.json(&["copy", SMALL, "./boot.img", "--verify", "full", "--yes", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    let whole = std::fs::read(world.path("boot.img")).expect("the image");
    assert_eq!(whole.len(), 2048 * BLOCK);
    assert_eq!(json["destinations"][0]["image_sha256"], hex(&whole));
    let receipt = world.run(&["jobs", "show", "2", "--receipt"]).await;
    assert!(String::from_utf8_lossy(&receipt.stdout).contains(&hex(&whole)), "the receipt tells it too");
    let (_, json, _) = world.json(&["copy", SMALL, "./plain.img", "--verify", "checksum", "--yes", "-o", "json"]).await;
    let plain = &json["destinations"][0];
    assert_eq!((&plain["evidence"], plain.get("image_sha256")), (&"re-read".into(), None), "nobody read all of it");
}

/// The lanes of that job while its result is read back.
fn is_reading(row: &JobStatus) -> bool {
    let checking = row.destinations.iter().filter_map(|to| to.checking);
    row.state == JobState::Verifying && checking.map(|one| one.done).any(|done| done > Blocks(2))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_read_back_by_lanes_that_can_be_turned_and_counted() {
    let slow = Rule { region: Some("eu-west-1".to_owned()), ..Rule::of(Fault::Delay { ms: 400, jitter: 0 }) };
    let rig = Rig::with(Faults { rules: vec![slow.on("GetSnapshotBlock")], ..Faults::default() }).await;
    let client = rig.engine(None).await;
    let plan = rig.plan(&rig.source(), &["eu-west-1:"], full()).await;
    let job = start(&client, &plan).await;
    let row = row_when(&client, job, |row| is_reading(row) && row.lanes.now > 4).await;
    let checking = row.destinations[0].checking.expect("how far it is");
    assert_eq!((row.destinations[0].state, checking.of), (DestinationState::Checking, Blocks(1_500)));
    assert!(row.shown_why().contains("of 1,500 blocks checked"), "{}", row.shown_why());
    // As many as it is told, and as the bytes of a second allow: one waits for its turn, nobody behind it.
    let slow = Some(Bandwidth::always(Bytes::kib(64)));
    for (few, many) in [
        (Command::Lanes(job, Lanes::Pinned(1)), Command::Lanes(job, Lanes::Auto)),
        (Command::Bandwidth(Some(job), slow), Command::Bandwidth(Some(job), None)),
    ] {
        client.send(few).await.expect("turned");
        row_when(&client, job, |row| row.lanes.now <= 1 && row.state == JobState::Verifying).await;
        client.send(many).await.expect("turned");
        row_when(&client, job, |row| row.lanes.now > 4 && row.state == JobState::Verifying).await;
    }
    rig.heal();
    let row = end(&client, job).await;
    assert_eq!((row.state, row.destinations[0].evidence), (JobState::Done, Evidence::ReRead), "{:?}", row.error);
    assert_eq!(row.destinations[0].checking.map(|one| one.done), Some(Blocks(1_500)));
    assert!(row.requests.get >= 3_000, "the meter counts what is read back: {:?}", row.requests);
    assert_eq!(row.bytes_read, Blocks(1_500).bytes(), "from the source");
    let (spent, said) = (row.spent.0, row.predicted.cost.0);
    assert!(spent < said * 1.1 && spent > said * 0.9, "nothing is billed twice: ${spent} of ${said}");
    assert_eq!(row.destinations[0].image_sha256, None, "nobody hashed a whole image");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_check_goes_on_where_it_was() {
    let slow = Rule { region: Some("eu-west-1".to_owned()), ..Rule::of(Fault::Delay { ms: 150, jitter: 0 }) };
    let rig = Rig::with(Faults { rules: vec![slow.on("GetSnapshotBlock")], ..Faults::default() }).await;
    let client = rig.engine(None).await;
    let plan = rig.plan(SMALL, &["eu-west-1:"], Options { concurrency: Some(2), ..full() }).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| is_reading(row) && row.destinations[0].checking.is_some_and(|c| c.done.0 > 20)).await;
    client.send(Command::Pause(job)).await.expect("paused");
    let row = row_when(&client, job, at_rest).await;
    assert_eq!(row.state, JobState::Paused, "{:?}", row.error);
    let gets = rig.gets();
    rig.heal();
    client.send(Command::Resume(job)).await.expect("resumed");
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let again = rig.gets() - gets;
    assert!(again <= 64 - 20 + 2, "{again} Gets for the rest of 64 blocks, of which 20 were compared");
}

#[tokio::test(flavor = "multi_thread")]
async fn storms_and_tokens_that_rotate_change_nothing_but_the_time() {
    let storm = Faults { seed: 3, rules: Faults::storm(None, 0.02), ..Faults::default() };
    let listing = Faults { rotate: Rotation::Listing, ..Faults::default() };
    let page = Faults { rotate: Rotation::Page, short_pages_permille: 500, ..Faults::default() };
    for (name, faults) in [("storm", storm), ("listing", listing), ("page", page)] {
        let rig = Rig::with(faults).await;
        let client = rig.engine(None).await;
        let plan = rig.plan(SMALL, &["eu-west-1:"], full()).await;
        let row = end(&client, start(&client, &plan).await).await;
        assert_eq!(row.state, JobState::Done, "{name}: {:?}", row.error);
        assert_eq!(row.destinations[0].evidence, Evidence::ReRead, "{name}");
    }
}

/// An image of blocks of one byte each.
fn image(path: &Path, blocks: &[(u64, u8)]) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::create(path).expect("an image");
    for (index, byte) in blocks {
        file.write_all_at(&vec![*byte; BLOCK], index * BLOCK as u64).expect("a block");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reads_back_other_than_it_was_written_is_never_completed() {
    let rig = Rig::with(Faults { completing_ms: 2_000, ..Faults::default() }).await;
    let client = rig.engine(None).await;
    let (good, other) = (rig.world.path("good.img"), rig.world.path("other.img"));
    image(&good, &[(3, 1), (7, 2), (20, 3)]);
    image(&other, &[(3, 1), (7, 9), (20, 3)]);
    let plan = rig.plan(other.to_str().expect("text"), &["eu-west-1:"], full()).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let other = row.destinations[0].address.rsplit(':').next().expect("an id").to_owned();

    let plan = rig.plan(good.to_str().expect("text"), &["eu-west-1:"], full()).await;
    let job = start(&client, &plan).await;
    let sandbox = &rig.world.running.sandbox;
    let prod = sandbox.profiles().into_iter().find(|keys| keys.name.as_str() == "prod").expect("prod");
    // The service took every block and its checksum; behind the same list it then has other bytes.
    let spoil = || {
        let mut model = sandbox.model_mut();
        let region = model.region_mut(&prod.account, &"eu-west-1".parse().expect("a region")).expect("the region");
        let bytes = region.snapshots.values().find(|s| s.id.as_str() == other).map(|s| s.content.clone());
        let taken = |s: &&mut floe::sandbox::model::Snapshot| {
            s.id.as_str() != other && s.upload.as_ref().is_some_and(|upload| upload.settles.is_some())
        };
        let made = region.snapshots.values_mut().find(taken);
        made.zip(bytes).map(|(made, bytes)| made.content = bytes).is_some()
    };
    let begun = std::time::Instant::now();
    while !spoil() {
        assert!(begun.elapsed().as_secs() < 60, "it is never completed");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Failed);
    let error = row.destinations[0].error.as_ref().expect("why");
    assert!(error.what.contains("reads back other than it was written"), "{error}");
    assert_eq!(error.block.map(|block| block.0), Some(7), "it is named");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_holds_what_nobody_wrote_is_never_completed() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let (good, copy) = (rig.world.path("good.img"), rig.world.path("copy.img"));
    image(&good, &[(3, 1), (7, 2), (20, 3)]);
    let hold = Rule::of(Fault::Delay { ms: 1_000, jitter: 0 }).on("StartSnapshot");
    rig.world.running.sandbox.set_faults(Faults { rules: vec![hold], ..Faults::default() });
    // The snapshot is started late: meanwhile the part of the file is there and can be written to.
    let plan = rig.plan(good.to_str().expect("text"), &["eu-west-1:", copy.to_str().expect("text")], full()).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.destinations[1].state == DestinationState::Writing).await;
    let part = std::fs::read_dir(rig.world.dir.path()).expect("files").flatten();
    let part = part.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == "part"));
    let file = std::fs::File::options().write(true).open(part.expect("the part")).expect("it");
    std::os::unix::fs::FileExt::write_all_at(&file, b"!", 12 * BLOCK as u64 + 5).expect("a byte where a hole was");
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Partial, "{row:?}");
    let error = row.destinations[1].error.as_ref().expect("why");
    assert!(error.what.contains("does not hold what was written to it"), "{error}");
    assert_eq!(error.block.map(|block| block.0), Some(12));
}

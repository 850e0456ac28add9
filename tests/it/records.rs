//! What a job writes down about itself costs what its plan said before it began.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use floe::engine::ledger::{CACHE, Dest, Header, Ledger};
use floe::engine::protocol::JobState;
use floe::ids::{BlockIndex, JobId};
use floe::plan::{Options, Plan, records};
use floe::units::{Bytes, Digest};

use crate::rig::{Rig, end, start};
use crate::support::put;

/// What a file really takes, holes left out.
fn taken(path: &Path) -> Bytes {
    Bytes(fs::metadata(path).expect("a file").blocks() * 512)
}

/// Blocks of a nearly empty volume, two of them at its very ends.
fn few(gib: i32) -> [i32; 4] {
    [0, 1, 77_777, gib * 2048 - 1]
}

/// A completed snapshot of a volume of that size with those blocks.
async fn vast(rig: &Rig, gib: i32) -> String {
    let ebs = rig.world.ebs("prod", "us-west-2");
    let id = ebs.start_snapshot().volume_size(gib.into()).send().await.expect("started").snapshot_id.expect("an id");
    for index in few(gib) {
        put(&ebs, &id, index, 7).await;
    }
    ebs.complete_snapshot().snapshot_id(&id).changed_blocks_count(4).send().await.expect("completed");
    rig.world.completed(&id, "us-west-2").await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_takes_what_its_plan_said() {
    let rig = Rig::calm().await;
    let id = vast(&rig, 1024).await;
    let plan = rig.plan(&format!("us-west-2:{id}"), &["null:", "us-west-2:"], Options::default()).await;
    let said = records(&plan.items);
    let client = rig.engine(None).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_eq!(row.blocks_done.0, 4);
    let dir = rig.state.job(row.job);
    let (ledger, journal) = (taken(&dir.join("ledger")), taken(&dir.join("events.ndjson")));
    assert!(ledger <= said.ledger, "a sparse ledger: {ledger}, and {} were said", said.ledger);
    assert!(journal <= said.journal, "{journal}, and {} were said", said.journal);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_of_64_tib_takes_what_its_plan_said() {
    let rig = Rig::calm().await;
    let id = vast(&rig, 65_536).await;
    let plan = rig.plan(&format!("us-west-2:{id}"), &["null:", "us-west-2:"], Options::default()).await;
    let said = records(&plan.items).ledger;
    let path = rig.world.path("ledger");
    let mut ledger = Ledger::create(&path, header(&plan), CACHE).expect("a ledger");
    for index in few(65_536).map(|index| BlockIndex(u32::try_from(index).expect("an index"))) {
        ledger.mark_listed(index).expect("listed");
        ledger.mark_done(Dest(0), index, &Digest([7; 32])).expect("done");
        ledger.mark_done(Dest(1), index, &Digest([7; 32])).expect("done");
    }
    ledger.flush().expect("on the disk");
    let taken = taken(&path);
    // Bits of 48 MiB at most; nearly empty, it takes next to nothing.
    assert!(taken <= said && said < Bytes::mib(64) && taken < Bytes::mib(1), "{taken} of {said}");
    // All of it listed, the digests are the most of it: 4 GiB, as the plan of a full source says.
    let mut full = plan.clone();
    full.items[0].source.blocks = floe::units::Quantity::exact(full.items[0].source.volume.blocks());
    let (said, most) = (records(&full.items).ledger, Ledger::file_len(&header(&full)).expect("a length"));
    assert!(most <= said && said.0 - most.0 < 64 * 1024 && most > Bytes::gib(4), "{most} of {said}");
}

/// What the ledger of a plan's first item begins with.
fn header(plan: &Plan) -> Header {
    let item = &plan.items[0];
    Header {
        job: JobId(1),
        unique: "0123456789abcdef".to_owned(),
        source: item.source.address.to_string(),
        blocks: u32::try_from(item.source.volume.blocks().0).expect("a volume"),
        destinations: item.destinations.iter().map(|to| to.address.to_string()).collect(),
    }
}

/// The ledger of the first item, with a block in every page that it has: no more can ever be taken.
fn fullest(plan: &Plan, path: &Path) -> Bytes {
    let header = header(plan);
    let mut ledger = Ledger::create(path, header.clone(), CACHE).expect("a ledger");
    for index in (0..header.blocks).step_by(128) {
        ledger.mark_listed(BlockIndex(index)).expect("listed");
        for dest in 0..header.destinations.len() {
            let dest = Dest(u16::try_from(dest).expect("few"));
            ledger.mark_done(dest, BlockIndex(index), &Digest([7; 32])).expect("done");
        }
    }
    ledger.flush().expect("on the disk");
    assert_eq!(fs::metadata(path).expect("it").len(), Ledger::file_len(&header).expect("its length").0);
    taken(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_ledger_takes_all_that_was_said_and_no_more() {
    let rig = Rig::calm().await;
    // One whose snapshot lists everything, and one with two destinations.
    let (full, web) = ("us-east-1:snap-0feed000000f00101".to_owned(), rig.source());
    for (source, to) in [(&full, &["null:"][..]), (&web, &["null:", "eu-west-1:"])] {
        let plan = rig.plan(source, to, Options::default()).await;
        let said = records(&plan.items).ledger;
        let taken = fullest(&plan, &rig.world.path(&format!("ledger-{}", to.len())));
        assert!(taken <= said, "{source}: {taken}, and {said} were said");
        assert!(taken.0 * 10 >= said.0 * 8, "{source}: what is said is near the truth: {taken} of {said}");
    }
}

/// What S3 has of an object, and where the blocks of an archive are, beside the ledger: fully used, it is what was said.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_down_of_objects_and_archives_is_said_too() {
    let rig = Rig::calm().await;
    let to = ["s3://floe-vault-us-east-1/images/records.img", "s3://floe-vault-us-east-1/ebs/"];
    let options = Options { memory: Some(Bytes::mib(32)), ..Options::default() };
    let plan = rig.plan(crate::rig::SMALL, &to, options.clone()).await;
    for gathered in [1, 3] {
        let plan = crate::objects::cut(plan.clone(), 10, gathered);
        let said = records(&plan.items).parts;
        let alone = |dest: usize| {
            let mut plan = plan.clone();
            plan.items[0].destinations = vec![plan.items[0].destinations[dest].clone()];
            records(&plan.items).parts
        };
        assert_eq!(alone(0) + alone(1), said);
        let client = rig.engine(None).await;
        let row = end(&client, start(&client, &plan).await).await;
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
        let dir = rig.state.job(row.job);
        let (parts, places) = (taken(&dir.join("parts-0")), taken(&dir.join("places-1")));
        assert!(parts <= alone(0) && parts.0 * 2 >= alone(0).0, "{parts} of {}", alone(0));
        assert!(places <= alone(1) && places > Bytes::ZERO, "{places} of {}", alone(1));
        client.send(floe::engine::protocol::Command::Shutdown).await.expect("it ends");
        for key in crate::archives::keys(&rig.world, "")
            .await
            .iter()
            .filter(|key| key.contains("0feed000000b00701") || key.contains("records.img"))
        {
            let s3 = crate::archives::s3(&rig.world);
            s3.delete_object().bucket(crate::archives::BUCKET).key(key).send().await.expect("removed");
        }
    }
    // In words, and for scripts.
    let args = ["plan", crate::rig::SMALL, to[0]];
    let (_, json, _) = rig.world.json(&[&args[..], &["-o", "json"]].concat()).await;
    assert!(json["disk"]["parts_bytes"].as_u64().is_some_and(|bytes| bytes >= 4096), "{json}");
}

//! The engine on the sandbox: what it makes is read by a reader that is not floe's.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use floe::aws::{Aws, Settings};
use floe::engine::protocol::{Command, DestinationState, JobState, JobStatus, Lanes, LeftOvers};
use floe::plan::{Options, Verify};
use floe::sandbox::faults::{Fault, Faults, Rotation, Rule};
use floe::units::Bytes;

use crate::rig::{
    Rig, SMALL, at_rest, aws_of, end, engine, only, picture_when, retry_start, row_when, rule, start, submit,
};
use crate::support::{assert_image, put};

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_becomes_a_file() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let image = rig.world.path("copy.img");
    let plan = rig.plan(&rig.source(), &[image.to_str().unwrap()], Options::default()).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let truth = rig.truth().await;
    assert_eq!((row.blocks_done.0, row.blocks_listed.0), (truth.len() as u64, truth.len() as u64));
    assert_image(&image, 1, &truth);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_read_fills_a_snapshot_a_file_and_nowhere() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let image = rig.world.path("copy.img");
    let to = ["eu-west-1:", "dr@us-west-2:", image.to_str().unwrap(), "null:"];
    let plan = rig.plan(&rig.source(), &to, Options { verify: Verify::Full, ..Options::default() }).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let truth = rig.truth().await;
    assert_eq!(row.requests.put, 2 * truth.len() as u64, "one put per block and snapshot");
    assert_image(&image, 1, &truth);
    assert!(rig.copied(&row, 0).await == truth && rig.copied(&row, 1).await == truth);
    assert!(
        row.destinations.iter().all(|d| d.state == DestinationState::Completed && d.blocks.0 == truth.len() as u64)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_with_holes_goes_up_and_its_holes_stay_holes() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let image = rig.world.path("up.img");
    sparse_image(&image);
    let plan = rig.plan(image.to_str().unwrap(), &["us-west-2:"], Options::default()).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let copied = rig.copied(&row, 0).await;
    let bytes = std::fs::read(&image).expect("the image");
    for (index, digest) in &copied {
        let at = *index as usize * 524_288;
        let mut block = bytes[at..bytes.len().min(at + 524_288)].to_vec();
        block.resize(524_288, 0);
        assert_eq!(*digest, crate::support::sha256(&block), "block {index}");
    }
    assert!(copied.contains_key(&0) && copied.contains_key(&40) && !copied.contains_key(&20), "{:?}", copied.keys());
}

fn sparse_image(path: &Path) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::create(path).expect("an image");
    file.set_len(50 * 524_288 + 77).expect("its length");
    for index in [0u64, 3, 40, 50] {
        file.write_all_at(&[u8::try_from(index).expect("small") + 1; 77], index * 524_288).expect("data");
    }
}

/// One percent of everything fails, in every way it can.
fn storm(seed: u64) -> Faults {
    let each = 0.01 / 8.0;
    let all = [
        Fault::InternalError,
        Fault::Unavailable,
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::Cut,
        Fault::Corrupt,
        Fault::ThrottleSnapshot,
        Fault::ThrottleAccount,
    ];
    Faults { seed, rules: all.into_iter().map(|fault| rule(fault, each)).collect(), ..Faults::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn storms_change_nothing_but_the_time() {
    for seed in 1..=3 {
        let rig = Rig::with(storm(seed)).await;
        let client = rig.engine(None).await;
        let image = rig.world.path("copy.img");
        let plan = rig.plan(&rig.source(), &["eu-west-1:", image.to_str().unwrap()], Options::default()).await;
        let row = end(&client, start(&client, &plan).await).await;
        rig.heal();
        assert_eq!(row.state, JobState::Done, "seed {seed}: {:?}", row.error);
        assert!(row.troubles.retries > 0, "seed {seed}: the storm was felt");
        let truth = rig.truth().await;
        assert_image(&image, 1, &truth);
        assert!(rig.copied(&row, 0).await == truth, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rotating_tokens_cost_a_fifth_more_at_most() {
    for rotate in [Rotation::Listing, Rotation::Page] {
        let rig = Rig::with(Faults { rotate, ..Faults::default() }).await;
        let client = rig.engine(None).await;
        let plan = rig.plan(&rig.source(), &["null:"], Options::default()).await;
        let before = rig.gets();
        let row = end(&client, start(&client, &plan).await).await;
        let gets = rig.gets() - before;
        assert_eq!(row.state, JobState::Done, "{rotate:?}: {:?}", row.error);
        rig.heal();
        let blocks = rig.truth().await.len() as u64;
        assert_eq!(row.blocks_done.0, blocks);
        assert!(gets * 5 <= blocks * 6, "{rotate:?}: {gets} Gets for {blocks} blocks");
    }
}

/// 64 GiB are listed by several cursors at once, and each listing voids the tokens of the others.
#[tokio::test(flavor = "multi_thread")]
async fn listings_that_void_each_other_end_in_one_cursor() {
    const BLOCKS: i32 = 256;
    let rig = Rig::calm().await;
    let ebs = rig.world.ebs("prod", "us-west-2");
    let id = ebs.start_snapshot().volume_size(64).send().await.expect("started").snapshot_id.expect("an id");
    for nth in 0..BLOCKS {
        put(&ebs, &id, nth * 512, 1).await;
    }
    ebs.complete_snapshot().snapshot_id(&id).changed_blocks_count(BLOCKS).send().await.expect("completed");
    rig.world.completed(&id, "us-west-2").await;
    let slow = only("GetSnapshotBlock", rule(Fault::Delay { ms: 20, jitter: 0 }, 1.0));
    let void = Faults { rotate: Rotation::Listing, rules: vec![slow], ..Faults::default() };
    rig.world.running.sandbox.set_faults(void);
    let client = rig.engine(None).await;
    let plan = rig.plan(&format!("us-west-2:{id}"), &["null:"], Options::default()).await;
    assert!(plan.choices.cursors > 1, "{}", plan.choices.cursors);
    let job = start(&client, &plan).await;
    let row = end(&client, job).await;
    assert_eq!((row.state, row.blocks_done.0), (JobState::Done, 256), "{:?}", row.error);
    let journal = std::fs::read_to_string(rig.state.job(job).join("events.ndjson")).expect("the journal");
    assert!(journal.contains("one cursor drains each page"), "{journal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_copy_goes_on_where_it_was() {
    let slow = only("GetSnapshotBlock", rule(Fault::Delay { ms: 20, jitter: 10 }, 1.0));
    let rig = Rig::with(Faults { rules: vec![slow], ..Faults::default() }).await;
    let client = rig.engine(None).await;
    let image = rig.world.path("copy.img");
    let options = Options { concurrency: Some(8), ..Options::default() };
    let plan = rig.plan(&rig.source(), &["eu-west-1:", image.to_str().unwrap()], options).await;
    let before = rig.gets();
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.blocks_done.0 > 100).await;
    client.send(Command::Pause(job)).await.expect("it pauses");
    let paused = end(&client, job).await;
    assert_eq!(paused.state, JobState::Paused);
    assert!(paused.expires.is_some(), "it says when AWS would give the snapshot up");
    rig.heal();
    client.send(Command::Resume(job)).await.expect("it goes on");
    let row = row_when(&client, job, |row| at_rest(row) && row.state != JobState::Paused).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert!(row.blocks_resumed.0 >= paused.blocks_done.0, "{} of {}", row.blocks_resumed, paused.blocks_done);
    let gets = rig.gets() - before;
    let truth = rig.truth().await;
    assert!(gets <= truth.len() as u64 + 16, "{gets} Gets for {} blocks", truth.len());
    assert!(rig.copied(&row, 0).await == truth);
    assert_image(&image, 1, &truth);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_destination_fails_and_the_other_is_whole() {
    let denied = Rule { region: Some("eu-west-1".into()), ..only("PutSnapshotBlock", rule(Fault::Deny, 1.0)) };
    let late = Rule { skip: 50, ..denied };
    let rig = Rig::with(Faults { rules: vec![late], ..Faults::default() }).await;
    let client = rig.engine(None).await;
    let image = rig.world.path("copy.img");
    let plan = rig.plan(&rig.source(), &["eu-west-1:", image.to_str().unwrap()], Options::default()).await;
    let job = start(&client, &plan).await;
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Partial, "{:?}", row.error);
    assert_eq!(row.destinations[0].state, DestinationState::Failed);
    assert_eq!(row.destinations[1].state, DestinationState::Completed);
    rig.heal();
    let truth = rig.truth().await;
    assert_image(&image, 1, &truth);

    // A resume finishes only the one that failed.
    std::fs::remove_file(&image).expect("it is there");
    client.send(Command::Resume(job)).await.expect("it goes on");
    let row = row_when(&client, job, |row| at_rest(row) && row.state != JobState::Partial).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert!(rig.copied(&row, 0).await == truth);
    assert!(!image.exists(), "the finished file was not touched again");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_items_of_budget_and_a_hanging_destination_stop_nobody_else() {
    let hang = Rule { region: Some("us-west-2".into()), ..only("PutSnapshotBlock", rule(Fault::Hang, 1.0)) };
    let rig = Rig::with(Faults { rules: vec![hang], ..Faults::default() }).await;
    let budget = Some(Bytes(2_300_000));
    let client = rig.engine(budget).await;
    let mut jobs = Vec::new();
    for to in ["us-west-2:", "eu-west-1:", "null:", "eu-west-1:"] {
        let plan = rig.plan_within(SMALL, &[to], Options::default(), budget).await;
        jobs.push(start(&client, &plan).await);
    }
    for job in &jobs[1..] {
        let row = end(&client, *job).await;
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    }
    let status = client.status();
    let hanging = status.borrow().jobs.iter().find(|row| row.job == jobs[0]).cloned().expect("the hanging one");
    assert!(!at_rest(&hanging), "it still tries");
    client.send(Command::Cancel(jobs[0], LeftOvers::CleanUp)).await.expect("it ends");
    assert_eq!(end(&client, jobs[0]).await.state, JobState::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_below_the_floor_is_refused_with_the_figures() {
    let rig = Rig::calm().await;
    let client = rig.engine(Some(Bytes::kib(600))).await;
    let plan = rig.plan(&rig.source(), &["null:"], Options::default()).await;
    let error = submit(&client, &plan).await.expect_err("too small");
    assert!(error.what.contains("600 KiB") && error.what.contains("needs"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn turned_down_the_gauge_only_falls_until_it_fits() {
    // Every read takes so long that the job cannot end meanwhile, however slow the machine is.
    let slow = only("GetSnapshotBlock", rule(Fault::Delay { ms: 400, jitter: 50 }, 1.0));
    let rig = Rig::with(Faults { rules: vec![slow], ..Faults::default() }).await;
    let client = rig.engine(None).await;
    let plan = rig.plan(&rig.source(), &["null:"], Options { concurrency: Some(32), ..Options::default() }).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.held > Bytes::mib(12)).await;
    client.send(Command::Memory(Bytes::mib(6))).await.expect("it turns");
    let mut used = picture_when(&client, |status| status.budget.limit == Bytes::mib(6)).await.budget.used;
    let mut pictures = client.status();
    while used > Bytes::mib(6) {
        pictures.changed().await.expect("the engine lives");
        let now = pictures.borrow_and_update().budget.used;
        assert!(now <= used, "{now} after {used}: a lane took memory that the budget does not have");
        used = now;
    }
    client.send(Command::Lanes(job, Lanes::Pinned(2))).await.expect("pinned");
    let row = row_when(&client, job, |row| row.lanes.now <= 2 && row.lanes.target == 2 || at_rest(row)).await;
    assert!(row.state.is_active(), "it runs on with two: {:?}", row.error);
    rig.heal();
    client.send(Command::Lanes(job, Lanes::Auto)).await.expect("given back");
    assert_eq!(end(&client, job).await.state, JobState::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_add_up_in_every_picture() {
    let slow = only("GetSnapshotBlock", rule(Fault::Delay { ms: 10, jitter: 10 }, 1.0));
    let rig = Rig::with(Faults { rules: vec![slow], ..Faults::default() }).await;
    let client = rig.engine(None).await;
    let plan = rig.plan(&rig.source(), &["null:", "eu-west-1:"], Options::default()).await;
    let job = start(&client, &plan).await;
    client.send(Command::Watch(Some(job))).await.expect("watched");
    let mut pictures = client.status();
    let (mut seen, mut details) = (0, 0);
    loop {
        pictures.changed().await.expect("the engine lives");
        let status = Arc::clone(&pictures.borrow_and_update());
        let rate: f64 = status.jobs.iter().map(|row| row.rate.0).sum();
        assert!((rate - status.rate.0).abs() < 1e-6);
        let Some(row) = status.jobs.iter().find(|row| row.job == job) else { continue };
        assert!(row.blocks_done <= row.blocks_listed && row.blocks_listed <= row.blocks_total.value);
        seen += 1;
        if let Some(detail) = status.detail.as_ref().filter(|detail| !detail.segments.is_empty()) {
            assert!(detail.map.len() <= floe::engine::protocol::JobDetail::MAP_CELLS);
            details += 1;
        }
        if at_rest(row) {
            assert_eq!(row.state, JobState::Done, "{:?}", row.error);
            break;
        }
    }
    assert!(seen > 3 && details > 1, "{seen} pictures, {details} with detail");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_engine_is_refused_by_name() {
    let rig = Rig::calm().await;
    let _first = rig.engine(None).await;
    let error = engine(&rig.state, &rig.aws, None).await.expect_err("one engine per directory");
    assert_eq!(error.kind.exit_code(), 5);
    assert!(error.what.contains(&std::process::id().to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_another_world_is_refused() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let slow = only("GetSnapshotBlock", rule(Fault::Delay { ms: 50, jitter: 20 }, 1.0));
    rig.world.running.sandbox.set_faults(Faults { rules: vec![slow], ..Faults::default() });
    let plan = rig.plan(&rig.source(), &["null:"], Options::default()).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.blocks_done.0 > 0).await;
    client.send(Command::Shutdown).await.expect("it ends");
    drop(client);
    let other = Settings { endpoint: Some("https://ebs.example.org".to_owned()), ..Settings::default() };
    let client = retry_start(&rig.state, &Aws::new(other).expect("a world")).await;
    let error = client.send(Command::Resume(job)).await.expect_err("another world");
    assert_eq!(error.kind.exit_code(), 5);
}

/// An engine in a runtime of its own dies at once when the runtime does: no destructor of a job is awaited.
#[test]
fn killed_at_any_point_it_goes_on_and_ends_the_same() {
    let outer = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let slow = only("GetSnapshotBlock", rule(Fault::Delay { ms: 5, jitter: 5 }, 1.0));
    let rig = outer.block_on(Rig::with(Faults { rules: vec![slow], ..Faults::default() }));
    let image = rig.world.path("copy.img");
    let truth = outer.block_on(rig.truth());
    let plan = outer.block_on(rig.plan(&rig.source(), &["eu-west-1:", image.to_str().unwrap()], Options::default()));
    let before = rig.gets();
    let mut random = fastrand::Rng::with_seed(7);
    let mut job = None;
    let mut kills = 0;
    let row = loop {
        let inner =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let ended = inner.block_on(async {
            // Connections belong to the runtime that opened them.
            let aws = aws_of(&rig.world);
            let client = retry_start(&rig.state, &aws).await;
            let job = match job {
                None => *job.insert(start(&client, &plan).await),
                Some(job) => {
                    client.send(Command::Resume(job)).await.expect("it can be resumed");
                    job
                }
            };
            let live = Duration::from_millis(random.u64(50..900));
            let rest = |row: &JobStatus| at_rest(row) && row.state != JobState::Interrupted;
            tokio::time::timeout(if kills < 8 { live } else { Duration::from_secs(100) }, row_when(&client, job, rest))
                .await
                .ok()
        });
        inner.shutdown_timeout(Duration::from_secs(10));
        match ended {
            Some(row) => break row,
            None => kills += 1,
        }
    };
    assert_eq!(row.state, JobState::Done, "after {kills} kills: {:?}", row.error);
    assert!(kills > 2, "it was killed {kills} times");
    let gets = rig.gets() - before;
    let lost = kills * (256 + 128);
    assert!(gets <= truth.len() as u64 + lost, "{gets} Gets for {} blocks after {kills} kills", truth.len());
    assert_image(&image, 1, &truth);
    assert!(outer.block_on(rig.copied(&row, 0)) == truth);
}

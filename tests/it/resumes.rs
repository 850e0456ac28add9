//! Jobs that come back to a world that changed meanwhile: a destination that is gone, a job killed between two steps.

use std::time::Duration;

use floe::engine::protocol::{Command, DestinationState, JobState, JobStatus, LeftOvers};
use floe::plan::Options;
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::sandbox::model::{RegionState, Snapshot, SnapshotState};

use crate::rig::{Rig, SMALL, at_rest, aws_of, end, only, retry_start, row_when, rule, start, submit};
use crate::support::Contents;

fn id_of(row: &JobStatus) -> floe::ids::SnapshotId {
    row.destinations[0].address.rsplit(':').next().and_then(|id| id.parse().ok()).expect("an id")
}

fn behind<T>(rig: &Rig, region: &str, act: impl FnOnce(&mut RegionState) -> T) -> T {
    let sandbox = &rig.world.running.sandbox;
    let prod = sandbox.profiles().into_iter().find(|keys| keys.name.as_str() == "prod").expect("prod");
    let mut model = sandbox.model_mut();
    act(model.region_mut(&prod.account, &region.parse().expect("a region")).expect("the region"))
}

fn requests(rig: &Rig, api: &str) -> u64 {
    rig.world.running.sandbox.counters().picture().api(api).requests
}

async fn small(rig: &Rig) -> Contents {
    rig.world.contents("prod", "us-east-1", SMALL.split_once(':').expect("an address").1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_aws_gave_up_is_started_anew_and_said() {
    for is_deleted in [false, true] {
        let slow = only("PutSnapshotBlock", rule(Fault::Delay { ms: 50, jitter: 0 }, 1.0));
        let rig = Rig::with(Faults { rules: vec![slow], ..Faults::default() }).await;
        let client = rig.engine(None).await;
        let options = Options { concurrency: Some(1), ..Options::default() };
        let job = start(&client, &rig.plan(SMALL, &["eu-west-1:"], options).await).await;
        row_when(&client, job, |row| row.blocks_done.0 > 5).await;
        client.send(Command::Pause(job)).await.expect("it pauses");
        let paused = end(&client, job).await;
        assert_eq!(paused.state, JobState::Paused);
        let old = id_of(&paused);
        let token = behind(&rig, "eu-west-1", |region| {
            let snapshot = region.snapshots.get_mut(&old).expect("the first one");
            let token = snapshot.upload.as_ref().and_then(|upload| upload.client_token.clone());
            snapshot.state = SnapshotState::Error("timed out".to_owned());
            if is_deleted {
                region.snapshots.remove(&old);
            }
            token.expect("a token").0
        });
        rig.heal();
        client.send(Command::Watch(Some(job))).await.expect("watched");
        client.send(Command::Resume(job)).await.expect("it goes on");
        let row = row_when(&client, job, |row| at_rest(row) && row.state != JobState::Paused).await;
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
        let new = id_of(&row);
        assert_ne!(new, old, "another snapshot");
        let other = behind(&rig, "eu-west-1", |region| {
            region.snapshots[&new].upload.as_ref().and_then(|upload| upload.client_token.clone()).expect("a token").0
        });
        assert_ne!(other, token, "under another token");
        assert!(rig.copied(&row, 0).await == small(&rig).await);
        let path = rig.state.job(job).join("events.ndjson");
        let said = std::fs::read_to_string(path).expect("the journal");
        let word = if is_deleted { "does not exist any more" } else { "AWS gave " };
        assert!(said.contains(word) && said.contains("everything is written again"), "{said}");
    }
}

/// Kills the engine when the job's only destination stands there, then runs it to its end in another engine.
fn killed_in(state: DestinationState, faults: Vec<Rule>) -> (tokio::runtime::Runtime, Rig, JobStatus, [u64; 3]) {
    let outer = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let rig = outer.block_on(Rig::with(Faults { rules: faults, ..Faults::default() }));
    let plan = outer.block_on(rig.plan(SMALL, &["eu-west-1:"], Options::default()));
    let inner = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let job = inner.block_on(async {
        let client = retry_start(&rig.state, &aws_of(&rig.world)).await;
        let job = start(&client, &plan).await;
        row_when(&client, job, |row| row.destinations[0].state == state).await;
        job
    });
    inner.shutdown_timeout(Duration::from_secs(10));
    rig.heal();
    let of = |rig: &Rig| ["PutSnapshotBlock", "CompleteSnapshot", "DescribeSnapshots"].map(|api| requests(rig, api));
    let before = of(&rig);
    let row = outer.block_on(async {
        let client = retry_start(&rig.state, &aws_of(&rig.world)).await;
        client.send(Command::Resume(job)).await.expect("it can be resumed");
        row_when(&client, job, |row| at_rest(row) && row.state != JobState::Interrupted).await
    });
    let after = of(&rig);
    let grown = [0, 1, 2].map(|nth| after[nth] - before[nth]);
    (outer, rig, row, grown)
}

#[test]
fn killed_while_completing_it_asks_first_and_never_puts() {
    // The answer is lost, the work is done; and: the request never arrived.
    for fault in [Fault::Hang, Fault::ResetAfter] {
        let lost = only("CompleteSnapshot", rule(fault.clone(), 1.0));
        let (outer, rig, row, [puts, completes, describes]) = killed_in(DestinationState::Completing, vec![lost]);
        assert_eq!(row.state, JobState::Done, "{fault:?}: {:?}", row.error);
        assert_eq!(puts, 0, "{fault:?}: nothing is put");
        assert!(describes >= 1, "{fault:?}: it asks what became of it");
        assert!(completes <= 1, "{fault:?}: {completes}");
        assert!(outer.block_on(rig.copied(&row, 0)) == outer.block_on(small(&rig)));
    }
}

#[test]
fn killed_while_checking_it_only_checks_again() {
    let hang = Rule { region: Some("eu-west-1".into()), ..only("ListSnapshotBlocks", rule(Fault::Hang, 1.0)) };
    let (outer, rig, row, [puts, completes, _]) = killed_in(DestinationState::Checking, vec![hang]);
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_eq!((puts, completes), (0, 0));
    assert!(outer.block_on(rig.copied(&row, 0)) == outer.block_on(small(&rig)));
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_that_changed_since_the_plan_is_refused_and_leaves_nothing() {
    for (region, to) in [("us-west-2", true), ("eu-west-1", false)] {
        let rig = Rig::calm().await;
        let client = rig.engine(None).await;
        // What is read is not encrypted, so nothing but the account's default decides.
        let plain = "us-east-1:snap-0feed000000e00000";
        let plan = rig.plan(plain, &[&format!("{region}:")], Options::default()).await;
        behind(&rig, region, |state| {
            assert_ne!(state.settings.encrypt_by_default, to, "the other way round");
            state.settings.encrypt_by_default = to;
        });
        let job = start(&client, &plan).await;
        let row = end(&client, job).await;
        let made = rig.world.made_by_floe("prod", region).await;
        if row.state == JobState::Done {
            assert!(!to && made.iter().all(|s| s.encrypted() == Some(true)), "{region}: as the plan said: {made:?}");
            continue;
        }
        let error = row.error.expect("why");
        assert!(error.what.contains("the plan promised") && error.what.contains("it was removed"), "{error}");
        assert!(error.todo.as_deref().is_some_and(|todo| todo.contains("new plan")), "{error:?}");
        assert!(made.is_empty(), "{region}: no husk: {made:?}");
    }
}

/// The snapshot is known and what it is encrypted with was not compared yet.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_started_before_a_crash_is_compared_with_the_plan_after_it() {
    let rig = Rig::calm().await;
    let mut copy = rig.world.floe(&["copy", SMALL, "eu-west-1:", "--yes", "--foreground"]);
    copy.env("FLOE_CRASH_AT", "start-journaled");
    let died = tokio::task::spawn_blocking(move || copy.output().expect("floe runs")).await.expect("it ends");
    assert_eq!(died.status.code(), None, "it dies there, and does not merely end");
    behind(&rig, "eu-west-1", |state| {
        let ours = |snapshot: &&mut Snapshot| snapshot.tags.keys().any(|key| key.starts_with("floe:"));
        let made = state.snapshots.values_mut().find(ours).expect("started");
        assert!(made.encryption.take().is_some(), "encrypted, as the plan said, until now");
    });
    let (code, _, stderr) = rig.world.json(&["jobs", "resume", "1", "--foreground", "-o", "json"]).await;
    assert!(code != 0 && stderr.contains("the plan promised an encrypted snapshot"), "{code}: {stderr}");
    assert_eq!(requests(&rig, "PutSnapshotBlock"), 0, "nothing is put in the clear");
    assert!(rig.world.made_by_floe("prod", "eu-west-1").await.is_empty(), "no husk");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_turned_and_what_ended_is_forgotten() {
    let slow = only("GetSnapshotBlock", rule(Fault::Delay { ms: 100, jitter: 0 }, 1.0));
    let rig = Rig::with(Faults { rules: vec![slow], ..Faults::default() }).await;
    // Room for one job at a time.
    let budget = Some(floe::units::Bytes(1_300_000));
    let client = rig.engine(budget).await;
    let mut jobs = Vec::new();
    for _ in 0..4 {
        let plan = rig.plan_within(SMALL, &["null:"], Options::default(), budget).await;
        jobs.push(start(&client, &plan).await);
    }
    row_when(&client, jobs[0], |row| row.blocks_done.0 > 0).await;
    client.send(Command::Reorder(jobs[3], -2)).await.expect("first in the queue");
    assert!(client.send(Command::Reorder(jobs[0], 1)).await.is_err(), "it runs");
    assert!(client.send(Command::Forget(jobs[0])).await.is_err(), "it runs");
    rig.heal();
    row_when(&client, jobs[3], |row| row.state.is_active() || at_rest(row)).await;
    let waits = |job| client.status().borrow().jobs.iter().any(|row| row.job == job && row.state == JobState::Queued);
    assert!(waits(jobs[2]), "the one behind still waits when it starts");
    for job in &jobs {
        assert_eq!(end(&client, *job).await.state, JobState::Done);
    }
    let order = |job| client.status().borrow().jobs.iter().find(|row| row.job == job).and_then(|row| row.ended);
    assert!(order(jobs[3]) < order(jobs[1]) && order(jobs[1]) < order(jobs[2]), "it went first");
    client.send(Command::Forget(jobs[1])).await.expect("forgotten");
    assert!(!rig.state.job(jobs[1]).exists());
    assert!(client.send(Command::Cancel(jobs[1], LeftOvers::Keep)).await.is_err());
    assert!(submit(&client, &rig.plan_within(SMALL, &["null:"], Options::default(), budget).await).await.is_ok());
}

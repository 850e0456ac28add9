//! What a job waits for is on its row: staged one by one, named with figures by the engine's own clock, and gone when
//! bytes move again.

use std::time::Duration;

use floe::engine::Client;
use floe::engine::protocol::{Cause, Command, JobState, JobStatus, LeftOvers, Stall};
use floe::ids::JobId;
use floe::plan::Options;
use floe::sandbox::faults::{Fault, Faults, Rule};

use crate::rig::{Rig, SMALL, at_rest, end, only, row_when, rule, start};

/// By then it has to be named.
const WITHIN: f64 = 15.0;

/// A copy that moves, then meets this.
async fn meets(to: &str, faults: Faults) -> (Rig, Client, JobId) {
    let slow = only("GetSnapshotBlock", rule(Fault::Delay { ms: 250, jitter: 0 }, 1.0));
    let rig = Rig::with(Faults { rules: vec![slow], ..Faults::default() }).await;
    let client = rig.engine(None).await;
    let options = Options { concurrency: Some(4), ..Options::default() };
    let plan = rig.plan(SMALL, &[to], options).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.blocks_done.0 > 4).await;
    rig.world.running.sandbox.set_faults(faults);
    (rig, client, job)
}

fn all(api: &str, fault: Fault) -> Faults {
    Faults { rules: vec![only(api, rule(fault, 1.0))], ..Faults::default() }
}

/// The row when it is named first; it says why in its why-column, in time.
async fn named(client: &Client, job: JobId) -> (JobStatus, Stall) {
    let row = row_when(client, job, |row| row.stall.is_some() || at_rest(row)).await;
    assert!(row.stall.is_some(), "{:?} {:?}", row.state, row.error);
    let stall = row.stall.clone().expect("named");
    assert_eq!(row.why, stall.word);
    assert!(stall.seconds < WITHIN, "{stall:?}");
    (row, stall)
}

/// The text goes away with the next byte, and the copy is whole.
async fn heals(rig: &Rig, client: &Client, job: JobId) {
    rig.heal();
    row_when(client, job, |row| row.stall.is_none()).await;
    let row = end(client, job).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_requests_and_never_answers_is_named() {
    let (rig, client, job) = meets("null:", all("GetSnapshotBlock", Fault::Hang)).await;
    let (_, stall) = named(&client, job).await;
    assert_eq!((stall.cause, stall.word.as_str()), (Cause::NoAnswer, "no answer: Get"));
    assert!(
        stall.text.contains("no bytes for ") && stall.text.contains("Get us-east-1 has not answered for"),
        "{stall:?}"
    );
    heals(&rig, &client, job).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_before_the_first_block_is_named_too() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let plan = rig.plan(&rig.source(), &["null:"], Options::default()).await;
    rig.world.running.sandbox.set_faults(all("ListSnapshotBlocks", Fault::Hang));
    let job = start(&client, &plan).await;
    let (row, stall) = named(&client, job).await;
    assert_eq!(row.blocks_done.0, 0);
    assert_eq!((stall.cause, stall.word.as_str()), (Cause::NoAnswer, "no answer: List"));
    heals(&rig, &client, job).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throttles_are_counted_with_their_level_and_the_rate_that_they_left() {
    let (rig, client, job) = meets("null:", all("GetSnapshotBlock", Fault::ThrottleAccount)).await;
    let (_, stall) = named(&client, job).await;
    assert_eq!((stall.cause, stall.word.as_str()), (Cause::Throttled, "throttled"));
    let text = &stall.text;
    assert!(text.contains("at account level") && text.contains("rate of Get per account us-east-1 5,000 → "), "{text}");
    let count: u64 =
        text.split(", ").nth(1).and_then(|t| t.split(' ').next()).and_then(|n| n.parse().ok()).expect("a count");
    assert!(count > 0, "{text}");
    heals(&rig, &client, job).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kms_is_named_when_it_throttles_and_when_it_denies_the_key() {
    let (rig, client, job) = meets("eu-west-1:", all("PutSnapshotBlock", Fault::ThrottleDependency)).await;
    let (row, stall) = named(&client, job).await;
    assert_eq!((stall.cause, stall.word.as_str()), (Cause::Kms, "KMS throttled"));
    assert!(stall.text.contains("at KMS level"), "{stall:?}");
    assert!(row.troubles.kms_throttles > 0 && row.troubles.account_throttles == 0);
    heals(&rig, &client, job).await;

    let (rig, client, job) = meets("eu-west-1:", all("PutSnapshotBlock", Fault::DenyKey)).await;
    let row = end(&client, job).await;
    assert_eq!((row.state, row.why.as_str()), (JobState::Failed, "KMS key denied"));
    let error = row.error.expect("it says why");
    assert!(
        error.what.contains("KMS refused") && error.todo.as_deref().unwrap_or_default().contains("kms:Decrypt"),
        "{error:?}"
    );
    let resting = floe::engine::jobs(&rig.state).expect("jobs");
    assert_eq!(resting[0].why, "KMS key denied", "also of a job that only lies on the disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_target_is_named_while_its_few_bytes_move() {
    let slow = Fault::Delay { ms: 3_000, jitter: 0 };
    let (rig, client, job) = meets("eu-west-1:", all("PutSnapshotBlock", slow)).await;
    let (row, stall) = named(&client, job).await;
    assert_eq!((stall.cause, stall.word.as_str()), (Cause::SlowTarget, "slow target"));
    let to = &row.destinations[0].address;
    assert!(
        stall.text.contains(&format!("{to} takes "))
            && (stall.text.contains(" block waits for it") || stall.text.contains(" blocks wait for it")),
        "{stall:?}"
    );
    assert_eq!(row.state, JobState::Running);
    heals(&rig, &client, job).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_requests_say_their_last_words() {
    let (rig, client, job) = meets("null:", all("GetSnapshotBlock", Fault::InternalError)).await;
    let (_, stall) = named(&client, job).await;
    assert_eq!(stall.cause, Cause::Errors);
    assert!(stall.text.contains("failures, the last: could not read"), "{stall:?}");
    heals(&rig, &client, job).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_says_it_on_the_row_and_to_whoever_watches() {
    let delay = Rule::of(Fault::Delay { ms: 100, jitter: 0 }).on("GetSnapshotBlock");
    let world = crate::support::World::with(Faults { rules: vec![delay], ..Faults::default() }).await;
    let source = format!("us-east-1:{}", crate::support::WEB_DATA);
    let output = world.run(&["copy", &source, "null:", "--concurrency", "8", "--yes", "--detach"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut begun = false;
    let (mut table, mut json) = (String::new(), serde_json::Value::Null);
    for _ in 0..600 {
        let output = world.run(&["jobs", "ls", "-o", "json"]).await;
        json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if !begun && json[0]["blocks_done"].as_u64() > Some(20) {
            world.running.sandbox.set_faults(all("GetSnapshotBlock", Fault::Hang));
            begun = true;
        }
        if json[0]["stall"].is_object() {
            table = String::from_utf8_lossy(&world.run(&["jobs", "ls"]).await.stdout).into_owned();
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(json[0]["stall"]["cause"], "no-answer", "{json}");
    assert_eq!(json[0]["why"], "no answer: Get");
    assert!(json[0]["stall"]["seconds"].as_f64().is_some_and(|seconds| seconds < WITHIN), "{json}");
    assert!(table.contains("no answer: Get: no bytes for "), "{table}");
    let shown = world.run(&["jobs", "show", "1"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("no bytes for") && shown.contains("lanes    "), "{shown}");
    let mut watcher = world.floe(&["jobs", "watch"]);
    let watched = tokio::task::spawn_blocking(move || watcher.output().expect("floe runs"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.running.sandbox.set_faults(Faults::default());
    let output = watched.await.expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("no answer: Get: no bytes for"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_cancelled_in_a_stall_leaves_none() {
    let (_rig, client, job) = meets("null:", all("GetSnapshotBlock", Fault::Hang)).await;
    named(&client, job).await;
    client.send(Command::Cancel(job, LeftOvers::CleanUp)).await.expect("cancelled");
    let row = end(&client, job).await;
    assert_eq!((row.state, row.stall), (JobState::Cancelled, None));
}

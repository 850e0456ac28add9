//! A service that lies, and tokens and keys that are not what they were: none of it is ever called completed, what can
//! be repaired is, and the rest is refused with a sentence.

use std::fs;
use std::time::Duration;

use floe::engine::Client;
use floe::engine::protocol::{Command, DestinationState, JobState, JobStatus};
use floe::ids::JobId;
use floe::plan::{Options, Verify};
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::sandbox::model::SnapshotState;

use crate::rig::{Rig, SMALL, at_rest, end, row_when, start};
use crate::support::{Contents, assert_image, put};

pub const TO: &str = "eu-west-1";

pub async fn small(rig: &Rig) -> Contents {
    rig.world.contents("prod", "us-east-1", SMALL.split_once(':').expect("an address").1).await
}

pub fn faults(rules: Vec<Rule>) -> Faults {
    Faults { rules, ..Faults::default() }
}

fn put_rule(fault: Fault) -> Rule {
    Rule::of(fault).on("PutSnapshotBlock")
}

fn believes() -> Rule {
    Rule::of(Fault::Believe).on("CompleteSnapshot")
}

fn listing(fault: Fault) -> Rule {
    Rule::of(fault).on("ListSnapshotBlocks").within(TO)
}

fn journal(rig: &Rig, job: JobId) -> String {
    fs::read_to_string(rig.state.job(job).join("events.ndjson")).expect("the journal")
}

pub fn requests(rig: &Rig, api: &str) -> u64 {
    rig.world.running.sandbox.counters().picture().api(api).requests
}

/// The one snapshot that floe made, as its owner sees it.
pub async fn made(rig: &Rig) -> String {
    let made = rig.world.made_by_floe("prod", TO).await;
    assert_eq!(made.len(), 1, "{made:?}");
    made[0].snapshot_id().expect("an id").to_owned()
}

/// Waits for a number of requests of that kind; the deadline only ends a test that hangs.
pub async fn asked(rig: &Rig, api: &str, times: u64) {
    for _ in 0..3_000 {
        if requests(rig, api) >= times {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(requests(rig, api) >= times, "{api} was not asked {times} times");
}

#[track_caller]
pub fn never_completed(rig: &Rig, row: &JobStatus, words: &[&str]) {
    assert_eq!(row.state, JobState::Failed, "{row:?}");
    assert_eq!(row.destinations[0].state, DestinationState::Failed);
    let error = row.destinations[0].error.as_ref().expect("why");
    let said = format!("{error} → {}", error.todo.as_deref().unwrap_or_default());
    words.iter().for_each(|word| assert!(said.contains(word), "must say {word:?}: {said}"));
    assert!(!journal(rig, row.job).contains("\"completed\""), "no step says so either");
}

/// Runs a small copy to [`TO`] under these rules.
async fn copy(rules: Vec<Rule>, options: Options) -> (Rig, Client, JobStatus) {
    let rig = Rig::with(faults(rules)).await;
    let client = rig.engine(None).await;
    let plan = rig.plan(SMALL, &[&format!("{TO}:")], options).await;
    let row = end(&client, start(&client, &plan).await).await;
    (rig, client, row)
}

async fn resumed(client: &Client, row: &JobStatus) -> JobStatus {
    client.send(Command::Resume(row.job)).await.expect("it goes on");
    let before = row.ended;
    row_when(client, row.job, |row| at_rest(row) && row.ended != before).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_is_acknowledged_and_dropped_is_noticed() {
    // Not the first: the canary would be noticed more easily.
    let lost = Rule { skip: 20, ..put_rule(Fault::Lose).times(1) };
    // A service that still counts right refuses to complete it.
    let (rig, _, row) = copy(vec![lost.clone()], Options::default()).await;
    never_completed(&rig, &row, &["64", "63 blocks were written"]);
    // One that believes every count is found out by its own listing, now and at every later look.
    let (rig, client, row) = copy(vec![lost, believes()], Options::default()).await;
    never_completed(&rig, &row, &["was written and is not listed", "do not use this snapshot"]);
    rig.heal();
    let puts = requests(&rig, "PutSnapshotBlock");
    let again = resumed(&client, &row).await;
    never_completed(&rig, &again, &["was written and is not listed"]);
    assert_eq!(requests(&rig, "PutSnapshotBlock"), puts, "what was completed is not written to");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_of_the_result_that_misses_a_block_is_no_proof() {
    let (rig, client, row) = copy(vec![listing(Fault::Omit)], Options::default()).await;
    never_completed(&rig, &row, &["was written and is not listed"]);
    // Once it tells the truth the same snapshot is proved.
    rig.heal();
    let row = resumed(&client, &row).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert!(rig.copied(&row, 0).await == small(&rig).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_body_under_a_right_checksum_is_read_again() {
    let wrong = Rule { skip: 5, ..Rule::of(Fault::Corrupt).on("GetSnapshotBlock").within("us-east-1").times(4) };
    let (rig, _, row) = copy(vec![wrong], Options { verify: Verify::Full, ..Options::default() }).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_eq!(row.troubles.corrupt, 4, "each was noticed: {:?}", row.troubles);
    assert!(rig.copied(&row, 0).await == small(&rig).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn completed_and_not_listable_yet_is_not_done_yet() {
    let unknown = Fault::Refuse {
        status: 404,
        code: "ResourceNotFoundException".into(),
        reason: Some("SNAPSHOT_NOT_FOUND".into()),
        message: "The snapshot does not exist.".into(),
    };
    let rig = Rig::with(faults(vec![listing(unknown)])).await;
    let client = rig.engine(None).await;
    let before = requests(&rig, "ListSnapshotBlocks");
    let plan = rig.plan(SMALL, &[&format!("{TO}:")], Options::default()).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.state == JobState::Verifying || at_rest(row)).await;
    asked(&rig, "ListSnapshotBlocks", before + 6).await;
    let row = row_when(&client, job, |_| true).await;
    assert_eq!((row.state, row.destinations[0].state), (JobState::Verifying, DestinationState::Checking));
    rig.heal();
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert!(rig.copied(&row, 0).await == small(&rig).await);
}

/// Somebody writes to the snapshot between floe's last put and its completion, and the service lets it pass.
async fn meddled(verify: Verify, choose: impl Fn(&Contents) -> u32) -> (Rig, JobStatus) {
    let late = Rule::of(Fault::Delay { ms: 6_000, jitter: 0 }).on("CompleteSnapshot");
    let rig = Rig::with(faults(vec![late, believes()])).await;
    let client = rig.engine(None).await;
    let options = Options { verify, ..Options::default() };
    let job = start(&client, &rig.plan(SMALL, &[&format!("{TO}:")], options).await).await;
    asked(&rig, "CompleteSnapshot", 1).await;
    let index = choose(&small(&rig).await);
    put(&rig.world.ebs("prod", TO), &made(&rig).await, i32::try_from(index).expect("small"), 9).await;
    let row = end(&client, job).await;
    (rig, row)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_count_that_the_service_accepts_is_found_by_its_listing() {
    let (rig, row) = meddled(Verify::Listing, |used| (0..2048).find(|i| !used.contains_key(i)).expect("a hole")).await;
    never_completed(&rig, &row, &["is listed and was not written"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_under_the_same_count_are_found_by_reading_back() {
    let (rig, row) = meddled(Verify::Full, |used| *used.keys().next().expect("a block")).await;
    never_completed(&rig, &row, &["reads back other than it was written"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_end_in_the_middle_are_fetched_anew() {
    // Two days pass in the middle of it: every token of a block is older than its day.
    let rules = vec![Rule::of(Fault::Delay { ms: 20, jitter: 0 }).on("GetSnapshotBlock")];
    let aged = |advance_ms| Faults { rules: rules.clone(), token_seconds: 86_400, advance_ms, ..Faults::default() };
    let rig = Rig::with(aged(0)).await;
    let client = rig.engine(None).await;
    let image = rig.world.path("copy.img");
    let to = [format!("{TO}:"), image.display().to_string()];
    let options = Options { concurrency: Some(8), ..Options::default() };
    let plan = rig.plan(&rig.source(), &[&to[0], &to[1]], options).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.blocks_done.0 > 100).await;
    rig.world.running.sandbox.set_faults(aged(2 * 86_400_000));
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert!(row.troubles.relisted >= 1, "{:?}", row.troubles);
    let truth = rig.truth().await;
    assert_image(&image, 1, &truth);
    assert!(rig.copied(&row, 0).await == truth);
}

#[tokio::test(flavor = "multi_thread")]
async fn page_tokens_that_end_at_once_cost_requests_and_no_block() {
    // With this seed the first page ends after 119 of the 1,500 blocks.
    let pages = Faults { seed: 18, short_pages_permille: 1000, empty_pages_permille: 0, ..Faults::default() };
    let rig = Rig::with(Faults { page_token_seconds: 0, ..pages }).await;
    let client = rig.engine(None).await;
    let row = end(&client, start(&client, &rig.plan(&rig.source(), &["null:"], Options::default()).await).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let outcomes = rig.world.running.sandbox.counters().picture().api("ListSnapshotBlocks").outcomes;
    assert!(outcomes.keys().any(|outcome| outcome != "ok"), "page tokens were refused: {outcomes:?}");
    rig.heal();
    assert_eq!(row.blocks_done.0, rig.truth().await.len() as u64);
}

/// AWS gives a snapshot up.
fn broken(rig: &Rig, id: &floe::ids::SnapshotId) {
    for account in rig.world.running.sandbox.model_mut().accounts.values_mut() {
        for snapshot in account.regions.values_mut().filter_map(|region| region.snapshots.get_mut(id)) {
            snapshot.state = SnapshotState::Error("The KMS key was disabled".to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_ends_in_error_after_it_was_accepted_is_not_completed() {
    let rig = Rig::with(Faults { completing_ms: 3_600_000, ..Faults::default() }).await;
    let client = rig.engine(None).await;
    let job = start(&client, &rig.plan(SMALL, &[&format!("{TO}:")], Options::default()).await).await;
    asked(&rig, "CompleteSnapshot", 1).await;
    let id: floe::ids::SnapshotId = made(&rig).await.parse().expect("an id");
    row_when(&client, job, |row| row.state == JobState::Completing).await;
    broken(&rig, &id);
    let row = end(&client, job).await;
    never_completed(&rig, &row, &["ended in error", "The KMS key was disabled"]);
}

/// It is not looked at before it is told: the refusal is explained by what became of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_died_before_it_was_told_to_complete_says_of_what() {
    let late = Rule::of(Fault::Delay { ms: 1_500, jitter: 0 }).on("CompleteSnapshot");
    let rig = Rig::with(Faults { rules: vec![late], ..Faults::default() }).await;
    let client = rig.engine(None).await;
    let job = start(&client, &rig.plan(SMALL, &[&format!("{TO}:")], Options::default()).await).await;
    asked(&rig, "CompleteSnapshot", 1).await;
    let id: floe::ids::SnapshotId = made(&rig).await.parse().expect("an id");
    broken(&rig, &id);
    let row = end(&client, job).await;
    never_completed(&rig, &row, &["ended in error", "The KMS key was disabled"]);
    assert_eq!(rig.world.running.sandbox.counters().picture().api("CompleteSnapshot").requests, 1, "told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_another_account_under_the_same_name_are_refused() {
    let late = Rule { skip: 20, ..put_rule(Fault::Deny) };
    let world = crate::support::World::with(faults(vec![late])).await;
    let (code, json, stderr) = world.json(&["copy", SMALL, "eu-west-1:", "--yes", "--foreground", "-o", "json"]).await;
    assert_eq!((code, &json["state"]), (1, &"failed".into()), "{stderr}");
    world.running.sandbox.set_faults(Faults::default());
    let puts = || world.running.sandbox.counters().picture().api("PutSnapshotBlock").requests;
    let before = puts();
    // Somebody signs in to another account under the profile's name.
    let other = world.running.sandbox.profiles().into_iter().find(|keys| keys.name.as_str() == "dr").expect("dr");
    let text =
        format!("[prod]\naws_access_key_id = {}\naws_secret_access_key = {}\n", other.access_key_id, other.secret);
    fs::write(world.path(".aws/credentials"), text).expect("signed in");
    let output = world.run(&["jobs", "resume", "1", "--foreground"]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("the plan was made with account"), "{said}");
    assert!(said.contains("sign in to the account of the plan"), "{said}");
    assert_eq!(puts(), before, "nothing is written as somebody else");
}

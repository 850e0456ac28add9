//! What a job waits for, and that it goes on by itself: credentials that ended, a place among pending snapshots.

use std::path::Path;
use std::time::{Duration, Instant};

use floe::engine::protocol::JobState;
use floe::plan::Options;
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::sandbox::model::{AccessKey, Session, SnapshotState};
use jiff::{SignedDuration, Timestamp};

use crate::rig::{Rig, SMALL, at_rest, end, row_when, start};
use crate::support::{World, assert_image};

const PENDING: &str = "L-94D7AB7D";

/// Gives `prod` another key, with a session that ends then; the one of before is gone.
fn session(world: &World, nth: u32, ends: SignedDuration) -> AccessKey {
    let key = AccessKey {
        id: format!("ASIAIOSFODNN7EXAMP{nth:02}"),
        secret: format!("secret of session {nth}"),
        session: Some(Session { token: format!("token-{nth}"), expires: Timestamp::now() + ends }),
    };
    let mut model = world.running.sandbox.model_mut();
    let prod =
        model.accounts.values_mut().find(|account| account.profile.as_ref().is_some_and(|p| p.as_str() == "prod"));
    prod.expect("prod").keys.insert(0, key.clone());
    key
}

/// The sessions of `prod` end now.
fn end_sessions(world: &World) {
    let past = Timestamp::now() - SignedDuration::from_secs(1);
    let mut model = world.running.sandbox.model_mut();
    let keys = model.accounts.values_mut().flat_map(|account| &mut account.keys);
    keys.filter_map(|key| key.session.as_mut()).for_each(|session| session.expires = past);
}

fn sign_in(world: &World, key: &AccessKey) {
    let token = key.session.as_ref().map(|session| session.token.as_str()).unwrap_or_default();
    let text = format!(
        "[prod]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {token}\n",
        key.id, key.secret
    );
    std::fs::write(world.path(".aws/credentials"), text).expect("signed in");
}

/// Reads a file until it says that.
async fn until_it_says(path: &Path, word: &str) -> String {
    let begun = Instant::now();
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.contains(word) {
            return text;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{} never says {word}: {text}", path.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_is_waited_for_and_a_fresh_one_goes_on() {
    let slow = Rule::of(Fault::Delay { ms: 60, jitter: 0 }).on("GetSnapshotBlock");
    let world = World::with(Faults { rules: vec![slow], ..Faults::default() }).await;
    sign_in(&world, &session(&world, 1, SignedDuration::from_hours(1)));
    let args = ["copy", SMALL, "eu-west-1:", "copy.img", "--concurrency", "1", "--yes", "-o", "json"];
    let journal = world.path(".local/state/floe/jobs/1/events.ndjson");
    let meddle = async {
        until_it_says(&journal, "running").await;
        until_it_says(&journal, "listed").await;
        end_sessions(&world);
        let said = until_it_says(&journal, "\"to\":\"waiting\"").await;
        assert!(said.contains("\"why\":\"login prod\""), "{said}");
        // The engine's picture may be a moment older than its journal.
        let rows = loop {
            let rows = world.run(&["jobs", "ls", "-o", "json"]).await;
            let rows: serde_json::Value = serde_json::from_slice(&rows.stdout).expect("rows");
            if rows[0]["stall"].is_object() {
                break rows;
            }
        };
        assert_eq!((&rows[0]["why"], &rows[0]["stall"]["cause"]), (&"login prod".into(), &"login".into()), "{rows}");
        assert!(rows[0]["stall"]["seconds"].as_f64().is_some_and(|seconds| seconds < 15.0), "{rows}");
        // Not only at once: the calls of every service say it in their own words, and none of them ends the job.
        let tries = said.matches("waiting: ").count();
        let again = Instant::now();
        while std::fs::read_to_string(&journal).unwrap_or_default().matches("waiting: ").count() < tries + 1 {
            assert!(again.elapsed() < Duration::from_secs(60), "it does not try again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        sign_in(&world, &session(&world, 2, SignedDuration::from_hours(1)));
    };
    let ((code, json, stderr), ()) = tokio::join!(world.json(&args), meddle);
    assert_eq!((code, &json["state"]), (0, &"done".into()), "{stderr}");
    let truth = world.contents("prod", "us-east-1", SMALL.split_once(':').expect("an address").1).await;
    assert_image(&world.path("copy.img"), 1, &truth);
    let id = json["destinations"][0]["address"].as_str().and_then(|a| a.rsplit(':').next()).expect("an id").to_owned();
    assert!(world.contents("prod", "eu-west-1", &id).await == truth);
}

/// Keys that end while a snapshot is completed, waited for, or listed back: that is waited for as everywhere, and nothing is
/// written or completed twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_while_a_job_completes_is_waited_for_too() {
    let slow = |api: &str| Rule::of(Fault::Delay { ms: 1_500, jitter: 0 }).on(api);
    for (what, faults) in [
        ("waiting until it is completed", Faults { completing_ms: 4_000, ..Faults::default() }),
        ("listed back", Faults { rules: vec![Rule { skip: 1, ..slow("ListSnapshotBlocks") }], ..Faults::default() }),
    ] {
        let world = World::with(faults).await;
        sign_in(&world, &session(&world, 1, SignedDuration::from_hours(1)));
        let args = ["copy", SMALL, "eu-west-1:", "--yes", "-o", "json"];
        let journal = world.path(".local/state/floe/jobs/1/events.ndjson");
        let meddle = async {
            let word = if what == "listed back" { "\"checking\"" } else { "completing" };
            until_it_says(&journal, word).await;
            end_sessions(&world);
            until_it_says(&journal, "login prod").await;
            let puts = world.running.sandbox.counters().picture().api("PutSnapshotBlock").requests;
            sign_in(&world, &session(&world, 2, SignedDuration::from_hours(1)));
            puts
        };
        let ((code, json, stderr), puts) = tokio::join!(world.json(&args), meddle);
        assert_eq!((code, &json["state"]), (0, &"done".into()), "{what}: {stderr}");
        let counted = |api: &str| world.running.sandbox.counters().picture().api(api).requests;
        assert_eq!(counted("PutSnapshotBlock"), puts, "{what}: nothing is put again");
        let made = world.made_by_floe("prod", "eu-west-1").await;
        assert_eq!(made.len(), 1, "{what}");
        let truth = world.contents("prod", "us-east-1", SMALL.split_once(':').expect("an address").1).await;
        assert!(world.contents("prod", "eu-west-1", made[0].snapshot_id().expect("an id")).await == truth, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_without_credentials_says_so_and_can_be_resumed() {
    let late = Rule { skip: 20, ..Rule::of(Fault::Deny).on("PutSnapshotBlock") };
    let world = World::with(Faults { rules: vec![late], ..Faults::default() }).await;
    let keys = std::fs::read_to_string(world.path(".aws/credentials")).expect("keys");
    let (code, json, stderr) = world.json(&["copy", SMALL, "eu-west-1:", "--yes", "--foreground", "-o", "json"]).await;
    assert_eq!((code, &json["state"]), (1, &"failed".into()), "{stderr}");
    world.running.sandbox.set_faults(Faults::default());
    std::fs::write(world.path(".aws/credentials"), "").expect("signed out");
    // An engine of its own process, so that no other one has keys in its memory.
    let mut command = world.floe(&["jobs", "resume", "1", "--foreground"]);
    let resumed = tokio::task::spawn_blocking(move || command.output().expect("floe runs"));
    let journal = world.path(".local/state/floe/jobs/1/events.ndjson");
    until_it_says(&journal, "\"why\":\"login prod\"").await;
    std::fs::write(world.path(".aws/credentials"), keys).expect("signed in");
    let output = resumed.await.expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("profile prod gave no credentials") && said.contains("  → "), "{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_place_among_pending_snapshots_queues_and_goes_on() {
    let hang = crate::rig::only("PutSnapshotBlock", crate::rig::rule(Fault::Delay { ms: 60, jitter: 0 }, 1.0));
    let rig = Rig::with(Faults { rules: vec![hang], ..Faults::default() }).await;
    {
        let sandbox = &rig.world.running.sandbox;
        let prod = sandbox.profiles().into_iter().find(|keys| keys.name.as_str() == "prod").expect("prod");
        let mut model = sandbox.model_mut();
        let region = model.region_mut(&prod.account, &"eu-west-1".parse().expect("a region")).expect("the region");
        let pending = region.snapshots.values().filter(|s| s.state == SnapshotState::Pending).count();
        region.settings.quotas.insert(PENDING.to_owned(), pending as f64 + 1.0);
    }
    let client = rig.engine(None).await;
    let options = Options { concurrency: Some(1), ..Options::default() };
    let plan = rig.plan(SMALL, &["eu-west-1:"], options).await;
    let first = start(&client, &plan).await;
    row_when(&client, first, |row| row.blocks_done.0 > 0).await;
    let second = start(&client, &plan).await;
    let queued = row_when(&client, second, |row| row.state == JobState::Queued && row.why == "quota").await;
    assert!(
        queued.error.as_ref().is_some_and(|error| error.todo.as_deref().unwrap_or_default().contains(PENDING)),
        "{queued:?}"
    );
    assert_eq!(queued.held, floe::units::Bytes::ZERO);
    rig.heal();
    assert_eq!(end(&client, first).await.state, JobState::Done);
    let row = row_when(&client, second, at_rest).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let truth = rig.world.contents("prod", "us-east-1", SMALL.split_once(':').expect("an address").1).await;
    assert!(rig.copied(&row, 0).await == truth);
}

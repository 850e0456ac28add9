//! Jobs of another version of floe, and damaged ones: never out of sight, never believed, and no harm to the others.

use std::fs;
use std::path::PathBuf;

use floe::engine;
use floe::engine::protocol::{Command, JobState};
use floe::ids::JobId;
use floe::plan::Options;
use floe::sandbox::faults::{Fault, Faults, Rule};

use crate::rig::{Rig, SMALL, end, retry_start, row_when, start};

/// A job that rests half done, and its engine gone.
async fn resting() -> (Rig, JobId) {
    let slow = Rule::of(Fault::Delay { ms: 60, jitter: 0 }).on("GetSnapshotBlock");
    let rig = Rig::with(Faults { rules: vec![slow], ..Faults::default() }).await;
    let client = rig.engine(None).await;
    let options = Options { concurrency: Some(2), ..Options::default() };
    let job = start(&client, &rig.plan(SMALL, &["eu-west-1:"], options).await).await;
    row_when(&client, job, |row| row.blocks_done.0 > 5).await;
    client.send(Command::Pause(job)).await.expect("it pauses");
    end(&client, job).await;
    let _ = client.send(Command::Shutdown).await;
    rig.heal();
    (rig, job)
}

/// What a file of the job becomes.
type Spoil = fn(String) -> String;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_cannot_be_read_is_listed_says_why_and_harms_nobody() {
    let (rig, job) = resting().await;
    let file = |name: &str| -> PathBuf { rig.state.job(job).join(name) };
    let ways: [(&str, Spoil, &str); 6] = [
        (
            "events.ndjson",
            |t| t + "{\"v\":1,\"at\":\"2031-01-01T00:00:00Z\",\"record\":{\"moon-phase\":{}}}\n",
            "version of floe that wrote it",
        ),
        ("events.ndjson", |t| t.replacen("\"v\":1", "\"v\":2", 2), "version of floe that wrote it"),
        ("events.ndjson", |t| t.replacen('{', "", 1), "broken in line 1"),
        ("events.ndjson", |_| String::new(), "is empty"),
        ("job.json", |t| t.replacen("\"version\": 1", "\"version\": 2", 1), "version of floe that wrote it"),
        ("job.json", |t| t[..t.len() / 2].to_owned(), "is damaged"),
    ];
    for (name, spoil, word) in ways {
        let good = fs::read_to_string(file(name)).expect("it is there");
        fs::write(file(name), spoil(good.clone())).expect("spoiled");
        let puts = rig.world.running.sandbox.counters().picture().api("PutSnapshotBlock").requests;
        let rows = engine::jobs(&rig.state).expect("a list");
        assert_eq!(rows.len(), 1, "{word}: it is in the list");
        // A journal that is only empty is known when it is to be written to.
        let listed = rows[0].error.clone().map(|error| format!("{error} → {:?}", error.todo));
        assert!(word == "is empty" || listed.as_deref().is_some_and(|said| said.contains(word)), "{word}: {listed:?}");
        let client = retry_start(&rig.state, &rig.aws).await;
        let kept = client.send(Command::Forget(job)).await.expect_err("nobody drops what names its left-overs");
        assert!(word != "is damaged" || kept.todo.as_deref().is_some_and(|todo| todo.contains("rm -r")), "{kept:?}");
        assert!(!word.starts_with("version") || !format!("{kept:?}").contains("rm -r"), "{kept:?}");
        let resumed = client.send(Command::Resume(job)).await;
        let said = match resumed {
            Err(error) => format!("{error} → {:?}", error.todo),
            Ok(_) => {
                let row = row_when(&client, job, |row| row.state == JobState::Failed).await;
                row.error.map(|error| format!("{error} → {:?}", error.todo)).unwrap_or_default()
            }
        };
        assert!(said.contains(word), "{word}: {said}");
        // Its neighbour runs as if nothing were.
        let other = start(&client, &rig.plan(SMALL, &["null:"], Options::default()).await).await;
        assert_eq!(end(&client, other).await.state, JobState::Done);
        client.send(Command::Forget(other)).await.expect("forgotten");
        let _ = client.send(Command::Shutdown).await;
        drop(client);
        let now = rig.world.running.sandbox.counters().picture().api("PutSnapshotBlock").requests;
        assert_eq!(now, puts, "{word}: nothing was written for it");
        fs::write(file(name), good).expect("mended");
    }
    // As it was before, it goes on.
    let client = retry_start(&rig.state, &rig.aws).await;
    client.send(Command::Resume(job)).await.expect("it can be resumed");
    let row = row_when(&client, job, |row| row.state == JobState::Done || row.state == JobState::Failed).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
}

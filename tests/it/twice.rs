//! One job, told several things at once: resumed by two fronts, resumed and cancelled in the same moment, resumed while it
//! comes to rest, and left to wait no longer than it may. There is one run, nothing is made twice, each front hears
//! what it is, and a wait that ends deletes nothing.
#![expect(clippy::panic, reason = "helpers of tests fail the test")]

use std::path::PathBuf;
use std::process::{Child, Output};
use std::time::Duration;

use floe::engine::protocol::{Command, JobState, LeftOvers};
use floe::plan::Options;
use floe::sandbox::faults::{Fault, Faults, Rule};
use serde_json::Value;

use crate::rig::{Rig, SMALL, at_rest, end, row_when, start};
use crate::support::{World, assert_image};

fn slow(ms: u64) -> Faults {
    Faults { rules: vec![Rule::of(Fault::Delay { ms, jitter: 0 }).on("GetSnapshotBlock")], ..Faults::default() }
}

fn requests(world: &World, api: &str) -> u64 {
    world.running.sandbox.counters().picture().api(api).requests
}

fn switch(world: &World) -> PathBuf {
    world.path("disk.switch")
}

/// From now on the disk under the state directory refuses as this says (`src/store/ailing.rs`).
fn ail(world: &World, illness: &str) {
    let half = world.path("disk.half");
    std::fs::write(&half, illness).expect("a switch");
    std::fs::rename(half, switch(world)).expect("a switch");
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..1_200 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

/// An engine in a process of its own, whose disk can be made ill.
struct Background {
    world: World,
    engine: Child,
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.engine.kill();
        let _ = self.engine.wait();
    }
}

impl Background {
    async fn with(faults: Faults) -> Self {
        let world = World::with(faults).await;
        let mut command = world.floe(&["engine"]);
        let engine = command.env("FLOE_AILING_DISK", switch(&world)).stderr(std::process::Stdio::null());
        let engine = engine.spawn().expect("floe runs");
        let lock = world.path(".local/state/floe/engine.lock");
        until("the engine listens", async || {
            let held = std::fs::read_to_string(&lock).unwrap_or_default();
            held.contains("socket\":\"").then_some(())
        })
        .await;
        Self { world, engine }
    }

    async fn start(&self, more: &[&str]) {
        let image = self.world.path("copy.img").display().to_string();
        let args = [&["copy", SMALL, "eu-west-1:", &image, "--concurrency", "2", "--yes", "--detach"], more].concat();
        let output = self.world.run(&args).await;
        assert!(output.status.success(), "{}", said(&output));
    }

    async fn row(&self) -> Value {
        self.world.json(&["jobs", "ls", "-o", "json"]).await.1[0].clone()
    }

    async fn row_when(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        until(what, async || Some(self.row().await).filter(|row| is_so(row))).await
    }

    async fn moved(&self, blocks: u64) {
        self.row_when("blocks move", |row| row["blocks_done"].as_u64() >= Some(blocks)).await;
    }

    /// What two fronts hear that say this at once.
    async fn both(&self, one: &[&str], other: &[&str]) -> [Output; 2] {
        let (one, other) = tokio::join!(self.world.run(one), self.world.run(other));
        [one, other]
    }

    /// One snapshot, whole, and a whole file.
    async fn assert_whole(&self, what: &str) {
        self.world.running.sandbox.set_faults(Faults::default());
        let truth = self.world.contents("prod", "us-east-1", "snap-0feed000000b00701").await;
        let made = self.world.made_by_floe("prod", "eu-west-1").await;
        assert_eq!(made.len(), 1, "{what}: one snapshot");
        let id = made[0].snapshot_id().expect("an id");
        assert!(self.world.contents("prod", "eu-west-1", id).await == truth, "{what}");
        assert_image(&self.world.path("copy.img"), 1, &truth);
        assert_eq!(requests(&self.world, "StartSnapshot"), 1, "{what}");
    }

    /// Engines that took the job on, by its journal.
    fn runs(&self) -> usize {
        let journal = self.world.path(".local/state/floe/jobs/1/events.ndjson");
        std::fs::read_to_string(journal).expect("a journal").matches("\"engine\":{").count()
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The disk fills while blocks move: all of it, or what the ledger needs, or only when it is synced.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_room_ends_when_it_may_last_no_longer_and_deletes_nothing() {
    for illness in ["28", "only 28 ledger", "only sync 28 ledger", "only sync 28 journal"] {
        let floe = Background::with(slow(60)).await;
        floe.start(&["--wait-timeout", "3s"]).await;
        floe.moved(8).await;
        ail(&floe.world, illness);
        let row = floe.row_when("it rests", |row| row["state"] == "paused").await;
        assert_eq!(row["why"], "waited as long as it may", "{illness}: {row}");
        let left = row["left_overs"].as_array().expect("left-overs");
        assert_eq!(left.len(), 2, "{illness}: what it made is named: {row}");
        let pending = floe.world.made_by_floe("prod", "eu-west-1").await;
        assert_eq!(pending.len(), 1, "{illness}: its snapshot is there");
        assert_eq!(requests(&floe.world, "DeleteSnapshot"), 0, "{illness}");
        let puts = requests(&floe.world, "PutSnapshotBlock");
        std::fs::remove_file(switch(&floe.world)).expect("healed");
        let (code, result, stderr) = floe.world.json(&["jobs", "resume", "1", "-o", "json"]).await;
        assert_eq!((code, result["state"].as_str()), (0, Some("done")), "{illness}: {stderr}");
        let again = requests(&floe.world, "PutSnapshotBlock") - puts;
        assert!(again <= 64, "{illness}: {again} puts after {puts}");
        floe.assert_whole(illness).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_fronts_that_resume_one_job_have_one_run_of_it() {
    let floe = Background::with(slow(60)).await;
    floe.start(&[]).await;
    floe.moved(8).await;
    let resume = ["jobs", "resume", "1", "--detach"];
    // While it runs: nothing is begun anew, and both are told that it runs.
    for output in floe.both(&resume, &resume).await {
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("job 1 is running already"), "{}", said(&output));
    }
    assert_eq!(floe.runs(), 1);
    // When it rests: one of them is first, and there is one run.
    assert!(floe.world.run(&["jobs", "pause", "1"]).await.status.success());
    floe.row_when("it rests", |row| row["state"] == "paused").await;
    for output in floe.both(&resume, &resume).await {
        assert!(output.status.success(), "{}", said(&output));
    }
    floe.moved(24).await;
    assert_eq!(floe.runs(), 2);
    // While it waits for room: both wake it, and it waits on.
    ail(&floe.world, "28");
    floe.row_when("it waits", |row| row["state"] == "waiting").await;
    for output in floe.both(&resume, &resume).await {
        assert!(output.status.success(), "{}", said(&output));
    }
    floe.row_when("it waits on", |row| row["state"] == "waiting" && row["why"] == "disk full").await;
    std::fs::remove_file(switch(&floe.world)).expect("healed");
    let row = floe.row_when("its end", |row| row["ended"].is_string()).await;
    assert_eq!(row["state"], "done", "{row}");
    floe.assert_whole("resumed six times").await;
}

/// Whichever comes first: the job is cancelled, nothing of it is left, and who resumed it is not told that it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_and_a_resume_at_the_same_moment_leave_nothing_half_done() {
    let floe = Background::with(slow(60)).await;
    for job in 1..=4_u64 {
        floe.start(&[]).await;
        let number = job.to_string();
        let of = |rows: &Value| rows.as_array().and_then(|rows| rows.iter().find(|row| row["job"] == job).cloned());
        let seen = async |what: &str, is_so: &dyn Fn(&Value) -> bool| {
            until(what, async || of(&floe.world.json(&["jobs", "ls", "-o", "json"]).await.1).filter(|row| is_so(row)))
                .await
        };
        seen("it moves", &|row| row["blocks_done"].as_u64() > Some(4)).await;
        assert!(floe.world.run(&["jobs", "pause", &number]).await.status.success());
        seen("it rests", &|row| row["state"] == "paused").await;
        let (cancel, resume) = (["jobs", "cancel", &number, "--yes"], ["jobs", "resume", &number]);
        let [cancelled, resumed] = floe.both(&cancel, &resume).await;
        assert!(cancelled.status.success(), "{}", said(&cancelled));
        let row = seen("its end", &|row| row["state"] == "cancelled").await;
        assert_eq!(row["left_overs"], serde_json::json!([]), "{row}");
        assert!(!resumed.status.success() && said(&resumed).contains("cancelled"), "{}", said(&resumed));
        assert!(floe.world.made_by_floe("prod", "eu-west-1").await.is_empty(), "nothing that is paid for");
        let left: Vec<_> = std::fs::read_dir(floe.world.dir.path()).expect("its home").flatten().collect();
        assert!(!left.iter().any(|file| file.file_name().to_string_lossy().contains("copy.img")), "{left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_resumed_while_it_comes_to_rest_goes_on() {
    let rig = Rig::with(slow(60)).await;
    let client = rig.engine(None).await;
    let image = rig.world.path("copy.img").display().to_string();
    let options = Options { concurrency: Some(2), ..Options::default() };
    let job = start(&client, &rig.plan(SMALL, &["eu-west-1:", &image], options).await).await;
    for blocks in [8, 24, 40] {
        row_when(&client, job, |row| row.blocks_done.0 > blocks).await;
        client.send(Command::Pause(job)).await.expect("it pauses");
        client.send(Command::Resume(job)).await.expect("it goes on");
    }
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Done, "never seen at rest before it was: {:?}", row.why);
    let truth = rig.world.contents("prod", "us-east-1", "snap-0feed000000b00701").await;
    assert!(rig.copied(&row, 0).await == truth);
    assert_image(&rig.world.path("copy.img"), 1, &truth);
    // The other way round the pause is the last word; and a clean-up that was asked for is not called off by either.
    rig.world.running.sandbox.set_faults(slow(60));
    std::fs::remove_file(rig.world.path("copy.img")).expect("room for another");
    let options = Options { concurrency: Some(2), ..Options::default() };
    let job = start(&client, &rig.plan(SMALL, &["eu-west-1:", &image], options).await).await;
    row_when(&client, job, |row| row.blocks_done.0 > 8).await;
    client.send(Command::Pause(job)).await.expect("it pauses");
    client.send(Command::Resume(job)).await.expect("it goes on");
    client.send(Command::Pause(job)).await.expect("it pauses");
    assert_eq!(end(&client, job).await.state, JobState::Paused);
    client.send(Command::Resume(job)).await.expect("it goes on");
    row_when(&client, job, |row| row.state == JobState::Running).await;
    client.send(Command::Cancel(job, LeftOvers::CleanUp)).await.expect("it is given up");
    let error = client.send(Command::Resume(job)).await.expect_err("it is given up");
    assert!(error.what.contains("cancel"), "{error}");
    let _ = client.send(Command::Pause(job)).await;
    let row = row_when(&client, job, |row| at_rest(row) && row.state != JobState::Running).await;
    assert_eq!(row.state, JobState::Cancelled, "{row:?}");
    assert_eq!(rig.world.made_by_floe("prod", "eu-west-1").await.len(), 1, "the first one's");
}

//! `kill -9` at named points and at seeded moments: after a resume every destination has identical bytes, nothing
//! was started twice, and no more was sent again than was in flight or not yet in the ledger.
//!
//! `FLOE_CRASH_SEEDS=100` runs that many moments instead of the few of every day; `FLOE_CRASH_FROM=1001` begins with
//! another seed than the first.

use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use floe::sandbox::faults::{Fault, Faults, Limit, LimitOf, Rule};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Contents, WEB_DATA, World, assert_image};

/// 64 blocks, encrypted.
const BOOT: &str = "snap-0feed000000b00701";
/// Requests in flight in these tests.
const LANES: u64 = 16;
/// Puts a second that the sandbox lets through, and at once.
const RATE: u64 = 400;
const BURST: u64 = 50;

/// A destination of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Snapshot,
    File,
    Both,
}

impl To {
    fn addresses(self) -> Vec<&'static str> {
        match self {
            Self::Snapshot => vec!["eu-west-1:"],
            Self::File => vec!["./copy.img"],
            Self::Both => vec!["eu-west-1:", "./copy.img"],
        }
    }
    const fn has_snapshot(self) -> bool {
        matches!(self, Self::Snapshot | Self::Both)
    }
    const fn has_file(self) -> bool {
        matches!(self, Self::File | Self::Both)
    }
}

fn requests(world: &World, api: &str) -> u64 {
    world.running.sandbox.counters().picture().api(api).requests
}

/// A copy whose engine is the process itself, so that killing it kills the engine.
fn copy(world: &World, snapshot: &str, to: To, crash_at: Option<&str>) -> Child {
    copy_and_verify(world, snapshot, to, "listing", crash_at)
}

fn copy_and_verify(world: &World, snapshot: &str, to: To, verify: &str, crash_at: Option<&str>) -> Child {
    let mut command = copying(world, snapshot, to, verify);
    if let Some(point) = crash_at {
        command.env("FLOE_CRASH_AT", point);
    }
    command.spawn().expect("floe runs")
}

fn copying(world: &World, snapshot: &str, to: To, verify: &str) -> Command {
    let source = format!("us-east-1:{snapshot}");
    let lanes = LANES.to_string();
    let mut args = vec!["copy", &source];
    args.extend(to.addresses());
    args.extend(["--verify", verify]);
    args.extend(["--yes", "--foreground", "--concurrency", &lanes]);
    world.floe(&args)
}

/// Its exit code; `None` when a signal ended it.
async fn ended(child: Child) -> (Option<i32>, String) {
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().expect("it ends")).await.expect("waited");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Resumes until it is done, and looks at what there is.
async fn resumed(world: &World, to: To, truth: &Contents, what: &str) {
    let (code, json, stderr) = world.json(&["jobs", "resume", "1", "--foreground", "-o", "json"]).await;
    assert_eq!(code, 0, "{what}: {stderr}");
    assert_eq!(json["state"], "done", "{what}");
    resumed_is_whole(world, to, truth, what).await;
}

/// What a resumed copy has made: whole, and once.
async fn resumed_is_whole(world: &World, to: To, truth: &Contents, what: &str) {
    if to.has_snapshot() {
        let made = world.made_by_floe("prod", "eu-west-1").await;
        assert_eq!(made.len(), 1, "{what}: no second snapshot");
        let id = made[0].snapshot_id().expect("an id");
        assert_eq!(made[0].state(), Some(&aws_sdk_ec2::types::SnapshotState::Completed), "{what}");
        world.running.sandbox.set_faults(Faults::default());
        assert!(world.contents("prod", "eu-west-1", id).await == *truth, "{what}: the snapshot equals the source");
    }
    if to.has_file() {
        assert_image(&world.path("copy.img"), 1, truth);
        let left = std::fs::read_dir(world.dir.path()).expect("a directory").flatten();
        let names: Vec<String> = left.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        assert!(
            !names.iter().any(|name| name.contains(".copy.img") || name.contains("copy.img.")),
            "{what}: {names:?}"
        );
    }
}

/// SIGTERM in each part of the end of a copy: it ends cleanly or goes through, nothing is put again, no second
/// snapshot appears, and what was put down is whole after a resume.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_told_to_end_while_it_completes_is_whole_after_a_resume() {
    let truth = World::calm().await.contents("prod", "us-east-1", BOOT).await;
    for (point, to, verify) in [
        ("complete-answered", To::Snapshot, "listing"),
        ("complete-answered", To::Both, "full"),
        ("checking", To::Both, "listing"),
        ("checked:2", To::Both, "full"),
        ("before-rename", To::Both, "listing"),
        ("after-rename", To::File, "full"),
    ] {
        let what = format!("told at {point} of {to:?}");
        // What is completed takes a while to be, so that there is something to wait for.
        let world = World::with(Faults { completing_ms: 1_500, ..Faults::default() }).await;
        let mut command = copying(&world, BOOT, to, verify);
        command.env("FLOE_CRASH_AT", point).env("FLOE_CRASH_BY", "TERM");
        let (code, said) = ended(command.spawn().expect("floe runs")).await;
        assert!(matches!(code, Some(0 | 4)), "{what}: it ends by itself: {code:?} {said}");
        let puts = requests(&world, "PutSnapshotBlock");
        if code == Some(4) {
            resumed(&world, to, &truth, &what).await;
        } else {
            resumed_is_whole(&world, to, &truth, &what).await;
        }
        assert_eq!(requests(&world, "PutSnapshotBlock"), puts, "{what}: nothing is put again");
        // Asked once more at most: as long as it is pending, nobody knows whether the first word came through.
        let completed = requests(&world, "CompleteSnapshot");
        let most = if code == Some(4) { 2 } else { 1 };
        assert!((1..=most).contains(&completed) || !to.has_snapshot(), "{what}: completed {completed} times");
    }
}

/// The same of a background engine, by an admin who sees that it is `completing`, in the midst of each thing that it waits
/// for: the next engine goes on with it unasked.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_told_to_end_while_a_job_completes_leaves_it_to_the_next_one() {
    let truth = World::calm().await.contents("prod", "us-east-1", BOOT).await;
    let slow = |api: &str| Rule::of(Fault::Delay { ms: 2_000, jitter: 0 }).on(api);
    let source = format!("us-east-1:{BOOT}");
    for (what, faults) in [
        ("complete sent", Faults { rules: vec![slow("CompleteSnapshot")], ..Faults::default() }),
        ("waiting until it is completed", Faults { completing_ms: 6_000, ..Faults::default() }),
        ("listed back", Faults { rules: vec![Rule { skip: 1, ..slow("ListSnapshotBlocks") }], ..Faults::default() }),
    ] {
        let world = World::with(faults).await;
        let output = world.run(&["copy", &source, "eu-west-1:", "./copy.img", "--yes", "--detach"]).await;
        assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
        crate::background::until("its end phase", async || {
            let row = crate::background::jobs(&world).await.remove(0);
            let state = row["state"].as_str().unwrap_or_default().to_owned();
            assert_ne!(state, "done", "{what}: the moment was missed");
            matches!(state.as_str(), "completing" | "verifying").then_some(())
        })
        .await;
        let first = crate::background::engine_pid(&world);
        kill_process(first, Signal::TERM).expect("told");
        crate::background::until("its end", async || rustix::process::test_kill_process(first).is_err().then_some(()))
            .await;
        let puts = requests(&world, "PutSnapshotBlock");
        let rest = crate::background::jobs(&world).await.remove(0);
        assert_eq!(rest["state"], "interrupted", "{what}: {rest}");
        resumed_in_background(&world).await;
        resumed_is_whole(&world, To::Both, &truth, what).await;
        assert_eq!(requests(&world, "PutSnapshotBlock"), puts, "{what}: nothing is put again");
    }
}

async fn resumed_in_background(world: &World) {
    let (code, json, stderr) = world.json(&["jobs", "resume", "1", "-o", "json"]).await;
    assert_eq!((code, &json["state"]), (0, &"done".into()), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_named_point_is_resumed() {
    let truth = World::calm().await.contents("prod", "us-east-1", BOOT).await;
    let points = [
        ("start-answered", To::Snapshot),
        ("start-journaled", To::Both),
        ("acknowledged-before-ledger:1", To::Snapshot),
        ("acknowledged-before-ledger:40", To::Both),
        ("synced-before-ledger", To::File),
        ("synced-before-ledger", To::Both),
        ("complete-answered", To::Snapshot),
        ("checking", To::Both),
        ("before-rename", To::File),
        ("before-rename", To::Both),
        ("after-rename", To::File),
    ];
    for (point, to) in points {
        let what = format!("{point} to {to:?}");
        let world = World::calm().await;
        let (code, stderr) = ended(copy(&world, BOOT, to, Some(point))).await;
        assert_eq!(code, None, "{what}: it dies there, and does not merely end: {stderr}");
        let puts = requests(&world, "PutSnapshotBlock");
        resumed(&world, to, &truth, &what).await;
        let again = requests(&world, "PutSnapshotBlock").saturating_sub(puts);
        assert!(!point.starts_with("complete") || again == 0, "{what}: nothing is put once it is completed");
    }
}

/// What is acknowledged is in the ledger soon, not when the engine ends: a kill takes that away.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_a_while_before_a_kill_is_not_written_again() {
    let truth = World::calm().await.contents("prod", "us-east-1", WEB_DATA).await;
    let limit =
        Limit { api: "PutSnapshotBlock".to_owned(), of: LimitOf::Snapshot, per_second: 100.0, burst: Some(20.0) };
    let world = World::with(Faults { limits: vec![limit], ..Faults::default() }).await;
    let mut child = copy(&world, WEB_DATA, To::Snapshot, None);
    let written = || world.running.sandbox.counters().picture().api("PutSnapshotBlock").outcomes.get("ok").copied();
    while written() < Some(500) {
        assert!(matches!(child.try_wait(), Ok(None)), "it ended by itself");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    kill(&child);
    let _ = ended(child).await;
    let before = written();
    world.running.sandbox.set_faults(Faults::default());
    resumed(&world, To::Snapshot, &truth, "killed after 500 puts").await;
    let again = written().unwrap_or(0) - before.unwrap_or(0);
    // The ledger is flushed every second; twice that and what is in flight may be lost.
    assert!(again <= truth.len() as u64 - 500 + 200 + LANES, "{again} puts for the rest of {}", truth.len());
}

/// Blocks that are read back between two lines of the journal, at most.
const BATCH: u64 = 128;

/// How far each line of the journal says that a destination is checked.
fn checked(world: &World) -> Vec<u64> {
    let journal = std::fs::read_to_string(world.path(".local/state/floe/jobs/1/events.ndjson")).expect("a journal");
    let lines = journal.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line"));
    lines.filter_map(|line| line["record"]["checked"]["to"]["through"].as_u64()).collect()
}

/// The bytes that the last line of that kind says were read back.
fn bytes_read_back(world: &World) -> u64 {
    let journal = std::fs::read_to_string(world.path(".local/state/floe/jobs/1/events.ndjson")).expect("a journal");
    let lines = journal.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line"));
    lines.filter_map(|line| line["record"]["progress"]["bytes_read_back"].as_u64()).next_back().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_a_result_is_read_back_goes_on_there() {
    let truth = World::calm().await.contents("prod", "us-east-1", WEB_DATA).await;
    let blocks = truth.len() as u64;
    for depth in [1, 700, blocks] {
        let what = format!("block {depth} of {blocks}");
        let world = World::calm().await;
        let point = format!("checked:{depth}");
        let child = copy_and_verify(&world, WEB_DATA, To::Snapshot, "full", Some(&point));
        let (code, stderr) = ended(child).await;
        assert_eq!(code, None, "{what}: it dies there: {stderr}");
        let (puts, gets) = (requests(&world, "PutSnapshotBlock"), requests(&world, "GetSnapshotBlock"));
        let lists = requests(&world, "ListSnapshotBlocks");
        let (code, json, stderr) = world.json(&["jobs", "resume", "1", "--foreground", "-o", "json"]).await;
        assert_eq!(code, 0, "{what}: {stderr}");
        assert_eq!((&json["state"], &json["destinations"][0]["evidence"]), (&"done".into(), &"re-read".into()));
        let again = requests(&world, "GetSnapshotBlock") - gets;
        // The rest, what was compared since the last line of the journal, and nothing of the source.
        assert!(again >= blocks - depth, "{what}: {again} Gets do not read the rest");
        assert!(again <= blocks - depth + BATCH, "{what}: {again} Gets for the rest and a batch");
        assert_eq!(requests(&world, "PutSnapshotBlock"), puts, "{what}: nothing is put");
        let lists = requests(&world, "ListSnapshotBlocks") - lists;
        assert!(lists <= 10, "{what}: {lists} Lists: neither the source nor all of the result");
        resumed_is_whole(&world, To::Snapshot, &truth, &what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_a_file_is_read_back_goes_on_there_and_its_sum_is_right() {
    let truth = World::calm().await.contents("prod", "us-east-1", WEB_DATA).await;
    // Of the 2,048 blocks of the volume, holes included.
    for depth in [1, 900, 2_048] {
        let what = format!("block {depth} of 2048");
        let world = World::calm().await;
        let point = format!("checked:{depth}");
        let (code, stderr) = ended(copy_and_verify(&world, WEB_DATA, To::File, "full", Some(&point))).await;
        assert_eq!(code, None, "{what}: it dies there: {stderr}");
        let lines = checked(&world);
        let (before, gets) = (lines.last().copied().unwrap_or(0), requests(&world, "GetSnapshotBlock"));
        assert!(before < depth && before + BATCH >= depth, "{what}: the journal says {before}");
        let (code, json, stderr) = world.json(&["jobs", "resume", "1", "--foreground", "-o", "json"]).await;
        assert_eq!(code, 0, "{what}: {stderr}");
        assert_eq!(requests(&world, "GetSnapshotBlock"), gets, "{what}: the source is not read again");
        let image = std::fs::read(world.path("copy.img")).expect("the image");
        let sum: String = crate::support::sha256(&image).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(json["destinations"][0]["image_sha256"], sum, "{what}");
        let read = bytes_read_back(&world) / crate::support::BLOCK as u64;
        assert!(depth == 2_048 || read > 0, "{what}: it is counted");
        assert!(read <= 2_048 - before, "{what}: {read} blocks read after {before} were known to be right");
        assert_image(&world.path("copy.img"), 1, &truth);
    }
}

/// Kills the copy once the sandbox has seen so many requests of that kind: in flight, and not answered.
async fn killed_in_flight(api: &str, to: To) -> World {
    let slow = Rule::of(Fault::Delay { ms: 3_000, jitter: 0 }).on(api).times(1);
    let world = World::with(Faults { rules: vec![slow], ..Faults::default() }).await;
    let child = copy(&world, BOOT, to, None);
    while requests(&world, api) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    kill(&child);
    let (code, _) = ended(child).await;
    assert_eq!(code, None, "{api}: killed");
    world
}

fn kill(child: &Child) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    let _ = kill_process(pid, Signal::KILL);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_with_a_start_or_a_completion_on_its_way_is_resumed() {
    let truth = World::calm().await.contents("prod", "us-east-1", BOOT).await;
    for (api, to) in [("StartSnapshot", To::Snapshot), ("StartSnapshot", To::Both), ("CompleteSnapshot", To::Snapshot)]
    {
        let world = killed_in_flight(api, to).await;
        resumed(&world, to, &truth, &format!("{api} in flight")).await;
    }
}

/// One seeded moment: the copy is killed after so many requests, on a slow sandbox that fails now and then, perhaps
/// more than once.
async fn at_a_moment(seed: u64, truth: Arc<Contents>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let to = [To::Snapshot, To::File, To::Both][usize::try_from(seed % 3).expect("small")];
    let limit = |api: &str| {
        let (per_second, burst) = (RATE as f64, Some(BURST as f64));
        Limit { api: api.to_owned(), of: LimitOf::Snapshot, per_second, burst }
    };
    let stormy = seed.is_multiple_of(2);
    let rules = if stormy { Faults::storm(None, 0.005) } else { Vec::new() };
    let limits = vec![limit("GetSnapshotBlock"), limit("PutSnapshotBlock")];
    let world = World::with(Faults { seed, rules, limits, ..Faults::default() }).await;
    let total = || {
        ["ListSnapshotBlocks", "GetSnapshotBlock", "PutSnapshotBlock", "StartSnapshot", "CompleteSnapshot"]
            .iter()
            .map(|api| requests(&world, api))
            .sum::<u64>()
    };
    let what = format!("seed {seed}, {to:?}");
    let kills = 1 + random.u64(0..3);
    let mut child = copy(&world, WEB_DATA, to, None);
    for nth in 0..kills {
        let until = total() + random.u64(1..1_800);
        while total() < until && matches!(child.try_wait(), Ok(None)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        kill(&child);
        let _ = ended(child).await;
        if nth + 1 == kills {
            break;
        }
        let lanes = LANES.to_string();
        let again = ["jobs", "resume", "1", "--foreground", "--concurrency", &lanes];
        child = world.floe(&again).spawn().expect("floe runs");
    }
    if !world.path(".local/state/floe/jobs/1/job.json").exists() {
        return; // killed before there was a job: nothing was begun
    }
    let last = world.json(&["jobs", "show", "1", "-o", "json"]).await;
    if last.1["state"] != "done" {
        resumed(&world, to, &truth, &what).await;
    }
    if to == To::Snapshot && !stormy {
        let outcomes = world.running.sandbox.counters().picture().api("PutSnapshotBlock").outcomes;
        let puts = outcomes.get("ok").copied().unwrap_or_default();
        // In flight, and what a second of the rate had acknowledged before the ledger was flushed.
        let most = truth.len() as u64 + kills * (LANES + RATE + BURST);
        assert!(puts <= most, "{what}: {puts} Puts for {} blocks and {kills} kills", truth.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_seeded_moments_loses_nothing() {
    let wanted = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let (first, seeds) = (wanted("FLOE_CRASH_FROM").unwrap_or(1), wanted("FLOE_CRASH_SEEDS").unwrap_or(12));
    let truth = Arc::new(World::calm().await.contents("prod", "us-east-1", WEB_DATA).await);
    for some in (first..first + seeds).collect::<Vec<u64>>().chunks(3) {
        let runs: Vec<_> = some.iter().map(|seed| tokio::spawn(at_a_moment(*seed, Arc::clone(&truth)))).collect();
        for run in runs {
            run.await.expect("a run");
        }
    }
}

//! The state directory refuses in the middle of a job: read-only from one moment on, full around the completion of a
//! result, or taking everything and failing to make it durable. Nothing is called completed that is not, what is said names
//! the cause and what to do, and nothing is made twice.
//!
//! The engine is a process of its own whose journals and ledgers refuse from a chosen line on (`src/store/ailing.rs`).

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use floe::sandbox::faults::{Fault, Faults, Rule};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Contents, World, assert_image};

/// 64 blocks, encrypted.
const BOOT: &str = "snap-0feed000000b00701";

fn delay(ms: u64, api: &str) -> Faults {
    Faults { rules: vec![Rule::of(Fault::Delay { ms, jitter: 0 }).on(api)], ..Faults::default() }
}

fn requests(world: &World, api: &str) -> u64 {
    world.running.sandbox.counters().picture().api(api).requests
}

/// The switch of the disk, and what it leaves when it was met.
fn switch(world: &World) -> (PathBuf, PathBuf) {
    (world.path("disk.switch"), world.path("disk.met"))
}

/// From the line that holds `word` on, journal and ledger answer so.
fn refuse(world: &World, errno: Errno, word: &str) {
    ail(world, "", errno, word);
}

/// The same with words for how: `only`, `once`, `sync`.
fn ail(world: &World, how: &str, errno: Errno, word: &str) {
    // In one step: half a number must not be read.
    let (path, half) = (switch(world).0, world.path("disk.half"));
    std::fs::write(&half, format!("{how} {} {word}", errno.raw_os_error())).expect("a switch");
    std::fs::rename(half, path).expect("a switch");
}

fn heal(world: &World) {
    std::fs::remove_file(switch(world).0).expect("healed");
    world.running.sandbox.set_faults(Faults::default());
}

fn copy(world: &World, more: &[&str]) -> Child {
    let source = format!("us-east-1:{BOOT}");
    let mut args = vec!["copy", &source, "eu-west-1:", "./copy.img", "--yes", "--foreground", "-o", "json"];
    args.extend(["--concurrency", "4"]);
    args.extend(more);
    world.floe(&args).env("FLOE_AILING_DISK", switch(world).0).spawn().expect("floe runs")
}

/// Its exit code, its last line as JSON, and what it said.
async fn ended(child: Child) -> (Option<i32>, serde_json::Value, String) {
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().expect("it ends")).await.expect("waited");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let json = serde_json::from_str(stdout.lines().last().unwrap_or_default()).unwrap_or_default();
    (output.status.code(), json, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Looks again and again until it is so; the number only ends a test that hangs.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let mut looks = 0;
    while !is_so() {
        looks += 1;
        assert!(looks < 12_000, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn met(world: &World, child: &mut Child) {
    let seen = switch(world).1;
    until("the disk refuses", || seen.exists() || child.try_wait().expect("looked at").is_some()).await;
    assert!(seen.exists(), "it ended before its disk refused anything");
}

/// Both results are whole, and there is one of each; asked of AWS by the reader that is not floe's.
async fn assert_whole(world: &World, truth: &Contents, what: &str) {
    let made = world.made_by_floe("prod", "eu-west-1").await;
    assert_eq!(made.len(), 1, "{what}: no second snapshot");
    assert_eq!(made[0].state(), Some(&aws_sdk_ec2::types::SnapshotState::Completed), "{what}");
    let id = made[0].snapshot_id().expect("an id");
    assert!(world.contents("prod", "eu-west-1", id).await == *truth, "{what}: the snapshot");
    assert_image(&world.path("copy.img"), 1, truth);
}

/// Nothing that this process said is done which is not: neither the job, nor a destination that has no record of it.
fn assert_not_called_done(json: &serde_json::Value, what: &str) {
    assert_ne!(json["state"], "done", "{what}: {json}");
    for to in json["destinations"].as_array().into_iter().flatten() {
        assert_ne!(to["state"], "completed", "{what}: {json}");
    }
}

async fn truth() -> Contents {
    World::calm().await.contents("prod", "us-east-1", BOOT).await
}

async fn resumed(world: &World, truth: &Contents, what: &str) {
    let (code, json, stderr) = world.json(&["jobs", "resume", "1", "--foreground", "-o", "json"]).await;
    assert_eq!((code, json["state"].as_str()), (0, Some("done")), "{what}: {stderr}");
    assert_whole(world, truth, what).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_that_becomes_read_only_ends_its_job_with_a_sentence() {
    let truth = truth().await;
    for errno in [Errno::ROFS, Errno::ACCESS] {
        let what = format!("{errno}");
        let world = World::with(delay(60, "GetSnapshotBlock")).await;
        let mut child = copy(&world, &[]);
        until("it moves", || requests(&world, "GetSnapshotBlock") >= 12).await;
        refuse(&world, errno, "");
        met(&world, &mut child).await;
        let (code, json, stderr) = ended(child).await;
        assert_eq!(code, Some(1), "{what}: {stderr}");
        assert_not_called_done(&json, &what);
        let why = std::io::Error::from(errno).to_string();
        for word in [why.as_str(), "state directory writable", "floe jobs resume"] {
            assert!(stderr.contains(word), "{what}: \"{word}\" in {stderr}");
        }
        assert!(!world.path("copy.img").exists(), "{what}: nothing has the name of the result");
        let made = world.made_by_floe("prod", "eu-west-1").await;
        assert!(made.iter().all(|made| made.state() == Some(&aws_sdk_ec2::types::SnapshotState::Pending)), "{what}");
        let got = requests(&world, "GetSnapshotBlock");
        heal(&world);
        resumed(&world, &truth, &what).await;
        let again = requests(&world, "GetSnapshotBlock") - got;
        assert!(again <= 2 * truth.len() as u64, "{what}: {again} reads, some of them the reader's");
    }
}

/// Where the disk is full: before CompleteSnapshot is sent, while it is on its way, when it was answered, when its result
/// was checked.
const MOMENTS: [(&str, Option<&str>); 5] = [
    ("the job says that it completes", Some("\"to\":\"completing\"")),
    ("before it is sent", Some("\"completing\":{")),
    ("on its way", None),
    ("answered", Some("\"checking\"")),
    ("checked", Some("\"completed\":{")),
];

/// A copy whose disk is full from this moment on; it is still running.
async fn full_at(word: Option<&str>, more: &[&str]) -> (World, Child) {
    let world = World::with(delay(1_500, "CompleteSnapshot")).await;
    if let Some(word) = word {
        refuse(&world, Errno::NOSPC, word);
    }
    let mut child = copy(&world, more);
    if word.is_none() {
        until("it completes", || requests(&world, "CompleteSnapshot") > 0).await;
        refuse(&world, Errno::NOSPC, "");
    }
    met(&world, &mut child).await;
    (world, child)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_while_a_snapshot_is_completed_is_waited_for() {
    let truth = truth().await;
    for (what, word) in MOMENTS {
        let (world, mut child) = full_at(word, &[]).await;
        assert!(child.try_wait().expect("looked at").is_none(), "{what}: it waits for room");
        heal(&world);
        let (code, json, stderr) = ended(child).await;
        assert_eq!((code, json["state"].as_str()), (Some(0), Some("done")), "{what}: {stderr}");
        assert!(stderr.contains("No space left on device"), "{what}: {stderr}");
        assert_whole(&world, &truth, what).await;
        assert_eq!(requests(&world, "StartSnapshot"), 1, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_saved_on_a_full_disk_is_not_called_done_and_found_again() {
    let truth = truth().await;
    for (what, word) in MOMENTS {
        let (world, child) = full_at(word, &["--wait-timeout", "1s"]).await;
        let (code, json, stderr) = ended(child).await;
        assert_eq!(code, Some(4), "{what}: stopped, resumable: {stderr}");
        assert_eq!(json["state"], "paused", "{what}: {json}");
        assert_ne!(json["destinations"][0]["state"], "completed", "{what}: {json}");
        for word in ["No space left on device", "free some space"] {
            assert!(stderr.contains(word), "{what}: \"{word}\" in {stderr}");
        }
        heal(&world);
        resumed(&world, &truth, what).await;
        assert_eq!(requests(&world, "StartSnapshot"), 1, "{what}");
    }
}

/// Killed while the disk is full: the last line on it is what a resume has.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_on_a_full_disk_makes_no_second_snapshot() {
    let truth = truth().await;
    for (what, word) in MOMENTS {
        let (world, child) = full_at(word, &[]).await;
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
        let _ = kill_process(pid, Signal::KILL);
        assert_eq!(ended(child).await.0, None, "{what}: killed");
        heal(&world);
        resumed(&world, &truth, what).await;
        assert_eq!(requests(&world, "StartSnapshot"), 1, "{what}");
    }
}

/// A sync that fails is no write that fails: what was taken before it may be lost, and the kernel does not tell which.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails_once_loses_nothing_and_stops_nothing() {
    let truth = truth().await;
    for (errno, word) in [(Errno::IO, "ledger"), (Errno::IO, "journal"), (Errno::NOSPC, "ledger")] {
        let what = format!("{errno} of the {word}");
        let world = World::calm().await;
        ail(&world, "once only sync", errno, word);
        let (code, json, stderr) = ended(copy(&world, &[])).await;
        assert!(switch(&world).1.exists(), "{what}: it was met");
        assert_eq!((code, json["state"].as_str()), (Some(0), Some("done")), "{what}: {stderr}");
        assert_whole(&world, &truth, &what).await;
        assert_eq!(requests(&world, "StartSnapshot"), 1, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_cannot_be_synced_on_a_full_disk_are_waited_for() {
    let truth = truth().await;
    for (what, word) in MOMENTS.into_iter().filter_map(|(what, word)| Some((what, word?))) {
        let world = World::calm().await;
        ail(&world, "sync", Errno::NOSPC, word);
        let mut child = copy(&world, &[]);
        met(&world, &mut child).await;
        assert!(child.try_wait().expect("looked at").is_none(), "{what}: it waits for room");
        heal(&world);
        let (code, json, stderr) = ended(child).await;
        assert_eq!((code, json["state"].as_str()), (Some(0), Some("done")), "{what}: {stderr}");
        for word in ["free some space: up to", "No space left on device"] {
            assert!(stderr.contains(word), "{what}: \"{word}\" in {stderr}");
        }
        assert_whole(&world, &truth, what).await;
        assert_eq!(requests(&world, "StartSnapshot"), 1, "{what}");
    }
}

/// A copy that was killed when some of it had moved.
async fn killed() -> World {
    let world = World::with(delay(60, "GetSnapshotBlock")).await;
    let child = copy(&world, &["--wait-timeout", "1h"]);
    until("it moves", || requests(&world, "GetSnapshotBlock") >= 12).await;
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    let _ = kill_process(pid, Signal::KILL);
    assert_eq!(ended(child).await.0, None, "killed");
    world.running.sandbox.set_faults(Faults::default());
    world
}

/// Where a resume finds no room: for its engine, for its first line, for its second, for its ledger.
#[tokio::test(flavor = "multi_thread")]
async fn a_resume_on_a_full_disk_waits_for_room_and_says_so() {
    let truth = truth().await;
    for (how, word) in
        [("", "engine.lock"), ("", "\"engine\":{"), ("", "\"opening\""), ("only sync", "ledger"), ("", "ledger")]
    {
        let what = format!("{how} {word}");
        let world = killed().await;
        ail(&world, how, Errno::NOSPC, word);
        let mut resume = world.floe(&["jobs", "resume", "1", "--foreground", "-o", "json"]);
        let mut child = resume.env("FLOE_AILING_DISK", switch(&world).0).spawn().expect("floe runs");
        met(&world, &mut child).await;
        assert!(child.try_wait().expect("looked at").is_none(), "{what}: it waits for room");
        heal(&world);
        let (code, json, stderr) = ended(child).await;
        assert_eq!((code, json["state"].as_str()), (Some(0), Some("done")), "{what}: {stderr}");
        assert!(stderr.contains("No space left on device"), "{what}: {stderr}");
        assert_whole(&world, &truth, &what).await;
        assert_eq!(requests(&world, "StartSnapshot"), 1, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_started_on_a_full_disk_comes_up_when_there_is_room() {
    let world = World::calm().await;
    let state = world.path("state");
    refuse(&world, Errno::NOSPC, "");
    let dir = state.display().to_string();
    let mut engine = world.floe(&["engine", "--state-dir", &dir]);
    let mut child = engine.env("FLOE_AILING_DISK", switch(&world).0).spawn().expect("floe runs");
    met(&world, &mut child).await;
    let held = || std::fs::read_to_string(state.join("engine.lock")).unwrap_or_default();
    assert!(!held().contains("socket"), "{}", held());
    heal(&world);
    until("it listens", || held().contains("engine.sock")).await;
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    let _ = kill_process(pid, Signal::TERM);
    let (code, _, stderr) = ended(child).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("waiting for room") && stderr.contains("No space left on device"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_begin_on_a_full_disk_leaves_no_half_job() {
    for word in ["job.json", "\"created\":{", "jobs/last"] {
        let world = World::calm().await;
        refuse(&world, Errno::NOSPC, word);
        let (code, _, stderr) = ended(copy(&world, &[])).await;
        assert_eq!(code, Some(1), "{word}: {stderr}");
        for said in ["No space left on device", "nothing was begun"] {
            assert!(stderr.contains(said), "{word}: \"{said}\" in {stderr}");
        }
        heal(&world);
        let (_, jobs, _) = world.json(&["jobs", "ls", "-o", "json"]).await;
        assert_eq!(jobs, serde_json::json!([]), "{word}");
        let left = std::fs::read_dir(world.path(".local/state/floe/jobs")).expect("listed").flatten();
        let numbered = left.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok()).count();
        assert_eq!((numbered, requests(&world, "StartSnapshot")), (0, 0), "{word}");
    }
}

/// What is remembered to be quicker next time is never needed: without room for it, all answers are the same.
#[tokio::test(flavor = "multi_thread")]
async fn memories_that_cannot_be_written_change_no_answer_and_no_copy() {
    let truth = truth().await;
    let source = format!("us-east-1:{BOOT}");
    let asked: [&[&str]; 4] = [
        &["ls", "snapshots", "--region", "us-east-1", "-o", "ids"],
        &["size", &source, "-o", "json"],
        &["ls", "volumes", "--region", "us-east-1", "-o", "ids"],
        &["orphans", "--region", "us-east-1", "-o", "json"],
    ];
    let (well, ill) = (World::calm().await, World::calm().await);
    for errno in [Errno::NOSPC, Errno::IO, Errno::ROFS] {
        ail(&ill, "only", errno, "/cache/");
        for args in asked {
            let right = well.run(args).await;
            let mut command = ill.floe(args);
            command.env("FLOE_AILING_DISK", switch(&ill).0);
            let found =
                tokio::task::spawn_blocking(move || command.output().expect("floe runs")).await.expect("it ends");
            assert_eq!(found.status.code(), right.status.code(), "{errno} {args:?}");
            assert_eq!(ids(&found.stdout), ids(&right.stdout), "{errno} {args:?}");
        }
    }
    assert!(switch(&ill).1.exists(), "something was to be remembered");
    let (code, json, stderr) = ended(copy(&ill, &[])).await;
    assert_eq!((code, json["state"].as_str()), (Some(0), Some("done")), "{stderr}");
    assert_whole(&ill, &truth, "a copy").await;
}

/// The ids of an answer: figures of time and cost may differ from one moment to the next.
fn ids(stdout: &[u8]) -> std::collections::BTreeSet<String> {
    let text = String::from_utf8_lossy(stdout).into_owned();
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|word| word.starts_with("snap-") || word.starts_with("vol-")).map(str::to_owned).collect()
}

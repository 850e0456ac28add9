//! What is wrong with a set-up, what old jobs cost and leave behind, and what a finished one can prove.

use std::fs;
use std::path::Path;
use std::time::Instant;

use floe::engine::protocol::{Answer, Command, JobState, LeftOver, LeftOvers};
use floe::engine::{self, Client};
use floe::ids::JobId;
use floe::plan::Options;
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::store::StateDir;

use crate::rig::{Rig, SMALL, at_rest, end, engine, retry_start, row_when, start};
use crate::support::World;

/// Old jobs of one state directory.
const MANY: u32 = 10_000;

/// A rig with one job that is done, and its engine gone.
async fn one_done() -> Rig {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let plan = rig.plan(SMALL, &["null:"], Options::default()).await;
    let job = start(&client, &plan).await;
    assert_eq!(end(&client, job).await.state, JobState::Done);
    let _ = client.send(Command::Shutdown).await;
    rig
}

/// The same job again and again, under other numbers.
fn multiply(state: &StateDir, to: u32) {
    let first = state.job(JobId(1));
    let mut spec: serde_json::Value =
        serde_json::from_slice(&fs::read(first.join("job.json")).expect("a job")).expect("json");
    for number in 2..=to {
        let dir = state.job(JobId(number));
        fs::create_dir(&dir).expect("a directory");
        spec["job"] = number.into();
        fs::write(dir.join("job.json"), spec.to_string()).expect("a job");
        for name in ["events.ndjson", "ledger", "lock"] {
            fs::hard_link(first.join(name), dir.join(name)).expect("its files");
        }
    }
}

/// Takes everything out of the jobs' directories, so that whoever looks there finds no job.
fn hollow_out(state: &StateDir, to: u32) {
    for number in 1..=to {
        for entry in fs::read_dir(state.job(JobId(number))).expect("a directory").flatten() {
            fs::remove_file(entry.path()).expect("a file of ours");
        }
    }
}

fn index(state: &StateDir) -> std::path::PathBuf {
    state.root().join("jobs/ended.ndjson")
}

/// Files below `dir` that this process has open.
fn open_below(dir: &Path) -> usize {
    let open = fs::read_dir("/proc/self/fd").expect("our files").flatten();
    open.filter(|entry| fs::read_link(entry.path()).is_ok_and(|path| path.starts_with(dir))).count()
}

/// Bytes and calls that this thread has read with so far.
fn read_so_far() -> (u64, u64) {
    let text = fs::read_to_string("/proc/thread-self/io").expect("what was read");
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|count| count.trim().parse::<u64>().ok()).expect("a count")
    };
    (of("rchar:"), of("syscr:"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_read_once_and_not_written() {
    let rig = one_done().await;
    fs::remove_file(index(&rig.state)).expect("the engine made it");
    // One job: it is read on this very thread.
    let dir = rig.state.job(JobId(1));
    let size = |name: &str| fs::metadata(dir.join(name)).expect("a file").len();
    let ledger = size("ledger");
    let before = read_so_far();
    assert_eq!(engine::jobs(&rig.state).expect("all").len(), 1);
    let (bytes, calls) = read_so_far();
    let (bytes, calls) = (bytes - before.0, calls - before.1);
    // job.json and the journal once, the ledger's header and bits; nothing is read for every block that there is.
    let most = size("job.json") + size("events.ndjson") + ledger + 64 * 1024;
    assert!(bytes <= most && ledger < 128 * 1024, "{bytes} bytes, {most} allowed");
    assert!(calls <= 48, "{calls} reads");
    // A ledger that is only counted is neither locked nor synced nor changed.
    let held = fs::File::open(dir.join("ledger")).expect("the ledger");
    held.try_lock().expect("nobody has it");
    fs::remove_file(index(&rig.state)).expect("it was made anew");
    let row = engine::jobs(&rig.state).expect("all").remove(0);
    assert_eq!((row.blocks_done, row.blocks_listed), (floe::units::Blocks(64), floe::units::Blocks(64)));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_old_jobs_are_one_file_to_read() {
    let rig = one_done().await;
    multiply(&rig.state, MANY);
    let begun = Instant::now();
    assert_eq!(engine::jobs(&rig.state).expect("all").len(), MANY as usize);
    println!("{MANY} jobs from their directories: {:?}", begun.elapsed());

    // From here on the index is all there is to read of them.
    hollow_out(&rig.state, MANY);
    let (begun, before) = (Instant::now(), read_so_far());
    let rows = engine::jobs(&rig.state).expect("all");
    let (took, (bytes, calls)) = (begun.elapsed(), read_so_far());
    let (bytes, calls) = (bytes - before.0, calls - before.1);
    println!("{MANY} jobs from the index: {took:?}, {bytes} bytes in {calls} reads");
    let length = fs::metadata(index(&rig.state)).expect("it").len();
    assert!(bytes <= length + 8192 && calls < 100, "{bytes} bytes of {length} in {calls} reads: the index, once");
    assert!(length < u64::from(MANY) * 2048, "a line is short: {length} bytes");
    assert_eq!(rows.len(), MANY as usize);
    assert!(rows.iter().zip(1..).all(|(row, number)| row.job == JobId(number) && row.state == JobState::Done));

    let client = retry_start(&rig.state, &rig.aws).await;
    let shown = client.status().borrow().jobs.len();
    assert!((1..=100).contains(&shown), "the picture has a bound: {shown}");
    let newest = client.status().borrow().jobs.last().map(|row| row.job);
    assert_eq!(newest, Some(JobId(MANY)), "the latest are shown");
    assert_eq!(open_below(&rig.state.root().join("jobs")), 0, "no job's file is held open");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_cannot_be_trusted_is_made_anew() {
    let rig = one_done().await;
    multiply(&rig.state, 3);
    // The engine's own line has what its picture showed last: a moment more than the journal.
    fs::remove_file(index(&rig.state)).expect("the engine made it");
    let all = engine::jobs(&rig.state).expect("all");
    let good = fs::read_to_string(index(&rig.state)).expect("the index");
    assert_eq!(good.lines().count(), 4, "a head and one line each");

    let half = &good[..good.len() - 40];
    let later = good.replacen("\"version\":1", "\"version\":2", 1);
    let flipped = good.replacen("\"done\"", "\"dnoe\"", 1);
    for bad in [half, later.as_str(), flipped.as_str(), "", "garbage\n"] {
        fs::write(index(&rig.state), bad).expect("written");
        assert_eq!(engine::jobs(&rig.state).expect("all"), all);
        let mended = fs::read_to_string(index(&rig.state)).expect("the index");
        assert_eq!(mended.lines().count(), 4, "made anew from {:?}", &bad[..bad.len().min(20)]);
    }
    // A job whose line is missing is read from its directory, and gets its line.
    let without: String = good.lines().take(3).map(|line| format!("{line}\n")).collect();
    fs::write(index(&rig.state), without).expect("written");
    assert_eq!(engine::jobs(&rig.state).expect("all"), all);
    assert_eq!(fs::read_to_string(index(&rig.state)).expect("the index").lines().count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_job_leaves_the_index_and_an_old_one_still_takes_commands() {
    let rig = one_done().await;
    multiply(&rig.state, 150);
    engine::jobs(&rig.state).expect("all");
    let client = retry_start(&rig.state, &rig.aws).await;
    assert!(client.status().borrow().jobs.iter().all(|row| row.job.0 > 50), "the old ones are not in memory");
    let resumed = client.send(Command::Resume(JobId(7))).await.expect_err("it is done");
    assert!(resumed.what.contains("job 7 is done"), "{resumed}");
    client.send(Command::Forget(JobId(7))).await.expect("forgotten");
    assert!(!rig.state.job(JobId(7)).exists());
    assert!(engine::jobs(&rig.state).expect("all").iter().all(|row| row.job != JobId(7)));
    let again = client.send(Command::Forget(JobId(7))).await.expect_err("there is none");
    assert!(again.what.contains("there is no job 7"), "{again}");
}

fn denied(api: &str) -> Faults {
    Faults { rules: vec![Rule::of(Fault::Deny).on(api)], ..Faults::default() }
}

/// A job that failed with a pending snapshot and a partial file behind it.
async fn littered(rig: &Rig, file: &Path) -> (Client, JobId) {
    let client = rig.engine(None).await;
    let to = file.display().to_string();
    let plan = rig.plan(SMALL, &["us-west-2:", &to], Options::default()).await;
    let job = start(&client, &plan).await;
    assert_eq!(end(&client, job).await.state, JobState::Failed);
    (client, job)
}

#[tokio::test(flavor = "multi_thread")]
async fn left_overs_are_listed_keep_a_job_from_being_forgotten_and_are_cleared_by_a_cancel() {
    // Every block that could be read is denied, so both destinations are begun and neither is completed.
    let rig = Rig::with(denied("GetSnapshotBlock")).await;
    let file = rig.world.path("disk.img");
    let (client, job) = littered(&rig, &file).await;
    let row = row_when(&client, job, at_rest).await;
    let snapshots =
        row.left_overs.iter().filter(|left| matches!(left, LeftOver::Snapshot(at) if at.contains("us-west-2:snap-")));
    assert_eq!(snapshots.count(), 1, "{:?}", row.left_overs);
    let files: Vec<_> = row.left_overs.iter().filter(|left| matches!(left, LeftOver::File(_))).collect();
    assert_eq!(files.len(), 1, "{:?}", row.left_overs);
    assert!(row.is_littered());

    let refused = client.send(Command::Forget(job)).await.expect_err("it has left-overs");
    assert!(refused.what.contains("us-west-2:snap-") && refused.what.contains("disk.img"), "{refused}");
    assert!(refused.todo.is_some_and(|todo| todo.contains("floe jobs cancel 1")));

    // Without its engine the same is known from the disk, and the index agrees.
    let _ = client.send(Command::Shutdown).await;
    for _ in 0..2 {
        assert_eq!(engine::jobs(&rig.state).expect("all")[0].left_overs, row.left_overs);
    }
    let client = retry_start(&rig.state, &rig.aws).await;
    client.send(Command::Cancel(job, LeftOvers::CleanUp)).await.expect("cancelled");
    let row = row_when(&client, job, |row| row.state == JobState::Cancelled).await;
    assert!(row.left_overs.is_empty(), "{:?}", row.left_overs);
    assert!(rig.world.made_by_floe("prod", "us-west-2").await.is_empty());
    assert!(matches!(client.send(Command::Forget(job)).await, Ok(Answer::Done)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_up_that_failed_can_be_asked_for_again() {
    let mut faults = denied("GetSnapshotBlock");
    faults.rules.push(Rule::of(Fault::Deny).on("DeleteSnapshot"));
    let rig = Rig::with(faults).await;
    let (client, job) = littered(&rig, &rig.world.path("disk.img")).await;
    client.send(Command::Cancel(job, LeftOvers::CleanUp)).await.expect("cancelled");
    let row = row_when(&client, job, |row| row.state == JobState::Cancelled).await;
    assert_eq!(row.left_overs.len(), 1, "the file is gone, the snapshot is not: {:?}", row.left_overs);
    assert!(client.send(Command::Forget(job)).await.is_err(), "it is named, not dropped");
    rig.heal();
    client.send(Command::Cancel(job, LeftOvers::CleanUp)).await.expect("again");
    let row = row_when(&client, job, |row| row.state == JobState::Cancelled && row.left_overs.is_empty()).await;
    assert!(row.error.is_none(), "{:?}", row.error);
    assert!(rig.world.made_by_floe("prod", "us-west-2").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_answer_was_lost_is_found_and_removed() {
    let rig = Rig::with(denied("GetSnapshotBlock")).await;
    let (client, job) = littered(&rig, &rig.world.path("disk.img")).await;
    let _ = client.send(Command::Shutdown).await;
    // As a crash between the answer and the journal leaves it.
    let path = rig.state.job(job).join("events.ndjson");
    let text = fs::read_to_string(&path).expect("a journal");
    let end = text.lines().position(|line| line.contains("started") && line.contains("snap-")).expect("the answer");
    let cut: String = text.lines().take(end).map(|line| format!("{line}\n")).collect();
    fs::write(&path, cut).expect("written");
    let rows = engine::jobs(&rig.state).expect("all");
    assert!(rows[0].left_overs.iter().any(|left| matches!(left, LeftOver::Unanswered(_))), "{:?}", rows[0].left_overs);

    let client = engine(&rig.state, &rig.aws, None).await.expect("an engine");
    client.send(Command::Cancel(job, LeftOvers::CleanUp)).await.expect("cancelled");
    let row = row_when(&client, job, |row| row.state == JobState::Cancelled).await;
    assert!(row.left_overs.is_empty(), "{:?}", row.left_overs);
    assert!(rig.world.made_by_floe("prod", "us-west-2").await.is_empty(), "nothing stays behind unseen");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_what_lies_about_and_keeps_it_on_request() {
    let world = World::with(denied("GetSnapshotBlock")).await;
    let (code, ..) = world.json(&["copy", SMALL, "us-west-2:", "--yes", "--foreground", "-o", "json"]).await;
    assert_eq!(code, 1);
    let (code, rows, said) = world.json(&["jobs", "ls", "-o", "json"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(rows[0]["left_overs"][0].as_str().is_some_and(|left| left.starts_with("pending snapshot")), "{rows}");
    assert!(said.contains("1 left-over of job 1") && said.contains("floe jobs cancel JOB"), "{said}");

    let kept = world.run(&["jobs", "cancel", "1", "--keep", "--yes"]).await;
    assert!(kept.status.success());
    let said = String::from_utf8_lossy(&kept.stderr).into_owned();
    assert!(said.contains("kept: pending snapshot") && said.contains("floe jobs resume 1"), "{said}");
    assert_eq!(world.made_by_floe("prod", "us-west-2").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_tells_what_was_copied_and_how_it_was_proved() {
    let world = World::calm().await;
    let (code, outcome, said) = world.json(&["copy", SMALL, "us-west-2:", "--yes", "--foreground", "-o", "json"]).await;
    assert_eq!(code, 0, "{said}");
    let (code, _, said) = world.json(&["jobs", "show", "1", "--receipt", "-o", "csv"]).await;
    assert_eq!(code, 2, "{said}");
    let output = world.run(&["jobs", "show", "1", "--receipt", "-o", "json"]).await;
    let receipt: serde_json::Value = serde_json::from_slice(&output.stdout).expect("json");
    assert_eq!((&receipt["version"], &receipt["state"]), (&1.into(), &"done".into()));
    assert_eq!(receipt["engine_version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(receipt["blocks"], outcome["blocks"]);
    let to = &receipt["destinations"][0];
    assert_eq!(to["linear_checksum"], outcome["destinations"][0]["checksum"]);
    assert_eq!(to["evidence"], "service");
    assert!(receipt["accepted"]["who"].as_str().is_some_and(|who| who.contains("--yes")), "{receipt}");
    let requests = receipt["measured"]["requests"].as_f64().expect("a figure");
    assert!(requests >= 2.0 * 64.0, "a get and a put of each block: {requests}");
    let said = receipt["predicted"]["requests"].as_f64().expect("a figure");
    assert!(said >= 2.0 * 64.0, "that was said before: {said}");

    let output = world.run(&["jobs", "show", "1", "--receipt"]).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("# Receipt of job 1: done\n"), "{text}");
    assert!(text.contains(to["linear_checksum"].as_str().expect("a checksum")), "{text}");
}

/// The lines of `floe doctor -o json`, and its exit code.
async fn examined(world: &World, args: &[&str]) -> (i32, Vec<serde_json::Value>) {
    let output = world.run(&[&["doctor", "-o", "json"], args].concat()).await;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert_eq!(report["version"], 1, "{}", String::from_utf8_lossy(&output.stderr));
    let code = output.status.code().expect("a code");
    assert_eq!(report["healthy"], code == 0, "the exit code is the verdict");
    (code, report["checks"].as_array().cloned().expect("checks"))
}

#[track_caller]
fn check<'a>(checks: &'a [serde_json::Value], name: &str) -> &'a serde_json::Value {
    checks.iter().find(|check| check["check"] == name).expect(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_set_up_has_a_line_for_everything_and_exits_with_nought() {
    let world = World::calm().await;
    let (code, checks) = examined(&world, &[]).await;
    let names = [
        "credentials prod",
        "clock",
        "iam ls",
        "iam size",
        "iam plan",
        "iam copy",
        "quotas",
        "route",
        "open files",
        "room",
        "state",
        "logout",
        "engine",
        "left-overs",
    ];
    for name in names {
        assert_ne!(check(&checks, name)["level"], "bad", "{checks:#?}");
    }
    assert_eq!(code, 0);
    assert!(check(&checks, "credentials prod")["text"].as_str().is_some_and(|text| text.contains("account ")));
    assert_eq!(check(&checks, "clock")["text"], "agrees with AWS");
    // What only a copy can try is never shown as allowed.
    let copy = check(&checks, "iam copy")["text"].as_str().expect("text");
    assert!(copy.contains("not checked: ") && copy.contains("ebs:PutSnapshotBlock"), "{copy}");

    let lines = world.run(&["doctor"]).await;
    let text = String::from_utf8_lossy(&lines.stdout).into_owned();
    assert!(text.lines().filter(|line| line.starts_with("✓ ")).count() >= 8, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_call_and_a_clock_that_is_off_are_named_with_what_to_do() {
    let mut faults = denied("DescribeVolumes");
    faults.clock_ms = 120_000;
    let world = World::with(faults).await;
    let (code, checks) = examined(&world, &[]).await;
    assert_eq!(code, 1);
    let ls = check(&checks, "iam ls");
    assert_eq!(ls["level"], "bad");
    assert!(ls["text"].as_str().is_some_and(|text| text.contains("ec2:DescribeVolumes")), "{ls}");
    assert_eq!(ls["todo"], "floe iam ls prints the policy");
    assert_ne!(check(&checks, "iam size")["level"], "bad", "size needs no volumes");
    let clock = check(&checks, "clock");
    assert_eq!(clock["level"], "note", "{clock}");
    assert!(clock["text"].as_str().is_some_and(|text| text.ends_with("behind AWS")), "{clock}");
}

#[test]
fn without_credentials_and_without_a_network_it_says_so_and_ends() {
    let home = tempfile::tempdir().expect("a home");
    // A port that nobody listens on stands for a network that is not there.
    let run = |args: &[&str]| crate::support::bare_floe(home.path()).args(args).output().expect("floe runs");
    let alone = run(&["doctor", "--region", "us-east-1", "--endpoint-url", "http://127.0.0.1:9"]);
    let text = String::from_utf8_lossy(&alone.stdout).into_owned();
    assert_eq!(alone.status.code(), Some(1), "{text}");
    assert!(text.contains("✗ credentials: there are no credentials") && text.contains("→ "), "{text}");
    assert!(text.contains("! clock: not checked") && text.contains("! iam: not checked"), "{text}");
    assert!(text.contains("✓ engine: none runs") && text.contains("✓ left-overs: none"), "{text}");

    let keys = |command: &mut std::process::Command| {
        let command = command.env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "secret");
        command.output().expect("floe runs")
    };
    let offline = keys(crate::support::bare_floe(home.path()).args([
        "doctor",
        "--endpoint-url",
        "http://127.0.0.1:9",
        "--region",
        "us-east-1",
    ]));
    let text = String::from_utf8_lossy(&offline.stdout).into_owned();
    assert_eq!(offline.status.code(), Some(1), "{text}");
    assert!(text.contains("✗ credentials") && !text.contains("secret"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_engine_s_lock_and_left_overs_are_seen() {
    let world = World::with(denied("GetSnapshotBlock")).await;
    let (code, ..) = world.json(&["copy", SMALL, "us-west-2:", "--yes", "--foreground", "-o", "json"]).await;
    assert_eq!(code, 1);
    let (_, checks) = examined(&world, &[]).await;
    let left = check(&checks, "left-overs");
    assert_eq!(left["level"], "note");
    assert!(
        left["text"].as_str().is_some_and(|text| text.contains("us-west-2:snap-") && text.contains("job 1")),
        "{left}"
    );
    assert!(left["todo"].as_str().is_some_and(|todo| todo.contains("floe jobs cancel 1")), "{left}");
    let engine = check(&checks, "engine");
    assert!(
        engine["text"].as_str().is_some_and(|text| text.contains("none runs; the last one was process ")),
        "{engine}"
    );
}

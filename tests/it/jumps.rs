//! The wall clock of the machine is set while an engine runs on it, in the engine's own process: by a day or more, ahead
//! and back. No job ends or waits for it, schedules and plans go by it and by nothing that was before, and what is shown
//! and written down stays in order.
//!
//! The engine reads its clock from a file (`src/wall.rs`); the sandbox, as another machine, keeps the right time.
#![expect(clippy::panic, reason = "helpers of tests fail the test")]

use std::process::Child;
use std::time::Duration;

use floe::engine::daemon;
use floe::engine::protocol::{Command, Dial, JobStatus, Lanes};
use floe::ids::JobId;
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::sandbox::model::{AccessKey, Session};
use floe::store::StateDir;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::removal::{EMPTY, planned, there};
use crate::rig::{SMALL, row_when};
use crate::support::{World, assert_image};

const DAY: i64 = 86_400;

/// Who set the clock: an engine in a process of its own, which looks at it there.
struct Jumping {
    world: World,
    engine: Child,
}

impl Drop for Jumping {
    fn drop(&mut self) {
        let _ = self.engine.kill();
        let _ = self.engine.wait();
    }
}

fn slow(ms: u64) -> Faults {
    Faults { rules: vec![Rule::of(Fault::Delay { ms, jitter: 0 }).on("GetSnapshotBlock")], ..Faults::default() }
}

/// The clock of the engine is off by so many seconds from now on.
fn set(world: &World, seconds: i64) {
    let (path, half) = (world.path("clock"), world.path("clock.half"));
    std::fs::write(&half, seconds.to_string()).expect("a clock");
    std::fs::rename(half, path).expect("a clock");
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..2_400 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

impl Jumping {
    async fn with(faults: Faults, more: &[&str]) -> Self {
        Self::on(World::with(faults).await, more).await
    }

    async fn on(world: World, more: &[&str]) -> Self {
        let mut args = vec!["engine"];
        args.extend(more);
        let mut command = world.floe(&args);
        command.env("FLOE_CLOCK_FILE", world.path("clock")).env("TZ", "UTC").stderr(std::process::Stdio::null());
        let engine = command.spawn().expect("floe runs");
        let jumping = Self { world, engine };
        until("the engine listens", async || jumping.socket()).await;
        jumping
    }

    fn socket(&self) -> Option<String> {
        let lock = std::fs::read(self.world.path(".local/state/floe/engine.lock")).ok()?;
        serde_json::from_slice::<Value>(&lock).ok()?["socket"].as_str().map(str::to_owned)
    }

    fn set(&self, seconds: i64) {
        set(&self.world, seconds);
    }

    async fn start(&self, args: &[&str]) {
        let output = self.world.run(&[&["copy"], args, &["--yes", "--detach"]].concat()).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    async fn row(&self) -> Value {
        let (code, rows, stderr) = self.world.json(&["jobs", "ls", "-o", "json"]).await;
        assert_eq!(code, 0, "{stderr}");
        let row = rows[0].clone();
        assert_no_absurd_time(&row, "");
        row
    }

    async fn row_when(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        until(what, async || Some(self.row().await).filter(|row| is_so(row))).await
    }

    async fn moved(&self, blocks: u64) {
        let moved = |row: &Value| row["blocks_done"].as_u64() >= Some(blocks);
        self.row_when(&format!("{blocks} blocks"), moved).await;
    }

    fn journal(&self) -> Vec<Value> {
        let text =
            std::fs::read_to_string(self.world.path(".local/state/floe/jobs/1/events.ndjson")).expect("a journal");
        text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
    }

    /// The states that were written down, in the order of the lines, whatever their times say.
    fn states(&self) -> Vec<String> {
        let lines = self.journal();
        let to = |line: &Value| line["record"]["state"]["to"].as_str().map(str::to_owned);
        let mut states: Vec<String> = lines.iter().filter_map(to).collect();
        states.dedup();
        states
    }

    fn assert_never_waited(&self) {
        let text = format!("{:?}", self.journal());
        assert!(!text.contains("waiting"), "{text}");
    }

    async fn assert_copied(&self) {
        self.world.running.sandbox.set_faults(Faults::default());
        let truth = self.world.contents("prod", "us-east-1", "snap-0feed000000b00701").await;
        let made = self.world.made_by_floe("prod", "eu-west-1").await;
        assert_eq!(made.len(), 1, "one snapshot");
        assert!(self.world.contents("prod", "eu-west-1", made[0].snapshot_id().expect("an id")).await == truth);
        let image = self.world.path("copy.img");
        if image.exists() {
            assert_image(&image, 1, &truth);
        }
    }
}

/// Nothing that is a duration is negative or anywhere near the day that was jumped.
fn assert_no_absurd_time(value: &Value, name: &str) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| assert_no_absurd_time(value, name)),
        Value::Array(all) => all.iter().for_each(|value| assert_no_absurd_time(value, name)),
        Value::Number(number) if name.contains("seconds") => {
            let seconds = number.as_f64().expect("a number");
            assert!((0.0..3_600.0).contains(&seconds), "{name}: {seconds}");
        }
        _ => {}
    }
}

/// To a snapshot, a file and an archive at once: EBS, EC2 and S3 all refuse what is signed by a clock that is off.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_ahead_and_a_day_back_in_the_middle_of_a_copy_change_nothing() {
    let floe = Jumping::with(slow(120), &[]).await;
    let image = floe.world.path("copy.img").display().to_string();
    floe.start(&[SMALL, "eu-west-1:", &image, "s3://floe-vault-us-east-1/jumps/", "--concurrency", "2"]).await;
    for (blocks, off) in [(6, DAY), (14, 0), (22, -DAY), (30, 0), (38, 30 * DAY), (46, -DAY)] {
        floe.moved(blocks).await;
        floe.set(off);
    }
    let row = floe.row_when("its end", |row| row["state"] != "running").await;
    let row = match row["state"].as_str() {
        Some("completing" | "verifying" | "starting") => floe.row_when("done", |row| row["state"] == "done").await,
        _ => row,
    };
    assert_eq!(row["state"], "done", "{row}");
    floe.assert_never_waited();
    assert_eq!(floe.states(), ["starting", "running", "completing", "done"]);
    let (code, receipt, stderr) = floe.world.json(&["jobs", "show", "1", "--receipt", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    assert_no_absurd_time(&receipt, "");
    floe.assert_copied().await;
    let (code, json, stderr) = floe
        .world
        .json(&["verify", "s3://floe-vault-us-east-1/jumps/snap-0feed000000b00701/", SMALL, "-o", "json"])
        .await;
    assert_eq!(code, 0, "{json} {stderr}");
}

/// A job is planned and begun while the clock is a day off: every client that it opens, STS first, learns the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_begins_while_the_clock_is_off_finds_the_right_time_and_ends() {
    for off in [DAY, -DAY] {
        let floe = Jumping::with(Faults::default(), &[]).await;
        floe.set(off);
        let image = floe.world.path("copy.img").display().to_string();
        floe.start(&[SMALL, "eu-west-1:", &image, "s3://floe-vault-us-east-1/jumps/"]).await;
        let row = floe.row_when("its end", |row| row["ended"].is_string()).await;
        assert_eq!(row["state"], "done", "{off}: {row}");
        floe.assert_never_waited();
        floe.assert_copied().await;
    }
}

/// Keys with an end, from a program that gives them once and then has none.
fn keys_that_end(world: &World, ends: SignedDuration) -> AccessKey {
    let key = AccessKey {
        id: "ASIAIOSFODNN7EXAMPLE".to_owned(),
        secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        session: Some(Session { token: "a-token".to_owned(), expires: Timestamp::now() + ends }),
    };
    let mut model = world.running.sandbox.model_mut();
    let prod =
        model.accounts.values_mut().find(|account| account.profile.as_ref().is_some_and(|p| p.as_str() == "prod"));
    prod.expect("prod").keys.insert(0, key.clone());
    key
}

fn give_by_program(world: &World, key: &AccessKey, ends: SignedDuration) {
    let session = key.session.as_ref().expect("a session");
    let said = serde_json::json!({
        "Version": 1, "AccessKeyId": key.id, "SecretAccessKey": key.secret, "SessionToken": session.token,
        "Expiration": (Timestamp::now() + ends).to_string(),
    });
    std::fs::write(world.path("keys.json"), said.to_string()).expect("keys");
    let program = world.path("keys.sh");
    std::fs::write(&program, format!("#!/bin/sh\ncat {}\n", world.path("keys.json").display())).expect("a program");
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).expect("it runs");
    let config = format!("[profile prod]\nregion = us-east-1\ncredential_process = {}\n", program.display());
    std::fs::write(world.path(".aws/config"), config).expect("a profile");
    std::fs::write(world.path(".aws/credentials"), "").expect("no keys in files");
}

/// By a clock that is a day ahead keys have ended that have not, and nobody has newer ones: AWS says whether they are good.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_look_ended_after_a_jump_are_used_until_aws_refuses_them() {
    let world = World::with(slow(120)).await;
    let hour = SignedDuration::from_hours(1);
    let key = keys_that_end(&world, hour);
    give_by_program(&world, &key, hour);
    let floe = Jumping::on(world, &[]).await;
    floe.start(&[SMALL, "eu-west-1:", "--concurrency", "2"]).await;
    floe.moved(6).await;
    // Whoever signed in for it has gone home.
    std::fs::remove_file(floe.world.path("keys.json")).expect("no newer ones");
    for (blocks, off) in [(8, DAY), (24, 0), (32, DAY)] {
        floe.moved(blocks).await;
        floe.set(off);
    }
    floe.moved(44).await;
    floe.assert_never_waited();
    // Now they end, as AWS sees it; meanwhile the clock is put right and set again.
    {
        let past = Timestamp::now() - SignedDuration::from_secs(1);
        let mut model = floe.world.running.sandbox.model_mut();
        let keys = model.accounts.values_mut().flat_map(|account| &mut account.keys);
        keys.filter(|held| held.id == key.id).for_each(|held| held.session.as_mut().expect("one").expires = past);
    }
    for off in [0, -DAY, DAY] {
        let row = floe.row_when("it waits", |row| row["why"] == "login prod" && row["stall"].is_object()).await;
        assert_eq!(row["state"], "waiting", "{row}");
        floe.set(off);
    }
    {
        let mut model = floe.world.running.sandbox.model_mut();
        let keys = model.accounts.values_mut().flat_map(|account| &mut account.keys);
        let later = Timestamp::now() + hour;
        keys.filter(|held| held.id == key.id).for_each(|held| held.session.as_mut().expect("one").expires = later);
    }
    give_by_program(&floe.world, &key, hour);
    let row = floe.row_when("its end", |row| row["ended"].is_string()).await;
    assert_eq!(row["state"], "done", "{row}");
    let states = floe.states();
    let (begun, ended) = (states[..3].to_vec(), states[states.len() - 4..].to_vec());
    assert_eq!(begun, ["starting", "running", "waiting"], "{states:?}");
    assert_eq!(ended, ["starting", "running", "completing", "done"], "{states:?}");
    floe.assert_copied().await;
}

/// A role is assumed by a clock that is a day off, at the start and when its keys have ended in the middle of a copy that a
/// jump cuts through: STS, too, refuses what is signed so, inside of the SDK's own provider. So does whoever asks first.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_assumed_whatever_the_clock_says() {
    let world = World::with(slow(60)).await;
    let config = "[profile prod]\nregion = us-east-1\n\n[profile role]\nregion = us-east-1\nsource_profile = prod\n\
                  role_arn = arn:aws:iam::998877665544:role/DisasterRecovery\n";
    std::fs::write(world.path(".aws/config"), config).expect("a profile");
    let dr = crate::support::disk_of(&world, "dr", "us-east-1", &(0..64).map(|n| (n, 7)).collect::<Vec<_>>()).await;
    let own: Vec<String> = {
        let model = world.running.sandbox.model();
        model.accounts.values().flat_map(|account| &account.keys).map(|key| key.id.clone()).collect()
    };
    for off in [DAY, -DAY] {
        set(&world, -off);
        for profile in ["prod", "role"] {
            let mut look = world.floe(&["ls", "snapshots", "--region", "us-east-1", "--profile", profile, "-o", "ids"]);
            look.env("AWS_ENDPOINT_URL", world.running.url()).env("FLOE_CLOCK_FILE", world.path("clock"));
            let seen = tokio::task::spawn_blocking(move || look.output().expect("floe runs")).await.expect("it ends");
            let said = String::from_utf8_lossy(&seen.stderr).into_owned();
            assert!(seen.status.success() && !seen.stdout.is_empty(), "{off}, {profile}: {said}");
        }
        let to = world.path(&format!("{off}.img"));
        let (from, shown) = (format!("role@us-east-1:{dr}"), to.display().to_string());
        let mut command = world.floe(&["copy", &from, &shown, "--yes", "--foreground", "--concurrency", "2"]);
        // The provider of a role's keys asks STS where the environment says.
        command.env("AWS_ENDPOINT_URL", world.running.url()).env("FLOE_CLOCK_FILE", world.path("clock"));
        let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let child = child.spawn().expect("floe runs");
        let gets = || world.running.sandbox.counters().picture().api("GetSnapshotBlock").requests;
        // Keys of a role that were made while this test runs.
        let made = || {
            let model = world.running.sandbox.model();
            let keys = model.accounts.values().flat_map(|account| &account.keys).map(|key| key.id.clone());
            keys.filter(|id| !own.contains(id)).collect::<Vec<String>>()
        };
        let (begun, before) = (gets(), made().len());
        until("blocks", async || (gets() > begun + 10).then_some(())).await;
        assert!(made().len() > before, "{off}: the role was assumed");
        // The clock jumps, and the keys of the role end.
        set(&world, off);
        let (held, past) = (made(), Timestamp::now() - SignedDuration::from_secs(1));
        {
            let mut model = world.running.sandbox.model_mut();
            let keys = model.accounts.values_mut().flat_map(|account| &mut account.keys);
            keys.filter(|key| held.contains(&key.id)).filter_map(|key| key.session.as_mut()).for_each(|session| {
                session.expires = past;
            });
        }
        let output =
            tokio::task::spawn_blocking(move || child.wait_with_output().expect("it ends")).await.expect("waited");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{off}: {said}");
        assert!(made().iter().any(|id| !held.contains(id)), "{off}: it was assumed again: {said}");
        assert_image(&to, 1, &world.contents("dr", "us-east-1", &dr).await);
    }
}

/// Three days of the week are slow, today in their middle: at 64 KiB/s a block takes eight seconds, and what is left
/// would take minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_weekly_schedule_goes_by_the_clock_as_it_is_now() {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let day = |by: i32| today.checked_add(jiff::Span::new().days(by)).expect("a day").strftime("%a").to_string();
    let schedule = format!("{}-{} 64KiB/s; else unlimited", day(-1), day(1));
    let floe = Jumping::with(slow(60), &["--bandwidth", &schedule]).await;
    floe.start(&[SMALL, "eu-west-1:", "--concurrency", "2"]).await;
    let held = |row: &Value| row["stall"]["cause"] == "bandwidth";
    floe.row_when("the limit holds it", held).await;
    // Whoever turned something last is who turned it last, and not who did by a clock that was ahead.
    let state = StateDir::open(Some(&floe.world.path(".local/state/floe"))).expect("a state directory");
    let front = daemon::find(&state, "hand", None).await.expect("it answers").expect("an engine");
    floe.set(3 * DAY);
    front.send(Command::Lanes(JobId(1), Lanes::Pinned(3))).await.expect("turned");
    floe.moved(16).await;
    floe.set(0);
    front.send(Command::Share(JobId(1), None)).await.expect("turned");
    let turned = |row: &JobStatus| row.turned.iter().map(|turned| turned.setting).collect::<Vec<_>>();
    let row = row_when(&front, JobId(1), |row| turned(row).len() == 2).await;
    assert_eq!(turned(&row), [Dial::Memory, Dial::Lanes], "newest first: {:?}", row.turned);
    floe.row_when("the limit holds it again", held).await;
    floe.set(-3 * DAY);
    let row = floe.row_when("its end", |row| row["ended"].is_string()).await;
    assert_eq!(row["state"], "done", "{row}");
    floe.assert_never_waited();
    floe.assert_copied().await;
}

/// A plan of a deletion is good for a day by the clock; one that comes from tomorrow is no newer for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_a_deletion_is_not_carried_out_by_a_clock_that_jumped() {
    let world = World::calm().await;
    let hash = planned(&world, &[EMPTY]).await;
    let carried_out = async |off: i64| {
        set(&world, off);
        let mut command = world.floe(&["delete", "--plan", "plan.json", "--confirm", &hash]);
        command.env("FLOE_CLOCK_FILE", world.path("clock"));
        let output = tokio::task::spawn_blocking(move || command.output().expect("floe runs")).await.expect("it ends");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (off, why) in [(DAY + 3_600, "within 24 hours"), (-DAY, "by this machine's clock")] {
        let (code, said) = carried_out(off).await;
        assert_eq!(code, Some(5), "{off}: {said}");
        assert!(said.contains(why), "{off}: {said}");
        assert_eq!(there(&world, "us-east-1", &[EMPTY]).await.len(), 1, "{off}");
    }
    let (code, said) = carried_out(0).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(there(&world, "us-east-1", &[EMPTY]).await.is_empty());
}

/// An engine that would end after an hour with nothing to do: the hour is one that passed, not one on the clock.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_engine_does_not_end_because_its_clock_was_set() {
    let mut floe = Jumping::with(Faults::default(), &["--idle", "3600"]).await;
    for off in [DAY, -DAY, 0] {
        floe.set(off);
        // It looks for its socket when it looks whether it may end.
        let socket = floe.socket().expect("a socket");
        std::fs::remove_file(&socket).expect("taken away");
        until("it has looked", async || std::fs::exists(&socket).is_ok_and(|is| is).then_some(())).await;
        assert!(floe.engine.try_wait().expect("looked at").is_none(), "{off}: it is still there");
    }
    let output = floe.world.run(&["doctor"]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("engine"), "{said}");
    kill_process(Pid::from_child(&floe.engine), Signal::TERM).expect("told to end");
    assert!(floe.engine.wait().expect("it ends").success());
}

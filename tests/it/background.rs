//! The engine in a process of its own: it outlives its fronts, goes on after anything, and keeps accounts apart.
//! The real binary against the sandbox; what is copied is read by somebody else.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::time::Duration;

use floe::sandbox::faults::{Fault, Faults, Limit, LimitOf, Rule};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{WEB_DATA, World};

/// A world in which a copy takes seconds, so that there is a middle to interrupt it in.
pub async fn slow() -> World {
    let of = |api: &str| Limit { api: api.to_owned(), of: LimitOf::Snapshot, per_second: 150.0, burst: Some(50.0) };
    World::with(Faults { limits: vec![of("GetSnapshotBlock"), of("PutSnapshotBlock")], ..Faults::default() }).await
}

fn state(world: &World) -> PathBuf {
    world.path(".local/state/floe")
}

/// What the lock says of the engine.
fn holder(world: &World) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(state(world).join("engine.lock")).ok()?).ok()
}

pub fn engine_pid(world: &World) -> Pid {
    let pid = holder(world).and_then(|holder| holder["pid"].as_i64()).expect("an engine");
    Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid")
}

fn is_alive(pid: Pid) -> bool {
    rustix::process::test_kill_process(pid).is_ok()
}

/// Looks again and again until it is so; what is waited for is an event, the deadline only ends a test that hangs.
#[expect(clippy::panic, reason = "a test fails by panicking")]
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not come");
}

pub async fn jobs(world: &World) -> Vec<Value> {
    let (code, rows, stderr) = world.json(&["jobs", "ls", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    rows.as_array().cloned().unwrap_or_default()
}

async fn done_blocks(world: &World) -> u64 {
    jobs(world).await.first().and_then(|row| row["blocks_done"].as_u64()).unwrap_or_default()
}

/// Hands a copy to the background engine.
pub async fn detached(world: &World, destinations: &[&str]) {
    let source = format!("us-east-1:{WEB_DATA}");
    let mut args = vec!["copy", &source];
    args.extend(destinations);
    args.extend(["--yes", "--detach"]);
    let output = world.run(&args).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "1", "the job's number is the result");
}

pub async fn moving(world: &World) {
    until("a moving job", async || (done_blocks(world).await > 100).then_some(())).await;
}

/// The one new snapshot of a region equals the source.
pub async fn assert_copied(world: &World, profile: &str, region: &str) {
    let made = world.made_by_floe(profile, region).await;
    assert_eq!(made.len(), 1, "one destination snapshot, whatever happened");
    let id = made[0].snapshot_id().expect("an id").to_owned();
    world.running.sandbox.set_faults(Faults::default());
    let truth = world.contents("prod", "us-east-1", WEB_DATA).await;
    assert!(world.contents(profile, region, &id).await == truth, "identical blocks");
}

async fn ended(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().expect("floe runs")).await.expect("it ends")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Waits until a front says that on stderr: from then on it listens for signals. What it says later is thrown away.
async fn says(child: &mut Child, word: &'static str) {
    let stderr = child.stderr.take().expect("its stderr");
    let (heard, hears) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut heard = Some(heard);
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if line.contains(word)
                && let Some(heard) = heard.take()
            {
                let _ = heard.send(());
            }
        }
    });
    tokio::time::timeout(Duration::from_secs(60), hears).await.expect("in time").expect("it says so");
}

pub async fn code_of(mut child: Child) -> i32 {
    tokio::task::spawn_blocking(move || child.wait().expect("it ends").code().unwrap_or(-1)).await.expect("waited")
}

pub fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detached_copy_is_seen_and_watched_by_every_front() {
    let world = slow().await;
    detached(&world, &["eu-west-1:"]).await;
    moving(&world).await;
    let row = jobs(&world).await.remove(0);
    assert_eq!(row["state"], "running");
    let (code, result, stderr) = world.json(&["jobs", "watch", "-o", "json"]).await;
    assert_eq!((code, result["state"].as_str()), (0, Some("done")), "{stderr}");
    assert_copied(&world, "prod", "eu-west-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_terminal_detaches_and_ctrl_c_pauses() {
    let world = slow().await;
    let source = format!("us-east-1:{WEB_DATA}");
    let front = world.floe(&["copy", &source, "eu-west-1:", "--yes"]).spawn().expect("floe runs");
    moving(&world).await;
    kill_process(pid_of(&front), Signal::HUP).expect("a hangup");
    code_of(front).await;
    let before = done_blocks(&world).await;
    until("more blocks without the front", async || (done_blocks(&world).await > before).then_some(())).await;

    let mut front = world.floe(&["jobs", "resume"]).spawn().expect("floe runs");
    says(&mut front, "job 1 running").await;
    kill_process(pid_of(&front), Signal::INT).expect("an interrupt");
    assert_eq!(code_of(front).await, 4, "stopped and resumable");
    assert_eq!(jobs(&world).await[0]["state"], "paused");
    // What a person paused waits for that person: a new engine does not touch it.
    kill_process(engine_pid(&world), Signal::KILL).expect("killed");
    let (_, rows, _) = world.json(&["jobs", "ls", "-o", "json"]).await;
    assert_eq!(rows[0]["state"], "paused");
    let (code, result, stderr) = world.json(&["jobs", "resume", "-o", "json"]).await;
    assert_eq!((code, result["state"].as_str()), (0, Some("done")), "{stderr}");
    assert_copied(&world, "prod", "eu-west-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_engine_goes_on_from_where_it_stood() {
    let world = slow().await;
    detached(&world, &["eu-west-1:", "./copy.img"]).await;
    moving(&world).await;
    kill_process(engine_pid(&world), Signal::KILL).expect("killed");
    until("its end", async || (jobs(&world).await[0]["state"] == "interrupted").then_some(())).await;
    let (code, result, stderr) = world.json(&["jobs", "resume", "-o", "json"]).await;
    assert_eq!((code, result["state"].as_str()), (0, Some("done")), "{stderr}");
    assert_copied(&world, "prod", "eu-west-1").await;
    let truth = world.contents("prod", "us-east-1", WEB_DATA).await;
    crate::support::assert_image(&world.path("copy.img"), 1, &truth);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_told_to_end_leaves_its_jobs_to_the_next_one() {
    let world = slow().await;
    detached(&world, &["eu-west-1:"]).await;
    moving(&world).await;
    let first = engine_pid(&world);
    kill_process(first, Signal::TERM).expect("told");
    until("its end", async || (!is_alive(first)).then_some(())).await;
    let rest = jobs(&world).await.remove(0);
    assert_eq!(rest["state"], "interrupted");
    // Nobody asks for the job: any engine of this directory goes on with what its predecessor was at.
    let mut engine = world.floe(&["engine"]).spawn().expect("an engine");
    let (code, result, stderr) = until("a watched job", async || {
        let told = world.json(&["jobs", "watch", "-o", "json"]).await;
        (told.0 == 0).then_some(told)
    })
    .await;
    assert_eq!((code, result["state"].as_str()), (0, Some("done")), "{stderr}");
    assert_copied(&world, "prod", "eu-west-1").await;
    kill_process(pid_of(&engine), Signal::TERM).expect("told");
    assert!(engine.wait().expect("it ends").success());
}

/// A front whose only credentials are the keys in its environment.
fn with_keys_of(world: &World, profile: &str, args: &[&str]) -> Command {
    let keys = world.running.sandbox.profiles().into_iter().find(|p| p.name.as_str() == profile).expect("a profile");
    let mut command = world.floe(args);
    command
        .env_remove("AWS_PROFILE")
        .env("AWS_ACCESS_KEY_ID", &keys.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &keys.secret)
        .env("AWS_REGION", "us-east-1");
    if let Some(token) = &keys.session_token {
        command.env("AWS_SESSION_TOKEN", token);
    }
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_two_shells_stay_apart_on_one_engine() {
    let world = slow().await;
    // Keys in the shell only: there are no files to fall back on.
    std::fs::remove_dir_all(world.path(".aws")).expect("no files");
    let source = format!("us-east-1:{WEB_DATA}");
    let first = ended(with_keys_of(&world, "prod", &["copy", &source, "eu-west-1:", "--yes", "--detach"])).await;
    assert!(first.status.success(), "{}", text(&first));
    let image = world.path("up.img");
    std::fs::write(&image, vec![7u8; 524_288]).expect("an image");
    let up = ["copy", "./up.img", "eu-west-1:", "--yes", "-o", "json"];
    let second = ended(with_keys_of(&world, "dr", &up)).await;
    assert!(second.status.success(), "{}", text(&second));
    assert_eq!(world.made_by_floe("dr", "eu-west-1").await.len(), 1, "made in the account of its own shell");
    let (code, _, stderr) = world.json(&["jobs", "watch", "1", "-o", "json"]).await;
    assert!(code == 0 || stderr.contains("is done"), "{stderr}");
    assert_copied(&world, "prod", "eu-west-1").await;
    let kept = std::fs::read_to_string(state(&world).join("jobs/1/job.json")).expect("job.json");
    let journal = std::fs::read_to_string(state(&world).join("jobs/1/events.ndjson")).expect("the journal");
    let log = std::fs::read_to_string(state(&world).join("engine.log")).unwrap_or_default();
    for keys in world.running.sandbox.profiles() {
        for written in [&kept, &journal, &log] {
            assert!(!written.contains(&keys.secret), "no secret on any disk");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_its_shells_keys_waits_and_any_front_of_the_account_brings_them() {
    let world = slow().await;
    std::fs::remove_dir_all(world.path(".aws")).expect("no files");
    let source = format!("us-east-1:{WEB_DATA}");
    let made = ended(with_keys_of(&world, "prod", &["copy", &source, "eu-west-1:", "--yes", "--detach"])).await;
    assert!(made.status.success(), "{}", text(&made));
    moving(&world).await;
    kill_process(engine_pid(&world), Signal::KILL).expect("killed");
    // The next engine goes on by itself, but the keys were in memory only.
    let mut engine = world.floe(&["engine"]).spawn().expect("an engine");
    let row =
        until("a waiting job", async || jobs(&world).await.into_iter().find(|row| row["state"] == "waiting")).await;
    assert!(row["why"].as_str().is_some_and(|why| why.starts_with("login")), "{row}");
    // Keys of another account are no help, and do no harm.
    let other = ended(with_keys_of(&world, "dr", &["jobs", "ls", "-o", "json"])).await;
    assert!(other.status.success());
    assert_eq!(jobs(&world).await[0]["state"], "waiting");
    let output = ended(with_keys_of(&world, "prod", &["jobs", "watch", "-o", "json"])).await;
    assert!(output.status.success(), "{}", text(&output));
    assert_copied(&world, "prod", "eu-west-1").await;
    kill_process(pid_of(&engine), Signal::TERM).expect("told");
    engine.wait().expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_socket_is_made_again() {
    let world = slow().await;
    detached(&world, &["eu-west-1:"]).await;
    let socket = holder(&world).and_then(|h| h["socket"].as_str().map(PathBuf::from)).expect("a socket");
    std::fs::remove_file(&socket).expect("removed");
    until("the socket", async || socket.exists().then_some(())).await;
    let (code, result, stderr) = world.json(&["jobs", "watch", "-o", "json"]).await;
    assert_eq!((code, result["state"].as_str()), (0, Some("done")), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_cannot_be_made_again_ends_no_job() {
    let world = slow().await;
    detached(&world, &["eu-west-1:"]).await;
    let engine = engine_pid(&world);
    let socket = holder(&world).and_then(|h| h["socket"].as_str().map(PathBuf::from)).expect("a socket");
    // Something else lies in its place that cannot be taken away.
    std::fs::remove_file(&socket).expect("removed");
    std::fs::create_dir(&socket).expect("a directory");
    std::fs::write(socket.join("thing"), "x").expect("not empty");
    let events = state(&world).join("jobs/1/events.ndjson");
    until("the end of the job", async || {
        std::fs::read_to_string(&events).ok().filter(|text| text.contains(r#""result":{"state":"done""#))
    })
    .await;
    assert!(is_alive(engine), "it goes on without a door");
    std::fs::remove_dir_all(&socket).expect("removed");
    until("the socket", async || {
        use std::os::unix::fs::FileTypeExt as _;
        std::fs::metadata(&socket).ok().filter(|meta| meta.file_type().is_socket())
    })
    .await;
    assert_eq!(engine_pid(&world), engine);
    assert_copied(&world, "prod", "eu-west-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_ends_when_its_directory_is_gone_or_it_has_nothing_to_do() {
    let world = World::calm().await;
    let mut idle = world.floe(&["engine", "--idle", "1s"]).spawn().expect("an engine");
    assert!(tokio::task::spawn_blocking(move || idle.wait()).await.expect("waited").expect("it ends").success());
    let mut engine = world.floe(&["engine"]).spawn().expect("an engine");
    let pid = u64::from(engine.id());
    until("its socket", async || holder(&world).filter(|h| h["socket"].is_string() && h["pid"] == pid)).await;
    std::fs::rename(state(&world), world.path("elsewhere")).expect("gone");
    assert!(tokio::task::spawn_blocking(move || engine.wait()).await.expect("waited").expect("it ends").success());
}

/// What is written to the socket by somebody who is no front. None of it may harm the engine or its jobs.
fn garbage() -> Vec<Vec<u8>> {
    let frame = |body: &[u8]| {
        let mut out = u32::try_from(body.len()).expect("short").to_be_bytes().to_vec();
        out.extend(body);
        out
    };
    let newer = br#"{"id":0,"command":{"hello":{"protocol":999,"version":"9.9.9","who":"the future"}},"world":null}"#;
    let shutdown = br#"{"id":0,"command":"shutdown","world":null}"#;
    let mut random = vec![0u8; 4096];
    let mut seed = fastrand::Rng::with_seed(7);
    random.iter_mut().for_each(|byte| *byte = seed.u8(..));
    let hello = br#"{"id":0,"command":{"hello":{"protocol":1,"version":"0","who":"x\u001b[31m"}},"world":null}"#;
    let mut half = frame(hello);
    half.truncate(20);
    let mut then_shutdown = frame(hello);
    then_shutdown.extend(frame(shutdown));
    vec![
        Vec::new(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        u32::MAX.to_be_bytes().to_vec(),
        frame(b""),
        frame(b"{}"),
        frame(b"null"),
        frame(&[0xff; 64]),
        frame(newer),
        frame(shutdown),
        half,
        then_shutdown,
        random,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_speaks_garbage_does_no_harm() {
    let world = slow().await;
    detached(&world, &["eu-west-1:"]).await;
    let engine = engine_pid(&world);
    let socket = holder(&world).and_then(|h| h["socket"].as_str().map(PathBuf::from)).expect("a socket");
    for round in 0..3 {
        for bytes in garbage() {
            let mut stream = UnixStream::connect(&socket).expect("connects");
            // The engine may hang up in the middle of it.
            let _ = stream.write_all(&bytes);
            if round == 1 {
                let _ = stream.shutdown(std::net::Shutdown::Write);
            }
        }
    }
    let (code, result, stderr) = world.json(&["jobs", "watch", "-o", "json"]).await;
    assert_eq!((code, result["state"].as_str()), (0, Some("done")), "{stderr}");
    assert_eq!(engine_pid(&world), engine, "the same engine");
    assert_copied(&world, "prod", "eu-west-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_are_turned_from_another_process() {
    let delay = Rule::of(Fault::Delay { ms: 100, jitter: 0 });
    let world = World::with(Faults { rules: vec![delay], ..Faults::default() }).await;
    detached(&world, &["null:"]).await;
    moving(&world).await;
    let mut watcher =
        world.floe(&["jobs", "watch", "--concurrency", "3", "--bandwidth", "40MiB/s"]).spawn().expect("floe runs");
    let events = state(&world).join("jobs/1/events.ndjson");
    until("the setting in the journal", async || {
        std::fs::read_to_string(&events)
            .ok()
            .filter(|text| text.contains(r#""at-most":3"#) && text.contains(r#""bandwidth":"40MiB/s""#))
    })
    .await;
    let _ = watcher.kill();
    let _ = watcher.wait();
    assert_eq!(jobs(&world).await[0]["state"], "running", "the watcher was only a front");
    let output = world.run(&["jobs", "cancel", "--yes"]).await;
    assert!(output.status.success(), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_answer_hides_no_job_and_is_told() {
    let world = World::calm().await;
    let source = format!("us-east-1:{WEB_DATA}");
    let (code, _, stderr) = world.json(&["copy", &source, "null:", "--yes", "--foreground", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    let lock = state(&world).join("engine.lock");
    let mut holder = holder(&world).expect("who had it");
    let socket = world.path("deaf.sock");
    holder["socket"] = socket.display().to_string().into();
    std::fs::write(&lock, holder.to_string()).expect("a lock");
    let held = std::fs::File::open(&lock).expect("the lock");
    held.try_lock().expect("held");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let deaf = std::thread::spawn(move || drop(listener.accept()));
    let (code, rows, stderr) = world.json(&["jobs", "ls", "-o", "json"]).await;
    deaf.join().expect("it hung up");
    assert_eq!((code, rows.as_array().map(Vec::len)), (0, Some(1)), "{stderr}");
    assert!(stderr.contains("this is what lies on disk"), "{stderr}");
}

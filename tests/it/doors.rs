//! What lies where the engine's socket was: it makes its own again, a front that cannot reach it says who is there, there is
//! one engine, and nobody but that engine is told anything.

use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use floe::engine::daemon;
use floe::store::StateDir;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{World, bare_floe};

/// 64 blocks.
const SMALL: &str = "us-east-1:snap-0feed000000b00701";

fn state(world: &World) -> PathBuf {
    world.path(".local/state/floe")
}

fn pid(world: &World) -> i32 {
    let text = std::fs::read(state(world).join("engine.lock")).expect("a lock");
    let holder: Value = serde_json::from_slice(&text).expect("a holder");
    holder["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a process")
}

/// A copy that is handed to the background engine, keys and all: its job's number, or what was said instead.
async fn handed_over(world: &World) -> Result<String, String> {
    let output = world.run(&["copy", SMALL, "null:", "--yes", "--detach"]).await;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Somebody who listens and counts what he is told.
struct Stranger(Arc<AtomicUsize>);

impl Stranger {
    fn at(path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("bound");
        let told = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&told);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut heard = Vec::new();
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let _ = stream.read_to_end(&mut heard);
                counts.fetch_add(heard.len(), Ordering::Relaxed);
            }
        });
        Self(told)
    }

    fn told(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn end(pid: i32) {
    let _ = kill_process(Pid::from_raw(pid).expect("a pid"), Signal::TERM);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_replaced_is_made_again_and_nobody_else_is_told_anything() {
    let world = World::calm().await;
    handed_over(&world).await.expect("the first copy");
    let (first, socket) = (pid(&world), state(&world).join("engine.sock"));
    let elsewhere = world.path("elsewhere.sock");
    let stranger = Stranger::at(&elsewhere);
    let mut strangers = vec![stranger];
    for what in ["nothing", "a file", "a dangling link", "a link to a stranger", "a stranger"] {
        std::fs::remove_file(&socket).expect("unlinked");
        match what {
            "a file" => std::fs::write(&socket, b"not a socket").expect("a file"),
            "a dangling link" => symlink(world.path("nowhere"), &socket).expect("a link"),
            "a link to a stranger" => symlink(&elsewhere, &socket).expect("a link"),
            "a stranger" => strangers.push(Stranger::at(&socket)),
            _ => {}
        }
        handed_over(&world).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(pid(&world), first, "{what}: the same engine");
        let meta = std::fs::symlink_metadata(&socket).expect("a socket");
        assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{what}: its own socket, as it was");
    }
    let (code, rows, stderr) = world.json(&["jobs", "ls", "-o", "json"]).await;
    assert_eq!((code, rows.as_array().map(Vec::len)), (0, Some(6)), "one engine has them all: {stderr}");
    assert!(strangers.iter().all(|stranger| stranger.told() == 0), "not a byte");
    end(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_cannot_move_is_named_and_no_second_engine_starts() {
    let world = World::calm().await;
    handed_over(&world).await.expect("the first copy");
    let (first, socket) = (pid(&world), state(&world).join("engine.sock"));
    std::fs::remove_file(&socket).expect("unlinked");
    std::fs::create_dir(&socket).expect("a directory");
    let said = handed_over(&world).await.expect_err("nothing can be handed over");
    for word in ["a directory is there", "engine.sock", &first.to_string()] {
        assert!(said.contains(word), "\"{word}\" in {said}");
    }
    assert_eq!(pid(&world), first, "no second engine");
    std::fs::remove_dir(&socket).expect("out of the way");
    handed_over(&world).await.expect("it made its socket again");
    assert_eq!(pid(&world), first);
    end(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_beside_an_engine_that_stands_still_is_named_and_told_nothing() {
    let world = World::calm().await;
    handed_over(&world).await.expect("the first copy");
    let (first, socket) = (pid(&world), state(&world).join("engine.sock"));
    let engine = Pid::from_raw(first).expect("a pid");
    kill_process(engine, Signal::STOP).expect("it stands still");
    std::fs::remove_file(&socket).expect("unlinked");
    let stranger = Stranger::at(&socket);
    let said = handed_over(&world).await;
    kill_process(engine, Signal::CONT).expect("it goes on");
    let said = said.expect_err("nothing can be handed over");
    assert!(said.contains(&format!("process {} listens there", std::process::id())), "{said}");
    assert!(said.contains(&format!("the engine (process {first})")), "{said}");
    assert_eq!(stranger.told(), 0, "not a byte");
    handed_over(&world).await.expect("it made its socket again");
    assert_eq!(pid(&world), first);
    end(first);
}

/// Only root can start a process of another user: elsewhere `engine::socket::tests` has the rule.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_of_another_user_gets_no_credentials() {
    const NOBODY: u32 = 65_534;
    if !rustix::process::getuid().is_root() {
        return;
    }
    let world = World::calm().await;
    let theirs = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::chown(theirs.path(), Some(NOBODY), Some(NOBODY)).expect("theirs");
    let mut engine = bare_floe(theirs.path());
    engine.args(["engine", "--state-dir"]).arg(theirs.path().join("s")).uid(NOBODY).gid(NOBODY);
    let Ok(mut engine) = engine.spawn() else { return }; // That user cannot read this build.
    let socket = theirs.path().join("s/engine.sock");
    let begun = Instant::now();
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(engine.try_wait().expect("looked at").is_none(), "it runs");
        assert!(begun.elapsed() < Duration::from_secs(60), "it listens");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Our lock is held and says that the engine listens there, by their number.
    let ours = StateDir::open(Some(&world.path("ours"))).expect("a state directory");
    let lock = std::fs::File::create(ours.root().join("engine.lock")).expect("a lock");
    lock.lock().expect("held");
    let holder = serde_json::json!({ "protocol": 1, "pid": engine.id(), "version": "0", "socket": socket });
    std::fs::write(ours.root().join("engine.lock"), holder.to_string()).expect("written");
    let found = daemon::find(&ours, "a front", Some(crate::rig::aws_of(&world))).await;
    end(i32::try_from(engine.id()).expect("a pid"));
    let _ = engine.wait();
    let error = found.expect_err("refused").to_string();
    assert!(error.contains(&format!("another user (uid {NOBODY}) listens there")), "{error}");
}

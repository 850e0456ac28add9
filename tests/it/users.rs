//! The engine's socket and other users of the machine: a process of another user is turned away, at the file and, where
//! somebody has opened that door, by the engine itself.

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::World;

/// Nobody, on every system that has one.
const NOBODY: u32 = 65_534;
const SOCKET: &str = "FLOE_TEST_SOCKET";
const ASKER: &str = "users::child_asks_as_whoever_runs_this";

fn frame(body: &str) -> Vec<u8> {
    let mut out = u32::try_from(body.len()).expect("short").to_be_bytes().to_vec();
    out.extend(body.as_bytes());
    out
}

/// Says hello as a front does, and prints how many bytes came back: run by the test below, as another user. Without a
/// socket to ask it has nothing to do.
#[test]
fn child_asks_as_whoever_runs_this() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    match UnixStream::connect(PathBuf::from(socket)) {
        Err(error) => println!("door: {:?}", error.kind()),
        Ok(mut stream) => {
            let hello = r#"{"id":0,"command":{"hello":{"protocol":1,"version":"0","who":"x"}},"world":null}"#;
            let _ = stream.write_all(&frame(hello));
            stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a deadline");
            let mut heard = [0; 4096];
            println!("heard: {}", stream.read(&mut heard).unwrap_or(0));
        }
    }
}

/// A copy of this test program that everybody may run.
fn program(dir: &Path) -> PathBuf {
    let path = dir.join("asker");
    let own = std::env::current_exe().expect("this program");
    fs::hard_link(&own, &path).or_else(|_| fs::copy(&own, &path).map(|_| ())).expect("a copy");
    fs::set_permissions(dir, Permissions::from_mode(0o755)).expect("open to all");
    path
}

fn ask(program: &Path, socket: &Path, user: Option<u32>) -> String {
    let mut command = Command::new(program);
    command.args(["--exact", ASKER, "--nocapture", "--test-threads", "1"]);
    command.env(SOCKET, socket).current_dir("/");
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().find_map(|line| line.split_once("door: ").or_else(|| line.split_once("heard: ")));
    assert!(output.status.success() && line.is_some(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    line.map(|(_, what)| what.trim().to_owned()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_another_user_is_turned_away() {
    if !rustix::process::getuid().is_root() {
        println!("not root: the engine's own check is tested without a process (engine::socket::tests)");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let program = program(dir.path());
    let world = World::calm().await;
    let mut engine = world.floe(&["engine"]).spawn().expect("an engine");
    let state = world.path(".local/state/floe");
    let lock = state.join("engine.lock");
    let mut socket = None;
    for _ in 0..600 {
        let holder: Option<Value> = fs::read(&lock).ok().and_then(|text| serde_json::from_slice(&text).ok());
        socket = holder.and_then(|holder| holder["socket"].as_str().map(PathBuf::from));
        if socket.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let socket = socket.expect("a socket");
    let asks = async |user| {
        let (program, socket) = (program.clone(), socket.clone());
        tokio::task::spawn_blocking(move || ask(&program, &socket, user)).await.expect("asked")
    };
    assert_eq!(fs::metadata(&socket).expect("the socket").permissions().mode() & 0o777, 0o600);
    assert_eq!(asks(Some(NOBODY)).await, "PermissionDenied", "the file itself keeps others out");

    // Somebody opens every door on the way there.
    for path in [world.dir.path(), &world.path(".local"), &world.path(".local/state"), &state] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).expect("opened");
    }
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).expect("opened");
    assert_eq!(asks(Some(NOBODY)).await, "0", "not a word to another user");
    assert_ne!(asks(None).await, "0", "and its own user is heard");

    let (code, _, stderr) = world.json(&["jobs", "ls", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    let pid = rustix::process::Pid::from_child(&engine);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("told");
    assert!(engine.wait().expect("it ends").success());
}

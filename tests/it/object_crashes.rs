//! `kill -9` of a copy to an object: at named points and in the middle of requests. What is under the key afterwards is
//! the image, there is one upload at most and none at the end, and little is sent again.

use std::process::Child;
use std::time::Duration;

use floe::sandbox::faults::{Fault, Faults, Rule};
use rustix::process::{Pid, Signal, kill_process};

use crate::objects::{object, uploads};
use crate::support::{BLOCK, World};

const TO: &str = "s3://floe-vault-us-east-1/images/killed.img";
const KEY: &str = "images/killed.img";
/// Lanes of these copies: requests in flight.
const LANES: u64 = 4;
/// Pieces of 5 MiB that hold something: 13 of 21, and S3 copies zeros to the other eight.
const FULL: u64 = 13;

fn requests(world: &World, api: &str) -> u64 {
    world.running.sandbox.counters().picture().api(api).requests
}

fn source(world: &World) -> Vec<u8> {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::create(world.path("source.img")).expect("an image");
    file.set_len(205 * BLOCK as u64).expect("its length");
    for block in (0..60u64).chain(140..205) {
        let data = vec![u8::try_from(block).expect("small") + 1; BLOCK];
        file.write_all_at(&data, block * BLOCK as u64).expect("data");
    }
    std::fs::read(world.path("source.img")).expect("the image")
}

/// A copy whose engine is the process itself.
fn copy(world: &World, verify: &str, crash_at: Option<&str>) -> Child {
    let lanes = LANES.to_string();
    let args = ["copy", "./source.img", TO, "--memory", "16M", "--verify", verify, "--yes", "--foreground"];
    let mut command = world.floe(&[&args[..], &["--concurrency", &lanes]].concat());
    if let Some(point) = crash_at {
        command.env("FLOE_CRASH_AT", point);
    }
    command.spawn().expect("floe runs")
}

async fn ended(child: Child) -> (Option<i32>, String) {
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().expect("it ends")).await.expect("waited");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

async fn resumed(world: &World, truth: &[u8], what: &str) {
    let (code, json, stderr) = world.json(&["jobs", "resume", "1", "--foreground", "-o", "json"]).await;
    assert_eq!(code, 0, "{what}: {stderr}");
    assert_eq!(json["state"], "done", "{what}");
    assert!(object(world, KEY).await == truth, "{what}: byte for byte");
    assert_eq!(uploads(world).await, 0, "{what}: no upload is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_named_point_of_an_object_is_resumed() {
    let points = [
        ("start-journaled", "listing"),
        ("acknowledged-before-ledger:1", "listing"),
        ("acknowledged-before-ledger:25", "listing"),
        ("synced-before-ledger", "listing"),
        ("complete-answered", "listing"),
        ("checking", "listing"),
        ("checked:40", "full"),
    ];
    for (point, verify) in points {
        let world = World::calm().await;
        let truth = source(&world);
        let (code, stderr) = ended(copy(&world, verify, Some(point))).await;
        if point == "start-journaled" && code == Some(0) {
            continue; // of snapshots only
        }
        assert_eq!(code, None, "{point}: it dies there, and does not merely end: {stderr}");
        let sent = requests(&world, "UploadPart");
        resumed(&world, &truth, point).await;
        let again = requests(&world, "UploadPart") - sent;
        let over = matches!(point, "complete-answered" | "checking" | "checked:40");
        assert!(!over || again == 0, "{point}: nothing is put once it is completed");
        assert_eq!(requests(&world, "CreateMultipartUpload"), 1, "{point}: the upload is found again");
        assert!(requests(&world, "UploadPart") <= 2 * FULL + LANES, "{point}: {sent} and {again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_requests_of_an_object_are_in_flight_is_resumed() {
    for (api, nth) in [
        ("CreateMultipartUpload", 1),
        ("UploadPart", 1),
        ("UploadPart", 9),
        ("UploadPartCopy", 3),
        ("CompleteMultipartUpload", 1),
    ] {
        let slow = Rule { skip: nth - 1, ..Rule::of(Fault::Delay { ms: 3_000, jitter: 0 }).on(api) };
        let world = World::with(Faults { rules: vec![slow], ..Faults::default() }).await;
        let truth = source(&world);
        let mut child = copy(&world, "listing", None);
        while requests(&world, api) < nth {
            assert!(matches!(child.try_wait(), Ok(None)), "{api}: it ended by itself");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
        kill_process(pid, Signal::KILL).expect("killed");
        let _ = ended(child).await;
        world.running.sandbox.set_faults(Faults::default());
        let what = format!("{api} {nth}");
        if api == "CreateMultipartUpload" {
            // Its answer was never heard: an empty upload, of which nobody knows whose it is, costs nothing and stays.
            let (code, _, stderr) = world.json(&["jobs", "resume", "1", "--foreground", "-o", "json"]).await;
            assert_eq!(code, 0, "{what}: {stderr}");
            assert!(object(&world, KEY).await == truth && uploads(&world).await <= 1, "{what}");
        } else {
            resumed(&world, &truth, &what).await;
        }
    }
}

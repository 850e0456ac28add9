//! Disks that fill up under a copy: a real one, mounted for the test in a namespace of its own. A machine that may not
//! mount one shows nothing here, and says so.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use floe::engine::protocol::{Command as Say, JobState, Lanes};
use floe::plan::Options;
use floe::sandbox::faults::{Fault, Faults};
use floe::store::StateDir;
use floe::units::Bytes;

use crate::rig::{Rig, SMALL, aws_of, end, engine, only, picture_when, row_when, rule, start};
use crate::support::{World, assert_image};

const DISK: &str = "FLOE_TEST_DISK";

/// Runs a test of this binary again where `DISK` is a file system of that size.
fn on_a_disk(test: &str, size: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut may = Command::new("unshare");
    may.args(["-rm", "mount", "-t", "tmpfs", "-o", "size=64k", "none"]).arg(dir.path());
    if !may.output().is_ok_and(|output| output.status.success()) {
        // Said, because nothing was shown.
        #[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
        {
            eprintln!("this machine lets nobody mount: {test} was not run");
        }
        return;
    }
    let mut child = Command::new("unshare");
    child
        .args(["-rm", "sh", "-c"])
        .arg(format!("mount -t tmpfs -o size={size} none \"${DISK}\" && exec \"$0\" \"$@\""))
        .arg(std::env::current_exe().expect("this binary"))
        .args([test, "--exact", "--nocapture"])
        .env(DISK, dir.path());
    let output = child.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Takes all the room that is left, so that not a byte more can be written.
fn fill(disk: &Path) -> std::path::PathBuf {
    let path = disk.join("filler");
    let mut file = File::create(&path).expect("a filler");
    for piece in [65_536, 4096, 1] {
        while file.write_all(&vec![1; piece]).is_ok() {}
    }
    path
}

#[test]
fn a_full_disk_is_waited_for() {
    on_a_disk("disk::child_a_full_disk_is_waited_for", "12m");
}

#[tokio::test(flavor = "multi_thread")]
async fn child_a_full_disk_is_waited_for() {
    let Some(disk) = std::env::var_os(DISK) else { return };
    let disk = Path::new(&disk);
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let image = disk.join("copy.img");
    let plan = rig.plan(SMALL, &["null:", image.to_str().expect("text")], Options::default()).await;
    let job = start(&client, &plan).await;
    let row = row_when(&client, job, |row| row.state == JobState::Waiting).await;
    let error = row.error.expect("it says why");
    assert!(error.what.contains("copy.img") && error.what.contains("No space left"), "{error}");
    assert!(error.todo.as_deref().is_some_and(|todo| todo.contains("free some space")), "{error:?}");
    assert_eq!(row.why, "disk full");
    let stall = row.stall.expect("named on its row");
    assert_eq!(stall.cause, floe::engine::protocol::Cause::DiskFull);
    assert!(
        stall.seconds < 15.0 && stall.text.contains("no bytes for") && stall.text.contains("copy.img"),
        "{stall:?}"
    );
    picture_when(&client, |status| status.budget.used == Bytes::ZERO).await;

    let more = Command::new("mount").args(["-o", "remount,size=64m"]).arg(disk).output().expect("mount runs");
    assert!(more.status.success(), "{more:?}");
    let row = row_when(&client, job, |row| row.state != JobState::Waiting && crate::rig::at_rest(row)).await;
    assert_eq!(row.state, JobState::Done, "it goes on by itself: {:?}", row.error);
    assert_eq!((row.stall, row.why.as_str()), (None, ""));
    let truth = rig.world.contents("prod", "us-east-1", SMALL.split_once(':').expect("an address").1).await;
    assert_image(&image, 1, &truth);
}

#[test]
fn a_state_directory_without_room_is_waited_for() {
    on_a_disk("disk::child_a_state_directory_without_room_is_waited_for", "4m");
}

#[tokio::test(flavor = "multi_thread")]
async fn child_a_state_directory_without_room_is_waited_for() {
    let Some(disk) = std::env::var_os(DISK) else { return };
    let disk = Path::new(&disk);
    let slow = only("GetSnapshotBlock", rule(Fault::Delay { ms: 20, jitter: 10 }, 1.0));
    let world = World::with(Faults { rules: vec![slow], ..Faults::default() }).await;
    let aws = aws_of(&world);
    let state = StateDir::open(Some(&disk.join("state"))).expect("a state directory");
    let rig = Rig { world, aws, state };
    let client = engine(&rig.state, &rig.aws, None).await.expect("an engine");
    let image = rig.world.path("copy.img");
    let options = Options { concurrency: Some(4), ..Options::default() };
    let plan = rig.plan(&rig.source(), &["eu-west-1:", image.to_str().expect("text")], options).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.blocks_done.0 > 20).await;
    let filler = fill(disk);
    // What is left of the journal's last page is used up too.
    for _ in 0..100 {
        let _ = client.send(Say::Lanes(job, Lanes::AtMost(4))).await;
    }
    let row = row_when(&client, job, |row| row.state == JobState::Waiting || crate::rig::at_rest(row)).await;
    assert_eq!(row.state, JobState::Waiting, "{:?}", row.error);
    let error = row.error.expect("it says why");
    assert!(error.what.contains("No space left"), "{error}");
    picture_when(&client, |status| status.budget.used == Bytes::ZERO).await;
    rig.heal();
    std::fs::remove_file(filler).expect("room again");
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Done, "it goes on by itself: {:?}", row.error);
    let truth = rig.truth().await;
    assert_image(&image, 1, &truth);
    assert!(rig.copied(&row, 0).await == truth);
}

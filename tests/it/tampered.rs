//! Files of a job that are not what they were when it rested: its ledger, its journal, the file that it fills. They are
//! noticed, repaired or refused, and never believed.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use floe::engine::Client;
use floe::engine::protocol::{Command, JobState, JobStatus};
use floe::plan::Options;
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::sandbox::model::SnapshotState;

use crate::lying::{TO, asked, faults, made, never_completed, requests, small};
use crate::rig::{Rig, SMALL, at_rest, end, retry_start, row_when, start};
use crate::support::assert_image;

/// A job to that place, paused when it has done some of its blocks.
async fn paused(rig: &Rig, client: &Client, to: &str) -> JobStatus {
    let options = Options { concurrency: Some(2), ..Options::default() };
    let job = start(client, &rig.plan(SMALL, &[to], options).await).await;
    row_when(client, job, |row| row.blocks_done.0 > 10).await;
    client.send(Command::Pause(job)).await.expect("it pauses");
    let row = end(client, job).await;
    assert_eq!(row.state, JobState::Paused, "{:?}", row.error);
    row
}

fn slow() -> Faults {
    faults(vec![Rule::of(Fault::Delay { ms: 60, jitter: 0 }).on("GetSnapshotBlock")])
}

/// A rig whose engine is gone, with one job that rests.
async fn resting(to: &str) -> (Rig, JobStatus) {
    let rig = Rig::with(slow()).await;
    let to = if to.starts_with('.') { rig.world.path(to).display().to_string() } else { to.to_owned() };
    let client = rig.engine(None).await;
    let row = paused(&rig, &client, &to).await;
    let _ = client.send(Command::Shutdown).await;
    rig.heal();
    (rig, row)
}

async fn goes_on(rig: &Rig, row: &JobStatus) -> JobStatus {
    let client = retry_start(&rig.state, &rig.aws).await;
    client.send(Command::Resume(row.job)).await.expect("it can be resumed");
    row_when(&client, row.job, |row| at_rest(row) && row.state != JobState::Paused).await
}

fn partial(dir: &Path) -> PathBuf {
    let mut entries = fs::read_dir(dir).expect("a directory").flatten().map(|entry| entry.path());
    entries.find(|path| path.extension().is_some_and(|end| end == "part")).expect("a partial file")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zeroed_partial_file_under_an_intact_ledger_is_refused() {
    let (rig, row) = resting("./copy.img").await;
    let part = partial(rig.world.dir.path());
    let file = fs::OpenOptions::new().write(true).open(&part).expect("the partial file");
    let length = file.metadata().expect("its length").len();
    file.set_len(0).and_then(|()| file.set_len(length)).expect("emptied");
    let row = goes_on(&rig, &row).await;
    never_completed(&rig, &row, &["does not hold what was written to it"]);
    assert!(!rig.world.path("copy.img").exists(), "nothing has its name");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flipped_byte_in_a_partial_file_is_refused() {
    let (rig, row) = resting("./copy.img").await;
    let file = fs::OpenOptions::new().read(true).write(true).open(partial(rig.world.dir.path())).expect("the file");
    let first = u64::from(*small(&rig).await.keys().next().expect("a block")) * 524_288;
    let mut byte = [0];
    file.read_exact_at(&mut byte, first + 77).expect("read");
    file.write_all_at(&[!byte[0]], first + 77).expect("flipped");
    let row = goes_on(&rig, &row).await;
    never_completed(&rig, &row, &["does not hold what was written to it"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_file_that_is_gone_is_written_again() {
    let (rig, row) = resting("./copy.img").await;
    fs::remove_file(partial(rig.world.dir.path())).expect("gone");
    let row = goes_on(&rig, &row).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_image(&rig.world.path("copy.img"), 1, &small(&rig).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_or_journal_of_another_job_is_refused() {
    for name in ["ledger", "events.ndjson"] {
        for to in ["./copy.img", "eu-west-1:"] {
            let (rig, row) = resting(to).await;
            rig.world.running.sandbox.set_faults(slow());
            let client = retry_start(&rig.state, &rig.aws).await;
            let other = paused(&rig, &client, "null:").await;
            let _ = client.send(Command::Shutdown).await;
            rig.heal();
            let [ours, theirs] = [row.job, other.job].map(|job| rig.state.job(job).join(name));
            fs::copy(&theirs, &ours).expect("put in its place");
            let row = goes_on(&rig, &row).await;
            assert_eq!(row.state, JobState::Failed, "{name}, {to}");
            let error = row.error.expect("why").to_string();
            assert!(error.contains("belong"), "{name}, {to}: {error}");
            assert!(!rig.world.path("copy.img").exists());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_the_same_job_in_another_state_directory_is_refused() {
    // Same number, same source, same destination.
    let ((ours, row), (theirs, _)) = tokio::join!(resting("eu-west-1:"), resting("eu-west-1:"));
    let from = theirs.state.job(row.job).join("ledger");
    fs::copy(from, ours.state.job(row.job).join("ledger")).expect("put in its place");
    let row = goes_on(&ours, &row).await;
    assert_eq!(row.state, JobState::Failed);
    assert!(row.error.is_some_and(|error| error.what.contains("another state directory")));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_ledger_a_job_believes_nothing_and_copies_everything() {
    for to in ["./copy.img", "eu-west-1:"] {
        let (rig, row) = resting(to).await;
        let picture = floe::engine::journal::replay(&rig.state.job(row.job).join("events.ndjson")).expect("a journal");
        assert!(picture.segments.values().all(|s| s.through >= s.range.end), "its journal says that all is listed");
        fs::remove_file(rig.state.job(row.job).join("ledger")).expect("gone");
        let row = goes_on(&rig, &row).await;
        assert_eq!(row.state, JobState::Done, "{to}: {:?}", row.error);
        let truth = small(&rig).await;
        assert_eq!(row.blocks_done.0, truth.len() as u64, "{to}");
        match to {
            "eu-west-1:" => assert!(rig.copied(&row, 0).await == truth),
            _ => assert_image(&rig.world.path("copy.img"), 1, &truth),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_that_the_ledger_cannot_account_for_is_refused() {
    // Its answer never comes; the engine is stopped, and its ledger is lost.
    let hang = Rule::of(Fault::Hang).on("CompleteSnapshot");
    let rig = Rig::with(faults(vec![hang])).await;
    let client = rig.engine(None).await;
    let job = start(&client, &rig.plan(SMALL, &[&format!("{TO}:")], Options::default()).await).await;
    asked(&rig, "CompleteSnapshot", 1).await;
    client.send(Command::Pause(job)).await.expect("it pauses");
    let row = end(&client, job).await;
    let _ = client.send(Command::Shutdown).await;
    rig.heal();
    fs::remove_file(rig.state.job(job).join("ledger")).expect("gone");
    let completes = requests(&rig, "CompleteSnapshot");
    let row = goes_on(&rig, &row).await;
    never_completed(&rig, &row, &["64 blocks", "do not trust this result"]);
    assert_eq!(requests(&rig, "CompleteSnapshot"), completes, "nothing wrong is completed");
    let id: floe::ids::SnapshotId = made(&rig).await.parse().expect("an id");
    let region: floe::ids::Region = TO.parse().expect("a region");
    let model = rig.world.running.sandbox.model();
    let found = model.accounts.values().find_map(|account| account.regions.get(&region)?.snapshots.get(&id));
    assert!(found.is_some_and(|snapshot| snapshot.state == SnapshotState::Pending));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_state_directories_with_one_target_do_not_write_into_each_other() {
    let rig = Rig::with(slow()).await;
    let target = rig.world.path("copy.img").display().to_string();
    let other = Rig {
        state: floe::store::StateDir::open(Some(&rig.world.path("other"))).expect("a state directory"),
        aws: rig.aws.clone(),
        world: rig.world,
    };
    let state = floe::store::StateDir::open(Some(&other.world.path("state"))).expect("a state directory");
    let clients = [other.engine(None).await, crate::rig::engine(&state, &other.aws, None).await.expect("an engine")];
    // Two snapshots that share no block's content.
    let sources = [SMALL.to_owned(), other.source()];
    let mut rows = Vec::new();
    for (client, source) in clients.iter().zip(&sources) {
        let options = Options { concurrency: Some(4), ..Options::default() };
        let plan = other.plan(source, &[&target], options).await;
        rows.push(start(client, &plan).await);
    }
    assert_eq!(rows[0], rows[1], "the same number");
    row_when(&clients[0], rows[0], |row| row.blocks_done.0 > 4).await;
    row_when(&clients[1], rows[1], |row| row.blocks_done.0 > 4).await;
    other.heal();
    let ended = [end(&clients[0], rows[0]).await, end(&clients[1], rows[1]).await];
    let done: Vec<bool> = ended.iter().map(|row| row.state == JobState::Done).collect();
    assert_eq!(done.iter().filter(|done| **done).count(), 1, "one has the name, the other is refused: {ended:?}");
    let truth = if done[0] { small(&other).await } else { other.truth().await };
    assert_image(Path::new(&target), 1, &truth);
    let refused =
        ended.iter().find(|row| row.state != JobState::Done).and_then(|row| row.destinations[0].error.clone());
    assert!(refused.is_some_and(|error| error.what.contains("exists and holds")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_changed_while_its_engine_was_dead_is_not_completed() {
    for (point, name) in [("before-rename", None), ("after-rename", Some("copy.img"))] {
        let world = crate::support::World::calm().await;
        let mut copy = world.floe(&["copy", SMALL, "./copy.img", "--yes", "--foreground"]);
        copy.env("FLOE_CRASH_AT", point);
        let output = tokio::task::spawn_blocking(move || copy.output().expect("floe runs")).await.expect("it ends");
        assert_eq!(output.status.code(), None, "{point}: it dies there");
        let path = name.map_or_else(|| partial(world.dir.path()), |name| world.path(name));
        let truth = world.contents("prod", "us-east-1", SMALL.split_once(':').expect("an address").1).await;
        let last = u64::from(*truth.keys().next_back().expect("a block")) * 524_288;
        let file = fs::OpenOptions::new().read(true).write(true).open(path).expect("the file");
        let mut byte = [0];
        file.read_exact_at(&mut byte, last).expect("read");
        file.write_all_at(&[!byte[0]], last).expect("flipped");
        let output = world.run(&["jobs", "resume", "1", "--foreground"]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{point}: {said}");
        assert!(said.contains("does not hold what was written to it"), "{point}: {said}");
    }
}

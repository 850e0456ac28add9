//! What an engine meets that nobody plans for: its directory taken away, copied or cut, stopped by a signal, raced for.
//! The result is right, or it is none and says why.

use std::fs;
use std::net::{Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use floe::engine::protocol::{Command, JobState, JobStatus, LeftOvers};
use floe::plan::{Options, Verify};
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::store::StateDir;
use rustix::process::{Pid, Signal, kill_process};

use crate::rig::{Rig, SMALL, at_rest, end, engine, retry_start, row_when, start};
use crate::support::{Contents, World, assert_image};

fn slow() -> Faults {
    Faults { rules: vec![Rule::of(Fault::Delay { ms: 60, jitter: 0 }).on("GetSnapshotBlock")], ..Faults::default() }
}

async fn truth(rig: &Rig) -> Contents {
    rig.world.contents("prod", "us-east-1", "snap-0feed000000b00701").await
}

/// A rig whose engine is gone, with one job to a snapshot and a file that was paused in the middle.
async fn resting() -> (Rig, JobStatus) {
    let rig = Rig::with(slow()).await;
    let client = rig.engine(None).await;
    let options = Options { concurrency: Some(2), ..Options::default() };
    let image = rig.world.path("copy.img").display().to_string();
    let job = start(&client, &rig.plan(SMALL, &["eu-west-1:", &image], options).await).await;
    row_when(&client, job, |row| row.blocks_done.0 > 10).await;
    client.send(Command::Pause(job)).await.expect("it pauses");
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Paused, "{:?}", row.error);
    let _ = client.send(Command::Shutdown).await;
    rig.heal();
    (rig, row)
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory").flatten() {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().expect("its type") {
            kind if kind.is_dir() => copied(&path, &to),
            kind if kind.is_file() => drop(fs::copy(&path, &to).expect("copied")),
            _ => {}
        }
    }
}

/// Everything is right that is called done; and no second snapshot was made.
async fn assert_right(rig: &Rig, row: &JobStatus, what: &str) {
    let truth = truth(rig).await;
    assert!(rig.world.made_by_floe("prod", "eu-west-1").await.len() <= 1, "{what}: one snapshot");
    let done = |nth: usize| format!("{:?}", row.destinations[nth].state) == "Completed";
    if done(0) {
        assert!(rig.copied(row, 0).await == truth, "{what}: the snapshot");
    }
    if done(1) {
        assert_image(&rig.world.path("copy.img"), 1, &truth);
    }
    if row.state == JobState::Done {
        assert!(done(0) && done(1), "{what}: {:?}", row.destinations);
    } else {
        assert!(row.error.is_some() || row.destinations.iter().any(|to| to.error.is_some()), "{what}: it says why");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_that_is_taken_away_ends_its_job_with_a_sentence() {
    let rig = Rig::with(slow()).await;
    let client = rig.engine(None).await;
    let image = rig.world.path("copy.img").display().to_string();
    let options = Options { concurrency: Some(2), ..Options::default() };
    let job = start(&client, &rig.plan(SMALL, &[&image], options).await).await;
    row_when(&client, job, |row| row.blocks_done.0 > 4).await;
    let (state, away) = (rig.world.path("state"), rig.world.path("away"));
    fs::rename(&state, &away).expect("taken away");
    let row = row_when(&client, job, at_rest).await;
    assert_eq!(row.state, JobState::Failed, "never done without its records: {row:?}");
    let said = format!("{:?} {:?}", row.error, row.destinations);
    assert!(said.contains("was removed or moved while its job ran"), "{said}");
    assert!(!Path::new(&image).exists(), "nothing has the name of the result");
    let _ = client.send(Command::Shutdown).await;
    drop(client);
    // Put back, it goes on.
    rig.heal();
    let _ = fs::remove_dir_all(&state);
    fs::rename(&away, &state).expect("put back");
    let client = retry_start(&rig.state, &rig.aws).await;
    client.send(Command::Resume(job)).await.expect("it goes on");
    let row = row_when(&client, job, |row| row.state == JobState::Done).await;
    assert_eq!(row.error, None);
    assert_image(Path::new(&image), 1, &truth(&rig).await);
}

/// The directory of a job in its middle, copied to another machine: both go on at once. They have one client token, one
/// snapshot and the same bytes; the first to complete wins, and the other is never called done of something else.
#[tokio::test(flavor = "multi_thread")]
async fn two_engines_with_copies_of_one_job_make_one_snapshot_and_it_is_right() {
    let rig = Rig::with(slow()).await;
    let client = rig.engine(None).await;
    let options = Options { concurrency: Some(2), ..Options::default() };
    let job = start(&client, &rig.plan(SMALL, &["eu-west-1:"], options).await).await;
    row_when(&client, job, |row| row.blocks_done.0 > 10).await;
    client.send(Command::Pause(job)).await.expect("it pauses");
    end(&client, job).await;
    let _ = client.send(Command::Shutdown).await;
    let other = rig.world.path("other");
    copied(&rig.world.path("state"), &other);
    let other = StateDir::open(Some(&other)).expect("a state directory");
    let clients = [retry_start(&rig.state, &rig.aws).await, engine(&other, &rig.aws, None).await.expect("an engine")];
    let mut rows = Vec::new();
    for client in &clients {
        client.send(Command::Resume(job)).await.expect("it goes on");
    }
    rig.heal();
    for client in &clients {
        rows.push(row_when(client, job, |row| at_rest(row) && row.state != JobState::Paused).await);
    }
    assert!(rows.iter().any(|row| row.state == JobState::Done), "{rows:?}");
    let truth = truth(&rig).await;
    assert_eq!(rig.world.made_by_floe("prod", "eu-west-1").await.len(), 1, "one token, one snapshot");
    for row in &rows {
        assert!(rig.copied(row, 0).await == truth, "whoever says what, it is right");
        assert!(row.state == JobState::Done || row.destinations[0].error.is_some(), "{row:?}");
    }
}

/// A journal without its last lines, torn in the middle of one, or with its end twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_was_cut_or_says_its_end_twice_makes_no_wrong_result() {
    let (rig, row) = resting().await;
    let (state, kept) = (rig.world.path("state"), rig.world.path("kept"));
    copied(&state, &kept);
    let part = |dir: &Path| {
        let mut entries = fs::read_dir(dir).expect("a directory").flatten().map(|entry| entry.path());
        entries.find(|path| path.extension().is_some_and(|end| end == "part")).expect("a partial file")
    };
    let part = part(rig.world.dir.path());
    let half = fs::read(&part).expect("what was written");
    let events = state.join(format!("jobs/{}/events.ndjson", row.job));
    let whole = fs::read(&events).expect("a journal");
    let ends: Vec<usize> = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    let last = |n: usize| ends[ends.len() - 1 - n];
    let torn = [whole.len() - 1, whole.len() - 20, last(1) + 1, last(2) - 3, last(4)].map(|end| whole[..end].to_vec());
    let twice = [1, 3].map(|n| [&whole[..], &whole[last(n)..]].concat());
    let zeros = [&whole[..], &[0; 512][..]].concat();
    for (nth, journal) in torn.into_iter().chain(twice).chain([zeros]).enumerate() {
        fs::write(&events, journal).expect("spoiled");
        fs::write(&part, &half).expect("as it was");
        let client = retry_start(&rig.state, &rig.aws).await;
        let resumed = client.send(Command::Resume(row.job)).await;
        if let Err(error) = resumed {
            // Not believed at all: it names the file and the line, and nothing was touched.
            assert!(error.to_string().contains("events.ndjson"), "{nth}: {error}");
        } else {
            let row = row_when(&client, row.job, |row| at_rest(row) && row.state != JobState::Paused).await;
            assert_right(&rig, &row, &format!("journal {nth}")).await;
            if row.state == JobState::Done {
                fs::remove_file(rig.world.path("copy.img")).expect("made again");
            }
        }
        let _ = client.send(Command::Shutdown).await;
        drop(client);
        let _ = fs::remove_dir_all(&state);
        copied(&kept, &state);
        if fs::metadata(&part).is_err() {
            fs::write(&part, &half).expect("as it was");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_another_length_is_not_believed() {
    for change in [-4096i64, -1, 1, 4096] {
        let (rig, row) = resting().await;
        let path = rig.world.path(&format!("state/jobs/{}/ledger", row.job));
        let file = fs::OpenOptions::new().write(true).open(&path).expect("a ledger");
        let length = file.metadata().expect("its length").len();
        file.set_len(length.checked_add_signed(change).expect("a length")).expect("changed");
        let client = retry_start(&rig.state, &rig.aws).await;
        if client.send(Command::Resume(row.job)).await.is_ok() {
            let row = row_when(&client, row.job, |row| at_rest(row) && row.state != JobState::Paused).await;
            assert_right(&rig, &row, &format!("ledger {change:+}")).await;
            assert!(change > 0 || row.state == JobState::Failed, "{change}: what was cut off is missed: {row:?}");
        }
    }
}

fn pid_of(child: &std::process::Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid")
}

/// Stopped in the middle, as Ctrl-Z does, and let go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_stopped_for_a_while_goes_on() {
    let rig = Rig::with(slow()).await;
    let args = ["copy", "--yes", "--foreground", "--concurrency", "2", SMALL, "./copy.img"];
    let mut child = rig.world.floe(&args).spawn().expect("floe runs");
    while rig.gets() < 8 {
        assert!(child.try_wait().expect("looked at").is_none(), "it runs");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    kill_process(pid_of(&child), Signal::STOP).expect("stopped");
    // What is in flight comes meanwhile, and nothing more is asked.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let asked = rig.gets();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.gets(), asked, "it stands still");
    rig.heal();
    kill_process(pid_of(&child), Signal::CONT).expect("goes on");
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().expect("it ends")).await.expect("waited");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_image(&rig.world.path("copy.img"), 1, &truth(&rig).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_engines_that_start_at_once_one_runs_and_the_others_name_it() {
    let world = World::calm().await;
    let spawn = || {
        let piped = std::process::Stdio::piped;
        world.floe(&["engine"]).stderr(piped()).stdout(piped()).spawn().expect("floe runs")
    };
    let mut engines: Vec<_> = (0..5).map(|_| spawn()).collect();
    let mut tries = 0;
    while engines.iter_mut().map(std::process::Child::try_wait).filter(|ended| !matches!(ended, Ok(None))).count() < 4 {
        tries += 1;
        assert!(tries < 1200, "four of them end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (mut running, mut ended) = (Vec::new(), Vec::new());
    for mut engine in engines {
        let runs = matches!(engine.try_wait(), Ok(None));
        if runs { &mut running } else { &mut ended }.push(engine);
    }
    assert_eq!((running.len(), ended.len()), (1, 4));
    let first = running.remove(0);
    for engine in ended {
        let output = engine.wait_with_output().expect("it ended");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(said.contains(&first.id().to_string()), "who runs: {said}");
    }
    kill_process(pid_of(&first), Signal::TERM).expect("told to end");
    let output = tokio::task::spawn_blocking(move || first.wait_with_output().expect("it ends")).await.expect("waited");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An endpoint that has an address of version 6 only.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_ipv6_alone_is_as_good_as_any() {
    let listen = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    if std::net::TcpListener::bind(listen).is_err() {
        return; // This machine has no such address.
    }
    let world = World::new(floe::sandbox::Options { listen, ..Default::default() }).await;
    assert!(world.running.url().starts_with("http://[::1]:"), "{}", world.running.url());
    let to = "s3://floe-vault-us-east-1/ebs/";
    let (code, json, stderr) =
        world.json(&["copy", SMALL, "eu-west-1:", "./copy.img", to, "--yes", "--foreground", "-o", "json"]).await;
    assert_eq!((code, json["state"].as_str()), (0, Some("done")), "{stderr}");
    let truth = world.contents("prod", "us-east-1", "snap-0feed000000b00701").await;
    assert_image(&world.path("copy.img"), 1, &truth);
}

/// The directory of a job in its middle, copied to another place and started there: both would write to one file. Who has it
/// holds it, and the other neither writes to it nor cleans it up.
#[tokio::test(flavor = "multi_thread")]
async fn two_engines_with_copies_of_one_job_do_not_write_to_one_file() {
    let rig = Rig::with(slow()).await;
    let client = rig.engine(None).await;
    let image = rig.world.path("copy.img").display().to_string();
    let options = || Options { concurrency: Some(2), ..Options::default() };
    let job = start(&client, &rig.plan(SMALL, &[&image], options()).await).await;
    row_when(&client, job, |row| row.blocks_done.0 > 8).await;
    let other = rig.world.path("other");
    copied(&rig.world.path("state"), &other);
    let other = StateDir::open(Some(&other)).expect("a state directory");
    let second = engine(&other, &rig.aws, None).await.expect("an engine");
    second.send(Command::Resume(job)).await.expect("it tries");
    let row = row_when(&second, job, |row| at_rest(row) && row.error.is_some()).await;
    assert_eq!(row.state, JobState::Failed, "{row:?}");
    let said = format!("{:?} {:?}", row.error, row.destinations);
    assert!(said.contains("is being written by another engine") && said.contains("state directory"), "{said}");
    // Told to clean up it leaves alone what is not its own.
    second.send(Command::Cancel(job, LeftOvers::CleanUp)).await.expect("it tries");
    row_when(&second, job, at_rest).await;
    let first = row_when(&client, job, |row| row.blocks_done.0 > 24).await;
    assert_eq!(first.state, JobState::Running, "{first:?}");
    rig.heal();
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_image(Path::new(&image), 1, &truth(&rig).await);
}

/// As `truncate -s 0; truncate -s N` does it: the length is right again, and what was written is gone. No level of checking
/// calls that done, the next resume notices it too, and the one after that has it written again.
#[tokio::test(flavor = "multi_thread")]
async fn a_partial_file_that_was_cut_off_and_made_as_long_again_is_written_again() {
    let emptied = |part: &Path| {
        let part = fs::OpenOptions::new().write(true).open(part).expect("the part");
        part.set_len(0).and_then(|()| part.set_len(1 << 30)).expect("cut off and made longer");
    };
    for (verify, paused) in [(Verify::Listing, false), (Verify::None, false), (Verify::Listing, true)] {
        let rig = Rig::with(slow()).await;
        let client = rig.engine(None).await;
        let image = rig.world.path("copy.img");
        let options = Options { concurrency: Some(2), verify, ..Options::default() };
        let job = start(&client, &rig.plan(SMALL, &[&image.display().to_string()], options).await).await;
        row_when(&client, job, |row| row.blocks_done.0 > 16).await;
        let over = |row: &JobStatus| at_rest(row) && row.ended.is_some();
        let parts = || fs::read_dir(rig.world.dir.path()).expect("a directory").flatten().map(|entry| entry.path());
        let part = parts().find(|path| path.extension().is_some_and(|end| end == "part")).expect("a part");
        if paused {
            client.send(Command::Pause(job)).await.expect("paused");
            row_when(&client, job, |row| row.state == JobState::Paused).await;
        }
        emptied(&part);
        rig.heal();
        if paused {
            client.send(Command::Resume(job)).await.expect("it goes on");
            row_when(&client, job, |row| row.state != JobState::Paused && row.state != JobState::Queued).await;
        }
        let row = row_when(&client, job, over).await;
        let said = format!("{:?} {:?}", row.error, row.destinations);
        assert_eq!(row.state, JobState::Failed, "{verify:?}, {paused}: {said}");
        assert!(said.contains("does not hold what was written to it"), "{verify:?}, {paused}: {said}");
        assert!(said.contains("`floe jobs resume` writes it again"), "{verify:?}, {paused}: {said}");
        assert!(!image.exists(), "{verify:?}, {paused}: it has no name");

        client.send(Command::Resume(job)).await.expect("it goes on");
        row_when(&client, job, |row| row.state != JobState::Failed).await;
        let row = row_when(&client, job, over).await;
        assert_eq!((row.state, &row.error), (JobState::Done, &None), "{verify:?}, {paused}");
        assert_image(&image, 1, &truth(&rig).await);
        assert!(parts().all(|path| path.extension().is_none_or(|end| end != "part")), "nothing is left over");
    }
}

/// What is written beside its name is taken away, replaced by another file, or cut off, in the middle: it is never called
/// done unless it is whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_partial_file_that_somebody_meddles_with_is_no_result() {
    for meddle in ["removed", "replaced", "cut off", "emptied"] {
        let rig = Rig::with(slow()).await;
        let client = rig.engine(None).await;
        let image = rig.world.path("copy.img");
        // An older image of the same length has the name.
        fs::File::create(&image).and_then(|old| old.set_len(1 << 30)).expect("an old image");
        let options = Options { concurrency: Some(2), force: true, ..Options::default() };
        let job = start(&client, &rig.plan(SMALL, &[&image.display().to_string()], options).await).await;
        row_when(&client, job, |row| row.blocks_done.0 > 16).await;
        let parts = fs::read_dir(rig.world.dir.path()).expect("a directory").flatten().map(|entry| entry.path());
        let part = parts.into_iter().find(|path| path.extension().is_some_and(|end| end == "part")).expect("a part");
        match meddle {
            "removed" => fs::remove_file(&part).expect("removed"),
            "replaced" => {
                fs::remove_file(&part).expect("removed");
                fs::File::create(&part).and_then(|other| other.set_len(1 << 30)).expect("another");
            }
            "cut off" => {
                let part = fs::OpenOptions::new().write(true).open(&part).expect("the part");
                part.set_len(4 * 524_288).expect("cut off");
            }
            _ => drop(fs::File::create(&part).expect("emptied")),
        }
        rig.heal();
        let row = end(&client, job).await;
        if row.state == JobState::Done {
            assert_image(&image, 1, &truth(&rig).await);
            continue;
        }
        let said = format!("{:?} {:?}", row.error, row.destinations);
        if !matches!(meddle, "removed" | "replaced") {
            // Blocks that came later may have made it as long as it was: reading it back finds what is missing.
            assert!(
                said.contains("does not hold what was written to it") || said.contains("cut off"),
                "{meddle}: {said}"
            );
            continue;
        }
        assert!(said.contains("was removed or replaced while the job wrote to it"), "{meddle}: {said}");
        let old = fs::metadata(&image).expect("the old image");
        assert_eq!((old.len(), old.blocks()), (1 << 30, 0), "{meddle}: what has the name is as it was");
        client.send(Command::Resume(job)).await.expect("it goes on");
        let over = |row: &JobStatus| at_rest(row) && row.ended.is_some();
        let mut row = row_when(&client, job, over).await;
        if meddle == "replaced" {
            // Of the right length, but not what was written: found when it is compared, and never called done.
            let said = format!("{:?} {:?}", row.error, row.destinations);
            assert!(row.state == JobState::Failed && said.contains("does not hold what was written to it"), "{said}");
            continue;
        }
        if row.state != JobState::Done {
            // What was found to be wrong is written again.
            client.send(Command::Resume(job)).await.expect("it goes on");
            row = row_when(&client, job, over).await;
        }
        assert_eq!((row.state, &row.error), (JobState::Done, &None), "{meddle}");
        assert_image(&image, 1, &truth(&rig).await);
    }
}

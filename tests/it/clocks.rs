//! The clock of this machine jumps by a day, ahead and back, in the middle of things: copies go on and end right, nothing is
//! taken for fresh that is not, and nobody is asked to sign in for it.
//!
//! What jumps here is the time that the sandbox holds signatures against, which is the same as ours jumping the other way;
//! ages and journals are tested with times of their own (`age`, `aws::clock`, `aws::credentials`, `engine::journal`).

use floe::engine::protocol::{Command, JobState, LeftOvers};
use floe::plan::Options;
use floe::sandbox::faults::{Fault, Faults, Rule};

use crate::copied::{large, said, uploads, url};
use crate::rig::{Rig, SMALL, at_rest, end, row_when, start};
use crate::support::assert_image;

const DAY: i64 = 86_400_000;

/// Its clock for signatures is off by so much; what it has started and listed keeps its own time.
fn off(ms: i64, slow: bool) -> Faults {
    let rules = match slow {
        true => vec![Rule::of(Fault::Delay { ms: 60, jitter: 0 }).on("GetSnapshotBlock")],
        false => Vec::new(),
    };
    Faults { rules, clock_ms: ms, advance_ms: -ms, ..Faults::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_by_a_day_and_back_ends_no_copy_and_asks_nobody_to_sign_in() {
    let rig = Rig::with(off(0, true)).await;
    let client = rig.engine(None).await;
    let image = rig.world.path("copy.img").display().to_string();
    let options = Options { concurrency: Some(4), ..Options::default() };
    let job = start(&client, &rig.plan(SMALL, &["eu-west-1:", &image], options).await).await;
    for (blocks, clock) in [(8, DAY), (18, 0), (28, -DAY), (38, 0), (48, DAY)] {
        row_when(&client, job, |row| row.blocks_done.0 >= blocks).await;
        rig.world.running.sandbox.set_faults(off(clock, true));
    }
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert!(row.elapsed_seconds < 600.0, "{} s: the day is not counted", row.elapsed_seconds);
    assert!(row.troubles.retries > 0, "the clock was felt: {:?}", row.troubles);
    let log = said(&rig, job);
    let waits: Vec<_> = log.iter().filter(|(_, text)| text.contains("waiting")).collect();
    assert!(waits.is_empty(), "nothing was waited for: {waits:?}");
    rig.heal();
    let truth = rig.world.contents("prod", "us-east-1", "snap-0feed000000b00701").await;
    assert!(rig.copied(&row, 0).await == truth);
    assert_image(&rig.world.path("copy.img"), 1, &truth);
}

/// An upload whose answer was lost is known by when it was begun, as S3 has the time: ours is a day ahead here, and what
/// was begun before it was wanted would be somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_answer_was_lost_is_found_by_the_time_of_s3_and_not_by_ours() {
    let behind = |rules| Faults { rules, clock_ms: -DAY, ..Faults::default() };
    let rig = Rig::calm().await;
    large(&rig.world, "six.raw", 6).await;
    rig.world.running.sandbox.set_faults(behind(Vec::new()));
    let client = rig.engine(None).await;
    let plan = rig.plan(&url("six.raw"), &[&url("copy.raw")], Options::default()).await;
    let lost = Rule::of(Fault::ResetAfter).on("CreateMultipartUpload");
    rig.world.running.sandbox.set_faults(behind(vec![lost]));
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.troubles.retries > 0).await;
    client.send(Command::Pause(job)).await.expect("it pauses");
    let row = row_when(&client, job, at_rest).await;
    assert_eq!(row.state, JobState::Paused, "{:?}", row.error);
    rig.world.running.sandbox.set_faults(behind(Vec::new()));
    assert!(uploads(&rig.world).await > 0, "S3 has begun what nobody heard of");
    client.send(Command::Cancel(job, LeftOvers::CleanUp)).await.expect("it is given up");
    row_when(&client, job, |row| row.state == JobState::Cancelled).await;
    assert_eq!(uploads(&rig.world).await, 0, "nothing that is paid for is left");
}

//! Jobs of one operation that run beside each other: how long it is said that they take together, against what they take
//! where limits and latency are known and jobs share some of them.

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use floe::engine::protocol::{Answer, JobState};
use floe::plan::{Options, Verify};
use floe::sandbox::faults::LimitOf;
use futures_util::StreamExt as _;

use crate::paced::{GET, PUT, Service, dice};
use crate::rig::{at_rest, picture_when, submit};
use crate::support::disk;

/// What was said of a group and of each of its jobs, and what they took.
#[derive(Debug)]
struct Group {
    said: (f64, f64),
    took: f64,
    bound_by: String,
    at_once: u32,
    each: Vec<((f64, f64), f64)>,
}

/// What a service is like: its requests a second, its latency and jitter, and how often it fails.
type Like<'a> = (&'a [(&'a str, LimitOf, f64)], (u64, u64), f64);

/// Runs snapshots of so many blocks each as one group against a service like that.
async fn run(blocks: &[i32], to: &[&str], (quotas, delay, trouble): Like<'_>, options: Options) -> Group {
    let service = Service::of(&[], (0, 0), 0.0).await;
    let mut sources = Vec::new();
    for many in blocks {
        let holds: Vec<(i32, u8)> = (0..*many).map(|index| (index * 3, 7)).collect();
        sources.push(format!("us-east-1:{}", disk(&service.rig.world, "us-east-1", &holds).await));
    }
    service.becomes(quotas, delay, trouble);
    let plan = service.plan_each(&sources, to, options).await;
    let begun = Instant::now();
    let Answer::Jobs(jobs) = submit(&service.client, &plan).await.expect("it runs") else {
        unreachable!("jobs were made")
    };
    let over = |status: &floe::engine::protocol::Status| {
        status.jobs.iter().filter(|row| jobs.contains(&row.job) && at_rest(row)).count() == jobs.len()
    };
    let status = picture_when(&service.client, over).await;
    let took = begun.elapsed().as_secs_f64();
    let each = status.jobs.iter().filter(|row| jobs.contains(&row.job)).map(|row| {
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
        ((row.predicted.seconds_low, row.predicted.seconds_high), row.elapsed_seconds)
    });
    let each: Vec<((f64, f64), f64)> = each.collect();
    let said: Vec<(f64, f64)> = plan.time.each.iter().map(|job| (job.low_seconds, job.high_seconds)).collect();
    assert_eq!(each.iter().map(|(said, _)| *said).collect::<Vec<_>>(), said, "what was said of each job is kept");
    let said = (plan.time.low_seconds, plan.time.high_seconds);
    Group { said, took, bound_by: plan.time.bound_by, at_once: plan.time.jobs, each }
}

type Scenario = Pin<Box<dyn Future<Output = (&'static str, Group)>>>;

const TWO: [i32; 2] = [40, 110];
const FIVE: [i32; 5] = [8, 90, 20, 55, 34];
const TWELVE: [i32; 12] = [30, 4, 12, 60, 25, 9, 18, 40, 7, 33, 14, 22];

/// Ten groups of two, five and twelve jobs of unlike size; quotas of an account are shared, those of a snapshot not.
fn scenarios() -> Vec<Scenario> {
    let snapshot = LimitOf::Snapshot;
    let account = LimitOf::Account;
    vec![
        Box::pin(async move {
            let (rate, delay) = dice(21);
            let service = (&[(GET, snapshot, rate)][..], delay, 0.0);
            ("two, each its own Get", run(&TWO, &["null:"], service, Options::default()).await)
        }),
        Box::pin(async move {
            let (rate, delay) = dice(22);
            let service = (&[(PUT, account, 1.5 * rate)][..], delay, 0.0);
            ("two share an account's Put", run(&TWO, &["eu-west-1:"], service, Options::default()).await)
        }),
        Box::pin(async move {
            let (rate, delay) = dice(23);
            let service = (&[(PUT, snapshot, rate)][..], delay, 0.0);
            ("five, each its own Put", run(&FIVE, &["eu-west-1:"], service, Options::default()).await)
        }),
        Box::pin(async move {
            let (rate, delay) = dice(24);
            let service = (&[(GET, account, 2.0 * rate)][..], delay, 0.0);
            ("five share an account's Get", run(&FIVE, &["null:"], service, Options::default()).await)
        }),
        Box::pin(async move {
            let (rate, delay) = dice(25);
            // The account has less than five snapshots could take, and more than one can.
            let service = (&[(GET, account, 2.5 * rate), (GET, snapshot, rate)][..], delay, 0.0);
            ("five share Get, and each has its own", run(&FIVE, &["eu-west-1:"], service, Options::default()).await)
        }),
        Box::pin(async move {
            let (_, delay) = dice(26);
            // Read plus written: 24 MiB a second are 24 blocks that are copied, of all jobs together.
            let options = Options { bandwidth: Some("24MiB".parse().expect("a rate")), ..Options::default() };
            ("five share a bandwidth", run(&FIVE, &["eu-west-1:"], (&[], delay, 0.0), options).await)
        }),
        Box::pin(async move {
            // Eight jobs at once: far below what a busy machine does with all of them.
            let (rate, delay) = dice(27);
            let service = (&[(GET, snapshot, rate / 2.0)][..], delay, 0.0);
            ("twelve, each its own Get", run(&TWELVE, &["null:"], service, Options::default()).await)
        }),
        Box::pin(async move {
            let (rate, delay) = dice(28);
            let service = (&[(PUT, account, 2.0 * rate)][..], delay, 0.0);
            ("twelve share an account's Put", run(&TWELVE, &["eu-west-1:"], service, Options::default()).await)
        }),
        Box::pin(async move {
            // A lane each at 80 ms a block, where 100 are assumed.
            let options = Options { concurrency: Some(1), ..Options::default() };
            ("two with a lane each", run(&TWO, &["eu-west-1:"], (&[], (40, 0), 0.0), options).await)
        }),
        Box::pin(async move {
            let (rate, delay) = dice(30);
            let service = (&[(GET, snapshot, rate), (PUT, account, 2.0 * rate)][..], delay, 0.01);
            let options = Options { verify: Verify::Full, ..Options::default() };
            (
                "five share Put, are read back, and fail now and again",
                run(&FIVE, &["eu-west-1:"], service, options).await,
            )
        }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_range_that_was_said_of_a_group_holds_what_it_took_in_nine_of_ten_runs() {
    let local = tokio::task::LocalSet::new();
    let numbered = scenarios().into_iter().enumerate().map(|(nth, run)| async move { (nth, run.await) });
    let all = futures_util::stream::iter(numbered).buffer_unordered(3).collect();
    let mut runs: Vec<(usize, (&str, Group))> = local.run_until(all).await;
    assert_eq!(runs.len(), 10);
    // A machine that did something else meanwhile says nothing of the plan: what was late is run again, alone.
    for (nth, run) in runs.iter_mut().filter(|(_, (_, run))| run.took > run.said.1) {
        println!("late: {run:?}");
        *run = local.run_until(scenarios().swap_remove(*nth)).await;
    }
    let runs: Vec<(&str, Group)> = runs.into_iter().map(|(_, run)| run).collect();
    for (name, run) in &runs {
        println!("{name}: {:.1} to {:.1} s said, {:.1} s taken; {}", run.said.0, run.said.1, run.took, run.bound_by);
        let each = run.each.iter().map(|((low, high), took)| format!("{low:.1}–{high:.1}: {took:.1}"));
        println!("    {}", each.collect::<Vec<_>>().join(", "));
    }
    for (name, run) in &runs {
        assert!(run.said.0 > 0.0 && run.said.1 <= run.said.0 * 2.0 + 1e-9, "{name} is no wider than twice: {run:?}");
        assert_eq!(usize::try_from(run.at_once).expect("a few"), run.each.len().min(8), "{name}");
        assert_eq!(run.bound_by.contains("shared by"), name.contains("share"), "{name}: {}", run.bound_by);
    }
    let shared = runs.iter().find(|(name, _)| *name == "five share a bandwidth").expect("it ran");
    assert!(shared.1.took >= shared.1.said.0, "together they never exceed it: {:?}", shared.1);
    let held = runs.iter().filter(|(_, run)| (run.said.0..=run.said.1).contains(&run.took)).count();
    assert!(held >= 9, "{held} of 10: {runs:#?}");
}

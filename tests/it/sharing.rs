//! Many jobs on one engine: their sums are the header's, and none is starved by a large one.

use std::sync::Arc;

use floe::engine::Client;
use floe::engine::protocol::{JobState, JobStatus, Status};
use floe::ids::JobId;
use floe::plan::{Options, Pace};
use floe::sandbox::faults::{Fault, Faults};
use floe::units::Bytes;

use crate::rig::{Rig, SMALL, at_rest, end, only, picture_when, row_when, rule, start};

/// 16 TiB.
const HUGE: &str = "us-east-1:snap-01c55a9e07b3d2f48";
const JOBS: u64 = 12;

fn row(status: &Status, job: JobId) -> &JobStatus {
    status.jobs.iter().find(|row| row.job == job).expect("the job")
}

/// Every Get takes so long, whoever asks: what a job gets is what its lanes bring.
async fn far(ms: u64) -> Rig {
    let slow = only("GetSnapshotBlock", rule(Fault::Delay { ms, jitter: 0 }, 1.0));
    Rig::with(Faults { rules: vec![slow], ..Faults::default() }).await
}

/// A huge job that has taken as many lanes as it wants, and a small one beside it; the picture in which that one has its
/// share, and how long it took by the engine's own clock.
async fn beside(rig: &Rig, client: &Client, most: u32, least: u32) -> (JobId, JobId, u32) {
    // It begins with as many lanes as the budget has room for, up to 64.
    let at_once = Options { pace: Pace::Aggressive, ..Options::default() };
    let plan = rig.plan(HUGE, &["null:"], at_once).await;
    let huge = start(client, &plan).await;
    let had = row_when(client, huge, |row| row.lanes.now >= most).await.lanes.target;
    // It begins with a few.
    let gently = Options { pace: Pace::Conservative, ..Options::default() };
    let plan = rig.plan(&rig.source(), &["null:"], gently).await;
    let small = start(client, &plan).await;
    let fair = picture_when(client, |status| {
        let (huge, small) = (row(status, huge), row(status, small));
        at_rest(small) || small.lanes.now >= least && small.lanes.now * 3 >= huge.lanes.now * 2
    })
    .await;
    let (of_huge, of_small) = (row(&fair, huge), row(&fair, small));
    assert!(of_small.state.is_active(), "it has its share before it is over: {of_small:?}");
    let took = fair.at.duration_since(of_small.created);
    assert!(took < jiff::SignedDuration::from_secs(10), "after {took:?}");
    assert!(of_huge.lanes.target < had, "{:?}", of_huge.lanes);
    (huge, small, had)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_job_gets_its_share_of_lanes_beside_a_huge_one_and_gives_it_back() {
    let rig = far(1_000).await;
    let client = rig.engine(None).await;
    let (huge, small, had) = beside(&rig, &client, 32, 20).await;
    rig.heal();
    let ended = end(&client, small).await;
    assert_eq!(ended.state, JobState::Done, "{:?}", ended.error);
    row_when(&client, huge, |row| row.lanes.target >= had).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_carve_out_of_pages_does_not_keep_a_small_job_from_its_first_block() {
    let rig = far(1_000).await;
    let budget = Some(Bytes::mib(48));
    let client = rig.engine(budget).await;
    let at_once = Options { pace: Pace::Aggressive, ..Options::default() };
    let plan = rig.plan_within(HUGE, &["null:"], at_once, budget).await;
    let huge = start(&client, &plan).await;
    row_when(&client, huge, |row| row.lanes.now >= 40).await;
    let plan = rig.plan_within(&rig.source(), &["null:"], Options::default(), budget).await;
    let small = start(&client, &plan).await;
    let fair = picture_when(&client, |status| row(status, small).lanes.now >= 20).await;
    let took = fair.at.duration_since(row(&fair, small).created);
    assert!(took < jiff::SignedDuration::from_secs(10), "after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_of_twelve_jobs_add_up_in_every_picture() {
    let rig = far(100).await;
    let client = rig.engine(None).await;
    let options = Options { concurrency: Some(2), ..Options::default() };
    let plan = rig.plan(SMALL, &["null:"], options).await;
    let mut jobs = Vec::new();
    for _ in 0..JOBS {
        jobs.push(start(&client, &plan).await);
    }
    let mut pictures = client.status();
    let mut together = 0;
    loop {
        let status = Arc::clone(&pictures.borrow_and_update());
        adds_up(&status);
        let moving = status.jobs.iter().filter(|row| row.rate.0 > 0.0).count();
        together = together.max(moving);
        #[cfg(feature = "tui")]
        if moving > 2 {
            drawn::rows_are_the_header(&status);
        }
        if jobs.iter().all(|job| status.jobs.iter().any(|row| row.job == *job && row.state == JobState::Done)) {
            break;
        }
        let changed = tokio::time::timeout(std::time::Duration::from_secs(60), pictures.changed()).await;
        changed.expect("it goes on").expect("the engine lives");
    }
    assert!(together > 2, "only {together} moved at once");
}

fn adds_up(status: &Status) {
    let rate: f64 = status.jobs.iter().map(|row| row.rate.0).sum();
    assert!((rate - status.rate.0).abs() < 1e-6, "{rate} is not {}", status.rate.0);
    let held: Bytes = status.jobs.iter().map(|row| row.held).sum();
    assert_eq!(held, status.budget.used, "held by the jobs is held of the budget");
    for row in &status.jobs {
        assert_eq!(row.holds.parts.iter().map(|(_, bytes)| *bytes).sum::<Bytes>(), row.held, "job {}", row.job);
    }
    for (part, held) in &status.budget.parts {
        let of =
            |row: &JobStatus| row.holds.parts.iter().find(|(name, _)| name == part).map_or(Bytes::ZERO, |(_, b)| *b);
        assert_eq!(status.jobs.iter().map(of).sum::<Bytes>(), *held, "{part}");
    }
}

#[cfg(feature = "tui")]
mod drawn {
    use std::sync::Arc;

    use floe::engine::protocol::Status;
    use floe::tui::clock::Now;
    use floe::tui::model::Model;
    use floe::tui::msg::Msg;
    use floe::tui::screen::Screen;
    use floe::tui::theme::Theme;
    use floe::tui::update::update;
    use floe::tui::view::view;
    use ratatui::buffer::Buffer;
    use ratatui::layout::Rect;

    fn rate_in(line: &str) -> f64 {
        let before = line.split("MiB/s").next().filter(|before| before.len() < line.len()).unwrap_or("0");
        before.split_whitespace().last().and_then(|word| word.parse().ok()).unwrap_or(0.0)
    }

    /// The rates of all rows, each seen with the cursor on it, are the rate of the first line.
    pub(super) fn rows_are_the_header(status: &Status) {
        let now = Now::at(status.at);
        let mut model = Model { screen: Screen::Transfers, ..Model::default() };
        update(&mut model, Msg::Status(Arc::new(status.clone())), now);
        let (mut sum, mut header) = (0.0, 0.0);
        for job in &status.jobs {
            model.transfers.cursor = Some(job.job);
            let area = Rect::new(0, 0, 120, 36);
            let mut buffer = Buffer::empty(area);
            view(&model, area, &mut buffer, &Theme::default(), now);
            let lines: Vec<String> =
                (0..36).map(|y| (0..120).map(|x| buffer[(x, y)].symbol()).collect::<String>()).collect();
            header = rate_in(&lines[0]);
            sum += lines.iter().find(|line| line.contains("▶")).map_or(0.0, |line| rate_in(line));
        }
        assert!((sum - header).abs() < 0.05, "rows add up to {sum}, the header says {header}");
    }
}

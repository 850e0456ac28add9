//! What jobs hold of the budget, as the engine itself counts it, against what their plan said: of a few blocks, of an
//! archive that is read back, of a group that runs at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use floe::address::Address;
use floe::engine::Client;
use floe::engine::protocol::{Answer, JobState};
use floe::plan::{self, Machine, Operation, Options, Plan, RunsIn};
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::units::Bytes;

use crate::archives::BUCKET;
use crate::rig::{Rig, SMALL, end, start, submit};
use crate::support::{WEB_DATA, disk};

const BLOCK: u64 = 524_288;
/// Bytes of a connection that brings blocks, as the plan is documented to count it: written down here a second time.
const CONNECTION: u64 = 96 * 1024;
/// What is kept for each block that is unpacked at a time, and how many these are where there is memory.
const UNPACKER: u64 = 680 * 1024;
const UNPACKERS: u64 = 8;

/// Seconds that an answer takes: so long that lanes wait for nothing else.
fn slow(api: &str) -> Rule {
    Rule::of(Fault::Delay { ms: 100, jitter: 0 }).on(api)
}

fn part(plan: &Plan, name: &str) -> u64 {
    plan.memory.parts.iter().filter(|part| part.name == name).map(|part| part.bytes.0).sum()
}

fn of_budget(plan: &Plan) -> u64 {
    plan.memory.parts.iter().filter(|part| part.in_budget).map(|part| part.bytes.0).sum()
}

/// The most that was held, and the most jobs that were seen at once, while others look at pictures for as long as it lives.
#[derive(Default)]
struct Most {
    held: AtomicU64,
    said: AtomicU64,
    jobs: AtomicUsize,
}

impl Most {
    fn of(client: &Client) -> Arc<Self> {
        let most = Arc::<Self>::default();
        let (mut pictures, seen) = (client.status(), Arc::clone(&most));
        tokio::spawn(async move {
            while pictures.changed().await.is_ok() {
                let picture = pictures.borrow_and_update().clone();
                seen.held.fetch_max(picture.budget.used.0, Ordering::Relaxed);
                let said = picture.said().map_or(0, |said| said.total().0);
                seen.said.fetch_max(said, Ordering::Relaxed);
                let running = picture.jobs.iter().filter(|job| job.state.is_active()).count();
                seen.jobs.fetch_max(running, Ordering::Relaxed);
            }
        });
        most
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_few_blocks_is_said_to_hold_no_more_than_these() {
    let rig = Rig::with(Faults { rules: vec![slow("GetSnapshotBlock")], ..Faults::default() }).await;
    let options = || Options { concurrency: Some(256), ..Options::default() };
    let few: Vec<(i32, u8)> = (0..12).map(|index| (index, 7)).collect();
    let few = format!("us-east-1:{}", disk(&rig.world, "us-east-1", &few).await);
    // Until it is listed, a snapshot has at most what AWS tells of its size.
    for source in [few.as_str(), SMALL] {
        for to in ["eu-west-1:", "null:", "s3://floe-vault-us-east-1/few/"] {
            let plan = rig.plan(source, &[to], options()).await;
            let blocks = plan.items[0].source.blocks.value.0;
            assert!(blocks <= 64, "{blocks} blocks");
            assert!(u64::from(plan.choices.lanes_max) > blocks, "there are more lanes");
            assert!(part(&plan, "blocks in flight") <= blocks * BLOCK, "{:#?}", plan.memory.parts);
            assert!(part(&plan, "connections") <= blocks * CONNECTION, "{:#?}", plan.memory.parts);
            assert!(part(&plan, "compression") <= blocks * 2 * BLOCK + 8 * 3 * 1024 * 1024, "{:#?}", plan.memory.parts);
        }
    }
    // A process that hardly anything passed through is smaller, and so is what it keeps of the ledger; with many blocks
    // it is what it is with any number of them.
    let small = rig.plan(&few, &["null:"], options()).await;
    let (large, whole) = (rig.plan(&rig.source(), &["null:"], options()).await, 41 << 20);
    assert!((28 << 20..29 << 20).contains(&part(&small, "process")), "{:#?}", small.memory.parts);
    assert_eq!((part(&large, "process"), part(&large, "ledger cache")), (whole, 4 << 20));
    assert!(small.memory.total.0 < 42 << 20, "{}", small.memory.total);
    let plan = rig.plan(SMALL, &["eu-west-1:"], options()).await;
    let client = rig.engine(None).await;
    let most = Most::of(&client);
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert!(most.held.load(Ordering::Relaxed) <= of_budget(&plan), "{:#?}", plan.memory.parts);
    // A piece of an object is held whole, and there are not more blocks than these for it either.
    let plan = rig.plan(SMALL, &["s3://floe-vault-us-east-1/few.img"], options()).await;
    let blocks = plan.items[0].source.blocks.value.0;
    assert!(part(&plan, "blocks in flight") + part(&plan, "parts of objects") <= blocks * (BLOCK + CONNECTION));
}

/// An archive is read back by as many requests at once as a snapshot is, a few of its blocks in memory.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_read_back_fills_its_lanes_and_holds_what_was_said() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let to = format!("s3://{BUCKET}/held/");
    let row = end(&client, start(&client, &rig.plan(&rig.source(), &[&to], Options::default()).await).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    rig.world.running.sandbox.set_faults(Faults { rules: vec![slow("GetObject")], ..Faults::default() });
    let archive = format!("{to}{WEB_DATA}/");
    let file = rig.world.path("back.img").display().to_string();
    for (lanes, to) in [(56, "null:"), (64, file.as_str())] {
        let options = Options { concurrency: Some(lanes), ..Options::default() };
        let plan = rig.plan(&archive, &[to], options).await;
        let (hands, lanes) = (40, u64::from(lanes));
        assert_eq!(part(&plan, "blocks in flight"), hands * BLOCK, "{:#?}", plan.memory.parts);
        assert_eq!(part(&plan, "connections"), lanes * CONNECTION, "{:#?}", plan.memory.parts);
        assert_eq!(part(&plan, "compression"), UNPACKERS * UNPACKER, "{:#?}", plan.memory.parts);
        rig.world.running.sandbox.counters().reset();
        let most = Most::of(&client);
        let row = end(&client, start(&client, &plan).await).await;
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
        let full = rig.world.running.sandbox.counters().picture().api("GetObject").max_in_flight;
        assert_eq!(full, lanes, "requests at once");
        let held = most.held.load(Ordering::Relaxed);
        assert!(held <= of_budget(&plan), "{held} held of {:#?}", plan.memory.parts);
    }
    // The same through another client: what came back is what the snapshot holds.
    let back = std::fs::read(rig.world.path("back.img")).expect("it is there");
    for (index, digest) in rig.truth().await {
        let at = index as usize * crate::support::BLOCK;
        assert_eq!(crate::support::sha256(&back[at..at + crate::support::BLOCK]), digest, "block {index}");
    }
}

async fn group(rig: &Rig, sources: &[String], to: &str, budget: Option<Bytes>, options: Options) -> Plan {
    let operation = Operation {
        sources: sources.iter().map(|source| Address::source(source).expect("a source")).collect(),
        destinations: vec![Address::destination(to).expect("a destination")],
        options,
    };
    let machine = Machine { budget, ..Machine::read(RunsIn::Outside, None) };
    plan::make(&rig.aws, operation, &machine).await.expect("a plan")
}

/// Six snapshots of forty blocks.
async fn six(rig: &Rig) -> Vec<String> {
    let mut sources = Vec::new();
    for nth in 0..6u8 {
        let blocks: Vec<(i32, u8)> = (0..40).map(|index| (index, nth + 1)).collect();
        sources.push(format!("us-east-1:{}", disk(&rig.world, "us-east-1", &blocks).await));
    }
    sources
}

/// Six jobs of a group run at once: what is said before is what all of them hold together, the process counted once and no
/// more of the budget than there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_said_to_hold_what_its_jobs_hold_together() {
    for budget in [Bytes::mib(256), Bytes::mib(24)] {
        let rig = Rig::with(Faults { rules: vec![slow("GetSnapshotBlock")], ..Faults::default() }).await;
        let sources = six(&rig).await;
        let plan = group(&rig, &sources, "eu-west-1:", Some(budget), Options::default()).await;
        let one = group(&rig, &sources[..1], "eu-west-1:", Some(budget), Options::default()).await;
        assert_eq!((plan.memory.jobs, one.memory.jobs), (6, 1));
        let process = part(&plan, "process");
        assert!((part(&one, "process")..=48 << 20).contains(&process), "the process is there once: {process}");
        assert_eq!(part(&plan, "ledger cache"), 6 * part(&one, "ledger cache"), "each has its own");
        assert!(of_budget(&plan) <= budget.0 && of_budget(&plan) == (6 * of_budget(&one)).min(budget.0));

        let client = rig.engine(Some(budget)).await;
        let most = Most::of(&client);
        let Answer::Jobs(jobs) = submit(&client, &plan).await.expect("it runs") else { unreachable!("jobs") };
        assert_eq!(jobs.len(), 6);
        for job in jobs {
            let row = end(&client, job).await;
            assert_eq!(row.state, JobState::Done, "{:?}", row.error);
            assert_eq!(row.predicted.memory, one.memory.total, "each is told what it takes alone");
        }
        let (held, running) = (most.held.load(Ordering::Relaxed), most.jobs.load(Ordering::Relaxed));
        assert!(held <= of_budget(&plan), "{held} held of {:#?}", plan.memory.parts);
        assert!((2..=6).contains(&running), "{running} at once");
        let said = most.said.load(Ordering::Relaxed);
        assert!(said <= plan.memory.total.0 && said > one.memory.total.0, "{said} of {running} jobs");
    }
    let rig = Rig::calm().await;
    // Those of a chain wait for each other, and no more run at once than there is memory for.
    let chained = Options { chain: true, ..Options::default() };
    let plan = rig.plan(&format!("us-east-1:snap-0feed0000000da7a2..{WEB_DATA}"), &["eu-west-1:"], chained).await;
    assert_eq!(plan.memory.jobs, 1);
    let tight = group(&rig, &six(&rig).await, "eu-west-1:", Some(Bytes::mib(3)), Options::default()).await;
    assert!((1..6).contains(&tight.memory.jobs), "{} jobs in 3 MiB", tight.memory.jobs);
}

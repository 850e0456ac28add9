//! Time, as it is said before a job and while it runs, against what jobs take where limits and latency are known: the
//! sandbox holds them far below what any machine can do, so that they bind and nothing else does.

use std::future::Future;
use std::pin::Pin;

use floe::address::Address;
use floe::engine::Client;
use floe::engine::protocol::JobState;
use floe::plan::{self, Machine, Operation, Options, Plan, RunsIn, Verify};
use floe::sandbox::faults::{Fault, Faults, Limit, LimitOf, Rule};
use floe::store::routes::Routes;
use futures_util::StreamExt as _;

use crate::rig::{Rig, SMALL, end, row_when, start};
use crate::support::World;

pub const GET: &str = "GetSnapshotBlock";
pub const PUT: &str = "PutSnapshotBlock";
/// Quotas of one snapshot and of one account, as Service Quotas names them.
const QUOTAS: [(&str, LimitOf, &str); 4] = [
    (GET, LimitOf::Snapshot, "L-028ACFB9"),
    (GET, LimitOf::Account, "L-C125AE42"),
    (PUT, LimitOf::Snapshot, "L-1774F84A"),
    (PUT, LimitOf::Account, "L-AFAE1BE8"),
];

/// A service with these requests a second, told by Service Quotas and held, and this latency.
pub struct Service {
    pub rig: Rig,
    pub client: Client,
}

impl Service {
    pub async fn of(quotas: &[(&str, LimitOf, f64)], delay: (u64, u64), trouble: f64) -> Self {
        let rig = Rig::of(World::with(Faults::default()).await);
        let client = rig.engine(None).await;
        let service = Self { rig, client };
        service.becomes(quotas, delay, trouble);
        service
    }

    /// From now on it is like that.
    pub fn becomes(&self, quotas: &[(&str, LimitOf, f64)], delay: (u64, u64), trouble: f64) {
        let limits = quotas.iter().map(|(api, of, per_second)| Limit {
            api: (*api).to_owned(),
            of: *of,
            per_second: *per_second,
            // Three tokens: with one, at ten a second, whatever the network or a busy machine brings closer together than
            // a tenth of a second is throttled, and no client can use more than its jitter leaves.
            burst: Some(3.0),
        });
        let slow = |api| Rule::of(Fault::Delay { ms: delay.0, jitter: delay.1 }).on(api);
        let mut rules = vec![slow(GET), slow(PUT)];
        if trouble > 0.0 {
            rules.push(Rule::of(Fault::Unavailable).chance(trouble));
        }
        let sandbox = &self.rig.world.running.sandbox;
        sandbox.set_faults(Faults { limits: limits.collect(), rules, ..Faults::default() });
        let account = "123456789012".parse().expect("an account");
        let mut model = sandbox.model_mut();
        for region in ["us-east-1", "eu-west-1", "us-west-2"] {
            let region = region.parse().expect("a region");
            let settings = &mut model.region_mut(&account, &region).expect("it is there").settings;
            // Nothing is raised: what is not given is AWS's default.
            settings.quotas.clear();
            for (api, of, per_second) in quotas {
                let code = QUOTAS.iter().find(|(a, o, _)| a == api && o == of).expect("a quota").2;
                settings.quotas.insert(code.to_owned(), *per_second);
            }
        }
    }

    async fn plan(&self, source: &str, to: &[&str], options: Options) -> Plan {
        self.plan_each(&[source.to_owned()], to, options).await
    }

    pub async fn plan_each(&self, sources: &[String], to: &[&str], options: Options) -> Plan {
        let sources: Vec<Address> = sources.iter().map(|source| Address::source(source).expect("a source")).collect();
        let operation = Operation {
            destinations: to
                .iter()
                .map(|to| Address::destination_of(&sources[0], to).expect("a destination"))
                .collect(),
            sources,
            options,
        };
        let routes = Some(Routes::of(&self.rig.state));
        let machine = Machine { routes, ..Machine::read(RunsIn::Outside, None) };
        plan::make(&self.rig.aws, operation, &machine).await.expect("a plan")
    }

    /// What was said of a job, what it took, and what bound it.
    async fn run(&self, source: &str, to: &[&str], options: Options) -> Run {
        let plan = self.plan(source, to, options).await;
        let job = start(&self.client, &plan).await;
        let row = end(&self.client, job).await;
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
        let said = (plan.time.low_seconds, plan.time.high_seconds);
        assert_eq!((row.predicted.seconds_low, row.predicted.seconds_high), said, "what was said is kept");
        Run { said, took: row.elapsed_seconds, bound_by: plan.time.bound_by }
    }

    /// A file with that many blocks, none of them zeros.
    fn file(&self, blocks: usize) -> String {
        let path = self.rig.world.path("source.img");
        let bytes: Vec<u8> =
            (0..blocks * crate::support::BLOCK).map(|n| u8::try_from(n % 251).expect("a byte")).collect();
        std::fs::write(&path, bytes).expect("written");
        path.display().to_string()
    }
}

#[derive(Debug)]
struct Run {
    said: (f64, f64),
    took: f64,
    bound_by: String,
}

type Scenario = Pin<Box<dyn Future<Output = (&'static str, Run)>>>;

/// A scenario with its own dice: a rate of ten to sixteen requests a second, and five to fifty milliseconds.
pub fn dice(seed: u64) -> (f64, (u64, u64)) {
    let mut dice = fastrand::Rng::with_seed(seed);
    (f64::from(dice.u32(10..=16)), (dice.u64(5..=25), dice.u64(0..=25)))
}

/// Ten ways in which something other than this machine decides how long it takes.
fn scenarios() -> Vec<Scenario> {
    let own = |rate| vec![(GET, LimitOf::Snapshot, rate)];
    let puts = |rate| vec![(PUT, LimitOf::Snapshot, rate)];
    vec![
        Box::pin(async move {
            let (rate, delay) = dice(1);
            let service = Service::of(&own(rate), delay, 0.0).await;
            ("Get binds", service.run(SMALL, &["null:"], Options::default()).await)
        }),
        Box::pin(async move {
            let (rate, delay) = dice(2);
            let service = Service::of(&own(rate), delay, 0.0).await;
            let file = service.rig.world.path("disk.img").display().to_string();
            ("Get binds, to a file", service.run(SMALL, &[&file], Options::default()).await)
        }),
        Box::pin(async move {
            let (rate, delay) = dice(3);
            let service = Service::of(&puts(rate), delay, 0.0).await;
            ("Put binds", service.run(SMALL, &["eu-west-1:"], Options::default()).await)
        }),
        Box::pin(async move {
            let (rate, delay) = dice(4);
            let service = Service::of(&[(PUT, LimitOf::Account, 3.0 * rate)], delay, 0.0).await;
            let to = ["eu-west-1:", "eu-west-1:", "eu-west-1:"];
            ("three share an account's Put", service.run(SMALL, &to, Options::default()).await)
        }),
        Box::pin(async move {
            let (rate, delay) = dice(5);
            let service = Service::of(&puts(rate), delay, 0.0).await;
            let file = service.file(80);
            ("an upload", service.run(&file, &["us-east-1:"], Options::default()).await)
        }),
        Box::pin(async move {
            let (_, delay) = dice(6);
            let service = Service::of(&[], delay, 0.0).await;
            // Read plus written: 12 MiB a second are 12 blocks that are copied.
            let bandwidth = Some("12MiB".parse().expect("a rate"));
            ("bandwidth", service.run(SMALL, &["eu-west-1:"], Options { bandwidth, ..Options::default() }).await)
        }),
        Box::pin(async move {
            let service = Service::of(&[], (30, 30), 0.0).await;
            // A lane at 90 ms a block, where 100 are assumed.
            let options = Options { concurrency: Some(1), ..Options::default() };
            ("a lane, latency not known", service.run(SMALL, &["eu-west-1:"], options).await)
        }),
        Box::pin(async move {
            let service = Service::of(&[], (120, 40), 0.0).await;
            let options = || Options { concurrency: Some(2), ..Options::default() };
            service.run(SMALL, &["eu-west-1:"], options()).await;
            ("two lanes, latency measured before", service.run(SMALL, &["eu-west-1:"], options()).await)
        }),
        Box::pin(async move {
            let (rate, delay) = dice(9);
            let service = Service::of(&own(rate), delay, 0.03).await;
            ("Get binds and fails now and again", service.run(SMALL, &["eu-west-1:"], Options::default()).await)
        }),
        Box::pin(async move {
            let (rate, delay) = dice(10);
            let service =
                Service::of(&[(GET, LimitOf::Snapshot, rate), (PUT, LimitOf::Snapshot, rate)], delay, 0.0).await;
            let options = Options { verify: Verify::Full, ..Options::default() };
            ("copied and read back", service.run(SMALL, &["eu-west-1:"], options).await)
        }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_range_that_was_said_holds_what_it_took_in_nine_of_ten_runs() {
    let local = tokio::task::LocalSet::new();
    let runs: Vec<(&str, Run)> =
        local.run_until(futures_util::stream::iter(scenarios()).buffer_unordered(5).collect()).await;
    assert_eq!(runs.len(), 10);
    for (name, run) in &runs {
        println!("{name}: {:.1} to {:.1} s said, {:.1} s taken; {}", run.said.0, run.said.1, run.took, run.bound_by);
    }
    for (name, run) in &runs {
        assert!(run.said.0 > 0.0 && run.said.1 <= run.said.0 * 2.0 + 1e-9, "{name} is no wider than twice: {run:?}");
    }
    let held = runs.iter().filter(|(_, run)| (run.said.0..=run.said.1).contains(&run.took)).count();
    assert!(held >= 9, "{held} of 10: {runs:#?}");
}

/// A copy of 50 s at 30 blocks a second: from the thirtieth second on, what is said to be left is what is left.
#[tokio::test(flavor = "multi_thread")]
async fn after_half_a_minute_what_is_left_is_known_within_fifteen_percent() {
    let service = Service::of(&[(GET, LimitOf::Snapshot, 30.0)], (20, 20), 0.0).await;
    let plan = service.plan(&service.rig.source(), &["null:"], Options::default()).await;
    let job = start(&service.client, &plan).await;
    let mut seen = Vec::new();
    for at in 30..46 {
        let row = row_when(&service.client, job, |row| row.elapsed_seconds >= f64::from(at)).await;
        if row.state != JobState::Running {
            break;
        }
        seen.push((row.elapsed_seconds, row.left_seconds.expect("it is known")));
    }
    let took = end(&service.client, job).await.elapsed_seconds;
    assert!(seen.len() > 10, "{took} s, {seen:?}");
    for (at, (low, high)) in &seen {
        let truth = took - at;
        // A second is what the end of a job may take either way.
        let near = |said: f64| (said - truth).abs() <= truth * 0.15 + 1.0;
        assert!(near(*low) && near(*high), "after {at:.1} s: {low:.1} to {high:.1} s said, {truth:.1} s were left");
    }
}

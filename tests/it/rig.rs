//! One sandbox, one state directory, and engines in this process after one another: what engine tests share.
#![expect(clippy::panic, reason = "helpers of tests fail the test")]

use std::sync::Arc;
use std::time::Duration;

use floe::address::Address;
use floe::aws::{Aws, Settings};
use floe::engine::protocol::{Answer, Command, JobState, JobStatus, Status};
use floe::engine::{Client, Config, Engine};
use floe::error::Error;
use floe::ids::JobId;
use floe::plan::{self, Machine, Operation, Options, Plan, RunsIn};
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::store::StateDir;
use floe::store::copies::Copies;
use floe::units::Bytes;
use jiff::Timestamp;

use crate::support::{Contents, WEB_DATA, World, settings};

/// 64 blocks.
pub const SMALL: &str = "us-east-1:snap-0feed000000b00701";

pub fn rule(fault: Fault, chance: f64) -> Rule {
    Rule { fault, api: None, snapshot: None, region: None, chance, skip: 0, times: None }
}

pub fn only(api: &str, rule: Rule) -> Rule {
    Rule { api: Some(api.to_owned()), ..rule }
}

/// One sandbox, one state directory, any number of engines after one another.
pub struct Rig {
    pub world: World,
    pub aws: Aws,
    pub state: StateDir,
}

impl Rig {
    pub async fn with(faults: Faults) -> Self {
        Self::of(World::with(faults).await)
    }

    pub async fn calm() -> Self {
        Self::with(Faults::default()).await
    }

    pub fn of(world: World) -> Self {
        let aws = aws_of(&world);
        let state = StateDir::open(Some(&world.path("state"))).expect("a state directory");
        Self { world, aws, state }
    }

    pub async fn engine(&self, budget: Option<Bytes>) -> Client {
        engine(&self.state, &self.aws, budget).await.expect("an engine")
    }

    pub async fn plan(&self, source: &str, to: &[&str], options: Options) -> Plan {
        self.plan_within(source, to, options, None).await
    }

    pub async fn plan_within(&self, source: &str, to: &[&str], options: Options, budget: Option<Bytes>) -> Plan {
        self.try_plan_within(source, to, options, budget).await.expect("a plan")
    }

    /// A plan, or why there is none.
    pub async fn try_plan(&self, source: &str, to: &[&str], options: Options) -> Result<Plan, Error> {
        self.try_plan_within(source, to, options, None).await
    }

    async fn try_plan_within(
        &self,
        source: &str,
        to: &[&str],
        options: Options,
        budget: Option<Bytes>,
    ) -> Result<Plan, Error> {
        let source = Address::source(source).expect("a source");
        let operation = Operation {
            destinations: to.iter().map(|to| Address::destination_of(&source, to).expect("a destination")).collect(),
            sources: vec![source],
            options,
        };
        let copies = Some(Copies::of(&self.state));
        let machine = Machine { budget, copies, ..Machine::read(RunsIn::Outside, None) };
        plan::make(&self.aws, operation, &machine).await
    }

    pub fn source(&self) -> String {
        format!("us-east-1:{WEB_DATA}")
    }

    pub async fn truth(&self) -> Contents {
        self.world.contents("prod", "us-east-1", WEB_DATA).await
    }

    pub fn gets(&self) -> u64 {
        self.world.running.sandbox.counters().picture().api("GetSnapshotBlock").requests
    }

    pub fn heal(&self) {
        self.world.running.sandbox.set_faults(Faults::default());
    }

    /// What the first destination of that kind holds now.
    pub async fn copied(&self, row: &JobStatus, dest: usize) -> Contents {
        let address = &row.destinations[dest].address;
        let (place, id) = address.rsplit_once(':').expect("an address with an id");
        let (profile, region) = place.split_once('@').unwrap_or(("prod", place));
        self.world.contents(profile, region, id).await
    }
}

pub fn aws_of(world: &World) -> Aws {
    let settings = Settings { profile: "prod".parse().ok(), ..settings(&world.running) };
    Aws::new(settings).expect("a world")
}

pub async fn engine(state: &StateDir, aws: &Aws, budget: Option<Bytes>) -> Result<Client, Error> {
    Engine::start(Config { state: state.clone(), aws: aws.clone(), budget, bandwidth: None }).await
}

pub async fn start(client: &Client, plan: &Plan) -> JobId {
    match submit(client, plan).await.expect("it runs") {
        Answer::Jobs(jobs) => jobs[0],
        other => panic!("{other:?}"),
    }
}

pub async fn submit(client: &Client, plan: &Plan) -> Result<Answer, Error> {
    let grant = plan.grant("test", Timestamp::now())?;
    client.send(Command::Run { plan: Box::new(plan.clone()), grant }).await
}

pub async fn row_when(client: &Client, job: JobId, when: impl Fn(&JobStatus) -> bool) -> JobStatus {
    let status = picture_when(client, |status| status.jobs.iter().any(|row| row.job == job && when(row))).await;
    status.jobs.iter().find(|row| row.job == job).cloned().expect("the job")
}

pub async fn picture_when(client: &Client, when: impl Fn(&Status) -> bool) -> Arc<Status> {
    let mut pictures = client.status();
    let waiting = pictures.wait_for(|status| when(status));
    match tokio::time::timeout(Duration::from_secs(120), waiting).await {
        Ok(status) => Arc::clone(&status.expect("the engine lives")),
        Err(_) => panic!("not seen: {:#?}", client.status().borrow().jobs),
    }
}

pub fn at_rest(row: &JobStatus) -> bool {
    !row.state.is_active() && row.state != JobState::Queued
}

pub async fn end(client: &Client, job: JobId) -> JobStatus {
    row_when(client, job, at_rest).await
}

/// The lock of an engine that has just ended may be held a moment longer.
pub async fn retry_start(state: &StateDir, aws: &Aws) -> Client {
    let mut tries = 0;
    loop {
        match engine(state, aws, None).await {
            Ok(client) => return client,
            Err(error) if tries == 200 => panic!("{error}"),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

//! One consistent example behind every screen test and picture: the 31,318,565-block snapshot.
//!
//! Facts are written down here; figures are computed by the product's own code (a plan is weighed, a job's
//! dollars follow from its requests), so that nothing can add up in the pictures only.

use floe::address::Address;
use floe::aws::WorldId;
use floe::engine::protocol::*;
use floe::ids::{BlockRange, JobId};
use floe::plan::{
    Choices, CostEstimate, DestinationKind, DestinationPlan, Facts, Finding, Host, ItemPlan, Knobs, Level, Machine,
    MemoryEstimate, Operation, Options, Plan, RunsIn, SourceKind, SourcePlan, Strategy, TimeEstimate,
};
use floe::tui::clock::Now;
use floe::units::{BLOCK_BYTES, Blocks, Bytes, Quantity, Rate, Usd};
use jiff::{SignedDuration, Timestamp};

/// Blocks of the example snapshot.
pub const TOTAL: u64 = 31_318_565;
/// Of them done.
pub const DONE: u64 = 11_901_055;
const MIB: f64 = 1024.0 * 1024.0;

/// The moment of every picture.
pub fn now() -> Now {
    Now::at("2026-11-20T09:14:40Z".parse().unwrap())
}

fn ago(seconds: i64) -> Timestamp {
    now().wall - SignedDuration::from_secs(seconds)
}

/// The machine of the example.
pub fn machine() -> Machine {
    Machine {
        memory: Bytes::gib(8),
        available: Bytes::mib(4900),
        cgroup: Some(Bytes::mib(1024)),
        cores: 4,
        runs_in: RunsIn::parse("eu-west-1").unwrap(),
        budget: Some(Bytes::mib(256)),
        copies: None,
        host: Host::default(),
        prices: None,
        routes: None,
    }
}

/// The plan of copying it to another region.
pub fn plan() -> Plan {
    plan_of(TOTAL, &machine())
}

/// The same for any number of blocks and any machine.
pub fn plan_of(blocks: u64, machine: &Machine) -> Plan {
    let source = Address::source("prod@us-east-1:snap-01c55a9e07b3d2f48").unwrap();
    let to = Address::destination("prod@eu-west-1:").unwrap();
    let account = Some("123456789012".parse().unwrap());
    let item = ItemPlan {
        source: SourcePlan {
            address: source.clone(),
            profile: Some("prod".parse().unwrap()),
            region: Some("us-east-1".parse().unwrap()),
            account: account.clone(),
            kind: SourceKind::Snapshot {
                id: "snap-01c55a9e07b3d2f48".parse().unwrap(),
                encrypted: true,
                kms_key: Some("alias/ebs-prod".to_owned()),
            },
            name: Some("db-data".to_owned()),
            tags: Vec::new(),
            volume: Bytes::gib(16 * 1024),
            class: None,
            blocks: Quantity::exact(Blocks(blocks)),
        },
        destinations: vec![DestinationPlan {
            address: to.clone(),
            profile: Some("prod".parse().unwrap()),
            region: Some("eu-west-1".parse().unwrap()),
            account,
            kind: DestinationKind::Snapshot {
                volume_gib: 16 * 1024,
                ask_encrypted: Some(true),
                ask_key: Some("alias/ebs-dr".to_owned()),
                encrypted: Some(true),
                encryption: "key alias/ebs-dr (source: alias/ebs-prod)".to_owned(),
                on: None,
            },
            strategy: Strategy::Direct,
        }],
    };
    let budget = machine.budget();
    let unweighed = Plan {
        version: 1,
        made: now().wall,
        world: WorldId { endpoint: None, partition: "aws".to_owned() },
        operation: Operation { sources: vec![source], destinations: vec![to], options: Options::default() },
        items: vec![item],
        choices: Choices {
            lanes_start: 16,
            lanes_max: 128,
            cursors: 16,
            page_size: 1000,
            budget,
            get_per_second: 1000.0,
            put_per_second: 1000.0,
            get_per_account: 1000.0,
            put_per_account: 5000.0,
        },
        memory: MemoryEstimate::unweighed(budget),
        cost: CostEstimate::unweighed(),
        time: TimeEstimate::unweighed(),
        alternatives: Vec::new(),
        findings: findings(),
        facts: Facts::default(),
    };
    unweighed.reweighed(Knobs { budget: Some(budget), ..Knobs::default() }, machine)
}

fn findings() -> Vec<Finding> {
    let passed = |text: &str| Finding { level: Level::Passed, text: text.to_owned(), todo: None };
    vec![
        passed("source readable"),
        passed("key usable in eu-west-1"),
        passed("2 of 100 pending snapshots"),
        passed("ledger disk 41 GiB free"),
        passed("6 tags kept"),
        passed("floe runs in eu-west-1: the data crosses one border"),
        Finding {
            level: Level::Warning,
            text: "credentials end in 41 min, the job needs 8 h: it will wait for new ones and go on".to_owned(),
            todo: Some("aws sso login --profile prod".to_owned()),
        },
    ]
}

fn destination(address: &str, state: DestinationState, blocks: u64) -> DestinationStatus {
    DestinationStatus {
        address: address.to_owned(),
        strategy: Strategy::Direct,
        state,
        blocks: Blocks(blocks),
        bytes: Blocks(blocks).bytes(),
        checksum: None,
        checking: None,
        image_sha256: None,
        evidence: if state == DestinationState::Completed { Evidence::ReRead } else { Evidence::None },
        error: None,
        copied: None,
    }
}

/// A wave that looks like a rate: deterministic, never zero.
fn wave(len: usize, mean: f64, swing: f64, phase: f64) -> Vec<f32> {
    (0..len)
        .map(|n| {
            let ramp = (0.45 + n as f64 / 30.0).min(1.0);
            let at = n as f64 / 7.0 + phase;
            (mean * ramp * (1.0 + swing * (at.sin() * 0.6 + (at * 2.7).sin() * 0.4))) as f32
        })
        .collect()
}

struct Row<'a> {
    id: u32,
    state: JobState,
    why: &'a str,
    source: &'a str,
    name: &'a str,
    to: DestinationStatus,
    done: u64,
    total: u64,
    mib_per_second: f64,
    left: Option<(f64, f64)>,
    spent: f64,
}

fn job(row: Row<'_>) -> JobStatus {
    let over = row.state.is_over();
    JobStatus {
        job: JobId(row.id),
        group: None,
        state: row.state,
        why: row.why.to_owned(),
        source: row.source.to_owned(),
        name: Some(row.name.to_owned()),
        destinations: vec![row.to],
        blocks_done: Blocks(row.done),
        blocks_total: Quantity::exact(Blocks(row.total)),
        blocks_listed: Blocks(row.total),
        blocks_resumed: Blocks::ZERO,
        bytes_read: Blocks(row.done).bytes(),
        bytes_written: Blocks(row.done).bytes(),
        rate: Rate(row.mib_per_second * MIB),
        rate_history: if row.mib_per_second > 0.0 { wave(120, row.mib_per_second * MIB, 0.3, 0.0) } else { Vec::new() },
        left_seconds: row.left,
        elapsed_seconds: row.done as f64 * BLOCK_BYTES as f64 / (486.0 * MIB),
        created: ago(12_820),
        ended: over.then(|| ago(3_600)),
        who: "ops".to_owned(),
        lanes: LanesStatus {
            now: 16,
            target: 16,
            cap: 256,
            setting: Lanes::Auto,
            reason: LaneReason::NoGain,
            why: "more lanes brought no more throughput".to_owned(),
            changed: None,
        },
        bandwidth: None,
        rates: Vec::new(),
        requests: Requests { list: row.done.div_ceil(5000), get: row.done, put: row.done, ..Requests::default() },
        spent: Usd(row.spent),
        troubles: Troubles::default(),
        get_ms: None,
        put_ms: None,
        predicted: Predicted::default(),
        peak_rss: Bytes::mib(96),
        said_at_peak: None,
        embedded: false,
        held: Bytes::ZERO,
        holds: Holds::default(),
        stall: None,
        turned: Vec::new(),
        expires: None,
        error: None,
        left_overs: Vec::new(),
    }
}

/// Get, Put and one border for so many blocks, at the list prices of the bundled table.
pub fn dollars(blocks: u64) -> f64 {
    blocks as f64 * (0.000_003 + 0.000_006 + 0.02 * BLOCK_BYTES as f64 / (1024.0 * MIB))
}

/// The job that the pictures watch.
pub fn watched() -> JobStatus {
    let plan = plan();
    let mut job = job(Row {
        id: 14,
        state: JobState::Running,
        why: "quota",
        source: "prod@us-east-1:snap-01c55a9e07b3d2f48",
        name: "db-data",
        to: destination("prod@eu-west-1:snap-0c9e11d07a5542b7e", DestinationState::Writing, DONE),
        done: DONE,
        total: TOTAL,
        mib_per_second: 486.0,
        left: Some((19_500.0, 19_980.0)),
        spent: dollars(DONE),
    });
    job.lanes = LanesStatus {
        now: 126,
        target: 128,
        cap: 230,
        setting: Lanes::Auto,
        reason: LaneReason::Quota,
        why: "Put quota, 972/s of 1,000/s: more lanes would not help".to_owned(),
        changed: Some(ago(11_520)),
    };
    job.rates = vec![
        RateStatus { name: "Get per snapshot".into(), limit: 1000.0, cap: 1000.0, used: 972.0, why: "quota".into() },
        RateStatus {
            name: "Put per snapshot".into(),
            limit: 980.0,
            cap: 1000.0,
            used: 972.0,
            why: "41 throttles at 09:14: just under what passed".into(),
        },
    ];
    job.troubles = Troubles { retries: 212, snapshot_throttles: 41, timeouts: 3, relisted: 5, ..Troubles::default() };
    job.get_ms = Some((61.0, 188.0));
    job.put_ms = Some((74.0, 231.0));
    job.predicted = predicted(&plan);
    job.peak_rss = Bytes::mib(244);
    hold(&mut job, [16, 54, 69], 54, vec![51]);
    job
}

/// What a plan says before its job runs.
fn predicted(plan: &Plan) -> Predicted {
    Predicted {
        memory: plan.memory.total,
        base: plan.memory.base(),
        of_budget: plan.memory.of_budget(),
        cost: plan.cost.once.value,
        seconds_low: plan.time.low_seconds,
        seconds_high: plan.time.high_seconds,
        requests: 0,
    }
}

/// The plan of a snapshot that becomes a file.
pub fn plan_of_file(blocks: u64, path: &str) -> Plan {
    let mut plan = plan_of(blocks, &machine());
    let length = plan.items[0].source.volume;
    plan.items[0].destinations[0].kind =
        DestinationKind::File { path: path.into(), length, replaces: false, onto: None };
    plan.reweighed(Knobs::default(), &machine())
}

/// MiB of listing pages, blocks and connections; blocks that are being read and written.
fn hold(job: &mut JobStatus, mib: [u64; 3], reading: u32, writing: Vec<u32>) {
    let names = ["listing pages", "blocks in flight", "connections"];
    let parts = names.into_iter().zip(mib).map(|(name, mib)| (name.to_owned(), Bytes::mib(mib))).collect();
    job.held = Bytes::mib(mib.iter().sum());
    job.holds = Holds { parts, reading, writing, idle: Bytes::mib(1), ledger: Bytes::mib(2) };
}

fn others() -> Vec<JobStatus> {
    let img = |n: u64, state| destination("./web-root.img", state, n);
    let mut small = job(Row {
        id: 15,
        state: JobState::Running,
        why: "disk",
        source: "prod@us-east-1:snap-0f3c91d2a77b01e44",
        name: "web-root",
        to: img(6_421, DestinationState::Writing),
        done: 6_421,
        total: 11_264,
        mib_per_second: 45.0,
        left: Some((54.0, 60.0)),
        spent: 6_421.0 * 0.000_003,
    });
    (small.lanes.now, small.lanes.target) = (34, 34);
    small.predicted = predicted(&plan_of_file(11_264, "/root/web-root.img"));
    hold(&mut small, [3, 17, 25], 19, vec![15]);
    let queued = job(Row {
        id: 16,
        state: JobState::Queued,
        why: "snapshot quota",
        source: "prod@us-east-1:snap-01b7e2d90c4418a3f",
        name: "db-data",
        to: destination("prod@eu-west-1:", DestinationState::Pending, 0),
        done: 0,
        total: 823_296,
        mib_per_second: 0.0,
        left: None,
        spent: 0.0,
    });
    let mut waiting = job(Row {
        id: 13,
        state: JobState::Waiting,
        why: "login dr",
        source: "dr@eu-west-1:snap-0a4be19d3302c7c20",
        name: "nfs",
        to: destination("/srv/nfs.img", DestinationState::Writing, 1_454_080),
        done: 1_454_080,
        total: 2_048_000,
        mib_per_second: 0.0,
        left: None,
        spent: 1_454_080.0 * 0.000_003,
    });
    waiting.error = Some(
        floe::error::Error::failed("the credentials of profile dr ended while job 13 ran")
            .todo("aws sso login --profile dr"),
    );
    waiting.predicted = predicted(&plan_of_file(2_048_000, "/srv/nfs.img"));
    waiting.stall = Some(Stall {
        cause: Cause::Login,
        word: "login dr".to_owned(),
        seconds: 754.0,
        text: "no bytes for 12 m, the credentials of profile dr ended → aws sso login --profile dr".to_owned(),
    });
    let mut done = job(Row {
        id: 12,
        state: JobState::Done,
        why: "listing",
        source: "prod@us-east-1:snap-0668ee30b7c4d9121",
        name: "web-root",
        to: destination("prod@eu-west-1:snap-0e77b1c2a4f09d35c", DestinationState::Completed, 11_059),
        done: 11_059,
        total: 11_059,
        mib_per_second: 0.0,
        left: None,
        spent: dollars(11_059),
    });
    done.elapsed_seconds = 64.0;
    done.peak_rss = Bytes::mib(88);
    done.predicted = Predicted {
        memory: Bytes::mib(95),
        cost: Usd(0.21),
        seconds_low: 60.0,
        seconds_high: 71.0,
        ..Predicted::default()
    };
    vec![small, queued, waiting, done]
}

/// Sixteen terabytes in seventeen segments; their blocks and rates add up to the job's.
pub fn segments() -> Vec<SegmentStatus> {
    const INDEXES: u32 = 33_554_432;
    const EACH: u32 = INDEXES / 16;
    let split = 20_174_602;
    let mut ranges: Vec<BlockRange> = (0..16).map(|n| BlockRange::new(n * EACH, (n + 1) * EACH)).collect();
    ranges[9].end = split;
    ranges.push(BlockRange::new(split, 10 * EACH));
    let rates: Vec<f64> = (0..17).map(|n| [4.1, 33.0, 31.9][usize::from(n == 0) + 2 * usize::from(n == 16)]).collect();
    let fixed = 4.1 + 33.0 + 31.9;
    let rest = (486.0 - fixed) / 14.0;
    let shares = [52, 26, 89, 39, 48, 33, 37, 31, 30, 31, 38, 29, 27, 34, 28, 24, 2];
    let total_listed = |range: BlockRange| (u64::from(range.len()) * TOTAL / u64::from(INDEXES)).max(1);
    let mut out: Vec<SegmentStatus> = ranges
        .iter()
        .enumerate()
        .map(|(n, range)| {
            let listed = total_listed(*range);
            let rate = match n {
                0 | 16 => rates[n],
                9 => 4.1,
                _ => rest + (n as f64 - 8.0) * 0.04,
            };
            let slow = n == 9;
            SegmentStatus {
                id: n as u32,
                range: *range,
                listed: Blocks(listed),
                done: Blocks(listed * shares[n] / 100),
                listing_done: true,
                rate: Rate(rate * MIB),
                history: if slow {
                    (0..20).map(|t| (32.0 - 1.6 * f64::from(t)).max(1.0) as f32).collect()
                } else {
                    wave(20, rate, 0.35, n as f64).into_iter().map(|v| v * 1.2).collect()
                },
                p99_ms: Some(if slow { 9_200.0 } else { 86.0 + (n % 4) as f32 * 2.5 }),
                retries: if slow { 41 } else { [0, 2, 0, 1][n % 4] },
                in_flight: if slow { 4 } else { 8 },
                oldest_seconds: Some(if slow { 12.0 } else { 0.1 }),
                note: match n {
                    9 => "slow".to_owned(),
                    16 => "from 9".to_owned(),
                    _ => String::new(),
                },
            }
        })
        .collect();
    // The rates and the blocks of all add up to the job's own, to the last one.
    let rate: f64 = out.iter().map(|s| s.rate.0).sum();
    out[15].rate = Rate(out[15].rate.0 + 486.0 * MIB - rate);
    let mut wanted = i128::from(DONE) - out.iter().map(|s| i128::from(s.done.0)).sum::<i128>();
    for segment in out.iter_mut().filter(|s| ![9, 16].contains(&s.id)) {
        let (now, most) = (i128::from(segment.done.0), i128::from(segment.listed.0) * 95 / 100);
        let next = (now + wanted).clamp(0, most);
        wanted -= next - now;
        segment.done = Blocks(u64::try_from(next).unwrap());
    }
    assert_eq!(wanted, 0);
    out
}

/// The map that follows from the segments: each is done from its start on.
fn map(segments: &[SegmentStatus]) -> (Vec<Cell>, u32) {
    const PER_CELL: u32 = 32_768;
    let cells = (0..1024u32)
        .map(|n| {
            let at = n * PER_CELL;
            let Some(segment) = segments.iter().find(|s| s.range.start <= at && at < s.range.end) else {
                return Cell::Unknown;
            };
            let part = u64::from(at - segment.range.start) * 1000 / u64::from(segment.range.len());
            let done = segment.done.0 * 1000 / segment.listed.0.max(1);
            let hole = n % 64 >= 58 && n % 3 != 0;
            match part {
                _ if segment.id == 9 && part > 120 && part < 160 => Cell::Trouble,
                p if p < done => Cell::Done,
                p if p < done + 20 => Cell::Moving,
                _ if hole => Cell::Hole,
                _ => Cell::ToDo,
            }
        })
        .collect();
    (cells, PER_CELL)
}

fn events() -> Vec<Event> {
    let event = |seconds: i64, subject: &str, text: &str, tone| Event {
        at: ago(seconds),
        job: Some(JobId(14)),
        subject: subject.to_owned(),
        text: text.to_owned(),
        tone,
        count: 1,
    };
    vec![
        event(12_820, "canary", "one List, one Get, one Put: all three answered, KMS allowed", Tone::Good),
        event(11_520, "lanes", "64 → 128: throughput still grew with every lane", Tone::Info),
        event(1_965, "network", "3 connections reset, 3 blocks sent again, none lost", Tone::Warning),
        event(
            750,
            "lanes",
            "128 held: Put per snapshot 972/s of 1,000/s (L-1774F84A). More would not help",
            Tone::Info,
        ),
        event(
            9,
            "segment 9",
            "12 s without a byte: 40 throttles at SNAPSHOT level → its lanes halved, far half given to 16",
            Tone::Warning,
        ),
    ]
}

/// Everything that runs.
pub fn status() -> Status {
    let segments = segments();
    let (map, blocks_per_cell) = map(&segments);
    let mut jobs = others();
    jobs.push(watched());
    jobs.sort_by_key(|job| job.job);
    let rate: Rate = jobs.iter().map(|j| j.rate).sum();
    let used: Bytes = jobs.iter().map(|j| j.held).sum();
    let active = jobs.iter().filter(|j| j.state.is_active()).map(|j| &j.predicted);
    let said_most = Said::of(active, Bytes::mib(256)).unwrap().total();
    Status {
        revision: 41,
        at: now().wall,
        engine_started: ago(32_700),
        in_process: false,
        rate,
        rate_history: wave(120, rate.0, 0.3, 0.4),
        budget: BudgetStatus {
            used,
            limit: Bytes::mib(256),
            floor: Bytes::mib(3),
            parts: vec![
                ("listing pages".to_owned(), Bytes::mib(19)),
                ("blocks in flight".to_owned(), Bytes::mib(71)),
                ("connections".to_owned(), Bytes::mib(94)),
            ],
            history: wave(120, used.0 as f64, 0.25, 2.0),
        },
        bandwidth: None,
        turned: Some(Turned {
            setting: Dial::Memory,
            job: None,
            at: ago(1_320),
            who: "ops at pts/3".to_owned(),
            what: "the budget to 256 MiB".to_owned(),
        }),
        machine: MachineStatus {
            rss: Bytes::mib(231),
            rss_peak: Bytes::mib(244),
            said_most,
            machine_used: Bytes::mib(3174),
            machine_total: Bytes::gib(8),
            cgroup: None,
            cpu_percent: 176.0,
            cores: 4,
        },
        jobs,
        detail: Some(JobDetail { job: JobId(14), segments, map, blocks_per_cell, events: events() }),
    }
}

//! Published prices and profiles, as whole bills: numbers are written down here by hand, from what AWS and the peers
//! publish (`tests/prices.md` says which test holds which example, and a test here holds that file).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use floe::address::Address;
use floe::aws::WorldId;
use floe::inventory::{Origin, SnapshotRow, State, Tier};
use floe::plan::{Host, Machine, Operation, Options, Plan, RunsIn, Verify, preview};
use floe::units::{Blocks, Bytes, Sure};
use jiff::Timestamp;

use crate::support::{World, bare_floe};
use crate::traps::functions;

const SNAPSHOT: &str = "snap-01c55a9e07b3d2f48";
/// Blocks of a TiB.
const TIB: u64 = 2_097_152;

/// A snapshot of so many blocks, all of them written.
fn snapshot(region: &str, blocks: u64) -> SnapshotRow {
    SnapshotRow {
        origin: Arc::new(Origin {
            profile: None,
            account: "123456789012".parse().expect("an account"),
            region: region.parse().expect("a region"),
        }),
        id: SNAPSHOT.parse().expect("an id"),
        name: None,
        owner: "123456789012".parse().expect("an account"),
        volume: None,
        size: Blocks(blocks).bytes(),
        full: Some(Blocks(blocks).bytes()),
        state: State::Completed,
        state_message: None,
        progress: None,
        started: Timestamp::UNIX_EPOCH,
        tier: Tier::Standard,
        encrypted: false,
        kms_key: None,
        data_key_id: None,
        description: String::new(),
        tags: Vec::new(),
    }
}

/// A machine that stands there.
fn machine(runs_in: RunsIn) -> Machine {
    Machine {
        memory: Bytes::gib(8),
        available: Bytes::gib(6),
        cgroup: None,
        cores: 2,
        runs_in,
        budget: Some(Bytes::mib(256)),
        copies: None,
        host: Host::default(),
        prices: None,
        routes: None,
    }
}

fn at(region: &str) -> RunsIn {
    RunsIn::Region(region.parse().expect("a region"))
}

/// The bill of a copy from `from` to `to`, weighed without asking anybody.
fn bill(blocks: u64, from: &str, to: &str, runs_in: RunsIn, options: Options) -> Plan {
    let operation = Operation {
        sources: vec![Address::source(&format!("{from}:{SNAPSHOT}")).expect("a source")],
        destinations: vec![Address::destination(to).expect("a destination")],
        options,
    };
    let world = WorldId { endpoint: None, partition: "aws".to_owned() };
    preview(&operation, &[snapshot(from, blocks)], world, &machine(runs_in)).expect("it can be weighed")
}

fn line(plan: &Plan, name: &str) -> f64 {
    plan.cost.parts.iter().filter(|part| part.name.starts_with(name)).map(|part| part.usd.value.0).sum()
}

fn near(what: &str, found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 0.006, "{what}: {found} for {wanted}");
}

/// What AWS's price pages make of a TiB that is written, as lines of a whole bill.
#[test]
fn published_examples_come_out_of_whole_bills() {
    let copy = bill(TIB, "us-east-1", "us-east-1:", at("us-east-1"), Options::default());
    near("Get of a written TiB", line(&copy, "Get in"), 6.29);
    near("Put of a written TiB", line(&copy, "Put in"), 12.58);
    near("a copied TiB", line(&copy, "Get in") + line(&copy, "Put in"), 18.87);
    assert!(line(&copy, "List") > 0.0 && line(&copy, "List") < 0.01, "listings are next to nothing, and not nothing");
    near("a TiB of snapshot, a month", copy.cost.monthly.value.0, 51.20);
    near("nothing crosses a border", line(&copy, "transfer"), 0.0);

    let across = bill(TIB, "us-east-1", "eu-west-1:", at("us-east-1"), Options::default());
    near("a TiB to Ireland, $0.02 a GiB", line(&across, "transfer"), 20.48);
    let neighbour = bill(TIB, "us-east-1", "us-east-2:", at("us-east-1"), Options::default());
    near("a TiB to Ohio, $0.01 a GiB", line(&neighbour, "transfer"), 10.24);
    let away = bill(TIB, "sa-east-1", "us-east-1:", at("us-east-1"), Options::default());
    near("a TiB out of Brazil, $0.138 a GiB", line(&away, "transfer"), 141.31);

    let home = bill(TIB, "us-east-1", "disk.img", RunsIn::Outside, Options::default());
    near("a TiB to the internet, $0.09 a GiB", line(&home, "transfer"), 92.16);
    let proved =
        bill(TIB, "us-east-1", "us-east-1:", at("us-east-1"), Options { verify: Verify::Full, ..Options::default() });
    near("written and read back", line(&proved, "Get"), 2.0 * 6.29);
}

/// The 16 TiB copy of the screens, by where its machine stands: the four places, by hand.
#[test]
fn the_same_sixteen_tebibytes_from_four_places() {
    const BLOCKS: u64 = 31_318_565;
    let gib = 31_318_565.0 / 2048.0;
    let places = [
        ("the source's region", at("us-east-1"), gib * 0.02),
        ("the destination's", at("eu-west-1"), gib * 0.02),
        ("a third", at("ap-southeast-2"), gib * 0.02 + gib * 0.098),
        ("a laptop", RunsIn::Outside, 10_240.0 * 0.09 + (gib - 10_240.0) * 0.085),
    ];
    for (name, runs_in, usd) in places {
        let plan = bill(BLOCKS, "us-east-1", "eu-west-1:", runs_in, Options::default());
        near(name, line(&plan, "transfer"), usd);
        near(name, plan.cost.once.value.0 - usd, 93.96 + 187.91 + line(&plan, "List"));
    }
}

/// Without a network there are the table's prices and AWS's default quotas, each with its label; and a plan that needs AWS
/// says what did not answer. Nothing is zero for want of an answer.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_network_there_is_an_answer_with_its_label() {
    let plan = bill(TIB, "us-east-1", "eu-west-1:", RunsIn::Assumed, Options::default());
    assert!(plan.cost.once.value.0 > 18.87 && plan.cost.once.sure != Sure::Exact, "{:?}", plan.cost.once);
    assert_eq!(plan.items[0].source.blocks.sure, Sure::AtMost);
    assert!(plan.findings.iter().any(|found| found.text.contains("these are its defaults")), "{:?}", plan.findings);
    let home = tempfile::tempdir().expect("a home");
    let dead = ["--endpoint-url", "http://127.0.0.1:9"];
    let floe = |args: &[&str]| {
        let mut command = bare_floe(home.path());
        command.args(args).args(dead).env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "secret");
        let output = command.output().expect("floe runs");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, text) = floe(&["prices", "--region", "eu-west-1"]);
    assert!(code == Some(0) && text.contains("2026-09-21") && text.contains("0.05"), "{code:?} {text}");
    let (code, text) = floe(&["plan", &format!("us-east-1:{SNAPSHOT}"), "eu-west-1:"]);
    assert!(code == Some(1) && text.contains("no usable answer") && !text.contains("$0.00"), "{code:?} {text}");
    // What lies here is weighed here.
    std::fs::write(home.path().join("disk.img"), vec![7; 1 << 20]).expect("written");
    let (code, text) = floe(&["plan", "./disk.img", "null:"]);
    assert!(code == Some(0) && text.contains("Memory") && text.contains("Time"), "{code:?} {text}");
}

/// A region that the table does not know: `?`, in a plan and in the table.
#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_no_table_knows_has_no_silent_zero() {
    let plan = bill(TIB, "us-east-1", "xx-nowhere-9:", at("us-east-1"), Options::default());
    let storage = plan.cost.parts.iter().find(|part| part.name.contains("storage in xx-nowhere-9")).expect("a line");
    assert_eq!((storage.usd.sure, plan.cost.monthly.sure), (Sure::Unknown, Sure::Unknown));
    assert_eq!(plan.cost.monthly.to_string(), "?", "shown as not known");
    let world = World::calm().await;
    let output = world.run(&["prices", "--region", "xx-nowhere-9"]).await;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(text.contains('?') && !text.contains("panicked"), "{text}");
}

/// The keys of `tests/prices.md`: ten published examples and more, four places, the peer's memory table, offline cases.
fn keys() -> Vec<String> {
    let of = |kind: &'static str, many: u32| (1..=many).map(move |n| format!("{kind}{n}"));
    of("P", 18).chain(of("W", 4)).chain(of("M", 6)).chain(of("O", 8)).collect()
}

#[test]
fn every_published_example_has_its_test() {
    let map = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prices.md")).expect("the map");
    let functions: BTreeSet<String> = functions();
    let mut wrong = Vec::new();
    for key in keys() {
        let row =
            map.lines().find(|line| line.trim().trim_matches('|').split('|').next().map(str::trim) == Some(&*key));
        let Some(row) = row else {
            wrong.push(format!("{key} is not in the map"));
            continue;
        };
        let last = row.trim().trim_matches('|').rsplit('|').next().unwrap_or_default();
        let tests: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        if tests.is_empty() {
            wrong.push(format!("{key} has no test"));
        }
        for test in tests.iter().filter(|test| !functions.contains(test.rsplit("::").next().unwrap_or(test))) {
            wrong.push(format!("{key}: there is no test `{test}`"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

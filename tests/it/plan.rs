//! Plans made from what the sandbox says: facts, refusals, and figures that add up.

use floe::address::Address;
use floe::plan::{Host, Knobs, Level, Machine, Operation, Options, Plan, RunsIn, Verify, make};
use floe::units::{Bytes, Sure, Usd};

use crate::rig::aws_of as aws;
use crate::support::{WEB_DATA, World};

const LARGE: &str = "us-east-1:snap-01c55a9e07b3d2f48";

fn machine() -> Machine {
    Machine {
        memory: Bytes::gib(8),
        available: Bytes::gib(6),
        cgroup: None,
        cores: 2,
        runs_in: RunsIn::Region("eu-west-1".parse().expect("a region")),
        budget: None,
        copies: None,
        host: Host::default(),
        prices: None,
        routes: None,
    }
}

async fn plan(world: &World, source: &str, to: &[&str], options: Options) -> floe::error::Result<Plan> {
    let operation = Operation {
        sources: vec![Address::source(source)?],
        destinations: to.iter().map(|text| Address::destination(text)).collect::<Result<_, _>>()?,
        options,
    };
    make(&aws(world), operation, &machine()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sixteen_tebibyte_copy_weighs_what_the_screens_say() {
    let world = World::calm().await;
    let plan = plan(&world, LARGE, &["eu-west-1:"], Options::default()).await.expect("a plan");
    let source = &plan.items[0].source;
    assert_eq!((source.blocks.value.0, source.blocks.sure), (31_318_565, Sure::AtMost));
    let cost =
        |name: &str| plan.cost.parts.iter().filter(|p| p.name.contains(name)).map(|p| p.usd.value.0).sum::<f64>();
    assert!((cost("Get") - 93.96).abs() < 0.01, "{}", cost("Get"));
    assert!((cost("Put") - 187.91).abs() < 0.01, "{}", cost("Put"));
    assert!((cost("transfer") - 305.85).abs() < 0.01, "{}", cost("transfer"));
    let once: Usd = plan.cost.parts.iter().filter(|p| !p.monthly).map(|p| p.usd.value).sum();
    assert!((once.0 - plan.cost.once.value.0).abs() < 1e-9, "the parts add up");
    assert!((587.0..589.0).contains(&once.0), "{once}");
    let parts: Bytes = plan.memory.parts.iter().map(|p| p.bytes).sum();
    assert_eq!(parts, plan.memory.total, "the parts add up");
    assert!(plan.time.low_seconds > 31_318.0 && plan.time.low_seconds < 31_400.0, "{}", plan.time.low_seconds);
    assert!(plan.time.bound_by.contains("L-1774F84A"), "{}", plan.time.bound_by);
    assert!(plan.refusal().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn transfer_is_priced_by_where_floe_runs() {
    let world = World::calm().await;
    let plan = plan(&world, LARGE, &["eu-west-1:"], Options::default()).await.expect("a plan");
    let transfer = |runs_in: RunsIn| {
        let plan = plan.reweighed(Knobs::default(), &Machine { runs_in, ..machine() });
        plan.cost.parts.iter().filter(|part| part.name.contains("transfer")).map(|part| part.usd.value.0).sum::<f64>()
    };
    let (inside, outside) = (transfer(machine().runs_in), transfer(RunsIn::Outside));
    assert!(inside > 0.0 && outside > 4.0 * inside, "{inside} {outside}: over the internet it is dearer");
    assert!((transfer(RunsIn::Assumed) - outside).abs() < 1e-9, "where nobody said it, the dear way is taken");
}

/// 15,292 GiB, the same copy, by where the machine stands: one border, one border, two borders, the internet.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_copy_costs_what_its_route_costs() {
    let world = World::calm().await;
    let plan = plan(&world, LARGE, &["eu-west-1:"], Options::default()).await.expect("a plan");
    let gib = 31_318_565.0 / 2048.0;
    let at = |runs_in: RunsIn| {
        let plan = plan.reweighed(Knobs::default(), &Machine { runs_in, ..machine() });
        let parts = || plan.cost.parts.iter().filter(|part| part.name.contains("transfer"));
        let advised = plan.findings.iter().any(|found| found.text.starts_with("money: on a machine in "));
        (parts().map(|part| part.usd.value.0).sum::<f64>(), parts().count(), advised)
    };
    let region = |name: &str| RunsIn::Region(name.parse().expect("a region"));
    let near = |found: f64, wanted: f64| assert!((found - wanted).abs() < 0.005, "{found} for {wanted}");
    for (place, legs) in [(region("us-east-1"), 1), (region("eu-west-1"), 1)] {
        let (usd, count, advised) = at(place);
        near(usd, gib * 0.02);
        assert_eq!((count, advised), (legs, false), "no better place");
    }
    let (usd, count, advised) = at(region("ap-southeast-2"));
    near(usd, gib * 0.02 + gib * 0.098);
    assert!(count == 2 && advised);
    let (usd, count, advised) = at(RunsIn::Outside);
    near(usd, 10_240.0 * 0.09 + (gib - 10_240.0) * 0.085);
    assert!(count == 1 && advised, "into AWS nothing is charged");
}

#[tokio::test(flavor = "multi_thread")]
async fn turning_a_knob_keeps_the_facts_and_moves_the_figures() {
    let world = World::calm().await;
    let plan = plan(&world, LARGE, &["eu-west-1:"], Options::default()).await.expect("a plan");
    let fewer = plan.reweighed(Knobs { concurrency: Some(64), ..Knobs::default() }, &machine());
    assert!(fewer.memory.total < plan.memory.total);
    assert_eq!(fewer.cost.once, plan.cost.once, "the same money");
    let proved = plan.reweighed(Knobs { verify: Some(Verify::Full), ..Knobs::default() }, &machine());
    assert!(proved.cost.once.value > plan.cost.once.value, "{:?} {:?}", proved.cost.once, plan.cost.once);
    assert!(
        proved.time.low_seconds > plan.time.low_seconds * 1.9,
        "{} {}",
        proved.time.low_seconds,
        plan.time.low_seconds
    );
    let tiny = plan.reweighed(Knobs { budget: Some(Bytes::kib(700)), ..Knobs::default() }, &machine());
    let refusal = tiny.refusal().expect("a budget below the floor is refused");
    assert_eq!(refusal.kind.exit_code(), 5);
    assert!(refusal.what.contains("700 KiB"), "{refusal}");
    let back = tiny.reweighed(Knobs { budget: Some(Bytes::mib(256)), ..Knobs::default() }, &machine());
    assert!(back.refusal().is_none(), "and allowed again when it is raised");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_hashed_and_its_grant_names_what_it_may_do() {
    let world = World::calm().await;
    let source = format!("us-east-1:{WEB_DATA}");
    let plan = plan(&world, &source, &["dr@eu-west-1:"], Options::default()).await.expect("a plan");
    let grant = plan.grant("ops", jiff::Timestamp::UNIX_EPOCH).expect("a grant");
    assert_eq!(grant.plan_hash, plan.hash().expect("a hash"));
    assert_eq!(grant.accounts, [plan.items[0].destinations[0].account.clone().expect("dr's account")]);
    let read: Plan = serde_json::from_str(&serde_json::to_string(&plan).expect("json")).expect("the same plan");
    assert_eq!(read.hash().expect("a hash"), grant.plan_hash, "a saved plan is the same plan");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_says_why_and_what_would_work() {
    let world = World::calm().await;
    let say = async |source: &str, to: &str| {
        let error = plan(&world, source, &[to], Options::default()).await.expect_err("refused");
        (error.kind.exit_code(), format!("{error} · {}", error.todo.clone().unwrap_or_default()))
    };
    let (code, text) = say(&format!("eu-west-1:{WEB_DATA}"), "null:").await;
    assert!(code == 2 && text.contains(&format!("us-east-1:{WEB_DATA}")), "{code} {text}");
    let (code, text) = say("us-east-1:snap-0123456789abcdef0", "null:").await;
    assert!(code == 2 && text.contains("does not exist"), "{code} {text}");
    let (code, text) = say(&format!("nobody@us-east-1:{WEB_DATA}"), "null:").await;
    assert!(code == 2 && text.contains("nobody"), "{code} {text}");
    let (code, text) = say(&format!("us-east-1:{WEB_DATA}"), "/").await;
    assert!(code == 2 && text.contains("floe copy"), "{code} {text}");
    let findings =
        plan(&world, &format!("us-east-1:{WEB_DATA}"), &["null:"], Options::default()).await.expect("a plan").findings;
    assert!(findings.iter().any(|f| f.level == Level::Passed));
}

/// Over FIPS endpoints a region's own traffic is charged: said with its sum, where the route has any.
#[tokio::test(flavor = "multi_thread")]
async fn fips_endpoints_are_warned_of_where_they_cost() {
    let world = World::calm().await;
    let mut plan = plan(&world, LARGE, &["eu-west-1:"], Options::default()).await.expect("a plan");
    let said = |plan: &Plan, runs_in: RunsIn| {
        let plan = plan.reweighed(Knobs::default(), &Machine { runs_in, ..machine() });
        plan.findings.into_iter().find(|found| found.text.contains("FIPS")).map(|found| (found.level, found.text))
    };
    let here = || RunsIn::Region("us-east-1".parse().expect("a region"));
    assert_eq!(said(&plan, here()), None, "they are not used");
    plan.facts.fips = true;
    let (level, text) = said(&plan, here()).expect("a warning");
    // 31,318,565 blocks are 15,292.27 GiB, read within us-east-1 at a cent each.
    assert!(level == Level::Warning && text.contains("$152.92") && text.contains("us-east-1"), "{text}");
    assert_eq!(said(&plan, RunsIn::Outside), None, "from outside nothing stays in a region");
}

/// A cgroup that is smaller than the budget, and a region that the table does not know: an answer with its label.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_small_or_unknown_is_labelled() {
    let world = World::calm().await;
    let plan = plan(&world, LARGE, &["eu-west-1:"], Options::default()).await.expect("a plan");
    let limit = Bytes::mib(64);
    let small = Machine { cgroup: Some(limit), budget: Some(Bytes::mib(256)), ..machine() };
    let tight = plan.reweighed(Knobs { budget: Some(Bytes::mib(256)), ..Knobs::default() }, &small);
    assert_eq!((tight.memory.limit, tight.memory.limit_name.as_str()), (limit, "cgroup"));
    assert_eq!(tight.memory.fit, floe::plan::Fit::WillNotFit);
    assert!(tight.findings.iter().any(|found| found.text.starts_with("memory: ")), "{:?}", tight.findings);

    let mut nowhere = plan.clone();
    nowhere.items[0].destinations[0].region = "xx-nowhere-9".parse().ok();
    let unknown = nowhere.reweighed(Knobs::default(), &machine());
    let storage = unknown.cost.parts.iter().find(|part| part.name.contains("storage in xx-nowhere-9")).expect("a line");
    assert_eq!(storage.usd.sure, Sure::Unknown, "no silent zero");
    assert_eq!(unknown.cost.monthly.sure, Sure::Unknown);
}

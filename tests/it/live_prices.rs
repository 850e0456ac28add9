//! `--live-prices` (in the deck `:prices live`) against the sandbox's price list, whose prices are its own: told, refused,
//! not to be reached, not to be understood, and kept for seven days. Whatever happens a plan is made, and says by which
//! prices.

use floe::sandbox::faults::{Fault, Faults, Rule};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::support::{WEB_DATA, World};
use crate::weighed::{plan, requests};

/// One PutSnapshotBlock in eu-west-1: as floe ships it, and as the sandbox lists it.
const SHIPPED: f64 = 0.000_006;
const LISTED: f64 = 0.000_007_2;

async fn planned(world: &World) -> Value {
    let source = format!("us-east-1:{WEB_DATA}");
    plan(world, &[&source, "eu-west-1:", "--runs-in", "eu-west-1", "--live-prices"]).await
}

/// What a plan takes a Put to cost, and of when it says its prices are.
fn put(plan: &Value) -> (f64, String) {
    let parts = plan["cost"]["parts"].as_array().expect("parts");
    let put = parts.iter().find(|part| part["name"] == "Put in eu-west-1").expect("a line");
    let each = put["usd"].as_f64().expect("usd") / put["quantity"].as_f64().expect("a quantity");
    (each, plan["cost"]["prices_as_of"].as_str().expect("a date").to_owned())
}

fn is_listed(plan: &Value) {
    let (each, date) = put(plan);
    assert!((each - LISTED).abs() < 1e-12 && date.ends_with("(live)"), "{each} of {date}: {plan}");
}

/// By the table, and why.
fn is_shipped(plan: &Value, why: &str) {
    let (each, date) = put(plan);
    assert!((each - SHIPPED).abs() < 1e-12 && !date.contains("live"), "{each} of {date}");
    let findings = plan["findings"].as_array().expect("findings");
    let said = findings.iter().filter_map(|finding| finding["text"].as_str());
    let said = said.clone().find(|text| text.starts_with("prices are those of the table of 2"));
    assert!(said.is_some(), "nothing is said of prices: {findings:#?}");
    let said = said.unwrap_or_default();
    assert!(said.contains("because AWS could not be asked") && said.contains(why), "{said}");
}

fn trouble(world: &World, fault: Option<Fault>) {
    let rules = fault.into_iter().map(|fault| Rule::of(fault).on("GetProducts")).collect();
    world.running.sandbox.set_faults(Faults { rules, ..Faults::default() });
}

/// Where prices are kept, and when they were asked for moved back.
fn age(world: &World, hours: i64) {
    let mut moved = 0;
    for directory in [".cache/floe", ".local/state/floe/cache", ".local/state/floe"] {
        let Ok(files) = std::fs::read_dir(world.path(directory)) else { continue };
        for file in files.filter_map(Result::ok).filter(|f| f.file_name().to_string_lossy().starts_with("prices-")) {
            let mut kept: Value = serde_json::from_slice(&std::fs::read(file.path()).expect("read")).expect("JSON");
            for region in kept["regions"].as_object_mut().expect("regions").values_mut() {
                region["asked"] = (Timestamp::now() - SignedDuration::from_hours(hours)).to_string().into();
                moved += 1;
            }
            std::fs::write(file.path(), kept.to_string()).expect("written");
        }
    }
    assert!(moved >= 2, "{moved} regions are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aws_tells_is_kept_for_seven_days_and_then_asked_for_again() {
    let world = World::calm().await;
    is_listed(&planned(&world).await);
    let asked = || requests(&world, &["GetProducts"]);
    let first = asked();
    assert!(first > 0.0);
    // Six days later nobody is asked, and it does not matter whether anybody would answer.
    age(&world, 6 * 24);
    trouble(&world, Some(Fault::Deny));
    is_listed(&planned(&world).await);
    assert!((asked() - first).abs() < 0.5, "{} of {first}", asked());
    // On the eighth day they are too old to be believed.
    age(&world, 8 * 24);
    is_shipped(&planned(&world).await, "You are not authorized");
    assert!(asked() > first);
    trouble(&world, None);
    is_listed(&planned(&world).await);
    // Without the option the table counts, whatever is kept.
    let source = format!("us-east-1:{WEB_DATA}");
    let table = plan(&world, &[&source, "eu-west-1:", "--runs-in", "eu-west-1"]).await;
    assert!((put(&table).0 - SHIPPED).abs() < 1e-12, "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_that_are_refused_unreachable_or_unreadable_leave_the_table_and_say_why() {
    let world = World::calm().await;
    trouble(&world, Some(Fault::Deny));
    is_shipped(&planned(&world).await, "You are not authorized");
    // Nobody is there.
    trouble(&world, Some(Fault::ResetBefore));
    is_shipped(&planned(&world).await, "could not read the prices");
    // Half an answer, and one that is not the service's own.
    trouble(&world, Some(Fault::Cut));
    is_shipped(&planned(&world).await, "could not read the prices");
    let page = Fault::Refuse { status: 502, code: String::new(), reason: None, message: "<html>".to_owned() };
    trouble(&world, Some(page));
    is_shipped(&planned(&world).await, "could not read the prices");
    // Nothing of it was kept: the next answer counts.
    trouble(&world, None);
    is_listed(&planned(&world).await);
}

//! What a removal plan says it frees: for its set and not for the sum of its rows, from which day on, and for what of it
//! nobody has to be asked. Compared with lists that somebody else reads.

use std::collections::BTreeSet;

use serde_json::Value;

use super::frees::{BLOCK, CHAIN, listed, only_here};
use crate::support::World;

const OLD: &str = "snap-02b8d94f6e1ac0375";

async fn plan(world: &World, more: &[&str]) -> (Value, String) {
    let args = ["--region", "us-east-1", "delete", "--accept-unknown", "-o", "json"];
    let (code, plan, said) = world.json(&[&args[..], more].concat()).await;
    assert_eq!(code, 0, "{said}");
    (plan, said)
}

pub fn lists(world: &World) -> u64 {
    let picture = world.running.sandbox.counters().picture();
    ["ListSnapshotBlocks", "ListChangedBlocks"].iter().map(|api| picture.api(api).requests).sum()
}

fn freed(plan: &Value) -> u64 {
    let frees = &plan["summary"]["frees"];
    frees["exact"].as_u64().expect("bytes") + frees["at_most"].as_u64().expect("bytes")
}

/// What the first two of the chain free together, by lists that floe does not read.
pub async fn truth(world: &World) -> (u64, u64) {
    let [all, one, two] = [
        listed(world, None, CHAIN[0]).await,
        listed(world, Some(CHAIN[0]), CHAIN[1]).await,
        listed(world, Some(CHAIN[1]), CHAIN[2]).await,
    ];
    let alone = only_here(&all, &one) + only_here(&one, &two);
    let both: BTreeSet<i32> =
        all.keys().filter(|index| !one.contains_key(index) && two.contains_key(index)).copied().collect();
    (alone, alone + both.len() as u64 * BLOCK)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_its_set_frees_and_its_file_and_its_review_say_the_same() {
    let world = World::calm().await;
    let (alone, together) = truth(&world).await;
    assert!(together > alone, "the set holds something that neither holds alone");
    let (uncounted, _) = plan(&world, &[CHAIN[0], CHAIN[1], "--dry-run"]).await;
    assert!(freed(&uncounted) > together, "whole snapshots, at most: {uncounted}");
    let (counted, said) = plan(&world, &[CHAIN[0], CHAIN[1], "--frees", "--out", "plan.json"]).await;
    assert!(said.contains("us-east-1: asks at most") && said.contains("$"), "what it costs is said first: {said}");
    assert_eq!(freed(&counted), together, "{counted}");
    let rows = counted["items"].as_array().expect("items").iter();
    assert_eq!(rows.map(|row| row["judged"]["frees"]["bytes"].as_u64().expect("bytes")).sum::<u64>(), alone);
    let usd = counted["summary"]["frees"]["usd_exact"].as_f64().expect("dollars")
        + counted["summary"]["frees"]["usd_at_most"].as_f64().expect("dollars");
    let expected = together as f64 / f64::from(1_u32 << 30) * 0.05;
    assert!((usd - expected).abs() < 0.011, "{usd} for {expected}");
    let (code, review, said) = world.json(&["delete", "--plan", "plan.json", "--review", "-o", "json"]).await;
    assert_eq!((code, &review["hash"]), (0, &counted["hash"]), "{said}");
    assert_eq!(review["summary"], counted["summary"]);
    let text = world.run(&["delete", "--plan", "plan.json", "--review"]).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("together"), "{text}");
    // What it was reviewed as is what is carried out.
    let short = counted["plan"].as_str().expect("a hash");
    let (code, report, said) = world.json(&["delete", "--plan", "plan.json", "--confirm", short, "-o", "json"]).await;
    assert_eq!((code, &report["removed"]), (0, &2.into()), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_before_is_used_without_a_list_request_while_the_lists_are_fresh() {
    let world = World::calm().await;
    let (_, together) = truth(&world).await;
    plan(&world, &[CHAIN[0], CHAIN[1], "--frees", "--dry-run"]).await;
    let (_, said) = plan(&world, &[CHAIN[0], CHAIN[1], "--frees", "--dry-run"]).await;
    assert!(said.contains("asks at most 0 List requests"), "it was counted before: {said}");
    // A look at the region remembers its lists, and the bin.
    let (code, _, said) = world.json(&["--region", "us-east-1", "orphans", "-o", "json"]).await;
    assert!(matches!(code, 0 | 3), "{said}");
    let before = lists(&world);
    let (counted, _) = plan(&world, &[CHAIN[0], CHAIN[1], "--dry-run"]).await;
    assert_eq!(freed(&counted), together, "{counted}");
    assert!(counted["together"][0]["notes"][0].as_str().is_some_and(|note| note.contains("lists of")), "{counted}");
    assert_eq!(lists(&world), before, "nobody was asked");
    // Another snapshot of the volume since: what is remembered is no longer so.
    {
        let mut model = world.running.sandbox.model_mut();
        let (account, region) = ("123456789012".parse().expect("id"), "us-east-1".parse().expect("region"));
        let here = model.region_mut(&account, &region).expect("a region");
        let mut newer = here.snapshots[&CHAIN[2].parse().expect("id")].clone();
        newer.id = "snap-0feed0000000da7a4".parse().expect("id");
        here.snapshots.insert(newer.id.clone(), newer);
    }
    let (stale, _) = plan(&world, &[CHAIN[0], CHAIN[1], "--dry-run"]).await;
    assert!(freed(&stale) > together && stale["together"].as_array().is_some_and(Vec::is_empty), "{stale}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_listed_stays_at_most_and_says_why() {
    use floe::sandbox::faults::{Fault, Faults, Rule};
    let world = World::calm().await;
    let rule = Rule { api: Some("ListChangedBlocks".into()), ..Rule::of(Fault::Deny) };
    world.running.sandbox.set_faults(Faults { rules: vec![rule], ..Faults::default() });
    let (counted, _) = plan(&world, &[CHAIN[0], CHAIN[1], "--frees", "--dry-run"]).await;
    let (_, together) = truth_without(&world).await;
    assert!(freed(&counted) >= together && counted["summary"]["frees"]["exact"] == 0, "{counted}");
    let notes = counted["together"][0]["notes"].to_string();
    assert!(notes.contains("were not counted"), "{notes}");
}

/// The truth, asked for without the fault.
async fn truth_without(world: &World) -> (u64, u64) {
    world.running.sandbox.set_faults(floe::sandbox::faults::Faults {
        short_pages_permille: 0,
        empty_pages_permille: 0,
        ..floe::sandbox::faults::Faults::default()
    });
    truth(world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_tier_has_its_price_and_bills_for_ninety_days() {
    let world = World::calm().await;
    let since = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * 10);
    {
        let mut model = world.running.sandbox.model_mut();
        let (account, region) = ("123456789012".parse().expect("id"), "us-east-1".parse().expect("region"));
        let here = model.region_mut(&account, &region).expect("a region");
        let row = here.snapshots.get_mut(&OLD.parse().expect("id")).expect("it");
        row.tier = floe::sandbox::model::Tier::Archive;
        row.archived = Some(since);
    }
    let (plan, _) = plan(&world, &[OLD, "--dry-run"]).await;
    let item = &plan["items"][0];
    assert_eq!(item["judged"]["frees"]["label"], "exact", "it is stored whole: {item}");
    let bytes = item["judged"]["frees"]["bytes"].as_u64().expect("bytes");
    let usd = item["judged"]["usd_per_month"].as_f64().expect("it has a price");
    let expected = bytes as f64 / f64::from(1_u32 << 30) * 0.0125;
    assert!((usd - expected).abs() < 0.006, "{usd} for {expected}");
    // The bin keeps it for 14 days, the tier bills it for 80 more.
    let day = since + jiff::SignedDuration::from_hours(24 * 90);
    assert_eq!(item["billed"]["billed"], "until", "{item}");
    assert_eq!(&item["billed"]["day"].as_str().expect("a day")[..10], day.strftime("%Y-%m-%d").to_string());
    assert!(plan["summary"]["billed_why"].as_str().is_some_and(|why| why.contains("90 days")), "{plan}");
}

//! Attempts to make a removal take what it should not: plans that somebody edited, things that change between the check
//! and the call, logs that cannot be written, two runs at once. What AWS's own client still finds decides.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::sandbox::model::{Lock, RegionState};
use serde_json::Value;

use crate::removal::{EMPTY, OLD, SHARED, confirm, outcome, planned, requests, set, there};
use crate::support::World;

const BOOT: &str = "snap-0feed000000b00701";

/// Changes the sandbox behind everybody's back.
fn behind(world: &World, change: impl FnOnce(&mut RegionState)) {
    let mut model = world.running.sandbox.model_mut();
    let (account, region) = ("123456789012".parse().expect("id"), "us-east-1".parse().expect("region"));
    change(model.region_mut(&account, &region).expect("a region"));
}

/// The first delete takes its time, so that something can happen before the second.
fn slow(times: Option<u64>) -> Rule {
    Rule { times, ..Rule::of(Fault::Delay { ms: 1_500, jitter: 0 }).on("DeleteSnapshot") }
}

fn faults(world: &World, rules: Vec<Rule>) {
    let quiet = Faults { short_pages_permille: 0, empty_pages_permille: 0, ..Faults::default() };
    world.running.sandbox.set_faults(Faults { rules, ..quiet });
}

fn log(world: &World) -> PathBuf {
    world.path(".local/state/floe/audit.ndjson")
}

fn started(world: &World, hash: &str) -> Child {
    let mut run = world.floe(&["delete", "--plan", "plan.json", "--confirm", hash, "-o", "json"]);
    run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("floe runs")
}

async fn ended(run: Child) -> (i32, Value, String) {
    let output = tokio::task::spawn_blocking(move || run.wait_with_output().expect("ends")).await.expect("ends");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().unwrap_or(-1), report, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Waits until the log says that a delete is about to be made.
async fn about_to(world: &World) {
    let start = Instant::now();
    let intent = || std::fs::read_to_string(log(world)).is_ok_and(|text| text.contains("\"event\":\"intent\""));
    while !intent() {
        assert!(start.elapsed() < Duration::from_secs(120), "nothing is about to be deleted");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The hash of what stands in the file now: whoever edits a plan can have it hashed.
async fn hashed(world: &World) -> String {
    let (code, plan, said) = world.json(&["delete", "--plan", "plan.json", "--review", "-o", "json"]).await;
    assert_eq!(code, 0, "{said}");
    plan["plan"].as_str().expect("a hash").to_owned()
}

async fn edited(world: &World, edit: impl FnOnce(&mut Value)) -> String {
    let text = std::fs::read_to_string(world.path("plan.json")).expect("the plan");
    let mut plan = serde_json::from_str(&text).expect("JSON");
    edit(&mut plan);
    std::fs::write(world.path("plan.json"), plan.to_string()).expect("written");
    hashed(world).await
}

fn item<'a>(plan: &'a mut Value, id: &str) -> &'a mut Value {
    plan["items"].as_array_mut().expect("items").iter_mut().find(|item| item["target"] == id).expect("the item")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_was_edited_and_hashed_anew_removes_nothing_that_the_rules_keep() {
    let world = World::calm().await;
    // What is shared is to be deleted, says whoever edited it, and that every rule said no.
    planned(&world, &[SHARED, EMPTY]).await;
    let hash = edited(&world, |plan| {
        let item = item(plan, SHARED);
        item["would"] = serde_json::json!({ "do": "delete" });
        item["back"] = serde_json::json!({ "back": "final", "why": "so it is" });
        item["judged"]["verdict"] = "orphan".into();
        for evidence in item["judged"]["evidence"].as_array_mut().expect("evidence") {
            evidence["answer"] = "yes".into();
        }
    })
    .await;
    let (code, report, said) = confirm(&world, &hash).await;
    assert_eq!(code, 3, "{said}");
    assert_eq!(outcome(&report, SHARED)["outcome"], "skipped", "{report}");
    assert_eq!(there(&world, "us-east-1", &[SHARED, EMPTY]).await, set(&[SHARED]));

    // The same ids in another region are not there; another account, another endpoint is not this one's.
    let deletes = requests(&world, "DeleteSnapshot");
    planned(&world, &[OLD]).await;
    let hash = edited(&world, |plan| item(plan, OLD)["judged"]["origin"]["region"] = "eu-west-1".into()).await;
    let (_, report, _) = confirm(&world, &hash).await;
    assert_eq!(outcome(&report, OLD)["outcome"], "skipped", "{report}");
    planned(&world, &[OLD]).await;
    let hash = edited(&world, |plan| item(plan, OLD)["judged"]["origin"]["account"] = "998877665544".into()).await;
    let (code, _, said) = confirm(&world, &hash).await;
    assert!(code == 5 && said.contains("9988-7766-5544"), "{code} {said}");
    planned(&world, &[OLD]).await;
    let hash = edited(&world, |plan| plan["world"]["endpoint"] = Value::Null).await;
    assert_eq!(confirm(&world, &hash).await.0, 5);
    // One that was made in an hour: somebody's clock is wrong.
    planned(&world, &[OLD]).await;
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let hash = edited(&world, |plan| plan["made"] = later.to_string().into()).await;
    assert_eq!(confirm(&world, &hash).await.0, 5);
    // The same thing twice is not asked for twice.
    assert_eq!(requests(&world, "DeleteSnapshot"), deletes);
    planned(&world, &[OLD]).await;
    let hash = edited(&world, |plan| {
        let again = item(plan, OLD).clone();
        plan["items"].as_array_mut().expect("items").push(again);
    })
    .await;
    let (_, report, _) = confirm(&world, &hash).await;
    assert!(requests(&world, "DeleteSnapshot") <= deletes + 1, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_audit_log_that_keeps_its_lines_nothing_is_removed_and_what_was_removed_is_told() {
    let world = World::calm().await;
    let hash = planned(&world, &[EMPTY, OLD, BOOT]).await;
    // A refusal makes the log, so that there is one to fill.
    assert_eq!(confirm(&world, "0000-0000").await.0, 5);
    let path = log(&world);
    std::fs::rename(&path, path.with_extension("kept")).expect("moved");
    std::os::unix::fs::symlink("/dev/full", &path).expect("no file");
    let (code, report, said) = confirm(&world, &hash).await;
    assert_eq!((code, report), (1, Value::Null), "{said}");
    assert!(said.contains("audit log") && said.contains("make room"), "{said}");
    assert_eq!(requests(&world, "DeleteSnapshot"), 0);

    // Broken between the call and its line: what happened is told, and it ends there.
    std::fs::remove_file(&path).expect("emptied");
    faults(&world, vec![slow(Some(1))]);
    let run = started(&world, &hash);
    about_to(&world).await;
    std::fs::rename(&path, path.with_extension("begun")).expect("moved");
    std::os::unix::fs::symlink("/dev/full", &path).expect("no file");
    let (code, _, said) = ended(run).await;
    assert_eq!((code, requests(&world, "DeleteSnapshot")), (1, 1), "{said}");
    let left = there(&world, "us-east-1", &[EMPTY, OLD, BOOT]).await;
    assert_eq!(left.len(), 2, "{left:?}");
    let gone = [EMPTY, OLD, BOOT].into_iter().find(|id| !left.contains(*id)).expect("one is gone");
    let line = said.lines().find(|line| line.starts_with("deleted")).unwrap_or_else(|| panic!("told: {said}"));
    assert!(line.contains(gone), "{said}");
    // Mended, the next run knows of it from its intent, and goes on.
    std::fs::remove_file(&path).expect("emptied");
    std::fs::rename(path.with_extension("begun"), &path).expect("back");
    let (code, report, said) = confirm(&world, &hash).await;
    assert_eq!((code, &report["removed"]), (0, &3.into()), "{said}");
    assert_eq!(requests(&world, "DeleteSnapshot"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_locked_or_whose_credentials_end_between_the_check_and_the_call_stays() {
    let world = World::calm().await;
    let hash = planned(&world, &[EMPTY, OLD, BOOT]).await;
    faults(&world, vec![slow(Some(1))]);
    let run = started(&world, &hash);
    about_to(&world).await;
    behind(&world, |here| {
        let since = jiff::Timestamp::now();
        let expires = since + jiff::SignedDuration::from_hours(24);
        let lock = Lock { state: "compliance".into(), since, days: 1, expires };
        // Whichever comes second or third.
        for id in [EMPTY, OLD, BOOT] {
            here.locks.insert(id.parse().expect("id"), lock.clone());
        }
    });
    let (code, report, said) = ended(run).await;
    let left = there(&world, "us-east-1", &[EMPTY, OLD, BOOT]).await;
    assert!(left.len() >= 2, "{left:?}");
    assert!(code == 3 || code == 1, "{code} {said}");
    for id in &left {
        let row = outcome(&report, id);
        assert_eq!((&row["outcome"], &row["code"]), (&"failed".into(), &"SnapshotLocked".into()), "{report}");
    }
    assert_eq!(report["removed"], 3 - left.len());

    let world = World::calm().await;
    let hash = planned(&world, &[EMPTY, OLD, BOOT]).await;
    let over = Fault::Refuse { status: 400, code: "RequestExpired".into(), reason: None, message: "over".into() };
    faults(&world, vec![Rule { skip: 1, ..Rule::of(over).on("DeleteSnapshot") }]);
    let (code, report, said) = confirm(&world, &hash).await;
    assert_eq!((code, &report["removed"], &report["failed"]), (3, &1.into(), &2.into()), "{said}");
    assert_eq!(there(&world, "us-east-1", &[EMPTY, OLD, BOOT]).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_brought_back_is_not_removed_again_by_the_same_plan() {
    let world = World::calm().await;
    let hash = planned(&world, &[EMPTY, OLD]).await;
    assert_eq!(confirm(&world, &hash).await.0, 0);
    let (code, _, said) = world.json(&["--region", "us-east-1", "restore", OLD, "-o", "json"]).await;
    assert_eq!(code, 0, "{said}");
    for turn in 0..2 {
        let (code, report, said) = confirm(&world, &hash).await;
        assert_eq!(code, 3, "{turn}: {said}");
        let why = outcome(&report, OLD)["reason"].as_str().unwrap_or_default().to_owned();
        assert!(why.contains("brought it back"), "{turn}: {report}");
        assert_eq!(requests(&world, "DeleteSnapshot"), 2, "{turn}");
    }
    assert_eq!(there(&world, "us-east-1", &[EMPTY, OLD]).await, set(&[OLD]));
    // A new plan may.
    let hash = planned(&world, &[OLD]).await;
    assert_eq!(confirm(&world, &hash).await.0, 0);
    assert_eq!(there(&world, "us-east-1", &[OLD]).await, set(&[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_of_one_plan_at_once_ask_for_each_thing_once() {
    let world = World::calm().await;
    let hash = planned(&world, &[EMPTY, OLD, BOOT]).await;
    faults(&world, vec![slow(None)]);
    let first = started(&world, &hash);
    about_to(&world).await;
    let (code, _, said) = ended(started(&world, &hash)).await;
    assert!(code == 5 && said.contains("another removal runs"), "{code} {said}");
    let (code, report, said) = ended(first).await;
    assert_eq!((code, &report["removed"]), (0, &3.into()), "{said}");
    assert_eq!(requests(&world, "DeleteSnapshot"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_others_wrote_stay_text_in_the_plan_and_in_the_log() {
    let world = World::calm().await;
    let evil = "web\u{1b}]0;gone\u{7}\u{1b}[2J\nsnap-0feed000000b00701 delete\u{202e}txt";
    behind(&world, |here| {
        let row = here.snapshots.get_mut(&OLD.parse().expect("id")).expect("it");
        std::sync::Arc::make_mut(&mut row.tags).insert("Name".into(), evil.into());
    });
    let hash = planned(&world, &[OLD]).await;
    let review = world.run(&["delete", "--plan", "plan.json", "--review"]).await;
    let text = String::from_utf8_lossy(&review.stdout).into_owned();
    assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
    assert_eq!(text.lines().filter(|line| line.contains(BOOT)).count(), 1, "no line of its own: {text}");
    assert!(text.lines().any(|line| line.contains(BOOT) && line.contains(OLD)), "{text}");
    let (code, report, said) = confirm(&world, &hash).await;
    assert_eq!((code, &report["removed"]), (0, &1.into()), "{said}");
    let audit = world.run(&["audit"]).await;
    let text = String::from_utf8_lossy(&audit.stdout).into_owned();
    assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
}

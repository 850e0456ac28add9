//! Removals as scripts meet them: plan, review, confirm; what AWS's own client finds afterwards; what the audit log says.

use std::collections::BTreeSet;
use std::process::Output;

use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::SnapshotState;
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::sandbox::model::{BinKind, Share};
use serde_json::Value;

use crate::support::World;

/// Small ones of us-east-1, where a rule of the Recycle Bin keeps snapshots and images for 14 days.
pub const EMPTY: &str = "snap-0feed000000e00000";
const FULL: &str = "snap-0feed000000f00101";
const BOOT: &str = "snap-0feed000000b00701";
pub const OLD: &str = "snap-02b8d94f6e1ac0375";
/// Of a disabled image.
const DB: &str = "snap-01c55a9e07b3d2f48";
const DB_IMAGE: &str = "ami-0c1d4e8855b0f77a2";
/// Shared with another account.
pub const SHARED: &str = "snap-01b7e2d90c4418a3f";
/// Attached to nothing.
const LOOSE: &str = "vol-04be9921d7c36f08a";
/// In eu-west-1, where no rule keeps anything.
const FINAL: &str = "eu-west-1:snap-0d4f0a2286bc17e59";

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Those of these snapshots of prod that AWS's own client still finds.
pub async fn there(world: &World, region: &str, ids: &[&str]) -> BTreeSet<String> {
    let wanted = aws_sdk_ec2::types::Filter::builder().name("snapshot-id");
    let wanted = wanted.set_values(Some(ids.iter().map(|id| (*id).to_owned()).collect())).build();
    let found = world.ec2("prod", region).describe_snapshots().filters(wanted).send().await.expect("snapshots");
    found.snapshots().iter().filter_map(|row| row.snapshot_id().map(str::to_owned)).collect()
}

pub fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

pub fn requests(world: &World, api: &str) -> u64 {
    world.running.sandbox.counters().picture().api(api).requests
}

/// Every operation that was asked for and changes something.
fn mutating(world: &World) -> Vec<String> {
    let reads = |api: &str| ["Describe", "List", "Get", "Head"].iter().any(|start| api.starts_with(start));
    world.running.sandbox.counters().picture().apis.into_keys().filter(|api| !reads(api)).collect()
}

/// Writes the plan of these, all unknowns accepted, and gives its short hash.
pub async fn planned(world: &World, more: &[&str]) -> String {
    let mut args = vec!["--region", "us-east-1", "delete", "--accept-unknown", "--out", "plan.json", "-o", "json"];
    args.extend(more);
    let (code, plan, said) = world.json(&args).await;
    assert_eq!(code, 0, "{said}");
    plan["plan"].as_str().expect("a hash").to_owned()
}

pub async fn confirm(world: &World, hash: &str) -> (i32, Value, String) {
    world.json(&["delete", "--plan", "plan.json", "--confirm", hash, "-o", "json"]).await
}

async fn audit(world: &World) -> Vec<Value> {
    let (code, lines, said) = world.json(&["audit", "-o", "json"]).await;
    assert_eq!(code, 0, "{said}");
    lines.as_array().expect("lines").clone()
}

fn events(lines: &[Value], id: &str) -> Vec<String> {
    let of = lines.iter().filter(|line| line["id"] == id);
    of.map(|line| format!("{} {}", line["event"].as_str().unwrap_or(""), line["call"].as_str().unwrap_or(""))).collect()
}

pub fn outcome<'a>(report: &'a Value, id: &str) -> &'a Value {
    report["items"].as_array().expect("items").iter().find(|row| row["id"] == id).expect("the item")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_a_plan_and_its_review_send_nothing_that_changes_anything() {
    let world = World::calm().await;
    let ids =
        ["--region", "us-east-1", "delete", EMPTY, LOOSE, DB_IMAGE, FINAL, "--with-snapshots", "--accept-unknown"];
    let output = world.run(&[&ids[..], &["--dry-run"]].concat()).await;
    assert_eq!(code(&output), 0, "{}", said(&output));
    let hash = planned(&world, &[EMPTY, LOOSE, FINAL, DB_IMAGE, "--with-snapshots"]).await;
    let review = world.run(&["delete", "--plan", "plan.json", "--review"]).await;
    let text = String::from_utf8_lossy(&review.stdout).into_owned();
    for words in [&hash, "FINAL: 2 cannot be brought back", "after ami-0c1d4e8855b0f77a2", "nothing has been removed"] {
        assert!(text.contains(words), "must say {words:?}: {text}");
    }
    let first = text.lines().position(|line| line.contains("FINAL ")).expect("a final row");
    let bin = text.lines().position(|line| line.contains(" bin")).expect("a row of the bin");
    assert!(first < bin, "what is final stands first: {text}");
    // What it saves is the sum of its rows, and nothing that has a price counts as nothing.
    let json = world.run(&["delete", "--plan", "plan.json", "--review", "-o", "json"]).await;
    let plan: serde_json::Value = serde_json::from_slice(&json.stdout).expect("one object");
    let sum = |label: &str| {
        let rows = plan["items"].as_array().expect("items").iter().map(|item| &item["judged"]);
        rows.filter(|judged| judged["frees"]["label"] == label).filter_map(|j| j["usd_per_month"].as_f64()).sum::<f64>()
    };
    let freed = &plan["summary"]["frees"];
    for (label, total) in [("exact", &freed["usd_exact"]), ("upper-bound", &freed["usd_at_most"])] {
        let total = total.as_f64().expect("dollars");
        assert!(total > 0.0 && (total - sum(label)).abs() < 0.001, "{label}: {total} of {}", sum(label));
    }
    assert_eq!(freed["unpriced"], 0);
    // Without a terminal, nobody is asked and nothing is done.
    let output = world.run(&ids).await;
    assert_eq!(code(&output), 5, "{}", said(&output));
    assert!(said(&output).contains("--out plan.json"), "{}", said(&output));
    assert_eq!(mutating(&world), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_plan_is_carried_out_and_each_thing_is_written_down() {
    let world = World::calm().await;
    let hash = planned(&world, &[EMPTY, OLD, SHARED, LOOSE, FINAL, DB_IMAGE, "--with-snapshots"]).await;

    let output = world.run(&["delete", "--plan", "plan.json", "--confirm", "0000-0000"]).await;
    assert_eq!(code(&output), 5, "{}", said(&output));
    assert_eq!(mutating(&world), Vec::<String>::new());

    let (code, report, said) = confirm(&world, &hash).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!((&report["removed"], &report["skipped"], &report["failed"]), (&6.into(), &1.into(), &0.into()));
    assert_eq!(there(&world, "us-east-1", &[EMPTY, OLD, SHARED, DB, BOOT]).await, set(&[SHARED, BOOT]));
    assert_eq!(there(&world, "eu-west-1", &["snap-0d4f0a2286bc17e59"]).await, set(&[]));
    let ec2 = world.ec2("prod", "us-east-1");
    let volume = ec2.describe_volumes().volume_ids(LOOSE).send().await.expect_err("gone");
    assert_eq!(volume.code(), Some("InvalidVolume.NotFound"));
    let image = ec2.describe_images().image_ids(DB_IMAGE).include_disabled(true).send().await.expect_err("gone");
    assert_eq!(image.code(), Some("InvalidAMIID.NotFound"));
    let bin = ec2.list_snapshots_in_recycle_bin().send().await.expect("the bin");
    let binned: BTreeSet<String> =
        bin.snapshots().iter().filter_map(|row| row.snapshot_id().map(str::to_owned)).collect();
    assert_eq!(binned, set(&[EMPTY, OLD, DB]));
    assert!(outcome(&report, SHARED)["reason"].as_str().is_some_and(|why| why.contains("998877665544")), "{report}");

    let lines = audit(&world).await;
    assert_eq!(events(&lines, EMPTY), ["intent ec2:DeleteSnapshot", "done ec2:DeleteSnapshot"]);
    assert_eq!(events(&lines, DB_IMAGE), ["intent ec2:DeregisterImage", "done ec2:DeregisterImage"]);
    assert_eq!(events(&lines, SHARED), Vec::<String>::new(), "what the plan skips is never tried");
    assert!(lines.iter().any(|line| line["event"] == "refused"), "the wrong hash is in it too");
    let done = lines.iter().find(|line| line["event"] == "done" && line["id"] == OLD).expect("a line");
    assert!(done["request_id"].as_str().is_some_and(|id| id.len() > 8), "{done}");
    assert!(done["who"].as_str().is_some_and(|who| who.contains(&hash)) && done["account"] == "123456789012", "{done}");
    assert!(
        done["evidence"].as_array().is_some_and(|rules| rules.len() > 2) && done["back_until"].is_string(),
        "{done}"
    );

    // It comes back as it was; a plan runs again only on what is there again.
    let (code, rows, said) = world.json(&["--region", "us-east-1", "restore", OLD, DB_IMAGE, DB, "-o", "json"]).await;
    assert_eq!((code, rows.as_array().map(Vec::len)), (0, Some(3)), "{said}");
    assert_eq!(there(&world, "us-east-1", &[EMPTY, OLD, DB]).await, set(&[OLD, DB]));
    let (code, rows, _) = world.json(&["--region", "us-east-1", "restore", FULL, "-o", "json"]).await;
    assert_eq!((code, &rows[0]["code"]), (1, &"InvalidSnapshot.NotFound".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_stops_nothing_and_is_not_called_deleted() {
    let refuse = |snapshot: &str, status, code: &str| Rule {
        api: Some("DeleteSnapshot".into()),
        snapshot: Some(snapshot.into()),
        ..Rule::of(Fault::Refuse { status, code: code.into(), reason: None, message: "no".into() })
    };
    let lost = Rule {
        api: Some("DeleteSnapshot".into()),
        snapshot: Some(OLD.into()),
        times: Some(1),
        ..Rule::of(Fault::ResetAfter)
    };
    let rules = vec![refuse(EMPTY, 400, "InvalidSnapshot.InUse"), lost];
    let world = World::with(Faults { rules, ..Faults::default() }).await;
    let hash = planned(&world, &[EMPTY, OLD, BOOT]).await;
    let (code, report, said) = confirm(&world, &hash).await;
    assert_eq!(code, 3, "{said}");
    assert_eq!(there(&world, "us-east-1", &[EMPTY, OLD, BOOT]).await, set(&[EMPTY]));
    let failed = outcome(&report, EMPTY);
    assert_eq!((&failed["outcome"], &failed["code"]), (&"failed".into(), &"InvalidSnapshot.InUse".into()));
    assert_eq!(requests(&world, "DeleteSnapshot"), 4, "one is refused once, one answer was lost");
    // The answer was lost, the work was done: whether it is there decides.
    assert_eq!(outcome(&report, OLD)["outcome"], "removed");
    assert_eq!(outcome(&report, BOOT)["outcome"], "removed");
    assert_eq!(events(&audit(&world).await, EMPTY), ["intent ec2:DeleteSnapshot", "failed ec2:DeleteSnapshot"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_since_the_plan_is_skipped_and_named() {
    let world = World::calm().await;
    let hash = planned(&world, &[EMPTY, OLD, BOOT, LOOSE]).await;
    {
        let mut model = world.running.sandbox.model_mut();
        let (account, region) = ("123456789012".parse().expect("id"), "us-east-1".parse().expect("region"));
        let here = model.region_mut(&account, &region).expect("a region");
        let shared = here.snapshots.get_mut(&OLD.parse().expect("id")).expect("it");
        shared.shared.push(Share::All);
        let tags = std::sync::Arc::make_mut(&mut here.snapshots.get_mut(&BOOT.parse().expect("id")).expect("it").tags);
        tags.insert("purge".into(), "yes".into());
        let instance = here.instances.keys().next().expect("an instance").clone();
        let volume = here.volumes.get_mut(&LOOSE.parse().expect("id")).expect("it");
        "in-use".clone_into(&mut volume.state);
        volume.attachments.push(floe::sandbox::model::Attachment {
            instance,
            device: "/dev/sdf".into(),
            since: jiff::Timestamp::now(),
            delete_on_termination: false,
        });
    }
    let (code, report, said) = confirm(&world, &hash).await;
    assert_eq!(code, 3, "{said}");
    let why = |id: &str| outcome(&report, id)["reason"].as_str().unwrap_or_default().to_owned();
    assert!(why(OLD).contains("shared"), "{}", why(OLD));
    assert!(why(BOOT).contains("no rule keeps it any more"), "{}", why(BOOT));
    assert!(why(LOOSE).contains("attached"), "{}", why(LOOSE));
    assert_eq!(there(&world, "us-east-1", &[EMPTY, OLD, BOOT]).await, set(&[OLD, BOOT]));
    assert_eq!((requests(&world, "DeleteSnapshot"), requests(&world, "DeleteVolume")), (1, 0));
    assert_eq!(events(&audit(&world).await, LOOSE), ["skipped "]);
    // The same question now gives another plan, and what differs is told.
    let ids = ["--region", "us-east-1", "delete", EMPTY, OLD, BOOT, LOOSE, "--accept-unknown"];
    let (code, all, _) = world.json(&[&ids[..], &["--compare", "plan.json", "-o", "json"]].concat()).await;
    assert_eq!(code, 3);
    let told = all.to_string();
    for id in [EMPTY, OLD, BOOT, LOOSE] {
        assert!(told.contains(id), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_use_managed_or_unknown_is_never_tried() {
    let world = World::calm().await;
    let ec2 = world.ec2("prod", "us-east-1");
    let all = ec2.describe_snapshots().owner_ids("self").send().await.expect("snapshots");
    let with = |key: &str| {
        let tagged = all.snapshots().iter().find(|row| row.tags().iter().any(|tag| tag.key() == Some(key)));
        tagged.and_then(|row| row.snapshot_id()).expect("one of the scenario").to_owned()
    };
    let (backup, dlm) = (with("aws:backup:source-resource"), with("aws:dlm:lifecycle-policy-id"));
    let args = [
        "--region",
        "us-east-1",
        "delete",
        &backup,
        &dlm,
        DB,
        "snap-0abc1234",
        "--accept-unknown",
        "-o",
        "json",
        "--dry-run",
    ];
    let (_, plan, _) = world.json(&args).await;
    assert_eq!(plan["summary"]["removed"], 0);
    let why = |id: &str| {
        let items = plan["items"].as_array().expect("items").iter();
        items.clone().find(|row| row["target"] == *id).expect("it")["would"].to_string()
    };
    assert!(why(&backup).contains("AWS Backup") && why(&dlm).contains("Data Lifecycle Manager"), "{plan}");
    assert!(why(DB).contains(DB_IMAGE), "a disabled image holds it all the same: {plan}");
    assert!(why("snap-0abc1234").contains("gone"), "{plan}");
    // The backup of a volume that is there goes when somebody names it; what is unknown is left alone unless that is
    // accepted.
    let dry = ["--region", "us-east-1", "delete", EMPTY, "--dry-run", "-o", "json"];
    let (_, plan, _) = world.json(&dry).await;
    assert_eq!(plan["summary"]["removed"], 1, "{plan}");
    let rule = Rule { api: Some("DescribeLaunchTemplateVersions".into()), ..Rule::of(Fault::Deny) };
    world.running.sandbox.set_faults(Faults { rules: vec![rule], ..Faults::default() });
    let (_, plan, _) = world.json(&dry).await;
    assert_eq!(plan["items"][0]["would"]["why"], "unknown", "{plan}");
    assert!(plan["items"][0]["would"].to_string().contains("ec2:DescribeLaunchTemplateVersions"), "{plan}");
    let (_, plan, _) = world.json(&[&dry[..], &["--accept-unknown"]].concat()).await;
    assert_eq!(plan["summary"]["removed"], 1, "{plan}");
    // A describe that fails makes no plan at all: no answer is not "not found".
    let rule = Rule { api: Some("DescribeImages".into()), ..Rule::of(Fault::Deny) };
    world.running.sandbox.set_faults(Faults { rules: vec![rule], ..Faults::default() });
    let output = world.run(&["--region", "us-east-1", "delete", EMPTY, "--accept-unknown", "--dry-run"]).await;
    assert_eq!(code(&output), 1, "{}", said(&output));
    assert!(said(&output).contains("images"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_call_and_the_log_the_next_run_says_what_is_known() {
    for point in ["removal-intent", "removal-answered"] {
        let world = World::calm().await;
        let hash = planned(&world, &[EMPTY, OLD, BOOT]).await;
        let mut run = world.floe(&["delete", "--plan", "plan.json", "--confirm", &hash]);
        run.env("FLOE_CRASH_AT", format!("{point}:2"));
        let status = tokio::task::spawn_blocking(move || run.status().expect("runs")).await.expect("ends");
        assert!(!status.success(), "{point}: it was killed");
        let lines = audit(&world).await;
        let intents = lines.iter().filter(|line| line["event"] == "intent").count();
        let done = lines.iter().filter(|line| line["event"] == "done").count();
        assert_eq!((intents, done), (2, 1), "{point}: the log says what was about to happen");
        let (code, report, said) = confirm(&world, &hash).await;
        assert_eq!(code, 0, "{point}: {said}");
        assert_eq!(report["removed"], 3, "{point}: {report}");
        assert_eq!(there(&world, "us-east-1", &[EMPTY, OLD, BOOT]).await, set(&[]), "{point}");
        assert_eq!(requests(&world, "DeleteSnapshot"), 3, "{point}: nothing is asked for twice");
        assert!(report.to_string().contains("by an earlier run"), "{point}: {report}");
    }
}

/// Builds before this one named a plan by the first eight digits of its hash.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_an_older_build_began_goes_on_where_that_ended() {
    let world = World::calm().await;
    let hash = planned(&world, &[EMPTY, OLD, BOOT]).await;
    let mut run = world.floe(&["delete", "--plan", "plan.json", "--confirm", &hash]);
    run.env("FLOE_CRASH_AT", "removal-answered:2");
    let status = tokio::task::spawn_blocking(move || run.status().expect("runs")).await.expect("ends");
    assert!(!status.success(), "it was killed");
    let names: BTreeSet<String> =
        audit(&world).await.iter().filter_map(|line| line["plan"].as_str().map(str::to_owned)).collect();
    let [name] = Vec::from_iter(names).try_into().expect("one plan");
    assert_eq!(name.len(), "7f3a-91c0-5e2d-0b17".len());
    let path = world.path(".local/state/floe/audit.ndjson");
    let lines = std::fs::read_to_string(&path).expect("the log");
    std::fs::write(&path, lines.replace(&name, &name[.."7f3a-91c0".len()])).expect("as an older build wrote it");
    let (code, report, said) = confirm(&world, &hash).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(report["removed"], 3, "{report}");
    assert!(report.to_string().contains("by an earlier run"), "{report}");
    assert_eq!(requests(&world, "DeleteSnapshot"), 3, "nothing is asked for twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_limits_age_and_an_edited_file_are_refused_and_written_down() {
    let world = World::calm().await;
    let hash = planned(&world, &[EMPTY, OLD]).await;
    let mut run = world.floe(&["delete", "--plan", "plan.json", "--confirm", &hash]);
    run.env("FLOE_READ_ONLY", "1");
    let output = tokio::task::spawn_blocking(move || run.output().expect("runs")).await.expect("ends");
    assert_eq!(code(&output), 5, "{}", said(&output));
    assert!(said(&output).contains("FLOE_READ_ONLY"), "{}", said(&output));

    let path = world.path("plan.json");
    let text = std::fs::read_to_string(&path).expect("the plan");
    std::fs::write(&path, text.replace(OLD, BOOT)).expect("edited");
    let output = world.run(&["delete", "--plan", "plan.json", "--confirm", &hash]).await;
    assert_eq!(code(&output), 5, "an edited plan is another plan: {}", said(&output));

    let mut old: Value = serde_json::from_str(&text).expect("JSON");
    old["made"] = "2026-01-01T00:00:00Z".into();
    std::fs::write(&path, old.to_string()).expect("written");
    let (_, plan, _) = world.json(&["delete", "--plan", "plan.json", "--review", "-o", "json"]).await;
    let stale = plan["plan"].as_str().expect("a hash").to_owned();
    assert_ne!(stale, hash, "the hash is of all of it");
    let output = world.run(&["delete", "--plan", "plan.json", "--confirm", &stale]).await;
    assert_eq!(code(&output), 5, "{}", said(&output));
    assert!(said(&output).contains("within 24 hours"), "{}", said(&output));

    std::fs::write(world.path("config.toml"), "max_delete = 1\n").expect("a config");
    let output = world
        .run(&[
            "--config",
            "config.toml",
            "--region",
            "us-east-1",
            "delete",
            EMPTY,
            OLD,
            "--accept-unknown",
            "--dry-run",
        ])
        .await;
    assert_eq!(code(&output), 5, "{}", said(&output));
    assert!(said(&output).contains("max_delete"), "{}", said(&output));
    assert_eq!(mutating(&world), Vec::<String>::new());
    let lines = audit(&world).await;
    assert_eq!(lines.iter().filter(|line| line["event"] == "refused").count(), 3, "{lines:?}");
    let (_, some, _) = world.json(&["audit", "--filter", "state:refused read-only", "-o", "json"]).await;
    assert_eq!(some.as_array().map(Vec::len), Some(1), "{some}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_proved_before_its_snapshot_goes_and_without_it_the_snapshot_stays() {
    let world = World::calm().await;
    let hash = planned(&world, &[BOOT, "--archive-to", "s3://floe-vault-us-east-1/gone/"]).await;
    let deny = Rule { api: Some("PutObject".into()), ..Rule::of(Fault::Deny) };
    world.running.sandbox.set_faults(Faults { rules: vec![deny], ..Faults::default() });
    let (code, report, said) = confirm(&world, &hash).await;
    assert_eq!(code, 1, "{said}");
    assert!(report.to_string().contains("so it stays"), "{report}");
    assert_eq!(there(&world, "us-east-1", &[BOOT]).await, set(&[BOOT]));
    assert_eq!(requests(&world, "DeleteSnapshot"), 0);

    // The very plan goes on: what was interrupted is finished, read back, and only then the snapshot goes.
    world.running.sandbox.set_faults(Faults::default());
    let before = world.contents("prod", "us-east-1", BOOT).await;
    let (code, report, said) = confirm(&world, &hash).await;
    assert_eq!((code, &report["removed"]), (0, &1.into()), "{said}");
    assert_eq!(there(&world, "us-east-1", &[BOOT]).await, set(&[]));
    let copied = world
        .json(&[
            "copy",
            &format!("s3://floe-vault-us-east-1/gone/{BOOT}/"),
            "us-west-2:",
            "--yes",
            "--foreground",
            "-o",
            "json",
        ])
        .await;
    let made = copied.1["destinations"][0]["address"].as_str().expect("a snapshot").to_owned();
    let id = made.rsplit(':').next().expect("an id").trim_end_matches('+').to_owned();
    assert_eq!(world.contents("prod", "us-west-2", &id).await, before, "the archive holds every block");
}

/// Ctrl-C of the real binary while it makes archives: they are put down, nothing is deleted, and the same plan goes on.
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_puts_archives_down_and_the_same_plan_goes_on() {
    use std::process::Stdio;

    let world = World::calm().await;
    let hash = planned(&world, &[BOOT, "--archive-to", "s3://floe-vault-us-east-1/gone/"]).await;
    let before = world.contents("prod", "us-east-1", BOOT).await;
    let hang = Rule { api: Some("PutObject".into()), ..Rule::of(Fault::Hang) };
    world.running.sandbox.set_faults(Faults { rules: vec![hang], ..Faults::default() });
    let mut floe = world.floe(&["delete", "--plan", "plan.json", "--confirm", &hash, "-o", "json"]);
    let child = floe.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("floe runs");
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    let begun = std::time::Instant::now();
    while requests(&world, "PutObject") == 0 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(120), "no archive was begun");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("an interrupt");
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().expect("it ends")).await.expect("it ends");
    assert_eq!(code(&ended), 4, "stopped and resumable: {}", said(&ended));
    let report: Value = serde_json::from_slice(&ended.stdout).expect("a report");
    assert_eq!((&report["removed"], &report["not_tried"]), (&0.into(), &1.into()), "{report}");
    assert!(report.to_string().contains("the same plan goes on"), "{report}");
    assert!(said(&ended).contains("Stopping"), "{}", said(&ended));
    assert_eq!(there(&world, "us-east-1", &[BOOT]).await, set(&[BOOT]));
    assert_eq!(requests(&world, "DeleteSnapshot"), 0);
    let (_, jobs, _) = world.json(&["jobs", "ls", "-o", "json"]).await;
    assert_eq!((jobs.as_array().map(Vec::len), &jobs[0]["state"]), (Some(1), &"paused".into()), "{jobs}");
    assert_eq!(events(&audit(&world).await, BOOT), ["skipped "]);

    world.running.sandbox.set_faults(Faults::default());
    let (code, report, said) = confirm(&world, &hash).await;
    assert_eq!((code, &report["removed"]), (0, &1.into()), "{said}");
    assert!(said.contains("job 1"), "it says how far its archive is: {said}");
    assert_eq!(there(&world, "us-east-1", &[BOOT]).await, set(&[]));
    let (_, jobs, _) = world.json(&["jobs", "ls", "-o", "json"]).await;
    assert_eq!((jobs.as_array().map(Vec::len), &jobs[0]["state"]), (Some(1), &"done".into()), "{jobs}");
    assert!(!before.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_for_archives_that_does_not_exist_is_named_with_its_code() {
    let world = World::calm().await;
    let to = ["--archive-to", "s3://no-such-vault-of-ours/gone/"];
    let output = world.run(&[&["--region", "us-east-1", "delete", BOOT, "--out", "plan.json"][..], &to].concat()).await;
    let said = said(&output);
    assert_ne!(code(&output), 0, "{said}");
    for words in ["there is no bucket no-such-vault-of-ours", "NoSuchBucket", "floe makes no buckets"] {
        assert!(said.contains(words), "must say {words:?}: {said}");
    }
    assert!(!world.path("plan.json").exists(), "there is no plan");
}

/// Eight digits of a hash are found for another file in an afternoon.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_confirmed_with_64_bits_of_its_hash_at_least() {
    let world = World::calm().await;
    let hash = planned(&world, &[EMPTY]).await;
    assert_eq!(hash.chars().filter(char::is_ascii_hexdigit).count(), 16, "{hash}");
    let (code, _, said) = confirm(&world, &hash[..9]).await;
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("that is too little of it"), "{said}");
    assert_eq!(requests(&world, "DeleteSnapshot"), 0);
    let (code, report, said) = confirm(&world, &hash.replace('-', "").to_uppercase()).await;
    assert_eq!((code, &report["removed"]), (0, &1.into()), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_a_volume_is_whole_before_the_volume_goes() {
    let world = World::calm().await;
    let hash = planned(&world, &[LOOSE, "--snapshot-first"]).await;
    let (code, report, said) = confirm(&world, &hash).await;
    assert_eq!((code, &report["removed"]), (0, &1.into()), "{said}");
    let mark = aws_sdk_ec2::types::Filter::builder().name("tag:floe:removal").values(format!("{hash}/{LOOSE}")).build();
    let made = world.ec2("prod", "us-east-1").describe_snapshots().filters(mark).send().await.expect("snapshots");
    let [made] = made.snapshots() else { panic!("one snapshot of it") };
    assert_eq!((made.state(), made.volume_id()), (Some(&SnapshotState::Completed), Some(LOOSE)));
    let lines = audit(&world).await;
    let calls =
        ["intent ec2:CreateSnapshot", "done ec2:CreateSnapshot", "intent ec2:DeleteVolume", "done ec2:DeleteVolume"];
    assert_eq!(events(&lines, LOOSE), calls);

    // One that fails keeps its volume.
    let world = World::calm().await;
    let hash = planned(&world, &[LOOSE, "--snapshot-first"]).await;
    let fail = Rule { api: Some("CreateSnapshot".into()), ..Rule::of(Fault::FailLater) };
    world.running.sandbox.set_faults(Faults { rules: vec![fail], ..Faults::default() });
    let (code, report, _) = confirm(&world, &hash).await;
    assert_eq!((code, requests(&world, "DeleteVolume")), (1, 0), "{report}");
    assert!(report.to_string().contains("the volume stays"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_refuses_what_ec2_refuses() {
    let world = World::calm().await;
    let ec2 = world.ec2("prod", "us-east-1");
    let attached = aws_sdk_ec2::types::Filter::builder().name("status").values("in-use").build();
    let volumes = ec2.describe_volumes().filters(attached).send().await.expect("volumes");
    let attached = volumes.volumes()[0].volume_id().expect("an id");
    let refused = ec2.delete_volume().volume_id(attached).send().await.expect_err("attached");
    assert_eq!(refused.code(), Some("VolumeInUse"));
    let dry = ec2.delete_volume().volume_id(LOOSE).dry_run(true).send().await.expect_err("a dry run");
    assert_eq!(dry.code(), Some("DryRunOperation"));
    assert_eq!(ec2.describe_volumes().volume_ids(LOOSE).send().await.expect("it stays").volumes().len(), 1);
    let dry = ec2.create_snapshot().volume_id(LOOSE).dry_run(true).send().await.expect_err("a dry run");
    assert_eq!(dry.code(), Some("DryRunOperation"));
    let missing = ec2.create_snapshot().volume_id("vol-0abc1234").send().await.expect_err("none");
    assert_eq!(missing.code(), Some("InvalidVolume.NotFound"));
    let held = ec2.delete_snapshot().snapshot_id(DB).send().await.expect_err("an image has it");
    assert_eq!(held.code(), Some("InvalidSnapshot.InUse"));
    let none = ec2.restore_snapshot_from_recycle_bin().snapshot_id(EMPTY).send().await.expect_err("not in the bin");
    assert_eq!(none.code(), Some("InvalidSnapshot.NotFound"));

    // An image in the bin comes back only when its snapshots are there.
    ec2.deregister_image().image_id(DB_IMAGE).delete_associated_snapshots(true).send().await.expect("deregistered");
    let bin = ec2.list_images_in_recycle_bin().send().await.expect("the bin");
    assert_eq!(bin.images()[0].image_id(), Some(DB_IMAGE));
    assert!(bin.images()[0].recycle_bin_exit_time() > bin.images()[0].recycle_bin_enter_time());
    let early = ec2.restore_image_from_recycle_bin().image_id(DB_IMAGE).send().await.expect_err("its snapshot is gone");
    assert_eq!(early.code(), Some("InvalidSnapshot.NotFound"));
    ec2.restore_snapshot_from_recycle_bin().snapshot_id(DB).send().await.expect("back");
    ec2.restore_image_from_recycle_bin().image_id(DB_IMAGE).send().await.expect("back");

    // What the bin has kept long enough is gone for good.
    ec2.delete_snapshot().snapshot_id(EMPTY).send().await.expect("deleted");
    world.running.sandbox.set_faults(Faults { advance_ms: 15 * 86_400_000, ..Faults::default() });
    let bin = ec2.list_snapshots_in_recycle_bin().send().await.expect("the bin");
    assert_eq!(bin.snapshots().len(), 0);
    let late = ec2.restore_snapshot_from_recycle_bin().snapshot_id(EMPTY).send().await.expect_err("too late");
    assert_eq!(late.code(), Some("InvalidSnapshot.NotFound"));
    let model = world.running.sandbox.model();
    let rules = model.accounts.values().flat_map(|account| account.regions.values());
    assert!(rules.flat_map(|region| &region.settings.bin_rules).any(|rule| rule.keeps == BinKind::Images));
}

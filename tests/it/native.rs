//! Native copies: AWS copies, floe asks once, watches, compares and tidies up.

use std::io::BufRead as _;

use floe::sandbox::faults::{Fault, Faults, Rule};

use crate::support::{WEB_DATA, World};

/// 64 blocks, encrypted.
const BOOT: &str = "snap-0feed000000b00701";

fn requests(world: &World, api: &str) -> u64 {
    world.running.sandbox.counters().picture().api(api).requests
}

fn quick() -> Faults {
    Faults { copying_ms: 20, completing_ms: 0, ..Faults::default() }
}

fn native<'a>(source: &'a str, to: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["copy", source];
    args.extend(to);
    args.extend(["--strategy", "native", "--yes", "--foreground", "-o", "json"]);
    args
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_copy_is_asked_for_once_watched_and_compared() {
    let world = World::with(quick()).await;
    let source = format!("us-east-1:{WEB_DATA}");
    let output = world.run(&native(&source, &["us-west-2:"])).await;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8_lossy(&output.stdout);
    let json: serde_json::Value = serde_json::from_str(told.lines().last().unwrap_or_default()).expect("a result");
    assert_eq!((json["state"].as_str(), json["destinations"][0]["strategy"].as_str()), (Some("done"), Some("native")));
    assert_eq!(json["destinations"][0]["evidence"], "service");
    assert!(told.contains("no block was read"), "what was compared is said: {told}");
    assert_eq!(requests(&world, "CopySnapshot"), 1);
    for api in ["GetSnapshotBlock", "PutSnapshotBlock", "StartSnapshot", "ListSnapshotBlocks"] {
        assert_eq!(requests(&world, api), 0, "{api}: no block passes floe");
    }
    let made = world.made_by_floe("prod", "us-west-2").await;
    let id = made[0].snapshot_id().expect("an id");
    assert_eq!(world.contents("prod", "us-west-2", id).await, world.contents("prod", "us-east-1", WEB_DATA).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_destinations_by_aws_and_others_directly_in_one_job() {
    let world = World::with(quick()).await;
    let source = format!("us-east-1:{BOOT}");
    let (code, json, stderr) = world.json(&native(&source, &["us-west-2:", "./boot.img"])).await;
    assert_eq!(code, 0, "{stderr}");
    let ways: Vec<_> = (0..2).map(|at| json["destinations"][at]["strategy"].as_str().unwrap_or_default()).collect();
    assert_eq!(ways, ["native", "direct"]);
    let truth = world.contents("prod", "us-east-1", BOOT).await;
    crate::support::assert_image(&world.path("boot.img"), 1, &truth);
    let made = world.made_by_floe("prod", "us-west-2").await;
    assert_eq!(world.contents("prod", "us-west-2", made[0].snapshot_id().expect("an id")).await, truth);
    assert_eq!(requests(&world, "PutSnapshotBlock"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_copy_that_fails_later_says_why_and_leaves_no_husk() {
    let world = World::with(Faults { rules: vec![Rule::of(Fault::FailLater).on("CopySnapshot")], ..quick() }).await;
    let source = format!("us-east-1:{BOOT}");
    let (code, json, stderr) = world.json(&native(&source, &["us-west-2:"])).await;
    assert_eq!(code, 1, "{stderr}");
    assert_eq!(json["state"], "failed");
    for word in ["Given key ID is not accessible", "the empty snapshot was removed", "kms:CreateGrant"] {
        assert!(stderr.contains(word), "{word}: {stderr}");
    }
    assert!(world.made_by_floe("prod", "us-west-2").await.is_empty(), "the husk is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_native_copy_finds_its_copy_and_starts_no_second() {
    for point in ["start-answered", "start-journaled", "checking"] {
        let world = World::with(quick()).await;
        let source = format!("us-east-1:{WEB_DATA}");
        let mut command = world.floe(&native(&source, &["us-west-2:"]));
        command.env("FLOE_CRASH_AT", point);
        let killed = tokio::task::spawn_blocking(move || command.output().expect("floe runs")).await.expect("it ends");
        assert_eq!(killed.status.code(), None, "{point}: a signal ended it");
        let (code, json, stderr) = world.json(&["jobs", "resume", "1", "--foreground", "-o", "json"]).await;
        assert_eq!((code, json["state"].as_str()), (0, Some("done")), "{point}: {stderr}");
        assert_eq!(requests(&world, "CopySnapshot"), 1, "{point}");
        assert_eq!(world.made_by_floe("prod", "us-west-2").await.len(), 1, "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_copy_snapshot_makes_no_second_copy() {
    let world =
        World::with(Faults { rules: vec![Rule::of(Fault::ResetAfter).on("CopySnapshot").times(1)], ..quick() }).await;
    let source = format!("us-east-1:{WEB_DATA}");
    let (code, _, stderr) = world.json(&native(&source, &["us-west-2:"])).await;
    assert_eq!(code, 0, "{stderr}");
    assert_eq!((requests(&world, "CopySnapshot"), world.made_by_floe("prod", "us-west-2").await.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn native_copies_beyond_twenty_wait_for_their_turn() {
    let limited = Fault::Refuse {
        status: 400,
        code: "ResourceLimitExceeded".into(),
        reason: None,
        message: "Too many snapshot copies in progress. The limit is 20 for this destination region.".into(),
    };
    let world = World::with(Faults { rules: vec![Rule::of(limited).on("CopySnapshot").times(1)], ..quick() }).await;
    let source = format!("us-east-1:{WEB_DATA}");
    let mut child = world.floe(&native(&source, &["us-west-2:"])).spawn().expect("floe runs");
    let told = child.stdout.take().expect("its stdout");
    let queued = tokio::task::spawn_blocking(move || {
        let mut lines = std::io::BufReader::new(told).lines().map_while(Result::ok);
        lines.find(|line| line.contains("queued:"))
    });
    let queued = queued.await.expect("read").expect("it is queued");
    assert!(queued.contains("Too many snapshot copies in progress"), "{queued}");
    child.kill().expect("killed");
    child.wait().expect("waited");
    // A clear refusal started nothing: whoever goes on asks at once and does not look for a lost copy first.
    let (code, _, stderr) = world.json(&["jobs", "resume", "1", "--foreground", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    assert_eq!((requests(&world, "CopySnapshot"), world.made_by_floe("prod", "us-west-2").await.len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_copied_natively_is_refused_or_copied_directly_with_the_reason() {
    let world = World::with(quick()).await;
    let source = format!("us-east-1:{BOOT}");
    let args = ["plan", &source, "us-west-2:", "--strategy", "native", "--allow-decrypt"];
    let refused = world.run(&args).await;
    let said = String::from_utf8_lossy(&refused.stdout).into_owned() + &String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("CopySnapshot never decrypts"), "{said}");
    let refused = world.run(&[&["copy"], &args[1..], &["--yes"]].concat()).await;
    assert_eq!(refused.status.code(), Some(5), "{}", String::from_utf8_lossy(&refused.stderr));
    // Another account's, which it has not shared.
    let refused = world.run(&["copy", &source, "dr@us-west-2:", "--strategy", "native", "--yes"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(5) && said.contains("has to be shared"), "{said}");
    let (_, json, _) = world.json(&["plan", &source, "us-west-2:", "--strategy", "auto", "-o", "json"]).await;
    assert_eq!(json["destinations"][0]["strategy"], "native", "the cheaper one: {json}");
    assert_eq!(requests(&world, "CopySnapshot"), 0);
}

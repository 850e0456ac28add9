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

#[tokio::test(flavor = "multi_thread")]
async fn a_time_for_aws_is_asked_priced_and_refused_where_it_is_too_short() {
    let world = World::with(Faults { copying_ms: 30_000, ..quick() }).await;
    let source = format!("us-east-1:{WEB_DATA}");
    let (code, json, stderr) =
        world.json(&["plan", &source, "us-west-2:", "--complete-within", "45m", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(json["destinations"][0]["strategy"], "native", "the time implies it");
    let parts = json["cost"]["parts"].as_array().expect("a bill");
    let timed = parts.iter().find(|part| part["name"].as_str().is_some_and(|name| name.contains("time-based")));
    let timed = timed.expect("a line for the time");
    let (gib, usd) = (timed["quantity"].as_f64().expect("GiB"), timed["usd"].as_f64().expect("dollars"));
    assert!((usd - gib * 0.018).abs() < 1e-9, "{timed}");
    assert_eq!(json["time"]["high_seconds"], 2700.0);
    let chosen: Vec<_> =
        json["alternatives"].as_array().expect("ways").iter().map(|way| way["chosen"].clone()).collect();
    assert_eq!(chosen, [false, false, true]);

    // 15 TiB in a quarter of an hour.
    let large = "us-east-1:snap-01c55a9e07b3d2f48";
    let refused = world.run(&["copy", large, "us-west-2:", "--complete-within", "15m", "--yes"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(5), "{said}");
    for word in ["cannot be copied within 15 m", "500 MiB a second", "take 8 h 45 m", "--complete-within 8h45m or more"]
    {
        assert!(said.contains(word), "{word}: {said}");
    }
    for wrong in [["--complete-within", "20m"].as_slice(), &["--complete-within", "1h", "--strategy", "direct"]] {
        let refused = world.run(&[&["plan", &source, "us-west-2:"], wrong].concat()).await;
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}: {}", String::from_utf8_lossy(&refused.stderr));
    }
    assert_eq!(requests(&world, "CopySnapshot"), 0);

    let mut child =
        world.floe(&["copy", &source, "us-west-2:", "--complete-within", "45m", "--yes"]).spawn().expect("floe");
    let asked = loop {
        if let Some(row) = world.made_by_floe("prod", "us-west-2").await.first() {
            break row.clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(
        (asked.transfer_type().map(|kind| kind.as_str()), asked.completion_duration_minutes()),
        (Some("time-based"), Some(45))
    );
    child.kill().expect("killed");
    child.wait().expect("waited");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_copy_is_a_base_and_says_on_whose_word() {
    let world = World::with(quick()).await;
    let first = crate::chains::grown(&world, "us-west-2", None, 1, &[(0, 1), (9, 9)]).await;
    let second = crate::chains::grown(&world, "us-west-2", Some(&first), 1, &[(9, 8), (2047, 3)]).await;
    let (code, json, stderr) = world.json(&native(&format!("us-west-2:{first}"), &["eu-west-1:"])).await;
    assert_eq!(code, 0, "{stderr}");
    let address = json["destinations"][0]["address"].as_str().expect("an address");
    let copy = address.rsplit(':').next().expect("an id").to_owned();
    let record = world.path(&format!(".local/state/floe/copies/{copy}-eu-west-1.json"));
    let record = std::fs::read_to_string(record).expect("a record");
    assert!(record.contains("\"service\""), "AWS is the witness, not floe: {record}");
    let delta = format!("us-west-2:{first}..{second}");
    let (code, json, stderr) =
        world.json(&["copy", &delta, &format!("eu-west-1:{copy}+"), "--yes", "--foreground", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("AWS copied it itself; it completed, and no block was read"), "{stderr}");
    let address = json["destinations"][0]["address"].as_str().expect("an address");
    let made = world.contents("prod", "eu-west-1", address.rsplit(':').next().expect("an id")).await;
    let truth = world.contents("prod", "us-west-2", &second).await;
    assert_eq!(crate::chains::without_zeros(&made), crate::chains::without_zeros(&truth));
}

//! The guards of `tests/traps.md` that no test of a single room shows: each is driven into its trap, with the real
//! binary, and has to come out right or refuse with a sentence.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_ec2::types::SnapshotState;
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::sandbox::model::{RegionState, Snapshot};

use crate::chains::grown;
use crate::support::{BLOCK, Contents, World, assert_image, disk, put, sha256};

/// Encrypted, 64 blocks in a volume of 1 GiB.
const BOOT: &str = "snap-0feed000000b00701";
/// Nothing at all in a volume of 1 GiB.
const EMPTY: &str = "snap-0feed000000e00000";
/// A region whose account does not encrypt by default.
const PLAIN: &str = "us-west-2";

fn text(output: &Output) -> (i32, String) {
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[track_caller]
fn refused(output: &Output, wanted: i32, words: &[&str]) {
    let (code, said) = text(output);
    assert_eq!(code, wanted, "{said}");
    words.iter().for_each(|word| assert!(said.contains(word), "must say {word:?}: {said}"));
}

fn id_of(destination: &serde_json::Value) -> String {
    let address = destination["address"].as_str().expect("an address");
    address.rsplit(':').next().expect("an id").to_owned()
}

/// Requests of that operation so far.
fn requests(world: &World, api: &str) -> u64 {
    world.running.sandbox.counters().picture().api(api).requests
}

/// Looks at one region of `prod`, or changes something there, behind everybody's back.
fn behind<T>(world: &World, region: &str, act: impl FnOnce(&mut RegionState) -> T) -> T {
    let sandbox = &world.running.sandbox;
    let prod = sandbox.profiles().into_iter().find(|keys| keys.name.as_str() == "prod").expect("prod");
    let mut model = sandbox.model_mut();
    act(model.region_mut(&prod.account, &region.parse().expect("a region")).expect("the region"))
}

fn made_by_floe(snapshot: &Snapshot) -> bool {
    snapshot.tags.keys().any(|key| key.starts_with("floe:"))
}

/// Asks until there is an answer; the test fails when none comes.
async fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it did not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What is not completed may lie about; what is completed must be whole.
async fn assert_none_completed(world: &World, region: &str) {
    let made = world.made_by_floe("prod", region).await;
    assert!(made.iter().all(|snapshot| snapshot.state() != Some(&SnapshotState::Completed)), "{made:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_offered_is_refused_with_a_sentence() {
    let world = World::calm().await;
    let boot = format!("us-east-1:{BOOT}");
    for (args, words) in [
        (vec![&boot, "us-east-1:ami-0c1d4e8855b0f77a2"], ["is a source, not a destination", "a new snapshot is"]),
        (vec!["/dev/zero", "eu-west-1:"], ["neither a file", "nor a block device"]),
    ] {
        for verb in ["plan", "copy"] {
            let mut all = vec![verb];
            all.extend(&args);
            refused(&world.run(&all).await, 2, &words);
        }
    }
    let full = world.run(&["copy", &boot, "/dev/full", "--yes", "--force"]).await;
    refused(&full, 5, &["/dev/full` is neither a file", "nor a device"]);
    assert!(!world.path("out.img").exists());
    assert_eq!(requests(&world, "StartSnapshot"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_whole_is_refused_as_a_source() {
    let world = World::calm().await;
    let (mut archived, mut broken) = (None, None);
    for region in ["us-east-1", "eu-west-1", PLAIN, "eu-central-1", "ap-southeast-2", "sa-east-1"] {
        behind(&world, region, |state| {
            for snapshot in state.snapshots.values() {
                let address = format!("{region}:{}", snapshot.id);
                match (&snapshot.state, snapshot.tier) {
                    (floe::sandbox::model::SnapshotState::Error(_), _) => broken = Some(address),
                    (_, floe::sandbox::model::Tier::Archive) => archived = Some(address),
                    _ => {}
                }
            }
        });
    }
    let (archived, broken) = (archived.expect("one in the archive tier"), broken.expect("one in error"));
    refused(&world.run(&["plan", &archived, "null:"]).await, 5, &["archive tier", "restore-snapshot-tier"]);
    refused(&world.run(&["plan", &broken, "null:"]).await, 5, &["only completed snapshots can be read"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn zero_blocks_of_a_snapshot_are_written_whatever_may_be_omitted() {
    let world = World::calm().await;
    let id = disk(&world, PLAIN, &[(0, 7), (5, 0), (2047, 0)]).await;
    let args = ["copy", &format!("{PLAIN}:{id}"), "us-west-2:", "--omit-zeros", "all", "--yes", "-o", "json"];
    let (code, json, stderr) = world.json(&args).await;
    assert_eq!(code, 0, "{stderr}");
    let zeros = sha256(&vec![0; BLOCK]);
    let wanted = Contents::from([(0, sha256(&vec![7; BLOCK])), (5, zeros), (2047, zeros)]);
    assert_eq!(world.contents("prod", PLAIN, &id_of(&json["destinations"][0])).await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_file_keeps_nothing_of_what_was_there() {
    let world = World::calm().await;
    let id = disk(&world, PLAIN, &[(1, 7), (9, 0)]).await;
    std::fs::write(world.path("old.img"), vec![0xEE; 16 * BLOCK]).expect("an old file");
    let args = ["copy", &format!("{PLAIN}:{id}"), "old.img", "--force", "--yes"];
    let output = world.run(&args).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output).1);
    let zeros = sha256(&vec![0; BLOCK]);
    assert_image(&world.path("old.img"), 1, &Contents::from([(1, sha256(&vec![7; BLOCK])), (9, zeros)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_snapshot_becomes_a_whole_empty_disk() {
    let world = World::calm().await;
    let args = ["copy", &format!("us-east-1:{EMPTY}"), "eu-west-1:", "empty.img", "--yes", "-o", "json"];
    let (code, json, stderr) = world.json(&args).await;
    assert_eq!(code, 0, "{stderr}");
    assert_eq!((&json["state"], &json["blocks"]), (&"done".into(), &0.into()));
    assert_eq!(std::fs::metadata(world.path("empty.img")).expect("the image").len(), 1 << 30, "the volume's length");
    assert!(world.contents("prod", "eu-west-1", &id_of(&json["destinations"][0])).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_source_is_copied_in_the_clear_only_when_that_was_said() {
    let world = World::calm().await;
    let boot = format!("us-east-1:{BOOT}");
    let encrypted = async |extra: &[&str]| {
        let mut args = vec!["copy", &boot, "us-west-2:", "--yes", "-o", "json"];
        args.extend(extra);
        let (code, json, stderr) = world.json(&args).await;
        assert_eq!(code, 0, "{stderr}");
        let id = id_of(&json["destinations"][0]);
        behind(&world, PLAIN, |state| state.snapshots.get(&id.parse().expect("an id")).map(|s| s.encryption.is_some()))
    };
    assert!(!behind(&world, PLAIN, |state| state.settings.encrypt_by_default), "the trap is open there");
    assert_eq!(encrypted(&[]).await, Some(true));
    assert_eq!(encrypted(&["--allow-decrypt"]).await, Some(false));
}

/// An account that may not be asked what it encrypts by default: copies go on, and the plan does not guess.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_account_does_not_tell_of_its_encryption_is_told_by_the_start() {
    let world = World::calm().await;
    let plain = disk(&world, PLAIN, &[(3, 7), (900, 8)]).await;
    let rules = ["GetEbsEncryptionByDefault", "GetEbsDefaultKmsKeyId"].map(|api| Rule::of(Fault::Deny).on(api));
    world.running.sandbox.set_faults(Faults { rules: rules.into(), ..Faults::default() });
    for on in [true, false] {
        behind(&world, PLAIN, |state| state.settings.encrypt_by_default = on);
        let of = |id: &str| {
            behind(&world, PLAIN, |state| {
                state.snapshots.get(&id.parse().expect("an id")).map(|s| s.encryption.is_some())
            })
        };
        for (source, open, becomes) in
            [(format!("{PLAIN}:{plain}"), true, on), (format!("us-east-1:{BOOT}"), false, true)]
        {
            let to = format!("{PLAIN}:");
            let (code, plan, stderr) = world.json(&["plan", &source, &to, "-o", "json"]).await;
            assert_eq!(code, 0, "{stderr}");
            let warned = plan["findings"].as_array().expect("findings").iter().any(|found| {
                found["level"] == "warning" && found["text"].as_str().is_some_and(|text| text.contains("by default"))
            });
            assert_eq!(warned, open, "{plan}");
            let keys = plan["cost"].to_string().contains("KMS");
            assert!(keys, "the most that it can cost: {}", plan["cost"]);

            let (code, copied, stderr) = world.json(&["copy", &source, &to, "--yes", "-o", "json"]).await;
            assert_eq!(code, 0, "{stderr}");
            assert_eq!(of(&id_of(&copied["destinations"][0])), Some(becomes), "{source}, encrypted by default: {on}");
        }
    }
}

/// Where nobody may know what an account encrypts by default, a chain in the clear may stay in the clear: what of it is
/// encrypted is copied so only when that was said.
#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_member_of_a_chain_whose_oldest_may_stay_in_the_clear_is_refused_unless_that_was_said() {
    let world = World::calm().await;
    let oldest = grown(&world, PLAIN, None, 1, &[(0, 1), (7, 2)]).await;
    let latest = grown(&world, PLAIN, Some(&oldest), 1, &[(7, 3), (9, 4)]).await;
    let truth = [world.contents("prod", PLAIN, &oldest).await, world.contents("prod", PLAIN, &latest).await];
    let request = world.ebs("prod", PLAIN).start_snapshot().volume_size(1).encrypted(true);
    let sealed = request.send().await.expect("started").snapshot_id.expect("an id");
    behind(&world, PLAIN, |state| {
        let key = state.snapshots[&sealed.parse().expect("an id")].encryption.clone();
        assert!(key.is_some());
        state.snapshots.get_mut(&latest.parse().expect("an id")).expect("it is there").encryption = key;
    });
    let chain = format!("{PLAIN}:{oldest}..{latest}");
    let copy = |more: &'static [&'static str]| {
        let all: Vec<&str> = ["copy", "--chain", &chain, "us-west-2:", "--yes", "-o", "json"]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        all.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let run = async |more| {
        let args = copy(more);
        world.run(&args.iter().map(String::as_str).collect::<Vec<_>>()).await
    };
    let mut known = BTreeSet::new();
    // Told not to encrypt, and not told.
    for (denied, word) in [(false, "is not"), (true, "may not be")] {
        let rules = ["GetEbsEncryptionByDefault", "GetEbsDefaultKmsKeyId"].map(|api| Rule::of(Fault::Deny).on(api));
        let rules = if denied { rules.into() } else { Vec::new() };
        world.running.sandbox.set_faults(Faults { rules, ..Faults::default() });
        let starts = requests(&world, "StartSnapshot");
        refused(
            &run(&[]).await,
            5,
            &[&latest, &format!("the oldest of its chain {word}"), "in the clear", "--allow-decrypt"],
        );
        assert_eq!(requests(&world, "StartSnapshot"), starts, "{word}: nothing is begun");

        let output = run(&["--allow-decrypt"]).await;
        assert_eq!(text(&output).0, 0, "{word}: {}", text(&output).1);
        let old: BTreeSet<String> = std::mem::take(&mut known);
        let now = world.made_by_floe("prod", PLAIN).await;
        known = now.iter().filter_map(|snapshot| snapshot.snapshot_id.clone()).collect();
        let made: Vec<_> =
            now.iter().filter(|one| one.snapshot_id.as_ref().is_some_and(|id| !old.contains(id))).collect();
        assert_eq!(made.len(), 2, "{word}: {made:?}");
        assert!(made.iter().all(|snapshot| snapshot.encrypted() == Some(false)), "{word}: {made:?}");
        world.running.sandbox.set_faults(Faults::default());
        let mut contents = Vec::new();
        for snapshot in made {
            contents.push(world.contents("prod", PLAIN, snapshot.snapshot_id().expect("an id")).await);
        }
        assert!(truth.iter().all(|truth| contents.contains(truth)), "{word}: one of each");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_started_lives_three_days_has_a_token_and_says_where_it_came_from() {
    let world = World::calm().await;
    let source = format!("us-east-1:{BOOT}");
    behind(&world, "us-east-1", |state| {
        let tags = &mut state.snapshots.get_mut(&BOOT.parse().expect("an id")).expect("the source").tags;
        Arc::make_mut(tags).insert("aws:backup:source-resource".to_owned(), "a volume".to_owned());
    });
    assert_eq!(world.run(&["copy", &source, "us-west-2:", "--yes"]).await.status.code(), Some(0));
    behind(&world, PLAIN, |state| {
        let made: Vec<&Snapshot> = state.snapshots.values().filter(|s| made_by_floe(s)).collect();
        assert_eq!(made.len(), 1, "one snapshot: {made:?}");
        let made = made[0];
        let upload = made.upload.as_ref().expect("started by EBS direct");
        assert_eq!(upload.timeout_minutes, 4320);
        assert_eq!(upload.parent, None, "encryption and a parent are never asked for together");
        assert!(upload.client_token.is_some(), "a start that is repeated finds this one");
        let tag = made.tags.iter().find(|(key, _)| key.as_str() == "floe:source").expect("provenance");
        assert!(tag.1.contains(BOOT), "{tag:?}");
        assert!(!made.tags.keys().any(|key| key.starts_with("aws:")), "a copy is not managed by AWS: {:?}", made.tags);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_answer_was_lost_starts_one_snapshot() {
    let lost = Rule::of(Fault::ResetAfter).on("StartSnapshot").times(2);
    let world = World::with(Faults { rules: vec![lost], ..Faults::default() }).await;
    let output = world.run(&["copy", &format!("us-east-1:{BOOT}"), "eu-west-1:", "--yes"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output).1);
    assert!(requests(&world, "StartSnapshot") >= 3, "it was asked for again");
    assert_eq!(world.made_by_floe("prod", "eu-west-1").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_permanent_is_asked_once_and_names_the_permission() {
    let denied = Rule::of(Fault::Deny).on("GetSnapshotBlock");
    let world = World::with(Faults { rules: vec![denied], ..Faults::default() }).await;
    let (code, json, stderr) =
        world.json(&["copy", &format!("us-east-1:{BOOT}"), "null:", "--yes", "-o", "json"]).await;
    assert_eq!((code, &json["state"]), (1, &"failed".into()), "{stderr}");
    assert!(stderr.contains("ebs:GetSnapshotBlock"), "{stderr}");
    assert_eq!(requests(&world, "GetSnapshotBlock"), 1, "one canary, no lanes, no second try");
    assert!(json["elapsed_seconds"].as_f64().is_some_and(|seconds| seconds < 5.0), "{json}");
}

/// A prefix that is typed without its slash is offered with it, by the command and by the deck.
#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_without_its_slash_is_offered_with_it() {
    let world = World::calm().await;
    let output = world.run(&["ls", "archives", "s3://floe-vault-us-east-1/ebs"]).await;
    refused(&output, 2, &["a prefix ends with a slash", "did you mean `s3://floe-vault-us-east-1/ebs/`?"]);
    let typed = "s3://floe-vault-us-east-1/ebs".parse::<floe::tui::screen::archives::Prefix>();
    let todo = typed.expect_err("an object").todo.unwrap_or_default();
    assert_eq!(todo, "did you mean `s3://floe-vault-us-east-1/ebs/`?");
}

/// Every put after the first ten is denied, on many lanes at once: what is said is the error of one block.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_every_block_is_said_once_and_not_for_every_block() {
    let late = Rule { skip: 10, ..Rule::of(Fault::Deny).on("PutSnapshotBlock") };
    let world = World::with(Faults { rules: vec![late], ..Faults::default() }).await;
    let source = format!("us-east-1:{BOOT}");
    let (code, json, stderr) = world.json(&["copy", &source, "eu-west-1:", "--yes", "-o", "json"]).await;
    assert_eq!((code, &json["state"]), (1, &"failed".into()), "{stderr}");
    assert!(requests(&world, "PutSnapshotBlock") > 11, "several lanes were refused");
    assert_eq!(stderr.matches("could not write").count(), 1, "{stderr}");
    let error = json["error"].to_string();
    assert_eq!(error.matches("block ").count(), 1, "{error}");
    assert!(error.len() < 1_000, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_cut_or_wrong_are_read_again_and_pages_may_be_empty() {
    let rules = vec![
        Rule::of(Fault::Cut).on("GetSnapshotBlock").times(2),
        Rule::of(Fault::Corrupt).on("GetSnapshotBlock").times(2),
        Rule::of(Fault::ResetBefore).on("GetSnapshotBlock").times(2),
    ];
    let faults = Faults { rules, short_pages_permille: 500, empty_pages_permille: 400, ..Faults::default() };
    let world = World::with(faults).await;
    let args = ["copy", &format!("us-east-1:{BOOT}"), "boot.img", "--yes", "-o", "json"];
    let (code, json, stderr) = world.json(&args).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(json["retries"].as_u64().is_some_and(|retries| retries >= 6), "{json}");
    assert_eq!((&json["blocks"], &json["bytes"]), (&64.into(), &(64 * BLOCK).into()), "moved, not asked for");
    let journal = std::fs::read_to_string(world.path(".local/state/floe/jobs/1/events.ndjson")).expect("a journal");
    let lines = journal.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line"));
    let read = lines.filter_map(|line| line["record"]["progress"]["bytes_read"].as_u64()).next_back();
    assert_eq!(read, Some(64 * BLOCK as u64), "what failed was not read");
    world.running.sandbox.set_faults(Faults::default());
    assert_image(&world.path("boot.img"), 1, &world.contents("prod", "us-east-1", BOOT).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_link_finishes() {
    let slow = Rule::of(Fault::Slow { bytes_per_second: 64 * 1024 }).on("GetSnapshotBlock").times(1);
    let world = World::with(Faults { rules: vec![slow], ..Faults::default() }).await;
    let id = disk(&world, PLAIN, &[(3, 7), (4, 8)]).await;
    let (code, json, stderr) = world.json(&["copy", &format!("{PLAIN}:{id}"), "null:", "--yes", "-o", "json"]).await;
    assert_eq!((code, &json["retries"]), (0, &0.into()), "eight seconds for a block are no failure: {stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_lists_other_blocks_than_were_written_is_no_success() {
    let world = World::with(Faults { completing_ms: 2_000, ..Faults::default() }).await;
    let nothing = behind(&world, "us-east-1", |state| state.snapshots[&EMPTY.parse().expect("an id")].content.clone());
    let source = format!("us-east-1:{BOOT}");
    let swap = until(|| {
        behind(&world, "eu-west-1", |state| {
            let told = |s: &&mut Snapshot| s.upload.as_ref().is_some_and(|upload| upload.completed_with == Some(64));
            let made = state.snapshots.values_mut().filter(|s| made_by_floe(s)).find(told)?;
            made.content = nothing.clone();
            Some(())
        })
    });
    let args = ["copy", &source, "eu-west-1:", "--yes", "-o", "json"];
    let ((code, json, stderr), ()) = tokio::join!(world.json(&args), swap);
    assert_eq!((code, &json["state"]), (1, &"failed".into()), "{stderr}");
    assert!(
        stderr.contains("was written and is not listed") && stderr.contains("do not use this snapshot"),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_somebody_else_put_is_not_completed_as_ours() {
    // One more than is counted; and, with the count as it should be, one that the sum over all digests does not fit.
    for is_ours in [false, true] {
        let slow = Rule::of(Fault::Delay { ms: 40, jitter: 0 }).on("PutSnapshotBlock");
        let world = World::with(Faults { rules: vec![slow], ..Faults::default() }).await;
        let index = {
            let used: BTreeSet<u32> = world.contents("prod", "us-east-1", BOOT).await.into_keys().collect();
            (0..2048).find(|index| used.contains(index) == is_ours).expect("64 and 1,984 of them")
        };
        let meddle = async {
            let id = until(|| {
                let made = |s: &mut RegionState| s.snapshots.values().find(|s| made_by_floe(s)).map(|s| s.id.clone());
                behind(&world, "eu-west-1", made).filter(|_| requests(&world, "PutSnapshotBlock") > 5)
            });
            put(&world.ebs("prod", "eu-west-1"), id.await.as_str(), i32::try_from(index).expect("small"), 9).await;
        };
        let source = format!("us-east-1:{BOOT}");
        let args = ["copy", &source, "eu-west-1:", "--concurrency", "1", "--yes", "-o", "json"];
        let ((code, json, stderr), ()) = tokio::join!(world.json(&args), meddle);
        assert_eq!((code, &json["state"]), (1, &"failed".into()), "{is_ours}: {stderr}");
        assert_none_completed(&world, "eu-west-1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_recorded_and_cancelling_leaves_no_husk() {
    let late = Rule { skip: 10, ..Rule::of(Fault::Deny).on("PutSnapshotBlock") };
    let world = World::with(Faults { rules: vec![late], ..Faults::default() }).await;
    let source = format!("us-east-1:{BOOT}");
    let (code, json, stderr) = world.json(&["copy", &source, "eu-west-1:", "--yes", "-o", "json"]).await;
    assert_eq!((code, &json["state"]), (1, &"failed".into()), "{stderr}");
    assert_none_completed(&world, "eu-west-1").await;
    world.running.sandbox.set_faults(Faults::default());
    let job = json["job"].to_string();
    let output = world.run(&["jobs", "cancel", &job, "--yes"]).await;
    let said = text(&output).1;
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!said.contains("error") && !said.contains("PutSnapshotBlock"), "what it failed at before is over: {said}");
    assert!(world.made_by_floe("prod", "eu-west-1").await.is_empty(), "no pending snapshot is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_changes_nothing_and_asks_for_nothing_that_could() {
    let world = World::calm().await;
    let boot = format!("us-east-1:{BOOT}");
    let snapshots = ["ls", "snapshots", "--all-regions", "-o", "ids"];
    for args in [&snapshots[..], &["size", &boot], &["plan", &boot, "eu-west-1:", "x.img"]] {
        let output = world.run(args).await;
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output).1);
    }
    let asked = world.running.sandbox.counters().picture().apis;
    let harmless = ["Describe", "List", "Get"];
    let strange: Vec<&String> = asked.keys().filter(|api| !harmless.iter().any(|h| api.starts_with(h))).collect();
    assert!(strange.is_empty(), "{strange:?}");
    assert!(!asked.contains_key("GetSnapshotBlock"), "no data is read");
    assert!(!world.path("x.img").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_deletes_nothing_that_was_there() {
    let world = World::calm().await;
    let all = || {
        let ids = |state: &mut RegionState| state.snapshots.keys().cloned().collect::<BTreeSet<_>>();
        ["us-east-1", "eu-west-1"].map(|region| behind(&world, region, ids))
    };
    let before = all();
    let source = format!("us-east-1:{BOOT}");
    let output = world.run(&["copy", &source, "eu-west-1:", "--yes"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output).1);
    let after = all();
    assert!(before.iter().zip(&after).all(|(before, after)| before.is_subset(after)));
    assert_eq!(requests(&world, "DeleteSnapshot"), 0);
    // Deleting is a verb of its own, and none that is carried out in passing.
    for accept in [&[][..], &["--accept-unknown"]] {
        let delete = world.run(&[&["delete", source.as_str()], accept].concat()).await;
        refused(&delete, 5, &["nothing has been removed", "nobody can answer", "--out plan.json"]);
    }
    assert_eq!((requests(&world, "DeleteSnapshot"), all()), (0, after));
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_and_deprecated_images_are_listed_too() {
    let world = World::calm().await;
    let output = world.run(&["ls", "images", "us-east-1:", "-o", "json"]).await;
    let listed: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("an array");
    let string = |value: &serde_json::Value| value.as_str().expect("an id").to_owned();
    let snapshots = |row: &serde_json::Value| row["snapshots"].as_array().expect("ids").iter().map(string).collect();
    let listed: BTreeMap<String, BTreeSet<String>> =
        listed.iter().map(|row| (string(&row["id"]), snapshots(row))).collect();
    let ec2 = world.ec2("prod", "us-east-1");
    let all = ec2.describe_images().owners("self").include_disabled(true).include_deprecated(true);
    let all = all.send().await.expect("images").images.unwrap_or_default();
    let held = |image: &aws_sdk_ec2::types::Image| {
        let disks = image.block_device_mappings().iter().filter_map(|mapping| mapping.ebs()?.snapshot_id());
        disks.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let ids: BTreeMap<String, BTreeSet<String>> =
        all.iter().filter_map(|image| Some((image.image_id.clone()?, held(image)))).collect();
    assert!(ids.values().any(|held| !held.is_empty()), "some hold snapshots");
    let hidden = |image: &aws_sdk_ec2::types::Image| image.state().is_some_and(|s| s.as_str() == "disabled");
    assert!(all.iter().any(hidden), "there is one that EC2 hides");
    assert_eq!(listed, ids, "{}", text(&output).1);
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_what_was_really_done() {
    let world = World::calm().await;
    let source = format!("us-east-1:{BOOT}");
    for (verify, wanted) in [("listing", ["service", "claimed"]), ("full", ["re-read", "re-read"])] {
        let file = format!("{verify}.img");
        let args = ["copy", &source, "eu-west-1:", &file, "--verify", verify, "--yes", "-o", "json"];
        let before = requests(&world, "GetSnapshotBlock");
        let (code, json, stderr) = world.json(&args).await;
        assert_eq!(code, 0, "{stderr}");
        let found = [0, 1].map(|dest| json["destinations"][dest]["evidence"].clone());
        assert_eq!(found.map(|value| value.as_str().unwrap_or_default().to_owned()), wanted);
        let gets = requests(&world, "GetSnapshotBlock") - before;
        assert_eq!(gets >= 128, verify == "full", "{gets} Gets: it says re-read only when it was");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_prices_the_native_copy_beside_its_own() {
    let world = World::calm().await;
    let large = "us-east-1:snap-01c55a9e07b3d2f48";
    let (code, json, stderr) = world.json(&["plan", large, "eu-west-1:", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    let ways = json["alternatives"].as_array().expect("alternatives");
    let native = ways.iter().find(|way| way["name"] == "native CopySnapshot").expect("the native copy");
    assert!(native["unavailable"].is_null(), "{native}");
    let timed = ways.iter().find(|way| way["name"].as_str().unwrap_or_default().starts_with("native, by"));
    let timed = timed.expect("a copy within a time");
    assert!(timed["unavailable"].is_null() && timed["once_usd"].as_f64() > native["once_usd"].as_f64(), "{timed}");
    let (native, ours) = (native["once_usd"].as_f64(), json["cost"]["total_usd"].as_f64());
    assert!(native > Some(0.0) && native < ours, "{native:?} and {ours:?}");
}

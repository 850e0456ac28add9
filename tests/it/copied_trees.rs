//! All objects below a prefix, copied by S3: many at once, each settled alone, what failed by name.

use floe::engine::protocol::{Command, JobState, JobStatus, LeftOvers};
use floe::plan::{Options, Verify};
use floe::sandbox::faults::{Fault, Faults, Rule};

use crate::archives::{keys, s3};
use crate::copied::{BUCKET, bytes, put, uploads};
use crate::rig::{Rig, at_rest, only, row_when, rule, start};

const FROM: &str = "s3://floe-vault-us-east-1/from/";
const TO: &str = "s3://floe-vault-us-east-1/to/";

fn recursive() -> Options {
    Options { recursive: true, ..Options::default() }
}

async fn filled(rig: &Rig, names: &[&str]) {
    for name in names {
        put(&rig.world, &format!("from/{name}"), name.as_bytes()).await;
    }
    rig.world.running.sandbox.counters().reset();
}

fn counts(row: &JobStatus) -> (u64, u64, u64, u64) {
    let all = row.destinations[0].copied.clone().expect("counts");
    (all.copied, all.set, all.skipped, all.failed)
}

async fn below(rig: &Rig, prefix: &str) -> Vec<String> {
    let all = keys(&rig.world, prefix).await;
    all.into_iter().map(|key| key[prefix.len()..].to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_below_a_prefix_is_copied_once_and_then_skipped() {
    let rig = Rig::calm().await;
    let names = ["a", "a/b", "a b+c?.txt", "logs/1.log", "logs/2.log", "ü/é", "z"];
    filled(&rig, &names).await;
    let client = rig.engine(None).await;
    let row = rig.copy(&client, FROM, &[TO], recursive()).await;
    assert_eq!((row.state, counts(&row)), (JobState::Done, (7, 0, 0, 0)), "{:?}", row.error);
    assert_eq!(rig.asked("GetObject"), 0, "no byte passed us");
    for name in names {
        assert_eq!(bytes(&rig.world, &format!("to/{name}")).await, name.as_bytes());
    }
    let row = rig.copy(&client, FROM, &[TO], recursive()).await;
    assert_eq!((row.state, counts(&row)), (JobState::Done, (0, 0, 7, 0)));
    assert_eq!(rig.asked("CopyObject"), 7);
    // One more, one that only needs tags, and one that is another one there.
    filled(&rig, &["new"]).await;
    put(&rig.world, "to/z", b"something else").await;
    let options = Options { tags: vec![("a".to_owned(), "b".to_owned())], ..recursive() };
    let row = rig.copy(&client, FROM, &[TO], options.clone()).await;
    assert_eq!((row.state, counts(&row)), (JobState::Partial, (1, 6, 0, 1)), "{:?}", row.error);
    let error = row.error.expect("why").to_string();
    assert!(error.contains("z: ") && error.contains("another object is there already"), "{error}");
    assert_eq!(bytes(&rig.world, "to/z").await, b"something else");
    let row = rig.copy(&client, FROM, &[TO], Options { force: true, ..options }).await;
    assert_eq!((row.state, counts(&row)), (JobState::Done, (1, 0, 7, 0)), "{:?}", row.error);
    assert_eq!(bytes(&rig.world, "to/z").await, b"z");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_fails_alone_and_by_name_and_is_tried_again() {
    let rig = Rig::calm().await;
    filled(&rig, &["1", "2", "3", "4", "5"]).await;
    let deny = |name: &str| Rule { snapshot: Some(format!("to/{name}")), ..only("CopyObject", rule(Fault::Deny, 1.0)) };
    rig.world.running.sandbox.set_faults(Faults { rules: vec![deny("2"), deny("4")], ..Faults::default() });
    let (code, json, stderr) =
        rig.world.json(&["copy", "--yes", "--foreground", "--recursive", "-o", "json", FROM, TO]).await;
    assert_eq!((code, json["state"].as_str()), (3, Some("partial")), "{stderr}");
    let to = &json["destinations"][0];
    assert_eq!((to["objects"]["copied"].as_u64(), to["objects"]["failed"].as_u64()), (Some(3), Some(2)), "{json}");
    let error = to["error"].as_str().expect("why");
    assert!(error.contains("2 of 5 objects failed") && error.contains("2: ") && error.contains("4: "), "{error}");
    assert_eq!(below(&rig, "to/").await, ["1", "3", "5"]);
    rig.heal();
    let (code, json, stderr) = rig.world.json(&["jobs", "resume", "1", "--foreground", "-o", "json"]).await;
    assert_eq!((code, json["state"].as_str()), (0, Some("done")), "{stderr}");
    let to = &json["destinations"][0]["objects"];
    assert_eq!((to["copied"].as_u64(), to["skipped"].as_u64(), to["failed"].as_u64()), (Some(2), Some(3), Some(0)));
    assert_eq!(below(&rig, "to/").await, ["1", "2", "3", "4", "5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn globs_choose_and_what_cannot_be_is_refused_with_a_sentence() {
    let rig = Rig::calm().await;
    filled(&rig, &["a.log", "b.txt", "tmp/c.log"]).await;
    let client = rig.engine(None).await;
    let (include, exclude) = (vec!["*.log".to_owned()], vec!["tmp/*".to_owned()]);
    let row = rig.copy(&client, FROM, &[TO], Options { include, exclude, ..recursive() }).await;
    assert_eq!((row.state, below(&rig, "to/").await), (JobState::Done, vec!["a.log".to_owned()]));
    let only_raw = Options { include: vec!["*.raw".to_owned()], ..recursive() };
    for (from, to, options, says) in [
        (FROM, TO, only_raw, "nothing that is meant"),
        (FROM, "s3://floe-vault-us-east-1/from/inside/", recursive(), "lie in one another"),
        (FROM, "s3://floe-vault-us-east-1/a.raw", recursive(), "--recursive copies from one prefix"),
        (FROM, TO, Options { include: vec!["*".to_owned()], ..Options::default() }, "add --recursive"),
        ("s3://floe-vault-us-east-1/from/a.log", "s3://floe-dr-eu-central-1/x.raw", Options::default(), ""),
    ] {
        let (code, text) = rig.refused(from, to, options).await;
        assert!([1, 2, 5].contains(&code) && text.contains(says), "{code} {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_page_is_streamed_and_a_pause_goes_on_where_it_was() {
    let rig = Rig::calm().await;
    let names: Vec<String> = (0..1100).map(|n| format!("{n:05}")).collect();
    filled(&rig, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let slow = only("CopyObject", rule(Fault::Delay { ms: 30, jitter: 0 }, 1.0));
    rig.world.running.sandbox.set_faults(Faults { rules: vec![slow], ..Faults::default() });
    let client = rig.engine(None).await;
    let options = Options { verify: Verify::None, ..recursive() };
    let plan = rig.plan(FROM, &[TO], options).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.destinations[0].copied.as_ref().is_some_and(|all| all.copied >= 300)).await;
    client.send(Command::Pause(job)).await.expect("paused");
    let row = row_when(&client, job, at_rest).await;
    assert_eq!(row.state, JobState::Paused);
    rig.heal();
    client.send(Command::Resume(job)).await.expect("it goes on");
    let row = row_when(&client, job, |row| row.state == JobState::Done || row.state == JobState::Failed).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let (copied, set, skipped, failed) = counts(&row);
    assert_eq!((copied + skipped, set, failed), (1100, 0, 0), "{copied} copied, {skipped} skipped");
    let there = s3(&rig.world).list_objects_v2().bucket(BUCKET).prefix("to/").start_after("to/00999").send().await;
    assert_eq!(there.expect("a listing").key_count(), Some(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_tree_leaves_no_upload() {
    let rig = Rig::calm().await;
    let image = "images/base-debian-13.raw";
    let copy = s3(&rig.world).copy_object().bucket(BUCKET).key("from/a.raw").copy_source(format!("{BUCKET}/{image}"));
    copy.send().await.expect("copied");
    let slow = only("UploadPartCopy", rule(Fault::Delay { ms: 500, jitter: 0 }, 1.0));
    rig.world.running.sandbox.set_faults(Faults { rules: vec![slow], ..Faults::default() });
    let client = rig.engine(None).await;
    let options = Options { part_size: Some(floe::units::Bytes::mib(8)), concurrency: Some(4), ..recursive() };
    let plan = rig.plan(FROM, &[TO], options).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.destinations[0].bytes.0 > 0).await;
    assert_eq!(uploads(&rig.world).await, 1);
    client.send(Command::Cancel(job, LeftOvers::CleanUp)).await.expect("cancelled");
    let row = row_when(&client, job, at_rest).await;
    assert_eq!((row.state, uploads(&rig.world).await), (JobState::Cancelled, 0), "{:?}", row.error);
    assert!(below(&rig, "to/").await.is_empty());
}

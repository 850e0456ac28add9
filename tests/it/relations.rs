//! What refers to snapshots, volumes and images, and the verdicts drawn from it: the truth table of the scenario
//! `clear`, whole and with any one question denied; and what it costs in questions.
//!
//! The truth is in the scenario's own tags: `truth` is the verdict, `by` the rules that say yes or cannot know. It is
//! read from what EC2 answers to the SDK, not from floe's rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use floe::aws::Aws;
use floe::inventory::Regions;
use floe::inventory::relations::{self, Ask, Depth, JobUse, Told, Update, again, survey};
use floe::inventory::verdict::{Answer, Judged, Policy, Verdict, View};
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::sandbox::{Options, Running, serve};
use floe::store::StateDir;
use jiff::Timestamp;

use super::inventory::world;

pub async fn clear() -> Running {
    let faults = Faults { short_pages_permille: 0, empty_pages_permille: 0, ..Faults::default() };
    serve(Options { scenario: Some(PathBuf::from("clear")), faults, ..Options::default() }).await.expect("it serves")
}

fn ask(region: &str) -> Ask {
    Ask {
        profiles: vec![Some("prod".parse().expect("a profile"))],
        regions: Regions::Only(vec![region.parse().expect("a region")]),
        anew: relations::Anew::Nothing,
        depth: Depth::Single,
        policy: Policy::default(),
        jobs: Told::of(Ok(Vec::new())),
    }
}

/// A region as it stands when everything was asked.
async fn surveyed(aws: &Aws, ask: Ask, state: Option<&StateDir>) -> std::sync::Arc<relations::Region> {
    let mut updates = survey(aws, ask, state);
    let (mut done, mut failed) = (None, None);
    while let Some(update) = updates.recv().await {
        match update {
            Update::Done(region) => done = Some(region),
            Update::Failed { error, .. } | Update::ProfileFailed(_, error) => failed = Some(error),
            _ => {}
        }
    }
    assert!(failed.is_none(), "{failed:?}");
    done.expect("a region")
}

fn judged(region: &relations::Region, policy: &Policy) -> BTreeMap<String, Judged> {
    let view = View { region, policy, now: Timestamp::now() };
    view.things().map(|thing| view.judge(thing)).map(|judged| (judged.id.clone(), judged)).collect()
}

async fn judge(running: &Running, region: &str) -> BTreeMap<String, Judged> {
    judged(&*surveyed(&world(running), ask(region), None).await, &Policy::default())
}

pub struct Truth {
    pub verdict: String,
    pub by: BTreeSet<String>,
}

/// What each thing must be, by id, as its tags say: snapshots, volumes and images.
pub async fn truths(running: &Running, region: &str) -> BTreeMap<String, Truth> {
    let keys = running.sandbox.profiles().into_iter().find(|keys| keys.name.as_str() == "prod").expect("prod");
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(aws_sdk_ec2::config::BehaviorVersion::latest())
        .endpoint_url(running.url())
        .region(aws_sdk_ec2::config::Region::new(region.to_owned()))
        .credentials_provider(aws_credential_types::Credentials::new(
            keys.access_key_id,
            keys.secret,
            None,
            None,
            "test",
        ))
        .build();
    let ec2 = aws_sdk_ec2::Client::from_conf(config);
    let mut all = Vec::new();
    let snapshots = ec2.describe_snapshots().owner_ids("self").send().await.expect("snapshots");
    all.extend(snapshots.snapshots.into_iter().flatten().map(|row| (row.snapshot_id, row.tags)));
    let volumes = ec2.describe_volumes().send().await.expect("volumes");
    all.extend(volumes.volumes.into_iter().flatten().map(|row| (row.volume_id, row.tags)));
    let images = ec2.describe_images().owners("self").include_disabled(true).include_deprecated(true).send().await;
    all.extend(images.expect("images").images.into_iter().flatten().map(|row| (row.image_id, row.tags)));
    let truth = |(id, tags): (Option<String>, Option<Vec<aws_sdk_ec2::types::Tag>>)| {
        let tags = tags.unwrap_or_default();
        let value = |key: &str| tags.iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value());
        let by = value("by").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        let id = id.expect("an id");
        let verdict = value("truth").expect("everything has its truth").to_owned();
        (id, Truth { verdict, by })
    };
    all.into_iter().map(truth).collect()
}

pub fn yes(judged: &Judged) -> BTreeSet<String> {
    let says = |answer| matches!(answer, Answer::Yes);
    judged.evidence.iter().filter(|e| says(e.answer)).map(|e| e.rule.clone()).collect()
}

pub fn unknown(judged: &Judged) -> BTreeSet<String> {
    judged.evidence.iter().filter(|e| e.answer == Answer::Unknown).map(|e| e.rule.clone()).collect()
}

#[tokio::test]
async fn each_kind_of_reference_alone_and_in_pairs_gets_its_verdict() {
    let running = clear().await;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for region in ["us-east-1", "eu-west-1"] {
        let (judged, truths) = (judge(&running, region).await, truths(&running, region).await);
        assert_eq!(judged.keys().collect::<Vec<_>>(), truths.keys().collect::<Vec<_>>(), "everything is judged");
        for (id, truth) in &truths {
            let found = &judged[id];
            *counts.entry(truth.verdict.clone()).or_default() += 1;
            if found.verdict.word() != truth.verdict {
                wrong.push(format!(
                    "{id} {}: {} instead of {}: {:#?}",
                    found.name,
                    found.verdict.word(),
                    truth.verdict,
                    found.evidence
                ));
            }
            // What the file says of reasons holds, but for what nobody asks because another rule has decided.
            let mut said = yes(found);
            said.extend(unknown(found).into_iter().filter(|rule| truth.by.contains(rule)));
            if said != truth.by {
                wrong.push(format!("{id} {}: {said:?} instead of {:?}", found.name, truth.by));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(counts.values().sum::<usize>() >= 60, "{counts:?}");
    assert_eq!(counts.len(), 6, "every verdict is there: {counts:?}");
}

/// What each question serves.
const QUESTIONS: [(&str, &[&str]); 12] = [
    ("DescribeImages", &["images"]),
    ("DescribeVolumes", &["volume"]),
    ("DescribeInstances", &["instances"]),
    ("DescribeLaunchTemplates", &["launch-templates"]),
    ("DescribeLaunchTemplateVersions", &["launch-templates"]),
    ("DescribeLockedSnapshots", &["locks"]),
    ("DescribeFastSnapshotRestores", &["fast-restore"]),
    ("DescribeSnapshotTierStatus", &["tier"]),
    ("ListImagesInRecycleBin", &["images-in-bin"]),
    ("DescribeSnapshotAttribute", &["shares"]),
    ("DescribeImageAttribute", &["shares"]),
    ("DescribeImageReferences", &["image-references"]),
];

/// What must become of a thing when these rules have no answer.
fn without(id: &str, truth: &Truth, denied: &str, rules: &[&str], full: &Judged) -> &'static str {
    let concerned = full.evidence.iter().any(|evidence| rules.contains(&evidence.rule.as_str()))
        && match denied {
            "DescribeSnapshotAttribute" => id.starts_with("snap"),
            "DescribeImageAttribute" => id.starts_with("ami"),
            _ => true,
        };
    let word = |word: &str| Verdict::ALL.into_iter().find(|verdict| verdict.word() == word).expect("a verdict");
    let truly = word(&truth.verdict);
    // What is asked one by one is asked for candidates, and what is stale is none.
    let single = matches!(denied, "DescribeSnapshotAttribute" | "DescribeImageAttribute" | "DescribeImageReferences");
    if !concerned || single && truly == Verdict::Stale {
        return truly.word();
    }
    // What else says yes stands; a guard that is stronger than stale needs no other answer.
    let weak = |rule: &str| match rule {
        "volume" | "launched" => true,
        "instances" => id.starts_with("snap"),
        _ => false,
    };
    let rest: Vec<&String> = truth.by.iter().filter(|rule| !rules.contains(&rule.as_str())).collect();
    let strong = rest.iter().any(|rule| !weak(rule));
    let fresh = truly == Verdict::InUse && !rest.is_empty();
    if strong || fresh { "keeps" } else { "unknown" }
}

#[tokio::test]
async fn with_any_one_question_denied_nothing_turns_into_an_orphan() {
    let running = clear().await;
    let (full, truths) = (judge(&running, "us-east-1").await, truths(&running, "us-east-1").await);
    for (denied, rules) in QUESTIONS {
        running.sandbox.set_faults(Faults {
            rules: vec![Rule::of(Fault::Deny).on(denied)],
            short_pages_permille: 0,
            empty_pages_permille: 0,
            ..Faults::default()
        });
        let judged = judge(&running, "us-east-1").await;
        let mut turned = 0;
        for (id, found) in &judged {
            let (truth, full) = (&truths[id], &full[id]);
            if found.verdict == Verdict::Orphan {
                assert_eq!(truth.verdict, "orphan", "{denied}: {id} {} turned into an orphan", found.name);
            }
            match without(id, truth, denied, rules, full) {
                // Two questions may tell the same: public things are known without asking whom they are shared with, the
                // newest and the default version of a template without the list of templates.
                "unknown" if rules.iter().any(|rule| yes(found).contains(*rule)) => {
                    assert_eq!(found.verdict.word(), truth.verdict, "{denied}: {id}");
                }
                "unknown" => {
                    assert_eq!(found.verdict, Verdict::Unknown, "{denied}: {id} {}: {:#?}", found.name, found.evidence);
                    turned += 1;
                    if truth.verdict == "orphan" {
                        assert_eq!(unknown(found).len(), 1, "{denied}: {id} {}: {:#?}", found.name, found.evidence);
                        let rule = found.evidence.iter().find(|e| e.answer == Answer::Unknown).expect("one");
                        assert!(rule.text.contains(denied), "the action is named: {rule:?}");
                    }
                    // Everything else says what it said.
                    for evidence in full.evidence.iter().filter(|e| !rules.contains(&e.rule.as_str())) {
                        let now = found.evidence.iter().find(|e| e.rule == evidence.rule).map(|e| e.answer);
                        let lost = evidence.answer == Answer::No && now == Some(Answer::Unknown);
                        assert!(now == Some(evidence.answer) || !lost, "{denied}: {id} {}", evidence.rule);
                    }
                }
                "keeps" => assert_ne!(found.verdict, Verdict::Orphan, "{denied}: {id}"),
                word => assert_eq!(found.verdict.word(), word, "{denied}: {id} {}: {:#?}", found.name, found.evidence),
            }
        }
        assert!(turned > 0, "{denied} concerns nobody");
    }
}

#[tokio::test]
async fn a_job_and_the_policy_keep_what_would_be_an_orphan() {
    let running = clear().await;
    let aws = world(&running);
    let before = judge(&running, "us-east-1").await;
    let orphan = before.values().find(|judged| judged.verdict == Verdict::Orphan && judged.id.starts_with("snap"));
    let id = orphan.expect("an orphan").id.clone();
    let used = JobUse { id: id.clone(), job: "7".parse().expect("a job") };
    let with_job = Ask { jobs: Told::of(Ok(vec![used])), ..ask("us-east-1") };
    let region = surveyed(&aws, with_job, None).await;
    let judged_now = judged(&region, &Policy::default());
    assert_eq!(judged_now[&id].verdict, Verdict::InUse);
    assert!(judged_now[&id].evidence.iter().any(|e| e.rule == "jobs" && e.text.contains("job 7")));
    let nobody = Ask { jobs: Told::of(Err(floe::error::Error::failed("the jobs cannot be read"))), ..ask("us-east-1") };
    let region = surveyed(&aws, nobody, None).await;
    assert_eq!(judged(&region, &Policy::default())[&id].verdict, Verdict::Unknown);
    let elsewhere = Policy { accounts: vec!["998877665544".parse().expect("an account")], ..Policy::default() };
    assert!(judged(&region, &elsewhere).values().all(|judged| judged.verdict != Verdict::Orphan));
    let patient = Policy { min_age: jiff::SignedDuration::from_hours(24 * 3650), ..Policy::default() };
    assert!(judged(&region, &patient).values().all(|judged| judged.verdict != Verdict::Orphan));
}

#[tokio::test]
async fn judged_again_a_thing_is_asked_about_in_full_and_what_is_gone_is_told() {
    let running = clear().await;
    let aws = world(&running);
    let (prod, region) = ("prod".parse().expect("a profile"), "us-east-1".parse().expect("a region"));
    let session = aws.session(Some(&prod), Some(&region)).await.expect("a session");
    let all = judge(&running, "us-east-1").await;
    let orphan = all.values().find(|judged| judged.name == "left-volume").expect("an orphan");
    let stale =
        all.values().find(|judged| judged.name == "old-backup" && judged.id.starts_with("snap")).expect("stale");
    assert!(unknown(stale).contains("shares"), "nobody asks whom a stale backup is shared with");
    let ids = vec![orphan.id.clone(), stale.id.clone(), "snap-00000000".to_owned()];
    let found = again(&session, &ids, &BTreeSet::new(), &Policy::default(), Told::of(Ok(Vec::new())), Vec::new())
        .await
        .expect("judged");
    assert_eq!(found.gone, ["snap-00000000"]);
    let verdicts: BTreeMap<&str, &Judged> = found.judged.iter().map(|judged| (judged.id.as_str(), judged)).collect();
    assert_eq!(verdicts[orphan.id.as_str()].verdict, Verdict::Orphan);
    assert!(unknown(verdicts[stale.id.as_str()]).is_empty(), "judged again, it is asked");
    running
        .sandbox
        .set_faults(Faults { rules: vec![Rule::of(Fault::Deny).on("DescribeSnapshots")], ..Faults::default() });
    let found = again(&session, &ids, &BTreeSet::new(), &Policy::default(), Told::of(Ok(Vec::new())), Vec::new())
        .await
        .expect("judged");
    assert_eq!((found.gone.len(), found.unseen.len()), (0, 3), "a refusal is not an absence");
}

/// Requests of EC2 so far, by operation.
pub fn asked(running: &Running) -> BTreeMap<String, u64> {
    let picture = running.sandbox.counters().picture();
    let reads = |api: &str| api.starts_with("Describe") || api.starts_with("List");
    picture.apis.iter().filter(|(api, _)| reads(api)).map(|(api, stats)| (api.clone(), stats.requests)).collect()
}

/// What bulk describes decide is told without a single question, bounds what single answers find, and is not asked again
/// by whoever goes on with those.
#[tokio::test]
async fn bulk_answers_alone_bound_what_is_found_and_are_not_repeated() {
    let running = clear().await;
    let dir = tempfile::tempdir().expect("a directory");
    let state = StateDir::open(Some(dir.path())).expect("a state directory");
    let aws = world(&running);
    let counts = |region: &relations::Region| {
        let view = View { region, policy: &Policy::default(), now: Timestamp::now() };
        let all: Vec<_> = view.things().map(|thing| view.standing(thing)).collect();
        let orphans = all.iter().filter(|standing| standing.verdict == Verdict::Orphan).count();
        (orphans, all.iter().filter(|standing| standing.is_open()).count())
    };
    let (found, open) = {
        let bulk = Ask { depth: Depth::Bulk, ..ask("us-east-1") };
        counts(&*surveyed(&aws, bulk, Some(&state)).await)
    };
    let calls = asked(&running);
    for single in ["DescribeSnapshotAttribute", "DescribeImageAttribute", "DescribeImageReferences"] {
        assert!(!calls.contains_key(single), "{single} is asked one by one: {calls:?}");
    }
    assert!(found > 0 && open > 0, "volumes are decided, snapshots are not: {found}, {open}");
    let (orphans, left) = counts(&*surveyed(&aws, ask("us-east-1"), Some(&state)).await);
    assert_eq!(left, 0, "everything was asked");
    assert!(found < orphans && orphans <= found + open, "{orphans} of {found} and at most {open} more");
    let after = asked(&running);
    let truths = truths(&running, "us-east-1").await;
    assert_eq!(orphans, truths.values().filter(|truth| truth.verdict == "orphan").count());
    // Numbered versions of a template are single answers of the same operation.
    for (api, times) in calls.iter().filter(|(api, _)| *api != "DescribeLaunchTemplateVersions") {
        assert_eq!(after[api], *times, "{api} was asked again");
    }
}

#[tokio::test]
async fn nothing_is_asked_twice_within_ten_minutes_unless_it_was_refused() {
    let running = clear().await;
    let dir = tempfile::tempdir().expect("a directory");
    let state = StateDir::open(Some(dir.path())).expect("a state directory");
    let aws = world(&running);
    let first = surveyed(&aws, ask("us-east-1"), Some(&state)).await;
    let calls = asked(&running);
    let view = View { region: &first, policy: &Policy::default(), now: Timestamp::now() };
    let shared = calls["DescribeSnapshotAttribute"];
    let answered = first.facts.answers.snapshot_shares.len();
    assert_eq!(usize::try_from(shared).expect("few"), answered, "each candidate once");
    assert!(answered < view.region.snapshots().len() / 2, "only candidates: {answered}");
    // Templates with versions beyond the newest and the default are asked one by one: bulk, and each of those.
    let others = first.facts.answers.templates.known().expect("templates").iter().filter(|t| t.has_others()).count();
    assert_eq!(usize::try_from(calls["DescribeLaunchTemplateVersions"]).expect("few"), 1 + others);
    let second = surveyed(&aws, ask("us-east-1"), Some(&state)).await;
    assert_eq!(asked(&running), calls, "the second look asks nothing");
    let verdicts = |region: &relations::Region| -> BTreeMap<String, Verdict> {
        judged(region, &Policy::default()).into_iter().map(|(id, judged)| (id, judged.verdict)).collect()
    };
    assert!(verdicts(&first) == verdicts(&second), "and says the same");
    let third = Ask { anew: relations::Anew::All, ..ask("us-east-1") };
    surveyed(&aws, third, Some(&state)).await;
    assert!(asked(&running)["DescribeVolumes"] > calls["DescribeVolumes"], "asked anew where that is wanted");
}

#[tokio::test]
async fn floe_orphans_prints_verdicts_with_evidence_in_every_form() {
    let world = crate::support::World::of("clear").await;
    let (code, rows, stderr) = world.json(&["orphans", "-o", "json", "--filter", "verdict:orphan"]).await;
    assert_eq!(code, 0, "{stderr}");
    let rows = rows.as_array().expect("an array");
    let truths = truths(&world.running, "us-east-1").await;
    let orphans = truths.iter().filter(|(_, truth)| truth.verdict == "orphan").map(|(id, _)| id.as_str());
    let printed: BTreeSet<&str> = rows.iter().map(|row| row["id"].as_str().expect("an id")).collect();
    assert_eq!(printed, orphans.collect());
    for row in rows {
        assert_eq!((row["verdict"].as_str(), row["region"].as_str()), (Some("orphan"), Some("us-east-1")));
        assert!(row["kind"].is_string() && row["frees"]["bytes"].is_u64() && row["frees"]["label"].is_string());
        // What is at most says why, in a key; what is exact has nothing to say.
        assert_eq!(row["frees"]["label"] == "upper-bound", row["frees"]["why"].is_array(), "{row}");
        let evidence = row["evidence"].as_array().expect("evidence");
        assert!(evidence.len() >= 5 && evidence.iter().all(|e| e["rule"].is_string() && e["text"].is_string()));
    }
    let volume = rows.iter().find(|row| row["name"] == "unattached").expect("a volume");
    assert_eq!(
        (volume["frees"]["bytes"].as_u64(), volume["frees"]["label"].as_str()),
        (Some(100 << 30), Some("exact"))
    );
    assert!(volume["usd_per_month"].as_f64().is_some_and(|usd| (usd - 8.0).abs() < 1e-9), "{volume}");
    let (_, used, _) = world.json(&["orphans", "-o", "json", "--filter", "used-by:lt- verdict:in-use"]).await;
    assert!(used.as_array().is_some_and(|rows| rows.len() >= 5), "{used}");
    let table = world.run(&["orphans"]).await;
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(text.contains("AMI gone") && text.contains("volume gone") && text.contains("unattached"), "{text}");
    assert!(!text.contains("in-use"), "what is in use is not shown unasked");
    assert!(String::from_utf8_lossy(&table.stderr).contains("Not shown: "));
    let page = world.run(&["orphans", "-o", "html"]).await;
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(page.starts_with("<!doctype html>") && page.contains("Orphans by age") && page.contains("us-east-1"));
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"), "nothing is loaded");
    assert_eq!(world.run(&["ls", "snapshots", "-o", "html"]).await.status.code(), Some(2));
}

#[tokio::test]
async fn a_denied_question_is_told_with_its_action_and_the_exit_code_says_partial() {
    let world = crate::support::World::of("clear").await;
    let rules = vec![Rule::of(Fault::Deny).on("DescribeLaunchTemplateVersions")];
    world.running.sandbox.set_faults(Faults { rules, ..Faults::default() });
    let (code, rows, stderr) = world.json(&["orphans", "-o", "json"]).await;
    assert_eq!(code, 3, "{stderr}");
    let rows = rows.as_array().expect("an array");
    assert!(rows.iter().all(|row| row["kind"] == "volume" || row["verdict"] == "unknown"), "only volumes are sure");
    let truths = truths(&world.running, "us-east-1").await;
    let waiting = truths.iter().filter(|(id, truth)| !id.starts_with("vol") && truth.verdict == "orphan").count();
    // Those that only templates keep cannot be told from orphans while templates do not answer.
    let kept = truths.values().filter(|truth| truth.by.len() == 1 && truth.by.contains("launch-templates")).count();
    let said = format!("{} more would be orphans if it says no", waiting + kept);
    assert!(stderr.contains(&said) && stderr.contains("ec2:DescribeLaunchTemplateVersions"), "{said}: {stderr}");
}

#[tokio::test]
async fn names_that_others_wrote_are_inert_in_every_form() {
    let world = crate::support::World::of("clear").await;
    let ec2 = world.ec2("prod", "us-east-1");
    let found = ec2.describe_volumes().filters(filter("tag:Name", "unattached")).send().await.expect("volumes");
    let id = found.volumes()[0].volume_id().expect("an id").to_owned();
    let name = "=HYPERLINK(\"x\")<script>alert(1)</script>";
    let tag = aws_sdk_ec2::types::Tag::builder().key("Name").value(name).build();
    ec2.create_tags().resources(&id).tags(tag).send().await.expect("tagged");
    let page = world.run(&["orphans", "-o", "html"]).await;
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "escaped");
    let table = world.run(&["orphans", "-o", "csv"]).await;
    let mut rows = csv::Reader::from_reader(table.stdout.as_slice());
    let row = rows.records().map(|row| row.expect("a row")).find(|row| &row[0] == id.as_str()).expect("it is there");
    assert_eq!(&row[4], format!("'{name}"), "no spreadsheet takes it for a formula");
}

fn filter(name: &str, value: &str) -> aws_sdk_ec2::types::Filter {
    aws_sdk_ec2::types::Filter::builder().name(name).values(value).build()
}

/// 100,000 snapshots of a thousand volumes that are there, and two hundred of one that is gone.
const MANY: &str = r#"
version = 1
seed = 4
about = "many"
[[account]]
id = "123456789012"
alias = "acme-prod"
profile = "prod"
home = "us-east-1"
user = "user/ops"
[[region]]
name = "us-east-1"
accounts = ["prod"]
[[volume]]
at = "prod@us-east-1"
name = "kept-{n}"
count = 1000
gib = 1
snapshots = { count = 100, newest = "9d" }
[[volume]]
at = "prod@us-east-1"
name = "gone"
gib = 1
state = "gone"
snapshots = { count = 200, newest = "9d" }
[[template]]
at = "prod@us-east-1"
name = "old"
versions = [{}, {}, {}]
"#;

#[tokio::test]
async fn a_hundred_thousand_snapshots_cost_pages_templates_and_candidates() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("many.toml");
    std::fs::write(&file, MANY).expect("written");
    let faults = Faults { short_pages_permille: 0, empty_pages_permille: 0, ..Faults::default() };
    let running = serve(Options { scenario: Some(file), faults, ..Options::default() }).await.expect("it serves");
    let state = StateDir::open(Some(&dir.path().join("state"))).expect("a state directory");
    let aws = world(&running);
    let region = surveyed(&aws, ask("us-east-1"), Some(&state)).await;
    assert_eq!(region.snapshots().len(), 100_200);
    let began = std::time::Instant::now();
    let (policy, mut counts) = (Policy::default(), BTreeMap::<&str, usize>::new());
    let view = View { region: &region, policy: &policy, now: Timestamp::now() };
    for thing in view.things().filter(|thing| thing.id().starts_with("snap")) {
        *counts.entry(view.standing(thing).verdict.word()).or_default() += 1;
    }
    println!("100,200 snapshots judged in {:?}: {counts:?}", began.elapsed());
    assert_eq!((counts.get("orphan"), counts.get("unknown")), (Some(&200), None));
    let calls = asked(&running);
    // Each kind's pages: a full last page carries a token, and one that looks for public snapshots may be empty and
    // carry one, after ten thousand looked at. One page of every other bulk question.
    let pages =
        [("DescribeSnapshots", 101 + 11), ("DescribeVolumes", 2), ("DescribeImages", 1), ("DescribeInstances", 1)];
    for (api, most) in pages {
        assert!(calls[api] <= most, "{api}: {} calls, at most {most}", calls[api]);
    }
    assert_eq!((calls["DescribeLaunchTemplates"], calls["DescribeLaunchTemplateVersions"]), (1, 2));
    assert_eq!(calls["DescribeSnapshotAttribute"], 200, "candidates only");
    surveyed(&aws, ask("us-east-1"), Some(&state)).await;
    assert_eq!(asked(&running), calls, "none is repeated within ten minutes");
}

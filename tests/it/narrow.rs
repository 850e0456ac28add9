//! Things judged just before they are removed: the same verdicts as of the whole region, for calls that do not grow
//! with it.

use std::collections::{BTreeMap, BTreeSet};

use floe::inventory::relations::{Told, again};
use floe::inventory::verdict::{Judged, Policy, Verdict};
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::sandbox::{Options, Running, serve};

use super::inventory::world;
use super::relations::{asked, clear, truths, unknown, yes};

async fn judged(running: &Running, region: &str, ids: &[String]) -> BTreeMap<String, Judged> {
    let (prod, region) = ("prod".parse().expect("a profile"), region.parse().expect("a region"));
    let session = world(running).session(Some(&prod), Some(&region)).await.expect("a session");
    let told = again(&session, ids, &BTreeSet::new(), &Policy::default(), Told::of(Ok(Vec::new())), Vec::new()).await;
    told.expect("judged").judged.into_iter().map(|judged| (judged.id.clone(), judged)).collect()
}

#[tokio::test]
async fn asked_about_alone_or_together_each_thing_gets_the_verdict_that_the_whole_region_gives_it() {
    let running = clear().await;
    let mut wrong = Vec::new();
    for region in ["us-east-1", "eu-west-1"] {
        let truths = truths(&running, region).await;
        let ids: Vec<String> = truths.keys().cloned().collect();
        let together = judged(&running, region, &ids).await;
        assert_eq!(together.keys().collect::<Vec<_>>(), truths.keys().collect::<Vec<_>>());
        for (id, truth) in &truths {
            let alone = judged(&running, region, std::slice::from_ref(id)).await.remove(id).expect("it is there");
            for found in [&alone, &together[id]] {
                if found.verdict.word() != truth.verdict {
                    wrong.push(format!("{id} {}: {:?}, not {}", found.name, found.verdict, truth.verdict));
                }
                // What nobody asks of a whole region, since another rule has decided, is asked here and may say more.
                let said: BTreeSet<String> = yes(found).into_iter().chain(unknown(found)).collect();
                if !said.is_superset(&truth.by) {
                    wrong.push(format!("{id} {}: {said:?} without {:?}", found.name, truth.by));
                }
            }
            let answers = |judged: &Judged| -> Vec<_> {
                judged.evidence.iter().map(|evidence| (evidence.rule.clone(), evidence.answer)).collect()
            };
            if answers(&alone) != answers(&together[id]) {
                wrong.push(format!(
                    "{id} {}: {:?} alone, {:?} together",
                    alone.name, alone.evidence, together[id].evidence
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn with_any_one_question_denied_nothing_turns_into_an_orphan() {
    let running = clear().await;
    let truths = truths(&running, "us-east-1").await;
    let ids: Vec<String> = truths.keys().cloned().collect();
    let full = judged(&running, "us-east-1", &ids).await;
    let questions = [
        "DescribeSnapshots",
        "DescribeImages",
        "DescribeVolumes",
        "DescribeInstances",
        "DescribeLaunchTemplates",
        "DescribeLaunchTemplateVersions",
        "DescribeLockedSnapshots",
        "DescribeFastSnapshotRestores",
        "DescribeSnapshotTierStatus",
        "DescribeSnapshotAttribute",
        "DescribeImageAttribute",
        "DescribeImageReferences",
        "ListSnapshotsInRecycleBin",
        "ListImagesInRecycleBin",
    ];
    for denied in questions {
        let quiet = Faults { short_pages_permille: 0, empty_pages_permille: 0, ..Faults::default() };
        running.sandbox.set_faults(Faults { rules: vec![Rule::of(Fault::Deny).on(denied)], ..quiet });
        let found = judged(&running, "us-east-1", &ids).await;
        for (id, judged) in &found {
            let was = full[id].verdict;
            assert!(
                judged.verdict != Verdict::Orphan || was == Verdict::Orphan,
                "{denied}: {id} {} was {was:?}: {:#?}",
                judged.name,
                judged.evidence
            );
            // Whoever says orphan still has heard every rule that did before.
            if judged.verdict == Verdict::Orphan {
                assert_eq!(unknown(judged), BTreeSet::new(), "{denied}: {id}");
                assert_eq!(judged.evidence.len(), full[id].evidence.len(), "{denied}: {id}");
            }
        }
    }
}

/// A region of `volumes` volumes with a hundred snapshots each, and one gone volume with fifty.
fn region(volumes: usize) -> String {
    format!(
        r#"version = 1
seed = 7
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
name = "kept-{{n}}"
count = {volumes}
gib = 1
snapshots = {{ count = 100, newest = "9d" }}
[[volume]]
at = "prod@us-east-1"
name = "gone"
gib = 1
state = "gone"
snapshots = {{ count = 50, newest = "9d" }}
"#
    )
}

#[tokio::test]
async fn calls_grow_with_the_things_and_not_with_the_region() {
    let mut seen = Vec::new();
    for volumes in [1, 400] {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("some.toml");
        std::fs::write(&file, region(volumes)).expect("written");
        let faults = Faults { short_pages_permille: 0, empty_pages_permille: 0, ..Faults::default() };
        let running = serve(Options { scenario: Some(file), faults, ..Options::default() }).await.expect("it serves");
        let ids: Vec<String> = {
            let model = running.sandbox.model();
            let (account, region) = ("123456789012".parse().expect("id"), "us-east-1".parse().expect("region"));
            let here = model.region(&account, &region).expect("a region");
            let gone = here.snapshots.values().filter(|row| !here.volumes.contains_key(&row.volume_id));
            gone.map(|row| row.id.to_string()).collect()
        };
        assert_eq!(ids.len(), 50);
        let found = judged(&running, "us-east-1", &ids).await;
        assert!(found.values().all(|judged| judged.verdict == Verdict::Orphan), "{found:#?}");
        let calls = asked(&running);
        assert_eq!(calls["DescribeSnapshotAttribute"], 50, "{calls:?}");
        let others: u64 = calls.iter().filter(|(api, _)| *api != "DescribeSnapshotAttribute").map(|(_, n)| n).sum();
        assert!(others <= 14, "{others} calls beside one for each: {calls:?}");
        seen.push(calls);
    }
    assert_eq!(seen[0], seen[1], "a region of a hundred snapshots and one of forty thousand");
}

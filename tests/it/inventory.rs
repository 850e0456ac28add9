//! The look at everything, on scenarios with closed, slow and missing regions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use floe::aws::Aws;
use floe::error::Kind as ErrorKind;
use floe::inventory::{Kind, Regions, Rows, Update, Wanted, find_snapshot, look};
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::sandbox::{Options, Running, serve};
use floe::store::StateDir;

use crate::support::settings;

async fn sandbox(scenario: Option<&str>) -> Running {
    let faults = Faults { short_pages_permille: 0, empty_pages_permille: 0, ..Faults::default() };
    serve(Options { scenario: scenario.map(PathBuf::from), faults, ..Options::default() }).await.expect("it serves")
}

pub fn world(running: &Running) -> Aws {
    Aws::new(settings(running)).expect("a world")
}

fn wanted(kinds: &[Kind]) -> Wanted {
    Wanted {
        profiles: vec![Some("prod".parse().expect("a profile"))],
        regions: Regions::All,
        kinds: kinds.to_vec(),
        remembered: true,
    }
}

/// Everything a look tells, in order.
async fn all(aws: &Aws, wanted: Wanted, state: Option<&StateDir>) -> Vec<Update> {
    let mut reader = look(aws, wanted, state);
    let mut updates = Vec::new();
    let reading = async {
        while let Some(update) = reader.recv().await {
            updates.push(update);
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reading).await.expect("it ends");
    assert!(matches!(updates.last(), Some(Update::Finished)));
    updates
}

fn snapshots(updates: &[Update], remembered: bool) -> BTreeSet<String> {
    let rows = updates.iter().filter_map(|update| match update {
        Update::Page(_, Rows::Snapshots(rows)) if !remembered => Some(rows),
        Update::Remembered(_, Rows::Snapshots(rows), _) if remembered => Some(rows),
        _ => None,
    });
    rows.flatten().map(|row| format!("{}:{}", row.origin.region, row.id)).collect()
}

#[tokio::test]
async fn everything_is_told_in_order_and_remembered_for_the_next_time() {
    let running = sandbox(None).await;
    let dir = tempfile::tempdir().expect("a directory");
    let state = StateDir::open(Some(dir.path())).expect("a state directory");

    let first = all(&world(&running), wanted(&Kind::ALL), Some(&state)).await;
    let live = snapshots(&first, false);
    assert!(live.len() > 100, "{} snapshots", live.len());
    assert!(snapshots(&first, true).is_empty());
    let mut seen: BTreeMap<(String, Kind), u8> = BTreeMap::new();
    for update in &first {
        let (place, step) = match update {
            Update::Started(origin, kind) => ((origin.region.to_string(), *kind), 1),
            Update::Page(origin, rows) => ((origin.region.to_string(), rows.kind()), 2),
            Update::Done(origin, kind, _) => ((origin.region.to_string(), *kind), 3),
            _ => continue,
        };
        let before = seen.insert(place.clone(), step).unwrap_or_default();
        assert!(before <= step && (step == 1 || before > 0), "{place:?}: {step} after {before}");
    }
    assert!(seen.values().all(|step| *step == 3), "{seen:?}");

    let second = all(&world(&running), wanted(&Kind::ALL), Some(&state)).await;
    assert_eq!(snapshots(&second, true), live, "what is remembered is what was seen");
    let position = |wanted: fn(&Update) -> bool| second.iter().position(wanted).expect("it is told");
    assert!(position(|u| matches!(u, Update::Remembered(..))) < position(|u| matches!(u, Update::Started(..))));
}

#[tokio::test]
async fn a_region_that_fails_is_one_message_and_a_closed_one_is_not_asked_again() {
    let running = sandbox(Some("denied")).await;
    let dir = tempfile::tempdir().expect("a directory");
    let state = StateDir::open(Some(dir.path())).expect("a state directory");
    let first = all(&world(&running), wanted(&[Kind::Snapshots]), Some(&state)).await;
    let denied = |updates: &[Update]| -> Vec<String> {
        let closed = updates.iter().filter_map(|update| match update {
            Update::Failed { origin, denied: true, .. } => Some(origin.region.to_string()),
            _ => None,
        });
        closed.collect()
    };
    let closed = denied(&first);
    assert!(!closed.is_empty() && !snapshots(&first, false).is_empty(), "some are closed and some answer: {first:#?}");
    let asked = |running: &Running| running.sandbox.counters().picture().api("DescribeSnapshots").requests;
    let before = asked(&running);
    let answered = first.iter().filter(|update| matches!(update, Update::Done(..))).count();
    let second = all(&world(&running), wanted(&[Kind::Snapshots]), Some(&state)).await;
    assert_eq!(denied(&second).len(), closed.len());
    assert_eq!(usize::try_from(asked(&running) - before).expect("few"), answered, "closed regions are left alone");
}

#[tokio::test]
async fn dropping_the_reader_ends_the_work() {
    let running = sandbox(None).await;
    running
        .sandbox
        .set_faults(Faults { rules: vec![Rule::of(Fault::Hang).on("DescribeSnapshots")], ..Faults::default() });
    let mut reader = look(&world(&running), wanted(&[Kind::Snapshots]), None);
    while let Some(update) = reader.recv().await {
        if matches!(update, Update::Started(..)) {
            break;
        }
    }
    drop(reader);
    let ended = async {
        while running.sandbox.counters().picture().api("DescribeSnapshots").in_flight > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the server saw the connections end");
}

#[tokio::test]
async fn a_snapshot_is_found_where_it_is_and_a_region_is_checked() {
    let running = sandbox(None).await;
    let aws = world(&running);
    let prod = "prod".parse().expect("a profile");
    let id = "snap-0feed0000000da7a3".parse().expect("an id");
    let elsewhere = "eu-west-1".parse().expect("a region");
    let found = find_snapshot(&aws, Some(&prod), &id, &elsewhere).await;
    assert_eq!(found.as_ref().map(floe::ids::Region::as_str), Some("us-east-1"));
    assert_eq!(find_snapshot(&aws, Some(&prod), &id, &"us-east-1".parse().expect("a region")).await, None);

    aws.check_region(Some(&prod), &elsewhere).await.expect("it exists");
    let error =
        aws.check_region(Some(&prod), &"eu-west-77".parse().expect("a spelling")).await.expect_err("it does not");
    assert_eq!(error.kind, ErrorKind::Usage);
    assert!(error.todo.is_some_and(|todo| todo.contains("eu-west-1")));
}

//! A removal whose audit log cannot be written, from some line on or just once: what cannot be written down first is not
//! removed, what was removed is in the log, what is said agrees with both, and what was removed can be brought back.
//!
//! The log is read as text, and what is there is asked of EC2 by its own client.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::removal::{EMPTY, OLD, confirm, outcome, planned, requests, set, there};
use crate::support::World;

/// The snapshot of this volume goes third.
const BOOT: &str = "snap-0feed000000b00701";
const ALL: [&str; 3] = [EMPTY, OLD, BOOT];

/// What is in the log, without a look through floe's own reader.
fn lines(world: &World) -> Vec<Value> {
    let text = std::fs::read_to_string(world.path(".local/state/floe/audit.ndjson")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("no line is cut or doubled")).collect()
}

/// The ids whose removal the log knows: that it was about to be, or that it was.
fn logged(lines: &[Value], event: &str) -> BTreeSet<String> {
    let of = lines.iter().filter(|line| line["event"] == event && line["call"] == "ec2:DeleteSnapshot");
    of.map(|line| line["id"].as_str().expect("an id").to_owned()).collect()
}

async fn ailing(world: &World, hash: &str, illness: &str) -> (i32, Value, String) {
    std::fs::write(world.path("disk.switch"), illness).expect("a switch");
    let mut command = world.floe(&["delete", "--plan", "plan.json", "--confirm", hash, "-o", "json"]);
    command.env("FLOE_AILING_DISK", world.path("disk.switch"));
    let output = tokio::task::spawn_blocking(move || command.output().expect("floe runs")).await.expect("it ends");
    let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().unwrap_or(-1), json, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// How the log fails, and whether the run gets to its end all the same.
fn illnesses() -> Vec<(String, bool)> {
    let mut all = Vec::new();
    for errno in [28, 5] {
        // In its first line, before anything is called; then in the line that says what is about to be removed, the
        // line that says it was, and the last one of the run.
        for word in [
            r#""event":"accepted""#.to_owned(),
            format!(r#""id":"{OLD}""#),
            format!(r#""id":"{BOOT}""#),
            r#""event":"done""#.to_owned(),
            r#""event":"ended""#.to_owned(),
        ] {
            for how in ["", "once only ", "sync "] {
                all.push((format!("{how}{errno} {word}"), false));
            }
            // A sync that fails once is made up for.
            all.push((format!("once sync {errno} {word}"), true));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_down_is_not_removed_and_what_was_removed_is_in_the_log() {
    for (illness, harmless) in illnesses() {
        let world = World::calm().await;
        let hash = planned(&world, &ALL).await;
        let (code, report, said) = ailing(&world, &hash, &illness).await;
        let left = there(&world, "us-east-1", &ALL).await;
        let gone: BTreeSet<String> = set(&ALL).difference(&left).cloned().collect();
        let log = lines(&world);
        let (intents, done) = (logged(&log, "intent"), logged(&log, "done"));
        assert!(gone.is_subset(&intents), "{illness}: what was removed was written down before: {log:?}");
        // A line that could not be made durable may stand there all the same, and was not believed.
        let not_believed = intents.difference(&gone).count();
        assert!(not_believed <= usize::from(illness.starts_with("sync")), "{illness}: {log:?}");
        assert!(done.is_subset(&gone), "{illness}: {log:?}");
        assert!(gone.difference(&done).count() <= 1, "{illness}: at most the last one lacks its answer: {log:?}");
        if harmless {
            assert_eq!((code, &report["removed"]), (0, &3.into()), "{illness}: {said}");
            assert!(left.is_empty() && done.len() == 3, "{illness}: {log:?}");
            continue;
        }
        assert_eq!(code, 1, "{illness}: {said}");
        assert!(said.contains("audit log") && said.contains("nothing is removed without it"), "{illness}: {said}");
        if illness.contains("accepted") {
            assert!(gone.is_empty() && report.is_null(), "{illness}: {said}");
        } else {
            assert_eq!(report["removed"], gone.len(), "{illness}: {report}");
            assert_eq!(report["not_tried"], left.len(), "{illness}: {report}");
            for id in ALL {
                let word = if gone.contains(id) { "deleted" } else { "not tried" };
                assert_eq!(outcome(&report, id)["word"], word, "{illness}: {report}");
            }
            for id in gone.difference(&done) {
                assert!(
                    outcome(&report, id)["note"].as_str().is_some_and(|note| note.contains("audit log")),
                    "{report}"
                );
            }
        }
        // With a disk that is well what is in the bin comes back, and the same plan goes on where it stood.
        std::fs::remove_file(world.path("disk.switch")).expect("healed");
        if let Some(back) = gone.first() {
            let (code, rows, said) = world.json(&["--region", "us-east-1", "restore", back, "-o", "json"]).await;
            assert_eq!((code, &rows[0]["outcome"]), (0, &"restored".into()), "{illness}: {said}");
        }
        let asked = requests(&world, "DeleteSnapshot");
        let (code, report, said) = confirm(&world, &hash).await;
        let again = requests(&world, "DeleteSnapshot") - asked;
        assert_eq!(again as usize, left.len(), "{illness}: {report} {said}");
        let back: BTreeSet<String> = gone.first().cloned().into_iter().collect();
        assert_eq!(there(&world, "us-east-1", &ALL).await, back, "{illness}: {report}");
        assert_eq!(code, if back.is_empty() { 0 } else { 3 }, "{illness}: what was brought back is left alone: {said}");
    }
}

/// What `floe restore` says of each: its word, or that it was not told.
fn word(rows: &Value, id: &str) -> String {
    let mut rows = rows.as_array().into_iter().flatten();
    rows.find(|row| row["id"] == id).and_then(|row| row["outcome"].as_str()).unwrap_or("untold").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_brought_back_is_told_also_when_the_log_fails_in_the_middle() {
    // The line about the second, the line that says that the first is back, the very first line.
    for (illness, back) in [
        (format!(r#"28 "id":"{OLD}""#), vec![EMPTY]),
        (format!(r#"sync 5 "id":"{OLD}""#), vec![EMPTY]),
        (r#"28 "event":"done""#.to_owned(), vec![EMPTY]),
        (r#"once only 5 "event":"done""#.to_owned(), vec![EMPTY]),
        (format!(r#"28 "id":"{EMPTY}""#), vec![]),
    ] {
        let world = World::calm().await;
        let hash = planned(&world, &ALL).await;
        assert_eq!(confirm(&world, &hash).await.0, 0, "{illness}: all three are in the bin");
        std::fs::write(world.path("disk.switch"), &illness).expect("a switch");
        let mut command = world.floe(&["--region", "us-east-1", "restore", EMPTY, OLD, BOOT, "-o", "json"]);
        command.env("FLOE_AILING_DISK", world.path("disk.switch"));
        let output = tokio::task::spawn_blocking(move || command.output().expect("floe runs")).await.expect("it ends");
        let (said, rows) = (
            String::from_utf8_lossy(&output.stderr).into_owned(),
            serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default(),
        );
        assert_eq!(output.status.code(), Some(1), "{illness}: {said}");
        assert!(said.contains("audit log"), "{illness}: {said}");
        assert_eq!(there(&world, "us-east-1", &ALL).await, set(&back), "{illness}: as EC2 says: {rows}");
        assert_eq!(requests(&world, "RestoreSnapshotFromRecycleBin") as usize, back.len(), "{illness}");
        if back.is_empty() {
            assert!(rows.is_null(), "{illness}: {rows}");
            continue;
        }
        for id in ALL {
            let wanted = if back.contains(&id) { "restored" } else { "not tried" };
            assert_eq!(word(&rows, id), wanted, "{illness}: {rows}");
        }
        let log = lines(&world);
        let done =
            log.iter().filter(|line| line["event"] == "done" && line["call"] == "ec2:RestoreSnapshotFromRecycleBin");
        let unsaid = rows[0]["reason"].as_str().is_some_and(|why| why.contains("audit log"));
        assert_eq!((done.count(), unsaid), if illness.contains("done") { (0, true) } else { (1, false) }, "{log:?}");
    }
}

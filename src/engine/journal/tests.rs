use std::fs;

use super::*;
use crate::engine::protocol::{DestinationState, Evidence, JobState, Lanes, Tone};
use crate::ids::{BlockRange, JobId};
use crate::units::{Blocks, Digest};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn note(text: &str) -> Record {
    Record::Note(Note {
        topic: Topic::Throttle,
        subject: "segment 9".into(),
        text: text.into(),
        tone: Tone::Warning,
        count: 1,
    })
}

fn step(dest: u16, step: Step) -> Record {
    Record::Destination { dest, step }
}

/// A job with one destination that wrote and is about to be completed, and one that failed.
fn story() -> Vec<Record> {
    vec![
        Record::Created { job: JobId(14), plan_hash: "7f3a".into(), destinations: 2 },
        Record::State { to: JobState::Starting, why: String::new() },
        Record::Segments(vec![
            Cut { segment: 0, range: BlockRange::new(0, 1000) },
            Cut { segment: 1, range: BlockRange::new(1000, 2000) },
        ]),
        step(0, Step::Starting { attempt: 1, client_token: "14-0-1".into() }),
        step(1, Step::Starting { attempt: 1, client_token: "14-1-1".into() }),
        step(0, Step::Started { id: "snap-0abc1234".into() }),
        step(0, Step::Writing),
        Record::State { to: JobState::Running, why: String::new() },
        step(1, Step::Failed { error: Error::failed("no such key") }),
        Record::Listed { segment: 0, through: 600 },
        Record::Split { from: 1, at: 1500, segment: 2 },
        Record::Listed { segment: 0, through: 400 },
        Record::Setting(Setting::Lanes(Lanes::AtMost(64))),
        Record::Credentials(Credentials::Waiting { profile: "dr".into(), why: "ExpiredToken".into() }),
        note("40 throttles"),
        Record::Progress(Progress { elapsed_ms: 5000, ..Progress::default() }),
        step(0, Step::Completing { blocks: Blocks(900), checksum: Some(Digest([7; 32])) }),
    ]
}

fn write_story(path: &Path) -> Picture {
    let mut journal = Journal::create(path, LIMIT).unwrap();
    for (second, record) in story().into_iter().enumerate() {
        journal.append_sync(at(second as i64), record).unwrap();
    }
    journal.picture().clone()
}

#[test]
fn replay_gives_back_what_was_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.ndjson");
    let picture = write_story(&path);
    let journal = Journal::open(&path, LIMIT).unwrap();
    assert_eq!(journal.picture(), &picture);
    assert_eq!(replay(&path).unwrap(), picture);
    assert_eq!(picture.state, Some((JobState::Running, String::new())));
    assert_eq!(picture.lanes, Some(Lanes::AtMost(64)));
    assert_eq!(picture.waiting, Some(("dr".into(), "ExpiredToken".into())));
    let segments: Vec<_> = picture.segments.values().map(|s| (s.range.start, s.range.end, s.through)).collect();
    assert_eq!(segments, [(0, 1000, 600), (1000, 1500, 1000), (1500, 2000, 1500)], "listing never goes back");
    assert_eq!(picture.next_segment(), 3);
    let [first, second] = &picture.destinations[..] else { panic!("two destinations") };
    assert_eq!((first.state, first.attempt), (DestinationState::Completing, 1));
    assert_eq!(first.id.as_deref(), Some("snap-0abc1234"));
    assert_eq!(first.completing, Some((Blocks(900), Some(Digest([7; 32])))));
    assert_eq!((second.state, second.failed_in), (DestinationState::Failed, Some(DestinationState::Starting)));
    assert_eq!(second.client_token.as_deref(), Some("14-1-1"), "the same token after a crash");
}

#[test]
fn every_cut_of_the_last_line_is_repaired_and_no_other_damage_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.ndjson");
    write_story(&path);
    let whole = fs::read(&path).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    for keep in last..whole.len() {
        fs::write(&path, &whole[..keep]).unwrap();
        let mut journal = Journal::open(&path, LIMIT).unwrap();
        assert_eq!(journal.picture().destinations[0].state, DestinationState::Writing, "cut at {keep}");
        journal.append_sync(at(99), Record::OneCursor).unwrap();
        drop(journal);
        assert!(replay(&path).unwrap().one_cursor, "the next line begins where the torn one did");
    }
    // A hole of zeros in the last line (the length was saved, the content was not) is a torn line, too.
    let mut holed = whole.clone();
    holed[last + 5..].fill(0);
    fs::write(&path, &holed).unwrap();
    assert_eq!(Journal::open(&path, LIMIT).unwrap().len().0, last as u64);
    for (line, start) in std::iter::once(0)
        .chain(whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(n, _)| n + 1))
        .take_while(|start| *start < last)
        .enumerate()
    {
        let mut broken = whole.clone();
        broken[start] = b'#';
        fs::write(&path, &broken).unwrap();
        let error = Journal::open(&path, LIMIT).unwrap_err();
        assert!(error.what.contains(&format!("line {}", line + 1)), "{error}");
        assert_eq!(fs::read(&path).unwrap(), broken, "what is not understood is not touched");
    }
}

#[test]
fn what_this_floe_does_not_know_is_refused_even_in_the_last_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.ndjson");
    write_story(&path);
    let whole = fs::read_to_string(&path).unwrap();
    for (line, says) in [
        (r#"{"v":2,"at":"2026-01-01T00:00:00Z","record":"one-cursor"}"#, "version 2"),
        (r#"{"v":1,"at":"2026-01-01T00:00:00Z","record":{"teleported":{}}}"#, "does not know"),
        (r#"{"at":"2026-01-01T00:00:00Z"}"#, "without a version"),
        (r#"{"v":1,"at":"2026-01-01T00:00:00Z","record":{"listed":{"segment":77,"through":1}}}"#, "no segment 77"),
    ] {
        let text = format!("{whole}{line}\n");
        fs::write(&path, &text).unwrap();
        let error = Journal::open(&path, LIMIT).unwrap_err();
        assert!(error.what.contains(says) && error.what.contains("line 18"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "and kept");
    }
}

#[test]
fn a_step_out_of_order_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.ndjson");
    let mut journal = Journal::create(&path, LIMIT).unwrap();
    journal.append(at(0), Record::Created { job: JobId(1), plan_hash: "a".into(), destinations: 1 }).unwrap();
    let before = journal.len();
    let done = Step::Completed { evidence: Evidence::Service, image: None };
    assert!(journal.append_sync(at(1), step(0, done.clone())).is_err(), "nothing was written yet");
    assert!(journal.append(at(1), step(1, Step::Writing)).is_err());
    assert!(journal.append(at(1), Record::Split { from: 0, at: 5, segment: 1 }).is_err());
    assert_eq!(journal.len(), before);
    for next in [
        Step::Starting { attempt: 1, client_token: "t".into() },
        Step::Starting { attempt: 1, client_token: "t".into() },
        Step::Writing,
        Step::Completing { blocks: Blocks(0), checksum: None },
        Step::Checking,
        done,
    ] {
        journal.append_sync(at(2), step(0, next)).unwrap();
    }
    let late = [Step::Writing, Step::Failed { error: Error::failed("x") }, Step::Checking];
    for wrong in late {
        assert!(journal.append(at(3), step(0, wrong)).is_err(), "what is completed stays so");
    }
    assert!(Journal::create(&path, LIMIT).is_err(), "a journal is never started over");
}

#[test]
fn a_destination_that_died_starts_anew_with_another_token() {
    let mut picture = Picture::default();
    for record in story().into_iter().take(7) {
        picture.apply(at(0), &record).unwrap();
    }
    let anew = Step::Starting { attempt: 2, client_token: "14-0-2".into() };
    picture.apply(at(1), &step(0, anew)).unwrap();
    let known = &picture.destinations[0];
    assert_eq!((known.id.as_deref(), known.client_token.as_deref()), (None, Some("14-0-2")));
}

#[test]
fn a_week_of_throttles_stays_within_its_bound_and_loses_no_state() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.ndjson");
    let mut journal = Journal::create(&path, Bytes::kib(64)).unwrap();
    for record in story() {
        journal.append(at(0), record).unwrap();
    }
    for nth in 0..20_000u32 {
        journal.append(at(i64::from(nth)), note(&format!("throttle {nth}"))).unwrap();
        if nth % 10 == 0 {
            journal.append(at(i64::from(nth)), Record::Listed { segment: 0, through: 600 + nth / 100 }).unwrap();
        }
        assert!(journal.len() <= Bytes::kib(66), "{}", journal.len());
    }
    let picture = journal.picture().clone();
    assert_eq!(picture.segments[&0].through, 799);
    drop(journal);
    assert!(fs::metadata(&path).unwrap().len() <= 66 * 1024);
    let journal = Journal::open(&path, Bytes::kib(64)).unwrap();
    assert_eq!(journal.picture().destinations, picture.destinations);
    assert_eq!(journal.picture().segments, picture.segments);
    let notes = tail(&path, 50, Record::is_note).unwrap();
    assert_eq!(notes.len(), 50);
    assert!(matches!(&notes[49].record, Record::Note(n) if n.text == "throttle 19999"), "the latest are kept");
    assert!(journal.picture().notes_dropped > 10_000, "and what was dropped is counted");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no litter");
}

/// A journal with its story, and a disk of this thread that fails as told.
fn ailing_journal(illness: &str) -> (tempfile::TempDir, PathBuf, Journal, Picture) {
    use crate::store::ailing::in_tests::ail;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.ndjson");
    let picture = write_story(&path);
    let journal = Journal::open(&path, LIMIT).unwrap();
    ail(Some(illness));
    (dir, path, journal, picture)
}

fn inode(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap())
}

#[test]
fn a_sync_that_fails_once_writes_everything_to_a_new_file() {
    let (_dir, path, mut journal, before) = ailing_journal("once sync 5");
    let old = inode(&path);
    journal.append_sync(at(50), Record::OneCursor).unwrap();
    assert_ne!(inode(&path), old, "what was in the old one may be lost, whatever it shows");
    let told = replay(&path).unwrap();
    assert!(told.one_cursor && told.destinations == before.destinations && told.segments == before.segments);
    assert_eq!(tail(&path, 50, Record::is_note).unwrap().len(), 1, "notes are kept");
    journal.append_sync(at(51), step(0, Step::Checking)).unwrap();
    assert_eq!(replay(&path).unwrap(), *journal.picture());
}

#[test]
fn a_sync_on_a_full_disk_is_tried_again_and_until_then_nothing_was_said() {
    use crate::store::ailing::in_tests::ail;
    let (dir, path, mut journal, before) = ailing_journal("sync 28");
    for second in 50..53 {
        let error = journal.append_sync(at(second), step(0, Step::Checking)).unwrap_err();
        assert_eq!(error.class, Class::Quota, "{error}");
        assert!(error.what.contains("events.ndjson") && error.what.contains("No space left"), "{error}");
        assert!(error.todo.as_deref().is_some_and(|todo| todo.contains("free some space: up to 1 MiB")), "{error:?}");
        assert_eq!(journal.picture().destinations, before.destinations, "not said, so not believed");
    }
    ail(None);
    let old = inode(&path);
    journal.append_sync(at(60), step(0, Step::Checking)).unwrap();
    assert_ne!(inode(&path), old);
    assert_eq!(replay(&path).unwrap(), *journal.picture());
    assert_eq!(journal.picture().destinations[0].state, DestinationState::Checking);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no litter");
}

#[test]
fn a_disk_that_fails_twice_ends_it_with_a_sentence_and_the_old_lines_stay() {
    use crate::store::ailing::in_tests::ail;
    let (_dir, path, mut journal, before) = ailing_journal("sync 5");
    let whole = fs::read(&path).unwrap();
    let error = journal.append_sync(at(50), Record::OneCursor).unwrap_err();
    assert_eq!(error.class, Class::Permanent, "{error}");
    assert!(error.todo.as_deref().is_some_and(|todo| todo.contains("state directory writable")), "{error:?}");
    ail(None);
    assert!(fs::read(&path).unwrap().starts_with(&whole));
    assert_eq!(Journal::open(&path, LIMIT).unwrap().picture().destinations, before.destinations);
}

#[test]
fn a_folding_that_fails_loses_no_line() {
    use crate::store::ailing::in_tests::ail;
    // Its content cannot be written, or not be made durable; or its name is not (the second sync of a folding).
    for illness in
        ["only 28 events.ndjson", "only sync 28 events.ndjson", "only 5 events.ndjson", "once sync 28 journal"]
    {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.ndjson");
        let mut journal = Journal::create(&path, Bytes::kib(16)).unwrap();
        for record in story() {
            journal.append(at(0), record).unwrap();
        }
        ail(Some(illness));
        for nth in 0..600u32 {
            journal.append(at(i64::from(nth)), note(&format!("note {nth}"))).unwrap();
            journal.append(at(i64::from(nth)), Record::Listed { segment: 0, through: 600 + nth / 10 }).unwrap();
        }
        let told = replay(&path).unwrap();
        assert_eq!((told.segments[&0].through, told.destinations.len()), (659, 2), "{illness}");
        ail(None);
        journal.append_sync(at(700), Record::OneCursor).unwrap();
        drop(journal);
        let journal = Journal::open(&path, Bytes::kib(16)).unwrap();
        assert!(journal.picture().one_cursor && journal.picture().segments[&0].through == 659, "{illness}");
        let notes = tail(&path, 1, Record::is_note).unwrap();
        assert!(matches!(&notes[0].record, Record::Note(n) if n.text == "note 599"), "{illness}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{illness}: no litter");
    }
}

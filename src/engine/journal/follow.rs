//! Reads what a journal gains while somebody else writes it.
//!
//! Invariant: every entry comes once, in order. A journal that was folded meanwhile is read anew from its start, and
//! what was given before is known by the last note of it, which a folding keeps; by its time where there was none. (Times
//! alone do not tell: a clock that was set back writes later lines of earlier times.) A torn last line waits until it is
//! whole.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use jiff::Timestamp;

use super::{Entry, parse};
use crate::error::{Error, Result};

/// One reader of one journal.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    /// The file that was read, and up to where.
    place: Option<(u64, u64)>,
    /// Given up to this moment, and how many of it.
    given: (Timestamp, usize),
    /// The last note that was given.
    last: Option<Entry>,
}

impl Follow {
    /// Everything that is written from `since` on.
    #[must_use]
    pub const fn since(path: PathBuf, since: Timestamp) -> Self {
        Self { path, place: None, given: (since, 0), last: None }
    }

    /// The entries that it gained since the last call; none while it does not exist.
    ///
    /// # Errors
    /// It cannot be read, or holds a line of another version.
    pub fn fresh(&mut self) -> Result<Vec<Entry>> {
        let doing = |e: &std::io::Error| Error::io(format!("could not read {}", self.path.display()), e);
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(doing(&e)),
        };
        let meta = file.metadata().map_err(|e| doing(&e))?;
        let known = self.place.filter(|(inode, at)| *inode == meta.ino() && *at <= meta.len());
        let mut at = known.map_or(0, |(_, at)| at);
        let mut skip = if known.is_none() { self.given.1 } else { 0 };
        file.seek(SeekFrom::Start(at)).map_err(|e| doing(&e))?;
        let (mut reader, mut line, mut entries) = (BufReader::new(file), Vec::new(), Vec::new());
        let mut behind = false;
        loop {
            line.clear();
            let count = reader.read_until(b'\n', &mut line).map_err(|e| doing(&e))? as u64;
            let Some((_, entry)) = parse(&line)? else { break };
            at += count;
            if known.is_none() && self.last.as_ref() == Some(&entry) {
                // It and all before it were given; all that follows was not, whatever its time.
                (behind, entries) = (true, Vec::new());
                continue;
            }
            if known.is_none() && !behind {
                if entry.at < self.given.0 {
                    continue;
                }
                if entry.at == self.given.0 && skip > 0 {
                    skip -= 1;
                    continue;
                }
            }
            entries.push(entry);
        }
        self.place = Some((meta.ino(), at));
        for entry in &entries {
            self.given = if entry.at == self.given.0 { (entry.at, self.given.1 + 1) } else { (entry.at, 1) };
        }
        if let Some(note) = entries.iter().rfind(|entry| entry.record.is_note()) {
            self.last = Some(note.clone());
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::{Journal, LIMIT, Note, Record, Topic};
    use super::*;
    use crate::engine::protocol::Tone;
    use crate::units::Bytes;

    fn note(text: &str) -> Record {
        let (subject, text) = ("lanes".to_owned(), text.to_owned());
        Record::Note(Note { topic: Topic::Other, subject, text, tone: Tone::Info, count: 1 })
    }

    fn texts(entries: Vec<Entry>) -> Vec<String> {
        let text = |entry: Entry| if let Record::Note(note) = entry.record { Some(note.text) } else { None };
        entries.into_iter().filter_map(text).collect()
    }

    #[test]
    fn each_entry_comes_once_also_at_one_moment_and_across_a_folding() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.ndjson");
        let at: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let mut follow = Follow::since(path.clone(), at);
        assert!(follow.fresh().unwrap().is_empty(), "no journal yet");
        let mut journal = Journal::create(&path, LIMIT).unwrap();
        let before = at.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap();
        journal.append(before, note("earlier")).unwrap();
        journal.append(at, note("a")).unwrap();
        journal.append(at, note("b")).unwrap();
        assert_eq!(texts(follow.fresh().unwrap()), ["a", "b"]);
        assert!(follow.fresh().unwrap().is_empty());
        journal.append(at, note("c")).unwrap();
        assert_eq!(texts(follow.fresh().unwrap()), ["c"]);
        drop(journal);

        // Opened with no room at all it is folded at the next line: another file, the latest notes kept.
        let mut journal = Journal::open(&path, Bytes(1)).unwrap();
        let later = at.checked_add(jiff::SignedDuration::from_secs(1)).unwrap();
        journal.append(later, note("d")).unwrap();
        journal.append(later, note("e")).unwrap();
        assert_eq!(texts(follow.fresh().unwrap()), ["d", "e"]);
    }

    #[test]
    fn a_clock_that_is_set_back_or_ahead_by_a_day_loses_no_line_and_repeats_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.ndjson");
        let noon: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let day = jiff::SignedDuration::from_hours(24);
        let mut follow = Follow::since(path.clone(), noon);
        let mut journal = Journal::create(&path, LIMIT).unwrap();
        journal.append(noon, note("a")).unwrap();
        journal.append(noon + day, note("b")).unwrap();
        assert_eq!(texts(follow.fresh().unwrap()), ["a", "b"]);
        journal.append(noon - day, note("c")).unwrap();
        journal.append(noon - day, note("c again")).unwrap();
        assert_eq!(texts(follow.fresh().unwrap()), ["c", "c again"]);
        drop(journal);
        // Each line folds: every reading begins anew, with times that go up and down.
        for (at, text) in [(noon + day, "d"), (noon - day, "e"), (noon, "f"), (noon + day + day, "g")] {
            let mut journal = Journal::open(&path, Bytes(1)).unwrap();
            journal.append(at, note(text)).unwrap();
            assert_eq!(texts(follow.fresh().unwrap()), [text]);
            assert!(follow.fresh().unwrap().is_empty(), "{text}: once");
        }
    }

    #[test]
    fn a_torn_line_waits_until_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.ndjson");
        let at: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let mut journal = Journal::create(&path, LIMIT).unwrap();
        journal.append(at, note("a")).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&whole[..20]).unwrap();
        let mut follow = Follow::since(path, at);
        assert_eq!(texts(follow.fresh().unwrap()), ["a"]);
        assert!(follow.fresh().unwrap().is_empty());
        file.write_all(&whole[20..]).unwrap();
        assert_eq!(texts(follow.fresh().unwrap()), ["a"]);
    }
}

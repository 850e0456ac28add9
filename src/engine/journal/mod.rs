//! The journal of a job: `events.ndjson`, one typed line after another, everything that the ledger is not.
//!
//! Invariant: what [`Journal::append_sync`] returned from is on the disk, so an intent is there before the
//! call that it announces. A last line that a crash tore is cut off on opening; a broken line anywhere else
//! is an error, never skipped. The file is bounded: past its limit it is folded into one checkpoint line and
//! the latest notes, so that a job throttled for a week cannot fill the disk. After a sync that failed nothing of the
//! file is trusted or added to: what it said is written to a new one first. Called by the job that owns it.

mod follow;
mod picture;
mod record;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

pub use self::follow::Follow;
pub use self::picture::{DestinationPicture, Picture, SegmentPicture, UploadPicture};
pub use self::record::{Checked, Credentials, Cut, Entry, Note, Progress, Record, Setting, Step, Topic, Uploading};
use crate::error::{Class, Error, Result};
use crate::store::ailing;
use crate::store::atomic::{self, NewFile};
use crate::units::Bytes;

/// Version of the lines.
pub const VERSION: u32 = 1;
/// How large the file may grow unless told.
pub const LIMIT: Bytes = Bytes::mib(4);
/// A line is never longer; more without a line break is not a journal.
const MAX_LINE: u64 = 16 * 1024 * 1024;

/// The open journal of one job: one writer.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    len: u64,
    limit: u64,
    /// The length at which it is folded: the limit, or twice what the last folding left.
    fold_at: u64,
    unsynced: bool,
    /// What was written may not be on the disk, or ends in half a line: before anything is added or relied on, all of it
    /// is written anew, to a new file, from what is held here.
    suspect: bool,
    /// The file under its name is not this one any more.
    gone: bool,
    picture: Picture,
    /// The latest notes as lines, at most a quarter of the limit: what a folding keeps.
    notes: VecDeque<String>,
    notes_bytes: u64,
}

impl Journal {
    /// Begins the journal of a new job (0600); its name is durable when this returns.
    ///
    /// # Errors
    /// It exists already, or the disk refuses.
    pub fn create(path: &Path, limit: Bytes) -> Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|cause| Error::io(format!("could not create the journal {}", path.display()), &cause))?;
        atomic::sync_dir(path.parent().unwrap_or(Path::new(".")))?;
        Ok(Self::over(path, file, limit))
    }

    /// Opens a journal, cuts off a last line that a crash tore, and replays the rest.
    ///
    /// # Errors
    /// Missing, of an unknown version or kind, or broken before its last line (the line's number is named).
    pub fn open(path: &Path, limit: Bytes) -> Result<Self> {
        let doing = |cause: &std::io::Error| Error::io(format!("could not open the journal {}", path.display()), cause);
        let file = OpenOptions::new().append(true).read(true).open(path).map_err(|c| doing(&c))?;
        let mut journal = Self::over(path, file, limit);
        let whole = read(path, |line, entry| {
            journal.picture.apply(entry.at, &entry.record)?;
            if entry.record.is_note() {
                journal.keep_note(line.to_owned());
            }
            Ok(())
        })?;
        let length = journal.file.metadata().map_err(|c| doing(&c))?.len();
        if length > whole {
            journal.file.set_len(whole).and_then(|()| journal.file.sync_data()).map_err(|c| doing(&c))?;
        }
        rewrite(path, whole).map_err(|c| doing(&c))?;
        journal.len = whole;
        journal.fold_at = journal.limit.max(whole.min(2 * journal.limit));
        Ok(journal)
    }

    fn over(path: &Path, file: File, limit: Bytes) -> Self {
        let limit = limit.0.max(4096);
        Self {
            path: path.to_owned(),
            file,
            len: 0,
            limit,
            fold_at: limit,
            unsynced: false,
            suspect: false,
            gone: false,
            picture: Picture::default(),
            notes: VecDeque::new(),
            notes_bytes: 0,
        }
    }

    /// What all lines say together, the latest included.
    pub const fn picture(&self) -> &Picture {
        &self.picture
    }

    /// Its length in bytes.
    pub const fn len(&self) -> Bytes {
        Bytes(self.len)
    }

    /// Whether nothing was ever written to it.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes a line that may be lost in a power cut (not in a crash of this process): notes, `listed`, progress.
    ///
    /// # Errors
    /// It does not fit what came before (nothing is written then), or the disk refuses.
    pub fn append(&mut self, at: Timestamp, record: Record) -> Result<()> {
        if self.suspect {
            self.mend()?;
        }
        let mut next = None;
        if !record.is_note() {
            let mut picture = self.picture.clone();
            picture.apply(at, &record)?;
            next = Some(picture);
        }
        let is_note = record.is_note();
        let line = encode(Entry { v: VERSION, at, record })?;
        self.write(&line)?;
        match next {
            Some(picture) => self.picture = picture,
            None => self.picture.last = Some(at),
        }
        if is_note {
            self.keep_note(line);
        }
        if self.len > self.fold_at
            && let Err(error) = self.fold(at)
        {
            // The line is written; a disk too full to fold says so at the next one that does not fit.
            tracing::warn!(%error, "could not fold the journal");
            self.fold_at = self.len + self.limit / 4;
        }
        Ok(())
    }

    /// Writes a line and returns when it, and every line before it, is on the disk. For everything that a call
    /// with effects relies on.
    ///
    /// # Errors
    /// As [`Journal::append`] and [`Journal::sync`]; nothing is held to have been said then.
    pub fn append_sync(&mut self, at: Timestamp, record: Record) -> Result<()> {
        let before = self.picture.clone();
        self.append(at, record)?;
        self.sync().inspect_err(|_| self.picture = before)
    }

    /// Makes every line written so far durable.
    ///
    /// # Errors
    /// The disk is full: call again when there is room, and what may be lost is written again. Or it failed twice: final.
    pub fn sync(&mut self) -> Result<()> {
        if self.suspect {
            return self.mend();
        }
        if self.unsynced {
            if let Err(cause) = ailing::sync("journal").and_then(|()| self.file.sync_data()) {
                self.suspect = true;
                let error = self.refused("sync", &cause);
                if error.class == Class::Quota {
                    return Err(error);
                }
                tracing::warn!(%error, "written anew");
                self.mend()?;
            }
            self.unsynced = false;
            // Lines that nobody will ever find prove nothing: a result without its record is no result.
            self.must_be_there()?;
        }
        Ok(())
    }

    /// Writes to a new file what may have been lost of this one.
    fn mend(&mut self) -> Result<()> {
        self.must_be_there()?;
        let at = self.picture.last.unwrap_or_else(crate::wall::now);
        self.fold(at).map_err(|error| match error.class {
            Class::Quota => error.todo(self.room()),
            _ => error.todo(records_todo()),
        })
    }

    fn must_be_there(&mut self) -> Result<()> {
        self.gone = self.gone || !self.is_there();
        if !self.gone {
            return Ok(());
        }
        let what = format!("the journal {} was removed or moved while its job ran", self.path.display());
        Err(Error::failed(what)
            .todo("put the state directory back and `floe jobs resume`; without it, look at what the job made, and copy again"))
    }

    /// What could not be done with it, and what to do; with the room that it needs where the disk is full.
    fn refused(&self, doing: &str, cause: &std::io::Error) -> Error {
        records(format!("could not {doing} the journal {}", self.path.display()), cause, self.room())
    }

    /// A new file beside the old one, and what it grows by until it is folded.
    fn room(&self) -> String {
        room(Bytes(self.len.max(self.limit / 4)))
    }

    /// Whether the file is still the one under its name.
    fn is_there(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let id = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
        match (std::fs::metadata(&self.path).map(id), self.file.metadata().map(id)) {
            (Ok(there), Ok(ours)) => there == ours,
            _ => false,
        }
    }

    fn write(&mut self, line: &str) -> Result<()> {
        if let Err(cause) = ailing::write(line).and_then(|()| self.file.write_all(line.as_bytes())) {
            // Half a line must not stay in front of the next one.
            self.suspect = self.file.set_len(self.len).is_err();
            return Err(self.refused("write", &cause));
        }
        self.len += line.len() as u64;
        self.unsynced = true;
        Ok(())
    }

    fn keep_note(&mut self, line: String) {
        self.notes_bytes += line.len() as u64;
        self.notes.push_back(line);
        while self.notes_bytes > self.limit / 4 {
            let Some(dropped) = self.notes.pop_front() else { break };
            self.notes_bytes -= dropped.len() as u64;
            // Only counted as lost when a folding drops them from the file; until then they are still there.
            self.picture.notes_dropped += 1;
        }
    }

    /// Replaces the file by a checkpoint and the latest notes, durably and in one step.
    fn fold(&mut self, at: Timestamp) -> Result<()> {
        let checkpoint = Record::Checkpoint(Box::new(self.picture.clone()));
        let line = encode(Entry { v: VERSION, at, record: checkpoint })?;
        let mut new = NewFile::create(&self.path)?;
        new.write_all(line.as_bytes())?;
        let mut len = line.len() as u64;
        for note in &self.notes {
            new.write_all(note.as_bytes())?;
            len += note.len() as u64;
        }
        self.file = new.replace()?;
        self.len = len;
        self.fold_at = self.limit.max(2 * len);
        self.unsynced = false;
        // Whole, but its name may not be on the disk yet.
        let named = ailing::sync("journal").map_err(|cause| self.refused("name", &cause));
        let named = named.and_then(|()| atomic::sync_dir(self.path.parent().unwrap_or(Path::new("."))));
        self.suspect = named.is_err();
        named
    }
}

/// A job's own records cannot be written: another place does not help, this one has to be mended. A full disk is waited
/// for, with `room` for how much is needed.
pub(super) fn records(what: impl Into<String>, cause: &std::io::Error, room: String) -> Error {
    let error = Error::io(what, cause);
    match error.class {
        Class::Quota => error.todo(room),
        _ => error.todo(records_todo()),
    }
}

const fn records_todo() -> &'static str {
    "make the state directory writable again, then `floe jobs resume` goes on from the last line that was saved"
}

/// What to do where so much more room is needed.
pub(super) fn room(more: Bytes) -> String {
    format!("free some space: up to {more} for this job's own records; what waits for it goes on by itself")
}

/// Writes the lines of an earlier process again, as they are: it may have ended after a sync that failed, and then the
/// kernel shows what the disk has not.
fn rewrite(path: &Path, whole: u64) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut piece = vec![0; 64 * 1024];
    let mut at = 0;
    while at < whole {
        let length = piece.len().min(usize::try_from(whole - at).unwrap_or(usize::MAX));
        file.read_exact_at(&mut piece[..length], at)?;
        file.write_all_at(&piece[..length], at)?;
        at += length as u64;
    }
    ailing::sync("journal").and_then(|()| file.sync_data())
}

/// The latest entries of a journal that pass `keep`, oldest first, at most `max`: for the log view, also of a
/// job that runs elsewhere. A torn last line is left alone.
///
/// # Errors
/// As [`Journal::open`].
pub fn tail(path: &Path, max: usize, keep: impl Fn(&Record) -> bool) -> Result<Vec<Entry>> {
    let mut latest = VecDeque::new();
    read(path, |_, entry| {
        if keep(&entry.record) && max > 0 {
            if latest.len() == max {
                latest.pop_front();
            }
            latest.push_back(entry);
        }
        Ok(())
    })?;
    Ok(latest.into())
}

/// Replays a journal without opening it for writing: what `jobs ls` shows of jobs that nobody runs.
///
/// # Errors
/// As [`Journal::open`].
pub fn replay(path: &Path) -> Result<Picture> {
    let mut picture = Picture::default();
    read(path, |_, entry| picture.apply(entry.at, &entry.record))?;
    Ok(picture)
}

fn encode(entry: Entry) -> Result<String> {
    let mut line =
        serde_json::to_string(&entry).map_err(|e| Error::failed(format!("could not write a journal line: {e}")))?;
    line.push('\n');
    Ok(line)
}

/// Reads all whole lines; returns the length of the file up to and including the last good one.
fn read(path: &Path, mut each: impl FnMut(&str, Entry) -> Result<()>) -> Result<u64> {
    let doing = |cause: &std::io::Error| Error::io(format!("could not read the journal {}", path.display()), cause);
    let mut reader = BufReader::new(File::open(path).map_err(|c| doing(&c))?);
    let mut line = Vec::new();
    let (mut whole, mut number) = (0, 0u64);
    loop {
        line.clear();
        let count = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).map_err(|c| doing(&c))? as u64;
        if count == 0 {
            return Ok(whole);
        }
        number += 1;
        let parsed = parse(&line).map_err(|e| e.during(format!("{} line {number}", path.display())))?;
        let Some((text, entry)) = parsed else {
            // Torn by a crash, if nothing follows it.
            if reader.fill_buf().map_err(|c| doing(&c))?.is_empty() {
                return Ok(whole);
            }
            return Err(Error::failed(format!("the journal {} is broken in line {number}", path.display()))
                .todo("check this disk; the job cannot be resumed from a damaged journal"));
        };
        each(text, entry).map_err(|e| e.during(format!("{} line {number}", path.display())))?;
        whole += count;
    }
}

/// `None` for what is not a whole line of JSON; an error for a line that is whole and not for this floe.
fn parse(line: &[u8]) -> Result<Option<(&str, Entry)>> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u32,
    }
    let Some(text) = line.last().filter(|last| **last == b'\n').and_then(|_| std::str::from_utf8(line).ok()) else {
        return Ok(None);
    };
    // Nearly every line is one of ours; what it is instead is only asked of one that is not.
    if let Ok(entry @ Entry { v: VERSION, .. }) = serde_json::from_str::<Entry>(text) {
        return Ok(Some((text, entry)));
    }
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return Ok(None);
    }
    match serde_json::from_str::<Versioned>(text) {
        Ok(Versioned { v: VERSION }) => {}
        Ok(Versioned { v }) => {
            return Err(Error::failed(format!("a line of version {v}, this floe reads version {VERSION}"))
                .todo("use the version of floe that wrote it"));
        }
        Err(_) => return Err(Error::failed("a line without a version")),
    }
    let entry = serde_json::from_str(text).map_err(|e| {
        Error::failed(format!("a line that this floe does not know: {e}")).todo("use the version of floe that wrote it")
    })?;
    Ok(Some((text, entry)))
}

//! The audit log: who removed or brought back what, when and why, and what came of it. Append-only, one JSON a line.
//!
//! A line is synced before a call is made and after its answer, so that after a `kill -9` the log says what was about
//! to happen: an intent without a result. What was refused is in it too. Several processes may append: a line is one
//! write.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{StateDir, ailing, atomic};
use crate::error::{Error, Result};
use crate::grant::is_written;
use crate::ids::{AccountId, Region};

/// The version of a line.
pub const VERSION: u32 = 1;

/// What a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A plan was accepted; what it may do stands in its text.
    Accepted,
    /// A call is about to be made.
    Intent,
    /// It did what it should.
    Done,
    /// It failed.
    Failed,
    /// Nothing was called: what was found just before forbids it.
    Skipped,
    /// Something was asked for that is not allowed.
    Refused,
    /// A run came to its end.
    Ended,
}

impl Event {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Intent => "intent",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
            Self::Ended => "ended",
        }
    }
}

/// What one rule answered when it was asked for the last time before the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Because {
    /// Its name.
    pub rule: String,
    /// `yes`, `no`, `unknown`, `hint`.
    pub answer: String,
    /// In words.
    pub text: String,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// [`VERSION`].
    pub v: u32,
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Event,
    /// Who, and how it was accepted.
    pub who: String,
    /// The plan, in short: `7f3a-91c0-5e2d-0b17`; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub plan: String,
    /// The account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// The call, as IAM names it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub call: String,
    /// On what.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What that is called.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Why: the verdict, as `orphan`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub verdict: String,
    /// And what it rests on: each rule, its answer, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Because>,
    /// AWS's code, where it refused.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// AWS's name for the request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// Until when it can be brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_until: Option<Timestamp>,
    /// The rest, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

impl Entry {
    /// A line of now.
    #[must_use]
    pub fn new(event: Event, who: &str, text: impl Into<String>) -> Self {
        Self {
            v: VERSION,
            at: crate::wall::now(),
            event,
            who: who.to_owned(),
            plan: String::new(),
            account: None,
            region: None,
            call: String::new(),
            id: String::new(),
            name: String::new(),
            verdict: String::new(),
            evidence: Vec::new(),
            code: String::new(),
            request_id: String::new(),
            back_until: None,
            text: text.into(),
        }
    }

    /// The same with what AWS said of a failure.
    #[must_use]
    pub fn because(mut self, error: &Error) -> Self {
        if let Some(aws) = &error.aws {
            self.code.clone_from(&aws.code);
            self.request_id = aws.request_id.clone().unwrap_or_default();
        }
        self.text.clone_from(&error.what);
        self
    }
}

/// The log of one state directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit {
    path: PathBuf,
}

/// What was read of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// Lines, oldest first.
    pub entries: Vec<Entry>,
    /// Lines that cannot be read: cut off by a power cut, or of another version.
    pub unread: u64,
}

impl Audit {
    /// The log of a state directory.
    #[must_use]
    pub fn of(state: &StateDir) -> Self {
        Self { path: state.root().join("audit.ndjson") }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a line and syncs it.
    ///
    /// # Errors
    /// It is not on the disk: what it would have told of must not be done.
    pub fn append(&self, entry: &Entry) -> Result<()> {
        let broken = |e: &std::io::Error| {
            Error::io(format!("could not write the audit log {}", self.path.display()), e)
                .todo("nothing is removed without it, nor brought back: make room, or mend its owner and mode")
        };
        let new = !self.path.exists();
        let opened = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(&self.path);
        let mut file = opened.and_then(regular).map_err(|e| broken(&e))?;
        let mut line = serde_json::to_vec(entry).map_err(|e| Error::failed(format!("an audit line: {e}")))?;
        line.push(b'\n');
        if torn(&mut file).map_err(|e| broken(&e))? {
            line.insert(0, b'\n');
        }
        write(&mut file, &self.path, &line).map_err(|e| broken(&e))?;
        if new && let Some(dir) = self.path.parent() {
            atomic::sync_dir(dir)?;
        }
        Ok(())
    }

    /// Reads the lines that `keep` keeps. No log is an empty one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, keep: impl Fn(&Entry) -> bool) -> Result<Told> {
        let broken = |e: &std::io::Error| {
            Error::io(format!("could not read the audit log {}", self.path.display()), e)
                .todo("nothing is removed without it, nor brought back: make room, or mend its owner and mode")
        };
        let file = match File::open(&self.path).and_then(regular) {
            Ok(file) => file,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Told::default()),
            Err(cause) => return Err(broken(&cause)),
        };
        let mut told = Told::default();
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(|e| broken(&e))?;
            if line.is_empty() {
                continue;
            }
            match serde_json::from_slice::<Entry>(&line) {
                Ok(entry) if entry.v == VERSION => {
                    if keep(&entry) {
                        told.entries.push(entry);
                    }
                }
                _ => told.unread += 1,
            }
        }
        Ok(told)
    }

    /// What an earlier run of this plan knows of each id, of this build or of one that named plans shorter: the latest
    /// line of each.
    ///
    /// # Errors
    /// As [`Audit::read`].
    pub fn of_plan(&self, plan: &str) -> Result<BTreeMap<String, Entry>> {
        let told = self.read(|entry| is_written(&entry.plan, plan) && !entry.id.is_empty())?;
        Ok(told.entries.into_iter().map(|entry| (entry.id.clone(), entry)).collect())
    }
}

/// Adds a line and syncs it. After a sync that failed the kernel may call clean what it has lost: the line is written
/// again where it lies, and synced once more; what fails twice was not said.
fn write(file: &mut File, path: &Path, line: &[u8]) -> std::io::Result<()> {
    ailing::write(&String::from_utf8_lossy(line))?;
    file.write_all(line)?;
    let sync = |file: &File| ailing::sync("audit").and_then(|()| file.sync_data());
    let Err(cause) = sync(file) else { return Ok(()) };
    tracing::warn!(%cause, "an audit line is written again");
    // Whoever appends knows where its own line ended, also when others append meanwhile.
    let at = file.stream_position()? - line.len() as u64;
    OpenOptions::new().write(true).open(path)?.write_all_at(line, at)?;
    sync(file)
}

/// A device would take every line and keep none, or never end.
fn regular(file: File) -> std::io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(std::io::Error::other("it is no regular file")) }
}

/// Whether the last line was cut off: the next one must not become part of it.
fn torn(file: &mut File) -> std::io::Result<bool> {
    let length = file.seek(SeekFrom::End(0))?;
    if length == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::store::ailing::in_tests::ail;

    fn log() -> (tempfile::TempDir, Audit) {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::of(&StateDir::open(Some(dir.path())).unwrap());
        (dir, audit)
    }

    #[test]
    fn lines_are_appended_private_and_read_back() {
        let (_dir, audit) = log();
        assert_eq!(audit.read(|_| true).unwrap(), Told::default());
        let first = Entry { id: "snap-0abc1234".into(), ..Entry::new(Event::Intent, "ops", "about to") };
        let second = Entry { event: Event::Done, plan: "7f3a-91c0".into(), ..first.clone() };
        audit.append(&first).unwrap();
        audit.append(&second).unwrap();
        assert_eq!(audit.read(|_| true).unwrap().entries, [first, second.clone()]);
        assert_eq!(audit.of_plan("7f3a-91c0").unwrap().into_values().collect::<Vec<_>>(), [second]);
        assert_eq!(std::fs::metadata(audit.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_line_that_was_cut_off_costs_only_itself() {
        let (_dir, audit) = log();
        let entry = Entry::new(Event::Done, "ops", "one");
        audit.append(&entry).unwrap();
        let mut file = OpenOptions::new().append(true).open(audit.path()).unwrap();
        file.write_all(b"{\"v\":1,\"at\":\"2026-").unwrap();
        audit.append(&entry).unwrap();
        let told = audit.read(|_| true).unwrap();
        assert_eq!((told.entries.len(), told.unread), (2, 1));
    }

    /// What is on the disk, without a look through the log's own reader.
    fn lines(audit: &Audit) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(audit.path()).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_whose_sync_fails_once_is_written_again_and_stands_there_once() {
        let (_dir, audit) = log();
        audit.append(&Entry::new(Event::Intent, "ops", "before")).unwrap();
        for errno in [5, 28] {
            ail(Some(&format!("once sync {errno} audit")));
            audit.append(&Entry::new(Event::Done, "ops", format!("after {errno}"))).unwrap();
            ail(None);
        }
        let texts: Vec<_> = lines(&audit).iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect();
        assert_eq!(texts, ["before", "after 5", "after 28"]);
    }

    #[test]
    fn a_line_that_cannot_be_made_durable_was_not_said() {
        let (_dir, audit) = log();
        for illness in ["28", "sync 28", "sync 5", "30"] {
            ail(Some(illness));
            let error = audit.append(&Entry::new(Event::Intent, "ops", "about to")).unwrap_err();
            ail(None);
            assert!(error.what.contains("audit.ndjson"), "{illness}: {error}");
            assert!(
                error.todo.as_deref().is_some_and(|todo| todo.contains("nothing is removed without it")),
                "{error:?}"
            );
        }
        audit.append(&Entry::new(Event::Intent, "ops", "again")).unwrap();
        assert_eq!(audit.read(|entry| entry.text == "again").unwrap().entries.len(), 1, "the log goes on");
    }
}

//! One engine per state directory: the lock, and what it says of who holds it.
//!
//! The file names process, version and socket, so that a front finds the engine and a person finds the process.
//! Holding the advisory lock is what counts; the text is only a message.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::protocol::PROTOCOL;
use crate::error::{Error, Result};
use crate::store::{StateDir, ailing};

/// Who holds a state directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Version of this text: [`PROTOCOL`].
    pub protocol: u32,
    /// Its process.
    pub pid: u32,
    /// Its version of floe.
    pub version: String,
    /// Where it listens; `None` for an engine in a command's own process.
    pub socket: Option<PathBuf>,
}

/// The lock, held while this lives.
#[derive(Debug)]
pub(super) struct Held {
    file: File,
    path: PathBuf,
}

/// A front that looks holds the lock for an instant: worth a second try.
const TRIES: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(20);

impl Held {
    /// Takes it.
    ///
    /// # Errors
    /// Another engine has it: refused, its process named.
    pub(super) fn take(state: &StateDir) -> Result<Self> {
        let path = path(state);
        let failed = |e: &std::io::Error| Error::io(format!("could not lock {}", path.display()), e);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| failed(&e))?;
        for attempt in 0.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(e)) => return Err(failed(&e)),
                Err(TryLockError::WouldBlock) if attempt < TRIES => std::thread::sleep(BETWEEN),
                Err(TryLockError::WouldBlock) => return Err(taken(state)),
            }
        }
        let mut held = Self { file, path };
        held.say(None)?;
        Ok(held)
    }

    /// Says where it listens from now on.
    pub(super) fn say(&mut self, socket: Option<&Path>) -> Result<()> {
        let holder = Holder {
            protocol: PROTOCOL,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            socket: socket.map(Path::to_owned),
        };
        let text = serde_json::to_vec(&holder).map_err(|e| Error::failed(format!("could not write the lock: {e}")))?;
        // Written over and then cut: nobody ever finds it empty.
        ailing::write("engine.lock")
            .and_then(|()| self.file.write_all_at(&text, 0))
            .and_then(|()| self.file.set_len(text.len() as u64))
            .map_err(|e| Error::io(format!("could not write {}", self.path.display()), &e))
    }

    /// Whether the directory still is the one that was locked: a directory that was removed has no jobs to run.
    pub(super) fn is_there(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let id = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
        match (std::fs::metadata(&self.path).map(id), self.file.metadata().map(id)) {
            (Ok(there), Ok(ours)) => there == ours,
            _ => false,
        }
    }
}

fn path(state: &StateDir) -> PathBuf {
    state.root().join("engine.lock")
}

/// Who holds the directory now; `None` when nobody does.
#[must_use]
pub fn holder(state: &StateDir) -> Option<Holder> {
    for _ in 0..TRIES {
        let mut file = File::open(path(state)).ok()?;
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        let Err(TryLockError::WouldBlock) = file.try_lock_shared() else { return None };
        if let Ok(holder) = serde_json::from_str(&text) {
            return Some(holder);
        }
        // It is being written at this moment.
        std::thread::sleep(BETWEEN);
    }
    None
}

fn taken(state: &StateDir) -> Error {
    let who =
        holder(state).map_or_else(|| "another engine".to_owned(), |h| format!("another engine (process {})", h.pid));
    Error::refused(format!("{who} runs in {}", state.root().display()))
        .todo("wait for it, end it, or name another directory with --state-dir DIR")
}

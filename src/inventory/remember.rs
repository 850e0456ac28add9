//! Lists on disk: what the last complete look at an (account, region, kind) saw, with its date.
//!
//! One file each, written page by page while the pages arrive and renamed when the last one did, so that a list is
//! whole or not there. It is a cache: whatever cannot be read is asked again, whatever cannot be written is logged.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Kind, Origin, Rows, stored};
use crate::aws::WorldId;
use crate::error::{Error, Result};
use crate::ids::{AccountId, Profile, Region};
use crate::store::StateDir;
use crate::store::atomic::{self, NewFile};

/// Where lists of one world are kept; without a place nothing is.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    root: Option<PathBuf>,
}

/// The first line of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    kind: Kind,
    at: Timestamp,
}

impl Memory {
    pub(super) fn new(cache: Option<&StateDir>, world: &WorldId) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
        let name: String = world.endpoint.as_deref().unwrap_or(&world.partition).chars().map(plain).collect();
        let root = cache.and_then(|cache| cache.cache().ok()).map(|cache| cache.join("inventory").join(name));
        Self { root }
    }

    fn of_account(&self, account: &AccountId) -> Option<PathBuf> {
        Some(self.root.as_ref()?.join(account.as_str()))
    }

    fn file(&self, account: &AccountId, region: &Region, kind: Kind) -> Option<PathBuf> {
        Some(self.of_account(account)?.join(format!("{region}.{}", kind.name())))
    }

    /// Where closed regions of the account are noted.
    pub(super) fn denied(&self, account: &AccountId) -> Option<PathBuf> {
        Some(self.of_account(account)?.join("denied.json"))
    }

    /// Where answers about relations are kept.
    pub(super) fn answers(&self, origin: &Origin) -> Option<PathBuf> {
        let dir = self.of_account(&origin.account)?;
        make(&dir).ok()?;
        Some(dir.join(format!("{}.relations", origin.region)))
    }

    /// The regions of which something is remembered.
    pub(super) fn regions(&self, account: &AccountId) -> Vec<Region> {
        let entries = self.of_account(account).and_then(|dir| fs::read_dir(dir).ok());
        let names = entries.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut regions: Vec<Region> = names.filter_map(|name| name.split_once('.')?.0.parse().ok()).collect();
        regions.sort();
        regions.dedup();
        regions
    }

    /// The account that a profile had last time: lets remembered rows be shown before STS has answered.
    pub(super) fn account_of(&self, profile: Option<&Profile>) -> Option<AccountId> {
        self.accounts().remove(profile.map_or("", Profile::as_str))
    }

    fn accounts(&self) -> BTreeMap<String, AccountId> {
        let path = self.root.as_ref().map(|root| root.join("accounts.json"));
        let read = path.and_then(|path| fs::read(path).ok());
        read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Notes it for the next time.
    pub(super) fn note(&self, profile: Option<&Profile>, account: &AccountId) -> Result<()> {
        let Some(root) = &self.root else { return Ok(()) };
        let mut accounts = self.accounts();
        let name = profile.map_or_else(String::new, ToString::to_string);
        if accounts.insert(name, account.clone()).as_ref() == Some(account) {
            return Ok(());
        }
        make(root)?;
        let bytes = serde_json::to_vec(&accounts).map_err(|error| Error::failed(error.to_string()))?;
        atomic::write(&root.join("accounts.json"), &bytes)
    }

    /// Reads a list; blocking. `None` when nothing whole is there.
    pub(super) fn load(&self, origin: &Arc<Origin>, kind: Kind) -> Option<(Rows, Timestamp)> {
        let path = self.file(&origin.account, &origin.region, kind)?;
        let file = File::open(&path).ok()?;
        match read(file, origin, kind) {
            Ok(read) => Some(read),
            Err(why) => {
                tracing::warn!(path = %path.display(), why, "a remembered list is not used");
                None
            }
        }
    }

    /// Starts a list; blocking.
    pub(super) fn save(&self, origin: &Origin, kind: Kind, at: Timestamp) -> Option<Saver> {
        let path = self.file(&origin.account, &origin.region, kind)?;
        let head = Head { version: stored::VERSION, kind, at };
        let started = make(path.parent()?).and_then(|()| {
            let mut file = NewFile::create(&path)?;
            let mut line = serde_json::to_vec(&head).map_err(|error| Error::failed(error.to_string()))?;
            line.push(b'\n');
            file.write_all(&line)?;
            Ok(Saver { file, rows: 0 })
        });
        started.map_err(|error| tracing::warn!(%error, "the list will not be remembered")).ok()
    }
}

fn make(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(|cause| Error::io(format!("could not make {}", dir.display()), &cause))
}

fn read(file: File, origin: &Arc<Origin>, kind: Kind) -> std::result::Result<(Rows, Timestamp), String> {
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| {
        line.clear();
        reader.read_until(b'\n', line).map_err(|error| error.to_string())
    };
    next(&mut line)?;
    let head: Head = serde_json::from_slice(&line).map_err(|error| error.to_string())?;
    if (head.version, head.kind) != (stored::VERSION, kind) {
        return Err(format!("it has version {}", head.version));
    }
    let mut rows = stored::empty(kind);
    while next(&mut line)? > 0 {
        if line.first() != Some(&b'[') {
            let count: usize = serde_json::from_slice(&line).map_err(|error| error.to_string())?;
            return if count == rows.len() { Ok((rows, head.at)) } else { Err(format!("it should hold {count} rows")) };
        }
        stored::push(&mut rows, &line, origin).map_err(|error| error.to_string())?;
    }
    Err("it has no end".to_owned())
}

/// A list that is being written; dropped without [`Saver::commit`] it was never there.
#[derive(Debug)]
pub(super) struct Saver {
    file: NewFile,
    rows: usize,
}

impl Saver {
    /// Adds a page; blocking.
    pub(super) fn add(mut self, lines: &[u8], rows: usize) -> Option<Self> {
        self.rows += rows;
        match self.file.write_all(lines) {
            Ok(()) => Some(self),
            Err(error) => {
                tracing::warn!(%error, "the list will not be remembered");
                None
            }
        }
    }

    /// Ends the list and puts it in its place; blocking.
    pub(super) fn commit(mut self) {
        let ended = self.file.write_all(format!("{}\n", self.rows).as_bytes()).and_then(|()| self.file.commit());
        if let Err(error) = ended {
            tracing::warn!(%error, "the list will not be remembered");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{SnapshotRow, State, Tier};
    use crate::units::Bytes;

    fn origin() -> Arc<Origin> {
        let account = "123456789012".parse().expect("an account");
        Arc::new(Origin { profile: None, account, region: "eu-west-1".parse().expect("a region") })
    }

    fn row(n: u32, origin: &Arc<Origin>) -> SnapshotRow {
        SnapshotRow {
            origin: Arc::clone(origin),
            id: format!("snap-{n:017x}").parse().expect("an id"),
            name: Some(format!("db-{n} \"quoted\"\n")),
            owner: origin.account.clone(),
            volume: "vol-ffffffff".parse().ok(),
            size: Bytes::gib(u64::from(n) + 1),
            full: (n.is_multiple_of(2)).then_some(Bytes(12)),
            state: State::Completed,
            state_message: None,
            progress: None,
            started: "2026-11-20T12:00:00.123Z".parse().expect("a time"),
            tier: Tier::Archive,
            encrypted: true,
            kms_key: Some("arn:aws:kms:eu-west-1:123456789012:key/1".into()),
            data_key_id: None,
            description: "nightly".into(),
            tags: vec![("Name".into(), format!("db-{n}")), ("team".into(), "data".into())],
        }
    }

    fn world() -> WorldId {
        WorldId { endpoint: Some("http://127.0.0.1:80".into()), partition: "aws".into() }
    }

    fn saved(memory: &Memory, rows: Vec<SnapshotRow>, whole: bool) {
        let rows = Rows::Snapshots(rows);
        let saver = memory.save(&origin(), Kind::Snapshots, Timestamp::UNIX_EPOCH).expect("a saver");
        let saver = saver.add(&stored::lines(&rows).expect("lines"), rows.len()).expect("added");
        if whole {
            saver.commit();
        }
    }

    #[test]
    fn a_list_is_read_back_as_it_was_and_only_when_it_is_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = StateDir::open(Some(dir.path())).expect("a state directory");
        let memory = Memory::new(Some(&state), &world());
        let origin = origin();
        let rows: Vec<_> = (0..2500).map(|n| row(n, &origin)).collect();
        assert!(memory.load(&origin, Kind::Snapshots).is_none());
        saved(&memory, rows.clone(), true);
        saved(&memory, Vec::new(), false);

        let (back, at) = memory.load(&origin, Kind::Snapshots).expect("a list");
        assert_eq!(at, Timestamp::UNIX_EPOCH);
        let Rows::Snapshots(back) = back else { panic!("snapshots") };
        assert_eq!(back, rows);
        assert_eq!(memory.regions(&origin.account), std::slice::from_ref(&origin.region));
        assert!(memory.load(&origin, Kind::Volumes).is_none());

        let path = memory.file(&origin.account, &origin.region, Kind::Snapshots).expect("a path");
        let mut text = fs::read(&path).expect("the file");
        text.truncate(text.len() - 5);
        fs::write(&path, text).expect("cut");
        assert!(memory.load(&origin, Kind::Snapshots).is_none(), "a cut list is no list");
    }

    #[test]
    fn the_account_of_a_profile_is_noted() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = StateDir::open(Some(dir.path())).expect("a state directory");
        let memory = Memory::new(Some(&state), &world());
        let prod: Profile = "prod".parse().expect("a profile");
        memory.note(Some(&prod), &origin().account).expect("noted");
        assert_eq!(memory.account_of(Some(&prod)), Some(origin().account.clone()));
        assert_eq!(memory.account_of(None), None);
        assert!(Memory::default().note(None, &origin().account).is_ok());
    }

    /// Prints how long it takes as well (`--nocapture`).
    #[test]
    fn a_long_list_comes_back_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = StateDir::open(Some(dir.path())).expect("a state directory");
        let memory = Memory::new(Some(&state), &world());
        let origin = origin();
        // Optimised, the figure is that of the largest list there is; unoptimised it would only cost time.
        let count = if cfg!(debug_assertions) { 20_000 } else { 200_000 };
        saved(&memory, (0..count).map(|n| row(n, &origin)).collect(), true);
        let start = std::time::Instant::now();
        let (rows, _) = memory.load(&origin, Kind::Snapshots).expect("a list");
        println!("{} rows in {:?}", rows.len(), start.elapsed());
        assert_eq!(rows.len(), count as usize);
    }
}

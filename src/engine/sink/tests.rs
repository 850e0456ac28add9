//! Disks that fail under a destination, everywhere: errors are put where the disk would give them, and the whole
//! engine has to come out right.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::address::Address;
use crate::aws::{Aws, FixedProfile, Profiles, Settings};
use crate::engine::journal::{self, Journal, Record};
use crate::engine::keeper::{Keeper, Todo};
use crate::engine::ledger::{self, Header, Ledger};
use crate::engine::protocol::{Answer, Command, JobState, JobStatus};
use crate::engine::{Client, Config, Engine};
use crate::error::{Error, Result};
use crate::ids::{BlockIndex, JobId};
use crate::plan::{Machine, Operation, Options, RunsIn, Verify, make};
use crate::store::StateDir;
use crate::units::Digest;

/// 64 blocks.
const SMALL: &str = "us-east-1:snap-0feed000000b00701";

/// Where a disk fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Write,
    Sync,
}

/// An accident to come: after so many good calls, so many fail with that number of the system's.
struct Accident {
    below: PathBuf,
    at: At,
    good: usize,
    bad: usize,
    number: i32,
    /// What a failed sync loses: the disk forgets everything that was written since the last good one.
    loses: bool,
}

static ACCIDENTS: Mutex<Vec<Accident>> = Mutex::new(Vec::new());

/// Asked by the file sink before it touches the disk.
pub(super) fn accident(path: &Path, at: At) -> io::Result<()> {
    let mut all = ACCIDENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(due) = all.iter_mut().find(|due| due.at == at && path.starts_with(&due.below) && due.bad > 0) else {
        return Ok(());
    };
    if due.good > 0 {
        due.good -= 1;
        return Ok(());
    }
    due.bad -= 1;
    if due.loses {
        // As the kernel does: the pages are clean, and what they held is gone. All of the file, for good measure,
        // because nothing of it was synced before.
        let file = std::fs::OpenOptions::new().write(true).open(path)?;
        let length = file.metadata()?.len();
        file.set_len(0)?;
        file.set_len(length)?;
    }
    Err(io::Error::from_raw_os_error(due.number))
}

struct Rig {
    _sandbox: crate::sandbox::Running,
    dir: tempfile::TempDir,
    aws: Aws,
    client: Client,
}

impl Rig {
    async fn new() -> Self {
        let sandbox = crate::sandbox::serve(crate::sandbox::Options::default()).await.expect("the sandbox serves");
        let fixed = sandbox.sandbox.profiles().into_iter().map(|keys| FixedProfile {
            name: keys.name,
            access_key_id: keys.access_key_id,
            secret_access_key: keys.secret,
            session_token: keys.session_token,
            account: keys.account,
            region: keys.region,
        });
        let profile = "prod".parse().ok();
        let settings = Settings {
            profiles: Profiles::Fixed(fixed.collect()),
            profile,
            endpoint: Some(sandbox.url()),
            ..Settings::default()
        };
        let aws = Aws::new(settings).expect("a world");
        let dir = tempfile::tempdir().expect("a directory");
        let state = StateDir::open(Some(&dir.path().join("state"))).expect("a state directory");
        let config = Config { state, aws: aws.clone(), budget: None, in_process: true };
        let client = Engine::start(config).await.expect("an engine");
        Self { _sandbox: sandbox, dir, aws, client }
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("copy.img")
    }

    fn expect(&self, at: At, good: usize, bad: usize, number: i32) {
        let below = self.dir.path().to_owned();
        let loses = at == At::Sync;
        ACCIDENTS.lock().expect("accidents").push(Accident { below, at, good, bad, number, loses });
    }

    async fn copy(&self) -> Result<JobId> {
        let image = self.image();
        let operation = Operation {
            sources: vec![Address::source(SMALL)?],
            destinations: vec![Address::destination(image.to_str().expect("text"))?],
            // Read back, so that what is wrong on the disk is found.
            options: Options { verify: Verify::Full, ..Options::default() },
        };
        let plan = make(&self.aws, operation, &Machine::read(RunsIn::Outside, None)).await?;
        let grant = plan.grant("test", Timestamp::now())?;
        match self.client.send(Command::Run { plan: Box::new(plan), grant }).await? {
            Answer::Jobs(jobs) => Ok(jobs[0]),
            other => unreachable!("{other:?}"),
        }
    }

    async fn row(&self, job: JobId, when: impl Fn(&JobStatus) -> bool) -> JobStatus {
        let mut pictures = self.client.status();
        let seen = pictures.wait_for(|status| status.jobs.iter().any(|row| row.job == job && when(row)));
        let seen = tokio::time::timeout(Duration::from_secs(60), seen).await.expect("it is seen").expect("it lives");
        seen.jobs.iter().find(|row| row.job == job).cloned().expect("the job")
    }

    /// The blocks of the image that are not zeros.
    fn held(&self) -> BTreeMap<u64, Vec<u8>> {
        let file = std::fs::File::open(self.image()).expect("the image");
        let blocks = file.metadata().expect("its length").len() / 524_288;
        let read = |index: u64| {
            let mut block = vec![0; 524_288];
            file.read_exact_at(&mut block, index * 524_288).expect("a block");
            (index, block)
        };
        let zeros = vec![0; 524_288];
        (0..blocks).map(read).filter(|(_, block)| *block != zeros).collect()
    }
}

fn at_rest(row: &JobStatus) -> bool {
    !row.state.is_active() && row.state != JobState::Queued
}

/// What the copy holds without any accident.
async fn truth() -> BTreeMap<u64, Vec<u8>> {
    let rig = Rig::new().await;
    let job = rig.copy().await.expect("it runs");
    assert_eq!(rig.row(job, at_rest).await.state, JobState::Done);
    rig.held()
}

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room_is_waited_for() {
    for at in [At::Write, At::Sync] {
        let rig = Rig::new().await;
        rig.expect(at, if at == At::Write { 20 } else { 0 }, 2, ENOSPC);
        let job = rig.copy().await.expect("it runs");
        let row = rig.row(job, |row| row.state == JobState::Waiting || at_rest(row)).await;
        assert_eq!((row.state, row.why.as_str()), (JobState::Waiting, "room"), "{at:?}: {:?}", row.error);
        let error = row.error.expect("it says why");
        assert!(error.what.contains("copy.img") && error.to_string().contains("No space left"), "{error}");
        assert_eq!(rig.row(job, |row| row.held.0 == 0).await.held.0, 0, "it gives its memory back");
        let row = rig.row(job, at_rest).await;
        assert_eq!(row.state, JobState::Done, "{at:?}: {:?}", row.error);
        assert!(rig.held() == truth().await, "{at:?}: nothing is lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_sync_lost_is_written_again() {
    let rig = Rig::new().await;
    rig.expect(At::Sync, 0, 1, EIO);
    let job = rig.copy().await.expect("it runs");
    let row = rig.row(job, at_rest).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert!(
        ACCIDENTS.lock().expect("accidents").iter().all(|due| !due.below.starts_with(rig.dir.path()) || due.bad == 0)
    );
    assert!(rig.held() == truth().await, "nothing is lost");
}

/// A file that fails to sync once.
#[derive(Debug, Default)]
struct Once(std::sync::atomic::AtomicBool);

#[async_trait::async_trait]
impl super::Sink for Once {
    fn address(&self) -> String {
        "once".to_owned()
    }
    async fn open(&self, _: &super::Desk, _: &super::DestinationPicture) -> Result<super::Opened> {
        Ok(super::Opened::Ready)
    }
    async fn write(&self, _: BlockIndex, _: &bytes::Bytes, _: &Digest) -> Result<()> {
        Ok(())
    }
    fn needs_sync(&self) -> bool {
        true
    }
    fn sync(&self) -> Result<()> {
        match self.0.swap(true, std::sync::atomic::Ordering::Relaxed) {
            true => Ok(()),
            false => Err(Error::transient("the disk lost it")),
        }
    }
    async fn complete(&self, _: &super::Desk, _: &super::Linear) -> Result<()> {
        Ok(())
    }
    async fn check(&self, _: &super::Desk, _: &super::Linear) -> Result<super::Evidence> {
        Ok(super::Evidence::None)
    }
    async fn discard(&self, _: &super::Desk, _: &super::DestinationPicture) -> Result<()> {
        Ok(())
    }
}

/// A block that was written before the sync that failed, and is told of after it: the disk may have lost it, and the
/// good sync of the next batch says nothing of it.
#[tokio::test]
async fn what_was_written_before_a_failed_sync_counts_only_when_it_is_written_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let job = JobId(1);
    let header = Header { job, source: "a".to_owned(), blocks: 2048, destinations: vec!["once".to_owned()] };
    let ledger = Ledger::create(&dir.path().join("ledger"), header, ledger::CACHE).expect("a ledger");
    let mut journal = Journal::create(&dir.path().join("events.ndjson"), journal::LIMIT).expect("a journal");
    let created = Record::Created { job, plan_hash: "1".to_owned(), destinations: 1 };
    journal.append_sync(Timestamp::now(), created).expect("begun");
    let sinks: Vec<std::sync::Arc<dyn super::Sink>> = vec![std::sync::Arc::new(Once::default())];
    let (keeper, _) = Keeper::start(ledger, journal, sinks, Box::new(|_, _| {}));
    let digest = Digest([7; 32]);
    keeper.done(0, BlockIndex(1), digest).await.expect("told");
    keeper.commit().await.expect("the ledger itself is well");
    keeper.done(0, BlockIndex(2), digest).await.expect("told late");
    keeper.commit().await.expect("synced");
    assert_eq!(keeper.linear(0, false).await.expect("a count").blocks.0, 0, "neither is known to be on the disk");
    // The next pass begins, with a file that was opened anew.
    keeper.alive(Todo(1)).await.expect("told");
    for index in [1, 2] {
        keeper.done(0, BlockIndex(index), digest).await.expect("told");
    }
    keeper.commit().await.expect("synced");
    assert_eq!(keeper.linear(0, false).await.expect("a count").blocks.0, 2);
}

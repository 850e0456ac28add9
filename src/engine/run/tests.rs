//! Whole runs between ends of our own: what a disk, a session that ends, or a limit does to one.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32};

use async_trait::async_trait;
use bytes::Bytes as Buffer;
use tokio::task::JoinHandle;

use super::*;
use crate::address::Address;
use crate::aws::{Aws, Introduction, Profiles, Settings};
use crate::bandwidth::Bandwidth;
use crate::engine::blocks::Room;
use crate::engine::budget::Budget;
use crate::engine::call::Caller;
use crate::engine::journal::DestinationPicture;
use crate::engine::ledger::Linear;
use crate::engine::proof::Proof;
use crate::engine::rate::Limiters;
use crate::engine::sink::{FileSink, NullSink, Sink};
use crate::engine::source::{Content, Entry, FileSource, Holes, Page, Routes, Source, pin_file};
use crate::engine::spec;
use crate::ids::BlockIndex;
use crate::plan::{self, Machine, Operation, Options, RunsIn, Verify};
use crate::store::StateDir;
use crate::units::{BLOCK_BYTES, Bytes, Digest};

const BLOCK: usize = BLOCK_BYTES as usize;

/// One job of a file, ready to run.
struct Bench {
    dir: tempfile::TempDir,
    worlds: Worlds,
    /// The source's bytes.
    image: Vec<u8>,
    /// Keeps the job until it is dropped.
    control: watch::Sender<Control>,
}

impl Bench {
    fn new(blocks: usize) -> Self {
        let settings = Settings { profiles: Profiles::Fixed(Vec::new()), ..Settings::default() };
        let aws = Aws::new(settings).unwrap();
        let image = (0..blocks).flat_map(|block| vec![u8::try_from(block % 251 + 1).unwrap(); BLOCK]).collect();
        let bench = Self {
            dir: tempfile::tempdir().unwrap(),
            worlds: Worlds::new(Some(aws)),
            image,
            control: watch::channel(Control::Go).0,
        };
        std::fs::write(bench.source(), &bench.image).unwrap();
        bench
    }

    fn source(&self) -> PathBuf {
        self.dir.path().join("source.img")
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("copy.img")
    }

    fn fresh_keys(worlds: &Worlds) {
        worlds.introduce(&Introduction { settings: Settings::default(), keys: None }).unwrap();
    }

    /// The job of a plan of this image, and what it would run between.
    async fn ready(&self, to: &str, options: Options) -> (Ready, Arc<Spec>) {
        let aws = Aws::new(Settings { profiles: Profiles::Fixed(Vec::new()), ..Settings::default() }).unwrap();
        let operation = Operation {
            sources: vec![Address::source(self.source().to_str().unwrap()).unwrap()],
            destinations: vec![Address::destination(to).unwrap()],
            options,
        };
        let machine = Machine { budget: Some(Bytes::mib(64)), ..Machine::read(RunsIn::Outside, None) };
        let plan = plan::make(&aws, operation, &machine).await.unwrap();
        let grant = plan.grant("test", crate::wall::now()).unwrap();
        let state = StateDir::open(Some(&self.dir.path().join("state"))).unwrap();
        let spec = Arc::new(spec::create(&state, &plan, &grant, None, false).unwrap().remove(0));
        let dir = JobDir(state.job(spec.job));
        (Ready::open(Arc::clone(&spec), dir, Arc::new(Limiters::default()), false).unwrap(), spec)
    }

    /// Runs it between these ends.
    fn run(&self, ready: Ready, ends: setup::Ends) -> (JoinHandle<Result<Ended>>, JobBudget) {
        let throttle = Arc::new(Throttle::new(None));
        let budget = Budget::new(Bytes::mib(64));
        let (given, journal, lock) = ready.given(self.worlds.clone(), &budget, throttle, self.control.subscribe());
        let member = given.member.clone();
        let running = tokio::spawn(async move {
            let ended = between(given, journal, ends).await;
            drop(lock);
            ended
        });
        (running, member)
    }

    fn file_source(&self) -> Arc<dyn Source> {
        Arc::new(FileSource::open(&pin_file(&self.source()).unwrap(), Holes::LeftOut, false).unwrap())
    }
}

/// A file on a disk whose next syncs fail; what was written since the last good one is then gone, as the kernel
/// drops what it could not write.
#[derive(Debug)]
struct Failing {
    inner: FileSink,
    part: PathBuf,
    errno: i32,
    fails: AtomicU32,
    unsynced: Mutex<Vec<BlockIndex>>,
    /// How often each block was written.
    writes: Mutex<BTreeMap<u32, u32>>,
    lost: Mutex<Vec<BlockIndex>>,
}

#[async_trait]
impl Sink for Failing {
    fn address(&self) -> String {
        self.inner.address()
    }
    async fn open(&self, desk: &Desk, known: &DestinationPicture) -> Result<Opened> {
        self.inner.open(desk, known).await
    }
    async fn write(&self, index: BlockIndex, data: Buffer, digest: &Digest) -> Result<()> {
        lock(&self.unsynced).push(index);
        *lock(&self.writes).entry(index.0).or_default() += 1;
        self.inner.write(index, data, digest).await
    }
    fn needs_sync(&self) -> bool {
        true
    }
    fn sync(&self) -> Result<()> {
        let unsynced = std::mem::take(&mut *lock(&self.unsynced));
        let fails = self.fails.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if fails {
            let file = std::fs::File::options().write(true).open(&self.part).unwrap();
            for index in &unsynced {
                file.write_all_at(&vec![0; BLOCK], index.offset()).unwrap();
            }
            lock(&self.lost).extend(unsynced);
            self.inner.fail_next_sync(self.errno);
        }
        self.inner.sync()
    }
    async fn recheck(&self, desk: &Desk) -> Result<()> {
        self.inner.recheck(desk).await
    }
    async fn complete(&self, desk: &Desk, written: &Linear) -> Result<()> {
        self.inner.complete(desk, written).await
    }
    async fn check(&self, desk: &Desk, written: &Linear) -> Result<Proof> {
        self.inner.check(desk, written).await
    }
    async fn discard(&self, desk: &Desk, known: &DestinationPicture) -> Result<()> {
        self.inner.discard(desk, known).await
    }
}

fn part_of(target: &Path, spec: &Spec) -> PathBuf {
    crate::engine::sink::partial(target, &spec.unique, 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails_once_loses_nothing() {
    for errno in [rustix::io::Errno::IO, rustix::io::Errno::NOSPC] {
        // More than one batch: the sync that fails is not only the last one.
        let bench = Bench::new(150);
        let target = bench.target();
        let options = Options { verify: Verify::Checksum, ..Options::default() };
        let (ready, spec) = bench.ready(target.to_str().unwrap(), options).await;
        let sink = Arc::new(Failing {
            inner: FileSink::new(&spec.unique, 0, &target, Bytes(bench.image.len() as u64), false),
            part: part_of(&target, &spec),
            errno: errno.raw_os_error(),
            fails: AtomicU32::new(1),
            unsynced: Mutex::default(),
            writes: Mutex::default(),
            lost: Mutex::default(),
        });
        let sinks: Vec<Arc<dyn Sink>> = vec![Arc::clone(&sink) as Arc<dyn Sink>];
        let (running, _) = bench.run(ready, setup::Ends { source: bench.file_source(), parents: Vec::new(), sinks });
        assert_eq!(running.await.unwrap().unwrap(), Ended::In(JobState::Done), "{errno}: it goes on by itself");
        let lost = lock(&sink.lost).clone();
        let writes = lock(&sink.writes);
        assert!(!lost.is_empty(), "{errno}: something was lost");
        assert!(lost.iter().all(|index| writes[&index.0] >= 2), "{errno}: what was lost is written again");
        assert!(std::fs::read(&target).unwrap() == bench.image, "{errno}: the copy is right");
    }
}

/// A source of which one thing is told, and the rest is zeros.
#[derive(Debug)]
struct Odd {
    blocks: u32,
    /// The first listing fails for want of credentials, and fresh ones come while it still does.
    ended: AtomicBool,
    worlds: Worlds,
}

#[async_trait]
impl Source for Odd {
    fn blocks(&self) -> u32 {
        self.blocks
    }
    async fn page(&self, from: u32, _token: Option<&str>, _max: u16) -> Result<Page> {
        if self.ended.swap(false, Ordering::Relaxed) {
            Bench::fresh_keys(&self.worlds);
            return Err(Error::classed(Class::Credentials, "the session has ended"));
        }
        let entry = |index| Entry { index: BlockIndex(index), content: Content::File };
        Ok(Page { entries: (from..self.blocks).map(entry).collect(), through: self.blocks, next: None })
    }
    async fn read(&self, _entry: &Entry, pool: &Pool, into: &mut Room) -> Result<Digest> {
        pool.provide(into);
        into.resize(BLOCK, 0);
        Ok(crate::units::ZERO_BLOCK_SHA256)
    }
    async fn unchanged(&self) -> Result<()> {
        Ok(())
    }
    fn is_mutable(&self) -> bool {
        false
    }
    fn routes(&self, _caller: &Caller) -> Option<Routes> {
        None
    }
}

/// Lets everything else run until it is so. The clock stands still meanwhile; this one only ends a test that fails.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_come_during_a_failing_attempt_end_the_wait_at_once() {
    let bench = Bench::new(4);
    let (ready, _) = bench.ready("null:", Options::default()).await;
    let odd = Odd { blocks: 4, ended: AtomicBool::new(true), worlds: bench.worlds.clone() };
    let ends = setup::Ends { source: Arc::new(odd), parents: Vec::new(), sinks: vec![Arc::new(NullSink)] };
    let (running, _) = bench.run(ready, ends);
    until("it goes on without the clock", || running.is_finished()).await;
    assert_eq!(running.await.unwrap().unwrap(), Ended::In(JobState::Done));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_bandwidth_holds_no_memory() {
    let bench = Bench::new(40);
    let bandwidth = Some(Bandwidth::always(Bytes(BLOCK_BYTES)));
    let options = Options { bandwidth, concurrency: Some(8), ..Options::default() };
    let (ready, spec) = bench.ready("null:", options).await;
    let hub = Arc::clone(&ready.hub);
    let one = load_of(&spec).of(1);
    let odd = Odd { blocks: 40, ended: AtomicBool::new(false), worlds: bench.worlds.clone() };
    let ends = setup::Ends { source: Arc::new(odd), parents: Vec::new(), sinks: vec![Arc::new(NullSink)] };
    let (running, member) = bench.run(ready, ends);
    // The canary had its turn, nobody else gets one while the clock stands.
    until("lanes wait", || hub.gate.in_flight() > 4).await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let blocks = member.held().0 / one.0;
    assert_eq!(blocks, 0, "{} held by {} lanes that wait for their turn", member.held(), hub.gate.in_flight());
    running.abort();
}

/// A source that may change under us without its file saying so, as a device does.
#[derive(Debug)]
struct Shifting {
    blocks: Vec<u8>,
    /// From this block on nothing arrives.
    stuck: Option<u32>,
}

#[async_trait]
impl Source for Shifting {
    fn blocks(&self) -> u32 {
        u32::try_from(self.blocks.len()).unwrap()
    }
    async fn page(&self, from: u32, _token: Option<&str>, _max: u16) -> Result<Page> {
        let entry = |index| Entry { index: BlockIndex(index), content: Content::File };
        Ok(Page { entries: (from..self.blocks()).map(entry).collect(), through: self.blocks(), next: None })
    }
    async fn read(&self, entry: &Entry, pool: &Pool, into: &mut Room) -> Result<Digest> {
        if self.stuck.is_some_and(|stuck| entry.index.0 >= stuck) {
            std::future::pending::<()>().await;
        }
        pool.provide(into);
        into.clear();
        into.resize(BLOCK, self.blocks[entry.index.0 as usize]);
        Ok(crate::engine::blocks::digest_of(into))
    }
    async fn unchanged(&self) -> Result<()> {
        Ok(())
    }
    fn is_mutable(&self) -> bool {
        true
    }
    fn routes(&self, _caller: &Caller) -> Option<Routes> {
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_in_an_earlier_run_is_read_again_and_has_to_be_the_same() {
    for changed in [None, Some(17)] {
        let bench = Bench::new(60);
        let (ready, spec) = bench.ready("null:", Options::default()).await;
        let hub = Arc::clone(&ready.hub);
        let mut blocks: Vec<u8> = (1..=60).collect();
        let ends = |blocks: &[u8], stuck| setup::Ends {
            source: Arc::new(Shifting { blocks: blocks.to_vec(), stuck }),
            parents: Vec::new(),
            sinks: vec![Arc::new(NullSink)],
        };
        let (running, _) = bench.run(ready, ends(&blocks, Some(40)));
        while hub.counts().done < Blocks(40) {
            tokio::task::yield_now().await;
        }
        bench.control.send_replace(Control::Pause);
        assert_eq!(running.await.unwrap().unwrap(), Ended::In(JobState::Paused));

        if let Some(at) = changed {
            blocks[at] = 0xFF;
        }
        bench.control.send_replace(Control::Go);
        let dir = JobDir(StateDir::open(Some(&bench.dir.path().join("state"))).unwrap().job(spec.job));
        let again = Ready::open(Arc::clone(&spec), dir, Arc::new(Limiters::default()), false).unwrap();
        let hub = Arc::clone(&again.hub);
        let (running, _) = bench.run(again, ends(&blocks, None));
        match (changed, running.await.unwrap().unwrap()) {
            (None, ended) => assert_eq!(ended, Ended::In(JobState::Done)),
            (Some(at), Ended::In(JobState::Failed)) => {
                let error = hub.state().error.unwrap();
                assert!(error.what.contains("changed between two runs"), "{error}");
                assert_eq!(error.block, Some(BlockIndex(u32::try_from(at).unwrap())), "{error}");
            }
            (changed, ended) => panic!("{changed:?}: {ended:?}"),
        }
    }
}

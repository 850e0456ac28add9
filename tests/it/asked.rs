//! Requests as the plan says them, against those that the sandbox counted: every class of EBS and of S3, for objects and
//! archives as destination and as source. What a plan calls exact is equal, what it calls the most is not exceeded, and
//! nothing is asked that no line of the bill is for.

use floe::engine::Client;
use floe::engine::protocol::JobState;
use floe::plan::{Options, Pace, Plan, Verify};
use floe::sandbox::faults::{Fault, Faults, Limit, LimitOf, Rule};
use floe::sandbox::stats::Stats;
use floe::units::{Bytes, Sure};

use crate::archives::{BUCKET, of_another_tool, replace, segments};
use crate::rig::{Rig, SMALL, end, start};
use crate::support::{BLOCK, WEB_DATA, disk};

/// A class of requests: how lines of the bill begin that are of it, and the operations that are paid so.
struct Class {
    lines: &'static [&'static str],
    apis: &'static [&'static str],
}

const CLASSES: [Class; 7] = [
    Class { lines: &["Get"], apis: &["GetSnapshotBlock"] },
    Class { lines: &["Put"], apis: &["PutSnapshotBlock"] },
    Class { lines: &["List"], apis: &["ListSnapshotBlocks", "ListChangedBlocks"] },
    Class {
        lines: &["S3 PUT"],
        apis: &[
            "PutObject",
            "UploadPart",
            "UploadPartCopy",
            "CreateMultipartUpload",
            "CompleteMultipartUpload",
            "CopyObject",
        ],
    },
    Class { lines: &["S3 LIST"], apis: &["ListObjectsV2", "ListObjects", "ListMultipartUploads", "ListParts"] },
    Class { lines: &["S3 GET", "S3 index"], apis: &["GetObject", "GetObjectAttributes", "GetObjectTagging"] },
    Class { lines: &["S3 HEAD"], apis: &["HeadObject", "HeadBucket", "GetBucketLocation"] },
];
/// What costs nothing.
const FREE: [&str; 2] = ["DeleteObject", "AbortMultipartUpload"];

/// Whether an operation is one of S3, or one of EBS direct on blocks.
fn is_watched(api: &str) -> bool {
    ["Object", "Upload", "Part", "Bucket", "Block"].iter().any(|word| api.contains(word))
}

/// What the plan says of a class, and whether all of it is exact.
fn said(plan: &Plan, class: &Class) -> (u64, bool) {
    let word = |name: &str, line: &str| name.strip_prefix(line).is_some_and(|rest| rest.starts_with(' '));
    let lines = plan.cost.parts.iter().filter(|part| class.lines.iter().any(|line| word(&part.name, line)));
    lines.fold((0, true), |(sum, exact), part| {
        assert!(part.quantity.fract() == 0.0 && part.unit == "requests", "{part:?}");
        (sum + part.quantity as u64, exact && part.counted == Sure::Exact)
    })
}

fn counted(stats: &Stats, class: &Class) -> u64 {
    class.apis.iter().map(|api| stats.api(api).requests).sum()
}

struct Asked {
    rig: Rig,
    client: Client,
    /// Classes that were said exactly and held.
    exact: usize,
    /// Jobs that were run, and those of them in which nothing was sent twice.
    runs: usize,
    clean: usize,
}

impl Asked {
    async fn new() -> Self {
        let rig = Rig::calm().await;
        let client = rig.engine(None).await;
        Self { rig, client, exact: 0, runs: 0, clean: 0 }
    }

    /// Runs it, and holds what was counted against what was said; answers the plan.
    async fn holds(&mut self, source: &str, to: &[&str], options: Options) -> Plan {
        let what = format!("{source} to {to:?}, {:?}, {:?}", options.verify, options.pace);
        let plan = self.rig.plan(source, to, options).await;
        self.rig.world.running.sandbox.counters().reset();
        let row = end(&self.client, start(&self.client, &plan).await).await;
        assert_eq!(row.state, JobState::Done, "{what}: {:?}", row.error);
        let stats = self.rig.world.running.sandbox.counters().picture();
        let trouble = row.troubles.retries + row.troubles.timeouts;
        self.clean += usize::from(trouble == 0);
        self.runs += 1;
        for class in &CLASSES {
            let ((said, exact), counted) = (said(&plan, class), counted(&stats, class));
            let line = format!("{what}: {} of {:?} counted, {said} said", counted, class.lines);
            if trouble > 0 {
                // A machine so busy that deadlines pass sends again, and what is sent again is paid for again.
                assert!(!exact || class.lines == ["List"] || counted >= said, "{line}, after {trouble} troubles");
            } else if exact && class.lines != ["List"] {
                assert_eq!(counted, said, "{line} exactly\n{stats:#?}");
                self.exact += usize::from(said > 0);
            } else {
                assert!(counted <= said, "{line} at most\n{stats:#?}");
            }
        }
        let known = |api: &str| FREE.contains(&api) || CLASSES.iter().any(|class| class.apis.contains(&api));
        let unknown: Vec<_> = stats.apis.keys().filter(|api| is_watched(api) && !known(api)).collect();
        assert!(unknown.is_empty(), "{what}: no line of a bill is for {unknown:?}");
        // The meter counted what the sandbox did, besides what a process that was late never heard of.
        assert_eq!(row.requests.store, counted(&stats, &CLASSES[3]), "{what}: writes to S3 on the meter");
        assert_eq!(row.requests.get - row.requests.fetch, counted(&stats, &CLASSES[0]), "{what}: Get on the meter");
        // What comes from memory (the rows of a chunk, page by page) was not asked, and what no block needs is no matter
        // of the meter: manifests, and an index that is compared with its manifest.
        let fixed = plan.cost.parts.iter().filter(|part| part.name.starts_with("S3 index in "));
        let fixed: f64 = fixed.map(|part| part.quantity).sum();
        if trouble == 0 {
            let read = counted(&stats, &CLASSES[5]) - fixed as u64;
            assert_eq!(row.requests.fetch, read, "{what}: reads of S3 on the meter");
        }
        plan
    }

    /// Most of the runs have to have been without trouble, else nothing was shown.
    fn over(self) {
        assert!(2 * self.clean > self.runs, "{} of {} jobs sent nothing twice", self.clean, self.runs);
    }

    /// Whether a plan says a class exactly.
    fn is_exact(plan: &Plan, line: &str) -> bool {
        let class = CLASSES.iter().find(|class| class.lines.contains(&line)).expect("a class");
        said(plan, class).1
    }
}

fn verified(verify: Verify) -> Options {
    Options { verify, ..Options::default() }
}

/// A file of so many bytes without a hole, nothing of it zeros.
fn file(rig: &Rig, name: &str, bytes: usize) -> String {
    let path = rig.world.path(name);
    let bytes: Vec<u8> = (0..bytes).map(|n| u8::try_from(n % 251 + 1).expect("a byte")).collect();
    std::fs::write(&path, bytes).expect("written");
    path.display().to_string()
}

const LEVELS: [Verify; 3] = [Verify::None, Verify::Listing, Verify::Full];

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_archives_are_said_exactly() {
    let mut asked = Asked::new().await;
    // With gaps, of a number that fills no run and no piece, and with a piece that is empty at its end.
    let blocks: Vec<(i32, u8)> = (0..40).chain(300..361).chain([700, 1999]).map(|index| (index, 7)).collect();
    let sparse = format!("us-east-1:{}", disk(&asked.rig.world, "us-east-1", &blocks).await);
    let id = sparse.trim_start_matches("us-east-1:").to_owned();
    for (nth, verify) in LEVELS.into_iter().enumerate() {
        // Of a snapshot it is known at most how many blocks it has.
        asked.holds(&sparse, &[&format!("s3://{BUCKET}/a{nth}/")], verified(verify)).await;
        let archive = format!("s3://{BUCKET}/a{nth}/{id}/");
        for to in ["null:", "us-east-1:", &format!("s3://{BUCKET}/b{nth}/"), &format!("s3://{BUCKET}/b{nth}.img")] {
            let plan = asked.holds(&archive, &[to], verified(verify)).await;
            for line in ["S3 PUT", "S3 GET", "S3 LIST", "S3 HEAD", "Put"] {
                assert!(Asked::is_exact(&plan, line), "{to}, {verify:?}: {line} is known: {:#?}", plan.cost.parts);
            }
        }
    }
    // All at once, and few lanes: another run, another piece.
    for pace in [Pace::Conservative, Pace::CostEfficient, Pace::Aggressive] {
        let to = [format!("s3://{BUCKET}/{pace:?}/"), format!("s3://{BUCKET}/{pace:?}.img"), "us-east-1:".to_owned()];
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        asked.holds(&format!("s3://{BUCKET}/a0/{id}/"), &to, Options { pace, ..verified(Verify::Full) }).await;
    }
    for concurrency in [1, 5, 40] {
        let options = Options { concurrency: Some(concurrency), ..Options::default() };
        asked.holds(&format!("s3://{BUCKET}/a0/{id}/"), &[&format!("s3://{BUCKET}/few{concurrency}/")], options).await;
    }
    assert!(asked.exact >= 30, "{} classes were said exactly", asked.exact);
    asked.over();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_objects_are_said_exactly() {
    let mut asked = Asked::new().await;
    for (nth, verify) in LEVELS.into_iter().enumerate() {
        // A tail inside of a block, and inside of a piece; and less than a piece.
        for bytes in [70 * BLOCK + 12_345, 512] {
            let image = file(&asked.rig, "disk.raw", bytes);
            let key = format!("{nth}-{bytes}.img");
            // Holes of a file are found when it is read: at most.
            let plan = asked.holds(&image, &[&format!("s3://{BUCKET}/{key}")], verified(verify)).await;
            assert!(!Asked::is_exact(&plan, "S3 PUT"));
            let source = format!("s3://{BUCKET}/{key}");
            for to in ["null:", "us-east-1:", &format!("s3://{BUCKET}/of-{key}/")] {
                let plan = asked.holds(&source, &[to], verified(verify)).await;
                for line in ["S3 PUT", "S3 GET", "S3 LIST", "S3 HEAD", "Put"] {
                    assert!(Asked::is_exact(&plan, line), "{to}, {verify:?}: {line} is known: {:#?}", plan.cost.parts);
                }
            }
        }
    }
    // Not made by floe.
    replace(&asked.rig.world, "theirs.raw", vec![3; 5 * BLOCK]).await;
    asked.holds(&format!("s3://{BUCKET}/theirs.raw"), &["us-west-2:", "null:"], Options::default()).await;
    asked.over();
}

/// A folder of flexible-snapshot-proxy: each segment is read once where blocks come in order, and never more often than it
/// has blocks; its names are listed when it is opened and at each look. The meter counts both as they happen.
#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_folder_of_another_tool_are_said_and_metered() {
    let mut asked = Asked::new().await;
    let folder = "fsp/snap-0abc1234.1/";
    // Segments of one block, of some, and of as many as the tool puts into one; with gaps and without.
    let runs: Vec<(u32, u32)> = [(0, 3), (3, 1), (4, 8), (64, 2), (200, 64), (1_000, 1), (2_047, 1)].to_vec();
    of_another_tool(&asked.rig.world, folder, &runs).await;
    let (segments, blocks) = (runs.len() as u64, runs.iter().map(|(_, count)| u64::from(*count)).sum::<u64>());
    let source = format!("s3://{BUCKET}/{folder}");
    for (nth, verify) in LEVELS.into_iter().enumerate() {
        for to in ["null:", "us-east-1:", &format!("s3://{BUCKET}/of{nth}/"), &format!("s3://{BUCKET}/of{nth}.img")] {
            let options = Options { allow_gaps: true, ..verified(verify) };
            let plan = asked.holds(&source, &[to], options).await;
            if to == "null:" {
                assert!(Asked::is_exact(&plan, "S3 LIST"), "{verify:?}: {:#?}", plan.cost.parts);
            }
            assert!(!Asked::is_exact(&plan, "S3 GET"), "a segment may be read once a block");
        }
    }
    let options = Options { allow_gaps: true, concurrency: Some(1), ..verified(Verify::None) };
    let before = asked.clean;
    let plan = asked.holds(&source, &["null:"], options).await;
    if asked.clean > before {
        let read = counted(&asked.rig.world.running.sandbox.counters().picture(), &CLASSES[5]);
        assert_eq!(read, segments, "one after another, each segment is read once");
    }
    assert_eq!(said(&plan, &CLASSES[5]).0, blocks);
    asked.over();
}

/// Lanes that are no multiple of an object's blocks leave some that wait: for the objects that are under way, however long
/// these take, because the lanes that they give back bring the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_store_makes_no_more_objects_than_said() {
    let mut asked = Asked::new().await;
    let blocks: Vec<(i32, u8)> = (0..241).map(|index| (index, 7)).collect();
    let source = format!("us-east-1:{}", disk(&asked.rig.world, "us-east-1", &blocks).await);
    let id = source.trim_start_matches("us-east-1:").to_owned();
    let late = Rule::of(Fault::Delay { ms: 200, jitter: 100 }).on("PutObject");
    asked.rig.world.running.sandbox.set_faults(Faults { rules: vec![late], ..Faults::default() });
    let options = || Options { concurrency: Some(29), ..verified(Verify::None) };
    let [one, two, three] = ["one", "two", "three"].map(|prefix| format!("s3://{BUCKET}/{prefix}/"));
    asked.holds(&source, &[&one], options()).await;
    assert_eq!(segments(&asked.rig.world, &format!("one/{id}/")).await.len(), 1 + 240 / 8);
    // Two archives wait for each other's lanes.
    asked.holds(&source, &[&two, &three], options()).await;
    for prefix in ["two", "three"] {
        assert_eq!(segments(&asked.rig.world, &format!("{prefix}/{id}/")).await.len(), 1 + 240 / 8, "{prefix}");
    }
    // So few lanes that runs of two archives, and of three, could hold all of them and none be full.
    let [a, b, c] = ["a", "b", "c"].map(|prefix| format!("s3://{BUCKET}/few-{prefix}/"));
    let few = |lanes| Options { concurrency: Some(lanes), ..verified(Verify::None) };
    asked.holds(&source, &[&a, &b], few(8)).await;
    let [a, b] = ["a", "b"].map(|prefix| format!("s3://{BUCKET}/nine-{prefix}/"));
    asked.holds(&source, &[&a, &b, &c], few(9)).await;
    asked.over();
}

/// A whole GiB: several parts, 1,500 blocks, and the first of them is read once, whoever gathers it.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_gathered_is_read_once() {
    let mut asked = Asked::new().await;
    let source = format!("us-east-1:{WEB_DATA}");
    let blocks = asked.rig.truth().await.len() as u64;
    let options = || Options { memory: Some(Bytes::mib(96)), ..Options::default() };
    let to = ["s3://floe-vault-us-east-1/whole.img", "eu-west-1:", "null:"];
    asked.holds(&source, &to, options()).await;
    if asked.clean == 1 {
        assert_eq!(asked.rig.gets(), blocks);
    }
    asked.holds(SMALL, &[&format!("s3://{BUCKET}/small.img"), "us-east-1:"], verified(Verify::Full)).await;
    asked.holds(SMALL, &[&format!("s3://{BUCKET}/small.raw")], options()).await;
    assert!(asked.clean > 0, "no job of {} was without trouble", asked.runs);
}

/// Blocks that come seconds after the others are waited for: an object more would be a request that nobody spoke of.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_source_makes_no_more_objects_than_said() {
    let mut asked = Asked::new().await;
    let blocks: Vec<(i32, u8)> = (0..41).map(|index| (index, 7)).collect();
    let source = format!("us-east-1:{}", disk(&asked.rig.world, "us-east-1", &blocks).await);
    let id = source.trim_start_matches("us-east-1:").to_owned();
    asked.holds(&source, &[&format!("s3://{BUCKET}/a/")], verified(Verify::None)).await;
    let archive = format!("s3://{BUCKET}/a/{id}/");

    // A run of eight blocks, each fourth of them late.
    let late = |api: &str| Rule::of(Fault::Delay { ms: 2_600, jitter: 400 }).on(api).chance(0.25);
    let rules = vec![late("GetObject"), late("GetSnapshotBlock")];
    asked.rig.world.running.sandbox.set_faults(Faults { rules, ..Faults::default() });
    let options = || Options { concurrency: Some(8), ..verified(Verify::None) };
    let plan = asked.holds(&archive, &[&format!("s3://{BUCKET}/b/")], options()).await;
    assert!(Asked::is_exact(&plan, "S3 PUT"));
    let before = asked.clean;
    asked.holds(&source, &[&format!("s3://{BUCKET}/c/")], options()).await;
    for prefix in ["b", "c"] {
        let written = segments(&asked.rig.world, &format!("{prefix}/{id}/")).await;
        assert!(before < 2 || written.len() == 1 + 40 / 8, "{prefix}: {written:?}");
    }

    // So few requests a second that a run takes seconds to fill.
    let limit = Limit { api: "GetSnapshotBlock".to_owned(), of: LimitOf::Snapshot, per_second: 12.0, burst: Some(3.0) };
    asked.rig.world.running.sandbox.set_faults(Faults { limits: vec![limit], ..Faults::default() });
    asked.holds(&source, &[&format!("s3://{BUCKET}/d/")], verified(Verify::None)).await;
    assert_eq!(segments(&asked.rig.world, &format!("d/{id}/")).await.len(), 1 + 2, "forty in runs of 32");
    asked.over();
}

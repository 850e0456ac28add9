//! What plans say of money, against what the sandbox counted and what its price list says; live prices and the machine
//! as metadata tell it, and what is said where they are denied.

use floe::engine::protocol::JobState;
use floe::plan::{Options, Pace};
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::units::Bytes;
use serde_json::Value;

use crate::rig::{Rig, row_when, start};
use crate::support::{WEB_DATA, World};

/// Dollars of one request in us-east-1, written down here a second time.
const GET: f64 = 0.000_003;
const PUT: f64 = 0.000_006;
const LIST: f64 = 0.000_000_6;
const S3_PUT: f64 = 0.000_005;
const S3_GET: f64 = 0.000_000_4;

pub fn requests(world: &World, apis: &[&str]) -> f64 {
    let stats = world.running.sandbox.counters().picture();
    let count: u64 = apis.iter().map(|api| stats.api(api).requests).sum();
    f64::from(u32::try_from(count).expect("a few"))
}

pub async fn plan(world: &World, args: &[&str]) -> Value {
    let all: Vec<&str> = ["plan"].into_iter().chain(args.iter().copied()).chain(["-o", "json"]).collect();
    let (code, _, stderr) = world.json(&all).await;
    assert_eq!(code, 0, "{stderr}");
    let output = world.run(&all).await;
    serde_json::from_slice(&output.stdout).expect("a plan")
}

fn quantity(plan: &Value, name: &str) -> f64 {
    let parts = plan["cost"]["parts"].as_array().expect("parts").iter();
    parts
        .filter(|part| part["name"].as_str().is_some_and(|n| n.starts_with(name)))
        .filter_map(|p| p["quantity"].as_f64())
        .sum()
}

/// Copies, and holds the meter and the prediction against what the sandbox counted.
async fn held(world: &World, args: &[&str]) -> (Value, Value) {
    let said = plan(world, args).await;
    world.running.sandbox.counters().reset();
    let all: Vec<&str> =
        ["copy", "--yes", "-q", "--foreground"].into_iter().chain(args.iter().copied()).chain(["-o", "json"]).collect();
    let (code, _, stderr) = world.json(&all).await;
    assert_eq!(code, 0, "{stderr}");
    let (list, get) = (requests(world, &["ListSnapshotBlocks"]), requests(world, &["GetSnapshotBlock"]));
    let put = requests(world, &["PutSnapshotBlock"]);
    let store = requests(world, &["PutObject", "UploadPart", "CreateMultipartUpload", "CompleteMultipartUpload"]);
    let fetch = requests(world, &["GetObject"]);
    let output = world.run(&["jobs", "ls", "-o", "json"]).await;
    let jobs: Value = serde_json::from_slice(&output.stdout).expect("jobs");
    let job = &jobs[0];
    let counted = list * LIST + get * GET + put * PUT;
    let s3 = store * S3_PUT + fetch * S3_GET;
    let spent = job["spent_usd"].as_f64().expect("a meter");
    // Everything is in the sandbox's own region: no transfer. What S3 is asked beside blocks (manifests, looks) is counted
    // by the sandbox and not by the meter: less than a cent, as everything of it.
    assert!((spent - counted - s3).abs() < 0.005, "{spent} spent, {counted} + {s3} counted");
    // Nor are the requests of KMS, of which the sandbox sees none: a handful at $0.000003.
    assert!((spent - counted).abs() <= s3 + 0.000_03, "{spent} spent, {counted} + {s3} counted: not even without S3");
    assert!(quantity(&said, "List") >= list, "{} lists said, {list} counted", quantity(&said, "List"));
    (said, serde_json::json!({ "list": list, "get": get, "put": put, "store": store }))
}

#[tokio::test(flavor = "multi_thread")]
async fn dollars_follow_from_the_requests_that_were_counted() {
    let world = World::calm().await;
    let source = format!("us-east-1:{WEB_DATA}");
    let blocks = world.contents("prod", "us-east-1", WEB_DATA).await.len();
    let blocks = f64::from(u32::try_from(blocks).expect("a few"));
    let image = world.path("disk.img").display().to_string();
    let at = ["--runs-in", "us-east-1"];
    // Download.
    let args: Vec<&str> = [source.as_str(), &image].into_iter().chain(at).collect();
    let (_, counted) = held(&world, &args).await;
    assert_eq!(counted["get"].as_f64(), Some(blocks));
    world.run(&["jobs", "forget"]).await;
    // Upload: a file is a fully known source.
    let args: Vec<&str> = [image.as_str(), "us-east-1:", "--omit-zeros", "off"].into_iter().chain(at).collect();
    let (said, counted) = held(&world, &args).await;
    assert_eq!(counted["put"].as_f64(), Some(quantity(&said, "Put")), "said exactly");
    world.run(&["jobs", "forget"]).await;
    // Copy, and three destinations in one read.
    let args: Vec<&str> = [source.as_str(), "us-east-1:"].into_iter().chain(at).collect();
    let (_, counted) = held(&world, &args).await;
    assert_eq!((counted["get"].as_f64(), counted["put"].as_f64()), (Some(blocks), Some(blocks)));
    world.run(&["jobs", "forget"]).await;
    let second = world.path("second.img").display().to_string();
    let args: Vec<&str> = [source.as_str(), "us-east-1:", "us-east-1:", &second].into_iter().chain(at).collect();
    let (_, counted) = held(&world, &args).await;
    assert_eq!((counted["get"].as_f64(), counted["put"].as_f64()), (Some(blocks), Some(2.0 * blocks)));
}

async fn text(world: &World, args: &[&str]) -> String {
    let output = world.run(args).await;
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn live_prices_are_aws_s_own_are_kept_and_are_not_mixed_up_with_the_table() {
    let world = World::calm().await;
    let source = format!("us-east-1:{WEB_DATA}");
    let args = [source.as_str(), "eu-west-1:", "--runs-in", "eu-west-1"];
    let bundled = plan(&world, &args).await;
    let live: Vec<&str> = args.iter().copied().chain(["--live-prices"]).collect();
    let told = plan(&world, &live).await;
    let price = |plan: &Value, name: &str| {
        let parts = plan["cost"]["parts"].as_array().expect("parts");
        let part =
            parts.iter().find(|part| part["name"].as_str().is_some_and(|n| n.starts_with(name))).expect("a line");
        part["usd"].as_f64().expect("dollars") / part["quantity"].as_f64().expect("a quantity")
    };
    // eu-west-1 is the third region of the sandbox's list: a fifth dearer than us-east-1.
    assert!((price(&bundled, "Put") - PUT).abs() < 1e-12);
    assert!((price(&told, "Put") - PUT * 1.2).abs() < 1e-12, "{told}");
    assert!((price(&told, "snapshot storage") - 0.06).abs() < 1e-9);
    let as_of = told["cost"]["prices_as_of"].as_str().expect("a date");
    assert!(as_of.ends_with("(live)"), "{as_of}");
    let asked = requests(&world, &["GetProducts"]);
    assert!(asked >= 14.0, "seven questions of each of two regions");
    plan(&world, &live).await;
    assert!((requests(&world, &["GetProducts"]) - asked).abs() < 0.5, "kept for seven days");

    let shown = text(&world, &["prices", "--live", "--region", "eu-west-1"]).await;
    assert!(shown.contains("0.0000072") && shown.contains("(live)"), "{shown}");
    let table = world.path("prices.toml").display().to_string();
    let written = text(&world, &["prices", "--live", "--region", "eu-west-1", "--update-table", &table]).await;
    let file = std::fs::read_to_string(&table).expect("the table is written");
    let parsed: toml::Table = toml::from_str(&file).expect("it is TOML");
    let cell = parsed["regions"]["eu-west-1"]["snapshot"].as_float().expect("a price");
    assert!((cell - 0.06).abs() < 1e-9, "{written}");
    assert!((parsed["regions"]["us-west-2"]["snapshot"].as_float().expect("a price") - 0.05).abs() < 1e-9, "untouched");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_prices_and_quotas_are_denied_the_plan_says_so_and_goes_by_what_is_known() {
    let deny = |api: &str| Rule { api: Some(api.to_owned()), ..Rule::of(Fault::Deny) };
    let rules = vec![deny("GetProducts"), deny("GetServiceQuota"), deny("GetAWSDefaultServiceQuota")];
    let world = World::with(Faults { rules, ..Faults::default() }).await;
    let source = format!("us-east-1:{WEB_DATA}");
    let shown = text(&world, &["plan", &source, "eu-west-1:", "--live-prices"]).await;
    assert!(shown.contains("prices are those of the table of 2026-09-21"), "{shown}");
    assert!(shown.contains("floe iam prices") || shown.contains("pricing:GetProducts"), "{shown}");
    assert!(shown.contains("quota: Service Quotas did not tell"), "{shown}");
    let said = plan(&world, &[&source, "eu-west-1:"]).await;
    let quotas = said["quotas"].as_array().expect("quotas");
    assert!(quotas.len() >= 5 && quotas.iter().all(|quota| quota["told"] == false), "{quotas:?}");
    assert!(quotas.iter().any(|quota| quota["code"] == "L-AFAE1BE8" && quota["value"] == 1000.0), "AWS's default");
    let refused = world.run(&["prices", "--live", "--region", "eu-west-1"]).await;
    assert_eq!(refused.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_found_by_its_metadata_and_its_network_binds() {
    let world = World::calm().await;
    let source = "us-east-1:snap-01c55a9e07b3d2f48";
    let mut command = world.floe(&["plan", source, "eu-west-1:"]);
    command.env_remove("AWS_EC2_METADATA_DISABLED").env("AWS_EC2_METADATA_SERVICE_ENDPOINT", world.running.url());
    let output = tokio::task::spawn_blocking(move || command.output().expect("floe runs")).await.expect("it ends");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("us-east-1 (instance metadata)"), "{shown}");
    assert!(shown.contains("network of r5b.large, 0.75 Gbit/s all the time"), "{shown}");
    assert!(shown.contains("this instance has no public address: through a NAT gateway"), "{shown}");
    assert!(shown.contains("machine: network of r5b.large"), "{shown}");
    // Who says where it runs is believed.
    let told = text(&world, &["plan", source, "eu-west-1:", "--runs-in", "eu-west-1"]).await;
    assert!(told.contains("floe runs in eu-west-1") && !told.contains("metadata"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_there_already_makes_a_delta_of_the_next_one_and_the_route_is_known_then() {
    let world = World::calm().await;
    let at = ["--runs-in", "eu-west-1"];
    let earlier = "us-east-1:snap-0feed0000000da7a2";
    let args: Vec<&str> =
        ["copy", "--yes", "-q", "--foreground", earlier, "eu-west-1:"].into_iter().chain(at).collect();
    let (code, copied, stderr) = world.json(&args.iter().copied().chain(["-o", "json"]).collect::<Vec<_>>()).await;
    assert_eq!(code, 0, "{stderr}");
    let copy = copied["destinations"][0]["address"]
        .as_str()
        .expect("an address")
        .rsplit(':')
        .next()
        .expect("an id")
        .to_owned();

    let source = format!("us-east-1:{WEB_DATA}");
    let said = plan(&world, &[&source, "eu-west-1:", at[0], at[1]]).await;
    let ways = said["alternatives"].as_array().expect("ways");
    let delta = ways.iter().find(|way| way["name"].as_str() == Some(&format!("delta on {copy}"))).expect("a delta");
    // Counted by another client: what the later snapshot does not share with the earlier one.
    let (first, second) = ("snap-0feed0000000da7a2", WEB_DATA);
    let ebs = world.ebs("prod", "us-east-1");
    let changed = ebs.list_changed_blocks().first_snapshot_id(first).second_snapshot_id(second).max_results(10_000);
    let changed = changed.send().await.expect("a page").changed_blocks().len();
    let changed = f64::from(u32::try_from(changed).expect("a few"));
    assert!(changed > 0.0);
    let (whole, once) = (said["cost"]["total_usd"].as_f64().expect("usd"), delta["once_usd"].as_f64().expect("usd"));
    let moved = changed * (GET + PUT) + changed / 2048.0 * 0.02;
    assert!(once < whole && (once - moved).abs() < 0.0001, "{once} for {moved}, {whole} whole");
    // The other way takes it: the same addresses as a delta, and it can be planned.
    let onto = format!("eu-west-1:{copy}+");
    let range = format!("us-east-1:{first}..{second}");
    let taken = plan(&world, &[&range, &onto, at[0], at[1]]).await;
    assert!((taken["cost"]["total_usd"].as_f64().expect("usd") - once).abs() < 0.0001, "{taken}");
    // The same way was gone before: that says how fast it is.
    let bound = said["time"]["bound_by"].as_str().expect("a limit");
    let (low, high) = (said["time"]["low_seconds"].as_f64(), said["time"]["high_seconds"].as_f64());
    assert!(high.expect("high") <= 2.0 * low.expect("low") + 1e-6, "{said}");
    let routes = std::fs::read_dir(world.path(".local/state/floe")).expect("the state directory");
    assert!(routes.filter_map(Result::ok).any(|entry| entry.file_name() == "routes.json"), "kept ({bound})");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_held_against_other_classes_the_archive_tier_and_leaving_it() {
    let world = World::calm().await;
    let source = format!("us-east-1:{WEB_DATA}");
    let to = ["s3://floe-vault-us-east-1/a/", "--runs-in", "us-east-1", "--storage-class", "GLACIER_IR"];
    let said = plan(&world, &[&source, to[0], to[1], to[2], to[3], to[4]]).await;
    let ways = said["alternatives"].as_array().expect("ways");
    let of = |name: &str| ways.iter().find(|way| way["name"].as_str() == Some(name)).expect("the way");
    let month = |name: &str| of(name)["monthly_usd"].as_f64().expect("usd");
    let gib = quantity(&said, "S3 GLACIER_IR storage");
    let near = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-6, "{found} for {wanted}");
    near(month("S3 STANDARD"), gib * 0.023);
    near(month("EBS archive tier"), gib * 0.0125);
    near(month("leave it"), gib * 0.05);
    assert!(of("EBS archive tier")["remark"].as_str().expect("words").contains("dearer than leaving it"), "{ways:?}");
    // Ninety days have to be paid for.
    let findings = said["findings"].to_string();
    assert!(findings.contains("GLACIER_IR is paid for a shortest time"), "{findings}");
    let shown = text(&world, &["plan", &source, to[0], to[1], to[2], to[3], to[4]]).await;
    assert!(shown.contains("Pace     balanced: 128 lanes at first"), "{shown}");
    assert!(shown.contains("at most (the memory); 1 cursor lists"), "{shown}");
}

/// Reading back from a class costs by the GiB, and so does what its plan says.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_from_an_infrequent_class_is_charged_for() {
    let world = World::calm().await;
    let source = format!("us-east-1:{WEB_DATA}");
    let vault = "s3://floe-vault-us-east-1/ia/";
    let copy = ["copy", "--yes", "-q", "--foreground", &source, vault, "--storage-class", "STANDARD_IA", "-o", "json"];
    let (code, _, stderr) = world.json(&copy).await;
    assert_eq!(code, 0, "{stderr}");
    let archive = format!("{vault}{WEB_DATA}/");
    let said = plan(&world, &[&archive, "null:", "--runs-in", "us-east-1"]).await;
    let parts = said["cost"]["parts"].as_array().expect("parts");
    let part = parts.iter().find(|part| part["name"].as_str() == Some("retrieval from STANDARD_IA in us-east-1"));
    let part = part.unwrap_or_else(|| panic!("{said}"));
    let (gib, usd) = (part["quantity"].as_f64().expect("GiB"), part["usd"].as_f64().expect("usd"));
    assert!(gib > 0.0 && (usd - gib * 0.01).abs() < 1e-9, "{part}");
}

/// Whatever is asked for, the job runs with what its plan says, as the sandbox sees it from outside.
#[tokio::test(flavor = "multi_thread")]
async fn planned_choices_are_the_executed_ones() {
    let seed = fastrand::u64(..);
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut faults = Faults::default();
    faults.rules.push(Rule::of(Fault::Delay { ms: 5, jitter: 0 }).on("GetSnapshotBlock"));
    let rig = Rig::with(faults).await;
    let engine = rig.engine(None).await;
    for _ in 0..4 {
        let options = Options {
            pace: [Pace::Balanced, Pace::Aggressive, Pace::Conservative, Pace::CostEfficient][dice.usize(..4)],
            concurrency: dice.bool().then(|| dice.u32(1..300)),
            memory: dice.bool().then(|| Bytes::mib(dice.u64(4..256))),
            ..Options::default()
        };
        let plan = rig.plan(&rig.source(), &["null:"], options.clone()).await;
        rig.world.running.sandbox.counters().reset();
        let job = start(&engine, &plan).await;
        let row = row_when(&engine, job, |row| row.state == JobState::Done).await;
        let most = rig.world.running.sandbox.counters().picture().api("GetSnapshotBlock").max_in_flight;
        assert_eq!(row.lanes.cap, plan.choices.lanes_max, "seed {seed}: {options:?}");
        assert!(most >= 1 && most <= u64::from(plan.choices.lanes_max), "seed {seed}: {most} at once, {options:?}");
        let listed = f64::from(u32::try_from(row.requests.list).expect("a few"));
        let said = plan.cost.parts.iter().find(|part| part.name.starts_with("List in")).expect("a line").quantity;
        assert!(listed <= said, "seed {seed}: {listed} pages, {said} said, {options:?}");
    }
}

/// What the meter and the plan say of one copy, against the requests that the sandbox counted and the bytes that crossed a
/// border, priced here.
async fn to_the_cent(world: &World, args: &[&str], border_gib: f64, kept: &str) -> Value {
    let all: Vec<&str> = args.iter().copied().chain(["--runs-in", "us-east-1"]).collect();
    let said = plan(world, &all).await;
    world.running.sandbox.counters().reset();
    let copy: Vec<&str> =
        ["copy", "--yes", "-q", "--foreground"].into_iter().chain(all).chain(["-o", "json"]).collect();
    let (code, copied, stderr) = world.json(&copy).await;
    assert_eq!(code, 0, "{kept}: {stderr}");
    let list = requests(world, &["ListSnapshotBlocks", "ListChangedBlocks"]);
    let (get, put) = (requests(world, &["GetSnapshotBlock"]), requests(world, &["PutSnapshotBlock"]));
    let store = requests(world, &["PutObject", "UploadPart", "CreateMultipartUpload", "CompleteMultipartUpload"]);
    let fetch = requests(world, &["GetObject"]);
    let counted = list * LIST + get * GET + put * PUT + store * S3_PUT + fetch * S3_GET + border_gib * 0.02;
    let output = world.run(&["jobs", "ls", "-o", "json"]).await;
    let jobs: Value = serde_json::from_slice(&output.stdout).expect("jobs");
    let spent = jobs[0]["spent_usd"].as_f64().expect("a meter");
    assert!((spent - counted).abs() < 0.005, "{kept}: {spent} spent, {counted} counted");
    let once = said["cost"]["total_usd"].as_f64().expect("usd");
    assert!((once - counted).abs() < 0.005, "{kept}: {once} said, {counted} counted");
    assert!((quantity(&said, "Get in") - get).abs() < 0.5, "{kept}: {get} Get\n{said}");
    assert!((quantity(&said, "Put in") - put).abs() < 0.5, "{kept}: {put} Put\n{said}");
    // What S3 is asked beside blocks: a look at the bucket, an upload begun and ended, the manifest and the index.
    assert!((quantity(&said, "S3 PUT") - store).abs() <= 4.0, "{kept}: {store} S3 PUT\n{said}");
    assert!((quantity(&said, "S3 GET") - fetch).abs() <= 8.0, "{kept}: {fetch} S3 GET\n{said}");
    let forgotten = world.run(&["jobs", "forget"]).await;
    assert!(forgotten.status.success(), "{forgotten:?}");
    copied
}

#[tokio::test(flavor = "multi_thread")]
async fn dollars_of_archives_follow_to_the_cent() {
    let world = World::calm().await;
    let (second, bucket) = (WEB_DATA, "s3://floe-vault-us-east-1");
    let b = format!("us-east-1:{second}");
    to_the_cent(&world, &[&b, &format!("{bucket}/cents/")], 0.0, "an archive").await;
    to_the_cent(&world, &[&format!("{bucket}/cents/{second}/"), "null:"], 0.0, "read from an archive").await;
}

/// The second job on a route is estimated by what the first one took, kept in `routes.json`; and `floe accuracy` holds both
/// against what they took.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_job_is_estimated_by_the_first_and_accuracy_sums_them_up() {
    let world = World::calm().await;
    let source = format!("us-east-1:{WEB_DATA}");
    let copy = ["copy", "--yes", "-q", "--foreground", source.as_str(), "null:", "-o", "json"];
    let (code, first, stderr) = world.json(&copy).await;
    assert_eq!(code, 0, "{stderr}");
    let kept = std::fs::read(world.path(".local/state/floe/routes.json")).expect("routes are kept");
    let kept: Value = serde_json::from_slice(&kept).expect("json");
    let past = kept["routes"].as_object().and_then(|all| all.values().next()).expect("one route")[0].clone();
    let (seconds, moving) = (past["seconds"].as_f64().expect("seconds"), past["moving"].as_f64().expect("seconds"));
    assert!(moving > 0.0 && moving <= seconds, "{past}");
    let said = plan(&world, &[&source, "null:"]).await;
    let (low, high) =
        (said["time"]["low_seconds"].as_f64().expect("s"), said["time"]["high_seconds"].as_f64().expect("s"));
    // By its own first run: what moved as fast, and what start and end took, half as much to twice as much.
    let blocks = past["blocks"].as_f64().expect("blocks");
    let quota = blocks / 1000.0;
    assert!(low <= moving.max(quota) + (seconds - moving) && low >= 0.5 * quota - 0.2, "{low} for {past}");
    assert!(high >= moving && high <= (2.0 * low).max(5.0) + 1e-9, "{low} to {high} for {past}");

    let (code, second, stderr) = world.json(&copy).await;
    assert_eq!(code, 0, "{stderr}");
    let output = world.run(&["accuracy", "-o", "json"]).await;
    let rows: Value = serde_json::from_slice(&output.stdout).expect("rows");
    let row = |figure: &str| {
        let rows = rows.as_array().expect("rows").iter();
        rows.clone().find(|row| row["figure"] == figure).cloned().unwrap_or_else(|| panic!("{figure} in {output:?}"))
    };
    // By the jobs' own last lines, read here.
    let ratio = |job: &Value| {
        job["peak_rss_bytes"].as_f64().expect("bytes") / job["predicted"]["memory_bytes"].as_f64().expect("bytes")
    };
    let (one, two) = (ratio(&first), ratio(&second));
    let memory = row("memory");
    assert_eq!(memory["jobs"], 2);
    let near = |found: &Value, wanted: f64| {
        assert!((found.as_f64().expect("a ratio") - wanted).abs() < 0.01, "{found} for {wanted}")
    };
    near(&memory["lowest"], one.min(two));
    near(&memory["highest"], one.max(two));
    assert_eq!((row("time")["jobs"].clone(), row("requests")["jobs"].clone()), (2.into(), 2.into()));
    assert!(row("requests")["highest"].as_f64().expect("a ratio") <= 1.0, "requests are said exactly, or at most");
}

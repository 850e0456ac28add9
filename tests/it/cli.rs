//! The command line as scripts meet it: the real binary, its exit codes, its sentences, its JSON, its help.

use std::path::Path;
use std::process::{Command, Output};

use floe::sandbox::faults::{Fault, Faults, Rule};
use serde_json::Value;

use crate::support::{World, bare_floe};

/// The smallest snapshot of the default scenario that holds anything: 32 MiB in a volume of 1 GiB.
const BOOT: &str = "us-east-1:snap-0feed000000b00701";
/// Two of one lineage, 40 blocks added and 34 changed between them.
const DELTA: &str = "us-east-1:snap-0feed0000000da7a1..snap-0feed0000000da7a2";

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Keys of an object, in the order of the alphabet.
fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[track_caller]
fn has_keys(value: &Value, wanted: &[&str]) {
    let has = keys(value);
    for key in wanted {
        assert!(has.contains(key), "{key} is missing in {value}");
    }
}

#[track_caller]
fn refused(output: &Output, wanted: i32, words: &[&str]) {
    let said = said(output);
    assert_eq!(code(output), wanted, "{said}");
    assert_eq!(printed(output), "", "stdout carries results only");
    for word in words {
        assert!(said.contains(word), "must say {word:?}: {said}");
    }
}

fn alone(args: &[&str]) -> Output {
    let home = tempfile::tempdir().expect("a home");
    bare_floe(home.path()).args(args).output().expect("floe runs")
}

#[test]
fn help_is_good_enough_to_print() {
    for args in [&["--help"][..], &["copy", "--help"], &["jobs", "--help"], &["sandbox", "--help"]] {
        let output = alone(args);
        assert_eq!((code(&output), said(&output).as_str()), (0, ""));
        insta::assert_snapshot!(args.join("_").replace("--", ""), printed(&output));
    }
}

#[test]
fn wrong_usage_is_two_and_says_what_was_meant() {
    refused(&alone(&["cpoy"]), 2, &["unrecognized subcommand", "copy"]);
    refused(&alone(&["copy"]), 2, &["ADDRESS"]);
    refused(&alone(&["copy", BOOT]), 2, &["has no destination", "./disk.img"]);
    refused(&alone(&["copy", BOOT, "eu-west-1"]), 2, &["did you mean `eu-west-1:`?", "./eu-west-1"]);
    refused(&alone(&["copy", BOOT, "snap-0abc1234"]), 2, &["`snap-0abc1234+` makes a new one", "--each"]);
    refused(&alone(&["copy", BOOT, "null:", "--memory", "lots"]), 2, &["`lots` is not a size"]);
    refused(&alone(&["copy", BOOT, "null:", "--tag", "aws:x=y"]), 2, &["belong to AWS"]);
    refused(&alone(&["--sandbox", "copy", BOOT, "null:", "--detach"]), 2, &["lives in its command", "--endpoint-url"]);
    refused(&alone(&["ls", "snapshots", "--filter", "sze:>1"]), 2, &["`sze` is not a filter key", "size"]);
    refused(
        &alone(&["ls", "archives", "s3://vault/web"]),
        2,
        &["ends with a slash", "floe ls archives s3://vault/web/"],
    );
    refused(&alone(&["ls", "snapshots", "./disk.img"]), 2, &["no place to list", "REGION:"]);
    refused(&alone(&["size", "disk.img"]), 2, &["no blocks to list", "snap-A..snap-B"]);
    refused(&alone(&["size", BOOT, "-o", "ids"]), 2, &["-o ids is for ls"]);
    refused(&alone(&["--region", "mars", "jobs"]), 2, &["`mars` is not a region"]);
    refused(&alone(&["jobs", "show", "7"]), 2, &["there is no job 7", "floe jobs ls"]);
    refused(&alone(&["jobs", "resume"]), 2, &["no job to resume"]);
    refused(&alone(&["--config", "nowhere.toml", "jobs"]), 2, &["no config file nowhere.toml"]);
    refused(&alone(&[]), 2, &["the deck needs a terminal"]);
}

#[test]
fn a_misspelt_key_in_the_config_names_the_right_ones() {
    let home = tempfile::tempdir().expect("a home");
    let config = home.path().join(".config/floe/config.toml");
    std::fs::create_dir_all(config.parent().expect("a folder")).expect("a folder");
    std::fs::write(&config, "version = 1\nread_onyl = true\n").expect("written");
    let output = bare_floe(home.path()).arg("jobs").output().expect("floe runs");
    refused(&output, 2, &["config.toml line 2", "`read_onyl` is not a key", "read_only"]);
}

#[test]
fn an_environment_that_cannot_be_used_says_so() {
    let home = tempfile::tempdir().expect("a home");
    let mut floe = bare_floe(home.path());
    refused(&floe.args(["size", BOOT]).output().expect("floe runs"), 1, &["no credentials", "floe --sandbox"]);
    let mut floe = bare_floe(home.path());
    refused(
        &floe.args(["size", BOOT, "--profile", "nope"]).output().expect("floe runs"),
        2,
        &["there is no profile nope"],
    );
    let mut floe = bare_floe(home.path());
    let output = floe.args(["jobs"]).env("AWS_REGION", "mars").output().expect("floe runs");
    refused(&output, 2, &["AWS_REGION", "`mars` is not a region"]);

    std::fs::write(home.path().join("file"), "").expect("written");
    let output = bare_floe(home.path()).args(["jobs", "--state-dir", "file/state"]).output().expect("floe runs");
    refused(&output, 1, &["the state directory", "cannot be written", "--state-dir DIR"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_says_where_it_is() {
    let world = World::calm().await;
    let output = world.run(&["size", "us-east-1:snap-0abc1234"]).await;
    refused(&output, 2, &["snap-0abc1234 does not exist in us-east-1", "floe ls snapshots --all-regions"]);
    let id = BOOT.split_once(':').expect("an address").1;
    for verb in [vec!["size"], vec!["plan"]] {
        let address = format!("eu-west-1:{id}");
        let mut args = verb.clone();
        args.push(&address);
        if verb == ["plan"] {
            args.push("null:");
        }
        refused(&world.run(&args).await, 2, &["does not exist in eu-west-1", "it is in another region", BOOT]);
    }
    let output = world.run(&["size", "xx-east-9:snap-0abc1234"]).await;
    refused(&output, 2, &["xx-east-9", "us-east-1"]);
    let output = world.run(&["size", &format!("nope@{BOOT}")]).await;
    refused(&output, 2, &["there is no profile nope", "prod", "dr"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_credentials_say_how_to_get_new_ones() {
    let world = World::with(Faults { rules: vec![Rule::of(Fault::Deny)], ..Faults::default() }).await;
    let output = world.run(&["ls", "snapshots", "us-east-1:"]).await;
    assert_eq!(code(&output), 1, "{}", said(&output));
    world.running.sandbox.set_faults(Faults::default());
    let mut floe = world.floe(&["ls", "snapshots", "us-east-1:"]);
    floe.env_remove("AWS_PROFILE").env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE").env("AWS_SECRET_ACCESS_KEY", "x");
    let output = tokio::task::spawn_blocking(move || floe.output().expect("floe runs")).await.expect("ends");
    assert_eq!(code(&output), 1, "{}", said(&output));
    assert!(said(&output).contains("  → "), "says what to do: {}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_not_taken_by_accident() {
    let world = World::calm().await;
    std::fs::create_dir(world.path("images")).expect("a directory");
    std::fs::write(world.path("full.img"), "precious").expect("a file");
    let output = world.run(&["copy", BOOT, "./images", "--yes"]).await;
    refused(&output, 2, &["is a directory", "floe copy", "images/boot-test.img"]);
    let output = world.run(&["copy", BOOT, "full.img", "--yes"]).await;
    refused(&output, 5, &["exists and holds 8 B", "--force"]);
    let output = world.run(&["copy", BOOT, "new.img"]).await;
    refused(&output, 5, &["needs --yes", "Cost", "Memory"]);
    assert!(!world.path("new.img").exists());
    let output = world.run(&["copy", BOOT, "new.img", "--yes", "--read-only"]).await;
    refused(&output, 5, &["--read-only", "null:"]);
    let output = world.run(&["copy", BOOT, "null:", "--yes", "--memory", "700K"]).await;
    refused(&output, 5, &["700 KiB is below", "--memory"]);
    assert_eq!(std::fs::read(world.path("full.img")).expect("still there"), b"precious");
    let output = world.run(&["copy", BOOT, "full.img", "--yes", "--force", "-q"]).await;
    assert_eq!((code(&output), said(&output).as_str()), (0, ""), "quiet is silent");
}

/// A file system without room, as far as one process can see: files may not grow.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room_is_named() {
    let world = World::calm().await;
    let floe = world.floe(&["copy", BOOT, "new.img", "--yes"]);
    let mut limited = Command::new("sh");
    limited
        .arg("-c")
        .arg("trap '' XFSZ; ulimit -f 8192; exec \"$0\" \"$@\"")
        .arg(floe.get_program())
        .args(floe.get_args());
    limited.env_clear().current_dir(world.dir.path()).stdin(std::process::Stdio::null());
    for (key, value) in floe.get_envs() {
        value.map(|value| limited.env(key, value));
    }
    let output = tokio::task::spawn_blocking(move || limited.output().expect("sh runs")).await.expect("ends");
    refused(&output, 1, &["new.img", "File too large"]);
    assert!(!world.path("new.img").exists(), "no half a file under its name");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_one_array_and_tables_are_for_people() {
    let world = World::calm().await;
    let shapes: [(&str, &[&str]); 5] = [
        ("regions", &["name", "opt_in"]),
        (
            "snapshots",
            &[
                "id",
                "name",
                "region",
                "account",
                "size_bytes",
                "full_bytes",
                "state",
                "started",
                "tier",
                "encrypted",
                "tags",
            ],
        ),
        ("volumes", &["id", "name", "region", "account", "zone", "size_bytes", "type", "state", "attached_to"]),
        ("images", &["id", "name", "region", "account", "snapshots", "state", "created"]),
        ("instances", &["id", "name", "region", "account", "type", "state", "volumes"]),
    ];
    for (what, fields) in shapes {
        let args = if what == "regions" { vec!["ls", what] } else { vec!["ls", what, "--all-regions"] };
        let json = world.run(&[&args[..], &["-o", "json"]].concat()).await;
        assert_eq!(code(&json), 0, "{}", said(&json));
        let rows: Value = serde_json::from_slice(&json.stdout).expect("one JSON document");
        let rows = rows.as_array().expect("an array");
        assert!(!rows.is_empty(), "{what}");
        rows.iter().for_each(|row| has_keys(row, fields));

        let ids = world.run(&[&args[..], &["-o", "ids"]].concat()).await;
        assert_eq!(printed(&ids).lines().count(), rows.len(), "{what}");
        let csv = world.run(&[&args[..], &["-o", "csv"]].concat()).await;
        let mut reader = csv::Reader::from_reader(csv.stdout.as_slice());
        let records: Vec<csv::StringRecord> =
            reader.records().collect::<Result<_, _>>().expect("as many cells as heads");
        assert_eq!(records.len(), rows.len(), "{what}");
        let table = world.run(&args).await;
        assert_eq!(printed(&table).lines().count(), rows.len() + 1, "{what}: a head and a line per row");
    }
    let one = world.run(&["ls", "snapshots", BOOT, "-o", "ids"]).await;
    assert_eq!(printed(&one).trim(), BOOT.split_once(':').expect("an address").1);
    let some = world.run(&["ls", "snapshots", "us-east-1:", "--filter", "name:web-data size:1GiB", "-o", "ids"]).await;
    assert_eq!(printed(&some).lines().count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn size_counts_what_an_independent_reader_counts() {
    // With this seed the very first page is empty, and has a token.
    let faults = Faults { seed: 10, short_pages_permille: 300, empty_pages_permille: 200, ..Faults::default() };
    let world = World::with(faults).await;
    let (exit, json, stderr) = world.json(&["size", BOOT, "-o", "json"]).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(keys(&json), ["address", "blocks", "bytes", "volume_bytes"]);
    let truth = world.contents("prod", "us-east-1", BOOT.split_once(':').expect("an address").1).await;
    assert_eq!(json["blocks"], truth.len());
    assert_eq!(json["bytes"], truth.len() * 524_288);
    assert_eq!(json["volume_bytes"], 1u64 << 30);

    let (_, json, _) = world.json(&["size", DELTA, "-o", "json"]).await;
    assert_eq!(keys(&json), ["added", "address", "blocks", "bytes", "changed", "removed", "volume_bytes"]);
    assert_eq!((&json["added"], &json["changed"], &json["removed"]), (&40.into(), &34.into(), &0.into()));
    let text = printed(&world.run(&["size", DELTA]).await);
    assert!(text.contains("= 74 of 2,048 blocks differ") && text.contains("added 40, changed 34, removed 0"), "{text}");
}

/// A block that only the first of two snapshots lists: gone, and nothing of it is read from the first.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_second_snapshot_does_not_have_is_counted_as_removed() {
    let world = World::calm().await;
    let (first, second) = DELTA.split_once(':').and_then(|(_, ids)| ids.split_once("..")).expect("two ids");
    let (first, second) = (first.to_owned(), second.to_owned());
    // The other way round: what was added between the two is gone.
    let backwards = format!("us-east-1:{second}..{first}");
    let (exit, json, stderr) = world.json(&["size", &backwards, "-o", "json"]).await;
    assert_eq!(exit, 0, "{stderr}");
    let old = world.contents("prod", "us-east-1", &first).await;
    let new = world.contents("prod", "us-east-1", &second).await;
    let gone = new.keys().filter(|index| !old.contains_key(index)).count();
    assert!(gone > 0, "there is something to be gone");
    assert_eq!((&json["added"], &json["removed"]), (&0.into(), &gone.into()), "{json}");
    assert_eq!(json["blocks"], json["changed"].as_u64().expect("a count") + gone as u64, "all are listed");
}

/// One source of three is denied: the others are copied, and a resume finishes only what is missing.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_a_group_fails_and_the_others_are_done() {
    let denied = Rule {
        snapshot: BOOT.split_once(':').map(|(_, id)| id.to_owned()),
        ..Rule::of(Fault::Deny).on("GetSnapshotBlock")
    };
    let world = World::with(Faults { rules: vec![denied], ..Faults::default() }).await;
    let (empty, full) = ("us-east-1:snap-0feed000000e00000", "us-east-1:snap-0feed0000000da7a1");
    let (exit, json, stderr) =
        world.json(&["copy", "--each", empty, BOOT, full, "eu-west-1:", "--yes", "-o", "json"]).await;
    assert_eq!(exit, 3, "{stderr}");
    let states: Vec<&str> =
        json["jobs"].as_array().expect("jobs").iter().filter_map(|job| job["state"].as_str()).collect();
    assert_eq!(states, ["done", "failed", "done"], "{json}");
    world.running.sandbox.set_faults(Faults::default());
    let puts = || world.running.sandbox.counters().picture().api("PutSnapshotBlock").requests;
    let before = puts();
    let (exit, json, stderr) = world.json(&["jobs", "resume", "-o", "json"]).await;
    assert_eq!((exit, &json["job"], &json["state"]), (0, &2.into(), &"done".into()), "{stderr}");
    assert_eq!(puts() - before, 64, "only what is missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_has_the_shape_that_scripts_know() {
    let world = World::calm().await;
    let (exit, json, stderr) = world.json(&["plan", BOOT, "eu-west-1:", "disk.img", "-o", "json"]).await;
    assert_eq!(exit, 0, "{stderr}");
    has_keys(&json, &["source", "destinations", "memory", "disk", "cost", "time", "alternatives", "findings"]);
    assert_eq!(json["destinations"].as_array().map(Vec::len), Some(2));
    has_keys(&json["destinations"][0], &["address", "strategy"]);
    has_keys(&json["memory"], &["total_bytes", "parts", "limit_bytes", "verdict"]);
    has_keys(&json["memory"]["parts"][0], &["name", "bytes"]);
    has_keys(&json["disk"], &["ledger_bytes", "journal_bytes"]);
    has_keys(&json["cost"], &["total_usd", "parts", "prices_as_of"]);
    has_keys(&json["cost"]["parts"][0], &["name", "quantity", "usd"]);
    has_keys(&json["time"], &["low_seconds", "high_seconds", "bound_by"]);
    has_keys(&json["findings"][0], &["level", "text"]);
    let sum: u64 = json["memory"]["parts"].as_array().expect("parts").iter().filter_map(|p| p["bytes"].as_u64()).sum();
    assert_eq!(json["memory"]["total_bytes"], sum, "the parts add up");
    assert!(!world.path("disk.img").exists(), "nothing is changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_ends_with_its_object_and_its_job_is_kept() {
    let world = World::calm().await;
    let (exit, json, stderr) = world.json(&["copy", BOOT, "eu-west-1:", "disk.img", "--yes", "-o", "json"]).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(
        keys(&json),
        [
            "blocks",
            "bytes",
            "destinations",
            "elapsed_seconds",
            "job",
            "peak_rss_bytes",
            "predicted",
            "retries",
            "source",
            "state",
            "throttles"
        ]
    );
    assert_eq!(
        keys(&json["destinations"][0]),
        ["address", "blocks", "bytes", "checksum", "evidence", "state", "strategy"]
    );
    assert_eq!(keys(&json["predicted"]), ["cost_usd", "memory_bytes", "seconds"]);
    assert_eq!((&json["blocks"], &json["state"], &json["job"]), (&64.into(), &"done".into(), &1.into()));
    assert!(json["peak_rss_bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    assert!(stderr.contains("job 1 done"), "{stderr}");

    let output = world.run(&["jobs", "-o", "json"]).await;
    let rows: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    has_keys(&rows[0], &["job", "state", "source", "destinations", "blocks_done", "blocks_total"]);
    assert_eq!(
        (&rows[0]["state"], &rows[0]["blocks_done"], &rows[0]["blocks_total"]),
        (&"done".into(), &64.into(), &64.into())
    );

    let plain = world.run(&["copy", BOOT, "eu-west-1:", "null:", "--yes"]).await;
    let id = printed(&plain);
    assert!(id.trim().parse::<floe::ids::SnapshotId>().is_ok(), "the new id alone: {id:?}");

    assert_eq!(code(&world.run(&["jobs", "forget", "1"]).await), 0);
    refused(&world.run(&["jobs", "show", "1"]).await, 2, &["there is no job 1"]);
    refused(&world.run(&["jobs", "resume", "2"]).await, 2, &["job 2 is done"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sources_are_one_plan_and_a_group_of_jobs() {
    let world = World::calm().await;
    let other = "us-east-1:snap-0feed000000e00000";
    std::fs::write(world.path("sources.txt"), format!("# two of them\n{BOOT}\n{other}\n")).expect("a list");
    let (exit, json, stderr) =
        world.json(&["copy", "--each", "sources.txt", "eu-west-1:", "--yes", "-o", "json"]).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!((&json["state"], json["jobs"].as_array().map(Vec::len)), (&"done".into(), Some(2)));

    let mut floe = world.floe(&["copy", "--each", "-", "eu-west-1:", "--yes"]);
    floe.stdin(std::process::Stdio::piped());
    let output = tokio::task::spawn_blocking(move || {
        use std::io::Write as _;
        let mut child = floe.spawn().expect("floe runs");
        child.stdin.take().expect("a pipe").write_all(format!("{BOOT}\n{other}\n").as_bytes()).expect("written");
        child.wait_with_output().expect("it ends")
    });
    let output = output.await.expect("ends");
    assert_eq!((code(&output), printed(&output).lines().count()), (0, 2), "{}", said(&output));
}

#[test]
fn the_sandbox_is_found_by_the_next_command() {
    let home = tempfile::tempdir().expect("a home");
    let floe = |args: &[&str]| bare_floe(home.path()).args(args).output().expect("floe runs");
    let made = floe(&["--sandbox", "copy", BOOT, "eu-west-1:", "--yes", "-q"]);
    assert_eq!(code(&made), 0, "{}", said(&made));
    let id = printed(&made).trim().to_owned();
    let seen = floe(&["--sandbox", "ls", "snapshots", &format!("eu-west-1:{id}"), "-o", "ids"]);
    assert_eq!(printed(&seen).trim(), id, "{}", said(&seen));
    assert!(home.path().join(".local/state/floe/sandbox").is_dir());
    let other = floe(&["jobs", "-o", "json"]);
    assert_eq!(printed(&other).trim(), "[]", "the sandbox's jobs are not those of the real world");
}

#[test]
fn completions_and_the_manual_name_every_verb() {
    let verbs = ["ls", "size", "plan", "copy", "verify", "jobs", "sandbox", "iam", "completions", "man"];
    let (manual, script) = (printed(&alone(&["man"])), printed(&alone(&["completions", "bash"])));
    for verb in verbs {
        assert!(manual.contains(&format!("FLOE {}", verb.to_uppercase())), "the manual leaves out {verb}");
        assert!(script.contains(verb), "the completions leave out {verb}");
    }
    for word in ["orphans", "restore", "doctor"] {
        assert!(!script.contains(&format!("floe__{word}")), "{word} is offered and does not work");
    }
    let policy: Value = serde_json::from_str(&printed(&alone(&["iam", "copy"]))).expect("JSON");
    assert_eq!(policy["Version"], "2012-10-17");
    assert!(policy.to_string().contains("ebs:PutSnapshotBlock"));
    assert!(!printed(&alone(&["iam", "size"])).contains("Put"));
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let home = tempfile::tempdir().expect("a home");
    let full = std::fs::OpenOptions::new().write(true).open(Path::new("/dev/full")).expect("/dev/full");
    let output = bare_floe(home.path()).args(["iam", "copy"]).stdout(full).output().expect("floe runs");
    assert_eq!(code(&output), 1);
    assert!(said(&output).contains("could not write the result"), "{}", said(&output));
}

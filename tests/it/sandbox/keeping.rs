//! What a restart, a killed server and another process find.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use floe::sandbox::join_or_serve;
use floe::sandbox::store::Keep;

use super::*;

async fn on_disk(dir: &Path) -> Running {
    let options = Options { keep: Keep::Disk(dir.to_owned()), faults: calm(), ..Options::default() };
    let sandbox = Sandbox::with_model(&options, model()).unwrap();
    serve_sandbox(Arc::new(sandbox), options.listen).await.unwrap()
}

#[tokio::test]
async fn a_restart_finds_what_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let running = on_disk(dir.path()).await;
    let ours = client(&running);
    let parent = start(&ours, 1, None).await;
    put(&ours, &parent, 3, block(1)).await.unwrap();
    put(&ours, &parent, 900, vec![0; 524_288]).await.unwrap();
    complete(&ours, &parent, 2, None).await.unwrap();
    list(&ours, &parent).await;
    let child = start(&ours, 1, Some(&parent)).await;
    put(&ours, &child, 4, block(2)).await.unwrap();
    running.shutdown().await;

    let running = on_disk(dir.path()).await;
    let ours = client(&running);
    put(&ours, &child, 5, block(3)).await.unwrap();
    let checksum = linear([&block(2)[..], &block(3)]);
    complete(&ours, &child, 2, Some(checksum)).await.unwrap();
    let listed = list(&ours, &child).await;
    assert_eq!(listed.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [3, 4, 5, 900]);
    for ((index, token), expected) in listed.iter().zip([block(1), block(2), block(3), vec![0; 524_288]]) {
        assert!(get(&ours, &child, *index, token).await.unwrap() == expected, "block {index}");
    }
}

#[tokio::test]
async fn a_removed_parent_goes_when_nothing_lies_on_it_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let running = on_disk(dir.path()).await;
    let ours = client(&running);
    let parent = start(&ours, 1, None).await;
    put(&ours, &parent, 3, block(1)).await.unwrap();
    complete(&ours, &parent, 1, None).await.unwrap();
    list(&ours, &parent).await;
    let child = start(&ours, 1, Some(&parent)).await;
    complete(&ours, &child, 0, None).await.unwrap();
    let (account, region) = (OURS.parse().unwrap(), "eu-west-1".parse().unwrap());
    running.sandbox.remove_snapshot(&account, &region, &parent.parse().unwrap()).unwrap();
    drop(ours);
    running.shutdown().await;
    let data = dir.path().join("blocks").join(format!("{parent}.data"));

    let running = on_disk(dir.path()).await;
    let ours = client(&running);
    assert_eq!(refusal(ours.list_snapshot_blocks().snapshot_id(&parent).send().await).0, 404);
    let (index, token) = list(&ours, &child).await.swap_remove(0);
    assert!(get(&ours, &child, index, &token).await.unwrap() == block(1));
    assert!(data.exists());
    running.sandbox.remove_snapshot(&account, &region, &child.parse().unwrap()).unwrap();
    assert!(!data.exists());
    drop(ours);
    running.shutdown().await;
    let journal = std::fs::read_to_string(dir.path().join("journal.ndjson")).unwrap();
    assert!(journal.contains(&child));
    drop(on_disk(dir.path()).await);
    assert_eq!(std::fs::read_to_string(dir.path().join("journal.ndjson")).unwrap(), "");
}

#[tokio::test]
async fn a_line_that_was_cut_off_is_dropped_and_a_foreign_one_refused() {
    let dir = tempfile::tempdir().unwrap();
    let running = on_disk(dir.path()).await;
    let id = start(&client(&running), 1, None).await;
    running.shutdown().await;
    let path = dir.path().join("journal.ndjson");
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{whole}{}", &whole[..whole.len() / 2])).unwrap();
    let running = on_disk(dir.path()).await;
    put(&client(&running), &id, 0, block(1)).await.unwrap();
    running.shutdown().await;
    std::fs::write(&path, whole.replace("\"v\":1", "\"v\":9")).unwrap();
    let options = Options { keep: Keep::Disk(dir.path().to_owned()), ..Options::default() };
    let refused = Sandbox::with_model(&options, model()).unwrap_err().to_string();
    assert!(refused.contains("version 9"), "{refused}");
}

const STATE: &str = "FLOE_TEST_SANDBOX_STATE";

/// Not a test by itself: the body of the process that the next test starts and kills.
#[tokio::test]
async fn process_that_serves_until_it_is_killed() {
    let Some(state) = std::env::var_os(STATE).map(PathBuf::from) else { return };
    let _endpoint = join_or_serve(&state, &Options { faults: calm(), ..Options::default() }).await.unwrap();
    std::fs::write(state.join("ready"), "").unwrap();
    std::future::pending::<()>().await;
}

struct Killed(Child);
impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serving_process(state: &Path) -> Killed {
    let name = "sandbox::keeping::process_that_serves_until_it_is_killed";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--test-threads=1"]).env(STATE, state).stdout(Stdio::null()).stderr(Stdio::null());
    let child = Killed(command.spawn().unwrap());
    until("the other process serves", || state.join("ready").exists());
    child
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(20), "waited for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_joiner_serves_on_at_the_same_address_when_the_server_is_killed() {
    let state = tempfile::tempdir().unwrap();
    let mut server = serving_process(state.path());
    let options = Options { faults: calm(), ..Options::default() };
    let joined = join_or_serve(state.path(), &options).await.unwrap();
    assert!(!joined.serving);
    let profile = joined.profiles.iter().find(|profile| profile.name.as_str() == "prod").unwrap();
    let config = aws_sdk_ebs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(SdkRegion::new(profile.region.to_string()))
        .credentials_provider(Credentials::new(&profile.access_key_id, &profile.secret, None, None, "test"))
        .endpoint_url(&joined.url)
        .retry_config(RetryConfig::disabled())
        .build();
    let client = Client::from_conf(config);
    let id = start(&client, 1, None).await;
    put(&client, &id, 17, block(1)).await.unwrap();
    server.0.kill().unwrap();
    server.0.wait().unwrap();
    let since = Instant::now();
    while let Err(error) = put(&client, &id, 18, block(2)).await {
        assert!(error.raw_response().is_none(), "an outage, never a wrong answer: {error:?}");
        assert!(since.elapsed() < Duration::from_secs(20), "{error:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    complete(&client, &id, 2, Some(linear([&block(1)[..], &block(2)]))).await.unwrap();
    let listed = list(&client, &id).await;
    assert_eq!(listed.len(), 2);
    assert!(get(&client, &id, 17, &listed[0].1).await.unwrap() == block(1));
}

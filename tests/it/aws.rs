//! The room `aws/` against a real server: sessions, blocks, clocks, and what each fault becomes.

use std::process::Command;
use std::time::Duration;

use bytes::Bytes as Buffer;
use floe::aws::{Aws, Profiles, Session, Settings, SnapshotState, StartSnapshot};
use floe::error::{Class, Kind, Level};
use floe::grant::{Call, Grant};
use floe::ids::{BlockIndex, Profile, Region, SnapshotId};
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::sandbox::{Options, Running, serve};
use floe::units::{Bytes, Digest};
use sha2::Digest as _;

use crate::support::settings;

const WEB_DATA: &str = "snap-0feed0000000da7a3";
const BLOCK: usize = 524_288;

async fn sandbox(faults: Faults) -> Running {
    serve(Options { faults, ..Options::default() }).await.expect("the sandbox serves")
}

fn calm() -> Faults {
    Faults { short_pages_permille: 0, empty_pages_permille: 0, completing_ms: 0, ..Faults::default() }
}

fn failing(fault: Fault, api: &str) -> Faults {
    Faults { rules: vec![Rule::of(fault).on(api).times(1)], ..calm() }
}

fn profile(name: &str) -> Profile {
    name.parse().expect("a profile")
}
fn region(name: &str) -> Region {
    name.parse().expect("a region")
}
fn web_data() -> SnapshotId {
    WEB_DATA.parse().expect("an id")
}

async fn prod(running: &Running) -> Session {
    let aws = Aws::new(settings(running)).expect("a world");
    aws.session(Some(&profile("prod")), Some(&region("us-east-1"))).await.expect("a session")
}

fn grant(session: &Session, calls: Vec<Call>) -> Grant {
    Grant {
        plan_hash: "7f3a91c0aa".into(),
        accounts: vec![session.account().clone()],
        endpoint: Some("sandbox".into()),
        calls,
        ids: Vec::new(),
        who: "test".into(),
        when: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn start() -> StartSnapshot {
    StartSnapshot {
        volume_gib: 1,
        parent: None,
        tags: vec![("Name".into(), "made".into())],
        description: "a test".into(),
        client_token: "job-1-a".into(),
        encrypted: None,
        kms_key_arn: None,
        timeout_minutes: 4320,
    }
}

fn hash(data: &[u8]) -> Digest {
    Digest(sha2::Sha256::digest(data).into())
}

#[tokio::test]
async fn what_is_put_is_got_and_the_digest_is_the_one_of_the_bytes() {
    let running = sandbox(calm()).await;
    let session = prod(&running).await;
    let ebs = session.ebs();
    let mut grant = grant(&session, vec![Call::StartSnapshot, Call::PutSnapshotBlock, Call::CompleteSnapshot]);

    let started = ebs.start(&grant, &start()).await.expect("started");
    grant.extend(started.id.to_string());
    let again = ebs.start(&grant, &start()).await.expect("the same token finds the same snapshot");
    assert_eq!(again.id, started.id);

    let mut linear = sha2::Sha256::new();
    for (index, fill) in [(3u32, 0xA5u8), (700, 0x00)] {
        let data = vec![fill; BLOCK];
        let digest = hash(&data);
        linear.update(digest.0);
        ebs.put_block(&grant, &started.id, BlockIndex(index), Buffer::from(data), &digest).await.expect("put");
    }
    let linear = Digest(linear.finalize().into());
    ebs.complete(&grant, &started.id, 2, Some(&linear)).await.expect("completed");
    let mut state = session.ec2().snapshot_state(&started.id).await.expect("a state");
    while state == SnapshotState::Pending {
        tokio::time::sleep(Duration::from_millis(20)).await;
        state = session.ec2().snapshot_state(&started.id).await.expect("a state");
    }
    assert_eq!(state, SnapshotState::Completed);

    let page = ebs.list_blocks(&started.id, None, None, 1000).await.expect("a page");
    assert_eq!(page.volume, Bytes::gib(1));
    assert_eq!(page.blocks.iter().map(|block| block.index.0).collect::<Vec<_>>(), [3, 700]);
    let mut buffer = bytes::BytesMut::new();
    for (entry, fill) in page.blocks.iter().zip([0xA5, 0x00]) {
        let digest = ebs.get_block(&started.id, entry.index, &entry.token, &mut buffer).await.expect("a block");
        assert!(buffer.len() == BLOCK && buffer.iter().all(|byte| *byte == fill));
        assert_eq!(digest, hash(&buffer));
    }
}

#[tokio::test]
async fn nothing_is_sent_outside_the_grant_or_when_read_only() {
    let running = sandbox(calm()).await;
    let session = prod(&running).await;
    running.sandbox.counters().reset();

    let none = grant(&session, vec![]);
    let mut elsewhere = grant(&session, vec![Call::StartSnapshot]);
    elsewhere.endpoint = None;
    let closed = Aws::new(Settings { read_only: true, ..settings(&running) }).expect("a world");
    let closed = closed.session(Some(&profile("prod")), Some(&region("us-east-1"))).await.expect("a session");
    let allowed = grant(&session, vec![Call::StartSnapshot]);
    for (session, grant) in [(&session, &none), (&session, &elsewhere), (&closed, &allowed)] {
        let refused = session.ebs().start(grant, &start()).await.expect_err("it is refused");
        assert_eq!(refused.kind, Kind::Refused, "{refused}");
    }
    let refused = session.ec2().delete_snapshot(&none, &web_data()).await.expect_err("it is refused");
    assert_eq!(refused.kind, Kind::Refused);
    let stats = running.sandbox.counters().picture();
    assert_eq!((stats.api("StartSnapshot").requests, stats.api("DeleteSnapshot").requests), (0, 0));
}

#[tokio::test]
async fn every_way_of_failing_has_its_class_and_the_next_try_works() {
    let cases = [
        (Fault::InternalError, Class::Transient),
        (Fault::Unavailable, Class::Transient),
        (Fault::ResetBefore, Class::Transient),
        (Fault::ResetAfter, Class::Transient),
        (Fault::Cut, Class::Transient),
        (Fault::Corrupt, Class::Transient),
        (Fault::ThrottleSnapshot, Class::Throttled(Level::Snapshot)),
        (Fault::ThrottleAccount, Class::Throttled(Level::Account)),
        (Fault::ThrottleDependency, Class::Throttled(Level::Dependency)),
        (Fault::Deny, Class::Permanent),
    ];
    let running = sandbox(calm()).await;
    let session = prod(&running).await;
    let page = session.ebs().list_blocks(&web_data(), None, None, 100).await.expect("a page");
    let entry = &page.blocks[0];
    let mut buffer = bytes::BytesMut::new();
    for (fault, class) in cases {
        running.sandbox.set_faults(failing(fault.clone(), "GetSnapshotBlock"));
        let get = session.ebs().get_block(&web_data(), entry.index, &entry.token, &mut buffer).await;
        let error = get.expect_err("the fault hits");
        assert_eq!(error.class, class, "{fault:?}: {error}");
        assert_eq!(error.block, Some(entry.index), "{fault:?}");
        assert!(error.to_string().contains(WEB_DATA) && error.to_string().contains("us-east-1"), "{error}");
        let get = session.ebs().get_block(&web_data(), entry.index, &entry.token, &mut buffer).await;
        assert_eq!(get.expect("the second try works"), hash(&buffer), "{fault:?}");
    }
    running.sandbox.set_faults(failing(Fault::InternalError, "ListSnapshotBlocks"));
    let listed = session.ebs().list_blocks(&web_data(), None, None, 100).await;
    assert_eq!(listed.expect_err("the SDK asks once").class, Class::Transient);
    let wrong = session.ebs().get_block(&web_data(), entry.index, "AAAB", &mut buffer).await.expect_err("no token");
    assert_eq!(wrong.class, Class::StaleToken, "{wrong}");
    let page = session.ebs().list_blocks(&web_data(), None, Some("AAAB"), 100).await.expect_err("no page token");
    assert_eq!(page.class, Class::StalePage, "{page}");
}

#[tokio::test]
async fn a_dropped_call_ends_at_the_server_too() {
    let running = sandbox(calm()).await;
    let session = prod(&running).await;
    let page = session.ebs().list_blocks(&web_data(), None, None, 100).await.expect("a page");
    let entry = &page.blocks[0];
    let mut buffer = bytes::BytesMut::new();
    running.sandbox.set_faults(failing(Fault::Hang, "GetSnapshotBlock"));
    let id = web_data();
    let get = session.ebs().get_block(&id, entry.index, &entry.token, &mut buffer);
    tokio::time::timeout(Duration::from_millis(300), get).await.expect_err("it hangs");
    let ended = async {
        while running.sandbox.counters().picture().api("GetSnapshotBlock").in_flight > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the server saw the connection end");
    session.ebs().get_block(&web_data(), entry.index, &entry.token, &mut buffer).await.expect("the next one works");
}

#[tokio::test]
async fn a_wrong_clock_costs_one_refusal_and_is_corrected_for_both_clients() {
    let running = sandbox(calm()).await;
    let session = prod(&running).await;
    let page = session.ebs().list_blocks(&web_data(), None, None, 100).await.expect("a page");
    let entry = &page.blocks[0];
    let mut buffer = bytes::BytesMut::new();
    for minutes in [40, -40] {
        running.sandbox.set_faults(Faults { clock_ms: minutes * 60_000, ..calm() });
        let get = session.ebs().get_block(&web_data(), entry.index, &entry.token, &mut buffer).await;
        assert_eq!(get.expect_err("the signature is off").class, Class::ClockSkew);
        session.ebs().get_block(&web_data(), entry.index, &entry.token, &mut buffer).await.expect("corrected");
        session.ebs().list_blocks(&web_data(), None, None, 100).await.expect("corrected for the SDK's calls");
    }
}

#[tokio::test]
async fn errors_of_sessions_say_what_would_work() {
    let running = sandbox(calm()).await;
    let aws = Aws::new(settings(&running)).expect("a world");
    let unknown = aws.session(Some(&profile("nobody")), Some(&region("us-east-1"))).await.expect_err("no such profile");
    assert_eq!(unknown.kind, Kind::Usage);
    assert!(unknown.todo.as_deref().is_some_and(|todo| todo.contains("prod") && todo.contains("dr")), "{unknown:?}");

    let mut wrong = settings(&running);
    if let Profiles::Fixed(fixed) = &mut wrong.profiles {
        fixed.iter_mut().for_each(|profile| profile.secret_access_key = "wrong".into());
    }
    let aws = Aws::new(wrong).expect("a world");
    let error = aws.session(Some(&profile("prod")), Some(&region("us-east-1"))).await.expect_err("a wrong secret");
    assert_eq!(error.class, Class::Credentials, "{error}");

    let gone: SnapshotId = "snap-00000000".parse().expect("an id");
    let error = prod(&running).await.ec2().snapshot(&gone).await.expect_err("no such snapshot");
    assert!(error.has_code("InvalidSnapshot.NotFound"), "{error}");
}

#[tokio::test]
async fn the_connections_are_bounded_by_what_is_in_flight() {
    let running = sandbox(calm()).await;
    let session = prod(&running).await;
    let page = session.ebs().list_blocks(&web_data(), None, None, 100).await.expect("a page");
    let gets = (0..32).map(|lane| {
        let (session, entry) = (session.clone(), page.blocks[lane % page.blocks.len()].clone());
        tokio::spawn(async move {
            let mut buffer = bytes::BytesMut::new();
            for _ in 0..8 {
                session.ebs().get_block(&web_data(), entry.index, &entry.token, &mut buffer).await.expect("a block");
            }
        })
    });
    for get in gets.collect::<Vec<_>>() {
        get.await.expect("a lane");
    }
    let stats = running.sandbox.counters().picture();
    assert!(stats.connections <= 40, "{} connections for 32 lanes", stats.connections);
}

/// Keys of one account in the environment, another profile named: the profile counts. The environment of a
/// process cannot be set safely from within, so the test runs itself again with it.
#[tokio::test]
async fn a_named_profile_never_takes_keys_from_the_environment() {
    let running = sandbox(calm()).await;
    let all = running.sandbox.profiles();
    let keys = |name: &str| all.iter().find(|keys| keys.name.as_str() == name).expect("a profile").clone();
    let (prod, dr) = (keys("prod"), keys("dr"));
    let home = tempfile::tempdir().expect("a home");
    let (config, credentials) = (home.path().join("config"), home.path().join("credentials"));
    std::fs::write(&config, "[profile dr]\nregion = us-east-1\n[profile empty]\nregion = us-east-1\n").expect("config");
    let text = format!("[dr]\naws_access_key_id = {}\naws_secret_access_key = {}\n", dr.access_key_id, dr.secret);
    std::fs::write(&credentials, text).expect("credentials");
    let mut child = Command::new(std::env::current_exe().expect("this binary"));
    child
        .args(["aws::child_of_the_named_profile_test", "--exact", "--nocapture"])
        .env_clear()
        .env("HOME", home.path())
        .env("AWS_CONFIG_FILE", &config)
        .env("AWS_SHARED_CREDENTIALS_FILE", &credentials)
        .env("AWS_ACCESS_KEY_ID", &prod.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &prod.secret)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .env("AWS_ENDPOINT_URL_STS", running.url())
        .env("AWS_ENDPOINT_URL_EBS", running.url())
        .env("AWS_REGION", "us-east-1")
        .env("FLOE_TEST_ACCOUNTS", format!("{} {}", prod.account, dr.account));
    let output = tokio::task::spawn_blocking(move || child.output().expect("it runs")).await.expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Runs again as a child of `a_named_profile_never_takes_keys_from_the_environment`, which sets an environment of
/// its own for it and sees that it passed; without that there is nothing to ask.
#[tokio::test]
async fn child_of_the_named_profile_test() {
    let Ok(accounts) = std::env::var("FLOE_TEST_ACCOUNTS") else { return };
    let (prod, dr) = accounts.split_once(' ').expect("two accounts");
    let aws = Aws::new(Settings::default()).expect("a world");
    let named = aws.session(Some(&profile("dr")), None).await.expect("the named profile");
    assert_eq!(named.account().as_str(), dr);
    let chain = aws.session(None, None).await.expect("the environment");
    assert_eq!(chain.account().as_str(), prod);
    // Both are asked over the variable of their service; the general one leads nowhere.
    let nothing: SnapshotId = "snap-0abc1234".parse().expect("an id");
    let error = named.ebs().list_blocks(&nothing, None, None, 100).await.expect_err("it does not exist");
    assert!(error.has_code("ResourceNotFoundException"), "{error}");
    // A profile without keys fails by itself; the environment's are not used for it.
    let error = aws.session(Some(&profile("empty")), None).await.expect_err("it has no keys");
    assert_eq!(error.class, Class::Credentials, "{error}");
    assert_eq!(error.todo.as_deref(), Some("aws configure --profile empty"));
}

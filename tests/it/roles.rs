//! Roles that profiles name, assumed where the front was told to ask: by a flag or by the shell's variables, in the front's
//! process and in a background engine, whose own environment says nothing.

use std::process::{Command, Output};
use std::sync::Arc;

use aws_sdk_sts::types::Credentials;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::background::until;
use crate::support::{World, assert_image, disk_of};

const ROLE: &str = "arn:aws:iam::998877665544:role/DisasterRecovery";

/// A world with a profile `role`, which assumes the role of the other account with `prod`'s keys, and a snapshot there.
async fn with_role(more: &str) -> (World, String) {
    let world = World::calm().await;
    let config = format!(
        "[profile prod]\nregion = us-east-1\n\n[profile role]\nregion = us-east-1\nrole_arn = {ROLE}\n{more}\n"
    );
    std::fs::write(world.path(".aws/config"), config).expect("a profile");
    let blocks: Vec<(i32, u8)> = (0..12).map(|n| (n, 7)).collect();
    let snapshot = disk_of(&world, "dr", "us-east-1", &blocks).await;
    (world, snapshot)
}

async fn ended(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().expect("floe runs")).await.expect("it ends")
}

fn text_of(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A background engine copies it for a front that leaves at once, and every byte is there.
async fn copied_by_an_engine(world: &World, snapshot: &str, from: &str, front: impl Fn(&[&str]) -> Command) {
    let made = ended(front(&["copy", from, "./copy.img", "--yes", "--detach"])).await;
    assert!(made.status.success(), "{}", text_of(&made));
    let row = at_rest(|| front(&["jobs", "ls", "-o", "json"])).await;
    assert_eq!(row["state"], "done", "{row}");
    assert_image(&world.path("copy.img"), 1, &world.contents("dr", "us-east-1", snapshot).await);
}

/// Waits until job 1 is at rest.
async fn at_rest(mut list: impl FnMut() -> Command) -> serde_json::Value {
    until("the end of the job", async || {
        let listed = ended(list()).await;
        let rows: serde_json::Value = serde_json::from_slice(&listed.stdout).ok()?;
        let state = rows[0]["state"].as_str()?;
        // One that waits for a sign-in would wait for ever.
        matches!(state, "done" | "failed" | "waiting").then(|| rows[0].clone())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_engine_assumes_a_role_where_the_flag_of_the_front_says() {
    let (world, snapshot) = with_role("source_profile = prod").await;
    let from = format!("role@us-east-1:{snapshot}");
    copied_by_an_engine(&world, &snapshot, &from, |args| world.floe(args)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_engine_assumes_a_role_where_the_variables_of_the_front_say() {
    let (world, snapshot) = with_role("source_profile = prod").await;
    let front = |args: &[&str]| {
        let mut command = crate::support::bare_floe(world.dir.path());
        command.args(args).env("AWS_PROFILE", "role");
        for service in ["STS", "EBS", "EC2", "SERVICE_QUOTAS"] {
            command.env(format!("AWS_ENDPOINT_URL_{service}"), world.running.url());
        }
        command
    };
    copied_by_an_engine(&world, &snapshot, &format!("us-east-1:{snapshot}"), front).await;
}

/// A profile that has keys of its own and assumes a role with them, as `source_profile` of itself; and the default profile.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_assumes_a_role_with_its_own_keys_and_the_default_one_does_too() {
    let (world, snapshot) = with_role("source_profile = role").await;
    let keys = world.running.sandbox.profiles().into_iter().find(|keys| keys.name.as_str() == "prod").expect("prod");
    let own = format!("aws_access_key_id = {}\naws_secret_access_key = {}\n", keys.access_key_id, keys.secret);
    let path = world.path(".aws/credentials");
    let before = std::fs::read_to_string(&path).expect("credentials");
    std::fs::write(&path, format!("{before}\n[role]\n{own}")).expect("credentials");
    let default = format!("[default]\nregion = us-east-1\nrole_arn = {ROLE}\nsource_profile = role\n");
    let config = std::fs::read_to_string(world.path(".aws/config")).expect("config");
    std::fs::write(world.path(".aws/config"), config + &default).expect("config");
    for profile in [Some("role"), None] {
        let mut look = world.floe(&["ls", "snapshots", "--region", "us-east-1", "-o", "ids"]);
        look.env_remove("AWS_PROFILE");
        if let Some(profile) = profile {
            look.env("AWS_PROFILE", profile);
        }
        let seen = ended(look).await;
        assert!(seen.status.success(), "{profile:?}: {}", text_of(&seen));
        assert!(text_of(&seen).contains(&snapshot), "{profile:?}: those of the role's account: {}", text_of(&seen));
    }
}

/// Keys in the environment of a shell: the shell's own process has them, a background engine says that it has not.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_by_the_keys_of_a_shell_is_assumed_in_that_shell_and_elsewhere_it_is_said_why_not() {
    let (world, snapshot) = with_role("credential_source = Environment").await;
    let keys = world.running.sandbox.profiles().into_iter().find(|keys| keys.name.as_str() == "prod").expect("prod");
    let from = format!("role@us-east-1:{snapshot}");
    let copy = |how: &str, to: &str| {
        let mut command = world.floe(&["copy", &from, to, "--yes", how]);
        command.env_remove("AWS_PROFILE").env("AWS_ACCESS_KEY_ID", &keys.access_key_id);
        command.env("AWS_SECRET_ACCESS_KEY", &keys.secret);
        command
    };
    let done = ended(copy("--foreground", "./one.img")).await;
    assert!(done.status.success(), "{}", text_of(&done));
    assert_image(&world.path("one.img"), 1, &world.contents("dr", "us-east-1", &snapshot).await);
    let made = ended(copy("--detach", "./two.img")).await;
    assert!(made.status.success(), "{}", text_of(&made));
    let row = until("a waiting job", async || {
        let (_, rows, _) = world.json(&["jobs", "ls", "-o", "json"]).await;
        rows.as_array()?.iter().find(|row| row["state"] == "waiting" && row["stall"].is_object()).cloned()
    })
    .await;
    assert!(row.to_string().contains("--foreground"), "{row}");
}

const TOKEN: &str = "what-the-agent-gave";

/// The address of a host that gives its processes those keys: as the agent of a container does, and as the metadata of an
/// instance. Nobody gets them without the token that each asks for.
async fn host_with(keys: &Credentials) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let keys = Arc::new(serde_json::json!({
        "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z",
        "AccessKeyId": keys.access_key_id, "SecretAccessKey": keys.secret_access_key, "Token": keys.session_token,
        "Expiration": keys.expiration.to_string(),
    }));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let keys = Arc::clone(&keys);
            tokio::spawn(async move {
                let mut asked = Vec::new();
                while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
                    if stream.read_buf(&mut asked).await.is_ok_and(|read| read == 0) {
                        return;
                    }
                }
                let asked = String::from_utf8_lossy(&asked).into_owned();
                let knows = asked.contains(TOKEN);
                let (code, body) = match asked.split(' ').nth(1).unwrap_or_default() {
                    "/latest/api/token" => ("200 OK", TOKEN.to_owned()),
                    _ if !knows => ("401 Unauthorized", String::new()),
                    "/latest/meta-data/iam/security-credentials/" => ("200 OK", "worker".to_owned()),
                    "/latest/meta-data/iam/security-credentials/worker" | "/keys" => ("200 OK", keys.to_string()),
                    _ => ("404 Not Found", String::new()),
                };
                let head = format!(
                    "HTTP/1.1 {code}\r\nconnection: close\r\ncontent-type: application/json\r\n\
                     x-aws-ec2-metadata-token-ttl-seconds: 21600\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(head.as_bytes()).await;
            });
        }
    });
    format!("http://{address}")
}

/// On an instance and in a container the host itself has the keys: an engine there renews them without any front.
#[tokio::test(flavor = "multi_thread")]
async fn a_background_engine_has_the_keys_of_its_container_and_of_its_instance() {
    for of in ["the agent's token", "the agent's token in a file", "the instance"] {
        let world = World::calm().await;
        std::fs::remove_dir_all(world.path(".aws")).expect("no profile");
        let assumed = world.sts("prod").assume_role().role_arn(ROLE).role_session_name("worker").send().await;
        let host = host_with(&assumed.expect("assumed").credentials.expect("keys")).await;
        std::fs::write(world.path("token"), TOKEN).expect("a token");
        let blocks: Vec<(i32, u8)> = (0..12).map(|n| (n, 7)).collect();
        let snapshot = disk_of(&world, "dr", "us-east-1", &blocks).await;
        let front = |args: &[&str]| {
            let mut command = world.floe(args);
            command.env_remove("AWS_PROFILE").env("AWS_REGION", "us-east-1");
            match of {
                "the instance" => {
                    command.env_remove("AWS_EC2_METADATA_DISABLED").env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &host)
                }
                _ => command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{host}/keys")),
            };
            match of {
                "the agent's token" => command.env("AWS_CONTAINER_AUTHORIZATION_TOKEN", TOKEN),
                _ => command.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", world.path("token")),
            };
            command
        };
        println!("keys of {of}");
        copied_by_an_engine(&world, &snapshot, &format!("us-east-1:{snapshot}"), front).await;
    }
}

/// What STS refuses is said with the role's name.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_nobody_may_assume_is_named() {
    let (world, _) = with_role("source_profile = prod\nmfa_serial = arn:aws:iam::123456789012:mfa/me").await;
    let config =
        std::fs::read_to_string(world.path(".aws/config")).expect("config").replace(ROLE, "arn:aws:iam::1:role/No");
    std::fs::write(world.path(".aws/config"), config).expect("config");
    let said = world.run(&["ls", "snapshots", "--region", "us-east-1", "--profile", "role"]).await;
    let said = text_of(&said);
    assert!(said.contains("arn:aws:iam::1:role/No") && said.contains("AccessDenied"), "{said}");
    assert!(said.contains("profile role") && said.contains("MFA"), "{said}");
}

/// Who signs in has no file of keys, and who has keys may name the region in the environment.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_the_two_shared_files_is_enough() {
    let world = World::calm().await;
    let keys = world.running.sandbox.profiles().into_iter().find(|keys| keys.name.as_str() == "prod").expect("prod");
    let own = format!("aws_access_key_id = {}\naws_secret_access_key = {}\n", keys.access_key_id, keys.secret);
    for (name, text, other) in [
        ("credentials", format!("[prod]\n{own}"), "config"),
        ("config", format!("[profile prod]\n{own}"), "credentials"),
    ] {
        std::fs::write(world.path(".aws").join(name), text).expect("written");
        let _ = std::fs::remove_file(world.path(".aws").join(other));
        let seen = world.run(&["ls", "snapshots", "--region", "us-east-1", "-o", "ids"]).await;
        assert!(seen.status.success() && !seen.stdout.is_empty(), "{name} alone: {}", text_of(&seen));
    }
}

//! A server that is not AWS and means no good: whatever it answers, nothing is called completed that is not, nothing
//! panics, goes on for ever or grows without bound.
//!
//! A proxy stands before the sandbox and spoils the answers of one operation; floe is the real binary.

use std::collections::BTreeMap;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{World, bare_floe};

/// 64 blocks in a volume of 1 GiB, encrypted.
const BOOT: &str = "us-east-1:snap-0feed000000b00701";

/// One answer, taken apart.
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let (head, body) = split(bytes).expect("an answer of HTTP");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Self { status: status.expect("a status"), headers, body: body.to_vec() }
    }

    fn bytes(mut self) -> Vec<u8> {
        self.headers.remove("transfer-encoding");
        self.headers.entry("content-length".to_owned()).or_insert_with(|| self.body.len().to_string());
        self.headers.insert("connection".to_owned(), "close".to_owned());
        let mut out = format!("HTTP/1.1 {} Hostile\r\n", self.status);
        self.headers.iter().for_each(|(name, value)| out += &format!("{name}: {value}\r\n"));
        [out.as_bytes(), b"\r\n", &self.body].concat()
    }

    /// Changes the JSON of the body; its length follows.
    fn json(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let mut value = serde_json::from_slice(&self.body).expect("JSON");
        change(&mut value);
        self.with_body(value.to_string().into_bytes())
    }

    fn with_body(&mut self, body: Vec<u8>) -> Self {
        self.headers.remove("content-length");
        Self { status: self.status, headers: std::mem::take(&mut self.headers), body }
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }
}

fn split(bytes: &[u8]) -> Option<(String, &[u8])> {
    let at = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((String::from_utf8_lossy(&bytes[..at]).into_owned(), &bytes[at + 4..]))
}

/// What becomes of a good answer to one operation.
type Spoil = fn(Answer) -> Answer;

/// Every answer is spoiled, refusals too.
const ANY: &str = "Any";

/// The operation that a request line stands for, as far as these tests need it.
fn operation(line: &str) -> &'static str {
    let (method, path) = line.split_once(' ').unwrap_or_default();
    let path = path.split([' ', '?']).next().unwrap_or_default();
    match (method, path.matches('/').count()) {
        ("POST", 1) if path == "/snapshots" => "Start",
        ("POST", _) if path.starts_with("/snapshots/completion/") => "Complete",
        ("PUT", 4) => "Put",
        ("GET", 4) => "Get",
        ("GET", 3) if path.ends_with("/blocks") => "List",
        _ => "Other",
    }
}

/// Serves until the test ends; answers its URL.
async fn proxy(world: &World, spoiled: &'static str, spoil: Spoil) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let behind = Arc::new(world.running.url().trim_start_matches("http://").to_owned());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(one(client, Arc::clone(&behind), spoiled, spoil));
        }
    });
    url
}

/// A request: its head, all of its bytes, and where its body begins.
async fn request(client: &mut TcpStream) -> Option<(String, Vec<u8>, usize)> {
    let mut request = Vec::new();
    let (head, body_at) = loop {
        if client.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
        if let Some((head, body)) = split(&request) {
            break (head, request.len() - body.len());
        }
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    while request.len() < body_at + length.unwrap_or(0) {
        if client.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, request, body_at))
}

/// One request, one answer, and the connection ends.
async fn one(mut client: TcpStream, behind: Arc<String>, spoiled: &'static str, spoil: Spoil) -> Option<()> {
    let (head, request, body_at) = request(&mut client).await?;
    let mut server = TcpStream::connect(behind.as_str()).await.ok()?;
    let forwarded = [&request[..body_at - 2], b"connection: close\r\n\r\n", &request[body_at..]].concat();
    server.write_all(&forwarded).await.ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await.ok()?;
    let is_good = answer.starts_with(b"HTTP/1.1 2");
    if spoiled == ANY || (operation(head.lines().next().unwrap_or_default()) == spoiled && is_good) {
        answer = spoil(Answer::read(&answer)).bytes();
    }
    client.write_all(&answer).await.ok()?;
    client.shutdown().await.ok()
}

/// Copies a small snapshot through the proxy and answers what floe said; it has to end by itself.
async fn copy(spoiled: &'static str, spoil: Spoil) -> (World, Output) {
    let world = World::calm().await;
    let url = proxy(&world, spoiled, spoil).await;
    let mut floe = bare_floe(world.dir.path());
    floe.args(["copy", BOOT, "eu-west-1:", "copy.img", "--yes", "-o", "json", "--endpoint-url", &url]);
    floe.env("AWS_PROFILE", "prod");
    let run = tokio::task::spawn_blocking(move || floe.output().expect("floe runs"));
    let output = tokio::time::timeout(Duration::from_secs(150), run).await.expect("it is not endless").expect("ends");
    (world, output)
}

fn blocks(page: &mut Value) -> &mut Vec<Value> {
    page["Blocks"].as_array_mut().expect("blocks")
}

fn index(page: &Value, nth: usize) -> i64 {
    page["Blocks"][nth]["BlockIndex"].as_i64().expect("an index")
}

/// What the answers are spoiled with, and a word that floe's sentence must have where it is one of a kind.
const WAYS: [(&str, &str, Spoil, &str); 17] = [
    (
        "an index twice",
        "List",
        |a| {
            a.json(|page| {
                if blocks(page).len() > 1 {
                    page["Blocks"][1]["BlockIndex"] = index(page, 0).into();
                }
            })
        },
        "ascending",
    ),
    ("indexes out of order", "List", |a| a.json(|page| blocks(page).reverse()), "ascending"),
    (
        "an index past the volume",
        "List",
        |a| {
            a.json(|page| {
                if let Some(last) = blocks(page).last_mut() {
                    last["BlockIndex"] = 2048.into();
                }
            })
        },
        "2048",
    ),
    (
        "a negative index",
        "List",
        |a| {
            a.json(|page| {
                if let Some(first) = blocks(page).first_mut() {
                    first["BlockIndex"] = (-7).into();
                }
            })
        },
        "",
    ),
    ("blocks of another size", "List", |a| a.json(|page| page["BlockSize"] = 512.into()), "512"),
    ("another volume", "List", |a| a.json(|page| page["VolumeSize"] = 2.into()), "2 GiB"),
    (
        "empty pages without end",
        "List",
        |a| {
            a.json(|page| {
                blocks(page).clear();
                page["NextToken"] = "AAAB".into();
            })
        },
        "",
    ),
    (
        "the first page again and again",
        "List",
        |a| a.json(|page| page["NextToken"] = Value::from(page["NextToken"].as_str().unwrap_or("AAAB"))),
        "",
    ),
    (
        "half a page",
        "List",
        |mut a| {
            let half = a.body[..a.body.len() / 2].to_vec();
            a.with_body(half)
        },
        "",
    ),
    ("an HTML page", "List", |mut a| a.with_body(b"<html>503</html>".to_vec()).header("content-type", "text/html"), ""),
    (
        "an error that says 200",
        "List",
        |mut a| a.with_body(br#"{"message":"Rate exceeded","Reason":"ACCOUNT_THROTTLED"}"#.to_vec()),
        "",
    ),
    (
        "more than a block",
        "Get",
        |mut a| {
            let body = [a.body.as_slice(), b"more"].concat();
            a.with_body(body)
        },
        "more than a block",
    ),
    ("another algorithm", "Get", |a| a.header("x-amz-checksum-algorithm", "MD5"), "MD5"),
    ("huge headers", "Get", |a| a.header("x-amz-meta", &"y".repeat(2_000_000)), ""),
    (
        "an HTML page for a put",
        "Put",
        |mut a| {
            a.status = 200;
            a.headers.clear();
            a.with_body(b"<html>Please sign in</html>".to_vec())
        },
        "",
    ),
    ("a start that says nothing", "Start", |mut a| a.with_body(b"{}".to_vec()), ""),
    ("a start of another id", "Start", |a| a.json(|s| s["SnapshotId"] = "../../etc/passwd".into()), ""),
];

/// Every way ends in an error that names the copy's trouble. They run side by side: most of each is waiting
/// for the next of the bounded number of tries.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_completed_that_a_hostile_server_said() {
    let runs = WAYS.map(|(what, api, spoil, word)| {
        tokio::spawn(async move {
            let (world, output) = copy(api, spoil).await;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let json = String::from_utf8_lossy(&output.stdout).into_owned();
            let json: Value = serde_json::from_str(json.lines().last().unwrap_or_default()).unwrap_or_default();
            assert!(!said.contains("panicked"), "{what}: {said}");
            let code = output.status.code();
            assert!(code == Some(1) || (code == Some(3) && api != "List" && api != "Get"), "{what}: {code:?} {said}");
            assert!(said.contains(word), "{what}: must say {word:?}: {said}");
            if api == "List" || api == "Get" {
                assert!(!world.path("copy.img").exists(), "{what}: no file under its name: {said}");
            }
            let of = json["destinations"].as_array().expect("destinations");
            assert_ne!(of[0]["state"], "completed", "{what}: {json}");
            let made = world.made_by_floe("prod", "eu-west-1").await;
            let completed = aws_sdk_ec2::types::SnapshotState::Completed;
            assert!(made.iter().all(|snapshot| snapshot.state() != Some(&completed)), "{what}: {made:?}");
        })
    });
    let mut wrong = 0;
    for run in runs {
        wrong += u32::from(run.await.is_err());
    }
    assert_eq!(wrong, 0, "their panics say which");
}

/// What is spoiled in a harmless way is copied whole.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_strange_server_says_in_other_words_is_copied_whole() {
    let ways: [(&str, Spoil); 2] = [
        ("List", |a| a.json(|page| page["Surprise"] = "a field of next year".into())),
        ("Put", |mut a| {
            a.headers.remove("x-amz-checksum");
            a
        }),
    ];
    for (api, spoil) in ways {
        let (world, output) = copy(api, spoil).await;
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let truth = world.contents("prod", "us-east-1", BOOT.split_once(':').expect("an address").1).await;
        crate::support::assert_image(&world.path("copy.img"), 1, &truth);
    }
}

/// Errors as AWS spells them, each in place of every good answer of one operation: what is permanent ends the job
/// after a single request that was refused, what is temporary is asked again.
#[tokio::test(flavor = "multi_thread")]
async fn errors_of_aws_end_a_copy_at_once_or_not_at_all() {
    let ways: [(&str, Spoil, &str); 6] = [
        ("Get", |a| error(a, 403, "AccessDeniedException", "DEPENDENCY_ACCESS_DENIED"), "kms:Decrypt"),
        ("Get", |a| error(a, 404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND"), "check the id"),
        ("List", |a| error(a, 403, "AccessDeniedException", "UNAUTHORIZED_ACCOUNT"), "allow ebs:ListSnapshotBlocks"),
        ("Put", |a| error(a, 400, "ValidationException", "INVALID_BLOCK"), "INVALID_BLOCK"),
        ("Start", |a| error(a, 409, "ConflictException", ""), "ConflictException"),
        ("Complete", |a| error(a, 400, "ValidationException", "INVALID_PARAMETER_VALUE"), ""),
    ];
    for (api, spoil, word) in ways {
        let (world, output) = copy(api, spoil).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let asked = world.running.sandbox.counters().picture();
        let completed = asked.api("CompleteSnapshot").requests;
        if api == "Complete" {
            // A refusal is final. That the work was done all the same is found out by whoever goes on: it asks first.
            assert_eq!((output.status.code(), completed), (Some(3), 1), "{said}");
            let (code, json, said) = world.json(&["jobs", "resume", "1", "-o", "json"]).await;
            assert_eq!((code, &json["state"]), (0, &"done".into()), "{said}");
            continue;
        }
        assert!(matches!(output.status.code(), Some(1 | 3)), "{api}: {said}");
        assert!(said.contains(word), "{api}: must say {word:?}: {said}");
        let [gets, lists, puts, starts] =
            ["GetSnapshotBlock", "ListSnapshotBlocks", "PutSnapshotBlock", "StartSnapshot"]
                .map(|name| asked.api(name).requests);
        match api {
            "Get" => assert_eq!((gets, puts), (1, 0), "the canary alone"),
            "List" => assert_eq!((lists, gets), (1, 0), "the canary alone"),
            "Put" => assert_eq!((puts, completed), (1, 0), "the canary alone"),
            _ => assert_eq!((starts, puts), (1, 0)),
        }
    }
}

fn error(mut answer: Answer, status: u16, code: &str, reason: &str) -> Answer {
    answer.status = status;
    answer.headers.clear();
    let body = serde_json::json!({ "Message": "No.", "Reason": reason }).to_string().into_bytes();
    answer.with_body(body).header("x-amzn-errortype", code).header("content-type", "application/json")
}

/// Looks at the snapshots of a region there; it has to end by itself.
async fn look(world: &World, url: &str, env: &[(&str, String)]) -> (i32, String) {
    let mut floe = bare_floe(world.dir.path());
    floe.args(["ls", "snapshots", "--region", "us-east-1", "-o", "ids", "--endpoint-url", url]);
    floe.env("AWS_PROFILE", "prod").envs(env.iter().map(|(name, value)| (name, value)));
    let run = tokio::task::spawn_blocking(move || floe.output().expect("floe runs"));
    let output = tokio::time::timeout(Duration::from_secs(60), run).await.expect("it is not endless").expect("ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    (output.status.code().unwrap_or(-1), said)
}

/// An EC2 and STS that looks at no signature, speaks HTTP/1.0 and closes, writes XML with white space and what nobody knows,
/// and has so many pages of one row each, after which the first comes again.
async fn handmade(pages: usize, round: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (_, request, body_at) = request(&mut client).await?;
                let asked = String::from_utf8_lossy(&request[body_at..]).into_owned();
                let of = |name: &str| {
                    let value = asked.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
                    value.unwrap_or_default().to_owned()
                };
                let body = match of("Action").as_str() {
                    "GetCallerIdentity" => "<GetCallerIdentityResponse>\n <GetCallerIdentityResult>\n  <Surprise a='b'/><Arn>\
                         arn:aws:iam::123456789012:user/ops</Arn>\n  <UserId>AIDA</UserId><Account>123456789012</Account>\n\
                         </GetCallerIdentityResult>\n</GetCallerIdentityResponse>\n"
                        .to_owned(),
                    "DescribeSnapshots" => {
                        let page: usize = of("NextToken").strip_prefix("page-").map_or(0, |nth| nth.parse().unwrap_or(0));
                        let next = if page + 1 == pages && round { 0 } else { page + 1 };
                        let more = round || next < pages;
                        let token = if more { format!("<nextToken>page-{next}</nextToken>") } else { String::new() };
                        format!(
                            "<?xml version=\"1.0\"?>\n<DescribeSnapshotsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\n\
                             <!-- by hand -->\n<snapshotSet>\n <item>\n  <snapshotId>snap-{page:017x}</snapshotId>\n  <status>\
                             completed</status><startTime>2026-01-02T03:04:05Z</startTime><volumeSize>1</volumeSize>\n  \
                             <ownerId>123456789012</ownerId><nextYear><deep>1</deep></nextYear></item>\n</snapshotSet>{token}\n\
                             </DescribeSnapshotsResponse>"
                        )
                    }
                    other => format!("<Response><Errors><Error><Code>InvalidAction</Code><Message>{other}</Message></Error></Errors></Response>"),
                };
                let status = if body.contains("<Errors>") { "400 Bad" } else { "200 Fine" };
                let answer = format!("HTTP/1.0 {status}\r\nContent-Type: text/xml\r\n\r\n{body}");
                client.write_all(answer.as_bytes()).await.ok()?;
                client.shutdown().await.ok()
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_of_a_handmade_server_is_whole_and_one_that_goes_round_ends_with_a_sentence() {
    let world = World::calm().await;
    let (code, said) = look(&world, &handmade(7, false).await, &[]).await;
    assert_eq!(code, 0, "{said}");
    for circle in [1, 2, 7] {
        let (code, said) = look(&world, &handmade(circle, true).await, &[]).await;
        assert!(code != 0 && said.contains("goes round in a circle"), "{circle}: {code}: {said}");
    }
}

/// A page for people where an answer should be, and a success by its status.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_proxy_that_is_called_a_success_is_no_answer() {
    let world = World::calm().await;
    let spoil: Spoil = |mut answer| {
        answer.status = 200;
        answer.with_body(b"<html><body>Please sign in</body></html>".to_vec()).header("content-type", "text/html")
    };
    let (code, said) = look(&world, &proxy(&world, ANY, spoil).await, &[]).await;
    assert!(code != 0 && said.contains("no usable answer"), "{code}: {said}");
}

/// A server that never says what time it is, and a clock that is a day off: nothing can put it right, so it is named.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_nobody_can_put_right_is_named() {
    let world = World::calm().await;
    let clock = world.path("clock");
    for off in ["86400", "-86400"] {
        std::fs::write(&clock, off).expect("a clock");
        let spoil: Spoil = |mut answer| {
            answer.headers.remove("date");
            answer
        };
        let url = proxy(&world, ANY, spoil).await;
        let (code, said) = look(&world, &url, &[("FLOE_CLOCK_FILE", clock.display().to_string())]).await;
        assert!(code != 0 && said.contains("set this machine's clock"), "{off}: {code}: {said}");
    }
}

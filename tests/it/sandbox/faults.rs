//! Signatures that are wrong, and everything that fails on request.

use floe::sandbox::faults::{Fault, Limit, LimitOf, Rule};

use super::*;

fn with(rules: Vec<Rule>) -> Faults {
    Faults { rules, ..calm() }
}

#[tokio::test]
async fn strangers_forgers_and_wrong_clocks_are_turned_away() {
    let running = sandbox(calm()).await;
    let forger = client_at(&running.url(), OURS, "not the secret");
    let ask = |client: &Client| client.list_snapshot_blocks().snapshot_id(FIRST).send();
    assert_eq!(refusal(ask(&forger).await), (403, "InvalidSignatureException".into(), String::new()));
    let stranger = client_at(&running.url(), "999999999999", "x");
    assert_eq!(refusal(ask(&stranger).await), (403, "UnrecognizedClientException".into(), String::new()));
    let ours = client(&running);
    assert!(ask(&ours).await.is_ok());
    running.sandbox.set_faults(Faults { clock_ms: 3_600_000, ..calm() });
    let error = ask(&ours).await.unwrap_err();
    let date = error.raw_response().unwrap().headers().get("date").unwrap().to_owned();
    assert!(format!("{error:?}").contains("Signature expired"), "{error:?}");
    let theirs = jiff::fmt::rfc2822::parse(&date).unwrap().timestamp().as_second();
    let ahead = theirs - jiff::Timestamp::now().as_second();
    assert!((3590..=3610).contains(&ahead), "the Date header lets a client correct itself: {date}");
}

#[tokio::test]
async fn refusals_come_with_the_codes_that_clients_classify() {
    let cases = [
        (Fault::ThrottleSnapshot, (400, "RequestThrottledException", "RESOURCE_LEVEL_THROTTLE")),
        (Fault::ThrottleAccount, (400, "ThrottlingException", "")),
        (Fault::ThrottleDependency, (400, "RequestThrottledException", "DEPENDENCY_REQUEST_THROTTLED")),
        (Fault::InternalError, (500, "InternalServerException", "")),
        (Fault::Unavailable, (503, "ServiceUnavailableException", "")),
        (Fault::Deny, (403, "AccessDeniedException", "UNAUTHORIZED_ACCOUNT")),
    ];
    for (fault, (status, code, reason)) in cases {
        let running = sandbox(with(vec![Rule::of(fault.clone()).on("ListSnapshotBlocks").times(1)])).await;
        let client = client(&running);
        let ask = || client.list_snapshot_blocks().snapshot_id(FIRST).send();
        let got = refusal(ask().await);
        let reason_seen = if code == "ThrottlingException" || status >= 500 { String::new() } else { got.2.clone() };
        assert_eq!((got.0, got.1.as_str(), reason_seen.as_str()), (status, code, reason), "{fault:?}");
        assert!(ask().await.is_ok(), "{fault:?} strikes once");
    }
}

#[tokio::test]
async fn connections_and_bodies_break_as_told() {
    let running = sandbox(calm()).await;
    let client = client(&running);
    let (index, token) = list(&client, FIRST).await.swap_remove(3);
    let ask = || client.get_snapshot_block().snapshot_id(FIRST).block_index(index).block_token(&token).send();
    let right = get(&client, FIRST, index, &token).await.unwrap();
    let once = |fault| with(vec![Rule::of(fault).on("GetSnapshotBlock").times(1)]);

    running.sandbox.set_faults(once(Fault::ResetBefore));
    assert!(matches!(ask().await, Err(SdkError::DispatchFailure(_))));

    running.sandbox.set_faults(once(Fault::Cut));
    assert!(ask().await.unwrap().block_data.collect().await.is_err(), "the body ends half-way");

    running.sandbox.set_faults(once(Fault::Corrupt));
    let answer = ask().await.unwrap();
    let said = answer.checksum().unwrap().to_owned();
    let bytes = answer.block_data.collect().await.unwrap().into_bytes();
    assert_eq!(bytes.len(), 524_288);
    assert_ne!(sha(&bytes), said);

    running.sandbox.set_faults(once(Fault::Hang));
    let patience = tokio::time::timeout(Duration::from_millis(200), ask()).await;
    assert!(patience.is_err(), "no answer, ever");

    running.sandbox.set_faults(once(Fault::Slow { bytes_per_second: 2 * 1024 * 1024 }));
    let since = std::time::Instant::now();
    let bytes = ask().await.unwrap().block_data.collect().await.unwrap().into_bytes();
    assert!(bytes == right && since.elapsed() > Duration::from_millis(150), "{:?}", since.elapsed());

    running.sandbox.set_faults(with(vec![Rule::of(Fault::Delay { ms: 80, jitter: 20 }).times(1)]));
    let since = std::time::Instant::now();
    ask().await.unwrap();
    assert!(since.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn a_reset_after_the_work_leaves_the_work_done() {
    let running = sandbox(with(vec![Rule::of(Fault::ResetAfter).on("PutSnapshotBlock").times(1)])).await;
    let client = client(&running);
    let id = start(&client, 1, None).await;
    assert!(put(&client, &id, 0, block(1)).await.is_err());
    assert_eq!(complete(&client, &id, 1, None).await.unwrap(), "pending");
}

#[tokio::test]
async fn a_rate_is_held_and_named() {
    let limit = |of| Limit { api: "GetSnapshotBlock".into(), of, per_second: 0.001, burst: Some(5.0) };
    for (of, code) in [(LimitOf::Snapshot, "RequestThrottledException"), (LimitOf::Account, "ThrottlingException")] {
        let running = sandbox(Faults { limits: vec![limit(of)], ..calm() }).await;
        let client = client(&running);
        let blocks = list(&client, FIRST).await;
        let mut refused = Vec::new();
        for (index, token) in &blocks[..8] {
            let got = get(&client, FIRST, *index, token).await;
            refused.extend(
                got.err()
                    .map(|error| error.raw_response().unwrap().headers().get("x-amzn-ErrorType").unwrap().to_owned()),
            );
        }
        assert_eq!(refused, [code; 3]);
    }
}

#[tokio::test]
async fn the_admin_door_counts_and_turns() {
    let running = sandbox(calm()).await;
    let client = client(&running);
    let blocks = list(&client, FIRST).await;
    for (index, token) in &blocks[..4] {
        get(&client, FIRST, *index, token).await.unwrap();
    }
    assert!(get(&client, FIRST, 0, "AAAA").await.is_err());
    let (status, text) = plain(&running, "GET", "/_sandbox/stats", "").await;
    let stats: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, 200);
    let gets = &stats["apis"]["GetSnapshotBlock"];
    assert_eq!((&gets["requests"], &gets["outcomes"]["ok"]), (&5.into(), &4.into()));
    assert_eq!(gets["outcomes"]["ValidationException/INVALID_BLOCK_TOKEN"], 1);
    assert_eq!((&stats["gets"][FIRST], &gets["in_flight"]), (&5.into(), &0.into()));
    assert!(gets["bytes_out"].as_u64().unwrap() >= 4 * 524_288);
    let deny = r#"{"rules":[{"fault":"deny","api":"ListSnapshotBlocks"}]}"#;
    assert_eq!(plain(&running, "POST", "/_sandbox/faults", deny).await.0, 200);
    assert_eq!(refusal(client.list_snapshot_blocks().snapshot_id(FIRST).send().await).0, 403);
    assert_eq!(plain(&running, "POST", "/_sandbox/faults", "{\"oops\":1}").await.0, 400, "a typo is not taken");
}

/// One request without a signature, over a plain socket.
async fn plain(running: &Running, method: &str, path: &str, body: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut socket = tokio::net::TcpStream::connect(running.addr).await.unwrap();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
}

//! What floe tells scripts: events, one a line, and figures for Prometheus. Their forms are read by others in
//! tests/peers/telemetry.py; here it is that they say what happened, and that nobody else's job is told.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use floe::sandbox::faults::{Fault, Faults, Rule};
use serde_json::Value;

use crate::support::{WEB_DATA, World};

fn lines(stdout: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(stdout).into_owned();
    text.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect()
}

fn of<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

#[tokio::test]
async fn a_copy_tells_its_states_its_figures_and_what_went_wrong_and_ends_with_its_result() {
    let throttled = Rule { times: Some(1), ..Rule::of(Fault::ThrottleSnapshot).on("GetSnapshotBlock") };
    let world = World::with(Faults { rules: vec![throttled], ..Faults::default() }).await;
    let source = format!("us-east-1:{WEB_DATA}");
    let output = world.run(&["copy", &source, "null:", "--yes", "--foreground", "-o", "json"]).await;
    assert!(output.status.success());
    let lines = lines(&output.stdout);
    let (result, told) = lines.split_last().expect("lines");
    assert!(result.get("event").is_none() && result["state"] == "done", "{result}");
    assert!(told.iter().all(|line| line["v"] == 1 && line["job"] == result["job"] && line["at"].is_string()));
    let states: Vec<&str> = of(told, "state").iter().filter_map(|line| line["state"].as_str()).collect();
    assert!(states.contains(&"running") && states.last() == Some(&"done"), "{states:?}");
    let progress = of(told, "progress");
    let throttles = |line: &Value| line["troubles"]["snapshot_throttles"].as_u64().expect("a count");
    let last = progress.last().expect("figures");
    assert_eq!(last["blocks_done"], result["blocks"]);
    assert!(throttles(last) > 0 && throttles(last) == result["throttles"].as_u64().expect("a count"));
    assert!(!of(told, "note").is_empty(), "what moved the rate is told");
}

#[tokio::test]
async fn a_failure_is_told_with_its_reason() {
    let denied = Rule::of(Fault::Deny).on("GetSnapshotBlock");
    let world = World::with(Faults { rules: vec![denied], ..Faults::default() }).await;
    let source = format!("us-east-1:{WEB_DATA}");
    let output = world.run(&["copy", &source, "null:", "--yes", "--foreground", "-o", "json"]).await;
    assert_eq!(output.status.code(), Some(1));
    let lines = lines(&output.stdout);
    let states = of(&lines, "state");
    let last = states.last().expect("a state");
    assert_eq!(last["state"], "failed");
    assert!(last["error"].as_str().is_some_and(|text| text.contains("ebs:GetSnapshotBlock")), "{last}");
}

/// One request over a plain socket.
fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    write!(stream, "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[tokio::test]
async fn the_engine_serves_its_figures_where_it_is_told_to_and_nothing_else() {
    let world = World::calm().await;
    let mut engine = world.floe(&["engine", "--metrics", "127.0.0.1:0"]).spawn().expect("an engine");
    let mut said = BufReader::new(engine.stderr.take().expect("stderr")).lines().map_while(Result::ok);
    let address = said.find_map(|line| Some(line.split_once("http://")?.1.split_once('/')?.0.to_owned()));
    let address = address.expect("it says where");
    let source = format!("us-east-1:{WEB_DATA}");
    let (code, result, stderr) = world.json(&["copy", &source, "null:", "--yes", "-o", "json", "-q"]).await;
    assert_eq!(code, 0, "{stderr}");
    let page = ask(&address, "GET /metrics");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    for line in [
        format!("floe_job_blocks_done{{job=\"{}\"}} {}", result["job"], result["blocks"]),
        format!("floe_job_state{{job=\"{}\",state=\"done\"}} 1", result["job"]),
        "floe_jobs{state=\"running\"} 0".to_owned(),
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    assert!(ask(&address, "GET /").starts_with("HTTP/1.1 404"));
    assert!(ask(&address, "DELETE /metrics").starts_with("HTTP/1.1 405"));
    let taken = world.run(&["engine", "--metrics", &address, "--state-dir", "elsewhere"]).await;
    assert_eq!(taken.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(stderr.contains(&address) && stderr.contains("--metrics HOST:PORT"), "{stderr}");
    engine.kill().expect("killed");
    engine.wait().expect("ended");
}

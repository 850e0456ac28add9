//! An engine that stands still under its fronts (stopped here, as a disk that hangs would do it): they say so within
//! seconds, show no old figures for new ones, lose no command, and go on by themselves when it does.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::background::{assert_copied, code_of, detached, engine_pid, jobs, moving, pid_of, slow, until};

/// A process that stands still, and goes on when this is dropped, also by a test that failed.
struct Stopped(Pid);

impl Stopped {
    fn of(pid: Pid) -> Self {
        kill_process(pid, Signal::STOP).expect("stopped");
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// The lines of a stream as they come.
struct Lines(Receiver<String>);

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let (said, hears) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        Self(hears)
    }

    /// Waits for a line with that word; gives it, after those before it.
    async fn until(&self, word: &str) -> Vec<String> {
        let begun = Instant::now();
        let mut before = Vec::new();
        loop {
            match self.0.try_recv() {
                Ok(line) => {
                    let found = line.contains(word);
                    before.push(line);
                    if found {
                        return before;
                    }
                }
                Err(_) => {
                    assert!(begun.elapsed() < Duration::from_secs(120), "\"{word}\" did not come after {before:?}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
}

fn streams(child: &mut Child) -> (Lines, Lines) {
    (Lines::of(child.stdout.take().expect("stdout")), Lines::of(child.stderr.take().expect("stderr")))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_an_engine_that_stands_still_is_told_and_ctrl_c_is_not_lost() {
    let world = slow().await;
    detached(&world, &["eu-west-1:"]).await;
    moving(&world).await;
    let engine = engine_pid(&world);
    let piped = |args: &[&str]| {
        let mut command = world.floe(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("floe runs")
    };

    let mut front = piped(&["jobs", "resume"]);
    let (_, said) = streams(&mut front);
    said.until("job 1 running").await;
    let stopped = Stopped::of(engine);
    let told = said.until("has not answered for").await.pop().expect("a line");
    let pid = engine.as_raw_nonzero();
    assert!(told.contains(&format!("the engine (pid {pid})")) && told.contains("figures of "), "{told}");
    said.until(&format!("kill -CONT {pid}")).await;
    // It can be left although it does not answer, and what it was asked meanwhile waits for it.
    kill_process(pid_of(&front), Signal::INT).expect("an interrupt");
    said.until("Pausing").await;
    let meanwhile = said.until("1 command waits for it").await;
    assert!(meanwhile.iter().all(|line| !line.contains("job 1 running")), "no old figures as new ones: {meanwhile:?}");
    kill_process(pid_of(&front), Signal::INT).expect("an interrupt");
    assert_eq!(code_of(front).await, 4, "stopped and resumable");
    drop(stopped);
    until("the pause", async || (jobs(&world).await[0]["state"] == "paused").then_some(())).await;
    assert_eq!(engine_pid(&world), engine, "the same engine");

    let mut front = piped(&["jobs", "resume", "-o", "json"]);
    let (events, said) = streams(&mut front);
    events.until(r#""state":"running""#).await;
    let stopped = Stopped::of(engine);
    let note = events.until(r#""subject":"engine""#).await.pop().expect("a line");
    let note: Value = serde_json::from_str(&note).expect("an object");
    assert_eq!((note["event"].as_str(), note["job"].as_u64()), (Some("note"), Some(1)), "{note}");
    assert!(note["text"].as_str().is_some_and(|text| text.contains("has not answered for")), "{note}");
    drop(stopped);
    events.until("the engine answers again").await;
    said.until("the engine answers again").await;
    assert_eq!(code_of(front).await, 0);
    assert_copied(&world, "prod", "eu-west-1").await;
}

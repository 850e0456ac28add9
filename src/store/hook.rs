//! `on_event`: a command of the user's that is told when a job ends, fails or waits.
//!
//! The event is one line of JSON on its input. What the command prints is thrown away, because the screen is not
//! its; how it ends is told to the caller. Runs on a thread of its own: nobody waits for it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::ids::JobId;

/// What happened to a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Of this format.
    pub version: u32,
    /// `done`, `failed`, `partial` or `waiting`.
    pub event: &'static str,
    /// Which job.
    pub job: JobId,
    /// Its source, in full.
    pub source: String,
    /// Its destinations, in full.
    pub destinations: Vec<String>,
    /// Blocks that every destination has.
    pub blocks_done: u64,
    /// Blocks there are, as far as it is known.
    pub blocks_total: u64,
    /// Dollars spent so far.
    pub spent_usd: f64,
    /// What went wrong, or what it waits for.
    pub error: Option<String>,
    /// When it was seen.
    pub at: jiff::Timestamp,
}

/// The version of [`Event`].
pub const VERSION: u32 = 1;

/// Runs the command by `sh -c` with the event on its input and waits for it.
///
/// # Errors
/// It could not be run, or it said that it failed.
pub fn run(command: &str, event: &Event) -> Result<()> {
    let wrong = |what: String| Error::failed(what).todo("mend on_event in the config; the job itself is not touched");
    let mut line = serde_json::to_vec(event).map_err(|e| wrong(format!("the event cannot be written: {e}")))?;
    line.push(b'\n');
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| wrong(format!("on_event could not be run: {e}")))?;
    if let Some(mut input) = child.stdin.take() {
        // A command that does not read its input is no fault.
        let _ = input.write_all(&line);
    }
    let ended = child.wait().map_err(|e| wrong(format!("on_event could not be waited for: {e}")))?;
    if ended.success() { Ok(()) } else { Err(wrong(format!("on_event ended with {ended} for job {}", event.job))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            version: VERSION,
            event: "failed",
            job: JobId(7),
            source: "prod@us-east-1:snap-0abc1234".to_owned(),
            destinations: vec!["prod@eu-west-1:".to_owned()],
            blocks_done: 3,
            blocks_total: 4,
            spent_usd: 0.5,
            error: Some("the key is gone".to_owned()),
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_command_reads_the_event_as_one_line_of_json() -> Result<()> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("told.json");
        run(&format!("cat > '{}'", path.display()), &event())?;
        let told = std::fs::read_to_string(&path).expect("it was told");
        assert_eq!(told.lines().count(), 1);
        let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        assert_eq!((&told["event"], &told["job"], &told["version"]), (&"failed".into(), &7.into(), &1.into()));
        assert_eq!(told["error"], "the key is gone");
        Ok(())
    }

    #[test]
    fn a_command_that_fails_or_reads_nothing_is_told_from_one_that_works() {
        assert!(run("exit 3", &event()).is_err_and(|e| e.what.contains("3") && e.todo.is_some()));
        assert!(run("true", &event()).is_ok(), "its input may be left unread");
    }
}

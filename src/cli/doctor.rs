//! `floe doctor`: what is wrong with this set-up, one line per check, each with the one thing to do.
//!
//! Nothing is changed, nothing waits longer than a few seconds, and what could not be checked says so: an unknown is
//! never shown as good. Exit 0 when no check failed, 1 otherwise.

mod host;
mod world;

use serde::Serialize;

use super::args::Format;
use super::resolve::Resolved;
use super::{Code, say, table};
use crate::error::{Error, Result};

/// Version of the JSON.
const VERSION: u32 = 1;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Fine.
    Good,
    /// To know, or not checked.
    Note,
    /// It will not work.
    Bad,
}

/// One line.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    level: Level,
    /// What was looked at: `credentials prod`, `clock`, …
    check: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    todo: Option<String>,
}

impl Check {
    fn new(level: Level, check: impl Into<String>, text: impl Into<String>) -> Self {
        Self { level, check: check.into(), text: text.into(), todo: None }
    }
    fn good(check: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Level::Good, check, text)
    }
    fn note(check: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Level::Note, check, text)
    }
    fn bad(check: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Level::Bad, check, text)
    }
    fn todo(mut self, todo: impl Into<String>) -> Self {
        self.todo = Some(todo.into());
        self
    }
    /// What failed, in the error's own words.
    fn failed(level: Level, check: impl Into<String>, error: &Error) -> Self {
        Self { todo: error.todo.clone(), ..Self::new(level, check, error.what.clone()) }
    }

    fn line(&self) -> String {
        let glyph = match self.level {
            Level::Good => '✓',
            Level::Note => '!',
            Level::Bad => '✗',
        };
        let todo = self.todo.as_ref().map(|todo| format!("\n    → {todo}")).unwrap_or_default();
        format!("{glyph} {}: {}{todo}", self.check, self.text)
    }
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    version: u32,
    healthy: bool,
    checks: &'a [Check],
}

/// Checks everything and prints it.
///
/// # Errors
/// The state directory cannot be used, or stdout cannot be written.
pub async fn run(resolved: &Resolved) -> Result<Code> {
    let world = resolved.open().await?;
    let mut checks = Box::pin(world::all(&world, resolved)).await;
    checks.extend(Box::pin(host::all(&world, resolved)).await);
    let healthy = checks.iter().all(|check| check.level != Level::Bad);
    match resolved.output {
        Format::Json => table::json(&Report { version: VERSION, healthy, checks: &checks })?,
        Format::Csv => {
            return Err(Error::usage("floe doctor prints lines or JSON").todo("leave -o out, or use -o json"));
        }
        Format::Table | Format::Ids | Format::Html => {
            let lines: Vec<String> = checks.iter().map(Check::line).collect();
            say::page(&lines.join("\n"))?;
        }
    }
    Ok(u8::from(!healthy))
}

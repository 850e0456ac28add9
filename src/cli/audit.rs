//! `floe audit`: the audit log, filtered, as a table, JSON or CSV, oldest first.

use jiff::Timestamp;

use super::args::{AuditArgs, Format};
use super::resolve::Resolved;
use super::table::{self, Side};
use super::{Code, say};
use crate::error::{Error, Result};
use crate::ids::Region;
use crate::inventory::Filter;
use crate::inventory::filter::Fields;
use crate::rows::Tag;
use crate::store::StateDir;
use crate::store::audit::{Audit, Entry};

/// A line as a filter sees it; a line without a region is of none.
struct Line<'a> {
    entry: &'a Entry,
    nowhere: &'a Region,
    words: String,
}

impl Fields for Line<'_> {
    fn id(&self) -> &str {
        &self.entry.id
    }
    fn name(&self) -> &str {
        &self.entry.name
    }
    /// Words match who, the plan, the call, AWS's code and the text.
    fn description(&self) -> &str {
        &self.words
    }
    fn tags(&self) -> &[Tag] {
        &[]
    }
    fn region(&self) -> &Region {
        self.entry.region.as_ref().unwrap_or(self.nowhere)
    }
    fn born(&self) -> Option<Timestamp> {
        Some(self.entry.at)
    }
    fn state(&self) -> &str {
        self.entry.event.name()
    }
    fn verdict(&self) -> Option<&str> {
        Some(self.entry.verdict.as_str()).filter(|verdict| !verdict.is_empty())
    }
}

/// Prints it.
///
/// # Errors
/// Usage for a filter that cannot be; the log cannot be read.
pub async fn run(args: AuditArgs, resolved: &Resolved) -> Result<Code> {
    let filter = Filter::parse(args.filter.as_deref().unwrap_or_default(), crate::wall::now())?;
    let state = StateDir::open(resolved.state_dir.as_deref())?;
    let state = if resolved.sandbox.is_some() { state.sandbox()? } else { state };
    let audit = Audit::of(&state);
    let nowhere: Region = "aws-global-0".parse().map_err(Error::failed)?;
    let told = audit.read(|entry| {
        let words = format!("{} {} {} {} {}", entry.who, entry.plan, entry.call, entry.code, entry.text);
        filter.matches(&Line { entry, nowhere: &nowhere, words })
    })?;
    if told.unread > 0 {
        resolved.say.warn(&format!("{} lines of {} cannot be read", told.unread, audit.path().display()));
    }
    let cells = |entry: &Entry| {
        vec![
            entry.at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            entry.event.name().to_owned(),
            entry.call.split(':').next_back().unwrap_or_default().to_owned(),
            entry.id.clone(),
            entry.region.as_ref().map(ToString::to_string).unwrap_or_default(),
            entry.plan.clone(),
            entry.who.clone(),
            entry.verdict.clone(),
            if entry.code.is_empty() { entry.text.clone() } else { format!("{} ({})", entry.text, entry.code) },
        ]
    };
    match resolved.output {
        Format::Json => table::json(&told.entries)?,
        Format::Csv => {
            let heads =
                ["at", "event", "call", "id", "region", "plan", "who", "verdict", "text", "account", "request_id"];
            let row = |entry: &Entry| {
                let mut row = cells(entry);
                row.push(entry.account.as_ref().map(ToString::to_string).unwrap_or_default());
                row.push(entry.request_id.clone());
                row
            };
            table::csv(&heads, told.entries.iter().map(row))?;
        }
        Format::Table | Format::Ids | Format::Html if told.entries.is_empty() => {
            say::stderr(if args.filter.is_some() { "Nothing matches." } else { "Nothing was removed yet." });
        }
        Format::Table | Format::Ids | Format::Html => {
            let left = |head| (head, Side::Left);
            let columns = [
                left("at (UTC)"),
                left("event"),
                left("call"),
                left("id"),
                left("region"),
                left("plan"),
                left("who"),
                left("verdict"),
                left(""),
            ];
            table::print(&columns, told.entries.iter().map(cells))?;
        }
    }
    Ok(0)
}

//! A removal plan on disk: canonical JSON, so that its hash is the same wherever it is read.
//!
//! Keys in the order of the alphabet, no blanks in what is hashed; the file itself is indented for people and version
//! control. Nothing of the machine that made it is in it but who made it.

use std::path::Path;

use jiff::SignedDuration;
use serde::Serialize;

use super::model::{RemovalPlan, VERSION};
use crate::error::{Error, Result};
use crate::store::atomic;

/// How long a plan may be carried out after it was made.
pub const PLAN_TTL: SignedDuration = SignedDuration::from_hours(24);
/// A plan of a hundred items with its archives is some hundred KiB.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// The text that is hashed.
pub(super) fn canonical(plan: &impl Serialize) -> Result<String> {
    let failed = |e: serde_json::Error| Error::failed(format!("the plan cannot be written: {e}"));
    // A `Value` keeps its keys sorted.
    serde_json::to_value(plan).and_then(|value| serde_json::to_string(&value)).map_err(failed)
}

/// Writes a plan, over another file only when that is a plan too.
///
/// # Errors
/// There is something else of that name, or it cannot be written.
pub fn save(plan: &RemovalPlan, path: &Path) -> Result<()> {
    if path.exists() && load(path).is_err() {
        return Err(Error::refused(format!("{} is there already, and is no removal plan", path.display()))
            .todo("choose another name"));
    }
    atomic::write(path, text(plan)?.as_bytes())
}

/// What stands in the file of a plan.
///
/// # Errors
/// Never in practice: a plan is plain data.
pub fn text(plan: &RemovalPlan) -> Result<String> {
    let failed = |e: serde_json::Error| Error::failed(format!("the plan cannot be written: {e}"));
    let value = serde_json::to_value(plan).map_err(failed)?;
    Ok(serde_json::to_string_pretty(&value).map_err(failed)? + "\n")
}

/// Reads a plan.
///
/// # Errors
/// Usage: there is none, it is damaged, or of another version.
pub fn load(path: &Path) -> Result<RemovalPlan> {
    let name = path.display();
    let meta = std::fs::metadata(path).map_err(|e| Error::usage(format!("could not read {name}: {e}")))?;
    if meta.len() > MOST_BYTES {
        return Err(Error::usage(format!("{name} is too long for a removal plan")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| Error::usage(format!("could not read {name}: {e}")))?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| no_plan(&name, &e))?;
    match value["version"].as_u64() {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => {
            return Err(Error::usage(format!("{name} has version {version}, and this floe reads version {VERSION}"))
                .todo("use the floe that wrote it, or make the plan anew"));
        }
        None => return Err(Error::usage(format!("{name} is no removal plan: it has no version"))),
    }
    serde_json::from_value(value).map_err(|e| no_plan(&name, &e))
}

fn no_plan(name: &impl std::fmt::Display, why: &serde_json::Error) -> Error {
    Error::usage(format!("{name} is no removal plan: {why}")).todo("make one: floe delete ADDRESS… --out plan.json")
}

//! Scenarios: what the sandbox holds at its start.
//!
//! A scenario is a TOML file ([`format`]); [`load`] turns it into a [`Model`] for a given moment, always the same one
//! for the same moment. Five are built in; any other is read from the path that is given.

mod buckets;
mod build;
mod chance;
mod copies;
mod format;
mod machines;
mod series;
mod templates;

use std::path::Path;

use jiff::Timestamp;

use super::model::Model;
use crate::error::{Error, Result};

/// The scenarios of this build: name and text. The first is the default.
pub const BUILTIN: [(&str, &str); 5] = [
    ("default", include_str!("../../../assets/scenarios/default.toml")),
    ("empty", include_str!("../../../assets/scenarios/empty.toml")),
    ("denied", include_str!("../../../assets/scenarios/denied.toml")),
    ("huge", include_str!("../../../assets/scenarios/huge.toml")),
    ("clear", include_str!("../../../assets/scenarios/clear.toml")),
];

/// The name and the one line of every built-in scenario.
#[must_use]
pub fn catalogue() -> Vec<(&'static str, String)> {
    let about = |text| toml::from_str::<format::Scenario>(text).map(|scenario| scenario.about).unwrap_or_default();
    BUILTIN.iter().map(|(name, text)| (*name, about(text))).collect()
}

/// The scenario called so, the one in `file`, or the default one, as of now.
///
/// # Errors
/// The file cannot be read, or says something impossible.
pub fn load(file: Option<&Path>) -> Result<Model> {
    load_at(file, Timestamp::now())
}

/// The same as of `now`.
///
/// # Errors
/// As [`load`].
pub fn load_at(file: Option<&Path>, now: Timestamp) -> Result<Model> {
    let Some(file) = file else { return parse(BUILTIN[0].1, BUILTIN[0].0, now) };
    let name = file.display().to_string();
    if let Some((name, text)) = BUILTIN.iter().find(|(builtin, _)| *builtin == name) {
        return parse(text, name, now);
    }
    let text = std::fs::read_to_string(file).map_err(|cause| {
        let names: Vec<&str> = BUILTIN.iter().map(|(name, _)| *name).collect();
        Error::usage(format!("the scenario {name} cannot be read: {cause}"))
            .todo(format!("name a file, or one of the built-in ones: {}", names.join(", ")))
    })?;
    parse(&text, &name, now)
}

/// The model that `text` describes, as of `now`; `name` is for messages.
///
/// # Errors
/// The text is no scenario, or says something impossible.
pub fn parse(text: &str, name: &str, now: Timestamp) -> Result<Model> {
    let wrong = |why: String| Error::usage(format!("the scenario {name} is not valid: {why}"));
    let scenario: format::Scenario = toml::from_str(text).map_err(|cause| wrong(cause.to_string()))?;
    build::model(&scenario, now).map_err(wrong)
}

#[cfg(test)]
mod tests;

//! `c`: the plan on screen beside one that was saved, so that a reviewer sees what changed since.

use std::path::PathBuf;

use super::{Foot, file_name};
use crate::error::Result;
use crate::plan::removal::Difference;
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::overlay::{Overlay, ask};
use crate::tui::text;
use crate::tui::theme::Role;

/// What a saved plan differs in from the one on screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The file.
    pub name: String,
    /// Who made the saved one, and when.
    pub made: String,
    /// The differences, the saved plan being the first.
    pub differences: Vec<Difference>,
}

/// Asks for the file; while a comparison is shown the same key closes it.
pub fn open(model: &mut Model, _: Now) -> Vec<Effect> {
    if matches!(model.removal.foot, Foot::Compared(_)) {
        model.removal.foot = Foot::Before;
        return Vec::new();
    }
    let hash = model.removal.plan.as_ref().and_then(|plan| plan.short_hash().ok()).unwrap_or_default();
    model.overlays.push(Overlay::Ask(ask::State {
        title: "Compare with a saved plan".to_owned(),
        help: "the file of a plan, as w or floe delete --out wrote it".to_owned(),
        text: model.removal.saved.clone().unwrap_or_else(|| file_name(&hash)),
        error: None,
        then: |model, text, _| {
            if text.trim().is_empty() {
                return Err("name the file of a plan".to_owned());
            }
            let plan = model.removal.plan.clone().ok_or_else(|| "there is no plan to compare".to_owned())?;
            Ok(vec![Effect::ComparePlan { path: PathBuf::from(text.trim()), plan: Box::new(plan) }])
        },
    }));
    Vec::new()
}

/// The answer is here.
pub fn heard(model: &mut Model, told: &Result<Comparison>, now: Now) -> Vec<Effect> {
    match told {
        Ok(found) => {
            model.say(now, said(found));
            model.removal.foot = Foot::Compared(found.clone());
        }
        Err(error) => model.trouble(now, error.clone()),
    }
    Vec::new()
}

fn said(found: &Comparison) -> String {
    match found.differences.len() {
        0 => format!("nothing differs from {}, {}", found.name, found.made),
        n => format!("{} from {}, {}", text::count(n as u64, "difference"), found.name, found.made),
    }
}

/// Its lines: the sentence, then a line for each difference.
pub fn lines(found: &Comparison) -> Vec<(Role, String)> {
    let mut out = vec![(if found.differences.is_empty() { Role::Good } else { Role::Accent }, said(found))];
    out.extend(found.differences.iter().map(|one| {
        let region =
            one.region.parse().map_or_else(|_| one.region.clone(), |region: crate::ids::Region| region.short());
        (Role::Text, format!("{} {region} {}", text::tail(&one.id, 12), one.text))
    }));
    out
}

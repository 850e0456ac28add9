//! Whom a thing is shared with, and what names an image: asked one by one, for candidates (trap T24).

use std::collections::HashMap;
use std::hash::Hash;

use jiff::Timestamp;

use super::{Found, Rule, RuleInfo, absent, action, refusal};
use crate::inventory::relations::Told;
use crate::inventory::verdict::{Verdict, View};
use crate::rows::{ImageRow, SnapshotRow};

/// Other accounts may read it.
pub(super) struct Shares;

const SHARES: RuleInfo = RuleInfo { name: "shares", short: "shared", summary: "shared with others" };

fn found<K: Hash + Eq, T>(told: &HashMap<K, Told<Vec<T>>>, key: &K, verdict: Verdict) -> Found {
    match told.get(key) {
        None => Found::Unasked,
        Some(Told::Known { value, .. }) if !value.is_empty() => Found::Yes(verdict),
        Some(told) => absent(told),
    }
}

fn said(told: Option<&Told<Vec<String>>>, public: bool, found: Found) -> String {
    match found {
        Found::Yes(_) if public => "shared with everybody".to_owned(),
        Found::Yes(_) => {
            format!("shared with {}", told.and_then(Told::known).map_or_else(String::new, |all| all.join(", ")))
        }
        Found::No => "with nobody (asked for it)".to_owned(),
        Found::Unasked => "sharing not checked".to_owned(),
        _ => refusal(told.and_then(Told::error)),
    }
}

impl Rule<SnapshotRow> for Shares {
    fn info(&self) -> RuleInfo {
        SHARES
    }
    fn check(&self, view: &View<'_>, row: &SnapshotRow) -> Found {
        let (facts, index) = (&view.region.facts.answers, &view.region.index);
        match found(&facts.snapshot_shares, &row.id, Verdict::Protected) {
            Found::Yes(verdict) => Found::Yes(verdict),
            _ if index.public.contains(&row.id) => Found::Yes(Verdict::Protected),
            Found::No => absent(&facts.public),
            other => other,
        }
    }
    fn format(&self, view: &View<'_>, row: &SnapshotRow, found: Found) -> String {
        let facts = &view.region.facts.answers;
        let told = facts.snapshot_shares.get(&row.id);
        if found == Found::Refused && told.and_then(Told::error).is_none() {
            return refusal(facts.public.error());
        }
        said(told, view.region.index.public.contains(&row.id), found)
    }
    fn when(&self, view: &View<'_>, row: &SnapshotRow) -> Option<Timestamp> {
        let facts = &view.region.facts.answers;
        facts.snapshot_shares.get(&row.id).and_then(Told::when).or_else(|| facts.public.when())
    }
    fn refusals(&self, view: &View<'_>, row: &SnapshotRow) -> Vec<String> {
        let facts = &view.region.facts.answers;
        let one = facts.snapshot_shares.get(&row.id).and_then(Told::error);
        [action(one), action(facts.public.error())].into_iter().flatten().collect()
    }
    fn users(&self, view: &View<'_>, row: &SnapshotRow, tell: &mut dyn FnMut(&str)) {
        if view.region.index.public.contains(&row.id) {
            tell("all");
        }
        let told = view.region.facts.answers.snapshot_shares.get(&row.id).and_then(Told::known);
        told.into_iter().flatten().for_each(|account| tell(account));
    }
}

impl Rule<ImageRow> for Shares {
    fn info(&self) -> RuleInfo {
        SHARES
    }
    fn check(&self, view: &View<'_>, row: &ImageRow) -> Found {
        if row.public {
            return Found::Yes(Verdict::Protected);
        }
        found(&view.region.facts.answers.image_shares, &row.id, Verdict::Protected)
    }
    fn format(&self, view: &View<'_>, row: &ImageRow, found: Found) -> String {
        said(view.region.facts.answers.image_shares.get(&row.id), row.public, found)
    }
    fn when(&self, view: &View<'_>, row: &ImageRow) -> Option<Timestamp> {
        view.region.facts.answers.image_shares.get(&row.id).and_then(Told::when)
    }
    fn refusals(&self, view: &View<'_>, row: &ImageRow) -> Vec<String> {
        action(view.region.facts.answers.image_shares.get(&row.id).and_then(Told::error)).into_iter().collect()
    }
    fn users(&self, view: &View<'_>, row: &ImageRow, tell: &mut dyn FnMut(&str)) {
        if row.public {
            tell("all");
        }
        let told = view.region.facts.answers.image_shares.get(&row.id).and_then(Told::known);
        told.into_iter().flatten().for_each(|account| tell(account));
    }
}

/// Resources of the account that name an image: parameters, recipes, templates, instances.
pub(super) struct References;

impl Rule<ImageRow> for References {
    fn info(&self) -> RuleInfo {
        RuleInfo { name: "image-references", short: "referenced", summary: "parameters, recipes, others" }
    }
    fn check(&self, view: &View<'_>, row: &ImageRow) -> Found {
        found(&view.region.facts.answers.image_references, &row.id, Verdict::InUse)
    }
    fn format(&self, view: &View<'_>, row: &ImageRow, found: Found) -> String {
        let told = view.region.facts.answers.image_references.get(&row.id);
        match found {
            Found::Yes(_) => {
                let all = told.and_then(Told::known).into_iter().flatten().map(|row| row.arn.as_str());
                all.collect::<Vec<_>>().join(", ")
            }
            Found::No => "no parameter, recipe, template or instance names it".to_owned(),
            Found::Unasked => "references not checked".to_owned(),
            _ => refusal(told.and_then(Told::error)),
        }
    }
    fn when(&self, view: &View<'_>, row: &ImageRow) -> Option<Timestamp> {
        view.region.facts.answers.image_references.get(&row.id).and_then(Told::when)
    }
    fn refusals(&self, view: &View<'_>, row: &ImageRow) -> Vec<String> {
        action(view.region.facts.answers.image_references.get(&row.id).and_then(Told::error)).into_iter().collect()
    }
    fn users(&self, view: &View<'_>, row: &ImageRow, tell: &mut dyn FnMut(&str)) {
        let told = view.region.facts.answers.image_references.get(&row.id).and_then(Told::known);
        told.into_iter().flatten().for_each(|row| tell(&row.arn));
    }
}

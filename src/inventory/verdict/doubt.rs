//! What keeps things from being orphans for want of an answer, in one line per region and rule.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rules::rule_info;
use super::{RuleInfo, Verdict, View};
use crate::rows::Origin;

/// Things that only one answer is missing for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Where.
    pub origin: Arc<Origin>,
    /// The rule that has no answer.
    pub rule: RuleInfo,
    /// How many more would be orphans if it said no.
    pub count: usize,
    /// The IAM actions that were refused; none where AWS does not tell.
    pub actions: Vec<String>,
}

impl Doubt {
    /// In fewer words, where a line has no room for all: what is missing stands in the statement that is copied.
    #[must_use]
    pub fn short(&self) -> String {
        let (region, what, count) = (&self.origin.region, self.rule.summary, self.count);
        match (self.actions.is_empty(), self.rule.name, count) {
            (true, "volume", 1) => format!("{region}: 1 copy names no volume: \"volume gone\" is no evidence."),
            (true, "volume", _) => format!("{region}: {count} copies name no volume: \"volume gone\" is no evidence."),
            (true, ..) => format!("{region}: {what}: too little is told to judge {count}."),
            (false, ..) => format!("{region}: {what}: no answer. If it is no, {count} more are orphans."),
        }
    }
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (region, count) = (&self.origin.region, self.count);
        if self.actions.is_empty() {
            let what = self.rule.summary;
            return match self.rule.name {
                "volume" => {
                    let copies = if count == 1 { "1 copy has".to_owned() } else { format!("{count} copies have") };
                    let so = "\"volume gone\" is no evidence there";
                    write!(f, "{region}: {copies} but a placeholder for a volume (vol-ffffffff): {so}.")
                }
                _ => {
                    let things = if count == 1 { "1 thing".to_owned() } else { format!("{count} things") };
                    write!(f, "{region}: {what}: AWS does not tell enough to judge {things}.")
                }
            };
        }
        let (what, actions) = (self.rule.summary, self.actions.join(", "));
        write!(f, "{region}: {what}: no answer ({actions}). {count} more would be orphans if it says no.")
    }
}

/// All doubts of a region, the largest first.
#[must_use]
pub fn doubts(view: &View<'_>) -> Vec<Doubt> {
    let mut found: BTreeMap<(&'static str, bool), (usize, Vec<String>)> = BTreeMap::new();
    for thing in view.things() {
        let standing = view.standing(thing);
        if standing.verdict != Verdict::Unknown {
            continue;
        }
        let (rule, refused) = match (standing.waits_for, standing.untold) {
            (Some(rule), _) => (rule, true),
            (None, Some(rule)) => (rule, false),
            (None, None) => continue,
        };
        let entry = found.entry((rule, refused)).or_default();
        entry.0 += 1;
        if refused && entry.1.is_empty() {
            entry.1 = view.refused_actions(thing);
        }
    }
    let doubt = |((rule, _), (count, actions)): ((&'static str, bool), (usize, Vec<String>))| {
        Some(Doubt { origin: Arc::clone(&view.region.facts.origin), rule: rule_info(rule)?, count, actions })
    };
    let mut doubts: Vec<Doubt> = found.into_iter().filter_map(doubt).collect();
    doubts.sort_by_key(|doubt| (doubt.actions.is_empty(), std::cmp::Reverse(doubt.count)));
    doubts
}

/// The IAM statement that allows what was refused, as JSON to be pasted into a policy.
#[must_use]
pub fn statement(doubts: &[Doubt]) -> Option<String> {
    let mut actions: Vec<&str> = doubts.iter().flat_map(|doubt| &doubt.actions).map(String::as_str).collect();
    actions.sort_unstable();
    actions.dedup();
    if actions.is_empty() {
        return None;
    }
    let statement = serde_json::json!({
        "Sid": "LetFloeJudgeOrphans", "Effect": "Allow", "Action": actions, "Resource": "*",
    });
    serde_json::to_string_pretty(&statement).ok()
}

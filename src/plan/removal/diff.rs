//! What two removal plans differ in: for a colleague who reviewed the one before.

use std::collections::BTreeMap;

use serde::Serialize;

use super::model::{Item, RemovalPlan, Would};
use crate::inventory::verdict::{Answer, Judged};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The thing.
    pub id: String,
    /// Where it is.
    pub region: String,
    /// `only in the first`, `only in the second`, `would delete, not skip`, …
    pub text: String,
}

/// What differs, things in the order of the first plan, then what only the second has.
#[must_use]
pub fn compare(first: &RemovalPlan, second: &RemovalPlan) -> Vec<Difference> {
    let key = |item: &Item| {
        (item.judged.origin.account.to_string(), item.judged.origin.region.to_string(), item.target.id().to_owned())
    };
    let in_second: BTreeMap<_, &Item> = second.items.iter().map(|item| (key(item), item)).collect();
    let in_first: BTreeMap<_, &Item> = first.items.iter().map(|item| (key(item), item)).collect();
    let tell = |item: &Item, text: String| Difference {
        id: item.target.id().to_owned(),
        region: item.judged.origin.region.to_string(),
        text,
    };
    let mut out = Vec::new();
    for item in &first.items {
        match in_second.get(&key(item)) {
            None => out.push(tell(item, format!("only in the first, which would {}", did(&item.would)))),
            Some(other) => out.extend(changes(item, other).into_iter().map(|text| tell(item, text))),
        }
    }
    for item in second.items.iter().filter(|item| !in_first.contains_key(&key(item))) {
        out.push(tell(item, format!("only in the second, which would {}", did(&item.would))));
    }
    out
}

fn did(would: &Would) -> String {
    match would {
        Would::Skip(skip) => format!("skip it: {}", skip.text()),
        other => format!("{} it", other.word()),
    }
}

/// What changed of one thing. Ages of evidence are no change.
fn changes(before: &Item, now: &Item) -> Vec<String> {
    let mut out = Vec::new();
    if before.would != now.would {
        out.push(format!("would {} before, {} now", did(&before.would), did(&now.would)));
    }
    if before.back != now.back && now.would.removes() {
        let text = |item: &Item| item.back.text(item.judged.made.unwrap_or_default());
        match (before.back.days(), now.back.days()) {
            (Some(a), Some(b)) if a != b => out.push(format!("the Recycle Bin kept it {a} days, {b} now")),
            (None, Some(b)) => out.push(format!("{} before; the Recycle Bin keeps it {b} days now", text(before))),
            (Some(a), None) => out.push(format!("the Recycle Bin kept it {a} days; {} now", text(now))),
            _ => {}
        }
    }
    if before.judged.verdict != now.judged.verdict {
        out.push(format!("was {:?}, is {:?}", before.judged.verdict, now.judged.verdict).to_lowercase());
    }
    let answers = |judged: &Judged| -> BTreeMap<String, Answer> {
        judged.evidence.iter().map(|evidence| (evidence.rule.clone(), evidence.answer)).collect()
    };
    let (a, b) = (answers(&before.judged), answers(&now.judged));
    for (rule, answer) in &b {
        if let Some(old) = a.get(rule).filter(|old| *old != answer) {
            out.push(format!("{rule}: {old:?} before, {answer:?} now").to_lowercase());
        }
    }
    out
}

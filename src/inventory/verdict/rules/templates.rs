//! Whether a launch template names a snapshot or an image, in any of its versions (trap T23).

use jiff::Timestamp;

use super::{Found, Rule, RuleInfo, absent, action, older, refusal, worse};
use crate::error::Error;
use crate::inventory::relations::{Answers, TemplateUse, Told};
use crate::inventory::verdict::{Verdict, View};
use crate::rows::{ImageRow, SnapshotRow};

/// Launch templates, all versions.
pub(super) struct Templates;

const INFO: RuleInfo = RuleInfo { name: "launch-templates", short: "template", summary: "launch templates" };

fn answers<'v>(view: &View<'v>) -> &'v Answers {
    &view.region.facts.answers
}

fn found(view: &View<'_>, used: Option<&Vec<TemplateUse>>) -> Found {
    if used.is_some() {
        return Found::Yes(Verdict::InUse);
    }
    let answers = answers(view);
    let bulk = worse(absent(&answers.templates), absent(&answers.versions));
    // Older versions are told one template at a time.
    let mut others = answers.templates.known().into_iter().flatten().filter(|template| template.has_others());
    others
        .try_fold(bulk, |so_far, template| {
            let numbered = answers.numbered.get(&template.id).map_or(Found::Unasked, absent);
            match worse(so_far, numbered) {
                Found::Refused => Err(Found::Refused),
                other => Ok(other),
            }
        })
        .unwrap_or_else(|refused| refused)
}

fn error<'v>(view: &View<'v>) -> Option<&'v Error> {
    let answers = answers(view);
    let numbered = || answers.numbered.values().find_map(Told::error);
    answers.templates.error().or_else(|| answers.versions.error()).or_else(numbered)
}

fn said(view: &View<'_>, used: Option<&Vec<TemplateUse>>, found: Found) -> String {
    let count = answers(view).templates.known().map_or(0, Vec::len);
    match found {
        Found::Yes(_) => used.into_iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Found::No => {
            let more = match view.region.index.resolved_elsewhere {
                0 => String::new(),
                some => format!("; {some} take their AMI from a parameter"),
            };
            format!("none of {count} launch templates, {} versions{more}", view.region.index.versions)
        }
        Found::Unasked => format!("older versions of {count} launch templates are not checked yet"),
        _ => refusal(error(view)),
    }
}

fn when(view: &View<'_>) -> Option<Timestamp> {
    older(answers(view).templates.when(), answers(view).versions.when())
}

fn refusals(view: &View<'_>) -> Vec<String> {
    let answers = answers(view);
    let all = [action(answers.templates.error()), action(answers.versions.error())];
    let numbered = answers.numbered.values().find_map(Told::error);
    all.into_iter().flatten().chain(action(numbered)).collect()
}

impl Rule<SnapshotRow> for Templates {
    fn info(&self) -> RuleInfo {
        INFO
    }
    fn check(&self, view: &View<'_>, row: &SnapshotRow) -> Found {
        found(view, view.region.index.templates_of_snapshot.get(&row.id))
    }
    fn format(&self, view: &View<'_>, row: &SnapshotRow, found: Found) -> String {
        said(view, view.region.index.templates_of_snapshot.get(&row.id), found)
    }
    fn when(&self, view: &View<'_>, _: &SnapshotRow) -> Option<Timestamp> {
        when(view)
    }
    fn refusals(&self, view: &View<'_>, _: &SnapshotRow) -> Vec<String> {
        refusals(view)
    }
    fn users(&self, view: &View<'_>, row: &SnapshotRow, tell: &mut dyn FnMut(&str)) {
        let used = view.region.index.templates_of_snapshot.get(&row.id);
        used.into_iter().flatten().for_each(|used| tell(&used.template));
    }
}

impl Rule<ImageRow> for Templates {
    fn info(&self) -> RuleInfo {
        INFO
    }
    fn check(&self, view: &View<'_>, row: &ImageRow) -> Found {
        found(view, view.region.index.templates_of_image.get(&row.id))
    }
    fn format(&self, view: &View<'_>, row: &ImageRow, found: Found) -> String {
        said(view, view.region.index.templates_of_image.get(&row.id), found)
    }
    fn when(&self, view: &View<'_>, _: &ImageRow) -> Option<Timestamp> {
        when(view)
    }
    fn refusals(&self, view: &View<'_>, _: &ImageRow) -> Vec<String> {
        refusals(view)
    }
    fn users(&self, view: &View<'_>, row: &ImageRow, tell: &mut dyn FnMut(&str)) {
        let used = view.region.index.templates_of_image.get(&row.id);
        used.into_iter().flatten().for_each(|used| tell(&used.template));
    }
}

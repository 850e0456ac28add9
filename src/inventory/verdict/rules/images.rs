//! Whether an image is made of a snapshot: by its block devices, not by texts (traps T21, T22).

use jiff::Timestamp;

use super::{Found, Rule, RuleInfo, absent, action, none_of, refusal, worse};
use crate::inventory::relations::images_named;
use crate::inventory::verdict::policy::span;
use crate::inventory::verdict::{Verdict, View};
use crate::rows::{ImageRow, SnapshotRow};

/// Images of the account map it, disabled and deprecated ones too.
pub(super) struct Images;

impl Rule<SnapshotRow> for Images {
    fn info(&self) -> RuleInfo {
        RuleInfo { name: "images", short: "AMI", summary: "AMIs, also disabled" }
    }
    fn check(&self, view: &View<'_>, row: &SnapshotRow) -> Found {
        match view.region.index.images_of.contains_key(&row.id) {
            true => Found::Yes(Verdict::InUse),
            false => absent(&view.region.facts.images),
        }
    }
    fn format(&self, view: &View<'_>, row: &SnapshotRow, found: Found) -> String {
        match found {
            Found::Yes(_) => {
                let mut said = Vec::new();
                for at in view.region.index.images_of.get(&row.id).into_iter().flatten() {
                    if let Some(image) = view.region.images().get(*at) {
                        said.push(format!("{} ({}, {})", image.id, image.name, image.state));
                    }
                }
                said.join(", ")
            }
            Found::No => format!("{} maps it", none_of(view, view.region.images().len(), "AMIs")),
            _ => refusal(view.region.facts.images.error()),
        }
    }
    fn when(&self, view: &View<'_>, _: &SnapshotRow) -> Option<Timestamp> {
        view.region.facts.images.when()
    }
    fn refusals(&self, view: &View<'_>, _: &SnapshotRow) -> Vec<String> {
        action(view.region.facts.images.error()).into_iter().collect()
    }
    fn users(&self, view: &View<'_>, row: &SnapshotRow, tell: &mut dyn FnMut(&str)) {
        for at in view.region.index.images_of.get(&row.id).into_iter().flatten() {
            if let Some(image) = view.region.images().get(*at) {
                tell(image.id.as_str());
            }
        }
    }
}

/// An image in the Recycle Bin needs it to come back.
pub(super) struct Binned;

impl Binned {
    /// AWS does not tell the disks of an image in the bin; the text that CreateImage left does.
    fn named(view: &View<'_>, row: &SnapshotRow) -> Option<String> {
        let binned = &view.region.index.binned_images;
        images_named(&row.description).find(|image| binned.contains_key(image)).map(|image| image.to_string())
    }
}

impl Rule<SnapshotRow> for Binned {
    fn info(&self) -> RuleInfo {
        RuleInfo { name: "images-in-bin", short: "AMI in bin", summary: "AMIs in Recycle Bin" }
    }
    fn check(&self, view: &View<'_>, row: &SnapshotRow) -> Found {
        let (facts, index) = (&view.region.facts.answers, &view.region.index);
        if !index.binned_images.is_empty() && Self::named(view, row).is_some() {
            return Found::Yes(Verdict::InUse);
        }
        match absent(&facts.binned_images) {
            Found::No if index.unplaced.is_empty() => Found::No,
            // Whose snapshots might be in the bin with it, had we been told.
            Found::No => worse(absent(&facts.binned_snapshots), Found::No).untold(),
            other => other,
        }
    }
    fn format(&self, view: &View<'_>, row: &SnapshotRow, found: Found) -> String {
        let (facts, index) = (&view.region.facts.answers, &view.region.index);
        match found {
            Found::Yes(_) => {
                let image = Self::named(view, row).unwrap_or_default();
                format!("its text names {image}, which is in the Recycle Bin and needs it to come back")
            }
            Found::Untold => {
                let all: Vec<&str> = index.unplaced.iter().take(3).map(|image| image.as_str()).collect();
                format!(
                    "AWS does not tell the disks of {} in the Recycle Bin, and no snapshot names it",
                    all.join(", ")
                )
            }
            Found::No => format!("none of {} AMIs in the Recycle Bin", index.binned_images.len()),
            _ => refusal(facts.binned_images.error().or(facts.binned_snapshots.error())),
        }
    }
    fn when(&self, view: &View<'_>, _: &SnapshotRow) -> Option<Timestamp> {
        view.region.facts.answers.binned_images.when()
    }
    fn refusals(&self, view: &View<'_>, _: &SnapshotRow) -> Vec<String> {
        action(view.region.facts.answers.binned_images.error()).into_iter().collect()
    }
    fn users(&self, view: &View<'_>, row: &SnapshotRow, tell: &mut dyn FnMut(&str)) {
        if let Some(image) = Self::named(view, row) {
            tell(&image);
        }
    }
}

impl Found {
    const fn untold(self) -> Self {
        if matches!(self, Self::No) { Self::Untold } else { self }
    }
}

/// Its text names an image: a hint, whatever became of that.
pub(super) struct Text;

impl Rule<SnapshotRow> for Text {
    fn info(&self) -> RuleInfo {
        RuleInfo { name: "text", short: "text", summary: "text (a hint)" }
    }
    fn check(&self, _: &View<'_>, row: &SnapshotRow) -> Found {
        if images_named(&row.description).next().is_some() { Found::Hint } else { Found::Silent }
    }
    fn format(&self, view: &View<'_>, row: &SnapshotRow, _: Found) -> String {
        let index = &view.region.index;
        let said = images_named(&row.description).map(|image| {
            let there = if index.images.contains_key(&image) {
                "registered here"
            } else if index.binned_images.contains_key(&image) {
                "in the Recycle Bin"
            } else {
                "not among the AMIs here"
            };
            format!("{image} ({there})")
        });
        format!("its text names {}", said.collect::<Vec<_>>().join(", "))
    }
}

/// An image was launched lately: no use now, but not forgotten either.
pub(super) struct Launched;

impl Rule<ImageRow> for Launched {
    fn info(&self) -> RuleInfo {
        RuleInfo { name: "launched", short: "launched", summary: "last launch" }
    }
    fn check(&self, view: &View<'_>, row: &ImageRow) -> Found {
        match row.last_launched {
            Some(at) if view.age(at) < view.policy.stale_after => Found::Yes(Verdict::Stale),
            _ => Found::No,
        }
    }
    fn format(&self, view: &View<'_>, row: &ImageRow, _: Found) -> String {
        match row.last_launched {
            Some(at) => format!("last launched {} ago (told up to a day late)", span(view.age(at))),
            None => "AWS knows of no launch".to_owned(),
        }
    }
    fn when(&self, view: &View<'_>, _: &ImageRow) -> Option<Timestamp> {
        view.region.facts.images.when()
    }
}

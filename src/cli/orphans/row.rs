//! One judged thing as it is filtered and printed.

use jiff::Timestamp;
use serde::Serialize;

use crate::cli::rows::age;
use crate::cli::table::{Column, Side};
use crate::error::{Error, Result};
use crate::ids::Region;
use crate::inventory::Fields;
use crate::inventory::verdict::{Answer, Judged, Standing, Sureness, Thing, View};
use crate::plan::monthly;
use crate::rows::{Tag, Tier};
use crate::units::{Bytes, Usd};

/// Columns for people.
pub(super) const COLUMNS: &[Column] = &[
    ("id", Side::Left),
    ("region", Side::Left),
    ("name", Side::Left),
    ("verdict", Side::Left),
    ("because", Side::Left),
    ("frees", Side::Right),
    ("$/month", Side::Right),
    ("age", Side::Right),
    ("evidence", Side::Left),
];

/// Heads for CSV.
pub(super) const HEADS: &[&str] = &[
    "id",
    "kind",
    "region",
    "account",
    "name",
    "verdict",
    "because",
    "frees_bytes",
    "frees_label",
    "frees_why",
    "usd_per_month",
    "made",
    "used_by",
    "evidence",
];

/// When it was made.
pub(super) fn born(thing: Thing<'_>) -> Option<Timestamp> {
    match thing {
        Thing::Snapshot(row) => Some(row.started),
        Thing::Volume(row) => Some(row.created),
        Thing::Image(row) => row.created,
    }
}

/// A thing with its verdict.
pub(super) struct JudgedRow<'a> {
    view: View<'a>,
    thing: Thing<'a>,
    standing: Standing,
    pub(super) judged: Judged,
}

#[derive(Serialize)]
struct Json<'a> {
    region: &'a str,
    because: &'a str,
    #[serde(flatten)]
    judged: &'a Judged,
}

impl<'a> JudgedRow<'a> {
    pub(super) fn new(view: View<'a>, thing: Thing<'a>) -> Self {
        let mut judged = view.judge(thing);
        judged.usd_per_month = monthly(thing, &judged.frees);
        Self { view, thing, standing: view.standing(thing), judged }
    }

    pub(super) fn because(&self) -> String {
        self.view.because(self.thing, &self.standing)
    }

    /// `≤ 88 GiB`, `= 500 GiB`, `?`.
    pub(super) fn frees(&self) -> String {
        self.judged.frees.text()
    }

    pub(super) fn usd(&self) -> String {
        let mark = if self.judged.frees.label == Sureness::UpperBound { "≤ " } else { "" };
        self.judged.usd_per_month.map_or_else(|| "?".to_owned(), |usd| format!("{mark}{usd:.2}"))
    }

    /// `11 no · 1 hint`.
    pub(super) fn tally(&self) -> String {
        let count = |answer| self.judged.evidence.iter().filter(|evidence| evidence.answer == answer).count();
        let parts = [(Answer::Yes, "yes"), (Answer::No, "no"), (Answer::Hint, "hint"), (Answer::Unknown, "?")];
        let said = parts.into_iter().filter(|(answer, _)| count(*answer) > 0);
        said.map(|(answer, word)| format!("{} {word}", count(answer))).collect::<Vec<_>>().join(" · ")
    }

    pub(super) fn age(&self) -> String {
        age(born(self.thing), self.view.now)
    }

    pub(super) fn days(&self) -> i64 {
        born(self.thing).map_or(0, |born| self.view.age(born).as_hours() / 24)
    }

    pub(super) fn cells(&self) -> Vec<String> {
        let judged = &self.judged;
        vec![
            judged.id.clone(),
            judged.origin.region.to_string(),
            judged.name.clone(),
            judged.verdict.word().to_owned(),
            self.because(),
            self.frees(),
            self.usd(),
            self.age(),
            self.tally(),
        ]
    }

    pub(super) fn csv(&self) -> Vec<String> {
        let judged = &self.judged;
        let mut used_by = Vec::new();
        self.view.users(self.thing, &mut |user| used_by.push(user.to_owned()));
        let evidence = judged.evidence.iter().map(|e| format!("{} {}: {}", e.rule, e.answer.word(), e.text));
        vec![
            judged.id.clone(),
            judged.kind.word().to_owned(),
            judged.origin.region.to_string(),
            judged.origin.account.to_string(),
            judged.name.clone(),
            judged.verdict.word().to_owned(),
            self.because(),
            judged.frees.bytes.0.to_string(),
            judged.frees.label.word().to_owned(),
            judged.frees.why.keys(),
            judged.usd_per_month.map_or_else(String::new, |usd| format!("{usd:.4}")),
            judged.made.map_or_else(String::new, |made| made.to_string()),
            used_by.join(" "),
            evidence.collect::<Vec<_>>().join("; "),
        ]
    }

    pub(super) fn json(&self) -> Result<String> {
        let because = self.because();
        let json = Json { region: self.judged.origin.region.as_str(), because: &because, judged: &self.judged };
        serde_json::to_string(&json).map_err(|e| Error::failed(format!("could not write JSON: {e}")))
    }
}

/// What a field of the row itself says.
macro_rules! of_row {
    ($self:ident, $row:ident => $value:expr) => {
        match $self.thing {
            Thing::Snapshot($row) => $value,
            Thing::Volume($row) => $value,
            Thing::Image($row) => $value,
        }
    };
}

impl Fields for JudgedRow<'_> {
    fn id(&self) -> &str {
        self.thing.id()
    }
    fn name(&self) -> &str {
        self.thing.name()
    }
    fn description(&self) -> &str {
        of_row!(self, row => Fields::description(row))
    }
    fn tags(&self) -> &[Tag] {
        of_row!(self, row => Fields::tags(row))
    }
    fn region(&self) -> &Region {
        &self.view.region.facts.origin.region
    }
    fn size(&self) -> Option<Bytes> {
        of_row!(self, row => Fields::size(row))
    }
    fn full(&self) -> Option<Bytes> {
        of_row!(self, row => Fields::full(row))
    }
    fn born(&self) -> Option<Timestamp> {
        born(self.thing)
    }
    fn state(&self) -> &str {
        of_row!(self, row => Fields::state(row))
    }
    fn tier(&self) -> Option<Tier> {
        of_row!(self, row => Fields::tier(row))
    }
    fn verdict(&self) -> Option<&str> {
        Some(self.standing.verdict.word())
    }
    fn frees(&self) -> Option<Bytes> {
        (self.judged.frees.label != Sureness::Unknown).then_some(self.judged.frees.bytes)
    }
    fn usd(&self) -> Option<Usd> {
        self.judged.usd_per_month.map(Usd)
    }
    fn used_by(&self, tell: &mut dyn FnMut(&str)) {
        self.view.users(self.thing, tell);
    }
}

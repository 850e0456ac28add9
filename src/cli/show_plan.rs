//! A plan for people, and as the JSON of `floe plan`.

use serde::Serialize;

use super::args::{Format, PlanArgs};
use super::resolve::Resolved;
use super::{Code, operation, say, table};
use crate::error::Result;
use crate::plan::copied::Action;
use crate::plan::parts::is_retuned;
use crate::plan::{
    Alternative, Choices, DestinationKind, DestinationPlan, Finding, Fit, ItemPlan, JobTime, Level, Pace, Parent, Plan,
    QuotaFact, SourceKind, Strategy, TimePart, records,
};
use crate::units::{Bytes, Quantity, Sure, Usd, counted, grouped};

/// Items that are shown one by one; of the rest only how many there are.
const SHOWN: usize = 10;

/// `floe plan`.
///
/// # Errors
/// As the plan's making; refused (exit 5) when the plan cannot run, after it was shown.
pub async fn run(args: PlanArgs, resolved: &Resolved) -> Result<Code> {
    let world = resolved.open().await?;
    let (plan, _) = operation::make(&args.operation, &world, resolved).await?;
    match resolved.output {
        Format::Json => table::json(&document(&plan))?,
        Format::Csv => csv(&plan)?,
        Format::Table | Format::Ids | Format::Html => {
            say::result(&say::folded(&text(&plan), say::columns(&std::io::stdout())))?
        }
    }
    plan.refusal().map_or(Ok(0), Err)
}

/// The parts of the bill, one a line.
fn csv(plan: &Plan) -> Result<()> {
    let rows = plan.cost.parts.iter().map(|part| {
        let usd = part.usd.known().map_or_else(String::new, |usd| usd.0.to_string());
        let when = if part.monthly { "monthly" } else { "once" };
        vec![part.name.clone(), part.quantity.to_string(), part.unit.clone(), usd, when.to_owned()]
    });
    table::csv(&["name", "quantity", "unit", "usd", "when"], rows)
}

/// The whole plan as text: what, memory, money, time, other ways, checks.
#[must_use]
pub fn text(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for item in plan.items.iter().take(SHOWN) {
        lines.push(format!("Copy     {}", source(item)));
        lines.extend(item.destinations.iter().map(|to| format!("  to     {}", destination(to))));
    }
    if let Some(more) = plan.items.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        lines.push(format!("         and {} more sources to the same place", grouped(more as u64)));
    }
    lines.push(memory(plan));
    let records = records(&plan.items);
    let parts = if records.parts == Bytes::ZERO { String::new() } else { format!(", parts {}", records.parts) };
    lines.push(format!(
        "Disk     ≤ {} in the state directory: ledger {}, journal {}{parts}",
        records.total(),
        records.ledger,
        records.journal
    ));
    lines.extend(cost(plan));
    lines.extend(plan.items.iter().any(|item| item.is_read() || item.is_copied()).then(|| choices(plan)));
    let glyph = plan.time.sure.glyph();
    let time = plan.time.text();
    let jobs = match plan.time.jobs {
        1 => String::new(),
        many => format!(" for {} jobs, {many} at once", grouped(plan.items.len() as u64)),
    };
    lines.push(format!("Time     {glyph} {time}{jobs}, bound by {}", plan.time.bound_by));
    for other in plan.alternatives.iter().filter(|other| !other.chosen) {
        let why = other.unavailable.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
        lines.push(format!(
            "  or     {}: {} once, {} a month, {}; keeps {}{why}",
            other.name, other.once, other.monthly, other.time, other.keeps
        ));
        let more = saving(plan, other);
        if !more.is_empty() || !other.remark.is_empty() {
            let joined = [more, other.remark.clone()].into_iter().filter(|text| !text.is_empty());
            lines.push(format!("           {}", joined.collect::<Vec<_>>().join("; ")));
        }
    }
    lines.extend(plan.findings.iter().filter(|finding| finding.level != Level::Passed).map(finding));
    let passed = plan.findings.iter().filter(|finding| finding.level == Level::Passed).count();
    if passed > 0 {
        lines.push(format!("  ✓      {passed} checks passed"));
    }
    lines.join("\n")
}

/// What the run is set to, and what holds it there.
fn choices(plan: &Plan) -> String {
    let (set, options) = (&plan.choices, &plan.operation.options);
    let pace = pace_word(options.pace);
    let held = set.held_by(options, plan.items.iter().all(ItemPlan::is_copied));
    let lists = match plan.items.iter().any(|item| item.source.kind.is_snapshot()) {
        true => {
            let (s, verb) = if set.cursors == 1 { ("", "lists") } else { ("s", "list") };
            format!("; {} cursor{s} {verb} {} blocks a page", set.cursors, grouped(set.page_size.into()))
        }
        false => String::new(),
    };
    format!("Pace     {pace}: {} lanes at first, {} at most ({held}){lists}", set.lanes_start, set.lanes_max)
}

const fn pace_word(pace: Pace) -> &'static str {
    match pace {
        Pace::Balanced => "balanced",
        Pace::Aggressive => "aggressive",
        Pace::Conservative => "conservative",
        Pace::CostEfficient => "cost-efficient",
    }
}

/// What the other way saves or costs more, once; nothing where that is no difference or not known.
fn saving(plan: &Plan, other: &Alternative) -> String {
    let (Some(own), Some(way)) = (plan.cost.once.known(), other.once.known()) else { return String::new() };
    match own.0 - way.0 {
        less if less >= 0.005 => format!("{} less once", Usd(less)),
        more if more <= -0.005 => format!("{} more once", Usd(-more)),
        _ => String::new(),
    }
}

fn source(item: &ItemPlan) -> String {
    let from = &item.source;
    let name = from.name.as_ref().map_or_else(String::new, |name| format!(" {name}"));
    let encrypted = match &from.kind {
        SourceKind::Snapshot { encrypted: true, .. } | SourceKind::Delta { encrypted: true, .. } => ", encrypted",
        SourceKind::Archive { encrypted: true, .. } => ", of an encrypted source",
        SourceKind::Image { disks, .. } => {
            let s = if disks.len() == 1 { "" } else { "s" };
            let encrypted = if from.kind.is_encrypted() { ", encrypted" } else { "" };
            return format!(
                "{}{name}: an image of {} snapshot{s}, {}, {} blocks{encrypted}",
                from.address,
                disks.len(),
                from.volume,
                from.blocks
            );
        }
        _ if item.is_copied() => "",
        SourceKind::Object { .. } => ", a raw image",
        SourceKind::Fsp { .. } => ", of flexible-snapshot-proxy",
        _ => "",
    };
    format!("{}{name}: {}, {} blocks{encrypted}", from.address, from.volume, from.blocks)
}

fn destination(to: &DestinationPlan) -> String {
    match &to.kind {
        DestinationKind::Snapshot { volume_gib, encryption, on, .. } => {
            let on = match on {
                None => String::new(),
                Some(Parent { id: Some(id), .. }) => format!(" on {id}"),
                Some(Parent { id: None, .. }) => " on the one before".to_owned(),
            };
            format!("{} a new snapshot{on} of {} GiB, {encryption}", to.address, grouped(u64::from(*volume_gib)))
        }
        DestinationKind::Image { name, encryption, .. } => {
            format!("{} an image called {name}, copied by AWS, {encryption}", to.address)
        }
        DestinationKind::File { length, onto: Some(_), .. } => {
            format!("{} changed in its place: a file of {length}", to.address)
        }
        DestinationKind::File { length, replaces, .. } => {
            let replaces = if *replaces { ", replacing what is there" } else { "" };
            format!("{} a file of {length}{replaces}", to.address)
        }
        DestinationKind::Device { length, size, .. } => {
            format!("{} a device of {size}: its first {length} are overwritten", to.address)
        }
        DestinationKind::Archive { archive, encryption, keep, .. } => {
            let class = keep.class.as_deref().map_or_else(String::new, |class| format!(", in {class}"));
            format!("{} an archive named {archive}{class}, encrypted {encryption}", to.address)
        }
        DestinationKind::Object { layout, replaces, encryption, keep, .. } => {
            let class = keep.class.as_deref().map_or_else(String::new, |class| format!(", in {class}"));
            let replaces = if replaces.is_some() { ", replacing what is there" } else { "" };
            let parts = match layout.parts() {
                1 => "1 part".to_owned(),
                parts => format!("{} parts", grouped(u64::from(parts))),
            };
            format!("{} an object of {} in {parts}{replaces}{class}, encrypted {encryption}", to.address, layout.length)
        }
        DestinationKind::Copied { action, parts, encryption, .. } => {
            let how = match action {
                Action::Copy { .. } if parts.whole => "copied by S3 in one request".to_owned(),
                Action::Copy { .. } if is_retuned(parts) => {
                    let (count, most) = (grouped(parts.count.into()), grouped(parts.most.into()));
                    format!("copied by S3 in about {count} parts of {}, {most} at most", parts.size)
                }
                Action::Copy { .. } => {
                    format!("copied by S3 in {} of {}", counted(parts.count.into(), "part"), parts.size)
                }
                Action::Set { .. } => "there already: only what differs beside its bytes is set".to_owned(),
                Action::Skip { .. } => "there already: nothing is copied".to_owned(),
                Action::Refuse { .. } => "cannot be made".to_owned(),
            };
            format!("{} an object {how}, {encryption}", to.address)
        }
        DestinationKind::CopiedTree { .. } => format!("{} every object, copied by S3 one by one", to.address),
        DestinationKind::Null => "null: read, check, throw away".to_owned(),
    }
}

fn memory(plan: &Plan) -> String {
    let memory = &plan.memory;
    let fit = match memory.fit {
        Fit::Fits => "fits",
        Fit::Tight => "tight",
        Fit::WillNotFit => "will not fit",
    };
    let peer = memory.ebs_py.known().map(|bytes| format!(" (ebs.py would need ≈ {bytes})")).unwrap_or_default();
    let jobs = if memory.jobs > 1 { format!(" for {} jobs at once", memory.jobs) } else { String::new() };
    format!(
        "Memory   ≤ {}{jobs} with a budget of {}; {} {}: {fit}{peer}",
        memory.total, memory.budget, memory.limit_name, memory.limit
    )
}

fn cost(plan: &Plan) -> Vec<String> {
    let cost = &plan.cost;
    let mut lines = vec![format!(
        "Cost     {} once, {} a month; prices of {}, floe runs {}",
        cost.once,
        cost.monthly,
        cost.prices_as_of,
        plan.facts.runs_in.sentence()
    )];
    let rows = merged(plan).into_iter().map(|part| {
        let month = if part.monthly { " a month" } else { "" };
        let most = if part.counted == Sure::AtMost { "≤ " } else { "" };
        let many = quantity(part.quantity);
        let unit = if many == "1" { part.unit.trim_end_matches('s') } else { &part.unit };
        [part.name.clone(), format!("{most}{many}"), unit.to_owned(), format!("{}{month}", part.usd)]
    });
    let rows: Vec<[String; 4]> = rows.collect();
    let widest = |cell: usize| rows.iter().map(|row| row[cell].chars().count()).max().unwrap_or(0);
    let (name, many, unit) = (widest(0), widest(1), widest(2));
    lines.extend(
        rows.iter()
            .map(|[what, count, of, usd]| format!("           {what:<name$}  {count:>many$} {of:<unit$}  {usd}")),
    );
    lines.extend(cost.assumed().into_iter().map(|line| format!("           {line}")));
    lines
}

/// The lines of the bill, those of many sources that are of one kind together.
fn merged(plan: &Plan) -> Vec<crate::plan::CostPart> {
    let mut all: Vec<crate::plan::CostPart> = Vec::new();
    for part in &plan.cost.parts {
        match all.iter_mut().find(|known| known.name == part.name && known.monthly == part.monthly) {
            Some(known) => known.take(part),
            None => all.push(part.clone()),
        }
    }
    all
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "quantities of a bill are small and positive"
)]
pub(super) fn quantity(value: f64) -> String {
    if value.fract().abs() < 1e-9 || value >= 1000.0 { grouped(value.round() as u64) } else { format!("{value:.2}") }
}

fn finding(finding: &Finding) -> String {
    let mark = match finding.level {
        Level::Passed => "✓",
        Level::Note => "·",
        Level::Warning => "!",
        Level::Refused => "✗",
    };
    let todo = finding.todo.as_ref().map_or_else(String::new, |todo| format!(" → {todo}"));
    format!("  {mark}      {}{todo}", finding.text)
}

/// The document of DESIGN §4.
#[derive(Debug, Serialize)]
struct Document<'a> {
    source: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sources: Vec<String>,
    destinations: Vec<Destination>,
    memory: Memory<'a>,
    disk: Disk,
    cost: Cost<'a>,
    time: Time<'a>,
    choices: &'a Choices,
    quotas: &'a [QuotaFact],
    alternatives: Vec<Other<'a>>,
    findings: Vec<Found<'a>>,
}

#[derive(Debug, Serialize)]
struct Destination {
    address: String,
    strategy: Strategy,
}

#[derive(Debug, Serialize)]
struct Memory<'a> {
    total_bytes: u64,
    parts: Vec<MemoryPart<'a>>,
    limit_bytes: u64,
    budget_bytes: u64,
    /// Jobs that run at once, where these are several: all of them together are meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    jobs: Option<u32>,
    verdict: Fit,
}

/// What the job writes down about itself, at most.
#[derive(Debug, Serialize)]
struct Disk {
    ledger_bytes: u64,
    journal_bytes: u64,
    parts_bytes: u64,
}

#[derive(Debug, Serialize)]
struct MemoryPart<'a> {
    name: &'a str,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Cost<'a> {
    total_usd: Option<f64>,
    monthly_usd: Option<f64>,
    parts: Vec<CostPart<'a>>,
    prices_as_of: &'a str,
    runs_in: &'a str,
}

#[derive(Debug, Serialize)]
struct CostPart<'a> {
    name: &'a str,
    quantity: f64,
    unit: &'a str,
    usd: Option<f64>,
    label: Sure,
    quantity_label: Sure,
    monthly: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    assumes: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Time<'a> {
    low_seconds: f64,
    high_seconds: f64,
    bound_by: &'a str,
    beside: &'a [TimePart],
    /// Jobs that run at once, where these are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    jobs: Option<u32>,
    /// Of a group each job by itself, from when it begins.
    #[serde(skip_serializing_if = "<[JobTime]>::is_empty")]
    each: &'a [JobTime],
}

#[derive(Debug, Serialize)]
struct Other<'a> {
    name: &'a str,
    once_usd: Option<f64>,
    monthly_usd: Option<f64>,
    time: &'a str,
    keeps: &'a str,
    chosen: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    remark: &'a str,
    unavailable: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Found<'a> {
    level: Level,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    todo: Option<&'a str>,
}

fn usd(quantity: Quantity<Usd>) -> Option<f64> {
    quantity.known().map(|usd| usd.0)
}

fn document(plan: &Plan) -> Document<'_> {
    let sources: Vec<String> = plan.items.iter().map(|item| item.source.address.to_string()).collect();
    let destinations = plan.items.iter().take(1).flat_map(|item| &item.destinations);
    let records = records(&plan.items);
    Document {
        source: sources.first().cloned().unwrap_or_default(),
        sources: if sources.len() > 1 { sources } else { Vec::new() },
        destinations: destinations
            .map(|to| Destination { address: to.address.to_string(), strategy: to.strategy })
            .collect(),
        memory: Memory {
            total_bytes: plan.memory.total.0,
            parts: plan.memory.parts.iter().map(|p| MemoryPart { name: &p.name, bytes: p.bytes.0 }).collect(),
            limit_bytes: plan.memory.limit.0,
            budget_bytes: plan.memory.budget.0,
            jobs: Some(plan.memory.jobs).filter(|jobs| *jobs > 1),
            verdict: plan.memory.fit,
        },
        disk: Disk { ledger_bytes: records.ledger.0, journal_bytes: records.journal.0, parts_bytes: records.parts.0 },
        cost: Cost {
            total_usd: usd(plan.cost.once),
            monthly_usd: usd(plan.cost.monthly),
            parts: plan
                .cost
                .parts
                .iter()
                .map(|part| CostPart {
                    name: &part.name,
                    quantity: part.quantity,
                    unit: &part.unit,
                    usd: usd(part.usd),
                    label: part.usd.sure,
                    quantity_label: part.counted,
                    monthly: part.monthly,
                    assumes: part.assumes.as_deref(),
                })
                .collect(),
            prices_as_of: &plan.cost.prices_as_of,
            runs_in: &plan.cost.runs_in,
        },
        time: Time {
            low_seconds: plan.time.low_seconds,
            high_seconds: plan.time.high_seconds,
            bound_by: &plan.time.bound_by,
            beside: &plan.time.beside,
            jobs: Some(plan.time.jobs).filter(|jobs| *jobs > 1),
            each: &plan.time.each,
        },
        choices: &plan.choices,
        quotas: &plan.facts.quotas,
        alternatives: plan
            .alternatives
            .iter()
            .map(|other| Other {
                name: &other.name,
                once_usd: usd(other.once),
                monthly_usd: usd(other.monthly),
                time: &other.time,
                keeps: &other.keeps,
                chosen: other.chosen,
                remark: &other.remark,
                unavailable: other.unavailable.as_deref(),
            })
            .collect(),
        findings: plan
            .findings
            .iter()
            .map(|found| Found { level: found.level, text: &found.text, todo: found.todo.as_deref() })
            .collect(),
    }
}

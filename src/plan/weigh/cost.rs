//! What it costs, by part and by the route through the machine that floe runs on.
//!
//! The meter of a running job has no prices of its own: it takes the unit price of these very lines, by their
//! [`Charge`], times what happened.

use std::collections::BTreeMap;

use super::{copies, s3};
use crate::ids::Region;
use crate::plan::machine::RunsIn;
use crate::plan::model::{
    Charge, Choices, CostEstimate, CostPart, DestinationKind, DestinationPlan, ItemPlan, Options, Strategy, Verify,
};
use crate::plan::prices::{Api, Prices, S3Price};
use crate::units::{Quantity, Sure, Usd, counted, grouped};

/// Blocks that EBS reads or writes under one answer of KMS, as far as a bill shows it: its data keys are cached. Nobody
/// publishes the figure, so that the line is an estimate whatever the price is.
const BLOCKS_A_KEY: f64 = 5_000.0;
/// Days of a month, as storage is billed.
const MONTH: f64 = 30.0;

/// Name, unit and meter of a line.
pub(super) struct Line {
    name: String,
    unit: &'static str,
    charge: Charge,
    monthly: bool,
    to: Option<usize>,
    assumes: Option<String>,
}

impl Line {
    /// Of what is paid once, for the source.
    pub(super) const fn once(name: String, unit: &'static str, charge: Charge) -> Self {
        Self { name, unit, charge, monthly: false, to: None, assumes: None }
    }
    /// Of what comes back every month.
    pub(super) const fn monthly(name: String, unit: &'static str) -> Self {
        Self { name, unit, charge: Charge::Fixed, monthly: true, to: None, assumes: None }
    }
    /// What is taken for granted, because nobody publishes it.
    pub(super) fn assumes(mut self, what: impl Into<String>) -> Self {
        self.assumes = Some(what.into());
        self
    }
    /// For that destination.
    pub(super) const fn to(mut self, at: usize) -> Self {
        self.to = Some(at);
        self
    }
}

/// Collects the lines of a bill.
pub(super) struct Bill<'a> {
    pub(super) prices: &'a Prices,
    parts: Vec<CostPart>,
    item: usize,
    /// GiB that went to the internet so far, by region: its price falls with the amount.
    egress: BTreeMap<Region, f64>,
    committed: Quantity<Usd>,
}

impl Bill<'_> {
    /// So many of that at this price.
    pub(super) fn add(&mut self, line: Line, quantity: Quantity<f64>, price: Quantity<Usd>) {
        let usd = Quantity { value: Usd(price.value.0 * quantity.value), sure: price.sure.and(quantity.sure) };
        self.total(line, quantity, usd);
    }

    /// So many of that for this sum.
    fn total(&mut self, line: Line, quantity: Quantity<f64>, usd: Quantity<Usd>) {
        self.parts.push(CostPart {
            name: line.name,
            quantity: quantity.value,
            counted: quantity.sure,
            unit: line.unit.to_owned(),
            usd,
            monthly: line.monthly,
            destination: line.to,
            item: self.item,
            charge: line.charge,
            assumes: line.assumes,
        });
    }

    /// Bytes on one leg of the route; `None` is outside of AWS. Within a region to its own endpoint, and into AWS,
    /// nothing is charged.
    pub(super) fn transfer(
        &mut self,
        (from, to): (Option<&Region>, Option<&Region>),
        gib: Quantity<f64>,
        charge: Charge,
        destination: Option<usize>,
    ) {
        let line = |name| Line { to: destination, ..Line::once(name, "GiB", charge) };
        match (from, to) {
            (Some(from), Some(to)) if from != to => {
                let price = self.prices.between(from, to);
                self.add(line(format!("transfer {from} → {to}")), gib, price);
            }
            (Some(from), None) => {
                let before = self.egress.entry(from.clone()).or_default();
                let usd = self.prices.egress(from, *before, gib.value);
                *before += gib.value;
                let usd = Quantity { value: usd.value, sure: usd.sure.and(gib.sure) };
                self.total(line(format!("transfer {from} → internet")), gib, usd);
            }
            _ => {}
        }
    }

    /// What some storage classes ask for each GiB that is read.
    pub(super) fn retrieval(
        &mut self,
        class: Option<&str>,
        region: &Region,
        gib: Quantity<f64>,
        charge: Charge,
        to: Option<usize>,
    ) {
        let Some(class) = class else { return };
        let price = self.prices.s3(class, region).retrieval;
        if price.value.0 > 0.0 || price.known().is_none() {
            let line = Line { to, ..Line::once(format!("retrieval from {class} in {region}"), "GiB", charge) };
            self.add(line, gib, price);
        }
    }

    /// A month of storage, and what the class wants paid at least.
    pub(super) fn stored(
        &mut self,
        (price, class): (&S3Price, &str),
        region: &Region,
        gib: Quantity<f64>,
        objects: f64,
        at: usize,
    ) {
        // Small objects are billed as larger ones in some classes.
        let least = objects * f64::from(price.min_kib) / (1024.0 * 1024.0);
        let billed = Quantity { value: gib.value.max(least), sure: gib.sure };
        let name = if class == "STANDARD" { String::new() } else { format!(" {class}") };
        self.add(Line::monthly(format!("S3{name} storage in {region}"), "GiB-month").to(at), billed, price.month);
        self.commit(billed, price.month, price.min_days);
    }

    fn commit(&mut self, gib: Quantity<f64>, month: Quantity<Usd>, days: u32) {
        if days > 0 {
            self.committed.value += Usd(month.value.0 * gib.value * f64::from(days) / MONTH);
            self.committed.sure = self.committed.sure.and(month.sure).and(gib.sure);
        }
    }

    /// KMS, where what EBS reads or writes is encrypted.
    fn keys(&mut self, verb: &str, region: &Region, blocks: Quantity<f64>, to: Option<usize>) {
        let asked = Quantity { value: (blocks.value / BLOCKS_A_KEY).ceil() + 1.0, sure: Sure::Estimate };
        let line = Line { to, ..Line::once(format!("KMS to {verb} in {region}"), "requests", Charge::Fixed) };
        let line = line.assumes(format!(
            "one KMS request for {} blocks, because EBS keeps data keys; AWS publishes no figure, and at one for each \
             block it would be {}",
            grouped(BLOCKS_A_KEY as u64),
            counted(blocks.value as u64, "request")
        ));
        let price = self.prices.kms_request();
        self.add(line, asked, price);
    }
}

/// What it costs.
#[must_use]
pub fn cost(
    items: &[ItemPlan],
    options: &Options,
    choices: &Choices,
    runs_in: &RunsIn,
    prices: &Prices,
) -> CostEstimate {
    let nothing = Quantity::exact(Usd(0.0));
    let mut bill = Bill { prices, parts: Vec::new(), item: 0, egress: BTreeMap::new(), committed: nothing };
    for (nth, item) in items.iter().enumerate() {
        bill.item = nth;
        copies::cost(&mut bill, item, options, runs_in.region());
        item_cost(&mut bill, item, options, choices, runs_in);
    }
    let sum = |monthly: bool| {
        bill.parts.iter().filter(|part| part.monthly == monthly).fold(nothing, |sum: Quantity<Usd>, part| Quantity {
            value: sum.value + part.usd.value,
            sure: sum.sure.and(part.usd.sure),
        })
    };
    CostEstimate {
        once: sum(false),
        monthly: sum(true),
        prices_as_of: prices.date(),
        runs_in: runs_in.text(),
        committed: bill.committed,
        parts: bill.parts,
    }
}

/// What an item is made of, as its bill counts it.
#[derive(Clone, Copy)]
pub(super) struct Measure {
    /// Blocks that are read.
    pub blocks: Quantity<f64>,
    /// Pages that list them.
    pub pages: Quantity<f64>,
    /// Their bytes.
    pub gib: Quantity<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "counts of blocks are far below 2^52")]
fn measure(item: &ItemPlan, choices: &Choices) -> Measure {
    let blocks = item.source.blocks;
    let of = |value: f64| Quantity { value, sure: blocks.sure };
    Measure {
        blocks: of(blocks.value.0 as f64),
        pages: Quantity {
            value: choices.lists_at_most(item.source.volume.blocks(), blocks.value) as f64,
            sure: blocks.sure.and(Sure::AtMost),
        },
        gib: of(blocks.value.bytes().as_gib()),
    }
}

fn item_cost(bill: &mut Bill<'_>, item: &ItemPlan, options: &Options, choices: &Choices, runs_in: &RunsIn) {
    if !item.is_read() && item.is_copied() {
        return;
    }
    let size = measure(item, choices);
    let here = runs_in.region();
    source(bill, item, &size, here);
    for (at, to) in item.destinations.iter().enumerate() {
        match (&to.kind, &to.region) {
            (DestinationKind::Archive { keep, .. }, Some(region)) => {
                s3::archive(bill, item, at, keep, region, choices, options, &size, here);
            }
            (DestinationKind::Object { layout, keep, .. }, Some(region)) => {
                s3::object(bill, item, at, (layout, keep), region, options, &size, here);
            }
            (DestinationKind::Snapshot { .. } | DestinationKind::Image { .. }, Some(region)) => {
                snapshot(bill, item, (at, to, region), options, &size, here);
            }
            _ => {}
        }
    }
}

/// What reading the source costs.
fn source(bill: &mut Bill<'_>, item: &ItemPlan, size: &Measure, here: Option<&Region>) {
    let Some(region) = &item.source.region else { return };
    if item.source.kind.is_snapshot() && item.is_read() {
        let (get, list) = (bill.prices.request(Api::Get, region), bill.prices.request(Api::List, region));
        bill.add(Line::once(format!("Get in {region}"), "requests", Charge::Get), size.blocks, get);
        bill.add(Line::once(format!("List in {region}"), "requests", Charge::List), size.pages, list);
        if item.source.kind.is_encrypted() {
            bill.keys("read", region, size.blocks, None);
        }
        bill.transfer((Some(region), here), size.gib, Charge::Read, None);
    }
    s3::source(bill, item, size, here);
}

/// What a new snapshot costs, whoever fills it.
#[expect(clippy::cast_precision_loss, reason = "counts of blocks are far below 2^52")]
fn snapshot(
    bill: &mut Bill<'_>,
    item: &ItemPlan,
    (at, to, region): (usize, &DestinationPlan, &Region),
    options: &Options,
    size: &Measure,
    here: Option<&Region>,
) {
    let (on, encrypted) = match &to.kind {
        DestinationKind::Snapshot { on, encrypted, .. } => (on.as_ref(), *encrypted),
        _ => (None, Some(false)),
    };
    if to.strategy == Strategy::Native {
        bill.transfer((item.source.region.as_ref(), Some(region)), size.gib, Charge::Service, Some(at));
        if let Some(within) = options.complete_within {
            let price = Quantity { value: within.surcharge(), sure: Sure::Estimate };
            let line = Line::once(format!("time-based copy to {region}, {within}"), "GiB", Charge::Service).to(at);
            bill.add(line, size.gib, price);
        }
    } else {
        // A whole source writes zeros where only the parent has a block.
        let covered = on.filter(|_| item.source.kind.base().is_none());
        let puts = covered.map_or(size.blocks, |parent| {
            let source = &item.source;
            let most = (source.blocks.value + parent.blocks).min(source.volume.max(parent.volume).blocks());
            Quantity { value: most.0 as f64, sure: source.blocks.sure.and(Sure::AtMost) }
        });
        direct(bill, (at, region), options, (puts, size), here, on.is_some());
        // Where only the start tells, it is the most that it can be.
        if encrypted != Some(false) {
            let sure = if encrypted.is_none() { puts.sure.and(Sure::AtMost) } else { puts.sure };
            bill.keys("write", region, Quantity { sure, ..puts }, Some(at));
        }
    }
    // Incremental storage cannot be known before: at most the whole.
    let month = bill.prices.snapshot_month(region);
    let stored = Quantity { value: size.gib.value, sure: size.gib.sure.and(Sure::AtMost) };
    bill.add(Line::monthly(format!("snapshot storage in {region}"), "GiB-month").to(at), stored, month);
}

/// What it costs to put the blocks of one destination, and to look at them again.
fn direct(
    bill: &mut Bill<'_>,
    (at, region): (usize, &Region),
    options: &Options,
    (puts, size): (Quantity<f64>, &Measure),
    here: Option<&Region>,
    on_parent: bool,
) {
    let line = |name: &str, charge| Line::once(format!("{name} in {region}"), "requests", charge).to(at);
    let put = bill.prices.request(Api::Put, region);
    bill.add(line("Put", Charge::Put), puts, put);
    bill.transfer((here, Some(region)), size.gib, Charge::Written, Some(at));
    if options.verify != Verify::None {
        let list = bill.prices.request(Api::List, region);
        // On a parent: the result's list, its parent's, and what differs between them.
        let times = if on_parent { 3.0 } else { 1.0 };
        let lists = Quantity { value: times * size.pages.value, sure: size.pages.sure };
        bill.add(line("List back", Charge::List), lists, list);
    }
    if options.verify == Verify::Full {
        let get = bill.prices.request(Api::Get, region);
        bill.add(line("Get back", Charge::Get), puts, get);
        bill.transfer((Some(region), here), size.gib, Charge::Back, Some(at));
    }
}

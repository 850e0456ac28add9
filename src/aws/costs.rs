//! Cost Explorer: what snapshots were billed, by region. One signed JSON request, which AWS charges a cent for.
//!
//! It answers in one region for the whole account, knows nothing of the last day, and is asked for the usage types of
//! snapshots only. Whoever calls says the price first; nothing here asks twice but for a throttle.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::context::Context;
use super::pricing::usage_of;
use super::wire;
use crate::error::{Class, Error, Result};
use crate::ids::Region;
use crate::units::Usd;

/// Dollars of one request (Cost Explorer's price list, November 2026).
pub const REQUEST: Usd = Usd(0.01);
/// Attempts while AWS throttles: those are not charged.
const ATTEMPTS: u32 = 3;
/// From request to last byte: the service adds up a month of an account.
const WITHIN: Duration = Duration::from_secs(30);
/// Some hundred groups of 200 bytes.
const ANSWER_MAX: usize = 4 * 1024 * 1024;
/// Pages of one question, each charged: forty regions with three usage types each come in one.
const PAGES_MAX: u32 = 3;
/// What Cost Explorer calls the usage of snapshots, all tiers.
const GROUP: &str = "EC2: EBS - Snapshots";

/// What snapshots were billed in some days.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Billed {
    /// The first day.
    pub from: String,
    /// The day after the last one.
    pub until: String,
    /// Dollars of the standard tier, by region, before discounts that are no line of their own.
    pub regions: BTreeMap<Region, Usd>,
    /// Whether AWS may still change them.
    pub estimated: bool,
    /// What it cost to ask.
    pub asked: Usd,
}

impl Billed {
    /// Of all regions.
    #[must_use]
    pub fn total(&self) -> Usd {
        self.regions.values().copied().sum()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Page {
    results_by_time: Vec<Period>,
    next_page_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Period {
    groups: Vec<Group>,
    estimated: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Group {
    keys: Vec<String>,
    metrics: BTreeMap<String, Metric>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Metric {
    amount: String,
    unit: String,
}

/// Where a partition's Cost Explorer is.
fn home(region: &Region) -> Option<(&'static str, &'static str)> {
    match region.partition() {
        "aws" => Some(("us-east-1", "https://ce.us-east-1.amazonaws.com")),
        "aws-cn" => Some(("cn-northwest-1", "https://ce.cn-northwest-1.amazonaws.com.cn")),
        _ => None,
    }
}

fn what() -> String {
    "could not ask Cost Explorer what snapshots were billed".to_owned()
}

/// The thirty days that ended before `today`: of today nothing is known yet.
///
/// # Errors
/// As classified: AccessDenied without `ce:GetCostAndUsage`, DataUnavailable where there is no bill yet.
pub(super) async fn billed(context: &Context, today: Date) -> Result<Billed> {
    let from = today.saturating_sub(jiff::Span::new().days(30));
    let mut all = Billed { from: from.to_string(), until: today.to_string(), ..Billed::default() };
    let mut token = None;
    for _ in 0..PAGES_MAX {
        let page = page(context, &all, token.as_deref()).await?;
        all.asked += REQUEST;
        for period in page.results_by_time {
            all.estimated |= period.estimated;
            period.groups.into_iter().filter_map(standard).for_each(|(region, usd)| {
                let sum = all.regions.entry(region).or_insert(Usd(0.0));
                *sum += usd;
            });
        }
        token = page.next_page_token.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(all);
        }
    }
    Err(Error::failed(format!("{}: it did not end after {PAGES_MAX} pages", what())))
}

/// A group of the standard tier: archived snapshots are something else.
fn standard(group: Group) -> Option<(Region, Usd)> {
    let [region, usage] = group.keys.as_slice() else { return None };
    let metric = group.metrics.get("UnblendedCost").filter(|metric| metric.unit == "USD")?;
    let usd = metric.amount.parse().ok()?;
    (usage_of(usage) == "EBS:SnapshotUsage").then(|| Some((region.parse().ok()?, Usd(usd)))).flatten()
}

async fn page(context: &Context, asked: &Billed, token: Option<&str>) -> Result<Page> {
    let mut pause = Duration::from_millis(500);
    for attempt in 1.. {
        let error = match tokio::time::timeout(WITHIN, ask(context, asked, token)).await {
            Ok(Ok(page)) => return Ok(page),
            Ok(Err(error)) => error,
            Err(_) => return Err(Error::transient(format!("{}: no answer within {} s", what(), WITHIN.as_secs()))),
        };
        if !matches!(error.class, Class::Throttled(_) | Class::ClockSkew) || attempt >= ATTEMPTS {
            return Err(error);
        }
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        pause *= 2;
    }
    Err(Error::failed(what()))
}

async fn ask(context: &Context, asked: &Billed, token: Option<&str>) -> Result<Page> {
    let Some((home, address)) = home(context.region()) else {
        let partition = context.region().partition();
        return Err(Error::failed(format!("{}: there is none in partition {partition}", what())));
    };
    let mut body = json!({
        "TimePeriod": { "Start": asked.from, "End": asked.until },
        "Granularity": "MONTHLY",
        "Metrics": ["UnblendedCost"],
        "Filter": { "Dimensions": { "Key": "USAGE_TYPE_GROUP", "Values": [GROUP] } },
        "GroupBy": [{ "Type": "DIMENSION", "Key": "REGION" }, { "Type": "DIMENSION", "Key": "USAGE_TYPE" }],
    });
    if let Some(token) = token {
        body["NextPageToken"] = token.into();
    }
    let endpoint = context.endpoint_of("Cost Explorer").unwrap_or_else(|| address.to_owned());
    let call = wire::Json {
        operation: "ce:GetCostAndUsage",
        target: "AWSInsightsIndexService.GetCostAndUsage",
        service: "ce",
        region: home.parse().map_err(Error::failed)?,
        endpoint,
        body: body.to_string(),
        most: ANSWER_MAX,
    };
    wire::ask(context, call, what).await.map_err(mendable)
}

fn mendable(error: Error) -> Error {
    if error.has_code("DataUnavailableException") {
        return error.todo("Cost Explorer has no figures of these days yet: a day after it is enabled it has");
    }
    if error.has_code("AccessDeniedException") {
        return error
            .todo("allow ce:GetCostAndUsage (`floe iam prices`), and enable Cost Explorer in the billing console");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(keys: [&str; 2], amount: &str, unit: &str) -> Group {
        let metric = Metric { amount: amount.to_owned(), unit: unit.to_owned() };
        Group { keys: keys.map(str::to_owned).to_vec(), metrics: [("UnblendedCost".to_owned(), metric)].into() }
    }

    #[test]
    fn only_the_standard_tier_of_a_region_counts() {
        let of = |usage| standard(group(["eu-west-1", usage], "12.5", "USD")).map(|(_, usd)| usd);
        assert_eq!(of("EU-EBS:SnapshotUsage"), Some(Usd(12.5)));
        assert_eq!(of("EBS:SnapshotUsage"), Some(Usd(12.5)));
        assert_eq!(of("EU-EBS:SnapshotArchiveStorage"), None);
        assert_eq!(of("EU-EBS:SnapshotUsage.outposts"), None);
        assert!(standard(group(["NoRegion", "EBS:SnapshotUsage"], "1", "USD")).is_none());
        assert!(standard(group(["eu-west-1", "EBS:SnapshotUsage"], "1", "CNY")).is_none());
    }

    #[test]
    fn each_partition_has_its_own_or_none() {
        let of = |region: &str| home(&region.parse().expect("a region")).map(|(home, _)| home);
        assert_eq!(of("ap-southeast-2"), Some("us-east-1"));
        assert_eq!(of("cn-north-1"), Some("cn-northwest-1"));
        assert_eq!(of("us-gov-west-1"), None);
    }
}

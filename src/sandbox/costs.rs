//! Cost Explorer (JSON 1.1), GetCostAndUsage only, for the usage of snapshots: a bill that follows from what the account
//! holds, in the shape in which AWS tells it, with AWS's refusals.
//!
//! What a snapshot adds to the bill is made up (all blocks of the newest of a volume, a tenth of those of the others), so
//! that a client which shows sums of full sizes is found out.

use std::collections::BTreeMap;

use http::StatusCode;
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};

use super::model::{RegionState, Tier};
use super::pricing::billing_code;
use super::{Caller, Sandbox, wire};

const HOME: &str = "us-east-1";
/// The group of usage types that it keeps books of.
const GROUP: &str = "EC2: EBS - Snapshots";
/// Days for which it has figures.
const KNOWN_DAYS: i64 = 400;
/// A GiB-month of each tier.
const MONTH: [(&str, f64); 2] = [("EBS:SnapshotUsage", 0.05), ("EBS:SnapshotArchiveStorage", 0.0125)];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Request {
    time_period: Option<Period>,
    granularity: String,
    metrics: Vec<String>,
    group_by: Vec<By>,
    filter: Option<Value>,
    next_page_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Period {
    start: String,
    end: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct By {
    #[serde(rename = "Type")]
    kind: String,
    key: String,
}

/// A refusal: always the caller's fault.
struct Refusal(&'static str, String);

/// Answers one request: `target` is the operation.
pub(super) fn handle(sandbox: &Sandbox, caller: &Caller, target: &str, body: &[u8]) -> (StatusCode, String) {
    match answer(sandbox, caller, target, body) {
        Ok(answer) => (StatusCode::OK, answer.to_string()),
        Err(Refusal(code, message)) => wire::json_error(StatusCode::BAD_REQUEST, code, &message),
    }
}

fn answer(sandbox: &Sandbox, caller: &Caller, target: &str, body: &[u8]) -> Result<Value, Refusal> {
    if caller.region.as_str() != HOME {
        let message = format!("There is no endpoint of Cost Explorer in {}.", caller.region);
        return Err(Refusal("UnrecognizedClientException", message));
    }
    if target != "GetCostAndUsage" {
        return Err(Refusal("UnknownOperationException", format!("Unknown operation {target}")));
    }
    let request: Request =
        serde_json::from_slice(body).map_err(|cause| Refusal("SerializationException", cause.to_string()))?;
    let (start, end) = period(sandbox, &request)?;
    asked_well(&request)?;
    let days = f64::from((end - start).get_days());
    let groups: Vec<Value> = books(sandbox, caller)
        .into_iter()
        .map(|((region, usage), month)| {
            let amount = format!("{:.10}", month * days / 30.0);
            json!({ "Keys": [region, usage], "Metrics": { "UnblendedCost": { "Amount": amount, "Unit": "USD" } } })
        })
        .collect();
    let period = json!({ "Start": start.to_string(), "End": end.to_string() });
    Ok(json!({
        "GroupDefinitions": [{ "Type": "DIMENSION", "Key": "REGION" }, { "Type": "DIMENSION", "Key": "USAGE_TYPE" }],
        "ResultsByTime": [{ "TimePeriod": period, "Total": {}, "Groups": groups, "Estimated": true }],
        "DimensionValueAttributes": [],
    }))
}

fn period(sandbox: &Sandbox, request: &Request) -> Result<(Date, Date), Refusal> {
    let invalid = |message: &str| Refusal("ValidationException", message.to_owned());
    let period = request.time_period.as_ref().ok_or_else(|| invalid("TimePeriod is required"))?;
    let day = |text: &str| text.parse::<Date>().map_err(|_| invalid("Dates are written as YYYY-MM-DD"));
    let (start, end) = (day(&period.start)?, day(&period.end)?);
    if start >= end {
        return Err(invalid("Start date (and hour) should be before end date (and hour)"));
    }
    let today = sandbox.now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let oldest = today.saturating_sub(jiff::Span::new().days(KNOWN_DAYS));
    if start > today {
        return Err(invalid("Start date must be no later than the current date"));
    }
    if start < oldest {
        let message = format!("Data is not available for the requested time period, which begins before {oldest}.");
        return Err(Refusal("DataUnavailableException", message));
    }
    Ok((start, end))
}

fn asked_well(request: &Request) -> Result<(), Refusal> {
    let invalid = |message: String| Refusal("ValidationException", message);
    if !matches!(request.granularity.as_str(), "DAILY" | "MONTHLY" | "HOURLY") {
        return Err(invalid(format!("Granularity `{}` is not one of DAILY, MONTHLY, HOURLY", request.granularity)));
    }
    if request.metrics != ["UnblendedCost"] {
        return Err(invalid("At least one metric that is known here is required: UnblendedCost".to_owned()));
    }
    if request.group_by.len() > 2 {
        return Err(invalid("GroupBy has at most two keys".to_owned()));
    }
    let keys: Vec<(&str, &str)> = request.group_by.iter().map(|by| (by.kind.as_str(), by.key.as_str())).collect();
    if keys != [("DIMENSION", "REGION"), ("DIMENSION", "USAGE_TYPE")] {
        return Err(invalid("here groups are REGION and USAGE_TYPE, in that order".to_owned()));
    }
    let dimension = request.filter.as_ref().map(|filter| &filter["Dimensions"]);
    let of_snapshots = |of: &Value| of["Key"] == "USAGE_TYPE_GROUP" && of["Values"] == json!([GROUP]);
    if !dimension.is_some_and(of_snapshots) {
        return Err(invalid(format!("here the books are of USAGE_TYPE_GROUP `{GROUP}` alone")));
    }
    match &request.next_page_token {
        Some(_) => Err(Refusal("InvalidNextTokenException", "The pagination token is invalid.".to_owned())),
        None => Ok(()),
    }
}

/// Dollars a month, by region and usage type.
fn books(sandbox: &Sandbox, caller: &Caller) -> BTreeMap<(String, String), f64> {
    let model = sandbox.model();
    let mut all = BTreeMap::new();
    let Some(account) = model.accounts.get(&caller.account) else { return all };
    for (name, region) in &account.regions {
        for ((usage, usd), gib) in MONTH.iter().zip(stored(region)) {
            if gib > 0.0 {
                all.insert((name.to_string(), format!("{}{usage}", billing_code(name.as_str()))), gib * usd);
            }
        }
    }
    all
}

/// GiB of the standard tier and of the archive tier.
fn stored(region: &RegionState) -> [f64; 2] {
    let mut newest = BTreeMap::new();
    for row in region.snapshots.values() {
        let latest = newest.entry(&row.volume_id).or_insert(row.started);
        *latest = row.started.max(*latest);
    }
    region.snapshots.values().fold([0.0, 0.0], |[standard, archive], row| {
        let gib = row.full_size().as_gib();
        match row.tier {
            Tier::Archive => [standard, archive + gib],
            _ if newest.get(&row.volume_id) == Some(&row.started) => [standard + gib, archive],
            _ => [standard + gib / 10.0, archive],
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Options, Sandbox};

    fn ask(region: &str, target: &str, change: impl Fn(&mut Value)) -> (u16, Value) {
        let sandbox = Sandbox::new(&Options::default()).unwrap();
        let caller = Caller::of("123456789012", region);
        let today = sandbox.now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let from = today.saturating_sub(jiff::Span::new().days(30));
        let mut body = json!({
            "TimePeriod": { "Start": from.to_string(), "End": today.to_string() },
            "Granularity": "MONTHLY",
            "Metrics": ["UnblendedCost"],
            "Filter": { "Dimensions": { "Key": "USAGE_TYPE_GROUP", "Values": [GROUP] } },
            "GroupBy": [{ "Type": "DIMENSION", "Key": "REGION" }, { "Type": "DIMENSION", "Key": "USAGE_TYPE" }],
        });
        change(&mut body);
        let (status, text) = handle(&sandbox, &caller, target, body.to_string().as_bytes());
        (status.as_u16(), serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn a_bill_names_regions_and_usage_types_with_their_codes() {
        let (status, bill) = ask(HOME, "GetCostAndUsage", |_| {});
        assert_eq!(status, 200, "{bill}");
        let groups = bill["ResultsByTime"][0]["Groups"].as_array().unwrap();
        let of = |region: &str, usage: &str| {
            let group = groups.iter().find(|group| group["Keys"] == json!([region, usage]))?;
            group["Metrics"]["UnblendedCost"]["Amount"].as_str()?.parse::<f64>().ok()
        };
        assert!(of("us-east-1", "EBS:SnapshotUsage").unwrap() > 1.0, "{bill}");
        assert!(of("eu-west-1", "EU-EBS:SnapshotUsage").unwrap() > 0.0, "{bill}");
    }

    #[test]
    fn it_refuses_what_aws_refuses() {
        let code = |change: fn(&mut Value)| {
            ask(HOME, "GetCostAndUsage", change).1["__type"].as_str().unwrap_or_default().to_owned()
        };
        assert_eq!(code(|body| body["TimePeriod"]["Start"] = "2019-01-01".into()), "DataUnavailableException");
        assert_eq!(code(|body| body["TimePeriod"]["End"] = "2019-01-01".into()), "ValidationException");
        assert_eq!(code(|body| body["Metrics"] = json!([])), "ValidationException");
        assert_eq!(code(|body| body["Granularity"] = "YEARLY".into()), "ValidationException");
        assert_eq!(code(|body| body["NextPageToken"] = "x".into()), "InvalidNextTokenException");
        let of = |region: &str, target: &str| ask(region, target, |_| {}).1["__type"].as_str().unwrap().to_owned();
        assert_eq!(of("eu-west-1", "GetCostAndUsage"), "UnrecognizedClientException");
        assert_eq!(of(HOME, "GetDimensionValues"), "UnknownOperationException");
    }
}

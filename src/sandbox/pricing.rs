//! The Pricing API (JSON 1.1), GetProducts only: the price list as AWS shapes it, from a small table of its own.
//!
//! It answers in three regions and nowhere else, takes filters of AWS's types, pages by a token that it gave itself, and
//! refuses what AWS refuses. Its prices are its own (some differ from what floe ships), so that a client which shows
//! the bundled ones is found out.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Caller, wire};

/// Where it answers.
const HOMES: [&str; 3] = ["us-east-1", "eu-central-1", "ap-south-1"];
const SERVICES: [&str; 3] = ["AmazonEC2", "AmazonS3", "AWSDataTransfer"];
/// Regions of its list with their billing codes.
const REGIONS: [(&str, &str); 6] = [
    ("us-east-1", ""),
    ("us-west-2", "USW2-"),
    ("eu-west-1", "EU-"),
    ("eu-central-1", "EUC1-"),
    ("ap-southeast-2", "APS2-"),
    ("sa-east-1", "SAE1-"),
];
/// Usage types: service, product family, name, unit, dollars in the first of [`REGIONS`].
const LIST: [(&str, &str, &str, &str, f64); 21] = [
    ("AmazonEC2", "Storage Snapshot", "EBS:SnapshotUsage", "GB-Mo", 0.05),
    ("AmazonEC2", "Storage Snapshot", "EBS:SnapshotUsage.outposts", "GB-Mo", 0.027),
    ("AmazonEC2", "Storage Snapshot", "EBS:SnapshotUsageUnderBilling", "GB-Mo", 0.0),
    ("AmazonEC2", "Storage Snapshot", "EBS:SnapshotArchiveStorage", "GB-Mo", 0.0125),
    ("AmazonEC2", "Storage Snapshot", "EBS:SnapshotArchiveRetrieval", "GB", 0.03),
    ("AmazonEC2", "EBS direct API Requests", "EBS:directAPI.snapshot.List", "Requests", 0.000_000_6),
    ("AmazonEC2", "EBS direct API Requests", "EBS:directAPI.snapshot.Get", "SnapshotAPIUnits", 0.000_003),
    ("AmazonEC2", "EBS direct API Requests", "EBS:directAPI.snapshot.Put", "SnapshotAPIUnits", 0.000_006),
    ("AmazonEC2", "Storage", "EBS:VolumeUsage.gp3", "GB-Mo", 0.08),
    ("AmazonEC2", "Storage", "EBS:VolumeUsage.gp2", "GB-Mo", 0.10),
    ("AmazonEC2", "Storage", "EBS:VolumeUsage.piops", "GB-Mo", 0.125),
    ("AmazonEC2", "Storage", "EBS:VolumeUsage.st1", "GB-Mo", 0.045),
    ("AmazonEC2", "Storage", "EBS:VolumeUsage.sc1", "GB-Mo", 0.015),
    ("AmazonS3", "Storage", "TimedStorage-ByteHrs", "GB-Mo", 0.023),
    ("AmazonS3", "Storage", "TimedStorage-SIA-ByteHrs", "GB-Mo", 0.0125),
    ("AmazonS3", "Storage", "TimedStorage-GIR-ByteHrs", "GB-Mo", 0.004),
    ("AmazonS3", "API Request", "Requests-Tier1", "Requests", 0.000_005),
    ("AmazonS3", "API Request", "Requests-Tier2", "Requests", 0.000_000_4),
    ("AmazonS3", "API Request", "Requests-SIA-Tier1", "Requests", 0.000_01),
    ("AmazonS3", "API Request", "Requests-GIR-Tier1", "Requests", 0.000_02),
    ("AmazonS3", "API Request", "Retrieval-SIA", "GB", 0.01),
];
/// Regions are so much dearer, one after the other, as the real ones are.
const DEARER: f64 = 0.1;

/// What usage types of a region begin with.
pub(super) fn billing_code(region: &str) -> String {
    REGIONS.iter().find(|(name, _)| *name == region).map_or_else(
        || format!("{}-", region.split('-').map(|word| &word[..1]).collect::<String>().to_ascii_uppercase()),
        |(_, code)| (*code).to_owned(),
    )
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Request {
    service_code: String,
    filters: Vec<Filter>,
    format_version: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    #[serde(rename = "Type")]
    kind: String,
    field: String,
    value: String,
}

/// A refusal: always the caller's fault.
struct Refusal(&'static str, String);

/// One entry of the list.
struct Entry {
    service: &'static str,
    family: &'static str,
    attributes: BTreeMap<&'static str, String>,
    unit: &'static str,
    /// From, to, dollars.
    tiers: Vec<(String, String, f64)>,
}

/// Answers one request: `target` is the operation.
pub(super) fn handle(caller: &Caller, target: &str, body: &[u8]) -> (StatusCode, String) {
    match answer(caller, target, body) {
        Ok(answer) => (StatusCode::OK, answer.to_string()),
        Err(Refusal(code, message)) => wire::json_error(StatusCode::BAD_REQUEST, code, &message),
    }
}

fn answer(caller: &Caller, target: &str, body: &[u8]) -> Result<Value, Refusal> {
    let region = caller.region.as_str();
    if !HOMES.contains(&region) {
        // AWS has no such host; whoever sends it here all the same is told what the name would have said.
        return Err(Refusal("UnrecognizedClientException", format!("There is no endpoint of pricing in {region}.")));
    }
    if target != "GetProducts" {
        return Err(Refusal("UnknownOperationException", format!("Unknown operation {target}")));
    }
    let request: Request =
        serde_json::from_slice(body).map_err(|cause| Refusal("SerializationException", cause.to_string()))?;
    let invalid = |message: String| Refusal("InvalidParameterException", message);
    if !SERVICES.contains(&request.service_code.as_str()) {
        return Err(invalid(format!("Input Parameters: [ServiceCode] is invalid: {}", request.service_code)));
    }
    if request.filters.len() > 50 {
        return Err(invalid("Input Parameters: [Filters] has more than 50 entries".to_owned()));
    }
    if request.format_version.as_deref().is_some_and(|version| version != "aws_v1") {
        return Err(invalid("Input Parameters: [FormatVersion] is invalid".to_owned()));
    }
    let max = request.max_results.unwrap_or(100);
    let max = usize::try_from(max)
        .ok()
        .filter(|max| (1..=100).contains(max))
        .ok_or_else(|| invalid(format!("Input Parameters: [MaxResults] is 1 to 100, not {max}")))?;
    let types = ["TERM_MATCH", "EQUALS", "CONTAINS"];
    if let Some(filter) = request.filters.iter().find(|filter| !types.contains(&filter.kind.as_str())) {
        return Err(Refusal("ValidationException", format!("filter type {} is not known", filter.kind)));
    }
    let from = match request.next_token.as_deref() {
        None => 0,
        Some(token) => token
            .strip_prefix("page:")
            .and_then(|from| from.parse().ok())
            .ok_or_else(|| Refusal("InvalidNextTokenException", "The next token is invalid".to_owned()))?,
    };
    let all: Vec<Entry> = list().into_iter().filter(|entry| entry.passes(&request)).collect();
    let page: Vec<String> = all.iter().skip(from).take(max).map(|entry| entry.json().to_string()).collect();
    let mut answer = json!({ "FormatVersion": "aws_v1", "PriceList": page });
    if from + max < all.len() {
        answer["NextToken"] = format!("page:{}", from + max).into();
    }
    Ok(answer)
}

impl Entry {
    fn passes(&self, request: &Request) -> bool {
        self.service == request.service_code
            && request.filters.iter().all(|filter| {
                let value = match filter.field.as_str() {
                    "productFamily" => Some(self.family),
                    "ServiceCode" | "servicecode" => Some(self.service),
                    field => self.attributes.get(field).map(String::as_str),
                };
                value.is_some_and(|value| match filter.kind.as_str() {
                    "CONTAINS" => value.contains(&filter.value),
                    _ => value.eq_ignore_ascii_case(&filter.value),
                })
            })
    }

    fn json(&self) -> Value {
        let sku = format!("{:016X}", fingerprint(self.attributes.get("usagetype").map_or("", String::as_str)));
        let term = format!("{sku}.JRTCKXETXF");
        let dimensions: serde_json::Map<String, Value> = self
            .tiers
            .iter()
            .enumerate()
            .map(|(nth, (begin, end, usd))| {
                let code = format!("{term}.{nth:010}");
                let dimension = json!({
                    "unit": self.unit,
                    "beginRange": begin,
                    "endRange": end,
                    "description": format!("${usd} per {}", self.unit),
                    "appliesTo": [],
                    "rateCode": code,
                    "pricePerUnit": { "USD": format!("{usd:.10}") },
                });
                (code, dimension)
            })
            .collect();
        json!({
            "product": { "productFamily": self.family, "attributes": self.attributes, "sku": sku },
            "serviceCode": self.service,
            "terms": { "OnDemand": { &term: {
                "priceDimensions": dimensions,
                "sku": sku,
                "effectiveDate": "2026-11-01T00:00:00Z",
                "offerTermCode": "JRTCKXETXF",
                "termAttributes": {},
            } } },
            "version": "20261101000000",
            "publicationDate": "2026-11-01T00:00:00Z",
        })
    }
}

/// Any number that is the same for the same text.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The whole list.
fn list() -> Vec<Entry> {
    let whole = |usd: f64| vec![("0".to_owned(), "Inf".to_owned(), usd)];
    let mut all = Vec::new();
    for (nth, (region, code)) in (0u8..).zip(REGIONS) {
        let times = 1.0 + DEARER * f64::from(nth);
        for (service, family, name, unit, usd) in LIST {
            let attributes = [("usagetype", format!("{code}{name}")), ("regionCode", region.to_owned())].into();
            all.push(Entry { service, family, attributes, unit, tiers: whole(usd * times) });
        }
        for (to, other) in REGIONS.iter().filter(|(to, _)| *to != region) {
            let usage = format!("{code}{}AWS-Out-Bytes", if other.is_empty() { "USE1-" } else { other });
            let attributes = [
                ("usagetype", usage),
                ("transferType", "InterRegion Outbound".to_owned()),
                ("fromRegionCode", region.to_owned()),
                ("toRegionCode", (*to).to_owned()),
            ];
            let tiers = whole(0.02 * times);
            all.push(transfer(attributes.into(), tiers));
        }
        let attributes = [
            ("usagetype", format!("{code}DataTransfer-Out-Bytes")),
            ("transferType", "AWS Outbound".to_owned()),
            ("fromRegionCode", region.to_owned()),
        ];
        let tier = |begin: &str, end: &str, usd: f64| (begin.to_owned(), end.to_owned(), usd * times);
        let tiers = vec![
            tier("0", "10240", 0.09),
            tier("10240", "51200", 0.085),
            tier("51200", "153600", 0.07),
            tier("153600", "Inf", 0.05),
        ];
        all.push(transfer(attributes.into(), tiers));
    }
    all
}

fn transfer(attributes: BTreeMap<&'static str, String>, tiers: Vec<(String, String, f64)>) -> Entry {
    Entry { service: "AWSDataTransfer", family: "Data Transfer", attributes, unit: "GB", tiers }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(region: &str, target: &str, body: &Value) -> (u16, Value) {
        let caller = Caller::of("123456789012", region);
        let (status, text) = handle(&caller, target, body.to_string().as_bytes());
        (status.as_u16(), serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn filters_leave_what_they_name_and_pages_hold_all_of_it_once() {
        let mut seen = Vec::new();
        let mut token = Value::Null;
        loop {
            let mut body = json!({ "ServiceCode": "AmazonEC2", "MaxResults": 2, "Filters": [
                { "Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-west-1" },
                { "Type": "TERM_MATCH", "Field": "productFamily", "Value": "Storage Snapshot" },
            ]});
            if token.is_string() {
                body["NextToken"] = token.take();
            }
            let (status, page) = ask("us-east-1", "GetProducts", &body);
            assert_eq!(status, 200, "{page}");
            for text in page["PriceList"].as_array().unwrap() {
                let entry: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
                seen.push(entry["product"]["attributes"]["usagetype"].as_str().unwrap().to_owned());
            }
            token = page["NextToken"].clone();
            if token.is_null() {
                break;
            }
        }
        assert_eq!(seen.len(), 5);
        assert!(seen.iter().all(|usage| usage.starts_with("EU-")), "{seen:?}");
    }

    #[test]
    fn it_refuses_what_aws_refuses() {
        let code = |region: &str, target: &str, body: &Value| {
            ask(region, target, body).1["__type"].as_str().unwrap().to_owned()
        };
        let good = json!({ "ServiceCode": "AmazonS3" });
        assert_eq!(code("eu-west-1", "GetProducts", &good), "UnrecognizedClientException");
        assert_eq!(code("us-east-1", "DescribeServices", &good), "UnknownOperationException");
        assert_eq!(code("us-east-1", "GetProducts", &json!({ "ServiceCode": "AmazonX" })), "InvalidParameterException");
        let many = json!({ "ServiceCode": "AmazonS3", "MaxResults": 101 });
        assert_eq!(code("us-east-1", "GetProducts", &many), "InvalidParameterException");
        let token = json!({ "ServiceCode": "AmazonS3", "NextToken": "x" });
        assert_eq!(code("us-east-1", "GetProducts", &token), "InvalidNextTokenException");
    }
}

//! The Pricing API: what AWS lists for a service, by filters. One signed JSON request a page.
//!
//! It answers in three regions only, whatever region is asked about, and throttles hard: whoever calls keeps what it
//! said. The SDK has a crate for it with nothing that this page does not do, and it is not taken for one operation.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::context::Context;
use super::wire;
use crate::error::{Class, Error, Result};
use crate::ids::Region;

/// Attempts for one page: with doubling pauses, some ten seconds of throttling.
const ATTEMPTS: u32 = 6;
/// Pages of one question: 100 products each, and none that floe asks has more than a few hundred.
const PAGES_MAX: usize = 20;
/// One page, from request to last byte.
const PAGE_WITHIN: Duration = Duration::from_secs(20);
/// 100 products of 8 KiB are well below it.
const ANSWER_MAX: usize = 8 * 1024 * 1024;

/// One thing that has a price.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    /// `usagetype`, `toRegionCode`, `volumeApiName`, …
    pub attributes: BTreeMap<String, String>,
    /// Its prices on demand: up to so many units, dollars of each; the last one's end is infinite.
    pub tiers: Vec<(f64, f64)>,
}

impl Product {
    /// What is billed, without the region's billing code: `EBS:SnapshotUsage` for `EUW2-EBS:SnapshotUsage`.
    #[must_use]
    pub fn usage(&self) -> &str {
        usage_of(self.attributes.get("usagetype").map_or("", String::as_str))
    }

    /// The price of the first unit.
    #[must_use]
    pub fn price(&self) -> Option<f64> {
        self.tiers.iter().map(|(_, usd)| *usd).find(|usd| *usd > 0.0).or_else(|| self.tiers.first().map(|tier| tier.1))
    }
}

/// A usage type without the region's billing code.
pub(super) fn usage_of(usage: &str) -> &str {
    match usage.split_once('-') {
        Some((code, rest)) if is_billing_code(code) => rest,
        _ => usage,
    }
}

/// `USE1`, `EU`, `APN3`: two to four capitals and at most a figure.
fn is_billing_code(code: &str) -> bool {
    let capitals = code.bytes().take_while(u8::is_ascii_uppercase).count();
    let rest = &code[capitals..];
    (2..=4).contains(&capitals) && rest.len() <= 1 && rest.bytes().all(|byte| byte.is_ascii_digit())
}

/// The region that answers for another one.
fn home(region: &Region) -> Option<&'static str> {
    if region.partition() != "aws" {
        return None;
    }
    Some(match region.as_str().split('-').next().unwrap_or_default() {
        "eu" | "af" | "me" | "il" => "eu-central-1",
        "ap" => "ap-south-1",
        _ => "us-east-1",
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    price_list: Vec<String>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    product: ListedProduct,
    #[serde(default)]
    terms: Terms,
}

#[derive(Debug, Deserialize)]
struct ListedProduct {
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
struct Terms {
    #[serde(default, rename = "OnDemand")]
    on_demand: BTreeMap<String, Term>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Term {
    #[serde(default)]
    price_dimensions: BTreeMap<String, Dimension>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dimension {
    begin_range: Option<String>,
    end_range: Option<String>,
    #[serde(default)]
    price_per_unit: BTreeMap<String, String>,
}

/// Reads one entry of the list; an entry that is not priced in dollars is none.
fn product(text: &str) -> Option<Product> {
    let listed: Listed = serde_json::from_str(text).ok()?;
    let mut tiers: Vec<(f64, f64, f64)> = Vec::new();
    for dimension in listed.terms.on_demand.into_values().flat_map(|term| term.price_dimensions.into_values()) {
        let usd: f64 = dimension.price_per_unit.get("USD")?.parse().ok()?;
        let begin = dimension.begin_range.and_then(|text| text.parse().ok()).unwrap_or(0.0);
        let end = dimension.end_range.and_then(|text| text.parse::<f64>().ok()).filter(|end| end.is_finite());
        // JSON has no infinity.
        tiers.push((begin, end.unwrap_or(f64::MAX), usd));
    }
    tiers.sort_by(|a, b| a.0.total_cmp(&b.0));
    let tiers: Vec<(f64, f64)> = tiers.into_iter().map(|(_, end, usd)| (end, usd)).collect();
    (!tiers.is_empty()).then_some(Product { attributes: listed.product.attributes, tiers })
}

/// Everything of a service that these filters leave: `(field, value)`, all of them equal.
pub(super) async fn products(context: &Context, service: &str, filters: &[(&str, &str)]) -> Result<Vec<Product>> {
    let mut all = Vec::new();
    let (mut tokens, mut token) = (super::Tokens::default(), None::<String>);
    for _ in 0..PAGES_MAX {
        let page = page(context, service, filters, token.as_deref()).await?;
        all.extend(page.price_list.iter().filter_map(|text| product(text)));
        token = tokens.next(page.next_token)?;
        if token.is_none() {
            break;
        }
    }
    Ok(all)
}

async fn page(context: &Context, service: &str, filters: &[(&str, &str)], token: Option<&str>) -> Result<Page> {
    let mut pause = Duration::from_millis(300);
    for attempt in 1.. {
        let asked = tokio::time::timeout(PAGE_WITHIN, ask(context, service, filters, token)).await;
        let error = match asked {
            Ok(Ok(page)) => return Ok(page),
            Ok(Err(error)) => error,
            Err(_) => Error::transient(format!("the Pricing API did not answer within {} s", PAGE_WITHIN.as_secs())),
        };
        let again =
            matches!(error.class, Class::Transient | Class::Throttled(_) | Class::Congestion | Class::ClockSkew);
        if !again || attempt >= ATTEMPTS {
            return Err(error);
        }
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
    Err(Error::failed("no page of prices was asked for"))
}

async fn ask(context: &Context, service: &str, filters: &[(&str, &str)], token: Option<&str>) -> Result<Page> {
    let what = || format!("could not read the prices of {service}");
    let Some(home) = home(context.region()) else {
        let partition = context.region().partition();
        return Err(Error::failed(format!("{}: the Pricing API has no prices of partition {partition}", what())));
    };
    let filters: Vec<_> =
        filters.iter().map(|(field, value)| json!({ "Type": "TERM_MATCH", "Field": field, "Value": value })).collect();
    let mut body = json!({ "ServiceCode": service, "Filters": filters, "FormatVersion": "aws_v1", "MaxResults": 100 });
    if let Some(token) = token {
        body["NextToken"] = token.into();
    }
    let region: Region = home.parse().map_err(Error::failed)?;
    let endpoint =
        context.endpoint_of("Pricing").unwrap_or_else(|| format!("https://api.pricing.{home}.amazonaws.com"));
    let question = wire::Json {
        operation: "pricing:GetProducts",
        target: "AWSPriceListService.GetProducts",
        service: "pricing",
        region,
        endpoint,
        body: body.to_string(),
        most: ANSWER_MAX,
    };
    wire::ask(context, question, what).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_billing_code_is_taken_off_and_nothing_else() {
        let of = |usage: &str| {
            let attributes = [("usagetype".to_owned(), usage.to_owned())].into();
            Product { attributes, tiers: vec![(f64::MAX, 1.0)] }.usage().to_owned()
        };
        assert_eq!(of("EUW2-EBS:SnapshotUsage"), "EBS:SnapshotUsage");
        assert_eq!(of("EU-EBS:SnapshotUsage"), "EBS:SnapshotUsage");
        assert_eq!(of("EBS:VolumeP-IOPS.io2"), "EBS:VolumeP-IOPS.io2");
        assert_eq!(of("TimedStorage-ByteHrs"), "TimedStorage-ByteHrs");
        assert_eq!(of("DataTransfer-Out-Bytes"), "DataTransfer-Out-Bytes");
    }

    #[test]
    fn an_entry_is_read_with_its_tiers_in_order() {
        let text = r#"{"product":{"productFamily":"Data Transfer","attributes":{"usagetype":"DataTransfer-Out-Bytes"},"sku":"X"},
            "serviceCode":"AWSDataTransfer","terms":{"OnDemand":{"X.J":{"priceDimensions":{
              "X.J.2":{"unit":"GB","beginRange":"10240","endRange":"Inf","pricePerUnit":{"USD":"0.0850000000"}},
              "X.J.1":{"unit":"GB","beginRange":"0","endRange":"10240","pricePerUnit":{"USD":"0.0900000000"}}}}}}}"#;
        let product = product(text).expect("a product");
        assert_eq!(product.tiers, [(10_240.0, 0.09), (f64::MAX, 0.085)]);
        assert_eq!(product.price(), Some(0.09));
        assert!(super::product(r#"{"product":{"attributes":{}},"terms":{"OnDemand":{}}}"#).is_none());
        assert!(super::product("no").is_none());
    }

    #[test]
    fn three_regions_answer_for_all() {
        let of = |region: &str| home(&region.parse().expect("a region"));
        assert_eq!(of("eu-north-1"), Some("eu-central-1"));
        assert_eq!(of("ap-southeast-2"), Some("ap-south-1"));
        assert_eq!(of("sa-east-1"), Some("us-east-1"));
        assert_eq!(of("us-gov-west-1"), None);
    }
}

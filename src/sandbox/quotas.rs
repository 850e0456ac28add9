//! Service Quotas (JSON 1.1) for `ebs`: defaults, and the values that an account has in a region.
//!
//! The same table decides what the rest of the sandbox enforces ([`value`]), so a client that reads its quotas here
//! reads the truth. AWS knows quotas without an applied value, without saying which: GetServiceQuota answers
//! `NoSuchResourceException` for those in [`DEFAULT_ONLY`], and clients must ask for the default.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Caller, Sandbox, wire};
use crate::ids::Region;

const SERVICE: &str = "ebs";

/// One quota of EBS: code, name, default, whether it can be raised, and whether it counts a second.
struct Quota {
    code: &'static str,
    name: &'static str,
    default: f64,
    adjustable: bool,
    per_second: bool,
}

const fn rate(code: &'static str, name: &'static str, default: f64, adjustable: bool) -> Quota {
    Quota { code, name, default, adjustable, per_second: true }
}

const fn count(code: &'static str, name: &'static str, default: f64, adjustable: bool) -> Quota {
    Quota { code, name, default, adjustable, per_second: false }
}

/// By code, so that a page token is the last code shown.
const QUOTAS: [Quota; 14] = [
    rate("L-028ACFB9", "GetSnapshotBlock requests per snapshot", 1000.0, false),
    count("L-07399329", "In-progress snapshot archive restores per account", 5.0, true),
    rate("L-1774F84A", "PutSnapshotBlock requests per snapshot", 1000.0, false),
    rate("L-18E976AB", "ListSnapshotBlocks requests per account", 50.0, false),
    rate("L-1D4D9345", "CompleteSnapshot requests per account", 10.0, false),
    count("L-309BACF6", "Snapshots per Region", 100_000.0, true),
    count("L-3A0E616D", "In-progress snapshot archives per account", 25.0, true),
    count("L-631ECBD3", "Fast snapshot restore", 5.0, true),
    count("L-94D7AB7D", "Pending snapshots per account", 100.0, false),
    rate("L-AFAE1BE8", "PutSnapshotBlock requests per account", 1000.0, true),
    rate("L-AFEBDF7A", "StartSnapshot requests per account", 10.0, false),
    rate("L-C125AE42", "GetSnapshotBlock requests per account", 1000.0, true),
    rate("L-DB2FBAA1", "ListChangedBlocks requests per account", 50.0, false),
    count("L-E20676C1", "Archived snapshots per volume", 25.0, true),
];

/// What has only a default until somebody sets it.
const DEFAULT_ONLY: [&str; 2] = ["L-AFEBDF7A", "L-1D4D9345"];

/// The quota with that code.
fn quota(code: &str) -> Option<&'static Quota> {
    QUOTAS.iter().find(|quota| quota.code == code)
}

/// The value of an EBS quota for an account in a region: `L-94D7AB7D` is the number of pending snapshots. A code
/// that is not EBS's binds nobody.
#[must_use]
pub fn value(sandbox: &Sandbox, caller: &Caller, code: &str) -> f64 {
    let own = applied(sandbox, caller).get(code).copied();
    own.or_else(|| quota(code).map(|quota| quota.default)).unwrap_or(f64::INFINITY)
}

fn applied(sandbox: &Sandbox, caller: &Caller) -> BTreeMap<String, f64> {
    let model = sandbox.model();
    model.region(&caller.account, &caller.region).map(|region| region.settings.quotas.clone()).unwrap_or_default()
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Request {
    service_code: String,
    quota_code: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

/// A refusal: always the caller's fault.
struct Refusal(&'static str, String);

/// Answers one Service Quotas request: `target` is the operation (what follows the dot of `X-Amz-Target`).
pub fn handle(sandbox: &Sandbox, caller: &Caller, target: &str, body: &[u8]) -> (StatusCode, String) {
    match answer(sandbox, caller, target, body) {
        Ok(answer) => (StatusCode::OK, answer.to_string()),
        Err(Refusal(code, message)) => wire::json_error(StatusCode::BAD_REQUEST, code, &message),
    }
}

fn answer(sandbox: &Sandbox, caller: &Caller, target: &str, body: &[u8]) -> Result<Value, Refusal> {
    if !matches!(target, "GetServiceQuota" | "GetAWSDefaultServiceQuota" | "ListServiceQuotas") {
        return Err(Refusal("UnknownOperationException", format!("Unknown operation {target}")));
    }
    let request: Request =
        serde_json::from_slice(body).map_err(|cause| Refusal("SerializationException", cause.to_string()))?;
    let missing = || {
        Refusal("NoSuchResourceException", "The request failed because the specified service does not exist.".into())
    };
    if request.service_code != SERVICE {
        return Err(missing());
    }
    let own = applied(sandbox, caller);
    if target == "ListServiceQuotas" {
        return list(&request, &own, caller);
    }
    let missing = || {
        let message = "The request failed because the specified quota does not exist.";
        Refusal("NoSuchResourceException", message.to_owned())
    };
    let code = request.quota_code.as_deref().unwrap_or_default();
    let quota = quota(code).ok_or_else(missing)?;
    let value = match (target, own.get(code)) {
        ("GetAWSDefaultServiceQuota", _) => quota.default,
        (_, Some(value)) => *value,
        (_, None) if DEFAULT_ONLY.contains(&code) => return Err(missing()),
        (_, None) => quota.default,
    };
    Ok(json!({ "Quota": quota.json(value, caller) }))
}

fn list(request: &Request, own: &BTreeMap<String, f64>, caller: &Caller) -> Result<Value, Refusal> {
    let max = request.max_results.unwrap_or(100);
    let max = usize::try_from(max)
        .ok()
        .filter(|max| (1..=100).contains(max))
        .ok_or_else(|| Refusal("IllegalArgumentException", format!("MaxResults is 1 to 100, not {max}")))?;
    let after = request.next_token.as_deref().map(decode).transpose()?;
    let listed = |quota: &&Quota| {
        after.as_deref().is_none_or(|after| quota.code > after)
            && request.quota_code.as_deref().is_none_or(|code| code == quota.code)
            && (own.contains_key(quota.code) || !DEFAULT_ONLY.contains(&quota.code))
    };
    let mut rows: Vec<&Quota> = QUOTAS.iter().filter(listed).take(max + 1).collect();
    let more = rows.len() > max;
    rows.truncate(max);
    let value = |quota: &Quota| own.get(quota.code).copied().unwrap_or(quota.default);
    let quotas: Vec<Value> = rows.iter().map(|quota| quota.json(value(quota), caller)).collect();
    let mut answer = json!({ "Quotas": quotas });
    if let (true, Some(last)) = (more, rows.last()) {
        answer["NextToken"] = base64_simd::STANDARD.encode_to_string(last.code).into();
    }
    Ok(answer)
}

fn decode(token: &str) -> Result<String, Refusal> {
    let code = base64_simd::STANDARD.decode_to_vec(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    code.filter(|code| quota(code).is_some())
        .ok_or_else(|| Refusal("InvalidPaginationTokenException", "Invalid pagination token was provided.".to_owned()))
}

impl Quota {
    fn json(&self, value: f64, caller: &Caller) -> Value {
        let region: &Region = &caller.region;
        let partition = region.partition();
        let arn = format!("arn:{partition}:servicequotas:{region}:{}:{SERVICE}/{}", caller.account, self.code);
        let mut quota = json!({
            "ServiceCode": SERVICE,
            "ServiceName": "Amazon Elastic Block Store (Amazon EBS)",
            "QuotaArn": arn,
            "QuotaCode": self.code,
            "QuotaName": self.name,
            "Value": value,
            "Unit": "None",
            "Adjustable": self.adjustable,
            "GlobalQuota": false,
            "QuotaAppliedAtLevel": "ACCOUNT",
        });
        if self.per_second {
            quota["Period"] = json!({ "PeriodValue": 1, "PeriodUnit": "SECOND" });
        }
        quota
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Options, Sandbox};

    fn setup() -> (Sandbox, Caller) {
        let sandbox = Sandbox::new(&Options::default()).unwrap();
        let caller = Caller::of("123456789012", "us-east-1");
        (sandbox, caller)
    }

    fn ask(target: &str, body: &Value) -> (StatusCode, Value) {
        let (sandbox, caller) = setup();
        let (status, text) = handle(&sandbox, &caller, target, body.to_string().as_bytes());
        (status, serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn what_is_enforced_is_what_is_answered() {
        let (sandbox, caller) = setup();
        for quota in QUOTAS {
            let asked = json!({ "ServiceCode": "ebs", "QuotaCode": quota.code });
            let (_, text) = handle(&sandbox, &caller, "GetServiceQuota", asked.to_string().as_bytes());
            let answer: Value = serde_json::from_str(&text).unwrap();
            match answer["Quota"]["Value"].as_f64() {
                Some(answered) => assert_eq!(answered.to_bits(), value(&sandbox, &caller, quota.code).to_bits()),
                None => assert!(DEFAULT_ONLY.contains(&quota.code), "{answer}"),
            }
        }
        assert!(value(&sandbox, &caller, "L-AFAE1BE8") > 4999.0, "raised in this region");
        assert!(value(&sandbox, &caller, "L-00000000").is_infinite());
        assert!(QUOTAS.windows(2).all(|pair| pair[0].code < pair[1].code), "pages go by code");
    }

    #[test]
    fn a_quota_without_an_applied_value_has_a_default() {
        let asked = json!({ "ServiceCode": "ebs", "QuotaCode": "L-AFEBDF7A" });
        let (status, refused) = ask("GetServiceQuota", &asked);
        assert_eq!((status.as_u16(), refused["__type"].as_str()), (400, Some("NoSuchResourceException")));
        assert_eq!(ask("GetAWSDefaultServiceQuota", &asked).1["Quota"]["Value"].as_f64(), Some(10.0));
        let raised = json!({ "ServiceCode": "ebs", "QuotaCode": "L-AFAE1BE8" });
        assert_eq!(ask("GetServiceQuota", &raised).1["Quota"]["Value"].as_f64(), Some(5000.0));
        assert_eq!(ask("GetAWSDefaultServiceQuota", &raised).1["Quota"]["Value"].as_f64(), Some(1000.0));
    }

    #[test]
    fn the_list_comes_in_pages() {
        let (mut codes, mut token) = (Vec::new(), Value::Null);
        loop {
            let mut body = json!({ "ServiceCode": "ebs", "MaxResults": 5 });
            if token.is_string() {
                body["NextToken"] = token.take();
            }
            let (status, page) = ask("ListServiceQuotas", &body);
            assert_eq!(status, StatusCode::OK, "{page}");
            codes
                .extend(page["Quotas"].as_array().unwrap().iter().map(|q| q["QuotaCode"].as_str().unwrap().to_owned()));
            token = page["NextToken"].clone();
            if token.is_null() {
                break;
            }
        }
        assert_eq!(codes.len(), QUOTAS.len() - DEFAULT_ONLY.len());
    }

    #[test]
    fn wrong_questions_are_refused() {
        let code = |target: &str, body: &Value| ask(target, body).1["__type"].as_str().unwrap().to_owned();
        assert_eq!(
            code("GetServiceQuota", &json!({ "ServiceCode": "vpc", "QuotaCode": "L-1" })),
            "NoSuchResourceException"
        );
        assert_eq!(
            code("GetServiceQuota", &json!({ "ServiceCode": "ebs", "QuotaCode": "L-1" })),
            "NoSuchResourceException"
        );
        assert_eq!(
            code("ListServiceQuotas", &json!({ "ServiceCode": "ebs", "MaxResults": 0 })),
            "IllegalArgumentException"
        );
        let token = json!({ "ServiceCode": "ebs", "NextToken": "bm8=" });
        assert_eq!(code("ListServiceQuotas", &token), "InvalidPaginationTokenException");
        assert_eq!(code("RequestServiceQuotaIncrease", &json!({})), "UnknownOperationException");
        let (sandbox, caller) = setup();
        assert!(handle(&sandbox, &caller, "GetServiceQuota", b"no").1.contains("SerializationException"));
    }
}

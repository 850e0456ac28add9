//! The rules of the Recycle Bin: a small REST service of its own (`rbin`), spoken to over the signed HTTP that is here.
//!
//! Two operations of it are needed, so no SDK crate is. Rules decide whether a deletion can be taken back and until when.

use bytes::BytesMut;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::context::Context;
use super::wire::{self, Call, Payload};
use crate::error::{Error, Result};
use crate::rows::BinRule;

/// A page of rules is some KiB; what is longer is not from AWS.
const ANSWER_MAX: usize = 1024 * 1024;
/// Rules of a region: AWS allows 250.
const RULES_MAX: usize = 1000;

/// What rules are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keeps {
    /// Rules that keep snapshots.
    Snapshots,
    /// Rules that keep images.
    Images,
}

impl Keeps {
    const fn wire(self) -> &'static str {
        match self {
            Self::Snapshots => "EBS_SNAPSHOT",
            Self::Images => "EC2_IMAGE",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    rules: Vec<Named>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    identifier: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Whole {
    identifier: String,
    retention_period: Period,
    #[serde(default)]
    resource_tags: Vec<ResourceTag>,
    #[serde(default)]
    exclude_resource_tags: Vec<ResourceTag>,
    status: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Period {
    retention_period_value: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceTag {
    resource_tag_key: String,
    resource_tag_value: Option<String>,
}

impl From<Whole> for BinRule {
    fn from(rule: Whole) -> Self {
        let tags = |tags: Vec<ResourceTag>| {
            let value = |value: Option<String>| value.filter(|value| !value.is_empty());
            tags.into_iter().map(|tag| (tag.resource_tag_key, value(tag.resource_tag_value))).collect()
        };
        Self {
            id: rule.identifier,
            days: rule.retention_period.retention_period_value,
            tags: tags(rule.resource_tags),
            except: tags(rule.exclude_resource_tags),
        }
    }
}

/// Every rule that is in force: the list names them, each is asked for its tags.
pub(super) async fn rules(context: &Context, keeps: Keeps) -> Result<Vec<BinRule>> {
    let endpoint = context.bin_endpoint().await?;
    let mut names = Vec::new();
    let (mut tokens, mut next) = (super::Tokens::default(), None::<String>);
    loop {
        let mut wanted = json!({ "ResourceType": keeps.wire() });
        if let Some(token) = &next {
            wanted["NextToken"] = token.as_str().into();
        }
        let call = Call {
            service: "rbin",
            operation: "rbin:ListRules",
            method: Method::POST,
            uri: format!("{endpoint}/list-rules"),
            headers: vec![("content-type", "application/json".to_owned())],
            region: None,
            body: Payload::Signed(wanted.to_string().into()),
        };
        let page: Listed = ask(context, call).await?;
        names.extend(page.rules.into_iter().map(|rule| rule.identifier));
        next = tokens.next(page.next_token)?;
        if next.is_none() || names.len() > RULES_MAX {
            break;
        }
    }
    let mut rules = Vec::new();
    for name in names {
        let call = Call {
            service: "rbin",
            operation: "rbin:GetRule",
            method: Method::GET,
            uri: format!("{endpoint}/rules/{name}"),
            headers: Vec::new(),
            region: None,
            body: Payload::None,
        };
        let rule: Whole = ask(context, call).await?;
        // A rule that is not available yet keeps nothing.
        if rule.status.as_deref().is_none_or(|status| status == "available") {
            rules.push(rule.into());
        }
    }
    Ok(rules)
}

async fn ask<T: serde::de::DeserializeOwned>(context: &Context, call: Call) -> Result<T> {
    let what = || "could not read the rules of the Recycle Bin".to_owned();
    let answer = wire::send(context, call, what).await?;
    let mut body = answer.into_body();
    let mut text = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|why| wire::broken(what(), format!("cut: {why}"), context.region()))?;
        if text.len() + data.len() > ANSWER_MAX {
            return Err(wire::broken(what(), "the answer is no answer of AWS", context.region()));
        }
        text.extend_from_slice(&data);
    }
    serde_json::from_slice(&text).map_err(|e| Error::transient(format!("{}: {e}", what())).in_region(context.region()))
}

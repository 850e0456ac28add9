//! EBS direct: the six operations, with every rule that can be checked here.
//!
//! `route` names the operation (so that faults and limits know it before anything else is looked at), `handle`
//! answers it. Rules and texts follow the API model; where that is silent, the stricter reading is taken.

mod list;
mod read;
mod start;
mod tokens;
mod write;

pub(in crate::sandbox) use start::default_key;
use std::borrow::Cow;

use http::{HeaderMap, Method, Request, Response, StatusCode};

use super::body::Body;
use super::faults::Fault;
use super::model::{Model, Snapshot, SnapshotState, Tier};
use super::{Caller, Sandbox};
use crate::ids::SnapshotId;
use crate::sandbox::sigv4::decode;
use bytes::Bytes;

/// An operation and what its path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// As in IAM: `GetSnapshotBlock`.
    pub api: &'static str,
    /// The snapshot of the path; empty for StartSnapshot.
    pub snapshot: String,
    /// The block of the path, as it is written there.
    pub block: String,
}

/// Which operation a request is.
#[must_use]
pub fn route(method: &Method, path: &str) -> Option<Route> {
    let parts: Vec<String> = path.trim_matches('/').split('/').map(|part| decode(part, false)).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (api, snapshot, block) = match (method.as_str(), &parts[..]) {
        ("POST", ["snapshots"]) => ("StartSnapshot", "", ""),
        ("POST", ["snapshots", "completion", id]) => ("CompleteSnapshot", *id, ""),
        ("GET", ["snapshots", id, "blocks"]) => ("ListSnapshotBlocks", *id, ""),
        ("GET", ["snapshots", id, "changedblocks"]) => ("ListChangedBlocks", *id, ""),
        ("GET", ["snapshots", id, "blocks", block]) => ("GetSnapshotBlock", *id, *block),
        ("PUT", ["snapshots", id, "blocks", block]) => ("PutSnapshotBlock", *id, *block),
        _ => return None,
    };
    Some(Route { api, snapshot: snapshot.to_owned(), block: block.to_owned() })
}

/// An error as EBS direct answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// `ValidationException`, …
    pub code: Cow<'static, str>,
    /// `INVALID_BLOCK_TOKEN`, …
    pub reason: Option<Cow<'static, str>>,
    /// For people.
    pub message: String,
}

impl Refusal {
    pub(super) fn new(
        status: u16,
        code: &'static str,
        reason: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, code: code.into(), reason: reason.map(Into::into), message: message.into() }
    }
    pub(super) fn invalid(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(400, "ValidationException", Some(reason), message)
    }
    fn not_found(id: &str) -> Self {
        let message = format!("The snapshot '{id}' does not exist.");
        Self::new(404, "ResourceNotFoundException", Some("SNAPSHOT_NOT_FOUND"), message)
    }
    fn internal(cause: &std::io::Error) -> Self {
        tracing::error!(%cause, "sandbox: the store failed");
        Self::new(500, "InternalServerException", None, format!("An internal error has occurred: {cause}"))
    }
    /// How statistics call it.
    #[must_use]
    pub fn outcome(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{}/{reason}", self.code),
            None if self.code.is_empty() => self.status.as_str().to_owned(),
            None => self.code.clone().into_owned(),
        }
    }
    /// As an answer.
    #[must_use]
    pub fn answer(&self) -> Response<Body> {
        if self.code.is_empty() {
            return self.page();
        }
        let mut body = serde_json::json!({ "Message": self.message });
        if let Some(reason) = &self.reason {
            body["Reason"] = reason.as_ref().into();
        }
        let mut answer = json(self.status, body.to_string());
        if let Ok(code) = http::HeaderValue::from_str(&self.code) {
            answer.headers_mut().insert("x-amzn-ErrorType", code);
        }
        answer
    }

    /// What a proxy between here and there puts in the place of an answer.
    fn page(&self) -> Response<Body> {
        let mut answer = Response::new(Body::from(format!("<html>{}</html>", self.status)));
        *answer.status_mut() = self.status;
        answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/html"));
        answer
    }
}

/// What an operation gives.
pub type Answer = Result<Response<Body>, Refusal>;

fn json(status: StatusCode, text: String) -> Response<Body> {
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = status;
    let kind = http::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    answer
}

/// Answers one request, truly or with the lie that it was told to tell.
///
/// # Errors
/// What the service refuses it with.
pub async fn handle(
    sandbox: &Sandbox,
    caller: &Caller,
    route: &Route,
    request: &Request<Bytes>,
    lie: Option<&Fault>,
) -> Answer {
    let lies = |about: Fault| lie == Some(&about);
    let query = request.uri().query();
    match route.api {
        "StartSnapshot" => start::start(sandbox, caller, request.body()),
        "PutSnapshotBlock" => write::put(sandbox, caller, route, request, lies(Fault::Lose)).await,
        "CompleteSnapshot" => write::complete(sandbox, caller, route, request.headers(), lies(Fault::Believe)).await,
        "GetSnapshotBlock" => read::get(sandbox, caller, route, query).await,
        "ListSnapshotBlocks" => list::blocks(sandbox, caller, route, query, lies(Fault::Omit)),
        _ => list::changed(sandbox, caller, route, query, lies(Fault::Omit)),
    }
}

fn snapshot_id(text: &str) -> Result<SnapshotId, Refusal> {
    let looks =
        text.strip_prefix("snap-").is_some_and(|hex| !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    match text.parse() {
        Ok(id) => Ok(id),
        Err(_) if looks => Err(Refusal::not_found(text)),
        Err(_) => Err(Refusal::invalid("INVALID_SNAPSHOT_ID", format!("The snapshot ID '{text}' is not valid."))),
    }
}

fn block_index(text: &str) -> Result<u32, Refusal> {
    let wrong = || Refusal::invalid("INVALID_BLOCK", format!("The block index '{text}' is not valid."));
    text.parse::<i32>().ok().and_then(|index| u32::try_from(index).ok()).ok_or_else(wrong)
}

/// A snapshot that the caller may read: completed, not archived, its own or shared with its account.
fn readable<'a>(model: &'a Model, caller: &Caller, id: &SnapshotId) -> Result<&'a Snapshot, Refusal> {
    let found = model.readable(&caller.account, &caller.region, id).ok_or_else(|| Refusal::not_found(id.as_str()))?;
    match (&found.state, found.tier) {
        (SnapshotState::Completed, Tier::Standard) => Ok(found),
        (SnapshotState::Completed, Tier::Archive) => {
            let message = format!("The snapshot '{id}' is in the archive tier; restore it first.");
            Err(Refusal::invalid("INVALID_SNAPSHOT_ID", message))
        }
        (state, _) => {
            let message = format!("The snapshot '{id}' is not in the 'completed' state ({}).", state.as_str());
            Err(Refusal::invalid("INVALID_SNAPSHOT_ID", message))
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| decode(value, false))
    })
}

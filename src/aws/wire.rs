//! What goes over the wire and what comes back: our own signed requests, and errors of both clients read alike.
//!
//! Get and PutSnapshotBlock are sent from here over the same pool as every SDK call, because the SDK would
//! copy a block once more and hash it where nobody sees the digest. Signing is `aws-sigv4`, the SDK's own.

use aws_credential_types::Credentials;
use aws_sdk_ebs::config::http::HttpResponse;
use aws_sdk_ebs::error::ProvideErrorMetadata;
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes as Buffer;
use http::{HeaderMap, HeaderValue, Method};

use super::classify::{self, Said};
use super::context::Context;
use super::http::Coming;
use crate::error::{Class, Error, Result};
use crate::ids::Region;

/// An SDK error of any operation.
pub(super) type SdkError<E> = aws_sdk_ebs::error::SdkError<E, HttpResponse>;

/// An error answer is a few hundred bytes; whatever is longer is not from AWS.
const ERROR_BODY_LIMIT: usize = 64 * 1024;
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("floe/", env!("CARGO_PKG_VERSION")));

/// One request that we sign ourselves.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) operation: &'static str,
    pub(super) method: Method,
    /// Absolute, its query already encoded.
    pub(super) uri: String,
    /// Names in lower case; all of them are signed.
    pub(super) headers: Vec<(&'static str, String)>,
    /// As signatures name it: `ebs`, `pricing`.
    pub(super) service: &'static str,
    /// The region that answers, where it is not the session's own.
    pub(super) region: Option<Region>,
    /// What it sends.
    pub(super) body: Payload,
}

/// One question to a service that speaks JSON 1.1.
#[derive(Debug)]
pub(super) struct Json {
    /// As errors and audits name it: `pricing:GetProducts`.
    pub(super) operation: &'static str,
    /// What `x-amz-target` says.
    pub(super) target: &'static str,
    /// As signatures name it.
    pub(super) service: &'static str,
    /// The region that answers.
    pub(super) region: Region,
    /// Where it is, without a path.
    pub(super) endpoint: String,
    pub(super) body: String,
    /// Bytes of the answer at most.
    pub(super) most: usize,
}

/// Asks it, once.
///
/// # Errors
/// As classified; transient where the answer cannot be read.
pub(super) async fn ask<T: serde::de::DeserializeOwned>(
    context: &Context,
    question: Json,
    what: impl Fn() -> String,
) -> Result<T> {
    let call = Call {
        operation: question.operation,
        method: Method::POST,
        uri: format!("{}/", question.endpoint.trim_end_matches('/')),
        headers: vec![
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", question.target.to_owned()),
        ],
        service: question.service,
        region: Some(question.region),
        body: Payload::Signed(question.body.into()),
    };
    let answer = send(context, call, &what).await?;
    let text =
        read_whole(answer.into_body(), question.most).await.map_err(|why| broken(what(), why, context.region()))?;
    serde_json::from_slice(&text).map_err(|why| {
        broken(what(), format!("the answer of {} cannot be read: {why}", question.operation), context.region())
    })
}

/// The body of a request.
#[derive(Debug)]
pub(super) enum Payload {
    /// Nothing.
    None,
    /// Bytes whose checksum is among the signed headers: they are not hashed once more.
    Checked(Buffer),
    /// Bytes that are signed themselves.
    Signed(Buffer),
}

/// Signs and sends; an answer that is no success becomes the error it stands for.
pub(super) async fn send(context: &Context, call: Call, what: impl Fn() -> String) -> Result<http::Response<Coming>> {
    let credentials = context.keys().get().await.map_err(|error| error.during(what()))?;
    let operation = call.operation;
    let request = signed(context, call, credentials).map_err(|why| {
        Error::failed(format!("{}: the request cannot be signed: {why}", what())).in_region(context.region())
    })?;
    let way = context.http().way(request.uri())?;
    let answer = way.call(request).await.map_err(|error| unsent(&error, what(), context.region()))?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let (head, body) = answer.into_parts();
    let text = read_error(body).await;
    let said = said(operation, head.status.as_u16(), &head.headers, &text);
    Err(context.refused(said, head.headers.get("date").and_then(|date| date.to_str().ok()), what()))
}

fn signed(context: &Context, call: Call, credentials: Credentials) -> std::result::Result<HttpRequest, String> {
    let uri: http::Uri = call.uri.parse().map_err(|error| format!("{}: {error}", call.uri))?;
    let host = uri.authority().map(ToString::to_string).unwrap_or_default();
    let mut settings = SigningSettings::default();
    let payload = match &call.body {
        Payload::None => SignableBody::empty(),
        Payload::Checked(_) => {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
            SignableBody::UnsignedPayload
        }
        Payload::Signed(bytes) => SignableBody::Bytes(bytes),
    };
    let identity = credentials.into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(call.region.as_ref().unwrap_or(context.region()).as_str())
        .name(call.service)
        .time(context.clock().now())
        .settings(settings)
        .build()
        .map_err(|error| error.to_string())?
        .into();
    let headers = std::iter::once(("host", host.as_str()))
        .chain(call.headers.iter().map(|(name, value)| (*name, value.as_str())));
    let signable = SignableRequest::new(call.method.as_str(), call.uri.as_str(), headers, payload)
        .map_err(|error| error.to_string())?;
    let (instructions, _) = sign(signable, &params).map_err(|error| error.to_string())?.into_parts();

    let mut request = http::Request::builder().method(call.method).uri(uri).header("host", &host);
    for (name, value) in &call.headers {
        request = request.header(*name, value);
    }
    let body = match call.body {
        Payload::None => SdkBody::empty(),
        Payload::Checked(bytes) => {
            request = request.header("content-length", bytes.len()).header("content-type", "application/octet-stream");
            SdkBody::from(bytes)
        }
        Payload::Signed(bytes) => {
            request = request.header("content-length", bytes.len());
            SdkBody::from(bytes)
        }
    };
    let mut request = request.header("user-agent", USER_AGENT).body(body).map_err(|error| error.to_string())?;
    instructions.apply_to_request_http1x(&mut request);
    HttpRequest::try_from(request).map_err(|error| error.to_string())
}

/// All of a body, which is at most so long.
pub(super) async fn read_whole(mut body: Coming, most: usize) -> std::result::Result<Vec<u8>, String> {
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|error| error.to_string())?;
        if all.len() + data.len() > most {
            return Err("the answer is too long to be one".to_owned());
        }
        all.extend_from_slice(&data);
    }
    Ok(all)
}

async fn read_error(mut body: Coming) -> Vec<u8> {
    let mut text = Vec::new();
    while let Some(Ok(data)) = body.frame().await {
        let room = ERROR_BODY_LIMIT.saturating_sub(text.len());
        text.extend_from_slice(&data[..data.len().min(room)]);
        if room <= data.len() {
            break;
        }
    }
    text
}

/// Nothing came back: a broken connection, a name that does not resolve, a deadline.
fn unsent(error: &ConnectorError, what: String, region: &Region) -> Error {
    let why = chain(error);
    let error = if error.is_user() {
        Error::failed(format!("{what}: {why}"))
    } else {
        Error::transient(format!("{what}: no answer: {why}"))
    };
    error.in_region(region)
}

/// The answer of a REST service, as its status, headers and JSON body tell it.
fn said(operation: &'static str, status: u16, headers: &HeaderMap, body: &[u8]) -> Said {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let words = Words::read(body);
    let code = header("x-amzn-errortype").map(str::to_owned).or(words.code).unwrap_or_default();
    Said {
        operation,
        status: Some(status),
        code: bare_code(&code).to_owned(),
        reason: words.reason,
        message: words.message.or(words.lower).unwrap_or_default(),
        request_id: header("x-amzn-requestid").or_else(|| header("x-amz-request-id")).map(str::to_owned),
    }
}

/// `aws.protocols#ValidationException:http://…` names `ValidationException`.
fn bare_code(code: &str) -> &str {
    let code = code.split(':').next().unwrap_or_default();
    code.rsplit('#').next().unwrap_or_default()
}

/// The words of a JSON error body.
#[derive(Debug, Default, serde::Deserialize)]
struct Words {
    #[serde(rename = "Reason")]
    reason: Option<String>,
    // Some services write both, which an alias would take for a mistake.
    #[serde(rename = "Message")]
    message: Option<String>,
    #[serde(rename = "message")]
    lower: Option<String>,
    #[serde(rename = "__type", alias = "code", alias = "Code")]
    code: Option<String>,
}

impl Words {
    fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }
}

/// The error that an SDK client returned, as the table classifies it. An error of our own credentials inside it
/// comes out as it went in.
pub(super) fn sdk_error<E>(
    operation: &'static str,
    error: &SdkError<E>,
    what: String,
    region: &Region,
    mend: &dyn Fn() -> String,
) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if let Some(ours) = ours_within(error) {
        return ours.clone().during(what);
    }
    let (Some(raw), Some(service)) = (error.raw_response(), error.as_service_error()) else {
        // The page of a proxy in the place of an error has no code; its status says what there is to say.
        if let Some(status) = error.raw_response().map(|raw| raw.status().as_u16()).filter(|status| *status >= 400) {
            return classify::error(Said { operation, status: Some(status), ..Said::default() }, what, region, mend);
        }
        let why = chain(error);
        return match error {
            SdkError::ConstructionFailure(_) => Error::failed(format!("{what}: {why}")),
            SdkError::DispatchFailure(cause) if cause.is_user() => Error::failed(format!("{what}: {why}")),
            _ => Error::transient(format!("{what}: no usable answer: {why}")),
        }
        .in_region(region);
    };
    if raw.status().as_u16() < 400 && service.meta().code().is_none() {
        // The page of a proxy, say, where the protocol has its errors in the same place as its answers.
        return Error::transient(format!("{what}: no usable answer: {}", chain(error))).in_region(region);
    }
    let header = |name: &str| raw.headers().get(name).map(str::to_owned);
    let words = raw.body().bytes().map(Words::read).unwrap_or_default();
    let meta = service.meta();
    let said = Said {
        operation,
        status: Some(raw.status().as_u16()),
        code: meta.code().map(|code| bare_code(code).to_owned()).unwrap_or_default(),
        reason: words.reason,
        message: meta.message().map(str::to_owned).or(words.message).or(words.lower).unwrap_or_default(),
        request_id: meta
            .extra("aws_request_id")
            .map(str::to_owned)
            .or_else(|| header("x-amzn-requestid"))
            .or_else(|| header("x-amz-request-id")),
    };
    classify::error(said, what, region, mend)
}

fn ours_within<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return Some(ours);
        }
        next = error.source();
    }
    None
}

/// An error and its causes in one line, repetitions left out.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

/// A transient error of a block's answer: cut, too long, or not what its checksum says.
pub(super) fn broken(what: String, why: impl std::fmt::Display, region: &Region) -> Error {
    Error::classed(Class::Transient, format!("{what}: {why}")).in_region(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_from_its_headers_and_its_body() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-errortype", HeaderValue::from_static("ValidationException:http://internal/"));
        headers.insert("x-amzn-requestid", HeaderValue::from_static("r-7"));
        let read =
            said("ebs:GetSnapshotBlock", 400, &headers, br#"{"Message":"Invalid","Reason":"INVALID_BLOCK_TOKEN"}"#);
        assert_eq!((read.code.as_str(), read.reason.as_deref()), ("ValidationException", Some("INVALID_BLOCK_TOKEN")));
        assert_eq!((read.message.as_str(), read.request_id.as_deref()), ("Invalid", Some("r-7")));

        let bare =
            said("x", 400, &HeaderMap::new(), br#"{"__type":"com.amazonaws#ThrottlingException","message":"m"}"#);
        assert_eq!((bare.code.as_str(), bare.message.as_str()), ("ThrottlingException", "m"));
        assert_eq!(said("x", 502, &HeaderMap::new(), b"<html>").code, "");
    }
}

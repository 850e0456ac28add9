//! From a request to its answer: who asks and for what, what goes wrong on purpose, which service answers.
//!
//! The order is the one of the real front: the connection may fail first, then the signature is checked, then rights
//! and rates, then the service sees the request. Every refusal is written in the form of the service it was meant for.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use jiff::Timestamp;

use super::body::Body;
use super::ebs::{self, Refusal};
use super::faults::{Call, Fault, Faults};
use super::model::OptIn;
use super::sigv4::{self, Claim};
use super::stats::{InFlight, Stats};
use super::{Caller, Sandbox, bin, costs, ec2, iam, imds, kms, lock, pricing, quotas, s3, sts, wire};

/// The connection is to be reset instead of answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reset;

/// What a request is for.
#[derive(Debug)]
enum Service {
    Ebs(Option<ebs::Route>),
    Ec2(Vec<(String, String)>),
    Sts(Vec<(String, String)>),
    Iam(Vec<(String, String)>),
    Quotas(String),
    Kms(String),
    Bin(Option<bin::Route>),
    Pricing(String),
    Costs(String),
    S3(s3::Route, Method),
    Unknown,
}

impl Service {
    fn of(name: &str, request: &Request<Bytes>) -> Self {
        match name {
            "ebs" => Self::Ebs(ebs::route(request.method(), request.uri().path())),
            "ec2" => Self::Ec2(form(request)),
            "sts" => Self::Sts(form(request)),
            "iam" => Self::Iam(form(request)),
            "s3" => Self::S3(s3::route(request), request.method().clone()),
            "servicequotas" => Self::Quotas(target(request)),
            "kms" => Self::Kms(target(request)),
            "rbin" => Self::Bin(bin::route(request.method(), request.uri().path())),
            "pricing" => Self::Pricing(target(request)),
            "ce" => Self::Costs(target(request)),
            _ => Self::Unknown,
        }
    }

    fn api(&self) -> &str {
        let action = |form: &'_ [(String, String)]| form.iter().position(|(key, _)| key == "Action");
        match self {
            Self::Ebs(route) => route.as_ref().map_or("UnknownOperation", |route| route.api),
            Self::Ec2(form) | Self::Sts(form) | Self::Iam(form) => {
                action(form).map_or("UnknownOperation", |at| form[at].1.as_str())
            }
            Self::Quotas(target) | Self::Kms(target) | Self::Pricing(target) | Self::Costs(target) => target,
            Self::Bin(route) => route.as_ref().map_or("UnknownOperation", |route| route.api),
            Self::S3(route, _) => route.api,
            Self::Unknown => "UnknownService",
        }
    }

    /// The permission that it needs beside the one of its name: to read a version of an object is not to read the object.
    fn action(&self, request: &Request<Bytes>) -> Option<&'static str> {
        let Self::S3(route, _) = self else { return None };
        let of_source = || request.headers().get("x-amz-copy-source").and_then(|source| source.to_str().ok());
        let is_versioned = match route.api {
            "GetObject" | "HeadObject" => route.version().is_some(),
            "GetObjectTagging" if route.version().is_some() => return Some("GetObjectVersionTagging"),
            "CopyObject" | "UploadPartCopy" => of_source().is_some_and(|source| source.contains("?versionId=")),
            _ => false,
        };
        is_versioned.then_some("GetObjectVersion")
    }

    /// The snapshot that it names, or the key of the object.
    fn subject(&self) -> Option<&str> {
        match self {
            Self::Ebs(Some(route)) if !route.snapshot.is_empty() => Some(&route.snapshot),
            Self::Ec2(form) => form.iter().find(|(key, _)| key == "SnapshotId").map(|(_, id)| id.as_str()),
            Self::S3(route, _) if !route.key.is_empty() => Some(&route.key),
            _ => None,
        }
    }

    /// A refusal in the service's own form, with the name that statistics give it.
    fn refuse(&self, problem: &Problem, request_id: &str) -> (Response<Body>, String) {
        if let Self::S3(_, method) = self {
            let refusal = match problem {
                Problem::Signature(refusal) => s3::Refusal::signature(refusal),
                Problem::Region(region) => s3::Refusal::region(region),
                Problem::Fault(fault) => s3::Refusal::fault(fault),
            };
            return (refusal.answer(method, request_id), refusal.code.into_owned());
        }
        let spelled = problem.spelled(self);
        let status = StatusCode::from_u16(spelled.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (kind, (status, text)) = match self {
            Self::Ebs(_) | Self::S3(..) | Self::Bin(_) | Self::Unknown => {
                let Spelled { code, reason, message, .. } = spelled;
                let refusal = Refusal { status, code, reason, message };
                return (refusal.answer(), refusal.outcome());
            }
            Self::Ec2(_) => (XML, wire::ec2_error(status, &spelled.code, &spelled.message, request_id)),
            Self::Sts(_) | Self::Iam(_) => {
                (XML, wire::query_error(status, &spelled.code, &spelled.message, request_id))
            }
            Self::Quotas(_) | Self::Kms(_) | Self::Pricing(_) | Self::Costs(_) => {
                (JSON, wire::json_error(status, &spelled.code, &spelled.message))
            }
        };
        (answer(status, text, kind), spelled.code.into_owned())
    }
}

const XML: &str = "text/xml;charset=UTF-8";
const JSON: &str = "application/x-amz-json-1.1";

/// Why the front refuses a request before its service sees it.
enum Problem {
    Signature(sigv4::Refusal),
    Region(String),
    Fault(Fault),
}

/// A refusal as one service spells it.
struct Spelled {
    status: u16,
    code: Cow<'static, str>,
    reason: Option<Cow<'static, str>>,
    message: String,
}

impl Problem {
    fn spelled(&self, service: &Service) -> Spelled {
        if let Self::Fault(Fault::Refuse { status, code, reason, message }) = self {
            let (code, reason) = (code.clone().into(), reason.clone().map(Into::into));
            return Spelled { status: *status, code, reason, message: message.clone() };
        }
        let is_ec2 = matches!(service, Service::Ec2(_));
        let is_sts = matches!(service, Service::Sts(_) | Service::Iam(_));
        let pick = |ec2: (u16, &'static str), sts: (u16, &'static str), rest: (u16, &'static str)| {
            if is_ec2 {
                ec2
            } else if is_sts {
                sts
            } else {
                rest
            }
        };
        let invalid_token = "The security token included in the request is invalid.";
        let not_believed = "AWS was not able to validate the provided access credentials";
        let mut reason = None;
        let ((status, code), message) = match self {
            Self::Signature(refusal) => match refusal {
                sigv4::Refusal::Missing => {
                    let rest = (403, "MissingAuthenticationTokenException");
                    (
                        pick((401, "AuthFailure"), (403, "MissingAuthenticationToken"), rest),
                        "Missing Authentication Token".into(),
                    )
                }
                sigv4::Refusal::Malformed(what) => {
                    let same = (400, "IncompleteSignature");
                    (pick(same, same, (403, "IncompleteSignatureException")), what.clone())
                }
                sigv4::Refusal::UnknownKey => {
                    let message = if is_ec2 { not_believed } else { invalid_token };
                    let rest = (403, "UnrecognizedClientException");
                    (pick((401, "AuthFailure"), (403, "InvalidClientTokenId"), rest), message.into())
                }
                sigv4::Refusal::Wrong(what) => {
                    let message = if is_ec2 { not_believed.into() } else { what.clone() };
                    let rest = (403, "InvalidSignatureException");
                    (pick((401, "AuthFailure"), (403, "SignatureDoesNotMatch"), rest), message)
                }
                sigv4::Refusal::Skewed(what) => {
                    let rest = (403, "InvalidSignatureException");
                    let message = if is_ec2 { format!("Request has expired. {what}") } else { what.clone() };
                    (pick((400, "RequestExpired"), (403, "SignatureDoesNotMatch"), rest), message)
                }
                sigv4::Refusal::Expired => {
                    let message = "The security token included in the request is expired";
                    (
                        pick((400, "RequestExpired"), (403, "ExpiredToken"), (403, "ExpiredTokenException")),
                        message.into(),
                    )
                }
            },
            Self::Region(region) => {
                let message =
                    if is_ec2 { not_believed.into() } else { format!("{invalid_token} ({region} is not enabled.)") };
                let rest = (403, "UnrecognizedClientException");
                (pick((401, "AuthFailure"), (403, "InvalidClientTokenId"), rest), message)
            }
            Self::Fault(fault) => match fault {
                Fault::Deny => {
                    reason = Some("UNAUTHORIZED_ACCOUNT");
                    let message = format!("You are not authorized to perform: {}", service.api());
                    (
                        pick((403, "UnauthorizedOperation"), (403, "AccessDenied"), (403, "AccessDeniedException")),
                        message,
                    )
                }
                Fault::DenyKey => {
                    reason = Some("DEPENDENCY_ACCESS_DENIED");
                    let denied =
                        pick((403, "UnauthorizedOperation"), (403, "AccessDenied"), (403, "AccessDeniedException"));
                    (denied, "The request was denied by a dependency.".into())
                }
                Fault::ThrottleSnapshot | Fault::ThrottleAccount | Fault::ThrottleDependency => {
                    let (code, why) = throttle(fault, service);
                    reason = why;
                    let ec2 = (503, "RequestLimitExceeded");
                    (pick(ec2, (400, "Throttling"), (400, code)), "Rate exceeded".into())
                }
                Fault::Unavailable => {
                    let rest = (503, "ServiceUnavailableException");
                    (pick((503, "Unavailable"), (503, "ServiceUnavailable"), rest), "Service is unavailable".into())
                }
                _ => {
                    let rest = (500, "InternalServerException");
                    (
                        pick((500, "InternalError"), (500, "InternalFailure"), rest),
                        "An internal error has occurred".into(),
                    )
                }
            },
        };
        Spelled { status, code: code.into(), reason: reason.map(Into::into), message }
    }
}

fn throttle(fault: &Fault, service: &Service) -> (&'static str, Option<&'static str>) {
    match (fault, service) {
        (_, Service::Quotas(_)) => ("TooManyRequestsException", None),
        (Fault::ThrottleSnapshot, _) => ("RequestThrottledException", Some("RESOURCE_LEVEL_THROTTLE")),
        (Fault::ThrottleDependency, _) => ("RequestThrottledException", Some("DEPENDENCY_REQUEST_THROTTLED")),
        _ => ("ThrottlingException", None),
    }
}

/// How long the request's body is, wherever it lies.
fn body_length(request: &Request<Bytes>) -> u64 {
    let spooled = request.extensions().get::<Arc<s3::intake::Taken>>().map(|taken| taken.payload.len());
    spooled.unwrap_or(request.body().len() as u64)
}

/// The operation that a JSON service is asked for.
fn target(request: &Request<Bytes>) -> String {
    let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok());
    target.and_then(|t| t.rsplit('.').next()).unwrap_or_default().to_owned()
}

/// The fields of a form in the body, or of the query when there is no body.
fn form(request: &Request<Bytes>) -> Vec<(String, String)> {
    let body = String::from_utf8_lossy(request.body());
    let text = if body.is_empty() { request.uri().query().unwrap_or_default() } else { &body };
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let decoded = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (sigv4::decode(key, true), sigv4::decode(value, true))
    };
    pairs.map(decoded).collect()
}

fn answer(status: StatusCode, text: String, kind: &'static str) -> Response<Body> {
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

impl Sandbox {
    /// Answers one request.
    pub(super) async fn answer(self: &Arc<Self>, request: Request<Bytes>) -> Result<Response<Body>, Reset> {
        if let Some(path) = request.uri().path().strip_prefix("/_sandbox/") {
            return Ok(self.admin(path, &request));
        }
        if imds::is_for(&request) {
            return Ok(imds::handle(self, &request));
        }
        let claim = Claim::read(&request);
        let name = claim.as_ref().map_or_else(|_| guess(&request), |claim| claim.service.as_str());
        let service = Service::of(name, &request);
        let in_flight = self.counters.begin(service.api(), service.subject(), body_length(&request));
        let request_id = uuid::Uuid::new_v4().to_string();
        let fate = {
            let region = claim.as_ref().map_or("", |claim| claim.region.as_str());
            let account = claim.as_ref().map_or("", |claim| claim.access_key.as_str());
            let (api, action) = (service.api(), service.action(&request));
            let call = Call { api, action, snapshot: service.subject(), account, region };
            lock(&self.misfortune).fate(&call, Timestamp::now())
        };
        if fate.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(fate.delay_ms)).await;
        }
        match fate.fault {
            Some(Fault::Hang) => {
                in_flight.outcome("hang", 0);
                std::future::pending::<()>().await;
            }
            Some(Fault::ResetBefore) => {
                in_flight.outcome("reset-before", 0);
                return Err(Reset);
            }
            _ => {}
        }
        let (mut answer, outcome) = match self.believed(claim, &request, &request_id) {
            Err(problem) => service.refuse(&problem, &request_id),
            Ok(caller) => {
                let (late, denied) = self.of_region(&caller, &service);
                if !late.is_zero() {
                    tokio::time::sleep(late).await;
                }
                match &fate.fault {
                    _ if denied => service.refuse(&Problem::Fault(Fault::Deny), &request_id),
                    Some(fault) if refuses(fault) => service.refuse(&Problem::Fault(fault.clone()), &request_id),
                    lie => self.serve_call(&service, &caller, &request, lie.as_ref()).await,
                }
            }
        };
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            let name = if matches!(service, Service::S3(..)) { "x-amz-request-id" } else { "x-amzn-requestid" };
            answer.headers_mut().insert(name, id);
        }
        self.date(&mut answer);
        finish(answer, in_flight, &outcome, fate.fault.as_ref())
    }

    /// Who signed, if that is true and may be there.
    fn believed(
        &self,
        claim: Result<Claim, sigv4::Refusal>,
        request: &Request<Bytes>,
        request_id: &str,
    ) -> Result<Caller, Problem> {
        let claim = claim.map_err(Problem::Signature)?;
        let (account, key, region) = {
            let model = self.model();
            let (account, key) = model.key(&claim.access_key).ok_or(Problem::Signature(sigv4::Refusal::UnknownKey))?;
            let region =
                claim.region.parse().ok().filter(|region| {
                    account.regions.get(region).is_some_and(|state| state.opt_in != OptIn::NotOptedIn)
                });
            (account.id.clone(), key.clone(), region)
        };
        self.verifier.check(&claim, &key, request, self.clock()).map_err(Problem::Signature)?;
        let region = region.ok_or_else(|| Problem::Region(claim.region.clone()))?;
        Ok(Caller { account, region, access_key: claim.access_key, request_id: request_id.to_owned() })
    }

    /// How late the caller's region answers, and whether a policy closes it (EC2 words that refusal itself).
    fn of_region(&self, caller: &Caller, service: &Service) -> (Duration, bool) {
        let model = self.model();
        let settings = model.region(&caller.account, &caller.region).map(|region| &region.settings);
        let late = settings.map_or(0, |settings| settings.latency_ms);
        let closed = settings.is_some_and(|settings| settings.denied);
        (Duration::from_millis(late.into()), closed && matches!(service, Service::Ebs(_) | Service::Bin(_)))
    }

    async fn serve_call(
        self: &Arc<Self>,
        service: &Service,
        caller: &Caller,
        request: &Request<Bytes>,
        lie: Option<&Fault>,
    ) -> (Response<Body>, String) {
        self.settle();
        let (kind, (status, text)) = match service {
            Service::Ebs(Some(route)) => {
                return match ebs::handle(self, caller, route, request, lie).await {
                    Ok(answer) => (answer, "ok".to_owned()),
                    Err(refusal) => (refusal.answer(), refusal.outcome()),
                };
            }
            Service::Bin(Some(route)) => {
                return match bin::handle(self, caller, route, request) {
                    Ok(answer) => (answer, "ok".to_owned()),
                    Err(refusal) => (refusal.answer(), refusal.outcome()),
                };
            }
            Service::Ebs(None) | Service::Bin(None) | Service::Unknown => {
                let refusal = Refusal::new(404, "UnknownOperationException", None, "There is no such operation here.");
                return (refusal.answer(), refusal.outcome());
            }
            Service::S3(route, _) => return s3::handle(self, caller, route, request, lie).await,
            Service::Ec2(form) => (XML, ec2::handle(self, caller, form, lie)),
            Service::Sts(form) => (XML, sts::handle(self, caller, form)),
            Service::Iam(form) => (XML, iam::handle(self, caller, form)),
            Service::Quotas(target) => (JSON, quotas::handle(self, caller, target, request.body())),
            Service::Kms(target) => (JSON, kms::handle(self, caller, target, request.body())),
            Service::Costs(target) => (JSON, costs::handle(self, caller, target, request.body())),
            Service::Pricing(target) => (JSON, pricing::handle(caller, target, request.body())),
        };
        let outcome = if status.is_success() { "ok".to_owned() } else { code_in(&text) };
        (answer(status, text, kind), outcome)
    }

    /// Clients correct their clocks by this header; hyper writes it, but with the right time.
    fn date(&self, answer: &mut Response<Body>) {
        let clock = self.clock();
        if (clock.as_second() - Timestamp::now().as_second()).abs() > 1
            && let Ok(date) = HeaderValue::from_str(&clock.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
        {
            answer.headers_mut().insert(http::header::DATE, date);
        }
    }

    /// The door for tests and demonstrations; it takes no signature, because it is on loopback only.
    fn admin(&self, path: &str, request: &Request<Bytes>) -> Response<Body> {
        let json = |status, text| answer(status, text, "application/json");
        let problem = |cause: &dyn std::fmt::Display| {
            json(StatusCode::BAD_REQUEST, serde_json::json!({ "message": cause.to_string() }).to_string())
        };
        match (request.method().as_str(), path) {
            ("GET", "stats") => match serde_json::to_string::<Stats>(&self.counters.picture()) {
                Ok(text) => json(StatusCode::OK, text),
                Err(cause) => problem(&cause),
            },
            ("DELETE", "stats") => {
                self.counters.reset();
                json(StatusCode::OK, "{}".into())
            }
            ("GET", "faults") => match self.with_faults(serde_json::to_string) {
                Ok(text) => json(StatusCode::OK, text),
                Err(cause) => problem(&cause),
            },
            ("POST", "faults") => match serde_json::from_slice::<Faults>(request.body()) {
                Ok(faults) => {
                    self.set_faults(faults);
                    json(StatusCode::OK, "{}".into())
                }
                Err(cause) => problem(&cause),
            },
            ("GET", "profiles") => {
                let shown: Vec<_> = self
                    .profiles()
                    .into_iter()
                    .map(|p| {
                        serde_json::json!({
                            "name": p.name, "access_key_id": p.access_key_id, "secret": p.secret,
                            "session_token": p.session_token, "account": p.account, "region": p.region,
                        })
                    })
                    .collect();
                json(StatusCode::OK, serde_json::Value::from(shown).to_string())
            }
            _ => json(StatusCode::NOT_FOUND, "{\"message\":\"stats, faults, profiles\"}".into()),
        }
    }
}

/// Whose form an unsigned request is answered in.
fn guess(request: &Request<Bytes>) -> &'static str {
    if request.uri().path().starts_with("/snapshots") {
        "ebs"
    } else if request.headers().contains_key("x-amz-target") {
        "servicequotas"
    } else {
        "ec2"
    }
}

/// Whether a fault is an answer of the service's front.
fn refuses(fault: &Fault) -> bool {
    use Fault::{
        Deny, DenyKey, InternalError, LateError, Refuse, ThrottleAccount, ThrottleDependency, ThrottleSnapshot,
        Unavailable,
    };
    let throttles = matches!(fault, ThrottleAccount | ThrottleDependency | ThrottleSnapshot);
    throttles || matches!(fault, Deny | DenyKey | InternalError | LateError | Unavailable | Refuse { .. })
}

/// The first code in an error's text.
fn code_in(text: &str) -> String {
    let xml =
        text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code.to_owned());
    let json = || serde_json::from_str::<serde_json::Value>(text).ok()?.get("__type")?.as_str().map(str::to_owned);
    xml.or_else(json).unwrap_or_else(|| "error".into())
}

/// Lets the fault have the answer, and hands the request's place in the statistics to its body.
fn finish(
    mut answer: Response<Body>,
    in_flight: InFlight,
    outcome: &str,
    fault: Option<&Fault>,
) -> Result<Response<Body>, Reset> {
    let ok = outcome == "ok";
    let length = answer.body().len();
    let outcome = match fault {
        Some(Fault::ResetAfter) => {
            in_flight.outcome("reset-after", 0);
            return Err(Reset);
        }
        Some(Fault::Cut) if ok => {
            answer.body_mut().cut();
            "cut"
        }
        Some(Fault::Corrupt) if ok => {
            answer.body_mut().corrupt();
            "corrupt"
        }
        Some(Fault::Slow { bytes_per_second }) => {
            answer.body_mut().slow(*bytes_per_second);
            outcome
        }
        _ => outcome,
    };
    in_flight.outcome(outcome, length);
    answer.body_mut().carry(in_flight);
    // A client that reads the length knows that nothing follows; with an empty body the place is free at once.
    Ok(answer)
}

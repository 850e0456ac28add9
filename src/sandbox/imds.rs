//! Instance metadata (IMDSv2), as a process on an instance asks for it: a token first, then what it wants to know.
//!
//! It plays one instance, in the region of the scenario's first profile, without a public address. A question without
//! a good token is refused, as where version 1 is turned off.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};

use super::Sandbox;
use super::body::Body;

const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN: &str = "x-aws-ec2-metadata-token";
/// What is given out.
const GIVEN: &str = "AQAEAFloeSandboxTokenOfThisInstance==";
/// The longest that a token may be asked to live: six hours.
const TTL_MOST: u32 = 21_600;
/// What it is.
pub(super) const KIND: &str = "r5b.large";

/// Whether a request is meant for this service: its headers say so, no bucket's requests carry them.
pub(super) fn is_for(request: &Request<Bytes>) -> bool {
    request.uri().path().starts_with("/latest/")
        && (request.headers().contains_key(TTL) || request.headers().contains_key(TOKEN))
}

/// Answers it.
pub(super) fn handle(sandbox: &Sandbox, request: &Request<Bytes>) -> Response<Body> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let (method, path) = (request.method().as_str(), request.uri().path());
    if path == "/latest/api/token" {
        let ttl = header(TTL).and_then(|text| text.parse::<u32>().ok()).filter(|ttl| (1..=TTL_MOST).contains(ttl));
        return match (method, ttl) {
            ("PUT", Some(ttl)) => {
                let mut answer = text(StatusCode::OK, GIVEN.to_owned());
                answer.headers_mut().insert(TTL, HeaderValue::from(ttl));
                answer
            }
            ("PUT", None) => text(StatusCode::BAD_REQUEST, String::new()),
            _ => text(StatusCode::METHOD_NOT_ALLOWED, String::new()),
        };
    }
    if header(TOKEN) != Some(GIVEN) {
        return text(StatusCode::UNAUTHORIZED, String::new());
    }
    let region = sandbox.profiles().first().map(|profile| profile.region.to_string()).unwrap_or_default();
    match path {
        "/latest/meta-data/placement/region" => text(StatusCode::OK, region),
        "/latest/meta-data/placement/availability-zone" => text(StatusCode::OK, format!("{region}a")),
        "/latest/meta-data/instance-type" => text(StatusCode::OK, KIND.to_owned()),
        "/latest/meta-data/local-ipv4" => text(StatusCode::OK, "10.0.0.7".to_owned()),
        _ => text(StatusCode::NOT_FOUND, String::new()),
    }
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Options;

    fn ask(method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
        let sandbox = Sandbox::new(&Options::default()).unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        handle(&sandbox, &request.body(Bytes::new()).unwrap()).status().as_u16()
    }

    #[test]
    fn nothing_is_told_without_a_token() {
        assert_eq!(ask("PUT", "/latest/api/token", &[(TTL, "21600")]), 200);
        assert_eq!(ask("PUT", "/latest/api/token", &[(TTL, "21601")]), 400);
        assert_eq!(ask("GET", "/latest/api/token", &[(TTL, "60")]), 405);
        assert_eq!(ask("GET", "/latest/meta-data/instance-type", &[(TOKEN, "other")]), 401);
        assert_eq!(ask("GET", "/latest/meta-data/instance-type", &[(TOKEN, GIVEN)]), 200);
        assert_eq!(ask("GET", "/latest/meta-data/public-ipv4", &[(TOKEN, GIVEN)]), 404, "it has none");
    }
}

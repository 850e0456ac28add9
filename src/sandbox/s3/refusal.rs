//! What S3 refuses, in its own XML, and how the front's refusals are spelled in it.

use std::borrow::Cow;

use http::{HeaderValue, Method, Response, StatusCode};

use crate::sandbox::body::Body;
use crate::sandbox::faults::Fault;
use crate::sandbox::sigv4;
use crate::sandbox::wire::escape;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// `NoSuchKey`, …
    pub code: Cow<'static, str>,
    /// One sentence.
    pub message: String,
    /// What the error's document names beside it: `Key`, `BucketName`, …
    pub details: Vec<(&'static str, String)>,
    /// Headers that belong to it.
    pub headers: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), details: Vec::new(), headers: Vec::new() }
    }

    pub(super) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn naming(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.details.push((name, value.into()));
        self
    }

    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn no_bucket(bucket: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist")
            .naming("BucketName", bucket)
    }

    pub(super) fn no_key(key: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.").naming("Key", key)
    }

    pub(super) fn no_upload(id: &str) -> Self {
        let message = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been \
                       aborted or completed.";
        Self::new(StatusCode::NOT_FOUND, "NoSuchUpload", message).naming("UploadId", id)
    }

    pub(super) fn precondition(condition: &'static str) -> Self {
        let message = "At least one of the pre-conditions you specified did not hold";
        Self::new(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message).naming("Condition", condition)
    }

    /// The key was removed while a conditional write was under way.
    pub(super) fn conflict(key: &str, condition: &'static str) -> Self {
        let message = "The conditional request cannot succeed due to a conflicting operation against this resource.";
        Self::new(StatusCode::CONFLICT, "ConditionalRequestConflict", message)
            .naming("Condition", condition)
            .naming("Key", key)
    }

    pub(super) fn argument(name: &'static str, value: &str, message: &str) -> Self {
        Self::bad("InvalidArgument", message).naming("ArgumentName", name).naming("ArgumentValue", value)
    }

    pub(super) fn malformed() -> Self {
        let message = "The XML you provided was not well-formed or did not validate against our published schema";
        Self::bad("MalformedXML", message)
    }

    pub(super) fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "sandbox: S3's store failed");
        let message = "We encountered an internal error. Please try again.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// Because of the signature.
    pub(in crate::sandbox) fn signature(refusal: &sigv4::Refusal) -> Self {
        use sigv4::Refusal as Why;
        let forbidden = |code, message: &str| Self::new(StatusCode::FORBIDDEN, code, message);
        match refusal {
            Why::Missing => forbidden("AccessDenied", "Access Denied"),
            Why::Malformed(what) => {
                Self::bad("AuthorizationHeaderMalformed", format!("The authorization header is malformed; {what}"))
            }
            Why::UnknownKey => {
                forbidden("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
            }
            Why::Wrong(what) if what.contains("x-amz-content-sha256") => {
                Self::bad("XAmzContentSHA256Mismatch", what.clone())
            }
            Why::Wrong(what) => forbidden("SignatureDoesNotMatch", what),
            Why::Skewed(_) => forbidden(
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
            ),
            Why::Expired => Self::bad("ExpiredToken", "The provided token has expired."),
        }
    }

    /// Because the region is not enabled for the account.
    pub(in crate::sandbox) fn region(region: &str) -> Self {
        Self::bad(
            "IllegalLocationConstraintException",
            format!("The {region} location constraint is incompatible for the region specific endpoint."),
        )
    }

    /// Because a fault says so.
    pub(in crate::sandbox) fn fault(fault: &Fault) -> Self {
        match fault {
            Fault::Refuse { status, code, message, .. } => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                Self::new(status, code.clone(), message.clone())
            }
            Fault::DenyKey => Self::new(
                StatusCode::FORBIDDEN,
                "AccessDenied",
                "User is not authorized to perform: kms:GenerateDataKey on this resource because no identity-based policy allows the kms:GenerateDataKey action",
            ),
            // S3 says some errors after it has begun to answer: with 200, and in the body.
            Fault::LateError => {
                Self::new(StatusCode::OK, "InternalError", "We encountered an internal error. Please try again.")
            }
            Fault::Deny => Self::new(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied"),
            Fault::ThrottleSnapshot | Fault::ThrottleAccount => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "Please reduce your request rate.")
            }
            Fault::ThrottleDependency => Self::bad(
                "KMS.ThrottlingException",
                "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.",
            ),
            Fault::Unavailable => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "Service is unable to handle request.")
            }
            _ => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalError",
                "We encountered an internal error. Please try again.",
            ),
        }
    }

    /// The answer: a document, except to HEAD, whose answers have no body.
    pub(in crate::sandbox) fn answer(&self, method: &Method, request_id: &str) -> Response<Body> {
        let silent = method == Method::HEAD || self.status == StatusCode::NOT_MODIFIED;
        let mut answer = Response::new(if silent { Body::default() } else { Body::from(self.document(request_id)) });
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        if !silent {
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        }
        for (name, value) in &self.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(*name, value);
            }
        }
        answer
    }

    pub(super) fn document(&self, request_id: &str) -> String {
        let details: String =
            self.details.iter().map(|(name, value)| format!("<{name}>{}</{name}>", escape(value))).collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>{details}\
             <RequestId>{request_id}</RequestId><HostId>floe-sandbox</HostId></Error>",
            self.code,
            escape(&self.message)
        )
    }
}

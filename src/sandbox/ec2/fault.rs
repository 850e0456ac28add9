//! Refusals of EC2: a status, a code and a sentence, as the service words them.
//!
//! Clients branch on the code and people read the sentence, so both are EC2's own where they are known. Every
//! action of this room fails with a [`Fault`]; `super::handle` turns it into XML.

use http::StatusCode;

use crate::sandbox::wire;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// HTTP status.
    pub status: StatusCode,
    /// EC2's error code.
    pub code: &'static str,
    /// EC2's message.
    pub message: String,
}

impl Fault {
    /// The caller's mistake: status 400.
    pub fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    /// A value that does not fit its parameter.
    pub fn value(parameter: &str, value: &str, expected: &str) -> Self {
        Self::bad(
            "InvalidParameterValue",
            format!("Value ( {value} ) for parameter {parameter} is invalid. {expected}").trim_end().to_owned(),
        )
    }

    /// A parameter that the action cannot do without.
    pub fn missing(parameter: &str) -> Self {
        Self::bad("MissingParameter", format!("The request must contain the parameter {parameter}"))
    }

    /// Two parameters that exclude each other.
    pub fn combination(one: &str, other: &str) -> Self {
        Self::bad(
            "InvalidParameterCombination",
            format!("The parameter {one} cannot be used with the parameter {other}"),
        )
    }

    /// The caller may not do this; `why` follows the action ("with an explicit deny in …").
    pub fn unauthorized(user_arn: &str, action: &str, why: &str) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            code: "UnauthorizedOperation",
            message: format!(
                "You are not authorized to perform this operation. User: {user_arn} is not authorized to perform: \
                 ec2:{action} {why}"
            ),
        }
    }

    /// Credentials that the region does not know: also what a region that is not opted in answers.
    pub fn auth_failure() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            code: "AuthFailure",
            message: "AWS was not able to validate the provided access credentials".to_owned(),
        }
    }

    /// What a request with `DryRun` gets when it would have worked.
    pub fn dry_run() -> Self {
        Self {
            status: StatusCode::PRECONDITION_FAILED,
            code: "DryRunOperation",
            message: "Request would have succeeded, but DryRun flag is set.".to_owned(),
        }
    }

    /// The sandbox could not keep what it was told to.
    pub fn internal(cause: &std::io::Error) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "InternalError",
            message: format!("An internal error has occurred ({cause})"),
        }
    }

    /// As EC2 writes it on the wire.
    #[must_use]
    pub fn reply(&self, request_id: &str) -> (StatusCode, String) {
        wire::ec2_error(self.status, self.code, &self.message, request_id)
    }
}

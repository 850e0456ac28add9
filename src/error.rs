//! Errors as product text: what failed and where, what is safe, the one thing to do.
//!
//! Built where the cause is known (the boundary to AWS, a file, a command line) and never re-worded
//! above; a front prints [`Error`] as it is. [`Class`] says what the engine's one retry layer does with
//! it, [`Kind`] what the process's exit code is. No secret is ever put into one.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{BlockIndex, Profile, Region};

/// The result of everything in floe that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a failure means for the one who asked; each kind has one exit code (DESIGN §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It was tried and did not work.
    Failed,
    /// The question was wrong: nothing was tried.
    Usage,
    /// Finished, but some items failed.
    Partial,
    /// Stopped and resumable.
    Stopped,
    /// Refused for safety, or a question that nobody can answer.
    Refused,
}

impl Kind {
    /// The exit code that scripts depend on.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Partial => 3,
            Self::Stopped => 4,
            Self::Refused => 5,
        }
    }
}

/// Which limit a throttle came from: each moves its own limiter and never the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// `RESOURCE_LEVEL_THROTTLE`: this snapshot's own limit.
    Snapshot,
    /// `ThrottlingException`, `ACCOUNT_THROTTLED`: the account's limit for this API in this region.
    Account,
    /// `DEPENDENCY_REQUEST_THROTTLED`: something behind the API, KMS in practice.
    Dependency,
}

/// What the engine does about a failed request: the rows of the error table (`aws/classify.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// 5xx, resets, cut bodies, wrong checksums: try again, with jitter, on a new connection.
    Transient,
    /// Slow down the limiter of that level, then try again.
    Throttled(Level),
    /// The service gave up reading us, or a deadline passed: halve the window, then try again.
    Congestion,
    /// Our clock and theirs differ: correct it, then try once more at once.
    ClockSkew,
    /// Credentials ended or are missing: the job waits for new ones.
    Credentials,
    /// A block token is no longer accepted: list that page again.
    StaleToken,
    /// A page token is no longer accepted: list again from the last index.
    StalePage,
    /// Not visible yet (a snapshot just started): try again for a bounded time.
    NotYet,
    /// A quota of things, not of requests (pending snapshots): queue the job.
    Quota,
    /// It will not get better: stop within a second.
    Permanent,
}

/// What AWS said, word for word.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AwsDetail {
    /// The operation, as in IAM: `ebs:GetSnapshotBlock`.
    pub operation: String,
    /// The error code: `ValidationException`, `InvalidSnapshot.NotFound`.
    pub code: String,
    /// EBS direct's `Reason`, when there is one.
    pub reason: Option<String>,
    /// Its message.
    pub message: String,
    /// HTTP status.
    pub status: Option<u16>,
    /// The request id to quote to AWS Support.
    pub request_id: Option<String>,
}

impl AwsDetail {
    /// What it is called in a sentence: its code, or the status of an answer that has none (a proxy's page).
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        match (self.code.as_str(), self.status) {
            ("", Some(status)) => Cow::Owned(format!("HTTP {status}")),
            ("", None) => Cow::Borrowed("no answer"),
            (code, _) => Cow::Borrowed(code),
        }
    }
}

/// One failure, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// Decides the exit code.
    pub kind: Kind,
    /// Decides what the retry layer does.
    pub class: Class,
    /// What failed, on what: one sentence without a full stop.
    pub what: String,
    /// The one thing to do next, copyable where it is a command.
    pub todo: Option<String>,
    /// The region it happened in.
    pub region: Option<Region>,
    /// The block it happened on.
    pub block: Option<BlockIndex>,
    /// The profile whose credentials it is about.
    #[serde(default)]
    pub profile: Option<Profile>,
    /// AWS's own words.
    pub aws: Option<Box<AwsDetail>>,
}

impl Error {
    fn of(kind: Kind, class: Class, what: impl Into<String>) -> Self {
        Self { kind, class, what: what.into(), todo: None, region: None, block: None, profile: None, aws: None }
    }

    /// Tried, and it will not get better.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::of(Kind::Failed, Class::Permanent, what)
    }
    /// Tried, and worth trying again.
    pub fn transient(what: impl Into<String>) -> Self {
        Self::of(Kind::Failed, Class::Transient, what)
    }
    /// Tried, with a class of its own.
    pub fn classed(class: Class, what: impl Into<String>) -> Self {
        Self::of(Kind::Failed, class, what)
    }
    /// The question was wrong.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::of(Kind::Usage, Class::Permanent, what)
    }
    /// Refused for safety.
    pub fn refused(what: impl Into<String>) -> Self {
        Self::of(Kind::Refused, Class::Permanent, what)
    }
    /// Stopped, and can go on.
    pub fn stopped(what: impl Into<String>) -> Self {
        Self::of(Kind::Stopped, Class::Permanent, what)
    }
    /// Finished with some items failed.
    pub fn partial(what: impl Into<String>) -> Self {
        Self::of(Kind::Partial, Class::Permanent, what)
    }
    /// A failed file operation; full disks and missing rights get their own advice.
    pub fn io(what: impl Into<String>, cause: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let error = Self::failed(format!("{}: {cause}", what.into()));
        match cause.kind() {
            // Waited for: a job gives its memory back and goes on when there is room.
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                Self { class: Class::Quota, ..error }.todo("free some space; what waits for it goes on by itself")
            }
            ErrorKind::PermissionDenied => error.todo("check the owner and mode of that path"),
            ErrorKind::ReadOnlyFilesystem => error.todo("choose a place that is writable"),
            _ => error,
        }
    }

    /// A disk of this machine has no room: waited for, where something can wait. (AWS's quotas are of the same class.)
    #[must_use]
    pub fn is_full_disk(&self) -> bool {
        self.class == Class::Quota && self.aws.is_none()
    }

    /// Adds the next step.
    #[must_use]
    pub fn todo(mut self, todo: impl Into<String>) -> Self {
        self.todo = Some(todo.into());
        self
    }
    /// Adds where it happened.
    #[must_use]
    pub fn in_region(mut self, region: &Region) -> Self {
        self.region = Some(region.clone());
        self
    }
    /// Adds the block it happened on.
    #[must_use]
    pub fn at_block(mut self, block: BlockIndex) -> Self {
        self.block = Some(block);
        self
    }
    /// Adds whose credentials it is about.
    #[must_use]
    pub fn of_profile(mut self, profile: Option<&Profile>) -> Self {
        self.profile = profile.cloned();
        self
    }
    /// Adds AWS's own words.
    #[must_use]
    pub fn with_aws(mut self, detail: AwsDetail) -> Self {
        self.aws = Some(Box::new(detail));
        self
    }
    /// Puts what was being done in front: `what` first, the cause after a colon.
    #[must_use]
    pub fn during(mut self, doing: impl fmt::Display) -> Self {
        self.what = format!("{doing}: {}", self.what);
        self
    }
    /// Whether AWS answered with this code.
    #[must_use]
    pub fn has_code(&self, code: &str) -> bool {
        self.aws.as_ref().is_some_and(|aws| aws.code == code)
    }
}

impl fmt::Display for Error {
    /// `what (region, block 42; ebs:GetSnapshotBlock ValidationException/INVALID_BLOCK_TOKEN 400, request …)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        let mut context = Vec::new();
        if let Some(region) = &self.region {
            context.push(region.to_string());
        }
        if let Some(block) = self.block {
            context.push(format!("block {block}"));
        }
        if let Some(aws) = &self.aws {
            let mut text = format!("{} {}", aws.operation, aws.name());
            if let Some(reason) = &aws.reason {
                text.push('/');
                text.push_str(reason);
            }
            if let Some(status) = aws.status.filter(|_| !aws.code.is_empty()) {
                text.push_str(&format!(" {status}"));
            }
            if let Some(id) = &aws.request_id {
                text.push_str(&format!(", request {id}"));
            }
            context.push(text);
        }
        if !context.is_empty() {
            write!(f, " ({})", context.join("; "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_code_has_a_name() {
        let page = AwsDetail { operation: "rbin:ListRules".into(), status: Some(404), ..AwsDetail::default() };
        assert_eq!(page.name(), "HTTP 404");
        assert_eq!(AwsDetail { status: None, ..page.clone() }.name(), "no answer");
        assert_eq!(AwsDetail { code: "Blocked".into(), ..page.clone() }.name(), "Blocked");
        assert_eq!(Error::failed("nothing").with_aws(page).to_string(), "nothing (rbin:ListRules HTTP 404)");
    }

    #[test]
    fn an_error_speaks() {
        let error = Error::classed(Class::StaleToken, "could not read snap-0abc1234")
            .at_block(BlockIndex(42))
            .with_aws(AwsDetail {
                operation: "ebs:GetSnapshotBlock".into(),
                code: "ValidationException".into(),
                reason: Some("INVALID_BLOCK_TOKEN".into()),
                message: "Invalid token".into(),
                status: Some(400),
                request_id: Some("r-1".into()),
            });
        assert_eq!(
            error.to_string(),
            "could not read snap-0abc1234 (block 42; ebs:GetSnapshotBlock ValidationException/INVALID_BLOCK_TOKEN 400, request r-1)"
        );
        assert!(error.has_code("ValidationException"));
    }

    #[test]
    fn exit_codes_are_those_that_scripts_know() {
        let codes = [Kind::Failed, Kind::Usage, Kind::Partial, Kind::Stopped, Kind::Refused].map(Kind::exit_code);
        assert_eq!(codes, [1, 2, 3, 4, 5]);
    }
}

//! The one table from what AWS said to what floe does about it (DESIGN §3, rule 4).
//!
//! Rows are tried from the top; the first that fits decides. Sources: the service models, the user guide's
//! error pages and the trackers of other clients, for codes that no model lists (`ThrottlingException` on EBS
//! direct, "Failed to read block data", both spellings of `RequestThrott(l)edException`).
//! The words of an error are made here too, so that nobody above words them again.

use crate::error::{AwsDetail, Class, Error, Kind, Level};
use crate::ids::Region;

/// What an error answer said, whoever read it.
#[derive(Debug, Clone, Default)]
pub(super) struct Said {
    /// As in IAM: `ebs:GetSnapshotBlock`.
    pub(super) operation: &'static str,
    pub(super) status: Option<u16>,
    pub(super) code: String,
    pub(super) reason: Option<String>,
    pub(super) message: String,
    pub(super) request_id: Option<String>,
}

/// One condition of a row; an empty list of words fits everything.
#[derive(Debug)]
struct Row {
    operations: &'static [&'static str],
    codes: &'static [&'static str],
    reasons: &'static [&'static str],
    /// Part of the message, in any case.
    message: &'static str,
    class: Class,
}

const ANY: &[&str] = &[];
const PUT: &[&str] = &["ebs:PutSnapshotBlock"];
/// What is asked of a snapshot that has just been started or copied, before every part of AWS knows of it.
/// Of one that nobody has just made, "not found" stays permanent: the retry layer has no start to count from.
const MAY_BE_YOUNG: &[&str] = &[
    "ebs:PutSnapshotBlock",
    "ebs:CompleteSnapshot",
    "ebs:ListSnapshotBlocks",
    "ebs:ListChangedBlocks",
    "ebs:GetSnapshotBlock",
];
const THROTTLED: &[&str] = &["RequestThrottledException", "RequestThrottleException"];

const fn row(
    operations: &'static [&'static str],
    codes: &'static [&'static str],
    reasons: &'static [&'static str],
    message: &'static str,
    class: Class,
) -> Row {
    Row { operations, codes, reasons, message, class }
}

const TABLE: &[Row] = &[
    // Throttles: the reason says whose limit it was, the code where there is no reason.
    row(ANY, THROTTLED, &["DEPENDENCY_REQUEST_THROTTLED"], "", Class::Throttled(Level::Dependency)),
    row(ANY, THROTTLED, &["ACCOUNT_THROTTLED"], "", Class::Throttled(Level::Account)),
    row(ANY, THROTTLED, ANY, "", Class::Throttled(Level::Snapshot)),
    row(
        ANY,
        &[
            "ThrottlingException",
            "Throttling",
            "ThrottledException",
            "RequestLimitExceeded",
            "TooManyRequestsException",
            "SlowDown",
            "BandwidthLimitExceeded",
            "EC2ThrottledException",
            "PriorRequestNotComplete",
        ],
        ANY,
        "",
        Class::Throttled(Level::Account),
    ),
    // The service gave up reading us: the uplink is full.
    row(ANY, &["ValidationException"], &["WRITE_REQUEST_TIMEOUT"], "", Class::Congestion),
    row(ANY, &["ValidationException"], ANY, "failed to read block data", Class::Congestion),
    row(ANY, &["RequestTimeout", "RequestTimeoutException"], ANY, "", Class::Congestion),
    // S3: two writers of one key met, or what came is not what was sent.
    row(ANY, &["ConditionalRequestConflict", "OperationAborted"], ANY, "", Class::Transient),
    row(ANY, &["BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"], ANY, "", Class::Transient),
    // Two puts of one block met, usually ours and its retry.
    row(ANY, &["ValidationException"], &["CONFLICTING_BLOCK_UPDATE"], "", Class::Transient),
    // Tokens that ended.
    row(ANY, &["ValidationException"], &["INVALID_BLOCK_TOKEN"], "", Class::StaleToken),
    row(ANY, &["ValidationException"], &["INVALID_PAGE_TOKEN"], "", Class::StalePage),
    // Known to StartSnapshot, not yet to everybody (seen for up to two minutes).
    row(MAY_BE_YOUNG, &["ResourceNotFoundException"], &["SNAPSHOT_NOT_FOUND", ""], "", Class::NotYet),
    row(
        PUT,
        &["ResourceNotFoundException"],
        &["GRANT_NOT_FOUND", "DEPENDENCY_RESOURCE_NOT_FOUND", "IMAGE_NOT_FOUND"],
        "",
        Class::Permanent,
    ),
    row(PUT, &["ResourceNotFoundException"], ANY, "", Class::NotYet),
    // Clocks. `InvalidSignatureException` has three causes; its message tells the clock's.
    row(ANY, &["RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"], ANY, "", Class::ClockSkew),
    row(
        ANY,
        &["InvalidSignatureException", "SignatureDoesNotMatch", "AuthFailure"],
        ANY,
        "signature expired",
        Class::ClockSkew,
    ),
    row(
        ANY,
        &["InvalidSignatureException", "SignatureDoesNotMatch", "AuthFailure"],
        ANY,
        "signature not yet current",
        Class::ClockSkew,
    ),
    // Credentials.
    row(
        ANY,
        &[
            "ExpiredToken",
            "ExpiredTokenException",
            "UnrecognizedClientException",
            "UnrecognizedClient",
            "InvalidClientTokenId",
            "InvalidAccessKeyId",
            "InvalidToken",
            "TokenRefreshRequired",
            "AuthFailure",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "IncompleteSignature",
            "IncompleteSignatureException",
            "UnauthorizedException",
            "InvalidSecurity",
            "NoCredentials",
        ],
        ANY,
        "",
        Class::Credentials,
    ),
    // Quotas of things.
    row(
        ANY,
        &[
            "ConcurrentLimitExceededException",
            "ServiceQuotaExceededException",
            "ConcurrentSnapshotLimitExceeded",
            "PendingSnapshotLimitExceeded",
            "SnapshotLimitExceeded",
            "ResourceLimitExceeded",
            "SnapshotCreationPerVolumeRateExceeded",
        ],
        ANY,
        "",
        Class::Quota,
    ),
    row(
        ANY,
        &[
            "InternalServerException",
            "InternalError",
            "InternalFailure",
            "ServiceUnavailable",
            "Unavailable",
            "ServiceUnavailableException",
        ],
        ANY,
        "",
        Class::Transient,
    ),
];

/// What to do about it.
pub(super) fn classify(said: &Said) -> Class {
    let message = said.message.to_ascii_lowercase();
    let fits = |words: &[&str], text: &str| words.is_empty() || words.contains(&text);
    let found = TABLE.iter().find(|row| {
        fits(row.operations, said.operation)
            && fits(row.codes, &said.code)
            && fits(row.reasons, said.reason.as_deref().unwrap_or_default())
            && message.contains(row.message)
    });
    match (found, said.status) {
        (Some(row), _) => row.class,
        // S3's own word for it is in a body, which the answer to a HEAD has not.
        (None, Some(503)) if said.code.is_empty() && said.operation.starts_with("s3:") => {
            Class::Throttled(Level::Account)
        }
        (None, Some(status)) if status >= 500 || status == 408 => Class::Transient,
        (None, Some(429)) => Class::Throttled(Level::Account),
        _ => Class::Permanent,
    }
}

/// The error for an answer: `what` was tried, in words, without a full stop.
/// `mend` gives the command for fresh credentials and is asked only where they are the cause.
pub(super) fn error(said: Said, what: impl Into<String>, region: &Region, mend: &dyn Fn() -> String) -> Error {
    let class = classify(&said);
    let mut error = Error::classed(class, format!("{}: {}", what.into(), sentence(&said))).in_region(region);
    error.todo = todo(&said, class, mend);
    if said.code == "OptInRequired"
        || said.code == "InvalidSnapshotID.Malformed"
        || said.code == "InvalidSnapshot.Malformed"
    {
        error.kind = Kind::Usage;
    }
    error.with_aws(AwsDetail {
        operation: said.operation.to_owned(),
        code: said.code,
        reason: said.reason,
        message: said.message,
        status: said.status,
        request_id: said.request_id,
    })
}

/// AWS's message, or what its reason means where the message is empty or says nothing.
fn sentence(said: &Said) -> String {
    let meaning = match said.reason.as_deref() {
        Some("DEPENDENCY_ACCESS_DENIED") => "KMS refused the use of the snapshot's key",
        Some("DEPENDENCY_REQUEST_THROTTLED") => "KMS throttled the service behind the call",
        Some("RESOURCE_LEVEL_THROTTLE") => "this snapshot's own request limit is reached",
        Some("ACCOUNT_THROTTLED") => "the account's request limit is reached",
        Some("UNRELATED_SNAPSHOTS") => "the two snapshots are not of one lineage",
        Some("UNAUTHORIZED_ACCOUNT") => "the account may not use this API",
        Some("INVALID_CUSTOMER_KEY") => "the KMS key cannot be used (disabled, deleted, or of another region)",
        _ => "",
    };
    let message = said.message.trim().trim_end_matches('.');
    match (meaning.is_empty(), message.is_empty()) {
        (true, true) if said.code.is_empty() => {
            said.status.map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"))
        }
        (true, true) => said.code.clone(),
        (true, false) => message.to_owned(),
        (false, true) => meaning.to_owned(),
        (false, false) => format!("{meaning} ({message})"),
    }
}

fn todo(said: &Said, class: Class, mend: &dyn Fn() -> String) -> Option<String> {
    let kms = "allow kms:Decrypt, kms:GenerateDataKeyWithoutPlaintext, kms:ReEncrypt*, kms:CreateGrant and \
               kms:DescribeKey on that key";
    Some(match class {
        Class::Credentials => mend(),
        Class::ClockSkew => CLOCK.to_owned(),
        Class::Throttled(level) => throttled(said.operation, level)?,
        Class::Quota => quota(&said.code),
        Class::Permanent => match (said.code.as_str(), said.reason.as_deref()) {
            (_, Some("DEPENDENCY_ACCESS_DENIED" | "INVALID_CUSTOMER_KEY" | "GRANT_NOT_FOUND")) => kms.to_owned(),
            (_, Some("UNRELATED_SNAPSHOTS")) => {
                "compare snapshots of one volume, or of one chain of copies; `floe verify` compares any two".to_owned()
            }
            ("AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation", _) => {
                let verb = verb(said.operation);
                format!("allow {} (floe iam {verb} prints the least policy)", said.operation)
            }
            ("NoSuchBucket", _) => "check the name of the bucket; floe makes no buckets".to_owned(),
            ("NoSuchKey", _) => "check the key: floe ls archives s3://BUCKET/PREFIX/".to_owned(),
            ("InvalidObjectState", _) => {
                "bring it back first: aws s3api restore-object --restore-request Days=1, and try again hours later"
                    .to_owned()
            }
            ("PreconditionFailed", _) if matches!(said.operation, "s3:GetObject" | "s3:CopyObject") => {
                "it was changed meanwhile: make a new plan".to_owned()
            }
            ("PermanentRedirect" | "AuthorizationHeaderMalformed", _) => {
                "the bucket is in another region: make a new plan".to_owned()
            }
            ("OptInRequired", _) => "enable the region in the account, or leave it out".to_owned(),
            ("InvalidSnapshot.NotFound" | "ResourceNotFoundException", _) => NOT_THERE.to_owned(),
            ("InvalidSnapshot.InUse", _) => "deregister the image that uses it first".to_owned(),
            _ => return None,
        },
        Class::NotYet => NOT_THERE.to_owned(),
        Class::Transient | Class::Congestion | Class::StaleToken | Class::StalePage => return None,
    })
}

/// What mends a clock that is off.
pub(in crate::aws) const CLOCK: &str = "set this machine's clock (timedatectl set-ntp true)";
const NOT_THERE: &str = "check the id, the region and the profile";

/// The quota's name and code (Service Quotas, service `ebs`).
fn throttled(operation: &str, level: Level) -> Option<String> {
    let (name, code, adjustable) = match (operation, level) {
        ("ebs:GetSnapshotBlock", Level::Account) => ("GetSnapshotBlock requests per account", "L-C125AE42", true),
        ("ebs:GetSnapshotBlock", Level::Snapshot) => ("GetSnapshotBlock requests per snapshot", "L-028ACFB9", false),
        ("ebs:PutSnapshotBlock", Level::Account) => ("PutSnapshotBlock requests per account", "L-AFAE1BE8", true),
        ("ebs:PutSnapshotBlock", Level::Snapshot) => ("PutSnapshotBlock requests per snapshot", "L-1774F84A", false),
        ("ebs:ListSnapshotBlocks", Level::Account) => ("ListSnapshotBlocks requests per account", "L-18E976AB", false),
        ("ebs:ListChangedBlocks", Level::Account) => ("ListChangedBlocks requests per account", "L-DB2FBAA1", false),
        ("ebs:StartSnapshot", Level::Account) => ("StartSnapshot requests per account", "L-AFEBDF7A", false),
        ("ebs:CompleteSnapshot", Level::Account) => ("CompleteSnapshot requests per account", "L-1D4D9345", false),
        (_, Level::Dependency) => return Some("ask for a higher KMS request quota, or use fewer lanes".to_owned()),
        _ => return None,
    };
    let ask = if adjustable { "can be raised in Service Quotas" } else { "is fixed" };
    Some(format!("quota `{name}` ({code}) {ask}"))
}

fn quota(code: &str) -> String {
    match code {
        "ConcurrentLimitExceededException" => {
            "quota `Pending snapshots per account` (L-94D7AB7D, 100): wait until one of them completes".to_owned()
        }
        "SnapshotLimitExceeded" => "quota `Snapshots per Region` (L-309BACF6): delete some, or ask for more".to_owned(),
        "ServiceQuotaExceededException" => "a KMS quota is reached: see Service Quotas, service kms".to_owned(),
        _ => "see Service Quotas, service ebs".to_owned(),
    }
}

/// The verb whose least policy holds the action.
fn verb(operation: &str) -> &'static str {
    match operation {
        "ebs:StartSnapshot"
        | "ebs:PutSnapshotBlock"
        | "ebs:CompleteSnapshot"
        | "ebs:GetSnapshotBlock"
        | "ec2:CreateTags" => "copy",
        "ebs:ListSnapshotBlocks" | "ebs:ListChangedBlocks" => "size",
        "ec2:DeleteSnapshot" => "delete",
        "pricing:GetProducts" => "prices",
        "s3:PutObject"
        | "s3:GetObject"
        | "s3:AbortMultipartUpload"
        | "s3:DeleteObject"
        | "s3:CopyObject"
        | "s3:GetObjectTagging"
        | "s3:PutObjectTagging"
        | "s3:ListMultipartUploadParts"
        | "s3:ListBucketMultipartUploads" => "copy",
        _ => "ls",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(operation: &'static str, status: u16, code: &str, reason: &str, message: &str) -> Said {
        Said {
            operation,
            status: Some(status),
            code: code.into(),
            reason: (!reason.is_empty()).then(|| reason.into()),
            message: message.into(),
            request_id: Some("r-1".into()),
        }
    }

    #[test]
    fn every_row_of_the_table_and_what_falls_through() {
        use Class::{
            ClockSkew, Congestion, Credentials, NotYet, Permanent, Quota, StalePage, StaleToken, Throttled, Transient,
        };
        const GET: &str = "ebs:GetSnapshotBlock";
        const PUT: &str = "ebs:PutSnapshotBlock";
        const LIST: &str = "ebs:ListSnapshotBlocks";
        const START: &str = "ebs:StartSnapshot";
        const COMPLETE: &str = "ebs:CompleteSnapshot";
        let cases = [
            (GET, 400, "RequestThrottledException", "RESOURCE_LEVEL_THROTTLE", "", Throttled(Level::Snapshot)),
            (GET, 400, "RequestThrottleException", "RESOURCE_LEVEL_THROTTLE", "", Throttled(Level::Snapshot)),
            (GET, 400, "RequestThrottledException", "", "", Throttled(Level::Snapshot)),
            (PUT, 400, "RequestThrottledException", "ACCOUNT_THROTTLED", "", Throttled(Level::Account)),
            (PUT, 400, "RequestThrottledException", "DEPENDENCY_REQUEST_THROTTLED", "", Throttled(Level::Dependency)),
            (PUT, 400, "ThrottlingException", "", "Rate exceeded", Throttled(Level::Account)),
            ("ec2:DescribeSnapshots", 503, "RequestLimitExceeded", "", "", Throttled(Level::Account)),
            (GET, 429, "", "", "", Throttled(Level::Account)),
            (PUT, 400, "ValidationException", "WRITE_REQUEST_TIMEOUT", "", Congestion),
            (PUT, 400, "ValidationException", "", "Failed to read block data", Congestion),
            (PUT, 400, "ValidationException", "CONFLICTING_BLOCK_UPDATE", "", Transient),
            (GET, 400, "ValidationException", "INVALID_BLOCK_TOKEN", "", StaleToken),
            (LIST, 400, "ValidationException", "INVALID_PAGE_TOKEN", "", StalePage),
            (GET, 400, "ValidationException", "INVALID_PARAMETER_VALUE", "", Permanent),
            (LIST, 400, "ValidationException", "UNRELATED_SNAPSHOTS", "", Permanent),
            (PUT, 404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", "", NotYet),
            (PUT, 404, "ResourceNotFoundException", "", "The snapshot 'snap-1' does not exist.", NotYet),
            (PUT, 404, "ResourceNotFoundException", "GRANT_NOT_FOUND", "", Permanent),
            (LIST, 404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", "", NotYet),
            (GET, 404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", "", NotYet),
            (LIST, 404, "ResourceNotFoundException", "", "", NotYet),
            (GET, 404, "ResourceNotFoundException", "GRANT_NOT_FOUND", "", Permanent),
            (GET, 403, "AccessDeniedException", "DEPENDENCY_ACCESS_DENIED", "", Permanent),
            (GET, 403, "AccessDeniedException", "UNAUTHORIZED_ACCOUNT", "", Permanent),
            (GET, 403, "InvalidSignatureException", "", "Signature expired: 2026 is now earlier than 2027", ClockSkew),
            (GET, 403, "InvalidSignatureException", "", "Signature not yet current", ClockSkew),
            ("ec2:DescribeSnapshots", 400, "RequestExpired", "", "Request has expired.", ClockSkew),
            (
                GET,
                403,
                "InvalidSignatureException",
                "",
                "The request signature we calculated does not match",
                Credentials,
            ),
            (GET, 403, "ExpiredTokenException", "", "The security token included is expired", Credentials),
            ("ec2:DescribeSnapshots", 400, "ExpiredToken", "", "", Credentials),
            (GET, 403, "UnrecognizedClientException", "", "", Credentials),
            ("ec2:DescribeSnapshots", 401, "AuthFailure", "", "AWS was not able to validate", Credentials),
            (START, 400, "ConcurrentLimitExceededException", "", "", Quota),
            (START, 402, "ServiceQuotaExceededException", "DEPENDENCY_SERVICE_QUOTA_EXCEEDED", "", Quota),
            (START, 400, "PendingSnapshotLimitExceeded", "", "", Quota),
            (START, 400, "ConcurrentSnapshotLimitExceeded", "", "", Quota),
            ("ec2:CopySnapshot", 400, "ResourceLimitExceeded", "", "Too many snapshot copies in progress", Quota),
            ("s3:PutObject", 503, "SlowDown", "", "Please reduce your request rate.", Throttled(Level::Account)),
            ("s3:GetObject", 503, "", "", "", Throttled(Level::Account)),
            ("s3:GetObject", 502, "", "", "", Transient),
            (GET, 503, "", "", "", Transient),
            ("s3:PutObject", 503, "ServiceUnavailable", "", "", Transient),
            ("s3:PutObject", 500, "InternalError", "", "", Transient),
            ("s3:PutObject", 409, "ConditionalRequestConflict", "", "", Transient),
            ("s3:PutObject", 412, "PreconditionFailed", "", "", Permanent),
            ("s3:PutObject", 400, "BadDigest", "", "", Transient),
            ("s3:PutObject", 400, "RequestTimeout", "", "", Congestion),
            ("s3:GetObject", 404, "NoSuchKey", "", "", Permanent),
            ("s3:GetObject", 403, "InvalidObjectState", "", "", Permanent),
            ("s3:GetObject", 403, "AccessDenied", "", "", Permanent),
            ("s3:ListBucket", 404, "NoSuchBucket", "", "", Permanent),
            ("s3:ListBucket", 403, "RequestTimeTooSkewed", "", "", ClockSkew),
            (START, 409, "ConflictException", "", "", Permanent),
            (START, 400, "ValidationException", "INVALID_CUSTOMER_KEY", "", Permanent),
            (START, 400, "ValidationException", "INVALID_VOLUME_SIZE", "", Permanent),
            (START, 400, "ValidationException", "INVALID_TAG", "", Permanent),
            (START, 404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", "", Permanent),
            (PUT, 400, "ValidationException", "INVALID_BLOCK", "", Permanent),
            (PUT, 404, "ResourceNotFoundException", "DEPENDENCY_RESOURCE_NOT_FOUND", "", Permanent),
            (PUT, 403, "AccessDeniedException", "DEPENDENCY_ACCESS_DENIED", "", Permanent),
            (PUT, 402, "ServiceQuotaExceededException", "DEPENDENCY_SERVICE_QUOTA_EXCEEDED", "", Quota),
            (COMPLETE, 404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", "", NotYet),
            (COMPLETE, 400, "ValidationException", "INVALID_PARAMETER_VALUE", "", Permanent),
            (COMPLETE, 400, "ThrottlingException", "", "Rate exceeded", Throttled(Level::Account)),
            (COMPLETE, 500, "InternalServerException", "", "", Transient),
            (LIST, 400, "ThrottlingException", "", "", Throttled(Level::Account)),
            (LIST, 403, "AccessDeniedException", "", "", Permanent),
            (LIST, 403, "ExpiredTokenException", "", "", Credentials),
            (GET, 500, "InternalServerException", "", "", Transient),
            (GET, 502, "", "", "Bad gateway", Transient),
            (GET, 503, "SomethingNew", "", "", Transient),
            (GET, 400, "SomethingNew", "", "", Permanent),
        ];
        for (operation, status, code, reason, message, class) in cases {
            let got = classify(&said(operation, status, code, reason, message));
            assert_eq!(got, class, "{operation} {status} {code}/{reason} {message}");
        }
    }

    #[test]
    fn an_error_names_the_permission_the_key_and_the_quota() {
        let region: Region = "eu-west-1".parse().expect("a region");
        let text = |said| {
            let error = error(said, "could not read snap-1", &region, &|| "aws sso login --profile prod".to_owned());
            format!("{error}\n{}", error.todo.as_deref().unwrap_or_default())
        };
        let denied = text(said("ebs:GetSnapshotBlock", 403, "AccessDeniedException", "", "not authorized."));
        assert!(denied.contains("allow ebs:GetSnapshotBlock") && denied.contains("request r-1"), "{denied}");
        let key = text(said("ebs:GetSnapshotBlock", 403, "AccessDeniedException", "DEPENDENCY_ACCESS_DENIED", ""));
        assert!(key.contains("KMS refused") && key.contains("kms:Decrypt"), "{key}");
        let limit = text(said("ebs:GetSnapshotBlock", 400, "ThrottlingException", "", "Rate exceeded"));
        assert!(limit.contains("L-C125AE42") && limit.contains("can be raised"), "{limit}");
        let gone = text(said("ebs:ListSnapshotBlocks", 404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", ""));
        assert!(gone.ends_with("check the id, the region and the profile"), "{gone}");
        let ended = text(said("ebs:GetSnapshotBlock", 403, "ExpiredTokenException", "", "expired"));
        assert!(ended.ends_with("aws sso login --profile prod"), "{ended}");
    }
}

//! S3 in one session: lists, ranged and conditional reads, checked and conditional writes, multipart uploads.
//!
//! No retries here: the engine owns the one retry layer, and one call is one request with its whole body. What is
//! written carries a SHA-256 that S3 checks before it says yes; mutating calls take a [`Grant`] and the root that it
//! names, and touch no key outside of it. Bodies are bounded by what was asked for.

mod buckets;
mod copy;
mod image;
mod objects;
mod parts;
mod uploads;

use std::sync::Arc;

use aws_config::retry::RetryConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig};
use aws_sdk_s3::types::OptionalObjectAttributes;
use serde::{Deserialize, Serialize};

pub use self::copy::{CopiedPart, CopyAs, CopyFrom, Properties, S3Facts, S3Sum, Sse};
pub use self::image::{Crc64, ImageHead, ImagePart, Over};
pub use self::objects::{S3Arriving, S3Bytes, S3Head, is_conflict, is_precondition};
pub use self::uploads::{PART_LEAST, PARTS_MAX, S3Part};
use super::context::Context;
use super::wire::SdkError;
use crate::error::{Class, Error, Result};
use crate::grant::{Call, Grant};
use crate::ids::Region;
use crate::units::Bytes;

/// What a temporary piece of an object has behind the object's key, before what tells one job's from another's.
pub const PIECE: &str = ".floe-";
/// S3 gives at most so many keys a page.
pub const KEYS_A_PAGE: u16 = 1000;

/// One object as a listing tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Object {
    /// Its whole key.
    pub key: String,
    /// Its length.
    pub bytes: Bytes,
    /// Its ETag, quotes left out.
    pub etag: String,
    /// Its storage class.
    pub class: String,
    /// Whether it has to be brought back (RestoreObject) before it can be read, and is not.
    pub asleep: bool,
}

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3Page {
    /// Keys in ascending order of their bytes.
    pub objects: Vec<S3Object>,
    /// What lies between two slashes, where it was asked for.
    pub folders: Vec<String>,
    /// The next page; `None` is the end.
    pub next: Option<String>,
}

/// How objects are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Keep {
    /// `STANDARD_IA`, `GLACIER_IR`, …; none leaves it to S3 (STANDARD).
    pub class: Option<String>,
    /// A KMS key for SSE-KMS; none leaves it to the bucket's default.
    pub kms_key: Option<String>,
    /// Tags of each object.
    pub tags: Vec<(String, String)>,
}

/// Where mutating calls of one plan may write: the bucket, and the root that the grant names.
#[derive(Debug, Clone)]
pub struct Root {
    /// The bucket.
    pub bucket: String,
    /// Everything that is written begins with it; it ends with a slash, or is the one key itself.
    pub prefix: String,
}

impl Root {
    /// As a grant names it.
    #[must_use]
    pub fn resource(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }

    /// Whether a key is its own: anything below a folder; of one object the object and its temporary pieces, and
    /// nothing else whose name begins alike.
    #[must_use]
    pub fn covers(&self, key: &str) -> bool {
        let Some(rest) = key.strip_prefix(self.prefix.as_str()) else { return false };
        let is_folder = self.prefix.is_empty() || self.prefix.ends_with('/');
        is_folder || rest.is_empty() || rest.starts_with(PIECE)
    }
}

/// S3 in one session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct S3 {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    context: Context,
    client: Client,
}

impl S3 {
    pub(super) fn new(context: Context) -> Self {
        let sdk = context.sdk();
        let mut config = aws_sdk_s3::config::Builder::from(&sdk)
            .retry_config(RetryConfig::disabled())
            .http_client(context.http().lean())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // Checksums are ours: the SDK's own would wrap the body in chunks with a trailer, and hash it again.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .timeout_config(
                aws_config::timeout::TimeoutConfig::builder()
                    .connect_timeout(super::http::CONNECT_TIMEOUT)
                    .disable_operation_attempt_timeout()
                    .build(),
            );
        if let Some(endpoint) = context.endpoint_of("S3") {
            // Other servers rarely have a name for every bucket.
            config = config.endpoint_url(endpoint).force_path_style(true);
        }
        let client = Client::from_conf(config.build());
        Self { inner: Arc::new(Inner { context, client }) }
    }

    /// The region in which this session asks.
    #[must_use]
    pub fn region(&self) -> &Region {
        self.inner.context.region()
    }

    fn failed<E>(&self, operation: &'static str, error: &SdkError<E>, what: String) -> Error
    where
        E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        let mut failed = self.inner.context.sdk_error(operation, error, what);
        // An answer to a HEAD has no body, so nothing but its status says what was wrong.
        if let Some(aws) = failed.aws.as_mut().filter(|aws| aws.code.is_empty() || aws.code == "NotFound") {
            match aws.status {
                Some(404) if operation == "s3:ListBucket" => aws.code = "NoSuchBucket".to_owned(),
                Some(404) => aws.code = "NoSuchKey".to_owned(),
                Some(403) if self.is_off(error) => {
                    aws.code = "RequestTimeTooSkewed".to_owned();
                    failed.class = Class::ClockSkew;
                    failed.todo = Some("set this machine's clock (timedatectl set-ntp true)".to_owned());
                }
                Some(403) => {
                    aws.code = "AccessDenied".to_owned();
                    failed.todo = Some(format!("allow {operation} and s3:ListBucket (floe iam copy)"));
                }
                _ => {}
            }
        }
        failed
    }

    /// Whether our clock is the reason of a refusal that does not say its own, by the time of the answer; then it is
    /// put right, and the next try works.
    fn is_off<E>(&self, error: &SdkError<E>) -> bool {
        let (clock, answer) = (self.inner.context.clock(), error.raw_response());
        let off = answer.and_then(|raw| raw.headers().get("date")).filter(|date| clock.is_off(date));
        off.is_some_and(|date| clock.learn(date)) || clock.was_just_corrected()
    }

    /// The region that a bucket is in. Asked from any region.
    ///
    /// # Errors
    /// There is no such bucket, or it may not be looked at.
    pub async fn bucket_region(&self, bucket: &str) -> Result<Region> {
        let named = |text: Option<&str>| text.and_then(|text| text.parse::<Region>().ok());
        match self.inner.client.head_bucket().bucket(bucket).send().await {
            Ok(answer) => Ok(named(answer.bucket_region()).unwrap_or_else(|| self.region().clone())),
            Err(error) => {
                let header = error.raw_response().and_then(|raw| raw.headers().get("x-amz-bucket-region"));
                let status = error.raw_response().map(|raw| raw.status().as_u16());
                if let (Some(region), Some(301 | 400 | 307)) = (named(header), status) {
                    return Ok(region);
                }
                let mut failed = self.failed("s3:ListBucket", &error, format!("could not look at bucket {bucket}"));
                if status == Some(404) {
                    failed.what = format!("there is no bucket {bucket}");
                    failed.todo = Some("check its name; floe makes no buckets".to_owned());
                }
                Err(failed)
            }
        }
    }

    /// One page of the keys that begin with `prefix`, those after `after` only; with `folders`, what has a slash
    /// behind it comes as a folder.
    ///
    /// # Errors
    /// As classified.
    pub async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        folders: bool,
        after: Option<&str>,
        token: Option<&str>,
    ) -> Result<S3Page> {
        let answer = self
            .inner
            .client
            .list_objects_v2()
            .bucket(bucket)
            .prefix(prefix)
            .set_delimiter(folders.then(|| "/".to_owned()))
            .set_start_after(after.filter(|_| token.is_none()).map(str::to_owned))
            .set_continuation_token(token.map(str::to_owned))
            .max_keys(i32::from(KEYS_A_PAGE))
            .optional_object_attributes(OptionalObjectAttributes::RestoreStatus)
            .send()
            .await
            .map_err(|error| self.failed("s3:ListBucket", &error, format!("could not list s3://{bucket}/{prefix}")))?;
        let objects = answer.contents.unwrap_or_default().into_iter().filter_map(|object| {
            let class = object.storage_class.map_or_else(|| "STANDARD".to_owned(), |c| c.as_str().to_owned());
            // What was brought back is known by the day when it falls asleep again.
            let awake = object.restore_status.is_some_and(|status| status.restore_expiry_date.is_some());
            Some(S3Object {
                key: object.key?,
                bytes: Bytes(u64::try_from(object.size?).ok()?),
                etag: unquoted(object.e_tag),
                asleep: needs_restore(&class) && !awake,
                class,
            })
        });
        let folder = |folder: aws_sdk_s3::types::CommonPrefix| folder.prefix;
        Ok(S3Page {
            objects: objects.collect(),
            folders: answer.common_prefixes.unwrap_or_default().into_iter().filter_map(folder).collect(),
            next: answer.next_continuation_token.filter(|token| !token.is_empty()),
        })
    }

    fn allow(&self, grant: &Grant, call: Call, root: &Root, key: &str) -> Result<()> {
        if !root.covers(key) {
            return Err(Error::refused(format!("{key} lies outside of {}", root.resource())));
        }
        self.inner.context.allow(grant, call, Some(&root.resource()))
    }
}

impl Keep {
    /// Tags as S3 takes them in a header: a query.
    fn tagging(&self) -> Option<String> {
        let pairs = self.tags.iter().map(|(key, value)| format!("{}={}", encoded(key), encoded(value)));
        let query = pairs.collect::<Vec<_>>().join("&");
        (!query.is_empty()).then_some(query)
    }

    /// Whether what is kept so has to be brought back before it can be read.
    #[must_use]
    pub fn needs_restore(&self) -> bool {
        self.class.as_deref().is_some_and(needs_restore)
    }
}

/// Whether objects of that class have to be brought back (RestoreObject) before they can be read.
#[must_use]
pub fn needs_restore(class: &str) -> bool {
    matches!(class, "GLACIER" | "DEEP_ARCHIVE")
}

/// Percent-encodes all but the unreserved characters.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

fn unquoted(etag: Option<String>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_written_as_a_query() {
        let keep = Keep {
            tags: vec![("a b".to_owned(), "x=y&ü".to_owned()), ("c".to_owned(), String::new())],
            ..Keep::default()
        };
        assert_eq!(keep.tagging().as_deref(), Some("a%20b=x%3Dy%26%C3%BC&c="));
        assert_eq!(Keep::default().tagging(), None);
    }

    #[test]
    fn classes_that_need_a_restore_are_known() {
        let of = |class: &str| Keep { class: Some(class.to_owned()), ..Keep::default() }.needs_restore();
        assert!(of("GLACIER") && of("DEEP_ARCHIVE"));
        assert!(!of("GLACIER_IR") && !of("STANDARD_IA") && !Keep::default().needs_restore());
    }

    #[test]
    fn a_root_covers_a_folder_or_one_object_with_its_pieces() {
        let root = |prefix: &str| Root { bucket: "vault".to_owned(), prefix: prefix.to_owned() };
        let image = root("web.img");
        assert!(image.covers("web.img") && image.covers("web.img.floe-7-0/00001"));
        for other in ["web.img2", "web.img/x", "web.img.sha256", "web.im", "other"] {
            assert!(!image.covers(other), "{other} is somebody else's");
        }
        assert!(root("ebs/").covers("ebs/snap-1/index") && !root("ebs/").covers("ebs2/x"));
        assert!(root("").covers("anything"));
    }
}

//! By what an object in S3 is pinned while it is read or copied: by its ETag always, and by its version where the bucket
//! keeps versions and whoever reads may read them.
//!
//! Who may read an object may not yet read its versions, so that is tried when the plan is made and never when it runs.

use crate::aws::Session;
use crate::error::{Error, Result};
use crate::inventory::archives::patiently;
use crate::plan::make::passed;
use crate::plan::model::{Finding, Level};

/// An object as it was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub bucket: &'a str,
    pub key: &'a str,
    pub etag: &'a str,
    /// Where the bucket keeps versions.
    pub version: Option<&'a str>,
    /// Whether it has tags that go with a copy: those of a version are a permission of their own.
    pub tagged: bool,
}

/// What holds an object still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pin {
    /// Its ETag: there are no versions.
    Etag,
    /// A version too: it is read whatever is written to the key.
    Version(String),
    /// Its ETag alone, because this action is denied: whoever writes to the key ends the copy.
    Denied(&'static str),
}

impl Pin {
    /// Tries whether each of these may read the version.
    ///
    /// # Errors
    /// The version is not there any more; or as classified.
    pub(super) async fn of(readers: &[&Session], seen: Seen<'_>) -> Result<Self> {
        let Seen { bucket, key, version: Some(version), .. } = seen else { return Ok(Self::Etag) };
        for reader in readers {
            match patiently(|| reader.s3().head_version(bucket, key, Some(version))).await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let what = format!("version {version} of s3://{bucket}/{key} is not there any more");
                    return Err(Error::failed(what).todo("make the plan again"));
                }
                Err(error) if error.has_code("AccessDenied") => return Ok(Self::Denied("s3:GetObjectVersion")),
                Err(error) => return Err(error),
            }
            if !seen.tagged {
                continue;
            }
            match patiently(|| reader.s3().tags(bucket, key, Some(version))).await {
                Ok(_) => {}
                Err(error) if error.has_code("AccessDenied") => return Ok(Self::Denied("s3:GetObjectVersionTagging")),
                Err(error) => return Err(error),
            }
        }
        Ok(Self::Version(version.to_owned()))
    }

    /// The version that is asked for.
    pub(super) fn version(&self) -> Option<String> {
        if let Self::Version(version) = self { Some(version.clone()) } else { None }
    }

    /// What a plan says of it.
    pub(super) fn finding(&self, seen: Seen<'_>) -> Finding {
        let by_etag = format!("s3://{}/{} is pinned by its ETag {}", seen.bucket, seen.key, seen.etag);
        match self {
            Self::Etag => passed(by_etag),
            Self::Version(version) => passed(format!("{by_etag} and its version {version}")),
            Self::Denied(action) => Finding {
                level: Level::Warning,
                text: format!(
                    "{by_etag} alone: its version may not be read, so a copy ends when the key is written to"
                ),
                todo: Some(allow(action)),
            },
        }
    }

    /// What a plan says of many objects, of which one was tried; nothing where versions do not matter.
    pub(super) fn finding_of_many(&self, address: &str) -> Option<Finding> {
        let Self::Denied(action) = self else { return None };
        Some(Finding {
            level: Level::Warning,
            text: format!(
                "objects below {address} are pinned by their ETags alone: versions may not be read, so an object that is \
                 written to while it is copied fails"
            ),
            todo: Some(allow(action)),
        })
    }
}

fn allow(action: &str) -> String {
    format!("allow {action} (floe iam copy)")
}

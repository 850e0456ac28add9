//! Archives in S3: which there are, what their manifests say, and whether all of their objects are there.
//!
//! Invariant: an archive is what has a manifest at exactly that place; nothing is merged from what merely begins alike
//! (flexible-snapshot-proxy restored several snapshots as one that way). Called by `plan/`, `cli/` and the engine.

mod asked;
mod fsp;
mod gaps;
mod inspect;
mod layer;

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use serde::Serialize;

pub use self::asked::Asked;
pub use self::fsp::{Fsp, FspSegment};
pub use self::gaps::{Missing, RANGES_MOST, missing};
pub use self::inspect::{Inspected, inspect};
pub use self::layer::Layer;
use crate::archive::{FspRoot, MANIFEST_MAX, Manifest};
use crate::aws::{S3, Tokens};
use crate::error::{Class, Error, Result};
use crate::ids::SnapshotId;
use crate::units::{Blocks, Bytes, Digest};

/// Manifests that are asked for at a time.
const AT_ONCE: usize = 16;
/// What is asked again here: looking has no job, so no retry layer of one. Five times, like every control call.
const TRIES: u32 = 5;

/// A manifest that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where: ends with a slash.
    pub root: String,
    /// What it says.
    pub manifest: Manifest,
    /// SHA-256 of its bytes: what pins it.
    pub digest: Digest,
}

/// One archive in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub struct ArchiveRow {
    /// As it is written as a source.
    pub address: String,
    /// Its name.
    pub id: String,
    /// `whole`, `delta`, `file`, `fsp`; or `unfinished`, `damaged`, `unreadable`.
    pub kind: String,
    /// For a delta, what it goes onto.
    pub base: Option<SnapshotId>,
    /// Size of the volume.
    pub volume_bytes: Option<Bytes>,
    /// Blocks in it.
    pub blocks: Option<Blocks>,
    /// What its objects take.
    pub stored_bytes: Option<Bytes>,
    /// When it was begun.
    pub made: Option<jiff::Timestamp>,
    /// What it was made of.
    pub source: Option<String>,
    /// Why it cannot be read, when it cannot.
    pub trouble: Option<String>,
}

/// Does what looking needs, a few times where the service has a bad moment.
///
/// # Errors
/// The last one.
pub async fn patiently<T, F: Future<Output = Result<T>>>(mut ask: impl FnMut() -> F) -> Result<T> {
    // A clock that is off is put right by the very refusal.
    let passes = |class| matches!(class, Class::Transient | Class::Throttled(_) | Class::Congestion | Class::ClockSkew);
    let mut pause = Duration::from_millis(100);
    for _ in 1..TRIES {
        match ask().await {
            Err(error) if passes(error.class) => {
                tokio::time::sleep(pause).await;
                pause *= 3;
            }
            outcome => return outcome,
        }
    }
    ask().await
}

/// The manifest at that root; none when there is none.
///
/// # Errors
/// It is damaged or of another version; or as classified.
pub async fn find(s3: &S3, bucket: &str, root: &str) -> Result<Option<Found>> {
    let key = format!("{root}manifest.json");
    let Some(bytes) = patiently(|| s3.read_small(bucket, &key, MANIFEST_MAX as u64)).await? else { return Ok(None) };
    let manifest = Manifest::read(&bytes.data).map_err(|why| {
        Error::failed(format!("s3://{bucket}/{key}: {why}"))
            .todo("use the version of floe that wrote it, or another archive")
    })?;
    Ok(Some(Found { root: root.to_owned(), manifest, digest: Digest::of(&bytes.data) }))
}

/// The archives right under a prefix, and the one that the prefix is itself.
///
/// # Errors
/// As classified.
pub async fn list(s3: &S3, bucket: &str, prefix: &str) -> Result<Vec<ArchiveRow>> {
    let mut rows = Vec::new();
    if !prefix.is_empty() {
        rows.extend(row(s3, bucket, prefix).await?.filter(|row| row.kind != "unfinished"));
    }
    if !rows.is_empty() {
        return Ok(rows);
    }
    let (mut tokens, mut token) = (Tokens::default(), None::<String>);
    loop {
        let page = patiently(|| s3.list(bucket, prefix, true, None, token.as_deref())).await?;
        let mut asked = FuturesOrdered::new();
        for folder in &page.folders {
            asked.push_back(row(s3, bucket, folder));
            if asked.len() == AT_ONCE
                && let Some(found) = asked.next().await
            {
                rows.extend(found?);
            }
        }
        while let Some(found) = asked.next().await {
            rows.extend(found?);
        }
        token = tokens.next(page.next)?;
        if token.is_none() {
            return Ok(rows);
        }
    }
}

async fn row(s3: &S3, bucket: &str, root: &str) -> Result<Option<ArchiveRow>> {
    let id = last_folder(root).to_owned();
    let bare = |kind: &str| ArchiveRow {
        address: format!("s3://{bucket}/{root}"),
        id: id.clone(),
        kind: kind.to_owned(),
        base: None,
        volume_bytes: None,
        blocks: None,
        stored_bytes: None,
        made: None,
        source: None,
        trouble: None,
    };
    let kind_of = |error: &Error| if error.aws.is_none() { "damaged" } else { "unreadable" };
    match find(s3, bucket, root).await {
        Ok(Some(Found { manifest, .. })) => Ok(Some(ArchiveRow {
            id: manifest.archive.to_string(),
            base: manifest.base.clone(),
            volume_bytes: Some(manifest.volume),
            blocks: Some(manifest.blocks),
            stored_bytes: Some(manifest.stored + manifest.index.bytes),
            made: Some(manifest.made),
            source: Some(manifest.origin.address.clone()),
            ..bare(match (&manifest.base, &manifest.origin.snapshot) {
                (Some(_), _) => "delta",
                (None, Some(_)) => "whole",
                (None, None) => "file",
            })
        })),
        Ok(None) => {
            if let Ok(fsp) = id.parse::<FspRoot>() {
                return Ok(Some(ArchiveRow {
                    volume_bytes: Some(fsp.volume),
                    source: Some(fsp.id.to_string()),
                    ..bare("fsp")
                }));
            }
            // A run of an archive that was never committed has segments in it.
            let page = patiently(|| s3.list(bucket, root, true, None, None)).await?;
            let is_run = page.folders.len() == 1 || page.folders.iter().any(|run| last_folder(run).contains('-'));
            let begun = is_run && id.starts_with("snap-");
            let row = ArchiveRow {
                trouble: Some("it has no manifest: its job was not finished".to_owned()),
                ..bare("unfinished")
            };
            Ok(begun.then_some(row))
        }
        // One that may not be read, or is damaged, is a row that says so: the others are still there to be seen.
        Err(error) if error.class == Class::Permanent => {
            Ok(Some(ArchiveRow { trouble: Some(error.to_string()), ..bare(kind_of(&error)) }))
        }
        Err(error) => Err(error),
    }
}

/// `a/b/snap-1/` ends in `snap-1`.
#[must_use]
pub fn last_folder(root: &str) -> &str {
    let bare = root.trim_end_matches('/');
    bare.rsplit_once('/').map_or(bare, |(_, last)| last)
}

/// What lies above an archive: `a/b/snap-1/` lies in `a/b/`.
#[must_use]
pub fn above(root: &str) -> &str {
    let bare = root.trim_end_matches('/');
    bare.rfind('/').map_or("", |at| &bare[..=at])
}

/// An archive and what it goes onto, the whole one first.
///
/// # Errors
/// There is none; or a base is missing, and which.
pub async fn chain(s3: &S3, bucket: &str, root: &str) -> Result<Vec<Found>> {
    let nothing = || {
        Error::usage(format!("there is no archive at s3://{bucket}/{root}")).todo(format!(
            "floe ls archives s3://{bucket}/{}; a raw image is named with its whole key, and --recursive copies \
                 every object below a prefix to another",
            above(root)
        ))
    };
    let mut chain = vec![find(s3, bucket, root).await?.ok_or_else(nothing)?];
    while let Some(base) = chain.last().and_then(|top| top.manifest.base.clone()) {
        let found = base_of(s3, bucket, above(root), &base, &chain).await?.ok_or_else(|| {
            let top = chain.last().map(|top| top.manifest.archive.to_string()).unwrap_or_default();
            Error::failed(format!("{top} goes onto {base}, and s3://{bucket}/{} has no archive of that", above(root)))
                .todo(format!("put the archive {base} beside it, or copy the delta onto a base of your own"))
        })?;
        if chain.iter().any(|known| known.root == found.root) {
            return Err(Error::failed(format!("the archives of {base} go onto each other in a circle")));
        }
        chain.push(found);
    }
    chain.reverse();
    Ok(chain)
}

/// The archive of a snapshot beside another one: whole, else the delta that leads to it.
async fn base_of(s3: &S3, bucket: &str, prefix: &str, base: &SnapshotId, chain: &[Found]) -> Result<Option<Found>> {
    if let Some(found) = find(s3, bucket, &format!("{prefix}{base}/")).await? {
        return Ok(Some(found));
    }
    let suffix = format!("..{base}/");
    let (mut tokens, mut token) = (Tokens::default(), None::<String>);
    let deltas = format!("{prefix}snap-");
    loop {
        let page = patiently(|| s3.list(bucket, &deltas, true, None, token.as_deref())).await?;
        for folder in page.folders.iter().filter(|folder| folder.ends_with(&suffix)) {
            if chain.iter().all(|known| known.root != *folder)
                && let Some(found) = find(s3, bucket, folder).await?
            {
                return Ok(Some(found));
            }
        }
        token = tokens.next(page.next)?;
        if token.is_none() {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_told_apart() {
        assert_eq!((last_folder("a/b/snap-1/"), above("a/b/snap-1/")), ("snap-1", "a/b/"));
        assert_eq!((last_folder("snap-1/"), above("snap-1/")), ("snap-1", ""));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bad_moment_is_waited_for_and_a_refusal_is_not() {
        let asked = std::cell::Cell::new(0);
        let bad = |until: u32| {
            asked.set(asked.get() + 1);
            let good = asked.get() >= until;
            async move { if good { Ok(()) } else { Err(Error::transient("a bad moment")) } }
        };
        assert!(patiently(|| bad(4)).await.is_ok());
        asked.set(0);
        assert!(patiently(|| bad(99)).await.is_err());
        assert_eq!(asked.get(), TRIES);
        asked.set(0);
        let refused = patiently(|| {
            asked.set(asked.get() + 1);
            async { Err::<(), _>(Error::failed("no")) }
        });
        assert!(refused.await.is_err());
        assert_eq!(asked.get(), 1);
    }
}

//! One archive looked at closely: what it goes onto, how it is stored, and whether all of its objects are there.

use super::{Found, Layer, Missing, chain, missing, patiently};
use crate::aws::{S3, Session};
use crate::error::Result;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// It and what it goes onto, the whole one first; empty for what has no manifest of ours.
    pub chain: Vec<Found>,
    /// Storage classes of its objects, as far as one listing shows them; each once.
    pub classes: Vec<String>,
    /// What is missing, when that was asked for.
    pub missing: Option<Missing>,
}

/// Looks at the archive at a root. `check` compares its whole index with what S3 lists, which reads the index.
///
/// # Errors
/// Its manifest or its index is damaged, a base of it is missing; or as classified.
pub async fn inspect(session: &Session, bucket: &str, root: &str, is_ours: bool, check: bool) -> Result<Inspected> {
    let s3 = session.s3();
    let chain = if is_ours { chain(s3, bucket, root).await? } else { Vec::new() };
    let missing = match chain.last() {
        Some(top) if check => {
            let layer = Layer::open(s3.clone(), bucket, top.clone()).await?;
            Some(missing(&layer).await?)
        }
        _ => None,
    };
    Ok(Inspected { classes: classes(s3, bucket, root).await?, chain, missing })
}

/// The storage classes below a root, of one page of keys: an archive is written with one.
///
/// # Errors
/// As classified.
pub async fn classes(s3: &S3, bucket: &str, root: &str) -> Result<Vec<String>> {
    let page = patiently(|| s3.list(bucket, root, false, None, None)).await?;
    let mut out: Vec<String> = Vec::new();
    for object in page.objects {
        if !out.contains(&object.class) {
            out.push(object.class);
        }
    }
    Ok(out)
}

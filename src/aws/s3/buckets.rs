//! Which buckets there are: for completion, nothing else.

use super::S3;
use crate::error::Result;

/// Names asked for at most: completion shows a handful, and the first page answers at once.
const MOST: usize = 1_000;

impl S3 {
    /// Names of the account's buckets, the first [`MOST`] of them, in the order S3 has them.
    ///
    /// # Errors
    /// As classified; `s3:ListAllMyBuckets` is often denied.
    pub async fn buckets(&self) -> Result<Vec<String>> {
        let sent = self.inner.client.list_buckets().send().await;
        let answer =
            sent.map_err(|error| self.failed("s3:ListAllMyBuckets", &error, "could not list the buckets".to_owned()))?;
        Ok(answer.buckets.unwrap_or_default().into_iter().filter_map(|bucket| bucket.name).take(MOST).collect())
    }
}

//! Where this host stands, as an instance's own metadata says it. Asked at a link-local address, without a proxy.

use std::time::Duration;

use crate::ids::Region;

/// Metadata answers in milliseconds or not at all.
const DEADLINE: Duration = Duration::from_secs(1);

/// The region of the instance that this process runs on; `None` anywhere else, and where
/// `AWS_EC2_METADATA_DISABLED` says that it is not to be asked.
pub async fn host_region() -> Option<Region> {
    let disabled = std::env::var("AWS_EC2_METADATA_DISABLED").is_ok_and(|set| set.eq_ignore_ascii_case("true"));
    if disabled {
        return None;
    }
    let client =
        aws_config::imds::Client::builder().max_attempts(1).connect_timeout(DEADLINE).read_timeout(DEADLINE).build();
    let asked = tokio::time::timeout(2 * DEADLINE, client.get("/latest/meta-data/placement/region")).await;
    asked.ok()?.ok()?.as_ref().trim().parse().ok()
}

//! Where this host stands, as an instance's own metadata say it. Asked at a link-local address, without a proxy.

use std::time::Duration;

use crate::ids::Region;

/// Metadata answers in milliseconds or not at all.
const DEADLINE: Duration = Duration::from_secs(1);

/// An instance, as it sees itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Where it is.
    pub region: Region,
    /// `r5b.12xlarge`.
    pub kind: Option<String>,
    /// Whether it has no public address of its own.
    pub private: bool,
}

/// The instance that this process runs on; `None` anywhere else, and where `AWS_EC2_METADATA_DISABLED` says that it is
/// not to be asked.
pub async fn instance() -> Option<Instance> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if set("AWS_EC2_METADATA_DISABLED").is_some_and(|set| set.eq_ignore_ascii_case("true")) {
        return None;
    }
    // Anywhere else the address may swallow the question, and a plan would wait a second for nothing.
    if set("AWS_EC2_METADATA_SERVICE_ENDPOINT").is_none() && !looks_like_ec2() {
        return None;
    }
    let client =
        aws_config::imds::Client::builder().max_attempts(1).connect_timeout(DEADLINE).read_timeout(DEADLINE).build();
    let ask = async {
        let get = async |path: &'static str| client.get(path).await.ok().map(|text| text.as_ref().trim().to_owned());
        let region = get("/latest/meta-data/placement/region").await?.parse().ok()?;
        let (kind, address) =
            tokio::join!(get("/latest/meta-data/instance-type"), get("/latest/meta-data/public-ipv4"));
        Some(Instance { region, kind, private: address.is_none_or(|address| address.is_empty()) })
    };
    tokio::time::timeout(2 * DEADLINE, ask).await.ok()?
}

/// The region of the instance that this process runs on.
pub async fn host_region() -> Option<Region> {
    instance().await.map(|instance| instance.region)
}

/// What firmware says of its maker. Where it cannot be read (other systems than Linux), nobody is asked.
fn looks_like_ec2() -> bool {
    let says = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_ascii_lowercase();
    says("/sys/class/dmi/id/sys_vendor").starts_with("amazon") || says("/sys/hypervisor/uuid").starts_with("ec2")
}

//! What EC2 says of a type of instance: what its network carries all the time.

use super::Ec2;
use crate::error::Result;

impl Ec2 {
    /// The baseline of its network cards together, in Gbit/s; none where EC2 names none.
    ///
    /// # Errors
    /// As classified.
    pub async fn instance_network(&self, kind: &str) -> Result<Option<f64>> {
        let asked = self.client.describe_instance_types().instance_types(kind.into()).send().await;
        let what = || format!("could not learn what the network of a {kind} carries");
        let answer = asked.map_err(|error| self.context.sdk_error("ec2:DescribeInstanceTypes", &error, what()))?;
        let cards = answer.instance_types().iter().filter_map(|kind| kind.network_info());
        let baseline: f64 = cards
            .flat_map(|info| info.network_cards())
            .filter_map(aws_sdk_ec2::types::NetworkCardInfo::baseline_bandwidth_in_gbps)
            .sum();
        Ok((baseline > 0.0).then_some(baseline))
    }
}

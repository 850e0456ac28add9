//! Buckets of S3 and the objects in them.

use super::build::{Builder, Result};
use super::format::{BucketSpec, ObjectSpec};
use crate::sandbox::s3::seed::{BucketSeed, ObjectSeed};
use crate::units::Bytes;

impl Builder<'_> {
    /// Makes a bucket; its name is unique over all accounts.
    pub fn bucket(&mut self, spec: &BucketSpec) -> Result<()> {
        let spot = self.spot(&spec.at)?;
        if self.model.buckets.iter().any(|known| known.name == spec.name) {
            return Err("two buckets have this name".to_owned());
        }
        let object = |spec: &ObjectSpec| {
            if !(0.0..=1.0).contains(&spec.fill) {
                return Err(format!("the fill of {} is not between 0 and 1", spec.key));
            }
            Ok(ObjectSeed {
                key: spec.key.clone(),
                size: Bytes(u64::from(spec.mib) << 20),
                fill_permille: (spec.fill * 1000.0) as u16,
                seed: spot.chance.of("object").of(&spec.key).bits(),
                class: spec.class.clone(),
                modified: self.ago(spec.age.0),
                tags: spec.tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            })
        };
        let objects = spec.object.iter().map(object).collect::<Result<_>>()?;
        let (owner, region, made) = (spot.account, spot.region, self.ago(spec.age.0));
        self.model.buckets.push(BucketSeed { name: spec.name.clone(), owner, region, made, objects });
        Ok(())
    }
}

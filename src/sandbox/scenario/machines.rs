//! Machine images and instances.

use std::sync::Arc;

use jiff::SignedDuration;

use super::build::{Builder, Result, Spot, expand, instance_id, named};
use super::format::{ImageSpec, InstanceSpec};
use crate::ids::ImageId;
use crate::sandbox::model::{Image, Instance, Mapping};

/// Devices of an image's volumes, the root's first.
const DEVICES: [&str; 8] =
    ["/dev/xvda", "/dev/sdf", "/dev/sdg", "/dev/sdh", "/dev/sdi", "/dev/sdj", "/dev/sdk", "/dev/sdl"];

impl Builder<'_> {
    /// Makes `count` images, the newest first: each of the snapshots that were taken together.
    pub fn images(&mut self, spec: &ImageSpec) -> Result<()> {
        let spot = self.spot(&spec.at)?;
        for back in 0..spec.count {
            let number = spec.count - back;
            let chance = spot.chance.of("image").of(&spec.name).nth(u64::from(number));
            let id = spec.ids.get(back as usize).map_or_else(|| chance.id("ami").parse(), |id| Ok(id.clone()))?;
            let name = expand(&spec.name, number, chance);
            self.image(spec, &spot, id, name, spec.n + back)?;
        }
        Ok(())
    }

    fn image(&mut self, spec: &ImageSpec, spot: &Spot, id: ImageId, name: String, n: u32) -> Result<()> {
        let source = spec.instance.as_deref().map(|instance| instance_id(spot, instance)).transpose()?;
        let mut mappings = Vec::with_capacity(spec.of.len());
        let mut created = None;
        for (volume, device) in spec.of.iter().zip(DEVICES) {
            let snapshot_id = self.nth(spot, volume, n)?;
            let region = self.region(spot)?;
            let snapshot =
                region.snapshots.get_mut(&snapshot_id).ok_or_else(|| format!("{snapshot_id} is not there"))?;
            let from = source.as_ref().map_or("", |id| id.as_str());
            snapshot.description = format!("Created by CreateImage({from}) for {id}");
            created = created.or(Some(snapshot.started));
            mappings.push(Mapping {
                device: device.to_owned(),
                snapshot: Some(snapshot_id),
                size_gib: snapshot.size_gib,
                kind: "gp3".to_owned(),
                encrypted: snapshot.encryption.is_some(),
                delete_on_termination: device == DEVICES[0],
            });
        }
        self.images.insert(named(spot, &name), id.clone());
        if spec.state == "deregistered" {
            return Ok(());
        }
        let mut tags = spec.tags.clone();
        tags.insert("Name".to_owned(), name.clone());
        let image = Image {
            binned: None,
            id: id.clone(),
            name,
            description: spec.description.clone(),
            owner: spot.account.clone(),
            state: spec.state.clone(),
            created: created.unwrap_or(self.now),
            deprecated: spec.deprecated.map(|age| self.ago(age.0)),
            architecture: spec.architecture.clone(),
            platform: spec.platform.clone(),
            root_device: DEVICES[0].to_owned(),
            public: spec.public,
            source_instance: source,
            client_token: None,
            token_print: 0,
            launchers: Vec::new(),
            usage: None,
            product_codes: Vec::new(),
            mappings,
            tags: Arc::new(tags),
        };
        match self.region(spot)?.images.insert(id, image) {
            None => Ok(()),
            Some(twice) => Err(format!("{} is there twice", twice.id)),
        }
    }

    pub fn instances(&mut self, spec: &InstanceSpec) -> Result<()> {
        let spot = self.spot(&spec.at)?;
        for n in 1..=spec.count {
            let chance = spot.chance.of("instance").of(&spec.name).nth(u64::from(n));
            let name = expand(&spec.name, n, chance);
            let id = instance_id(&spot, &name)?;
            let image = match &spec.image {
                Some(image) => {
                    let known = self.images.get(&named(&spot, image)).cloned();
                    known.ok_or_else(|| format!("there is no image called {image}"))?
                }
                // Most instances run on images that are long gone.
                None => chance.id("ami").parse()?,
            };
            let mut volumes = self.attached.remove(&named(&spot, &name)).unwrap_or_default();
            volumes.sort();
            let hours = i64::try_from(chance.of("age").below(48)).unwrap_or(0);
            let launched = self.ago(spec.age.0.saturating_add(SignedDuration::from_hours(hours)));
            let region = self.region(&spot)?;
            let zone = volumes.first().and_then(|(_, id)| region.volumes.get(id)).map(|volume| volume.zone.clone());
            let mut tags = spec.tags.clone();
            tags.insert("Name".to_owned(), name);
            let instance = Instance {
                id: id.clone(),
                image,
                kind: spec.kind.clone(),
                state: spec.state.clone(),
                zone: zone.unwrap_or_else(|| format!("{}a", spot.region)),
                launched,
                private_ip: format!("10.0.{}.{}", chance.nth(0).below(250), 4 + chance.nth(1).below(250)),
                root_device: DEVICES[0].to_owned(),
                volumes,
                tags: Arc::new(tags),
            };
            if let Some(twice) = region.instances.insert(id, instance) {
                return Err(format!("{} is there twice", twice.id));
            }
        }
        Ok(())
    }
}

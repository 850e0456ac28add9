//! Launch templates, and what the Recycle Bin holds.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::build::{Builder, Result, named};
use super::format::{Age, TemplateSpec};
use crate::sandbox::model::{InBin, Template, TemplateDisk, TemplateVersion};

/// How long the Recycle Bin of a scenario keeps things.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 28);

/// Devices of a template's snapshots.
const DEVICES: [&str; 4] = ["/dev/sdf", "/dev/sdg", "/dev/sdh", "/dev/sdi"];

impl Builder<'_> {
    /// Makes a launch template.
    pub fn template(&mut self, spec: &TemplateSpec) -> Result<()> {
        let spot = self.spot(&spec.at)?;
        let mut versions = Vec::with_capacity(spec.versions.len());
        for (number, version) in (1..).zip(&spec.versions) {
            if version.gone {
                continue;
            }
            let image = match version.image.as_deref() {
                Some(text) if text.starts_with("resolve:ssm:") => Some(text.to_owned()),
                Some(name) => {
                    let known = self.images.get(&named(&spot, name));
                    Some(known.ok_or_else(|| format!("there is no image called {name}"))?.to_string())
                }
                None => None,
            };
            let mut disks = Vec::with_capacity(version.of.len());
            for (volume, device) in version.of.iter().zip(DEVICES) {
                let snapshot = Some(self.nth(&spot, volume, version.n)?);
                disks.push(TemplateDisk { device: device.to_owned(), snapshot });
            }
            versions.push(TemplateVersion { number, image, disks });
        }
        let default = u64::from(spec.default);
        if !versions.iter().any(|version| version.number == default) {
            return Err(format!("it has no version {default} to be the default"));
        }
        let id = spec.id.clone().unwrap_or_else(|| spot.chance.of("template").of(&spec.name).id("lt"));
        let template = Template {
            id: id.clone(),
            name: spec.name.clone(),
            created: self.ago(spec.age.0),
            default,
            versions,
            tags: Arc::new(spec.tags.clone()),
        };
        match self.region(&spot)?.templates.insert(id, template) {
            None => Ok(()),
            Some(twice) => Err(format!("{} is there twice", twice.id)),
        }
    }

    /// As it lies in the Recycle Bin since `age`.
    pub fn binned(&self, age: Age) -> InBin {
        let entered = self.ago(age.0);
        InBin { entered, exits: entered.saturating_add(KEPT).unwrap_or(Timestamp::MAX) }
    }
}

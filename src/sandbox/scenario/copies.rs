//! Snapshots copied to another region or account: same blocks, no volume, a lineage of their own.

use std::sync::Arc;

use jiff::SignedDuration;

use super::build::{Builder, Result};
use super::format::CopySpec;
use crate::ids::SnapshotId;
use crate::sandbox::model::{Snapshot, SnapshotState, Tier};

impl Builder<'_> {
    pub fn copies(&mut self, spec: &CopySpec) -> Result<()> {
        let (from, to) = (self.spot(&spec.from)?, self.spot(&spec.to)?);
        let shared = self.shares(&spec.shared)?;
        let mut copies = Vec::with_capacity(spec.count as usize);
        for back in 0..spec.count {
            let source_id = self.nth(&from, &spec.of, spec.n + back)?;
            let chance = to.chance.of("copy").of(source_id.as_str());
            let id: SnapshotId =
                spec.ids.get(back as usize).map_or_else(|| chance.id("snap").parse(), |id| Ok(id.clone()))?;
            let source = self.region(&from)?.snapshots.get(&source_id);
            let source = source.ok_or_else(|| format!("{source_id} is not there"))?.clone();
            let mut tags = spec.tags.clone();
            tags.extend(source.tags.get("Name").map(|name| ("Name".to_owned(), name.clone())));
            let wait = i64::try_from(20 + chance.of("wait").below(60)).unwrap_or(20);
            let after = |minutes: i64| {
                let at = source.started.saturating_add(SignedDuration::from_mins(minutes)).unwrap_or(source.started);
                at.min(self.now)
            };
            let lineage = to.chance.of("copy lineage").of(&spec.of);
            let copy = Snapshot {
                id: id.clone(),
                owner: to.account.clone(),
                volume_id: "vol-ffffffff".parse()?,
                started: after(wait),
                completed: Some(after(wait + i64::from(source.size_gib / 64) + 5)),
                state: SnapshotState::Completed,
                progress: 100,
                description: format!("[Copied {source_id} from {}]", from.region),
                tags: Arc::new(tags),
                encryption: self.encryption(&to, spec.key.as_deref(), lineage),
                tier: Tier::Standard,
                transfer_type: Some(if spec.time_based { "time-based" } else { "standard" }.to_owned()),
                shared: shared.clone(),
                upload: None,
                copying: None,
                tiering: None,
                archived: None,
                ..source
            };
            copies.push(id);
            self.keep(&to, copy)?;
        }
        // Images are made of copies as well, so a copied series keeps its volume's name where it is the only one.
        self.remember(&to, &spec.of, copies)
    }
}

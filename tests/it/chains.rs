//! Small snapshots of one lineage, made by somebody who is not floe, and ways to look at what became of them.
#![expect(clippy::panic, reason = "helpers of tests fail the test")]

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use floe::engine::Client;
use floe::engine::protocol::JobStatus;
use floe::plan::Options;
use floe::sandbox::content::Content;
use floe::sandbox::model::RegionState;
use floe::sandbox::synth::{Shape, Synthetic};

use crate::rig::{Rig, end, start};
use crate::support::{BLOCK, Contents, World, put, sha256};

/// A region whose account does not encrypt by default, and another.
pub const HERE: &str = "us-west-2";
pub const THERE: &str = "eu-west-1";

/// A snapshot of `gib` GiB on `parent` with these blocks written.
pub async fn grown(world: &World, region: &str, parent: Option<&str>, gib: i64, blocks: &[(i32, u8)]) -> String {
    let ebs = world.ebs("prod", region);
    let request = ebs.start_snapshot().volume_size(gib).set_parent_snapshot_id(parent.map(str::to_owned));
    let id = request.send().await.expect("started").snapshot_id.expect("an id");
    for (index, fill) in blocks {
        put(&ebs, &id, *index, *fill).await;
    }
    let count = i32::try_from(blocks.len()).expect("a few");
    ebs.complete_snapshot().snapshot_id(&id).changed_blocks_count(count).send().await.expect("completed");
    world.completed(&id, region).await;
    id
}

/// Looks at one region of `prod`, or changes something there, behind everybody's back.
pub fn behind<T>(world: &World, region: &str, act: impl FnOnce(&mut RegionState) -> T) -> T {
    let sandbox = &world.running.sandbox;
    let prod = sandbox.profiles().into_iter().find(|keys| keys.name.as_str() == "prod").expect("prod");
    let mut model = sandbox.model_mut();
    act(model.region_mut(&prod.account, &region.parse().expect("a region")).expect("the region"))
}

/// Two snapshots of one lineage: the second has other bytes in some blocks and lacks some that the first has, which
/// no writer through the API can make. Each takes the content of one that was made so.
pub async fn shrunk(world: &World) -> (String, String) {
    let first = grown(world, HERE, None, 1, &[(0, 1)]).await;
    let second = grown(world, HERE, Some(&first), 1, &[(1, 1)]).await;
    let shape =
        Shape { gib: 1, allocated: 80, growth: -16, churn_permille: 1000, zero_permille: 100, ..Shape::default() };
    // Of the chains that there are, the first in which blocks both changed and went.
    let chain = (1..1000).find(|seed| {
        let at = |version| {
            let mut all = Vec::new();
            for chunk in 0..4 {
                let mut origins = [0; 512];
                Synthetic { seed: *seed, version, shape }.fill(chunk, &mut origins);
                all.extend(origins);
            }
            all
        };
        let (before, after) = (at(0), at(1));
        let pairs = || before.iter().zip(&after);
        let (gone, changed) = (
            pairs().filter(|(a, b)| **a != 0 && **b == 0).count(),
            pairs().filter(|(a, b)| **a != 0 && **b != 0 && a != b).count(),
        );
        gone >= 10 && changed >= 4
    });
    let seed = chain.expect("a chain with both");
    behind(world, HERE, |state| {
        for (id, version) in [(&first, 0), (&second, 1)] {
            let snapshot = state.snapshots.get_mut(&id.parse().expect("an id")).expect("it is there");
            snapshot.content = Content::Synthetic(Synthetic { seed, version, shape });
        }
    });
    (first, second)
}

/// The blocks that differ between two snapshots of a region, by an independent reader.
pub async fn changed(world: &World, region: &str, first: &str, second: &str) -> BTreeSet<u32> {
    let ebs = world.ebs("prod", region);
    let (mut all, mut page) = (BTreeSet::new(), None);
    loop {
        let request = ebs.list_changed_blocks().first_snapshot_id(first).second_snapshot_id(second);
        let answer = request.set_next_token(page).max_results(10_000).send().await.expect("a page");
        let index =
            |block: &aws_sdk_ebs::types::ChangedBlock| block.block_index().and_then(|at| u32::try_from(at).ok());
        all.extend(answer.changed_blocks().iter().filter_map(index));
        page = answer.next_token().map(str::to_owned);
        if page.is_none() {
            return all;
        }
    }
}

/// Whether a file holds exactly these blocks and zeros elsewhere, without reading its holes.
pub fn assert_holds(path: &Path, gib: u64, contents: &Contents) {
    use rustix::fs::{SeekFrom, seek};
    let file = std::fs::File::open(path).expect("the file");
    assert_eq!(file.metadata().expect("looked at").len(), gib << 30, "the exact length of the volume");
    let zero = sha256(&vec![0; BLOCK]);
    let mut at = 0;
    while let Ok(data) = seek(&file, SeekFrom::Data(at)) {
        let (first, hole) = (data / BLOCK as u64, seek(&file, SeekFrom::Hole(data)).expect("an end"));
        for index in first..hole.div_ceil(BLOCK as u64) {
            let mut block = vec![0; BLOCK];
            file.read_exact_at(&mut block, index * BLOCK as u64).expect("a block");
            let index = u32::try_from(index).expect("small");
            assert_eq!(sha256(&block), *contents.get(&index).unwrap_or(&zero), "block {index}");
        }
        at = hole;
    }
    for index in contents.keys() {
        let mut block = vec![0; BLOCK];
        file.read_exact_at(&mut block, u64::from(*index) * BLOCK as u64).expect("a block");
        assert_eq!(sha256(&block), contents[index], "block {index}");
    }
}

/// What a snapshot of these blocks reads as, zeros left out: what lists zeros equals what does not list them.
pub fn without_zeros(contents: &Contents) -> Contents {
    let zero = sha256(&vec![0; BLOCK]);
    contents.iter().filter(|(_, digest)| **digest != zero).map(|(index, digest)| (*index, *digest)).collect()
}

impl Rig {
    /// Why there is no plan: its exit code and its words.
    pub async fn refused(&self, source: &str, to: &str, options: Options) -> (u8, String) {
        match self.try_plan(source, &[to], options).await {
            Ok(plan) => panic!("{source} to {to} is planned: {:?}", plan.findings),
            Err(error) => (error.kind.exit_code(), format!("{} → {}", error.what, error.todo.unwrap_or_default())),
        }
    }

    /// Plans and runs one copy to its end.
    pub async fn copy(&self, client: &Client, source: &str, to: &[&str], options: Options) -> JobStatus {
        let plan = self.try_plan(source, to, options).await.unwrap_or_else(|error| panic!("{source}: {error}"));
        end(client, start(client, &plan).await).await
    }

    pub fn asked(&self, api: &str) -> u64 {
        self.world.running.sandbox.counters().picture().api(api).requests
    }
}

/// The id in the address of a result.
pub fn id_of(row: &JobStatus, dest: usize) -> String {
    row.destinations[dest].address.rsplit_once(':').expect("an address with an id").1.to_owned()
}

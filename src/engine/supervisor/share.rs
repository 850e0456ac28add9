//! Lanes among jobs: whoever wants more has no less than the others, so that a small job beside a large one moves.
//!
//! Each job's own window finds how many lanes are worth having; what throughput they bring depends on those of its
//! neighbours, because the quotas of an account in a region, the network and the budget are shared. Invariants: jobs
//! that share an account's region, or a budget that is full, have equal parts of the lanes that they have together, or
//! all that they want; the sum stays what it was; nothing moves while nobody has less than four fifths of its part.

use super::{Supervisor, load_of};
use crate::engine::blocks::lock;
use crate::engine::hub::Hub;
use crate::engine::protocol::{JobState, LaneReason, Lanes};
use crate::engine::spec::Spec;
use crate::ids::{AccountId, Region};
use crate::plan::choices::{Load, listing_share};

/// What one job has and wants.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Want {
    has: u32,
    wants: u32,
    /// What its lanes hold.
    load: Load,
    places: Vec<(AccountId, Region)>,
}

impl Supervisor {
    /// Gives every running job its part.
    pub(super) fn share_lanes(&self) {
        let jobs = lock(&self.shelf.jobs);
        let running = jobs.values().filter_map(|shelved| {
            let (hub, _, spec) = (shelved.hub.as_ref()?, shelved.live.as_ref()?, shelved.spec.as_ref()?);
            Some((hub, want(hub, spec)?))
        });
        let (hubs, wants): (Vec<&std::sync::Arc<Hub>>, Vec<Want>) = running.unzip();
        let limit = self.budget.usage().limit;
        let room = limit.less(listing_share(limit)).0;
        for group in groups(&wants, room) {
            let of: Vec<&Want> = group.iter().map(|at| &wants[*at]).collect();
            match (of.as_slice(), parts(&of, room)) {
                ([_], _) => hubs[group[0]].share_lanes(None),
                (_, Some(parts)) => {
                    for (at, part) in group.iter().zip(parts).filter(|(at, part)| wants[**at].has != *part) {
                        hubs[*at].share_lanes(Some(part));
                    }
                }
                _ => {}
            }
        }
    }
}

/// What a job has and wants; none while no blocks move, or when its lanes are pinned.
fn want(hub: &Hub, spec: &Spec) -> Option<Want> {
    let lanes = hub.lanes();
    if hub.state().state != JobState::Running || matches!(lanes.setting, Lanes::Pinned(_)) {
        return None;
    }
    let counts = hub.counts();
    let total = if counts.listed_whole { counts.listed } else { spec.blocks().max(counts.listed) };
    let left = u32::try_from(total.less(counts.done).0).unwrap_or(u32::MAX).max(1);
    let wants = match lanes.reason {
        // It has found that it needs no more.
        LaneReason::SnapshotThrottle | LaneReason::Congestion | LaneReason::Tail => lanes.target,
        _ => lanes.cap,
    };
    let item = spec.plan.items.first()?;
    let place = |account: &Option<AccountId>, region: &Option<Region>| account.clone().zip(region.clone());
    let mut places: Vec<_> = item.destinations.iter().filter_map(|to| place(&to.account, &to.region)).collect();
    places.extend(place(&item.source.account, &item.source.region));
    Some(Want { has: lanes.target, wants: wants.min(left), load: load_of(spec), places })
}

/// Jobs that share something, by their places in `wants`: all of them when the budget is full.
fn groups(wants: &[Want], room: u64) -> Vec<Vec<usize>> {
    let held: u64 = wants.iter().map(|want| want.load.of(want.has).0).sum();
    if held >= room && wants.len() > 1 {
        return vec![(0..wants.len()).collect()];
    }
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, want) in wants.iter().enumerate() {
        let shares = |other: &usize| wants[*other].places.iter().any(|place| want.places.contains(place));
        let (together, apart): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| group.iter().any(shares));
        groups = apart;
        groups.push(together.into_iter().flatten().chain([at]).collect());
    }
    groups
}

/// Equal parts of the lanes that these jobs have together, as far as the budget has room for them; none when nobody
/// has much less than its part.
fn parts(wants: &[&Want], room: u64) -> Option<Vec<u32>> {
    let all: u64 = wants.iter().map(|want| u64::from(want.has)).sum();
    let at_level = |level: u32| wants.iter().map(move |want| want.wants.min(level).max(1));
    let fits = |level: u32| {
        let lanes: u64 = at_level(level).map(u64::from).sum();
        let bytes: u64 = at_level(level).zip(wants).map(|(lanes, want)| want.load.of(lanes).0).sum();
        lanes <= all && bytes <= room
    };
    let most = wants.iter().map(|want| want.wants).max()?;
    let (mut low, mut high) = (1, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle) { low = middle } else { high = middle - 1 }
    }
    let parts: Vec<u32> = at_level(low).collect();
    let unfair = wants.iter().zip(&parts).any(|(want, part)| u64::from(want.has) * 5 < u64::from(*part) * 4);
    unfair.then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Bytes;

    const EACH: Bytes = Bytes::mib(1);

    fn in_region(has: u32, wants: u32, region: &str) -> Want {
        let account = "123456789012".parse().expect("an account");
        Want { has, wants, load: Load::whole(EACH), places: vec![(account, region.parse().expect("a region"))] }
    }

    fn shared(wants: &[(u32, u32)], mib: u64) -> Option<Vec<u32>> {
        let wants: Vec<Want> = wants.iter().map(|(has, wants)| in_region(*has, *wants, "us-east-1")).collect();
        parts(&wants.iter().collect::<Vec<_>>(), Bytes::mib(mib).0)
    }

    #[test]
    fn a_small_job_gets_half_and_the_sum_stays() {
        assert_eq!(shared(&[(128, 249), (16, 249)], 1000), Some(vec![72, 72]));
        assert_eq!(shared(&[(72, 249), (72, 249)], 1000), None, "nothing moves once it is fair");
        assert_eq!(shared(&[(90, 249), (62, 249)], 1000), None, "nor for a little");
        assert_eq!(shared(&[(128, 249), (16, 20)], 1000), None, "who wants little has nearly all of it");
        assert_eq!(shared(&[(128, 249), (4, 20)], 1000), Some(vec![112, 20]), "and gets all that it wants");
        assert_eq!(shared(&[(249, 249), (16, 249)], 249), Some(vec![124, 124]), "the budget bounds the sum");
        assert_eq!(shared(&[(200, 249), (1, 249), (1, 249)], 1000), Some(vec![67, 67, 67]));
        assert_eq!(shared(&[(16, 256)], 1000), None);
        assert_eq!(shared(&[(1, 1), (1, 1)], 1), None, "never below one");
    }

    #[test]
    fn only_what_is_shared_is_shared() {
        let wants = [in_region(128, 249, "us-east-1"), in_region(16, 249, "eu-west-1")];
        assert_eq!(groups(&wants, Bytes::mib(1000).0), [vec![0], vec![1]]);
        assert_eq!(groups(&wants, Bytes::mib(144).0), [vec![0, 1]], "a full budget is shared by all");
        let mut both = in_region(16, 249, "us-east-1");
        both.places.extend(wants[1].places.clone());
        let wants = [wants[0].clone(), wants[1].clone(), both];
        assert_eq!(groups(&wants, Bytes::mib(1000).0), [vec![0, 1, 2]], "through one that is in both");
    }
}

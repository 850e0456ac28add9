//! Which destinations AWS fills itself (`--strategy native|auto`), and why the others are not.
//!
//! CopySnapshot is asked by the destination's account in the destination's region. It never decrypts, crosses no
//! partition, and copies only what that account can see.

use std::collections::BTreeMap;

use crate::aws::Aws;
use crate::error::Result;
use crate::plan::alternatives::clock;
use crate::plan::machine::Machine;
use crate::plan::model::{
    Choices, DestinationKind, DestinationPlan, Finding, ItemPlan, Level, Options, SourceKind, SourcePlan, Strategy,
    Verify,
};
use crate::plan::prices::Prices;
use crate::plan::{images, weigh};
use crate::units::{Bytes, Usd};
use crate::within::{MOST_PER_SECOND, Within};

/// Why AWS cannot make this destination itself, as far as the plan's own facts say.
pub(super) fn refusal(source: &SourcePlan, to: &DestinationPlan, options: &Options) -> Option<String> {
    let DestinationKind::Snapshot { encrypted, on, .. } = &to.kind else {
        return Some("only new snapshots can be copied by AWS".to_owned());
    };
    if on.is_some() {
        return Some("CopySnapshot takes no parent".to_owned());
    }
    let SourceKind::Snapshot { id, encrypted: from_encrypted, .. } = &source.kind else {
        return Some("AWS copies snapshots, and the source is none".to_owned());
    };
    let (Some(from), Some(region)) = (&source.region, &to.region) else {
        return Some("the region of the source is not known".to_owned());
    };
    if from.partition() != region.partition() {
        return Some(format!("{from} and {region} are in different partitions, and AWS copies within one"));
    }
    if *from_encrypted && *encrypted != Some(true) {
        return Some(format!("{id} is encrypted, and CopySnapshot never decrypts"));
    }
    if options.verify > Verify::Listing {
        return Some("no block of it passes floe: `floe verify` compares source and copy afterwards".to_owned());
    }
    None
}

/// Decides for every destination, and says so.
///
/// # Errors
/// AWS's own, while it is asked whether an account sees the source of another.
pub(super) async fn choose(
    aws: &Aws,
    items: &mut [ItemPlan],
    options: &Options,
    choices: &Choices,
    (machine, prices): (&Machine, &Prices),
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if options.strategy == Strategy::Direct {
        return Ok(findings);
    }
    if items.iter().all(ItemPlan::is_copied) {
        return Ok(findings);
    }
    let by_aws =
        |kind: &DestinationKind| matches!(kind, DestinationKind::Snapshot { .. } | DestinationKind::Image { .. });
    let kinds = || items.iter().flat_map(|item| &item.destinations).map(|to| &to.kind);
    if options.strategy == Strategy::Native && !kinds().any(by_aws) {
        return Ok(vec![Finding {
            level: Level::Refused,
            text: "AWS copies to new snapshots and images only, and there is none among the destinations".to_owned(),
            todo: Some("leave --strategy out".to_owned()),
        }]);
    }
    for item in items {
        for at in 0..item.destinations.len() {
            let to = &item.destinations[at];
            if !matches!(to.kind, DestinationKind::Snapshot { .. }) {
                continue;
            }
            let mut why_not = refusal(&item.source, to, options);
            if why_not.is_none() {
                why_not = unseen(aws, &item.source, to).await?;
            }
            let address = to.address.to_string();
            let finding = match (why_not, options.strategy) {
                (Some(why), Strategy::Native) => Finding {
                    level: Level::Refused,
                    text: format!("{address} cannot be a native copy: {why}"),
                    todo: Some("leave --strategy out, or take --strategy auto".to_owned()),
                },
                (Some(why), _) => note(format!("{address} is copied directly: {why}")),
                (None, strategy) => {
                    let [direct, native] = [Strategy::Direct, Strategy::Native]
                        .map(|way| price(item, at, way, options, choices, (machine, prices)));
                    let takes = strategy == Strategy::Native || native.0 <= direct.0;
                    item.destinations[at].strategy = if takes { Strategy::Native } else { Strategy::Direct };
                    let (way, taken, other) =
                        if takes { ("by AWS", native, direct) } else { ("directly", direct, native) };
                    note(format!("{address} is copied {way}: {taken} at most, against {other} the other way"))
                }
            };
            findings.push(finding);
        }
    }
    Ok(findings)
}

/// The largest of what AWS would copy at a time for this source.
pub(super) fn largest(source: &SourcePlan) -> Bytes {
    match &source.kind {
        SourceKind::Image { disks, .. } => images::largest(disks),
        _ => source.blocks.value.bytes(),
    }
}

/// Quota of all time-based copies between two regions together, in MiB a second, and what it is where nobody says.
const PAIR_QUOTA: (&str, f64) = ("L-E137849C", 2000.0);

/// Whether what was asked with `--complete-within` can be: a copy has a shortest time, a pair of regions a quota.
///
/// # Errors
/// As a session's.
pub(super) async fn check_time(aws: &Aws, items: &[ItemPlan], options: &Options) -> Result<Vec<Finding>> {
    let Some(within) = options.complete_within else { return Ok(Vec::new()) };
    let mut findings = Vec::new();
    let mut pairs: BTreeMap<_, (f64, &DestinationPlan)> = BTreeMap::new();
    for item in items {
        let (all, largest) = (item.source.blocks.value.bytes(), largest(&item.source));
        let short = Within::least_for(largest).filter(|least| within < *least);
        if let Some(least) = short {
            findings.push(Finding {
                level: Level::Refused,
                text: format!(
                    "{} cannot be copied within {}: AWS moves {MOST_PER_SECOND} a second at most in one copy, so up to \
                     {largest} take {}",
                    item.source.address,
                    clock(within.seconds()),
                    clock(least.seconds()),
                ),
                todo: Some(format!("--complete-within {least} or more")),
            });
        }
        for to in item.destinations.iter().filter(|to| to.strategy == Strategy::Native) {
            let pair = (&to.account, &item.source.region, &to.region);
            pairs.entry(pair).or_insert((0.0, to)).0 += all.as_mib() / within.seconds();
        }
    }
    for ((_, from, region), (rate, to)) in pairs {
        let session = aws.session(to.profile.as_ref(), to.region.as_ref()).await?;
        let quota = session.quota(PAIR_QUOTA.0).await.unwrap_or(PAIR_QUOTA.1);
        if rate > quota {
            let name =
                |region: &Option<crate::ids::Region>| region.as_ref().map_or_else(String::new, ToString::to_string);
            findings.push(Finding {
                level: Level::Warning,
                text: format!(
                    "{rate:.0} MiB/s from {} to {} are more than the account's {quota:.0} for time-based copies: they take \
                     longer, and are billed by the time that they took",
                    name(from),
                    name(region),
                ),
                todo: Some(format!("a longer --complete-within, or ask for more of quota {}", PAIR_QUOTA.0)),
            });
        }
    }
    Ok(findings)
}

fn note(text: String) -> Finding {
    Finding { level: Level::Note, text, todo: None }
}

/// Whether the destination's account does not see the source of another account.
async fn unseen(aws: &Aws, source: &SourcePlan, to: &DestinationPlan) -> Result<Option<String>> {
    let SourceKind::Snapshot { id, .. } = &source.kind else { return Ok(None) };
    if source.account == to.account {
        return Ok(None);
    }
    let session = aws.session(to.profile.as_ref(), source.region.as_ref()).await?;
    match session.ec2().snapshot(id).await {
        Ok(_) => Ok(None),
        Err(error) if error.has_code("InvalidSnapshot.NotFound") => {
            let account = session.account().grouped();
            Ok(Some(format!("account {account} does not see {id}; it has to be shared with it first")))
        }
        Err(error) => Err(error),
    }
}

/// What one destination alone costs once, filled this way.
fn price(
    item: &ItemPlan,
    at: usize,
    way: Strategy,
    options: &Options,
    choices: &Choices,
    (machine, prices): (&Machine, &Prices),
) -> Usd {
    let only = DestinationPlan { strategy: way, ..item.destinations[at].clone() };
    let item = ItemPlan { source: item.source.clone(), destinations: vec![only] };
    weigh::cost(&[item], options, choices, &machine.runs_in, prices).once.value
}

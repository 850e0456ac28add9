//! Which destinations AWS fills itself (`--strategy native|auto`), and why the others are not.
//!
//! CopySnapshot is asked by the destination's account in the destination's region. It never decrypts, crosses no
//! partition, and copies only what that account can see.

use crate::aws::Aws;
use crate::error::Result;
use crate::plan::machine::Machine;
use crate::plan::model::{
    Choices, DestinationKind, DestinationPlan, Finding, ItemPlan, Level, Options, SourceKind, SourcePlan, Strategy,
    Verify,
};
use crate::plan::prices::Prices;
use crate::plan::weigh;
use crate::units::Usd;

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
    if *from_encrypted && !encrypted {
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
    machine: &Machine,
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if options.strategy == Strategy::Direct {
        return Ok(findings);
    }
    if items.iter().all(ItemPlan::is_copied) {
        return Ok(findings);
    }
    let kinds = || items.iter().flat_map(|item| &item.destinations).map(|to| &to.kind);
    if options.strategy == Strategy::Native && !kinds().any(|kind| matches!(kind, DestinationKind::Snapshot { .. })) {
        return Ok(vec![Finding {
            level: Level::Refused,
            text: "AWS copies to new snapshots only, and there is none among the destinations".to_owned(),
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
                    let [direct, native] =
                        [Strategy::Direct, Strategy::Native].map(|way| price(item, at, way, options, choices, machine));
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
fn price(item: &ItemPlan, at: usize, way: Strategy, options: &Options, choices: &Choices, machine: &Machine) -> Usd {
    let only = DestinationPlan { strategy: way, ..item.destinations[at].clone() };
    let item = ItemPlan { source: item.source.clone(), destinations: vec![only] };
    weigh::cost(&[item], options, choices, &machine.runs_in, Prices::bundled()).once.value
}

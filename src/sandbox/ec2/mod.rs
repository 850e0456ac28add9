//! EC2 (query protocol, API version 2016-11-15): what a client of snapshots asks of it.
//!
//! One request goes through the same doors as at AWS: credentials that the region knows, a known action and version,
//! the organisation's policy, parameters, then the resources. Each action lives with its resource; none holds the
//! model's lock for longer than it takes to write one page.

mod bin;
mod copy;
mod fault;
mod filter;
mod guards;
mod images;
mod instances;
mod page;
mod places;
mod query;
mod references;
mod settings;
mod snapshots;
mod tags;
mod templates;
mod types;
mod volumes;

use http::StatusCode;

use super::faults::Fault as Mischief;
use super::model::{OptIn, RegionState};
use super::{Caller, Sandbox, sts};
use crate::sandbox::xml::{self, Xml};
use fault::Fault;
use query::Query;

/// One request on its way to its action.
struct Ask<'a> {
    sandbox: &'a Sandbox,
    caller: &'a Caller,
    query: Query<'a>,
    /// A lie that its answer is to tell.
    lie: Option<&'a Mischief>,
}

type Action = fn(&Ask<'_>) -> Result<String, Fault>;

/// What this EC2 can do.
const ACTIONS: [(&str, Action); 30] = [
    ("DescribeRegions", places::describe_regions),
    ("DescribeAvailabilityZones", places::describe_availability_zones),
    ("DescribeSnapshots", snapshots::describe),
    ("CopySnapshot", copy::snapshot),
    ("CopyImage", copy::image),
    ("DescribeSnapshotAttribute", snapshots::describe_attribute),
    ("DescribeLockedSnapshots", guards::locks),
    ("DescribeFastSnapshotRestores", guards::fast_restores),
    ("DescribeSnapshotTierStatus", guards::tiers),
    ("DescribeLaunchTemplates", templates::describe),
    ("DescribeLaunchTemplateVersions", templates::versions),
    ("DescribeImageAttribute", references::attribute),
    ("DescribeImageReferences", references::references),
    ("DeleteSnapshot", snapshots::delete),
    ("CreateSnapshot", snapshots::create),
    ("ListSnapshotsInRecycleBin", bin::list_snapshots),
    ("ListImagesInRecycleBin", bin::list_images),
    ("RestoreSnapshotFromRecycleBin", bin::restore_snapshot),
    ("RestoreImageFromRecycleBin", bin::restore_image),
    ("DescribeVolumes", volumes::describe),
    ("DeleteVolume", volumes::delete),
    ("DescribeImages", images::describe),
    ("DeregisterImage", images::deregister),
    ("DescribeInstances", instances::describe),
    ("DescribeInstanceTypes", types::describe),
    ("GetEbsEncryptionByDefault", settings::encryption_by_default),
    ("GetEbsDefaultKmsKeyId", settings::default_key),
    ("GetSnapshotBlockPublicAccessState", settings::public_sharing),
    ("CreateTags", tags::create),
    ("DeleteTags", tags::delete),
];

/// Answers one EC2 request: `params` are the decoded form fields, in order.
pub fn handle(
    sandbox: &Sandbox,
    caller: &Caller,
    params: &[(String, String)],
    lie: Option<&Mischief>,
) -> (StatusCode, String) {
    match answer(sandbox, caller, params, lie) {
        Ok(body) => (StatusCode::OK, body),
        Err(fault) => fault.reply(&caller.request_id),
    }
}

fn answer(
    sandbox: &Sandbox,
    caller: &Caller,
    params: &[(String, String)],
    lie: Option<&Mischief>,
) -> Result<String, Fault> {
    let query = Query::new(params);
    let user = admit(sandbox, caller)?;
    let name = query.text("Action").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Fault::bad("MissingAction", "The request must contain the parameter Action"))?;
    let version = query.required("Version")?;
    if version != xml::VERSION {
        let message = format!("The requested version ({version}) of service AmazonEC2 does not exist");
        return Err(Fault::bad("NoSuchVersion", message));
    }
    let (name, action) = ACTIONS
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| Fault::bad("InvalidAction", format!("The action {name} is not valid for this web service.")))?;
    if let Some(user) = user {
        return Err(Fault::unauthorized(&user, name, "with an explicit deny in a service control policy"));
    }
    action(&Ask { sandbox, caller, query, lie })
}

/// Refuses callers whom the region does not know; answers the caller's ARN where policy denies it everything.
fn admit(sandbox: &Sandbox, caller: &Caller) -> Result<Option<String>, Fault> {
    let model = sandbox.model();
    let account = model.accounts.get(&caller.account).ok_or_else(Fault::auth_failure)?;
    let region = account.regions.get(&caller.region).ok_or_else(Fault::auth_failure)?;
    if region.opt_in == OptIn::NotOptedIn {
        return Err(Fault::auth_failure());
    }
    Ok(region.settings.denied.then(|| sts::arn(&account.id, &region.name, &account.user)))
}

impl Ask<'_> {
    /// Ends the reading of parameters: nothing may be left over, and a dry run ends here.
    fn ready(&self) -> Result<(), Fault> {
        let dry = self.query.flag("DryRun")?;
        self.query.finish()?;
        if dry { Err(Fault::dry_run()) } else { Ok(()) }
    }

    /// A whole answer.
    fn answer(&self, action: &str, inside: impl FnOnce(&mut Xml)) -> String {
        Xml::answer(action, &self.caller.request_id, inside)
    }

    /// What `read` makes of the caller's share of the region.
    fn region<T>(&self, read: impl FnOnce(&RegionState) -> Result<T, Fault>) -> Result<T, Fault> {
        let model = self.sandbox.model();
        let region = model.region(&self.caller.account, &self.caller.region).ok_or_else(Fault::auth_failure)?;
        read(region)
    }
}

/// Reads explicit ids, refusing what is not spelled like one: `code` is EC2's for that kind.
fn ids<T: std::str::FromStr>(texts: &[&str], code: &'static str, prefix: &str) -> Result<Vec<T>, Fault> {
    let wrong = |text: &str| Fault::bad(code, format!("Invalid id: \"{text}\" (expecting \"{prefix}-...\")"));
    texts.iter().map(|text| text.parse().map_err(|_| wrong(text))).collect()
}

#[cfg(test)]
mod tests;

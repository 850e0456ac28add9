//! Machine images: own ones, and the public ones of everybody.
//!
//! Disabled images hide unless asked for, and still hold their snapshots (trap: a snapshot that no listed image
//! names is not free). Deprecated ones hide from everybody but their owner.

use jiff::Timestamp;

use super::page::{Above, Limits, Page};
use super::{Ask, Fault, ids};
use crate::ids::ImageId;
use crate::sandbox::Caller;
use crate::sandbox::model::{Account, BinKind, Image, Mapping, Model, RegionState, SnapshotState};
use crate::sandbox::xml::{Xml, stamp};

pub const FILTERS: &[&str] = &[
    "architecture",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.encrypted",
    "block-device-mapping.snapshot-id",
    "block-device-mapping.volume-size",
    "block-device-mapping.volume-type",
    "creation-date",
    "description",
    "image-id",
    "image-type",
    "is-public",
    "name",
    "owner-alias",
    "owner-id",
    "platform",
    "root-device-name",
    "root-device-type",
    "source-instance-id",
    "state",
    "virtualization-type",
];

const LIMITS: Limits = Limits { min: 1, max: 1000, above: Above::Refused };

/// `DescribeImages`.
pub fn describe(ask: &Ask<'_>) -> Result<String, Fault> {
    let wanted: Vec<ImageId> = ids(&ask.query.list("ImageId"), "InvalidAMIID.Malformed", "ami")?;
    let owners = ask.query.list("Owner");
    let runners = ask.query.list("ExecutableBy");
    let disabled = ask.query.flag("IncludeDisabled")?;
    let deprecated = ask.query.flag("IncludeDeprecated")?;
    let filters = ask.query.filters(FILTERS)?;
    let page = Page::of(&ask.query, ask.caller, LIMITS, (!wanted.is_empty()).then_some("imageIds"))?;
    ask.ready()?;

    let model = ask.sandbox.model();
    let now = ask.sandbox.now();
    let shown = |row: &Row<'_>| {
        let own = row.image.owner == ask.caller.account;
        row.image.is_for(&ask.caller.account)
            && row.image.state != "deregistered"
            && (row.image.state != "disabled" || (own && disabled))
            && (own || deprecated || row.image.deprecated.is_none_or(|at| at > now))
    };
    let mut rows = all(&model, ask.caller);
    let missing = wanted.iter().find(|id| !rows.iter().any(|row| row.image.id == **id && shown(row)));
    if let Some(id) = missing {
        return Err(not_found(id));
    }
    rows.retain(|row| page.after().is_none_or(|after| row.image.id.as_str() > after));
    let rows = rows.iter().map(|row| (row.image.id.as_str(), row));
    let (rows, token) = page.take(rows, |row| {
        shown(row)
            && (wanted.is_empty() || wanted.contains(&row.image.id))
            && row.owned(ask.caller, &owners)
            && row.runnable(ask.caller, &runners)
            && filters.pass(&row.image.tags, |name, test| row.field(name, test))
    });
    Ok(ask.answer("DescribeImages", |xml| {
        xml.set("imagesSet", rows, |xml, row| row.write(xml, now));
        xml.maybe("nextToken", token);
    }))
}

struct Row<'m> {
    image: &'m Image,
    account: &'m Account,
    region: &'m RegionState,
}

pub fn not_found(id: &ImageId) -> Fault {
    Fault::bad("InvalidAMIID.NotFound", format!("The image id '[{id}]' does not exist"))
}

/// An image that the caller may launch.
pub fn find_image<'m>(model: &'m Model, caller: &Caller, id: &ImageId) -> Result<&'m Image, Fault> {
    let mine = |row: &Row<'_>| row.image.id == *id && row.image.is_for(&caller.account);
    let row = all(model, caller).into_iter().find(mine).filter(|row| row.state() != "deregistered");
    let row = row.ok_or_else(|| not_found(id))?;
    match row.state() {
        "available" => Ok(row.image),
        state if row.image.owner == caller.account => {
            let message = format!("The image ID '{id}' is not available: it is {state}");
            Err(Fault::bad("InvalidAMIID.Unavailable", message))
        }
        _ => Err(not_found(id)),
    }
}

/// Refuses a name that EC2 does not take, or that another image of the caller's has here.
pub fn check_name(model: &Model, caller: &Caller, name: &str) -> Result<(), Fault> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "()[] ./-'@_".contains(c);
    if !(3..=128).contains(&name.chars().count()) || !name.chars().all(fits) {
        let message = "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', \
                       ')', '.', '-', '/' and '_'";
        return Err(Fault::bad("InvalidAMIName.Malformed", message));
    }
    let taken = |row: &&Row<'_>| {
        row.image.owner == caller.account && row.image.name == name && !matches!(row.state(), "deregistered" | "failed")
    };
    match all(model, caller).iter().find(taken) {
        Some(row) => {
            let message = format!("AMI name {name} is already in use by AMI {}", row.image.id);
            Err(Fault::bad("InvalidAMIName.Duplicate", message))
        }
        None => Ok(()),
    }
}

/// `DeregisterImage`: its snapshots stay, unless they are asked to go with it.
pub fn deregister(ask: &Ask<'_>) -> Result<String, Fault> {
    let id = ask.query.required("ImageId")?;
    let id: ImageId = ids(&[id], "InvalidAMIID.Malformed", "ami")?.remove(0);
    let with_snapshots = ask.query.flag("DeleteAssociatedSnapshots")?;
    let tags = ask.region(|region| Ok(region.images.get(&id).map(|image| image.tags.clone())))?;
    let stay = tags.and_then(|tags| ask.sandbox.stay(ask.caller, BinKind::Images, &tags));
    let snapshots = {
        let mut model = ask.sandbox.model_mut();
        let seen = all(&model, ask.caller).iter().any(|row| {
            row.image.id == id && row.image.is_for(&ask.caller.account) && row.image.state != "deregistered"
        });
        let region = model.region_mut(&ask.caller.account, &ask.caller.region).ok_or_else(Fault::auth_failure)?;
        let own = region.images.get_mut(&id).filter(|image| image.state != "deregistered");
        let Some(image) = own else {
            return Err(match seen {
                true => Fault::bad("AuthFailure", format!("Not authorized for image:{id}")),
                false => not_found(&id),
            });
        };
        ask.ready()?;
        image.binned = stay;
        "deregistered".clone_into(&mut image.state);
        image.mappings.iter().filter_map(|mapping| mapping.snapshot.clone()).collect::<Vec<_>>()
    };
    let saved = ask.sandbox.save_image(&ask.caller.account, &ask.caller.region, &id);
    saved.map_err(|cause| Fault::internal(&cause))?;
    let mut outcomes = Vec::new();
    for snapshot in snapshots.iter().filter(|_| with_snapshots) {
        // What another image is made of stays, and that is no error.
        let held = ask.region(|region| {
            Ok(region.snapshots.get(snapshot).map(|row| super::snapshots::held(region, row).is_some()))
        })?;
        let outcome = match held {
            None => "client-error",
            Some(true) => "skipped",
            Some(false) => {
                super::bin::delete_snapshot(ask, snapshot)?;
                "success"
            }
        };
        outcomes.push((snapshot, outcome));
    }
    Ok(ask.answer("DeregisterImage", |xml| {
        xml.text("return", true);
        if with_snapshots {
            xml.set("deleteSnapshotResultSet", &outcomes, |xml, (snapshot, outcome)| {
                xml.text("snapshotId", snapshot);
                xml.text("returnCode", outcome);
            });
        }
    }))
}

/// Every account's images in the region, by id. There are few: images are made by hand and by pipelines.
fn all<'m>(model: &'m Model, caller: &Caller) -> Vec<Row<'m>> {
    let of = |account: &'m Account| {
        let region = account.regions.get(&caller.region)?;
        Some(region.images.values().map(move |image| Row { image, account, region }))
    };
    let mut rows: Vec<Row<'m>> = model.accounts.values().filter_map(of).flatten().collect();
    rows.sort_unstable_by(|a, b| a.image.id.cmp(&b.image.id));
    rows
}

impl Row<'_> {
    /// A copy is there when its snapshots are.
    fn state(&self) -> &str {
        let snapshots = self.image.mappings.iter().filter_map(|mapping| mapping.snapshot.as_ref());
        let states = || snapshots.clone().filter_map(|id| self.region.snapshots.get(id)).map(|row| &row.state);
        match self.image.state.as_str() {
            "pending" if states().any(|state| matches!(state, SnapshotState::Error(_))) => "failed",
            "pending" if states().all(|state| *state == SnapshotState::Completed) => "available",
            state => state,
        }
    }

    /// Why it failed: what its snapshots say.
    fn reason(&self) -> &str {
        let snapshots = self.image.mappings.iter().filter_map(|mapping| mapping.snapshot.as_ref());
        let mut states = snapshots.filter_map(|id| self.region.snapshots.get(id)).map(|row| &row.state);
        states
            .find_map(|state| if let SnapshotState::Error(why) = state { Some(why.as_str()) } else { None })
            .unwrap_or("A snapshot of the image could not be copied.")
    }

    fn alias(&self) -> Option<&str> {
        self.account.profile.is_none().then_some(self.account.alias.as_str())
    }

    fn owned(&self, caller: &Caller, owners: &[&str]) -> bool {
        owners.is_empty()
            || owners.iter().any(|owner| match *owner {
                "self" => self.image.owner == caller.account,
                other => self.image.owner.as_str() == other || self.alias() == Some(other),
            })
    }

    fn runnable(&self, caller: &Caller, runners: &[&str]) -> bool {
        runners.is_empty()
            || runners.iter().any(|runner| match *runner {
                "all" => self.image.public,
                "self" => self.image.owner == caller.account,
                other => self.image.owner.as_str() == other,
            })
    }

    fn windows(&self) -> bool {
        self.image.platform.starts_with("Windows")
    }

    fn field(&self, name: &str, test: &mut dyn FnMut(&str) -> bool) -> bool {
        let image = self.image;
        let mut mapped = |value: &dyn Fn(&Mapping) -> String| image.mappings.iter().any(|m| test(&value(m)));
        match name {
            "block-device-mapping.delete-on-termination" => mapped(&|m| m.delete_on_termination.to_string()),
            "block-device-mapping.device-name" => mapped(&|m| m.device.clone()),
            "block-device-mapping.encrypted" => mapped(&|m| m.encrypted.to_string()),
            "block-device-mapping.snapshot-id" => {
                mapped(&|m| m.snapshot.as_ref().map_or_else(String::new, ToString::to_string))
            }
            "block-device-mapping.volume-size" => mapped(&|m| m.size_gib.to_string()),
            "block-device-mapping.volume-type" => mapped(&|m| m.kind.clone()),
            "architecture" => test(&image.architecture),
            "creation-date" => test(&stamp(image.created)),
            "description" => test(&image.description),
            "image-id" => test(image.id.as_str()),
            "image-type" => test("machine"),
            "is-public" => test(if image.public { "true" } else { "false" }),
            "name" => test(&image.name),
            "owner-alias" => self.alias().is_some_and(test),
            "owner-id" => test(image.owner.as_str()),
            "platform" => self.windows() && test("windows"),
            "root-device-name" => test(&image.root_device),
            "root-device-type" => test("ebs"),
            "source-instance-id" => image.source_instance.as_ref().is_some_and(|id| test(id.as_str())),
            "state" => test(self.state()),
            "virtualization-type" => test("hvm"),
            _ => false,
        }
    }

    fn write(&self, xml: &mut Xml, now: Timestamp) {
        let image = self.image;
        xml.text("imageId", &image.id);
        xml.text("imageLocation", format_args!("{}/{}", image.owner, image.name));
        xml.text("imageState", self.state());
        if self.state() == "failed" {
            xml.nest("stateReason", |xml| {
                xml.text("code", "Client.InternalError");
                xml.text("message", self.reason());
            });
        }
        xml.text("imageOwnerId", &image.owner);
        xml.maybe("imageOwnerAlias", self.alias());
        xml.time("creationDate", image.created);
        xml.text("isPublic", image.public);
        xml.text("architecture", &image.architecture);
        xml.text("imageType", "machine");
        xml.maybe("platform", self.windows().then_some("windows"));
        xml.text("platformDetails", &image.platform);
        xml.text("usageOperation", image.usage());
        if !image.product_codes.is_empty() {
            xml.set("productCodes", &image.product_codes, |xml, code| {
                xml.text("productCode", code);
                xml.text("type", "marketplace");
            });
        }
        xml.text("name", &image.name);
        xml.text("description", &image.description);
        xml.text("rootDeviceType", "ebs");
        xml.text("rootDeviceName", &image.root_device);
        xml.set("blockDeviceMapping", &image.mappings, |xml, mapping| {
            xml.text("deviceName", &mapping.device);
            xml.nest("ebs", |xml| {
                xml.maybe("snapshotId", mapping.snapshot.as_ref());
                xml.text("volumeSize", mapping.size_gib);
                xml.text("deleteOnTermination", mapping.delete_on_termination);
                xml.text("volumeType", &mapping.kind);
                xml.text("encrypted", mapping.encrypted);
            });
        });
        xml.tags(&image.tags);
        xml.text("virtualizationType", "hvm");
        xml.text("hypervisor", "xen");
        xml.text("enaSupport", true);
        xml.text("sriovNetSupport", "simple");
        xml.maybe("sourceInstanceId", image.source_instance.as_ref());
        // EC2 sets a time two years ahead on public images; on own ones only where somebody asked for it.
        let end = image.deprecated.or_else(|| image.public.then(|| now + jiff::SignedDuration::from_hours(2 * 8760)));
        if let Some(at) = end {
            xml.time("deprecationTime", at);
        }
    }
}

//! Who uses an image: whom it is shared with, and which resources of the account name it.

use super::page::{Above, Limits, Page};
use super::{Ask, Fault, ids};
use crate::ids::ImageId;
use crate::sandbox::model::RegionState;

const LIMITS: Limits = Limits { min: 5, max: 1000, above: Above::Refused };
/// Images in one question.
const MOST: usize = 10;
const KINDS: [&str; 5] =
    ["ec2:Instance", "ec2:LaunchTemplate", "ssm:Parameter", "imagebuilder:ImageRecipe", "imagebuilder:ContainerRecipe"];

/// `DescribeImageAttribute`, of the caller's own images only.
pub fn attribute(ask: &Ask<'_>) -> Result<String, Fault> {
    let id = ask.query.required("ImageId")?;
    let attribute = ask.query.required("Attribute")?;
    let id: ImageId = ids(&[id], "InvalidAMIID.Malformed", "ami")?.remove(0);
    if !matches!(attribute, "launchPermission" | "description" | "productCodes" | "lastLaunchedTime") {
        return Err(Fault::value("attribute", attribute, "Unknown image attribute."));
    }
    let model = ask.sandbox.model();
    let images = model.accounts.values().filter_map(|account| account.regions.get(&ask.caller.region)?.images.get(&id));
    let seen = images.filter(|image| image.state != "deregistered" && image.is_for(&ask.caller.account));
    let image = seen.into_iter().next().ok_or_else(|| super::images::not_found(&id))?;
    if image.owner != ask.caller.account {
        return Err(Fault::bad("AuthFailure", format!("Not authorized for image:{id}")));
    }
    ask.ready()?;
    Ok(ask.answer("DescribeImageAttribute", |xml| {
        xml.text("imageId", &image.id);
        match attribute {
            "launchPermission" => xml.nest("launchPermission", |xml| {
                if image.public {
                    xml.nest("item", |xml| xml.text("group", "all"));
                }
                for account in &image.launchers {
                    xml.nest("item", |xml| xml.text("userId", account));
                }
            }),
            "description" => xml.nest("description", |xml| xml.text("value", &image.description)),
            "lastLaunchedTime" => xml.nest("lastLaunchedTime", |xml| {
                if let Some(at) = image.last_launched {
                    xml.time("value", at);
                }
            }),
            _ => xml.nest("productCodes", |_| {}),
        }
    }))
}

/// `DescribeImageReferences`.
pub fn references(ask: &Ask<'_>) -> Result<String, Fault> {
    let wanted: Vec<ImageId> = ids(&ask.query.list("ImageId"), "InvalidAMIID.Malformed", "ami")?;
    let everything = ask.query.flag("IncludeAllResourceTypes")?;
    let kinds: Vec<String> = (1..=KINDS.len())
        .filter_map(|n| ask.query.text(&format!("ResourceType.{n}.ResourceType")).map(str::to_owned))
        .collect();
    let page = Page::of(&ask.query, ask.caller, LIMITS, None)?;
    ask.ready()?;
    match wanted.len() {
        0 => return Err(Fault::missing("ImageId")),
        1..=MOST => {}
        many => return Err(Fault::value("ImageId", &many.to_string(), "At most 10 images may be specified.")),
    }
    if everything != kinds.is_empty() {
        let message = "Specify either IncludeAllResourceTypes or ResourceTypes.";
        return Err(Fault::bad("InvalidParameterCombination", message));
    }
    if let Some(kind) = kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
        return Err(Fault::value("ResourceType", kind, "Unknown resource type."));
    }
    ask.region(|region| {
        let mut rows = all(ask, region);
        rows.retain(|row| wanted.contains(&row.1) && (everything || kinds.iter().any(|kind| kind == row.2)));
        rows.retain(|row| page.after().is_none_or(|after| row.0.as_str() > after));
        rows.sort();
        let (rows, token) = page.take(rows.iter().map(|row| (row.0.as_str(), row)), |_| true);
        Ok(ask.answer("DescribeImageReferences", |xml| {
            xml.set("imageReferenceSet", rows, |xml, (key, image, kind)| {
                xml.text("imageId", image);
                xml.text("resourceType", kind);
                xml.text("arn", key.split_once(' ').map_or("", |(_, arn)| arn));
            });
            xml.maybe("nextToken", token);
        }))
    })
}

/// Every reference of the region: a key with the ARN behind a space, the image, the kind.
fn all(ask: &Ask<'_>, region: &RegionState) -> Vec<(String, ImageId, &'static str)> {
    let (partition, name, account) = (region.name.partition(), &region.name, &ask.caller.account);
    let arn = |service: &str, rest: &str| format!("arn:{partition}:{service}:{name}:{account}:{rest}");
    let mut rows = Vec::new();
    for instance in region.instances.values().filter(|instance| instance.state != "terminated") {
        let arn = arn("ec2", &format!("instance/{}", instance.id));
        rows.push((format!("{} {arn}", instance.image), instance.image.clone(), "ec2:Instance"));
    }
    for template in region.templates.values() {
        let mut images: Vec<ImageId> = Vec::new();
        for image in template.versions.iter().filter_map(|version| version.image.as_deref()?.parse().ok()) {
            if !images.contains(&image) {
                images.push(image);
            }
        }
        for image in images {
            let arn = arn("ec2", &format!("launch-template/{}", template.id));
            rows.push((format!("{image} {arn}"), image, "ec2:LaunchTemplate"));
        }
    }
    for (parameter, image) in &region.parameters {
        let arn = arn("ssm", &format!("parameter/{}", parameter.trim_start_matches('/')));
        rows.push((format!("{image} {arn}"), image.clone(), "ssm:Parameter"));
    }
    rows
}

//! Regions and availability zones.

use super::{Ask, Fault};
use crate::ids::Region;
use crate::sandbox::model::{OptIn, RegionState, Tags};
use crate::sandbox::xml::Xml;

const REGION_FILTERS: &[&str] = &["endpoint", "opt-in-status", "region-name"];
const ZONE_FILTERS: &[&str] =
    &["group-name", "opt-in-status", "region-name", "state", "zone-id", "zone-name", "zone-type"];

fn opt_in(status: OptIn) -> &'static str {
    match status {
        OptIn::NotRequired => "opt-in-not-required",
        OptIn::OptedIn => "opted-in",
        OptIn::NotOptedIn => "not-opted-in",
    }
}

fn endpoint(region: &Region) -> String {
    let domain = match region.partition() {
        "aws-cn" => "amazonaws.com.cn",
        "aws-eusc" => "amazonaws.eu",
        _ => "amazonaws.com",
    };
    format!("ec2.{region}.{domain}")
}

/// The account's enabled regions; with `AllRegions` also those that it has not opted in to.
pub fn describe_regions(ask: &Ask<'_>) -> Result<String, Fault> {
    let names = ask.query.list("RegionName");
    let all = ask.query.flag("AllRegions")?;
    let filters = ask.query.filters(REGION_FILTERS)?;
    ask.ready()?;
    let model = ask.sandbox.model();
    let account = model.accounts.get(&ask.caller.account).ok_or_else(Fault::auth_failure)?;
    let unknown: Vec<&str> =
        names.iter().copied().filter(|name| !account.regions.keys().any(|known| known.as_str() == *name)).collect();
    if !unknown.is_empty() {
        return Err(Fault::bad("InvalidParameterValue", format!("Invalid region(s): [{}]", unknown.join(", "))));
    }
    let rows = account.regions.values().filter(|region| {
        (all || region.opt_in != OptIn::NotOptedIn)
            && (names.is_empty() || names.contains(&region.name.as_str()))
            && filters.pass(&Tags::default(), |name, test| match name {
                "endpoint" => test(&endpoint(&region.name)),
                "opt-in-status" => test(opt_in(region.opt_in)),
                "region-name" => test(region.name.as_str()),
                _ => false,
            })
    });
    Ok(ask.answer("DescribeRegions", |xml| {
        xml.set("regionInfo", rows, |xml, region| {
            xml.text("regionName", &region.name);
            xml.text("regionEndpoint", endpoint(&region.name));
            xml.text("optInStatus", opt_in(region.opt_in));
        });
    }))
}

/// The zones of the region that is asked.
pub fn describe_availability_zones(ask: &Ask<'_>) -> Result<String, Fault> {
    let names = ask.query.list("ZoneName");
    let ids = ask.query.list("ZoneId");
    ask.query.flag("AllAvailabilityZones")?;
    let filters = ask.query.filters(ZONE_FILTERS)?;
    ask.ready()?;
    ask.region(|region| {
        let zones: Vec<Zone> = region.zones.iter().map(|letter| Zone::of(region, *letter)).collect();
        let unknown = names.iter().find(|name| !zones.iter().any(|zone| zone.name == **name));
        if let Some(name) = unknown {
            return Err(Fault::bad("InvalidParameterValue", format!("Invalid availability zone: [{name}]")));
        }
        let rows = zones.iter().filter(|zone| {
            (names.is_empty() || names.contains(&zone.name.as_str()))
                && (ids.is_empty() || ids.contains(&zone.id.as_str()))
                && filters.pass(&Tags::default(), |name, test| zone.field(region, name, test))
        });
        Ok(ask.answer("DescribeAvailabilityZones", |xml| {
            xml.set("availabilityZoneInfo", rows, |xml, zone| zone.write(region, xml));
        }))
    })
}

struct Zone {
    name: String,
    id: String,
    group: String,
}

impl Zone {
    fn of(region: &RegionState, letter: char) -> Self {
        let name = &region.name;
        let number = (letter as u32).saturating_sub('a' as u32) + 1;
        Self {
            name: format!("{name}{letter}"),
            id: format!("{}-az{number}", name.short()),
            group: format!("{name}-zg-1"),
        }
    }

    fn field(&self, region: &RegionState, name: &str, test: &mut dyn FnMut(&str) -> bool) -> bool {
        match name {
            "group-name" => test(&self.group),
            "opt-in-status" => test("opt-in-not-required"),
            "region-name" => test(region.name.as_str()),
            "state" => test("available"),
            "zone-id" => test(&self.id),
            "zone-name" => test(&self.name),
            "zone-type" => test("availability-zone"),
            _ => false,
        }
    }

    fn write(&self, region: &RegionState, xml: &mut Xml) {
        xml.text("zoneName", &self.name);
        xml.text("zoneState", "available");
        xml.text("regionName", &region.name);
        xml.text("zoneId", &self.id);
        xml.text("optInStatus", "opt-in-not-required");
        xml.text("groupName", &self.group);
        xml.text("networkBorderGroup", &region.name);
        xml.text("zoneType", "availability-zone");
        xml.nest("messageSet", |_| {});
    }
}

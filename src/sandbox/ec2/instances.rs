//! Instances, each in a reservation of its own.

use super::page::{Above, Limits, Page};
use super::{Ask, Fault, ids};
use crate::ids::{AccountId, InstanceId};
use crate::sandbox::model::{Attachment, Instance, RegionState};
use crate::sandbox::xml::{Xml, stamp};

pub const FILTERS: &[&str] = &[
    "architecture",
    "availability-zone",
    "block-device-mapping.attach-time",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.status",
    "block-device-mapping.volume-id",
    "image-id",
    "instance-id",
    "instance-state-code",
    "instance-state-name",
    "instance-type",
    "launch-time",
    "owner-id",
    "private-ip-address",
    "reservation-id",
    "root-device-name",
    "root-device-type",
];

const LIMITS: Limits = Limits { min: 5, max: 1000, above: Above::Refused };

/// `DescribeInstances`.
pub fn describe(ask: &Ask<'_>) -> Result<String, Fault> {
    let wanted: Vec<InstanceId> = ids(&ask.query.list("InstanceId"), "InvalidInstanceID.Malformed", "i")?;
    let filters = ask.query.filters(FILTERS)?;
    let page = Page::of(&ask.query, ask.caller, LIMITS, (!wanted.is_empty()).then_some("instancesSet"))?;
    ask.ready()?;
    ask.region(|region| {
        let missing = wanted.iter().find(|id| !region.instances.contains_key(*id));
        if let Some(id) = missing {
            let message = format!("The instance ID '{id}' does not exist");
            return Err(Fault::bad("InvalidInstanceID.NotFound", message));
        }
        let rows = super::page::following(&region.instances, page.after());
        let rows = rows.map(|(id, instance)| (id.as_str(), Row { instance, region, owner: &ask.caller.account }));
        let (rows, token) = page.take(rows, |row| {
            (wanted.is_empty() || wanted.contains(&row.instance.id))
                && filters.pass(&row.instance.tags, |name, test| row.field(name, test))
        });
        Ok(ask.answer("DescribeInstances", |xml| {
            xml.set("reservationSet", rows, |xml, row| {
                xml.text("reservationId", row.reservation());
                xml.text("ownerId", row.owner);
                xml.nest("groupSet", |_| {});
                xml.set("instancesSet", [&row], |xml, row| row.write(xml));
            });
            xml.maybe("nextToken", token);
        }))
    })
}

struct Row<'m> {
    instance: &'m Instance,
    region: &'m RegionState,
    owner: &'m AccountId,
}

impl Row<'_> {
    /// EC2's number for the state; its low byte is what counts.
    fn code(&self) -> u16 {
        match self.instance.state.as_str() {
            "pending" => 0,
            "running" => 16,
            "shutting-down" => 32,
            "terminated" => 48,
            "stopping" => 64,
            _ => 80,
        }
    }

    fn reservation(&self) -> String {
        self.instance.id.as_str().replacen("i-", "r-", 1)
    }

    fn architecture(&self) -> &str {
        self.region.images.get(&self.instance.image).map_or("x86_64", |image| image.architecture.as_str())
    }

    /// How the instance's volume at `device` is attached, as the volume says.
    fn attachment(&self, id: &crate::ids::VolumeId) -> Option<&Attachment> {
        self.region.volumes.get(id)?.attachments.iter().find(|attachment| attachment.instance == self.instance.id)
    }

    fn field(&self, name: &str, test: &mut dyn FnMut(&str) -> bool) -> bool {
        let instance = self.instance;
        let attached = |value: &dyn Fn(&Attachment) -> String, test: &mut dyn FnMut(&str) -> bool| {
            instance.volumes.iter().filter_map(|(_, id)| self.attachment(id)).any(|a| test(&value(a)))
        };
        match name {
            "block-device-mapping.attach-time" => attached(&|a| stamp(a.since), test),
            "block-device-mapping.delete-on-termination" => attached(&|a| a.delete_on_termination.to_string(), test),
            "block-device-mapping.device-name" => instance.volumes.iter().any(|(device, _)| test(device)),
            "block-device-mapping.status" => attached(&|_| "attached".to_owned(), test),
            "block-device-mapping.volume-id" => instance.volumes.iter().any(|(_, id)| test(id.as_str())),
            "architecture" => test(self.architecture()),
            "availability-zone" => test(&instance.zone),
            "image-id" => test(instance.image.as_str()),
            "instance-id" => test(instance.id.as_str()),
            "instance-state-code" => test(&self.code().to_string()),
            "instance-state-name" => test(&instance.state),
            "instance-type" => test(&instance.kind),
            "launch-time" => test(&stamp(instance.launched)),
            "owner-id" => test(self.owner.as_str()),
            "private-ip-address" => test(&instance.private_ip),
            "reservation-id" => test(&self.reservation()),
            "root-device-name" => test(&instance.root_device),
            "root-device-type" => test("ebs"),
            _ => false,
        }
    }

    fn write(&self, xml: &mut Xml) {
        let instance = self.instance;
        xml.text("instanceId", &instance.id);
        xml.text("imageId", &instance.image);
        xml.nest("instanceState", |xml| {
            xml.text("code", self.code());
            xml.text("name", &instance.state);
        });
        xml.text("privateDnsName", format_args!("ip-{}.ec2.internal", instance.private_ip.replace('.', "-")));
        xml.text("dnsName", "");
        xml.text("reason", "");
        xml.text("amiLaunchIndex", 0);
        xml.nest("productCodes", |_| {});
        xml.text("instanceType", &instance.kind);
        xml.time("launchTime", instance.launched);
        xml.nest("placement", |xml| {
            xml.text("availabilityZone", &instance.zone);
            xml.text("groupName", "");
            xml.text("tenancy", "default");
        });
        xml.nest("monitoring", |xml| xml.text("state", "disabled"));
        xml.text("privateIpAddress", &instance.private_ip);
        xml.text("architecture", self.architecture());
        xml.text("rootDeviceType", "ebs");
        xml.text("rootDeviceName", &instance.root_device);
        xml.set("blockDeviceMapping", &instance.volumes, |xml, (device, id)| {
            xml.text("deviceName", device);
            xml.nest("ebs", |xml| {
                xml.text("volumeId", id);
                xml.text("status", "attached");
                if let Some(attachment) = self.attachment(id) {
                    xml.time("attachTime", attachment.since);
                    xml.text("deleteOnTermination", attachment.delete_on_termination);
                }
            });
        });
        xml.text("virtualizationType", "hvm");
        xml.text("clientToken", "");
        xml.tags(&instance.tags);
        xml.text("hypervisor", "xen");
        xml.text("ebsOptimized", true);
        xml.text("enaSupport", true);
    }
}

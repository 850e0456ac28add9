//! Types of instances, as far as a client asks what their network carries.

use super::page::{Above, Limits, Page};
use super::{Ask, Fault};

const LIMITS: Limits = Limits { min: 5, max: 100, above: Above::Refused };

/// Name, vCPUs, MiB, Gbit/s all the time, Gbit/s at its peak. By name, as pages go.
const TYPES: [(&str, u32, u32, f64, f64); 5] = [
    ("c7gn.16xlarge", 64, 131_072, 200.0, 200.0),
    ("m5.large", 2, 8_192, 0.75, 10.0),
    ("r5b.12xlarge", 48, 393_216, 10.0, 10.0),
    ("r5b.large", 2, 16_384, 0.75, 10.0),
    ("t3.micro", 2, 1_024, 0.064, 5.0),
];

/// `DescribeInstanceTypes`.
pub fn describe(ask: &Ask<'_>) -> Result<String, Fault> {
    let wanted = ask.query.list("InstanceType");
    let page = Page::of(&ask.query, ask.caller, LIMITS, (!wanted.is_empty()).then_some("instanceTypes"))?;
    ask.ready()?;
    let unknown: Vec<&str> =
        wanted.iter().copied().filter(|name| !TYPES.iter().any(|(known, ..)| known == name)).collect();
    if !unknown.is_empty() {
        let message = format!("The following supplied instance types do not exist: [{}]", unknown.join(", "));
        return Err(Fault::bad("InvalidInstanceType", message));
    }
    let after = page.after().map(str::to_owned);
    let rows = TYPES.iter().filter(|(name, ..)| after.as_deref().is_none_or(|after| *name > after));
    let rows = rows.map(|row| (row.0, row));
    let (rows, token) = page.take(rows, |row| wanted.is_empty() || wanted.contains(&row.0));
    Ok(ask.answer("DescribeInstanceTypes", |xml| {
        xml.set("instanceTypeSet", rows, |xml, (name, cores, mib, baseline, peak)| {
            xml.text("instanceType", name);
            xml.text("currentGeneration", true);
            xml.nest("vCpuInfo", |xml| xml.text("defaultVCpus", cores));
            xml.nest("memoryInfo", |xml| xml.text("sizeInMiB", mib));
            xml.nest("networkInfo", |xml| {
                xml.text("networkPerformance", format_args!("Up to {peak} Gigabit"));
                xml.text("maximumNetworkCards", 1);
                xml.set("networkCards", [()], |xml, ()| {
                    xml.text("networkCardIndex", 0);
                    xml.text("networkPerformance", format_args!("Up to {peak} Gigabit"));
                    xml.text("maximumNetworkInterfaces", 3);
                    xml.text("baselineBandwidthInGbps", baseline);
                    xml.text("peakBandwidthInGbps", peak);
                });
            });
        });
        xml.maybe("nextToken", token);
    }))
}

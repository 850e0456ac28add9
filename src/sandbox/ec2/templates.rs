//! Launch templates and their versions.
//!
//! Without a template only `$Latest` and `$Default` can be asked for, of all templates at once; numbered versions are
//! told one template at a time (trap: an older version that is still in use shows in no bulk answer).

use super::page::{Above, Limits, Page};
use super::{Ask, Fault};
use crate::sandbox::model::{Template, TemplateVersion};
use crate::sandbox::xml::{Xml, stamp};

const LIMITS: Limits = Limits { min: 1, max: 200, above: Above::Refused };
const TEMPLATE_FILTERS: &[&str] = &["create-time", "launch-template-name"];
const VERSION_FILTERS: &[&str] = &["create-time", "image-id", "is-default-version"];

fn not_found(id: &str) -> Fault {
    let message = format!("The specified launch template, with template ID {id}, does not exist.");
    Fault::bad("InvalidLaunchTemplateId.NotFound", message)
}

fn name_not_found(name: &str) -> Fault {
    let message = format!("The specified launch template, with template name {name}, does not exist.");
    Fault::bad("InvalidLaunchTemplateName.NotFoundException", message)
}

fn check_id(id: &str) -> Result<(), Fault> {
    let hex = id.strip_prefix("lt-").unwrap_or_default();
    if matches!(hex.len(), 8 | 17) && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    let message = format!("The specified launch template ID {id} is not valid.");
    Err(Fault::bad("InvalidLaunchTemplateId.Malformed", message))
}

/// `DescribeLaunchTemplates`.
pub fn describe(ask: &Ask<'_>) -> Result<String, Fault> {
    let ids = ask.query.list("LaunchTemplateId");
    let names = ask.query.list("LaunchTemplateName");
    ids.iter().try_for_each(|id| check_id(id))?;
    let filters = ask.query.filters(TEMPLATE_FILTERS)?;
    let page = Page::of(&ask.query, ask.caller, LIMITS, (!ids.is_empty()).then_some("launchTemplateIds"))?;
    ask.ready()?;
    ask.region(|region| {
        if let Some(id) = ids.iter().find(|id| !region.templates.contains_key(**id)) {
            return Err(not_found(id));
        }
        let known = |name: &&&str| region.templates.values().any(|template| template.name == **name);
        if let Some(name) = names.iter().find(|name| !known(name)) {
            return Err(name_not_found(name));
        }
        let rows = super::page::following(&region.templates, page.after()).map(|(id, row)| (id.as_str(), row));
        let (rows, token) = page.take(rows, |template| {
            (ids.is_empty() || ids.contains(&template.id.as_str()))
                && (names.is_empty() || names.contains(&template.name.as_str()))
                && filters.pass(&template.tags, |name, test| match name {
                    "create-time" => test(&stamp(template.created)),
                    _ => test(&template.name),
                })
        });
        let user = super::super::sts::arn(&ask.caller.account, &ask.caller.region, "user/ops");
        Ok(ask.answer("DescribeLaunchTemplates", |xml| {
            xml.set("launchTemplates", rows, |xml, template| {
                xml.text("launchTemplateId", &template.id);
                xml.text("launchTemplateName", &template.name);
                xml.time("createTime", template.created);
                xml.text("createdBy", &user);
                xml.text("defaultVersionNumber", template.default);
                xml.text("latestVersionNumber", latest(template));
                xml.tags(&template.tags);
            });
            xml.maybe("nextToken", token);
        }))
    })
}

fn latest(template: &Template) -> u64 {
    template.versions.last().map_or(1, |version| version.number)
}

/// Which versions are asked for.
enum Which<'a> {
    /// `$Latest` and `$Default` as named, of all templates.
    OfAll(Vec<&'a str>),
    /// Of one template: all, or those named.
    OfOne(String, Vec<&'a str>),
}

/// `DescribeLaunchTemplateVersions`.
pub fn versions(ask: &Ask<'_>) -> Result<String, Fault> {
    let which = which(ask)?;
    let least = ask.query.number::<u64>("MinVersion")?.unwrap_or(0);
    let most = ask.query.number::<u64>("MaxVersion")?.unwrap_or(u64::MAX);
    let filters = ask.query.filters(VERSION_FILTERS)?;
    let page = Page::of(&ask.query, ask.caller, LIMITS, None)?;
    ask.ready()?;
    ask.region(|region| {
        let wanted = |template: &Template, version: &TemplateVersion| match &which {
            Which::OfAll(words) => words.iter().any(|word| is(template, version, word)),
            Which::OfOne(id, words) => {
                template.id == *id && (words.is_empty() || words.iter().any(|word| is(template, version, word)))
            }
        };
        if let Which::OfOne(id, words) = &which {
            let template = region.templates.get(id).ok_or_else(|| not_found(id))?;
            let there = |word: &&&str| template.versions.iter().any(|version| is(template, version, word));
            if let Some(word) = words.iter().find(|word| !there(word)) {
                let message =
                    format!("Could not find the specified version {word} for the launch template with ID {id}.");
                return Err(Fault::bad("InvalidLaunchTemplateId.VersionNotFound", message));
            }
        }
        let rows = region.templates.values().flat_map(|template| {
            template
                .versions
                .iter()
                .map(move |version| (format!("{}/{:010}", template.id, version.number), template, version))
        });
        let rows: Vec<_> = rows.filter(|(key, ..)| page.after().is_none_or(|after| key.as_str() > after)).collect();
        let (rows, token) = page.take(rows.iter().map(|row| (row.0.as_str(), row)), |(_, template, version)| {
            wanted(template, version)
                && (least..=most).contains(&version.number)
                && filters.pass(&template.tags, |name, test| match name {
                    "create-time" => test(&stamp(template.created)),
                    "image-id" => version.image.as_deref().is_some_and(test),
                    _ => test(&(version.number == template.default).to_string()),
                })
        });
        Ok(ask.answer("DescribeLaunchTemplateVersions", |xml| {
            xml.set("launchTemplateVersionSet", rows, |xml, (_, template, version)| write(xml, template, version));
            xml.maybe("nextToken", token);
        }))
    })
}

/// Reads which versions of what are asked for.
fn which<'a>(ask: &Ask<'a>) -> Result<Which<'a>, Fault> {
    let words = ask.query.list("LaunchTemplateVersion");
    let (id, name) = (ask.query.text("LaunchTemplateId"), ask.query.text("LaunchTemplateName"));
    match (id, name) {
        (Some(_), Some(_)) => Err(Fault::combination("LaunchTemplateId", "LaunchTemplateName")),
        (Some(id), None) => check_id(id).map(|()| Which::OfOne(id.to_owned(), words)),
        (None, Some(name)) => ask.region(|region| {
            let found = region.templates.values().find(|template| template.name == name);
            found.map(|template| Which::OfOne(template.id.clone(), words)).ok_or_else(|| name_not_found(name))
        }),
        (None, None) if words.is_empty() => Err(Fault::bad(
            "MissingParameter",
            "The request must contain the parameter launchTemplateId or launchTemplateName",
        )),
        (None, None) => match words.iter().find(|word| !matches!(**word, "$Latest" | "$Default")) {
            Some(word) => {
                Err(Fault::value("version", word, "Without a launch template only $Latest and $Default are valid."))
            }
            None => Ok(Which::OfAll(words)),
        },
    }
}

fn is(template: &Template, version: &TemplateVersion, word: &str) -> bool {
    match word {
        "$Latest" => version.number == latest(template),
        "$Default" => version.number == template.default,
        number => number.parse() == Ok(version.number),
    }
}

fn write(xml: &mut Xml, template: &Template, version: &TemplateVersion) {
    xml.text("launchTemplateId", &template.id);
    xml.text("launchTemplateName", &template.name);
    xml.text("versionNumber", version.number);
    xml.time("createTime", template.created);
    xml.text("defaultVersion", version.number == template.default);
    xml.nest("launchTemplateData", |xml| {
        xml.set("blockDeviceMappingSet", &version.disks, |xml, disk| {
            xml.text("deviceName", &disk.device);
            xml.nest("ebs", |xml| xml.maybe("snapshotId", disk.snapshot.as_ref()));
        });
        xml.maybe("imageId", version.image.as_deref());
        xml.text("instanceType", "t3.micro");
    });
}

//! Machine images: copied by AWS as images, or read as the one snapshot that they are made of.
//!
//! Invariant: an image is never rebuilt. What is billed by its codes (Windows, RHEL, SUSE, the Marketplace) is kept by
//! CopyImage alone, and nothing here registers anything; where AWS cannot copy an image, the plan is refused.

use crate::address::{Address, Place};
use crate::aws::Session;
use crate::error::{Error, Result};
use crate::ids::ImageId;
use crate::inventory;
use crate::plan::encryption::Encryption;
use crate::plan::make::{Maker, passed};
use crate::plan::model::{DestinationKind, DestinationPlan, Finding, Level, SourceKind, SourcePlan, Strategy, Verify};
use crate::rows::{ImageDisk, ImageFacts};
use crate::units::{Blocks, Bytes, Quantity};

/// Why an image is copied by AWS or not at all.
pub const NEVER_REBUILT: &str = "an image is copied by AWS (CopyImage) or not at all: registered anew from its \
                                 snapshots it would lose what it is billed and licensed by (Windows, RHEL, SUSE, the \
                                 Marketplace)";

/// The name of a copy has so many characters.
const NAME: std::ops::RangeInclusive<usize> = 3..=128;

fn refused(text: impl Into<String>, todo: Option<String>) -> Finding {
    Finding { level: Level::Refused, text: text.into(), todo }
}

fn note(text: impl Into<String>) -> Finding {
    Finding { level: Level::Note, text: text.into(), todo: None }
}

impl Maker<'_> {
    /// An image as the source: of a copy by AWS where it goes to a region, else as its one snapshot.
    pub(super) async fn image(&mut self, place: &Place, id: &ImageId) -> Result<SourcePlan> {
        let session = self.session(place).await?;
        let facts = match session.ec2().image(id).await {
            Ok(facts) => facts,
            Err(error) if error.has_code("InvalidAMIID.NotFound") => {
                return Err(self.image_elsewhere(place, &session, id, error).await);
            }
            Err(error) => return Err(error),
        };
        let is_copied = |to: &&Address| matches!(to, Address::NewSnapshot(_));
        let destinations = &self.operation.destinations;
        let (copied, read) =
            (destinations.iter().any(|to| is_copied(&to)), !destinations.iter().all(|to| is_copied(&to)));
        if facts.disks.is_empty() {
            return Err(Error::refused(format!(
                "{id} is made of no snapshot (its volumes lie in an instance store), so there is nothing that could be copied"
            )));
        }
        if read && facts.disks.len() > 1 {
            return Err(self.many_disks(&session, &facts));
        }
        if !copied {
            return self.only_disk(&session, facts).await;
        }
        self.read_quotas(&session).await;
        let disks = self.sized(&session, &facts).await?;
        self.check_image(&facts);
        let tags = self.kept_tags(&facts.row.tags);
        if let [disk] = disks.as_slice() {
            let place = session.origin().place();
            let alone = Address::Snapshot(place, disk.snapshot.clone());
            self.findings.push(note(format!("its disk alone, without an image, is {alone}")));
        }
        let blocks: Blocks = disks.iter().map(|disk| disk.full.unwrap_or(disk.size).blocks()).sum();
        Ok(SourcePlan {
            address: address(&session, id),
            profile: session.profile().cloned(),
            region: Some(session.region().clone()),
            account: Some(session.account().clone()),
            name: Some(facts.row.name.clone()).filter(|name| !name.is_empty()),
            tags,
            volume: disks.iter().map(|disk| disk.size).sum(),
            class: None,
            blocks: Quantity::at_most(blocks),
            kind: SourceKind::Image {
                id: id.clone(),
                encrypted: disks.iter().any(|disk| disk.encrypted),
                billing: facts.billing(),
                disks,
            },
        })
    }

    /// The error for an image that is not where its address says.
    async fn image_elsewhere(&self, place: &Place, session: &Session, id: &ImageId, error: Error) -> Error {
        let found = inventory::find_image(self.aws, place.profile.as_ref(), id, session.region()).await;
        let mut usage =
            Error::usage(format!("{id} does not exist in {} ({})", session.region(), session.account().grouped()));
        usage.aws = error.aws;
        match found {
            Some(region) => {
                let place = Place { profile: place.profile.clone(), region: Some(region) };
                usage.todo(format!("it is in another region: {}", Address::Image(place, id.clone())))
            }
            None => usage.todo(format!("floe ls images --all-regions --filter {id}")),
        }
    }

    /// Several snapshots go into no one file: names them, and the command that would work.
    fn many_disks(&self, session: &Session, facts: &ImageFacts) -> Error {
        let place = session.origin().place();
        let address = |disk: &ImageDisk| Address::Snapshot(place.clone(), disk.snapshot.clone()).to_string();
        let disks: Vec<String> =
            facts.disks.iter().map(|disk| format!("{} {} ({})", disk.device, disk.snapshot, disk.size)).collect();
        let to = self.operation.destinations.iter().find(|to| !matches!(to, Address::NewSnapshot(_)));
        let todo = match to {
            Some(Address::Path(path)) => {
                let one = |disk: &ImageDisk| {
                    let device = disk.device.rsplit('/').next().unwrap_or("disk");
                    format!("floe copy {} {}", address(disk), path.with_extension(format!("{device}.img")).display())
                };
                facts.disks.iter().map(one).collect::<Vec<_>>().join("; ")
            }
            other => {
                let sources = facts.disks.iter().map(address).collect::<Vec<_>>().join(" ");
                format!(
                    "floe copy --each {sources} {}",
                    other.map_or_else(|| "REGION:".to_owned(), ToString::to_string)
                )
            }
        };
        Error::usage(format!(
            "{} is made of {} snapshots, and only an image of one can be read as a disk: {}",
            facts.row.id,
            facts.disks.len(),
            disks.join(", ")
        ))
        .todo(todo)
    }

    /// The snapshot of an image that has one: from here on the copy is that snapshot's.
    async fn only_disk(&mut self, session: &Session, facts: ImageFacts) -> Result<SourcePlan> {
        let disk = &facts.disks[0];
        self.findings.push(note(format!(
            "{} is made of one snapshot, {} at {}: that is what is copied, and no image",
            facts.row.id, disk.snapshot, disk.device
        )));
        if facts.row.state != "available" {
            self.findings
                .push(note(format!("{} is {}; its snapshot can be read all the same", facts.row.id, facts.row.state)));
        }
        if let Some(billing) = facts.billing() {
            let text = format!("what {} is billed by ({billing}) stays with it: {NEVER_REBUILT}", facts.row.id);
            self.findings.push(Finding { level: Level::Warning, text, todo: None });
        }
        let row = match session.ec2().snapshot(&disk.snapshot).await {
            Ok(row) => row,
            Err(error) if error.has_code("InvalidSnapshot.NotFound") => {
                let mut refusal = Error::refused(format!(
                    "account {} does not see {}, which {} is made of",
                    session.account().grouped(),
                    disk.snapshot,
                    facts.row.id
                ))
                .todo("its owner has to share the snapshot, not only the image");
                refusal.aws = error.aws;
                return Err(refusal);
            }
            Err(error) => return Err(error),
        };
        self.read_quotas(session).await;
        self.snapshot(session, row)
    }

    /// The disks with the sizes of their snapshots, as far as this account sees them.
    async fn sized(&mut self, session: &Session, facts: &ImageFacts) -> Result<Vec<ImageDisk>> {
        let mut ids: Vec<_> = facts.disks.iter().map(|disk| disk.snapshot.clone()).collect();
        ids.sort();
        ids.dedup();
        let rows = match session.ec2().snapshots_by_id(&ids).await {
            Ok(rows) => rows,
            Err(error) if error.has_code("InvalidSnapshot.NotFound") => {
                self.findings.push(Finding {
                    level: Level::Warning,
                    text: format!(
                        "account {} does not see all snapshots of {}, and AWS copies only what it may read",
                        session.account().grouped(),
                        facts.row.id
                    ),
                    todo: Some("its owner has to share the snapshots, not only the image".to_owned()),
                });
                return Ok(facts.disks.clone());
            }
            Err(error) => return Err(error),
        };
        for row in &rows {
            self.readable(row)?;
        }
        let full = |disk: &ImageDisk| rows.iter().find(|row| row.id == disk.snapshot).and_then(|row| row.full);
        let encrypted = |disk: &ImageDisk| rows.iter().any(|row| row.id == disk.snapshot && row.encrypted);
        let disks = facts.disks.iter();
        Ok(disks
            .map(|disk| ImageDisk { full: full(disk), encrypted: disk.encrypted || encrypted(disk), ..disk.clone() })
            .collect())
    }

    /// What an image is, as far as it decides whether AWS copies it.
    fn check_image(&mut self, facts: &ImageFacts) {
        let id = &facts.row.id;
        self.findings.push(match facts.row.state.as_str() {
            "available" => passed(format!("{id} is available")),
            "disabled" => refused(
                format!("{id} is disabled, and AWS copies only images that can be launched"),
                Some(format!("aws ec2 enable-image --image-id {id}")),
            ),
            state => refused(format!("{id} is {state}, and AWS copies only images that can be launched"), None),
        });
        if let Some(at) = facts.row.deprecated {
            let when = if at <= crate::wall::now() { "is deprecated since" } else { "will be deprecated on" };
            let day = at.to_zoned(jiff::tz::TimeZone::UTC).date();
            self.findings.push(note(format!("{id} {when} {day}; its copy is not")));
        }
        if let Some(billing) = facts.billing() {
            self.findings.push(passed(format!("{billing}: CopyImage keeps what it is billed by")));
        }
    }

    /// A copy of an image in a region.
    pub(super) async fn new_image(&mut self, place: &Place, source: &SourcePlan) -> Result<DestinationPlan> {
        let SourceKind::Image { id, disks, billing, .. } = &source.kind else {
            return Err(Error::failed(format!("`{}` is no image", source.address)));
        };
        let session = self.session(place).await?;
        let address = Address::NewSnapshot(session.origin().place());
        if let Some(why) = self.no_image(&session, id, billing.as_deref(), source).await? {
            self.findings.push(refused(format!("{address} cannot have a copy of {id}: {why}"), None));
        }
        if self.operation.options.verify > Verify::Listing {
            let why =
                "no block of an image passes floe: `floe verify` compares its snapshots with their copies afterwards";
            self.findings.push(refused(why, Some("leave --verify out".to_owned())));
        }
        let name = self.image_name(&session, source).await?;
        let Encryption { ask: ask_encrypted, result: encrypted, words: encryption } =
            self.image_encryption(&session, disks).await?;
        self.findings.push(passed(format!("{}: {encryption}", session.region())));
        Ok(DestinationPlan {
            address,
            profile: session.profile().cloned(),
            region: Some(session.region().clone()),
            account: Some(session.account().clone()),
            kind: DestinationKind::Image {
                name,
                ask_encrypted,
                ask_key: self.operation.options.kms_key.clone(),
                encrypted,
                encryption,
            },
            strategy: Strategy::Native,
        })
    }

    /// Why AWS does not copy it there.
    async fn no_image(
        &self,
        session: &Session,
        id: &ImageId,
        billing: Option<&str>,
        source: &SourcePlan,
    ) -> Result<Option<String>> {
        let Some(from) = &source.region else { return Ok(Some("its region is not known".to_owned())) };
        if from.partition() != session.region().partition() {
            return Ok(Some(format!(
                "{from} and {} are in different partitions, and AWS copies within one; {NEVER_REBUILT}",
                session.region()
            )));
        }
        let own = source.account.as_ref() == Some(session.account());
        let there = self.aws.session(session.profile(), Some(from)).await?;
        let facts = match there.ec2().image(id).await {
            Ok(facts) => facts,
            Err(error) if error.has_code("InvalidAMIID.NotFound") && !own => {
                let account = session.account().grouped();
                return Ok(Some(format!(
                    "account {account} does not see {id}; it has to be shared with it first, and its snapshots too"
                )));
            }
            Err(error) => return Err(error),
        };
        Ok(billing.filter(|_| facts.row.owner != *session.account() && !facts.row.public).map(|billing| {
            format!(
                "AWS copies no image with billing codes ({billing}) to another account; launch it there and make an \
                 image of the instance. {NEVER_REBUILT}"
            )
        }))
    }

    /// What the copy is called: no two images of an account have one name in a region.
    async fn image_name(&mut self, session: &Session, source: &SourcePlan) -> Result<String> {
        let asked = self.operation.options.name.clone();
        let name = asked.or_else(|| source.name.clone()).unwrap_or_default();
        let fits = |c: char| c.is_ascii_alphanumeric() || "()[] ./-'@_".contains(c);
        if !NAME.contains(&name.chars().count()) || !name.chars().all(fits) {
            return Err(Error::usage(format!("`{name}` is not a name for an image"))
                .todo("--name with 3 to 128 letters, digits, blanks and ()[]./-'@_"));
        }
        let key = (session.account().clone(), session.region().clone(), name.clone());
        if self.image_names.contains(&key) {
            let text = format!("two images of this plan would be called `{name}` in {}", session.region());
            self.findings.push(refused(text, Some("copy them one by one, each with its own --name".to_owned())));
        }
        self.image_names.push(key);
        let there = session.ec2().images_named(&name).await?;
        if let Some(taken) = there.iter().find(|image| !matches!(image.row.state.as_str(), "failed" | "deregistered")) {
            let text = format!("an image called `{name}` is in {} already: {}", session.region(), taken.row.id);
            self.findings.push(refused(text, Some("--name gives the copy another name".to_owned())));
        }
        Ok(name)
    }
}

fn address(session: &Session, id: &ImageId) -> Address {
    Address::Image(session.origin().place(), id.clone())
}

/// The largest snapshot of an image: what a time for AWS has to be enough for.
pub(super) fn largest(disks: &[ImageDisk]) -> Bytes {
    disks.iter().map(|disk| disk.full.unwrap_or(disk.size)).max().unwrap_or_default()
}

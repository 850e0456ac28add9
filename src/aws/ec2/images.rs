//! Images one by one: in full, by name or mark, copied, deregistered.

use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::types::builders::FilterBuilder;
use aws_sdk_ec2::types::{Filter, ResourceType, Tag as Ec2Tag, TagSpecification};

use super::Ec2;
use crate::aws::describe::{image_facts, keep};
use crate::error::{Error, Result};
use crate::grant::{Call, Grant};
use crate::ids::{ImageId, Region};
use crate::rows::{ImageFacts, Tag};
use crate::within::Within;

/// What CopyImage is asked for; it is asked in the region that the copy goes to.
#[derive(Debug, Clone)]
pub struct CopyImage {
    /// What is copied.
    pub source: ImageId,
    /// From which region.
    pub from: Region,
    /// The copy's name: 3 to 128 characters, one of its kind in an account's region.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Asked again with the same one, AWS answers with the same image.
    pub client_token: String,
    /// Tags of the copy and of its snapshots.
    pub tags: Vec<Tag>,
    /// Whether every disk is asked to be encrypted; else its source and the account's default decide.
    pub encrypted: bool,
    /// The key, when it is asked for.
    pub kms_key: Option<String>,
    /// How long its snapshots may take; else AWS sets its own pace.
    pub within: Option<Within>,
}

impl Ec2 {
    /// One image in full, of whatever owner, also a disabled or deprecated one.
    ///
    /// # Errors
    /// `InvalidAMIID.NotFound` is permanent; all else as classified.
    pub async fn image(&self, id: &ImageId) -> Result<ImageFacts> {
        let answer = self
            .client
            .describe_images()
            .image_ids(id.as_str())
            .include_disabled(true)
            .include_deprecated(true)
            .send()
            .await
            .map_err(|error| {
                self.context.sdk_error("ec2:DescribeImages", &error, format!("could not describe {id}"))
            })?;
        let found = keep(answer.images, |image| image_facts(image, self.context.origin()));
        found.into_iter().find(|image| image.row.id == *id).ok_or_else(|| {
            Error::transient(format!("could not describe {id}: the answer does not hold it"))
                .in_region(self.context.region())
        })
    }

    /// The account's own images with this tag; there are few.
    ///
    /// # Errors
    /// As classified.
    pub async fn images_tagged(&self, key: &str, value: &str) -> Result<Vec<ImageFacts>> {
        self.own_images(Filter::builder().name(format!("tag:{key}")).values(value)).await
    }

    /// The account's own images of this name: one at most that is not on its way out.
    ///
    /// # Errors
    /// As classified.
    pub async fn images_named(&self, name: &str) -> Result<Vec<ImageFacts>> {
        self.own_images(Filter::builder().name("name").values(name)).await
    }

    async fn own_images(&self, filter: FilterBuilder) -> Result<Vec<ImageFacts>> {
        let answer = self
            .client
            .describe_images()
            .owners("self")
            .include_disabled(true)
            .include_deprecated(true)
            .filters(filter.build())
            .send()
            .await
            .map_err(|error| {
                self.context.sdk_error("ec2:DescribeImages", &error, "could not look for images".into())
            })?;
        Ok(keep(answer.images, |image| image_facts(image, self.context.origin())))
    }

    /// Asks AWS to copy an image to this region, once; who repeats it names the same token.
    ///
    /// # Errors
    /// Refused outside the grant; `ResourceLimitExceeded` waits for its turn; else as classified.
    pub async fn copy_image(&self, grant: &Grant, request: &CopyImage) -> Result<ImageId> {
        self.context.allow(grant, Call::CopyImage, None)?;
        let tags: Vec<Ec2Tag> =
            request.tags.iter().map(|(key, value)| Ec2Tag::builder().key(&**key).value(&**value).build()).collect();
        let of = |kind| TagSpecification::builder().resource_type(kind).set_tags(Some(tags.clone())).build();
        let once = aws_sdk_ec2::config::Builder::default().retry_config(RetryConfig::disabled());
        let what = || format!("could not have {} copied from {}", request.source, request.from);
        let answer = self
            .client
            .copy_image()
            .source_region(request.from.as_str())
            .source_image_id(request.source.as_str())
            .name(&request.name)
            .description(&request.description)
            .client_token(&request.client_token)
            .set_encrypted(request.encrypted.then_some(true))
            .set_kms_key_id(request.kms_key.clone())
            .set_snapshot_copy_completion_duration_minutes(request.within.map(|within| i64::from(within.minutes())))
            .tag_specifications(of(ResourceType::Image))
            .tag_specifications(of(ResourceType::Snapshot))
            .customize()
            .config_override(once)
            .send()
            .await
            .map_err(|error| self.context.sdk_error("ec2:CopyImage", &error, what()))?;
        let id = answer.image_id.as_deref().and_then(|id| id.parse().ok());
        id.ok_or_else(|| Error::transient(format!("{}: the answer names no image", what())))
    }
}

//! A snapshot or an image that is not where it was said to be: which region it is in.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::aws::{Aws, Session};
use crate::ids::{ImageId, Profile, Region, SnapshotId};

/// An error is waiting for the answer: better none than late.
const DEADLINE: Duration = Duration::from_secs(5);

/// The other region of the account in which a snapshot lives, if any: for the error that names the address
/// that would work. All enabled regions are asked at once.
pub async fn find_snapshot(aws: &Aws, profile: Option<&Profile>, id: &SnapshotId, not_in: &Region) -> Option<Region> {
    let id = id.clone();
    let has = move |session: Session| {
        let id = id.clone();
        async move { session.ec2().snapshot(&id).await.is_ok() }
    };
    tokio::time::timeout(DEADLINE, search(aws, profile, not_in, has)).await.ok()?
}

/// The same of an image.
pub async fn find_image(aws: &Aws, profile: Option<&Profile>, id: &ImageId, not_in: &Region) -> Option<Region> {
    let id = id.clone();
    let has = move |session: Session| {
        let id = id.clone();
        async move { session.ec2().image(&id).await.is_ok() }
    };
    tokio::time::timeout(DEADLINE, search(aws, profile, not_in, has)).await.ok()?
}

async fn search<F>(
    aws: &Aws,
    profile: Option<&Profile>,
    not_in: &Region,
    has: impl Fn(Session) -> F + Clone + Send + 'static,
) -> Option<Region>
where
    F: Future<Output = bool> + Send,
{
    let regions = aws.regions(profile).await.ok()?;
    let mut asked = JoinSet::new();
    for row in regions.iter().filter(|row| row.is_enabled() && row.name != *not_in) {
        let (aws, profile, has, region) = (aws.clone(), profile.cloned(), has.clone(), row.name.clone());
        asked.spawn(async move {
            let session = aws.session(profile.as_ref(), Some(&region)).await.ok()?;
            has(session).await.then_some(region)
        });
    }
    // The rest is given up as soon as one answers.
    while let Some(answer) = asked.join_next().await {
        if let Ok(Some(region)) = answer {
            return Some(region);
        }
    }
    None
}

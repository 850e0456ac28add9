//! The tag that keeps a thing from ever being an orphan. Nothing is taken away by it, so nothing is armed for it; each
//! call has its lines in the audit log, before and after.

use jiff::Timestamp;

use crate::address::Place;
use crate::aws::{Aws, Session};
use crate::error::{Error, Kind, Result};
use crate::grant::{Call, Grant};
use crate::inventory::verdict::KEEP;
use crate::plan::removal::Target;
use crate::store::StateDir;
use crate::store::audit::{Audit, Entry, Event};
use crate::units::Digest;

/// What became of one.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The thing.
    pub id: Target,
    /// Why it was not tagged.
    pub error: Option<Error>,
}

/// Tags these; a failure stops none of the others. `value` says who wants them kept.
///
/// # Errors
/// A session that cannot be had; the audit log cannot be written.
pub async fn keep(
    aws: &Aws,
    state: &StateDir,
    targets: &[(Place, Target)],
    value: &str,
    who: &str,
) -> Result<Vec<Kept>> {
    let mut all: Vec<(Session, Target)> = Vec::new();
    for (place, target) in targets {
        let session = aws.session(place.profile.as_ref(), place.region.as_ref()).await?;
        all.push((session, target.clone()));
    }
    let ids: Vec<String> = all.iter().map(|(_, target)| target.id().to_owned()).collect();
    let mut accounts: Vec<_> = all.iter().map(|(session, _)| session.account().clone()).collect();
    accounts.sort();
    accounts.dedup();
    let grant = Grant {
        plan_hash: Digest::of(ids.join(" ").as_bytes()).hex(),
        accounts,
        endpoint: aws.world().endpoint,
        calls: vec![Call::CreateTags],
        ids,
        who: who.to_owned(),
        when: Timestamp::now(),
    };
    let audit = Audit::of(state);
    let mut out = Vec::with_capacity(all.len());
    for (session, target) in all {
        out.push(one(&session, target, value, &grant, &audit).await?);
    }
    Ok(out)
}

async fn one(session: &Session, target: Target, value: &str, grant: &Grant, audit: &Audit) -> Result<Kept> {
    let entry = |event| Entry {
        account: Some(session.account().clone()),
        region: Some(session.region().clone()),
        call: Call::CreateTags.action().to_owned(),
        id: target.id().to_owned(),
        ..Entry::new(event, &grant.who, format!("the tag {KEEP}"))
    };
    audit.append(&entry(Event::Intent))?;
    let tag = (KEEP.to_owned(), value.to_owned());
    let error = match session.ec2().create_tags(grant, target.id(), &[tag]).await {
        Ok(()) => {
            audit.append(&entry(Event::Done))?;
            None
        }
        Err(error) => {
            let refused = error.aws.is_none() && error.kind == Kind::Refused;
            let event = if refused { Event::Refused } else { Event::Failed };
            audit.append(&entry(event).because(&error))?;
            Some(error)
        }
    };
    Ok(Kept { id: target, error })
}

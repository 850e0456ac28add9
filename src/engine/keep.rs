//! The tag that keeps a thing from ever being an orphan. Nothing is taken away by it, so nothing is armed for it; each
//! call has its lines in the audit log, before and after.

use crate::address::Place;
use crate::aws::{Aws, Session};
use crate::error::{Error, Kind, Result};
use crate::grant::{Call, Grant};
use crate::ids::{AccountId, Region};
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
    let mut accounts: Vec<AccountId> = all.iter().map(|(session, _)| session.account().clone()).collect();
    accounts.sort();
    accounts.dedup();
    let ids = all.iter().map(|(_, target)| target.id().to_owned()).collect();
    let grant = allows(ids, accounts, aws.world().endpoint, who);
    let audit = Audit::of(state);
    let tag = [(KEEP.to_owned(), value.to_owned())];
    let mut out = Vec::with_capacity(all.len());
    for (session, target) in all {
        let call = async { session.ec2().create_tags(&grant, target.id(), &tag).await };
        let error = written((session.account(), session.region()), &target, who, &audit, call).await?;
        out.push(Kept { id: target, error });
    }
    Ok(out)
}

/// Tags on exactly these, and nothing else.
fn allows(ids: Vec<String>, accounts: Vec<AccountId>, endpoint: Option<String>, who: &str) -> Grant {
    Grant {
        plan_hash: Digest::of(ids.join(" ").as_bytes()).hex(),
        accounts,
        endpoint,
        calls: vec![Call::CreateTags],
        ids,
        who: who.to_owned(),
        when: crate::wall::now(),
    }
}

/// Makes the call between its two lines in the log, and gives its error back; without the first line there is no call.
async fn written(
    (account, region): (&AccountId, &Region),
    target: &Target,
    who: &str,
    audit: &Audit,
    call: impl Future<Output = Result<()>>,
) -> Result<Option<Error>> {
    let entry = |event| Entry {
        account: Some(account.clone()),
        region: Some(region.clone()),
        call: Call::CreateTags.action().to_owned(),
        id: target.id().to_owned(),
        ..Entry::new(event, who, format!("the tag {KEEP}"))
    };
    audit.append(&entry(Event::Intent))?;
    match call.await {
        Ok(()) => {
            audit.append(&entry(Event::Done))?;
            Ok(None)
        }
        Err(error) => {
            // A call outside the grant never left this machine.
            let refused = error.aws.is_none() && error.kind == Kind::Refused;
            let event = if refused { Event::Refused } else { Event::Failed };
            audit.append(&entry(event).because(&error))?;
            Ok(Some(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::error::AwsDetail;

    const ID: &str = "snap-0abc1234";

    /// Keeps one with a call that ends like this, and gives what came of it and the log's lines.
    async fn kept(outcome: Result<()>) -> (Option<Error>, Vec<Entry>) {
        let dir = tempfile::tempdir().expect("a directory");
        let state = StateDir::open(Some(dir.path())).expect("a state directory");
        let (account, region) = ("123456789012".parse().expect("an id"), "eu-west-1".parse().expect("a region"));
        let audit = Audit::of(&state);
        let target = ID.parse().expect("an id");
        let error = written((&account, &region), &target, "ops", &audit, async { outcome }).await.expect("a log");
        let entries = audit.read(|_| true).expect("the log").entries;
        assert!(entries.iter().all(|line| line.id == ID && line.call == "ec2:CreateTags" && line.who == "ops"));
        assert!(entries.iter().all(|line| line.account.as_ref() == Some(&account)));
        assert!(entries[0].text.contains(KEEP), "what is about to be done stands in the first");
        (error, entries)
    }

    fn events(entries: &[Entry]) -> Vec<Event> {
        entries.iter().map(|line| line.event).collect()
    }

    #[tokio::test]
    async fn a_call_stands_between_its_lines_whatever_comes_of_it() {
        let (error, entries) = kept(Ok(())).await;
        assert_eq!((error.is_none(), events(&entries)), (true, vec![Event::Intent, Event::Done]));

        let aws = AwsDetail { code: "UnauthorizedOperation".to_owned(), ..AwsDetail::default() };
        let denied = Error { aws: Some(Box::new(aws)), ..Error::failed("it may not be tagged") };
        let (error, entries) = kept(Err(denied)).await;
        assert!(error.is_some_and(|error| error.has_code("UnauthorizedOperation")));
        assert_eq!(events(&entries), [Event::Intent, Event::Failed]);
        assert_eq!(entries[1].code, "UnauthorizedOperation");

        let (_, entries) = kept(Err(Error::refused("outside its grant"))).await;
        assert_eq!(events(&entries), [Event::Intent, Event::Refused], "floe's own refusal is no failure of AWS's");
    }

    #[tokio::test]
    async fn what_cannot_be_written_down_is_not_done() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = StateDir::open(Some(dir.path())).expect("a state directory");
        std::fs::create_dir(state.root().join("audit.ndjson")).expect("something in the way");
        let (account, region) = ("123456789012".parse().expect("an id"), "eu-west-1".parse().expect("a region"));
        let called = Cell::new(false);
        let call = async {
            called.set(true);
            Ok(())
        };
        let target = ID.parse().expect("an id");
        let outcome = written((&account, &region), &target, "ops", &Audit::of(&state), call).await;
        assert!(outcome.is_err() && !called.get());
    }

    #[test]
    fn the_grant_is_for_tags_on_these_and_for_nothing_else() {
        let account: AccountId = "123456789012".parse().expect("an id");
        let grant = allows(vec![ID.to_owned()], vec![account.clone()], None, "ops");
        assert!(grant.check(Call::CreateTags, &account, Some(ID)).is_ok());
        assert!(grant.check(Call::CreateTags, &account, Some("snap-0abc1235")).is_err());
        assert!(grant.check(Call::DeleteSnapshot, &account, Some(ID)).is_err());
        let stranger = "210987654321".parse().expect("an id");
        assert!(grant.check(Call::CreateTags, &stranger, Some(ID)).is_err());
        let other = allows(vec!["snap-0abc1235".to_owned()], vec![account], None, "ops");
        assert_ne!(grant.plan_hash, other.plan_hash, "another set is another grant");
    }
}

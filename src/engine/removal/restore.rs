//! Bringing back what the Recycle Bin keeps. It makes something that is not there, so nothing is armed or typed for it.

use serde::Serialize;

use crate::address::Place;
use crate::aws::{Aws, Ec2, Page, Session};
use crate::error::{Error, Kind, Result};
use crate::grant::{Call, Grant};
use crate::plan::removal::Target;
use crate::rows::BinnedRow;
use crate::store::StateDir;
use crate::store::audit::{Audit, Entry, Event};
use crate::units::Digest;

/// Pages of one list at most: at a thousand rows each it holds more than any account keeps.
const PAGES: usize = 200;

/// What became of one.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// The thing.
    pub id: Target,
    /// Where it is.
    pub region: String,
    /// `restored`, `failed` or `not tried`.
    pub outcome: &'static str,
    /// Why it failed or was not tried; of one that is back, what the audit log lacks.
    pub reason: Option<String>,
    /// AWS's code.
    pub code: Option<String>,
    /// AWS's name for the request.
    pub request_id: Option<String>,
}

/// What came of all of them.
#[derive(Debug, Clone)]
pub struct Restoration {
    /// One each, in the order in which they were asked for.
    pub rows: Vec<Restored>,
    /// Why it ended before the last one, or why what is back is not written down: the audit log could not be written.
    pub unwritten: Option<Error>,
}

impl Restoration {
    /// What the command says to its caller: 0 when everything is back and written down.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let failed = self.rows.iter().filter(|row| row.outcome == "failed").count();
        match failed {
            _ if self.unwritten.is_some() => Kind::Failed.exit_code(),
            0 => 0,
            n if n == self.rows.len() => Kind::Failed.exit_code(),
            _ => Kind::Partial.exit_code(),
        }
    }
}

/// Everything in the Recycle Bin of a session's account and region.
///
/// # Errors
/// As classified.
pub async fn binned(session: &Session) -> Result<Vec<BinnedRow>> {
    let ec2: &Ec2 = session.ec2();
    let mut rows = Vec::new();
    let mut next: Option<String> = None;
    for _ in 0..PAGES {
        let page: Page<BinnedRow> = ec2.binned_snapshots(next.as_deref()).await?;
        rows.extend(page.rows);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    for _ in 0..PAGES {
        let page = ec2.binned_images(next.as_deref()).await?;
        rows.extend(page.rows);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    Ok(rows)
}

/// Brings these back, snapshots before the images that are made of them; a failure stops none of the others. An audit
/// log that cannot be written does: what came of those before is told all the same ([`Restoration::unwritten`]).
///
/// # Errors
/// Usage for a volume; a session that cannot be had; the audit log cannot be written at all: nothing was asked for.
pub async fn restore(aws: &Aws, state: &StateDir, targets: &[(Place, Target)], who: &str) -> Result<Restoration> {
    if let Some((_, volume)) = targets.iter().find(|(_, target)| matches!(target, Target::Volume(_))) {
        return Err(Error::usage(format!("`{volume}` is a volume, and a deleted volume cannot be brought back"))
            .todo("make a volume of a snapshot of it"));
    }
    let mut all: Vec<(Session, Target)> = Vec::new();
    for (place, target) in targets {
        let session = aws.session(place.profile.as_ref(), place.region.as_ref()).await?;
        all.push((session, target.clone()));
    }
    all.sort_by_key(|(_, target)| matches!(target, Target::Image(_)));
    let ids: Vec<String> = all.iter().map(|(_, target)| target.id().to_owned()).collect();
    let mut accounts: Vec<_> = all.iter().map(|(session, _)| session.account().clone()).collect();
    accounts.sort();
    accounts.dedup();
    let grant = Grant {
        plan_hash: Digest::of(ids.join(" ").as_bytes()).hex(),
        accounts,
        endpoint: aws.world().endpoint,
        calls: vec![Call::RestoreSnapshot, Call::RestoreImage],
        ids,
        who: who.to_owned(),
        when: crate::wall::now(),
    };
    let audit = Audit::of(state);
    let mut all = all.iter();
    let (mut rows, mut unwritten) = (Vec::with_capacity(all.len()), None);
    for (session, target) in all.by_ref() {
        let mut row = Restored::of(session, target);
        let written = one(session, target, &grant, &audit, &mut row).await;
        let (tried, first) = (row.outcome != NOT_TRIED, rows.is_empty());
        rows.push(row);
        if let Err(error) = written {
            if first && !tried {
                return Err(error);
            }
            unwritten = Some(error);
            break;
        }
    }
    rows.extend(all.map(|(session, target)| Restored::of(session, target)));
    Ok(Restoration { rows, unwritten })
}

const NOT_TRIED: &str = "not tried";

impl Restored {
    /// Before it was asked for.
    fn of(session: &Session, target: &Target) -> Self {
        Self {
            id: target.clone(),
            region: session.region().to_string(),
            outcome: NOT_TRIED,
            reason: Some("the audit log could not be written: nothing is brought back without it".to_owned()),
            code: None,
            request_id: None,
        }
    }
}

/// Asks for one and says in its row what came of it; an error is the log's.
async fn one(session: &Session, target: &Target, grant: &Grant, audit: &Audit, row: &mut Restored) -> Result<()> {
    let call = if matches!(target, Target::Image(_)) { Call::RestoreImage } else { Call::RestoreSnapshot };
    let entry = |event| Entry {
        account: Some(session.account().clone()),
        region: Some(session.region().clone()),
        call: call.action().to_owned(),
        id: target.id().to_owned(),
        ..Entry::new(event, &grant.who, "")
    };
    audit.append(&entry(Event::Intent))?;
    let asked = match target {
        Target::Snapshot(id) => session.ec2().restore_snapshot(grant, id).await,
        Target::Image(id) => session.ec2().restore_image(grant, id).await,
        Target::Volume(_) => return Err(Error::usage("a volume cannot be brought back")),
    };
    match asked {
        Ok(receipt) => {
            (row.outcome, row.reason, row.request_id) = ("restored", None, receipt.request_id);
            let done = Entry { request_id: row.request_id.clone().unwrap_or_default(), ..entry(Event::Done) };
            audit.append(&done).inspect_err(|_| {
                row.reason = Some("the audit log knows only that it was about to be".to_owned());
            })
        }
        Err(error) => {
            row.outcome = "failed";
            row.code = error.aws.as_ref().map(|aws| aws.code.clone());
            row.request_id = error.aws.as_ref().and_then(|aws| aws.request_id.clone());
            row.reason = Some(if error.has_code("InvalidSnapshot.NotFound") && matches!(target, Target::Image(_)) {
                format!("{}: bring its snapshots back first", error.what)
            } else {
                error.what.clone()
            });
            let refused = error.aws.is_none() && error.kind == crate::error::Kind::Refused;
            let event = if refused { Event::Refused } else { Event::Failed };
            audit.append(&entry(event).because(&error))
        }
    }
}

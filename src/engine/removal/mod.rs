//! The remover: carries out a removal plan exactly as it is, item by item, and says what became of each.
//!
//! Just before its call every item is decided again by the function that planned it; what does not come out the same
//! is skipped, with its reason. Calls are paced and never stop at a failure. Each has a line in the audit log before
//! and after it, and those lines are the journal that a run after a `kill -9` goes on from.

mod archive;
mod before;
mod call;
mod judge;
mod report;
mod restore;

pub use archive::Archiving;
pub use judge::Judge;
pub use report::{Outcome, Report, Row, Told};
pub use restore::{Restoration, Restored, binned, restore};

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::before::Checked;
use super::Client;
use crate::aws::{Aws, Session};
use crate::error::{Error, Result};
use crate::grant::Grant;
use crate::ids::{ImageId, Profile};
use crate::inventory::verdict::{Answer, Judged};
use crate::plan::removal::{Item, Rejudge, RemovalPlan, Target, Would};
use crate::store::StateDir;
use crate::store::audit::{Audit, Because, Entry, Event};
use crate::units::counted;

/// Calls a second: well under what EC2 gives an account, so that a removal never throttles what else runs.
const PACE: Duration = Duration::from_millis(200);
/// A check that is older than this is made again before the call.
const FRESH: Duration = Duration::from_secs(60);
/// Items that are checked at once: at the pace above they are called within ten seconds.
const CHECKED_AT_ONCE: usize = 50;

/// What a removal runs with.
#[derive(Debug, Clone)]
pub struct Remover<J> {
    /// The world.
    pub aws: Aws,
    /// Where its audit log is.
    pub state: StateDir,
    /// Who judges again.
    pub judge: J,
    /// The engine that makes the archives, where the plan has any.
    pub engine: Option<Client>,
    /// The profile to use instead of the ones that the plan names: a colleague's is called otherwise.
    pub profile: Option<Profile>,
    /// Cancelled by whoever wants it to stop: after the present call, and archives that are being made at once.
    pub stop: CancellationToken,
}

/// Held while a removal runs: two at once would count and pace each other wrong.
struct Lock {
    _file: File,
}

impl Lock {
    fn take(state: &StateDir) -> Result<Self> {
        let path = state.root().join("removal.lock");
        let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = opened.map_err(|e| Error::io(format!("could not open {}", path.display()), &e))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::refused("another removal runs in this state directory")
                .todo("wait for it; floe audit shows how far it is")),
            Err(TryLockError::Error(e)) => Err(Error::io(format!("could not lock {}", path.display()), &e)),
        }
    }
}

/// The things of one account in one region.
struct Group {
    session: Session,
    /// Places in the plan, in the order of their calls.
    items: Vec<usize>,
}

/// One run of a plan.
struct Run<'a, J, T> {
    remover: &'a Remover<J>,
    plan: &'a RemovalPlan,
    grant: &'a Grant,
    audit: Audit,
    hash: String,
    /// What earlier runs of the plan wrote down of each id.
    earlier: BTreeMap<String, Entry>,
    /// What they removed.
    removed: BTreeSet<String>,
    /// Images that this run deregistered.
    left: BTreeSet<ImageId>,
    outcomes: Vec<Option<Outcome>>,
    next_call: Instant,
    told: T,
}

impl<J: Rejudge> Remover<J> {
    /// Carries out a plan; `told` hears of each item as it ends.
    ///
    /// # Errors
    /// Refused before anything is done: a plan that is too old, of another world or account, not the granted one, or
    /// while another removal runs, or an audit log that cannot be written: nothing is removed without it. When it fails
    /// later, the run ends there and its report says so ([`Report::unwritten`]).
    pub async fn run(&self, plan: &RemovalPlan, grant: &Grant, told: impl FnMut(&Told)) -> Result<Report> {
        let hash = plan.hash()?;
        if hash != grant.plan_hash {
            return Err(Error::refused("this is not the plan that was accepted"));
        }
        plan.check_age(crate::wall::now())?;
        if plan.world != self.aws.world() {
            return Err(Error::refused(format!(
                "the plan is of {}, this is {}",
                plan.world.text(),
                self.aws.world().text()
            )));
        }
        let _lock = Lock::take(&self.state)?;
        let groups = self.groups(plan).await?;
        let audit = Audit::of(&self.state);
        let hash = crate::grant::short_hash(&hash);
        let mut run = Run {
            remover: self,
            plan,
            grant,
            earlier: audit.of_plan(&hash)?,
            removed: before::removed(&audit, &hash)?,
            audit,
            hash,
            left: BTreeSet::new(),
            outcomes: vec![None; plan.items.len()],
            next_call: Instant::now(),
            told,
        };
        run.accepted()?;
        for (at, item) in plan.items.iter().enumerate() {
            if let Would::Skip(skip) = &item.would {
                run.end(at, Outcome::Skipped { reason: skip.text().to_owned(), planned: true });
            }
        }
        run.archives().await;
        for group in &groups {
            if let Err(error) = run.group(group).await {
                return Ok(run.ended(Some(error)));
            }
        }
        Ok(run.ended(None))
    }

    /// Sessions of everything, each of the account that the plan names.
    async fn groups(&self, plan: &RemovalPlan) -> Result<Vec<Group>> {
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        // Images first: what they are made of can go only when they are gone.
        let rank = |item: &Item| match item.target {
            Target::Image(_) => 0,
            Target::Volume(_) => 1,
            Target::Snapshot(_) => 2,
        };
        let mut places: Vec<usize> = (0..plan.items.len()).filter(|at| plan.items[*at].would.removes()).collect();
        places.sort_by_key(|at| rank(&plan.items[*at]));
        for at in places {
            let origin = &plan.items[at].judged.origin;
            let key = format!("{} {} {:?}", origin.account, origin.region, origin.profile);
            if !groups.contains_key(&key) {
                let profile = self.profile.as_ref().or(origin.profile.as_ref());
                let session = self.aws.session(profile, Some(&origin.region)).await?;
                if *session.account() != origin.account {
                    return Err(Error::refused(format!(
                        "the plan is of account {}, and {} is of account {}",
                        origin.account.grouped(),
                        profile.map_or_else(|| "what signs here".to_owned(), |name| format!("profile {name}")),
                        session.account().grouped()
                    ))
                    .todo("name a profile of that account with --profile"));
                }
                groups.insert(key.clone(), Group { session, items: Vec::new() });
            }
            if let Some(group) = groups.get_mut(&key) {
                group.items.push(at);
            }
        }
        Ok(groups.into_values().collect())
    }
}

impl<J: Rejudge, T: FnMut(&Told)> Run<'_, J, T> {
    fn accepted(&self) -> Result<()> {
        let calls: Vec<&str> = self.grant.calls.iter().map(|call| call.action()).collect();
        let text = format!("{}: {}", counted(self.grant.ids.len() as u64, "thing"), calls.join(", "));
        let entry = Entry::new(Event::Accepted, &self.grant.who, text);
        self.audit.append(&Entry { plan: self.hash.clone(), account: self.grant.accounts.first().cloned(), ..entry })
    }

    /// What became of all of it; `unwritten` is what the audit log said that ended it.
    fn ended(self, unwritten: Option<Error>) -> Report {
        let mut report = Report::of(self.plan, self.hash.clone(), self.outcomes);
        let text = format!(
            "{} removed, {} skipped, {} failed, {} not tried",
            report.removed, report.skipped, report.failed, report.not_tried
        );
        let entry = Entry::new(Event::Ended, &self.grant.who, text);
        let entry = Entry { plan: self.hash, account: self.grant.accounts.first().cloned(), ..entry };
        report.unwritten = unwritten.or(self.audit.append(&entry).err());
        report
    }

    fn end(&mut self, at: usize, outcome: Outcome) {
        let told = Told::Item { at, outcome: outcome.clone() };
        self.outcomes[at] = Some(outcome);
        (self.told)(&told);
    }

    fn stopped(&self) -> bool {
        self.remover.stop.is_cancelled()
    }

    /// The line of an item.
    fn entry(&self, event: Event, item: &Item, call: &str, text: impl Into<String>) -> Entry {
        let judged = &item.judged;
        Entry {
            plan: self.hash.clone(),
            account: Some(judged.origin.account.clone()),
            region: Some(judged.origin.region.clone()),
            call: call.to_owned(),
            id: item.target.id().to_owned(),
            name: judged.name.clone(),
            verdict: word(judged.verdict),
            evidence: because(judged),
            ..Entry::new(event, &self.grant.who, text)
        }
    }

    /// Everything of one account in one region, checked a few at a time.
    async fn group(&mut self, group: &Group) -> Result<()> {
        let open: Vec<usize> = group.items.iter().copied().filter(|at| self.outcomes[*at].is_none()).collect();
        // Images are a batch of their own: what they hold is checked only when they are gone.
        let image = |at: &usize| matches!(self.plan.items[*at].target, Target::Image(_));
        let (images, others): (Vec<usize>, Vec<usize>) = open.into_iter().partition(image);
        for some in images.chunks(CHECKED_AT_ONCE).chain(others.chunks(CHECKED_AT_ONCE)) {
            if self.stopped() {
                return Ok(());
            }
            let checked = Checked::now();
            let found = self.check(&group.session, some).await;
            for at in some {
                if self.stopped() {
                    return Ok(());
                }
                let now = match &found {
                    Ok(items) => items.get(at).cloned(),
                    Err(error) => {
                        self.unchecked(*at, error)?;
                        continue;
                    }
                };
                self.item(&group.session, *at, now, checked).await?;
            }
        }
        Ok(())
    }

    /// Decides some items again.
    async fn check(&self, session: &Session, places: &[usize]) -> Result<BTreeMap<usize, Item>> {
        let targets: Vec<Target> = places.iter().map(|at| self.plan.items[*at].target.clone()).collect();
        let judge = &self.remover.judge;
        let items = crate::plan::removal::look(session, &targets, &self.plan.wishes, &self.left, judge).await?;
        let mut by_id: BTreeMap<Target, Item> = items.into_iter().map(|item| (item.target.clone(), item)).collect();
        Ok(places.iter().filter_map(|at| Some((*at, by_id.remove(&self.plan.items[*at].target)?))).collect())
    }

    fn unchecked(&mut self, at: usize, error: &Error) -> Result<()> {
        let item = &self.plan.items[at];
        let reason = format!("it could not be checked again: {}", error.what);
        let entry = self.entry(Event::Failed, item, "", "").because(error);
        self.audit.append(&Entry { text: reason.clone(), ..entry })?;
        self.end(at, Outcome::failed(reason, error));
        Ok(())
    }

    /// Skips an item for what was found just before its call.
    fn skip(&mut self, at: usize, reason: String) -> Result<()> {
        self.audit.append(&self.entry(Event::Skipped, &self.plan.items[at], "", reason.clone()))?;
        self.end(at, Outcome::Skipped { reason, planned: false });
        Ok(())
    }

    /// One item: as it was planned, or not at all.
    async fn item(&mut self, session: &Session, at: usize, now: Option<Item>, checked: Checked) -> Result<()> {
        let planned = &self.plan.items[at];
        tokio::time::sleep_until(self.next_call).await;
        let now = if !checked.is_fresh() {
            match self.check(session, &[at]).await {
                Ok(mut items) => items.remove(&at),
                Err(error) => return self.unchecked(at, &error),
            }
        } else {
            now
        };
        let Some(now) = now else { return self.skip(at, "nothing was found of it".to_owned()) };
        if let Some(outcome) = self.known_from_before(&now) {
            self.end(at, outcome);
            return Ok(());
        }
        if let Some(why) = self.is_back(&now) {
            return self.skip(at, why);
        }
        if let Err(why) = still(planned, &now) {
            return self.skip(at, why);
        }
        if planned.would == Would::SnapshotThenDelete {
            if let Err(outcome) = self.snapshot_first(session, &now).await? {
                self.end(at, outcome);
                return Ok(());
            }
            // That took its time: the volume may have been attached meanwhile.
            match self.check(session, &[at]).await {
                Ok(mut items) => match items.remove(&at).map(|now| still(planned, &now)) {
                    Some(Ok(())) => {}
                    Some(Err(why)) => return self.skip(at, why),
                    None => return self.skip(at, "nothing was found of it".to_owned()),
                },
                Err(error) => return self.unchecked(at, &error),
            }
        }
        let (outcome, written) = self.remove(session, &now).await?;
        if let (Target::Image(id), Outcome::Removed { .. }) = (&planned.target, &outcome) {
            self.left.insert(id.clone());
        }
        // What happened is told, whether it could be written down or not; then the run ends.
        self.end(at, outcome);
        self.next_call = Instant::now() + PACE;
        written
    }
}

/// Whether an item that was decided again may be carried out as it was planned.
///
/// # Errors
/// Why not, in a sentence.
fn still(planned: &Item, now: &Item) -> std::result::Result<(), String> {
    if let Would::Skip(skip) = &now.would {
        return Err(skip.text().to_owned());
    }
    if planned.would != now.would {
        return Err(format!("it would be {} now, and the plan says {}", now.would.word(), planned.would.word()));
    }
    match (planned.back.days(), now.back.days()) {
        (Some(days), None) => {
            return Err(format!("the Recycle Bin would have kept it {days} days, and no rule keeps it any more"));
        }
        (Some(days), Some(fewer)) if fewer < days => {
            return Err(format!("the Recycle Bin would keep it {fewer} days now, and the plan says {days}"));
        }
        _ => {}
    }
    let answer = |judged: &Judged, rule: &str| judged.evidence.iter().find(|e| e.rule == rule).map(|e| e.answer);
    for evidence in &now.judged.evidence {
        let worse = match evidence.answer {
            Answer::Yes => true,
            Answer::Unknown => answer(&planned.judged, &evidence.rule) == Some(Answer::No),
            Answer::No | Answer::Hint => false,
        };
        if worse && answer(&planned.judged, &evidence.rule) != Some(evidence.answer) {
            return Err(format!("changed since the plan: {}: {}", evidence.rule, evidence.text));
        }
    }
    Ok(())
}

fn word(verdict: crate::inventory::verdict::Verdict) -> String {
    serde_json::to_value(verdict).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

fn because(judged: &Judged) -> Vec<Because> {
    let answer = |answer: Answer| match answer {
        Answer::Yes => "yes",
        Answer::No => "no",
        Answer::Unknown => "unknown",
        Answer::Hint => "hint",
    };
    let one = |evidence: &crate::inventory::verdict::Evidence| Because {
        rule: evidence.rule.clone(),
        answer: answer(evidence.answer).to_owned(),
        text: evidence.text.clone(),
    };
    judged.evidence.iter().map(one).collect()
}

/// Writes down that something was asked for and refused.
///
/// # Errors
/// The audit log cannot be written.
pub fn refused(state: &StateDir, who: &str, plan: &str, error: &Error) -> Result<()> {
    let entry = Entry::new(Event::Refused, who, error.what.clone());
    Audit::of(state).append(&Entry { plan: plan.to_owned(), ..entry })
}

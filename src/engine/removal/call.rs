//! The calls themselves: an intent in the log, the call, what came of it in the log.
//!
//! An answer that was lost is never taken for a failure, nor for a success: whether the thing is still there decides.

use std::time::Duration;

use tokio::time::Instant;

use super::before::removing;
use super::{Outcome, PACE, Run, Told};
use crate::aws::{Receipt, Session};
use crate::engine::crash::{self, Point};
use crate::error::{Class, Error, Result};
use crate::grant::Call;
use crate::ids::VolumeId;
use crate::plan::removal::{Item, Rejudge, Target};
use crate::rows::State;
use crate::store::audit::{Entry, Event};

/// Tries of one call: a throttle or a lost answer is worth some, an answer that refuses none.
const TRIES: u32 = 5;
/// Between two looks at a snapshot that is being made.
const POLL: Duration = Duration::from_secs(2);
/// And at most so many of them: AWS may take hours for a first snapshot, and a run must end.
const POLLS: u32 = 3600;

impl<J: Rejudge, T: FnMut(&Told)> Run<'_, J, T> {
    /// Removes one thing that was just found to be as planned. The second result is whether what came of it could be
    /// written down.
    ///
    /// # Errors
    /// The intent could not be written down: nothing was called.
    pub(super) async fn remove(&mut self, session: &Session, now: &Item) -> Result<(Outcome, Result<()>)> {
        let call = removing(&now.target);
        self.audit.append(&self.entry(Event::Intent, now, call.action(), ""))?;
        crash::here(Point::RemovalIntent);
        let outcome = self.persist(session, now).await;
        crash::here(Point::RemovalAnswered);
        let entry = match outcome {
            Ok(Some(ref receipt)) => {
                let back_until = now.back.until(crate::wall::now());
                let request_id = receipt.request_id.clone().unwrap_or_default();
                Entry { back_until, request_id, ..self.entry(Event::Done, now, call.action(), "") }
            }
            Ok(None) => self.entry(Event::Skipped, now, call.action(), "it was not there any more when its call came"),
            Err(ref error) => {
                // A call outside the grant never left this machine.
                let event = if error.aws.is_none() && error.kind == crate::error::Kind::Refused {
                    Event::Refused
                } else {
                    Event::Failed
                };
                self.entry(event, now, call.action(), "").because(error)
            }
        };
        let written = self.audit.append(&entry);
        let note = written.is_err().then(|| "the audit log knows only that it was about to be".to_owned());
        let outcome = match outcome {
            Ok(Some(receipt)) => {
                Outcome::Removed { request_id: receipt.request_id, back_until: entry.back_until, note }
            }
            Ok(None) => Outcome::Skipped { reason: entry.text, planned: false },
            Err(error) => Outcome::failed(error.what.clone(), &error),
        };
        Ok((outcome, written))
    }

    /// Calls until there is an answer that counts. `None`: it was gone before the first call.
    async fn persist(&mut self, session: &Session, now: &Item) -> Result<Option<Receipt>> {
        let mut wait = Duration::from_secs(1);
        let mut tries = 1;
        loop {
            let error = match self.once(session, &now.target).await {
                Ok(receipt) => return Ok(Some(receipt)),
                Err(error) => error,
            };
            if is_gone(&error) {
                // After an answer that was lost, this is that answer.
                return Ok((tries > 1).then(Receipt::default));
            }
            // AWS goes on showing an image for a moment after it was deregistered.
            let just_left = error.has_code("InvalidSnapshot.InUse") && !self.left.is_empty() && !now.after.is_empty();
            let again = just_left || matches!(error.class, Class::Throttled(_) | Class::Transient | Class::Congestion);
            if !again || tries == TRIES {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
            tries += 1;
        }
    }

    async fn once(&self, session: &Session, target: &Target) -> Result<Receipt> {
        let ec2 = session.ec2();
        match target {
            Target::Snapshot(id) => ec2.delete_snapshot(self.grant, id).await,
            Target::Volume(id) => ec2.delete_volume(self.grant, id).await,
            Target::Image(id) => ec2.deregister_image(self.grant, id).await,
        }
    }

    /// Makes a snapshot of a volume and waits until it is whole. The inner error is the item's outcome.
    pub(super) async fn snapshot_first(
        &mut self,
        session: &Session,
        now: &Item,
    ) -> Result<std::result::Result<(), Outcome>> {
        let Target::Volume(volume) = &now.target else { return Ok(Ok(())) };
        let action = Call::CreateSnapshot.action();
        let mark = ("floe:removal".to_owned(), format!("{}/{volume}", self.hash));
        self.audit.append(&self.entry(Event::Intent, now, action, format!("a snapshot of {volume} before it goes")))?;
        let made = self.snapshot_of(session, volume, now, mark).await;
        self.next_call = Instant::now() + PACE;
        match made {
            Ok((id, receipt)) => {
                let entry = self.entry(Event::Done, now, action, format!("{id} holds it, whole"));
                self.audit.append(&Entry { request_id: receipt.request_id.unwrap_or_default(), ..entry })?;
                Ok(Ok(()))
            }
            Err(error) => {
                self.audit.append(&self.entry(Event::Failed, now, action, "").because(&error))?;
                Ok(Err(Outcome::failed(format!("{}; the volume stays", error.what), &error)))
            }
        }
    }

    async fn snapshot_of(
        &self,
        session: &Session,
        volume: &VolumeId,
        now: &Item,
        mark: (String, String),
    ) -> Result<(crate::ids::SnapshotId, Receipt)> {
        let ec2 = session.ec2();
        // A run before this one may have made it: its mark says so.
        let known = ec2.snapshots_tagged(&mark.0, &mark.1).await?;
        let (id, receipt) = match known.into_iter().find(|row| row.state != State::Error) {
            Some(row) => (row.id, Receipt::default()),
            None => {
                let mut tags = vec![mark];
                if !now.judged.name.is_empty() {
                    tags.push(("Name".to_owned(), now.judged.name.clone()));
                }
                let text = format!("{volume} as it was before plan {} deleted it", self.hash);
                ec2.create_snapshot(self.grant, volume, &text, &tags).await?
            }
        };
        for _ in 0..POLLS {
            let row = ec2.snapshot(&id).await?;
            match row.state {
                State::Completed if row.volume.as_ref() == Some(volume) && row.size == now.size => {
                    return Ok((id, receipt));
                }
                State::Completed => {
                    return Err(Error::failed(format!("{id} is not what {volume} is: another volume or size")));
                }
                State::Pending => tokio::time::sleep(POLL).await,
                _ => {
                    let why = row.state_message.unwrap_or_else(|| "no reason is given".to_owned());
                    return Err(Error::failed(format!("the snapshot {id} of {volume} failed: {why}")));
                }
            }
            if self.stopped() {
                return Err(Error::stopped(format!("stopped while {id} of {volume} was being made")));
            }
        }
        Err(Error::failed(format!("the snapshot {id} of {volume} is still not complete")))
    }
}

/// The codes that AWS documents for what is not there; nothing else means absent.
fn is_gone(error: &Error) -> bool {
    ["InvalidSnapshot.NotFound", "InvalidVolume.NotFound", "InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"]
        .iter()
        .any(|code| error.has_code(code))
}

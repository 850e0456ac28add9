//! What AWS answers only one by one, for what every other rule leaves as a candidate: paced, and ended by dropping it.

use std::collections::HashMap;
use std::hash::Hash;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;

use super::gather::pages;
use super::pace::Pace;
use super::{Anew, Answers, Facts, Told};
use crate::aws::Session;
use crate::error::Class;
use crate::ids::{ImageId, SnapshotId};
use crate::rows::ImageReferenceRow;

/// Questions of one operation under way at once; the pace holds them to the account's rate.
const AT_ONCE: usize = 8;
/// Times that one is asked when EC2 refuses for the rate; at its slowest the pace waits two seconds between them.
const TRIES: u32 = 8;
/// Images in one question for references.
const TOGETHER: usize = 10;

/// Whom to ask about.
#[derive(Debug, Default, Clone)]
pub(super) struct Candidates {
    pub(super) snapshots: Vec<SnapshotId>,
    pub(super) images: Vec<ImageId>,
}

impl Candidates {
    pub(super) const fn is_empty(&self) -> bool {
        self.snapshots.is_empty() && self.images.is_empty()
    }
}

/// One answer of those that are given one by one.
enum Single {
    Snapshot(SnapshotId, Told<Vec<String>>),
    Image(ImageId, Told<Vec<String>>),
    Versions(String, Told<Vec<crate::rows::TemplateVersionRow>>),
    References(Vec<ImageId>, Told<Vec<ImageReferenceRow>>),
}

impl Single {
    /// Whether EC2 refused for the rate.
    fn is_throttled(&self) -> bool {
        let error = match self {
            Self::Snapshot(_, told) | Self::Image(_, told) => told.error(),
            Self::Versions(_, told) => told.error(),
            Self::References(_, told) => told.error(),
        };
        error.is_some_and(|error| matches!(error.class, Class::Throttled(_)))
    }
}

/// What is to be asked.
#[derive(Debug, Clone)]
enum Question {
    Snapshot(SnapshotId),
    Image(ImageId),
    Versions(String),
    References(Vec<ImageId>),
}

impl Question {
    /// A number for the operation that it asks.
    const fn operation(&self) -> usize {
        match self {
            Self::Versions(_) => 0,
            Self::References(_) => 1,
            Self::Image(_) => 2,
            Self::Snapshot(_) => 3,
        }
    }
}

fn stale<K: Hash + Eq, T>(known: &HashMap<K, Told<T>>, key: &K, now: Timestamp) -> bool {
    !known.get(key).is_some_and(|told| told.is_fresh(now))
}

/// The questions that nobody has answered lately. Templates come first: an old version that names a candidate makes
/// its other questions needless only for the next time, but it is the rarest surprise.
fn questions(facts: &Facts, candidates: &Candidates, anew: Anew) -> Vec<Question> {
    let anew = anew != Anew::Nothing;
    let (answers, now) = (&facts.answers, crate::wall::now());
    let mut all = Vec::new();
    for template in answers.templates.known().into_iter().flatten().filter(|template| template.has_others()) {
        if anew || stale(&answers.numbered, &template.id, now) {
            all.push(Question::Versions(template.id.clone()));
        }
    }
    let images = |known: &HashMap<ImageId, _>| -> Vec<ImageId> {
        candidates.images.iter().filter(|id| anew || stale(known, id, now)).cloned().collect()
    };
    let unreferenced: Vec<ImageId> =
        candidates.images.iter().filter(|id| anew || stale(&answers.image_references, id, now)).cloned().collect();
    all.extend(unreferenced.chunks(TOGETHER).map(|ids| Question::References(ids.to_vec())));
    all.extend(images(&answers.image_shares).into_iter().map(Question::Image));
    let snapshots = candidates.snapshots.iter().filter(|id| anew || stale(&answers.snapshot_shares, id, now));
    all.extend(snapshots.cloned().map(Question::Snapshot));
    all
}

/// Asks them all; `told` hears after each how many are done, and of how many. EC2 counts each operation by itself, so
/// none waits for another.
pub(super) async fn ask(
    session: &Session,
    facts: &mut Facts,
    candidates: &Candidates,
    anew: Anew,
    mut told: impl FnMut(usize, usize),
) {
    let questions = questions(facts, candidates, anew);
    let of = questions.len();
    let mut kinds: [Vec<Question>; 4] = Default::default();
    for question in questions {
        kinds[question.operation()].push(question);
    }
    let paces: [Pace; 4] = std::array::from_fn(|_| Pace::new());
    let side_by_side = kinds.into_iter().zip(&paces).map(|(questions, pace)| {
        stream::iter(questions).map(move |question| paced(session, question, pace)).buffer_unordered(AT_ONCE)
    });
    let mut answers = stream::select_all(side_by_side);
    let mut done = 0;
    while let Some(single) = answers.next().await {
        done += 1;
        keep(&mut facts.answers, single);
        told(done, of);
    }
}

/// Asks one when its turn comes, and again while EC2 refuses for the rate.
async fn paced(session: &Session, question: Question, pace: &Pace) -> Single {
    for _ in 1..TRIES {
        pace.turn().await;
        let single = one(session, question.clone()).await;
        if !single.is_throttled() {
            pace.answered().await;
            return single;
        }
        pace.throttled().await;
    }
    pace.turn().await;
    one(session, question).await
}

async fn one(session: &Session, question: Question) -> Single {
    let ec2 = session.ec2();
    match question {
        Question::Snapshot(id) => {
            let told = Told::of(ec2.snapshot_shares(&id).await);
            Single::Snapshot(id, told)
        }
        Question::Image(id) => {
            let told = Told::of(ec2.image_shares(&id).await);
            Single::Image(id, told)
        }
        Question::Versions(template) => {
            let of = template.as_str();
            let ask = |page: Option<String>| async move { ec2.template_versions(Some(of), page.as_deref()).await };
            let told = Told::of(pages(session, ask).await);
            Single::Versions(template, told)
        }
        Question::References(ids) => {
            let of = ids.as_slice();
            let ask = |page: Option<String>| async move { ec2.image_references(of, page.as_deref()).await };
            let told = Told::of(pages(session, ask).await);
            Single::References(ids, told)
        }
    }
}

fn keep(answers: &mut Answers, single: Single) {
    match single {
        Single::Snapshot(id, told) => drop(answers.snapshot_shares.insert(id, told)),
        Single::Image(id, told) => drop(answers.image_shares.insert(id, told)),
        Single::Versions(template, told) => drop(answers.numbered.insert(template, told)),
        Single::References(ids, told) => {
            for id in ids {
                let told = match &told {
                    Told::Known { value, at } => {
                        let value = value.iter().filter(|row| row.image == id).cloned().collect();
                        Told::Known { value, at: *at }
                    }
                    other => other.clone(),
                };
                answers.image_references.insert(id, told);
            }
        }
    }
}

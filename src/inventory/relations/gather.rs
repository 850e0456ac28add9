//! The bulk describes of one region: everything that grows with pages, all kinds at once.

use std::future::Future;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{Anew, Answers, Facts, JobUse, Told};
use crate::aws::{Page, Session, Tokens};
use crate::error::Result;
use crate::inventory::look::{page, save};
use crate::inventory::remember::Memory;
use crate::inventory::{Kind, Rows};
use crate::store::copies::Copied;

/// What was told before, asked anew where it is too old.
pub(super) async fn bulk(
    session: &Session,
    memory: &Memory,
    anew: Anew,
    before: Answers,
    jobs: Told<Vec<JobUse>>,
    copies: Arc<Vec<Copied>>,
) -> Facts {
    let list = |kind| list(session, memory, kind, anew);
    let lists =
        async { tokio::join!(list(Kind::Snapshots), list(Kind::Volumes), list(Kind::Images), list(Kind::Instances)) };
    let ((snapshots, volumes, images, instances), answers) = tokio::join!(lists, answers(session, anew, before));
    macro_rules! rows {
        ($kind:ident, $told:expr) => {
            match $told {
                Told::Known { value: Rows::$kind(rows), at } => Told::Known { value: Arc::new(rows), at },
                Told::Failed { error, at } => Told::Failed { error, at },
                Told::Known { .. } | Told::Unasked => Told::Unasked,
            }
        };
    }
    Facts {
        origin: Arc::clone(session.origin()),
        snapshots: rows!(Snapshots, snapshots),
        volumes: rows!(Volumes, volumes),
        images: rows!(Images, images),
        instances: rows!(Instances, instances),
        answers,
        jobs,
        copies,
    }
}

/// One list: as it is remembered where that is fresh, else page by page, and then remembered.
async fn list(session: &Session, memory: &Memory, kind: Kind, anew: Anew) -> Told<Rows> {
    let origin = session.origin();
    if anew != Anew::All {
        let (memory, of) = (memory.clone(), Arc::clone(origin));
        let known = spawn_blocking(move || memory.load(&of, kind)).await.ok().flatten();
        if let Some((value, at)) = known
            && crate::age::is_within(at, crate::wall::now(), super::FRESH)
        {
            return Told::Known { value, at };
        }
    }
    let (memory, of) = (memory.clone(), Arc::clone(origin));
    let at = crate::wall::now();
    let mut saver = spawn_blocking(move || memory.save(&of, kind, at)).await.unwrap_or_default();
    let mut all: Option<Rows> = None;
    let (mut tokens, mut token) = (Tokens::default(), None::<String>);
    loop {
        let page = match page(session, kind, token.as_deref()).await {
            Ok(page) => page,
            Err(error) => return Told::of(Err(error)),
        };
        saver = save(saver, &page.rows).await;
        match &mut all {
            Some(all) => all.append(page.rows),
            None => all = Some(page.rows),
        }
        match tokens.next(page.next) {
            Ok(Some(next)) => token = Some(next),
            Ok(None) => break,
            Err(circle) => return Told::of(Err(circle.in_region(session.region()))),
        }
    }
    if let Some(saver) = saver {
        let _ = spawn_blocking(move || saver.commit()).await;
    }
    all.map_or(Told::Unasked, |value| Told::Known { value, at })
}

/// Every page of one question.
pub(super) async fn pages<T, F, A>(session: &Session, mut ask: F) -> Result<Vec<T>>
where
    F: FnMut(Option<String>) -> A,
    A: Future<Output = Result<Page<T>>>,
{
    let (mut all, mut tokens, mut token) = (Vec::new(), Tokens::default(), None::<String>);
    loop {
        let page = ask(token.take()).await?;
        all.extend(page.rows);
        token = tokens.next(page.next).map_err(|circle| circle.in_region(session.region()))?;
        if token.is_none() {
            return Ok(all);
        }
    }
}

/// The other bulk questions; each refusal is that question's own.
async fn answers(session: &Session, anew: Anew, before: Answers) -> Answers {
    let (ec2, now) = (session.ec2(), crate::wall::now());
    macro_rules! ask {
        ($field:ident, $call:expr) => {{
            let before = before.$field;
            async move {
                if before.is_fresh(now) && anew == Anew::Nothing {
                    return before;
                }
                Told::of(pages(session, $call).await)
            }
        }};
    }
    let (templates, versions, public, locks) = tokio::join!(
        ask!(templates, |page| async move { ec2.templates(page.as_deref()).await }),
        ask!(versions, |page| async move { ec2.template_versions(None, page.as_deref()).await }),
        ask!(public, |page| async move {
            let page = ec2.public_snapshots(page.as_deref()).await?;
            Ok(Page { rows: page.rows.into_iter().map(|row| row.id).collect(), next: page.next })
        }),
        ask!(locks, |page| async move { ec2.locked_snapshots(page.as_deref()).await }),
    );
    let (fast_restores, tierings, binned_snapshots, binned_images) = tokio::join!(
        ask!(fast_restores, |page| async move { ec2.fast_restores(page.as_deref()).await }),
        ask!(tierings, |page| async move { ec2.tierings(page.as_deref()).await }),
        ask!(binned_snapshots, |page| async move { ec2.binned_snapshots(page.as_deref()).await }),
        ask!(binned_images, |page| async move { ec2.binned_images(page.as_deref()).await }),
    );
    Answers {
        scope: super::Scope::Whole,
        templates,
        versions,
        numbered: before.numbered,
        public,
        locks,
        fast_restores,
        tierings,
        binned_snapshots,
        binned_images,
        snapshot_shares: before.snapshot_shares,
        image_shares: before.image_shares,
        image_references: before.image_references,
    }
}

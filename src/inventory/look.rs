//! The look itself: every (profile, region, kind) at once, pages passed on as they come.
//!
//! One task owns everything that is under way; when the receiver is dropped it ends and takes the rest with it.
//! Order holds per (region, kind): remembered rows, start, pages, end. A region that fails is one message.

use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::{JoinSet, spawn_blocking};

use super::denied::{Denied, is_denial};
use super::remember::{Memory, Saver};
use super::{Kind, Origin, RegionRow, Regions, Rows, Update, Wanted, stored};
use crate::aws::{Aws, Page, Session, Tokens};
use crate::error::Result;
use crate::ids::{Profile, Region};
use crate::store::StateDir;

/// Describes under way at once. Each (account, region) has its own request limits; this one keeps a laptop's
/// connections and the first rows' latency in bounds.
const AT_ONCE: usize = 24;
/// Messages that may wait for a slow reader; a page has at most 1,000 rows.
const WAITING: usize = 64;

/// Looks at everything `wanted`; ends with [`Update::Finished`], or when the receiver is dropped.
#[must_use]
pub fn look(aws: &Aws, wanted: Wanted, cache: Option<&StateDir>) -> mpsc::Receiver<Update> {
    let (told, reader) = mpsc::channel(WAITING);
    let memory = Memory::new(cache, &aws.world());
    let look = Arc::new(Look { aws: aws.clone(), wanted, memory, gate: Semaphore::new(AT_ONCE), told });
    tokio::spawn(async move {
        tokio::select! {
            () = look.told.closed() => {}
            () = run(Arc::clone(&look)) => {}
        }
    });
    reader
}

#[derive(Debug)]
struct Look {
    aws: Aws,
    wanted: Wanted,
    memory: Memory,
    gate: Semaphore,
    told: mpsc::Sender<Update>,
}

/// The reader is gone: nobody wants to know the rest.
struct Gone;

async fn run(look: Arc<Look>) {
    let mut profiles = JoinSet::new();
    for profile in look.wanted.profiles.clone() {
        let look = Arc::clone(&look);
        profiles.spawn(async move { look.profile(look.aws.resolve_profile(profile.as_ref())).await });
    }
    while profiles.join_next().await.is_some() {}
    let _ = look.tell(Update::Finished).await;
}

impl Look {
    async fn tell(&self, update: Update) -> std::result::Result<(), Gone> {
        self.told.send(update).await.map_err(|_| Gone)
    }

    async fn profile(self: &Arc<Self>, profile: Option<Profile>) -> std::result::Result<(), Gone> {
        let home = match &self.wanted.regions {
            Regions::Only(regions) => regions.first().cloned(),
            Regions::All => self.aws.home_region(profile.as_ref()),
        };
        let hint = if self.wanted.remembered { self.memory.account_of(profile.as_ref()) } else { None };
        let remembered = async {
            match &hint {
                Some(account) => self.remembered(&profile, account).await,
                None => Ok(Vec::new()),
            }
        };
        let (told, session) = tokio::join!(remembered, self.aws.session(profile.as_ref(), home.as_ref()));
        let told = told?;
        let session = match session {
            Ok(session) => session,
            Err(error) => return self.tell(Update::ProfileFailed(profile, error)).await,
        };
        let account = &session.origin().account;
        if hint.as_ref() != Some(account) {
            // The profile means another account today: what was remembered of the old one is taken back.
            for (origin, kind) in told {
                self.tell(Update::Started(Arc::clone(&origin), kind)).await?;
                self.tell(Update::Done(origin, kind, crate::wall::now())).await?;
            }
            if self.wanted.remembered {
                self.remembered(&profile, account).await?;
            }
            if let Err(error) = self.memory.note(profile.as_ref(), account) {
                tracing::warn!(%error, "the profile's account is not remembered");
            }
        }
        let regions = self.regions(&profile, &session).await?;
        self.everything(profile, &session, regions).await
    }

    /// Tells what is on disk of an account; answers what it told.
    async fn remembered(
        &self,
        profile: &Option<Profile>,
        account: &crate::ids::AccountId,
    ) -> std::result::Result<Vec<(Arc<Origin>, Kind)>, Gone> {
        let regions = match &self.wanted.regions {
            Regions::Only(regions) => regions.clone(),
            Regions::All => self.memory.regions(account),
        };
        let mut told = Vec::new();
        for region in regions {
            let origin = Arc::new(Origin { profile: profile.clone(), account: account.clone(), region });
            for kind in self.wanted.kinds.iter().copied() {
                let (memory, of) = (self.memory.clone(), Arc::clone(&origin));
                let Ok(Some((rows, at))) = spawn_blocking(move || memory.load(&of, kind)).await else { continue };
                self.tell(Update::Remembered(Arc::clone(&origin), rows, at)).await?;
                told.push((Arc::clone(&origin), kind));
            }
        }
        Ok(told)
    }

    /// Tells the account's regions and answers those to ask. When they cannot be listed, the profile's own is asked.
    async fn regions(&self, profile: &Option<Profile>, session: &Session) -> std::result::Result<Vec<Region>, Gone> {
        let account = session.account().clone();
        let known = |name: &Region| RegionRow { name: name.clone(), opt_in: "opted-in".to_owned() };
        if let Regions::Only(regions) = &self.wanted.regions {
            let rows = regions.iter().map(known).collect();
            self.tell(Update::Regions(profile.clone(), account, rows)).await?;
            return Ok(regions.clone());
        }
        match self.aws.regions(profile.as_ref()).await {
            Ok(rows) => {
                let enabled = rows.iter().filter(|row| row.is_enabled()).map(|row| row.name.clone()).collect();
                self.tell(Update::Regions(profile.clone(), account, rows.to_vec())).await?;
                Ok(enabled)
            }
            Err(error) => {
                self.tell(Update::ProfileFailed(profile.clone(), error)).await?;
                let only = session.region();
                self.tell(Update::Regions(profile.clone(), account, vec![known(only)])).await?;
                Ok(vec![only.clone()])
            }
        }
    }

    /// Kinds in the order wanted, so that the first kind of every region comes before the second of any.
    async fn everything(
        self: &Arc<Self>,
        profile: Option<Profile>,
        home: &Session,
        regions: Vec<Region>,
    ) -> std::result::Result<(), Gone> {
        let denied = Denied::load(self.memory.denied(home.account()));
        let denied = Arc::new(Mutex::new(denied));
        let mut tasks = JoinSet::new();
        for kind in self.wanted.kinds.iter().copied() {
            for region in &regions {
                let session = match self.aws.session(profile.as_ref(), Some(region)).await {
                    Ok(session) => session,
                    Err(error) => {
                        let (profile, account) = (profile.clone(), home.account().clone());
                        let origin = Arc::new(Origin { profile, account, region: region.clone() });
                        self.tell(Update::Failed { origin, kind, error, denied: false }).await?;
                        continue;
                    }
                };
                let (look, denied) = (Arc::clone(self), Arc::clone(&denied));
                tasks.spawn(async move { look.one(session, kind, denied).await });
            }
        }
        while tasks.join_next().await.is_some() {}
        Ok(())
    }

    /// One (region, kind) from its first page to its last.
    async fn one(&self, session: Session, kind: Kind, denied: Arc<Mutex<Denied>>) -> std::result::Result<(), Gone> {
        let origin = Arc::clone(session.origin());
        let Ok(_permit) = self.gate.acquire().await else { return Err(Gone) };
        let closed = match self.wanted.regions {
            Regions::All => denied.lock().await.of(&origin.region, kind, crate::wall::now()),
            Regions::Only(_) => None,
        };
        if let Some(error) = closed {
            return self.tell(Update::Failed { origin, kind, error, denied: true }).await;
        }
        self.tell(Update::Started(Arc::clone(&origin), kind)).await?;
        match self.pages(&session, kind).await? {
            Ok(()) => {
                denied.lock().await.remove(&origin.region, kind);
                self.tell(Update::Done(origin, kind, crate::wall::now())).await
            }
            Err(error) => {
                let is_denied = is_denial(&error);
                if is_denied {
                    denied.lock().await.add(&origin.region, kind, &error, crate::wall::now());
                }
                self.tell(Update::Failed { origin, kind, error, denied: is_denied }).await
            }
        }
    }

    /// Passes pages on and keeps them on disk; the list replaces the one there when it is whole.
    async fn pages(&self, session: &Session, kind: Kind) -> std::result::Result<Result<()>, Gone> {
        let origin = session.origin();
        let (memory, of) = (self.memory.clone(), Arc::clone(origin));
        let mut saver = spawn_blocking(move || memory.save(&of, kind, crate::wall::now())).await.unwrap_or_default();
        let (mut tokens, mut token) = (Tokens::default(), None::<String>);
        loop {
            let page = match page(session, kind, token.as_deref()).await {
                Ok(page) => page,
                Err(error) => return Ok(Err(error)),
            };
            saver = save(saver, &page.rows).await;
            if !page.rows.is_empty() {
                self.tell(Update::Page(Arc::clone(origin), page.rows)).await?;
            }
            match tokens.next(page.next) {
                Ok(Some(next)) => token = Some(next),
                Ok(None) => break,
                Err(circle) => {
                    let doing = format!("listing {}", kind.name());
                    return Ok(Err(circle.during(doing).in_region(&origin.region)));
                }
            }
        }
        if let Some(saver) = saver {
            let _ = spawn_blocking(move || saver.commit()).await;
        }
        Ok(Ok(()))
    }
}

pub(super) async fn save(saver: Option<Saver>, rows: &Rows) -> Option<Saver> {
    let saver = saver?;
    let count = rows.len();
    let lines = stored::lines(rows).map_err(|error| tracing::warn!(%error, "the list will not be remembered")).ok()?;
    spawn_blocking(move || saver.add(&lines, count)).await.ok()?
}

/// One page of any kind.
pub(super) struct AnyPage {
    pub(super) rows: Rows,
    pub(super) next: Option<String>,
}

pub(super) async fn page(session: &Session, kind: Kind, token: Option<&str>) -> Result<AnyPage> {
    fn any<R>(page: Page<R>, rows: fn(Vec<R>) -> Rows) -> AnyPage {
        AnyPage { rows: rows(page.rows), next: page.next }
    }
    let ec2 = session.ec2();
    Ok(match kind {
        Kind::Snapshots => any(ec2.snapshots(token).await?, Rows::Snapshots),
        Kind::Volumes => any(ec2.volumes(token).await?, Rows::Volumes),
        Kind::Images => any(ec2.images(token).await?, Rows::Images),
        Kind::Instances => any(ec2.instances(token).await?, Rows::Instances),
    })
}

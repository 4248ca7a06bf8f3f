//! The stand-ins for unknown names, kept in step with the hashes that the table holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{Context, SHA256};

use crate::clock::Clock;
use crate::password::{Cost, Shape, StandIn};
use crate::secret::Secret;

use super::Error;
use super::books::Books;

/// How many stored hashes are looked at.
const SAMPLE: u32 = 2_000;
/// How often the table is looked at, in milliseconds: its mix of schemes changes with its users' logins.
const EVERY: i64 = 300_000;

/// The stand-ins of now.
pub(super) struct StandIns {
    books: Books,
    /// Where the store holds no key to derive one from.
    fallback: Secret<[u8; 32]>,
    cost: Cost,
    clock: Clock,
    current: ArcSwapOption<StandIn>,
    due: AtomicI64,
    first: tokio::sync::Mutex<()>,
}

impl StandIns {
    pub(super) fn new(books: Books, fallback: Secret<[u8; 32]>, cost: Cost, clock: Clock) -> Self {
        Self {
            books,
            fallback,
            cost,
            clock,
            current: ArcSwapOption::empty(),
            due: AtomicI64::new(i64::MIN),
            first: tokio::sync::Mutex::new(()),
        }
    }

    /// The stand-ins. The first caller makes them and all others wait; later they are renewed behind the callers' backs.
    /// Neither depends on the name that somebody gave, so the time tells nothing about it.
    pub(super) async fn current(self: &Arc<Self>) -> Result<Arc<StandIn>, Error> {
        if let Some(current) = self.current.load_full() {
            if self.is_due() {
                let renewing = Arc::clone(self);
                tokio::spawn(async move {
                    // The old ones go on where that fails; the store's own alarms tell.
                    renewing.build().await.ok();
                });
            }
            return Ok(current);
        }
        let _alone = self.first.lock().await;
        match self.current.load_full() {
            Some(current) => Ok(current),
            None => {
                let built = self.build().await?;
                self.is_due();
                Ok(built)
            }
        }
    }

    /// Whether they are to be renewed; true for one caller only.
    fn is_due(&self) -> bool {
        let (now, due) = (self.clock.unix_millis(), self.due.load(Ordering::Relaxed));
        let next = now.saturating_add(EVERY);
        now >= due
            && self
                .due
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    async fn build(&self) -> Result<Arc<StandIn>, Error> {
        let store = self.books.store();
        let hashes = self.books.ask("sample_hashes", store.sample_hashes(SAMPLE)).await?;
        let mut shapes = BTreeMap::<Shape, u64>::new();
        for shape in hashes.iter().filter_map(|hash| Shape::of(hash)) {
            *shapes.entry(shape).or_insert(0) += 1;
        }
        let distribution: Vec<_> = shapes.into_iter().collect();
        let key = self.key().await?;
        let built = Arc::new(StandIn::new(key.expose(), &distribution, self.cost));
        self.current.store(Some(Arc::clone(&built)));
        Ok(built)
    }

    /// All replicas must agree on what an unknown name costs, and go on agreeing after a restart: a name whose cost changes
    /// is no user's. What they share, and nobody else knows, is the signing keys.
    async fn key(&self) -> Result<Secret<[u8; 32]>, Error> {
        let keys = self.books.ask("keys", self.books.store().keys()).await?;
        let Some(oldest) = keys.first() else {
            return Ok(self.fallback.clone());
        };
        let mut context = Context::new(&SHA256);
        context.update(b"doorward stand-in\0");
        context.update(&oldest.material);
        let mut key = [0; 32];
        key.iter_mut()
            .zip(context.finish().as_ref())
            .for_each(|(to, from)| *to = *from);
        Ok(Secret::new(key))
    }
}

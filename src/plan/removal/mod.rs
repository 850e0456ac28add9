//! What would be removed: a plan that can be reviewed, saved, hashed, compared and carried out exactly as it is.
//!
//! [`make`] reads facts and verdicts and [`decide`]s each item; the remover decides each item again by the very same
//! function just before its call, and does only what comes out the same. Nothing here changes anything. Unknown is
//! not unused: what cannot be answered is left alone unless whoever plans accepts it by name (`accept_unknown`).

mod counted;
mod decide;
mod diff;
mod facts;
mod file;
mod judge;
mod make;
mod model;
mod sums;
mod target;

pub use counted::{Sets, remembered};
pub use decide::decide;
pub use diff::{Difference, compare};
pub use facts::{Facts, Rules};
pub use file::{PLAN_TTL, load, save, text};
pub use judge::{Rejudge, unjudged};
pub(crate) use make::look;
pub use make::make;
pub use model::{Back, Item, RemovalPlan, Skip, Stored, VERSION, Wishes, Would};
pub use sums::{Freed, Summary, Together};
pub use target::Target;

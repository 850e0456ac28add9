//! What the deck tells its terminal beside the screen: the title, the progress in the task bar, and that a job ended.

use floe::sandbox::faults::Faults;

use crate::copying::Copying;
use crate::terminal::{CTRL_C, Terminal};

/// Whether these bytes were sent, and where.
fn at(floe: &Terminal, text: &str) -> Option<usize> {
    floe.raw().windows(text.len()).position(|bytes| bytes == text.as_bytes())
}

#[test]
fn title_progress_and_notification_follow_the_jobs_and_the_old_title_comes_back() {
    let copying = Copying::begin();
    let mut floe = copying.deck();
    floe.key("J");
    floe.wait_for(&["● running"]);
    let aside = at(&floe, "\x1b[22;2t").expect("the old title is put aside");
    let title = at(&floe, "\x1b]0;floe · 1 job · ").expect("the title tells of the job");
    assert!(aside < title);
    let progress = at(&floe, "\x1b]9;4;1;").expect("progress in the task bar");
    assert!(at(&floe, "\x1b]777;notify").is_none(), "nothing has ended yet");

    copying.running.sandbox.set_faults(Faults::default());
    floe.wait_until("its end", |text| text.contains("✓ proved") || text.contains("✓ done"));
    let ended = floe.raw().len();
    floe.read();
    for told in ["\x07\x1b]9;floe: job 1 is done\x1b\\", "\x1b]777;notify;floe;floe: job 1 is done\x1b\\"] {
        assert!(at(&floe, told).is_some_and(|at| at > progress && at < ended + 4096), "{told:?}");
    }
    assert!(at(&floe, "\x1b]9;4;0;0").is_some_and(|at| at > progress), "the task bar is free again");
    assert!(at(&floe, "\x1b]0;floe · prod\x07").is_some(), "the title says who again");
    assert!(at(&floe, "\x1b[23;2t").is_none());
    floe.key(CTRL_C);
    assert!(floe.wait_for_end().success());
    assert!(at(&floe, "\x1b[23;2t").is_some(), "the old title is back");
}

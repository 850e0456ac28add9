//! What a pace sets, in one table: made of the very functions that the plan and the run call, so that it cannot be stale.

use crate::plan::choices::{Load, choose, pace_lanes};
use crate::plan::layout::piece_wanted;
use crate::plan::model::{Choices, Options, Pace};
use crate::plan::parts::{copy_lanes, wishes};
use crate::units::{Blocks, Bytes, grouped};

/// Their names and order.
const PACES: [(&str, Pace); 4] = [
    ("balanced", Pace::Balanced),
    ("aggressive", Pace::Aggressive),
    ("conservative", Pace::Conservative),
    ("cost-efficient", Pace::CostEfficient),
];

/// The table as `floe plan --help` shows it.
#[must_use]
pub fn table() -> String {
    let rows: [(&str, &dyn Fn(Pace) -> String); 8] = [
        ("lanes at first", &|pace| grouped(pace_lanes(pace).0.into())),
        ("lanes at most", &|pace| grouped(pace_lanes(pace).1.into())),
        ("archive: blocks of an object", &|pace| {
            let mut choices = Choices::of_pace(pace);
            choices.for_archives(pace);
            choices.run_blocks(1).to_string()
        }),
        ("raw image: piece of an object", &|pace| Blocks(piece_wanted(pace).into()).bytes().to_string()),
        ("S3 to S3: requests at once", &|pace| format!("{}-{}", copy_lanes(pace).0, copy_lanes(pace).1)),
        ("S3 to S3: length of a part", &|pace| wishes(pace).0.to_string()),
        ("S3 to S3: parts, in a region", &|pace| grouped(wishes(pace).1.0.into())),
        ("S3 to S3: parts, out of it", &|pace| grouped(wishes(pace).1.1.into())),
    ];
    let line = |name: &str, cells: [String; 4]| {
        let [a, b, c, d] = cells;
        format!("  {name:<30}{a:>10}{b:>12}{c:>14}{d:>16}\n")
    };
    let mut text =
        "What --pace sets; the budget, --concurrency and --part-size hold it within their own limits:\n".to_owned();
    text.push_str(&line("", PACES.map(|(name, _)| name.to_owned())));
    for (name, cell) in rows {
        text.push_str(&line(name, PACES.map(|(_, pace)| cell(pace))));
    }
    text.trim_end().to_owned()
}

impl Choices {
    /// What a pace alone would set: memory for everything.
    fn of_pace(pace: Pace) -> Self {
        let options = Options { pace, ..Options::default() };
        choose(Blocks(u64::MAX / 2), Load::whole(Bytes(1)), Bytes::gib(1024), &options)
    }

    /// What keeps the lanes where they end: the pace, what was asked for, or the memory.
    #[must_use]
    pub fn held_by(&self, options: &Options, is_copied: bool) -> &'static str {
        let top = if is_copied { copy_lanes(options.pace).1 } else { pace_lanes(options.pace).1 };
        match options.concurrency {
            Some(asked) if self.lanes_max == asked => "--concurrency",
            _ if self.lanes_max == top => "the pace",
            _ => "the memory",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::choices::FETCHED_ITEM;
    use proptest::prelude::*;

    #[test]
    fn the_table_names_every_pace_and_what_it_sets() {
        let text = table();
        for word in ["balanced", "cost-efficient", "lanes at most", "512", "128 MiB", "1 GiB", "24-64"] {
            assert!(text.contains(word), "{word} in\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }

    proptest! {
        /// What the plan says is what a run of it is set to: plans travel as JSON, and weighing them again changes nothing.
        #[test]
        fn choices_are_the_same_whoever_asks(
            blocks in 0u64..200_000_000, mib in 1u64..8192, own in proptest::option::of(1u64..4096),
            cap in proptest::option::of(1u32..2000), pace in 0usize..4,
        ) {
            let options = Options {
                pace: PACES[pace].1, concurrency: cap, memory: own.map(Bytes::mib), ..Options::default()
            };
            let planned = choose(Blocks(blocks), Load::passing(FETCHED_ITEM), Bytes::mib(mib), &options);
            let sent: Choices = serde_json::from_str(&serde_json::to_string(&planned).unwrap()).unwrap();
            prop_assert_eq!(&sent, &planned);
            prop_assert_eq!(choose(Blocks(blocks), Load::passing(FETCHED_ITEM), sent.budget, &options), planned.clone());
            let top = pace_lanes(options.pace).1;
            let held = planned.held_by(&options, false);
            match held {
                "--concurrency" => prop_assert_eq!(Some(planned.lanes_max), cap),
                "the pace" => prop_assert_eq!(planned.lanes_max, top),
                _ => prop_assert!(planned.lanes_max < top && cap.is_none_or(|cap| planned.lanes_max < cap)),
            }
        }
    }
}

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::rows::{Origin, SnapshotRow, State, Tier};
use crate::units::Bytes;

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().expect("a time")
}

fn row(name: &str, gib: u64, days_old: i64, tags: &[(&str, &str)]) -> SnapshotRow {
    SnapshotRow {
        origin: Arc::new(Origin {
            profile: None,
            account: "123456789012".parse().expect("an account"),
            region: "eu-west-1".parse().expect("a region"),
        }),
        id: "snap-0abc1234".parse().expect("an id"),
        name: (!name.is_empty()).then(|| name.to_owned()),
        owner: "123456789012".parse().expect("an account"),
        volume: None,
        size: Bytes::gib(gib),
        full: None,
        state: State::Completed,
        state_message: None,
        progress: None,
        started: now() - jiff::SignedDuration::from_hours(24 * days_old),
        tier: Tier::Archive,
        encrypted: false,
        kms_key: None,
        data_key_id: None,
        description: "Nightly of the Web tier".into(),
        tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    }
}

/// Each way of asking gives the same answer.
fn passes(text: &str, row: &SnapshotRow) -> bool {
    let filter = Filter::parse(text, now()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut haystack = Haystack::default();
    haystack.push(row);
    let plain = filter.matches(row);
    assert_eq!(plain, filter.matches_in(&haystack, 0, row), "{text}");
    plain
}

#[test]
fn the_language_as_the_table_says_it() {
    let row = row("DB-Prod", 500, 100, &[("Env", "prod"), ("Team", "Data Platform")]);
    let pass = [
        "",
        "db",
        "DB prod",
        "0abc",
        "nightly",
        "\"web tier\"",
        "team",
        "env=prod",
        "platform",
        "db|nope",
        "nope|db",
        "!nope",
        "name:prod",
        "name:\"db-\"",
        "region:eu",
        "region:euw1",
        "region:us-east-1|eu-west-1",
        "size:500GiB",
        "size:>=500GiB",
        "size:500",
        "size:<1TiB",
        "!size:>500GiB",
        "size:<10GiB|>400GiB",
        "age:>90d",
        "age:<1y",
        "age:>=14w",
        "state:completed",
        "state:comp",
        "!state:error|pending",
        "tier:archive",
        "tag:Env",
        "tag:env=prod",
        "tag:Env=dev|prod",
        "tag:Env=pr*",
        "tag:Team=*platform",
        "tag:\"Team=Data Platform\"",
        "!tag:Owner",
        "!full:>1GiB",
        "size:",
        "db size:>400GiB age:>90d !tag:Owner",
    ];
    for text in pass {
        assert!(passes(text, &row), "{text} should pass");
    }
    let fail = [
        "nope",
        "db nope",
        "!db",
        "name:nightly",
        "region:us",
        "size:>500GiB",
        "size:8GiB",
        "age:<90d",
        "state:error",
        "tier:standard",
        "tag:Env=dev",
        "tag:Env=pro",
        "tag:Owner",
        "!tag:Env",
        "full:>1GiB",
        "full:<1GiB",
        "verdict:orphan",
        "used-by:i-",
        "usd:>0",
        "frees:>0B",
    ];
    for text in fail {
        assert!(!passes(text, &row), "{text} should not pass");
    }
}

#[test]
fn what_is_not_understood_is_an_error_that_helps() {
    let cases = [
        ("colour:red", "`colour` is not a filter key", "used-by"),
        ("size:big", "`size:big` is not understood", "size:>500GiB"),
        ("age:90d", "`age:90d` is not understood", "age:>90d"),
        ("age:>90", "is not understood", "m h d w y"),
        ("usd:>cheap", "is not understood", "usd:>1.50"),
        ("tier:cold", "matches nothing", "standard archive"),
        ("verdict:bad", "matches nothing", "orphan"),
        ("\"open", "open quote", "close"),
    ];
    for (text, what, todo) in cases {
        let error = Filter::parse(text, now()).expect_err(text);
        assert_eq!(error.kind, crate::error::Kind::Usage);
        assert!(error.what.contains(what), "{text}: {error}");
        assert!(error.todo.as_deref().is_some_and(|t| t.contains(todo)), "{text}: {:?}", error.todo);
    }
    assert!(Filter::parse("\"arn:aws:ec2\"", now()).is_ok(), "quotes make a word of it");
}

#[test]
fn words_are_told_for_highlighting() {
    let filter = Filter::parse("Db !old name:web size:>1GiB a|b", now()).expect("a filter");
    assert_eq!(filter.words().collect::<Vec<_>>(), ["db", "web", "a", "b"]);
}

proptest! {
    #[test]
    fn reading_never_panics_and_matching_agrees(text in "\\PC{0,40}", name in "\\PC{0,12}", value in "\\PC{0,12}") {
        if let Ok(filter) = Filter::parse(&text, now()) {
            let row = row(&name, 8, 3, &[("k", &value)]);
            let mut haystack = Haystack::default();
            haystack.push(&row);
            prop_assert_eq!(filter.matches(&row), filter.matches_in(&haystack, 0, &row));
        }
    }

    #[test]
    fn a_negated_term_is_the_complement(word in "[a-z0-9]{1,6}", name in "[a-z0-9 ]{0,12}") {
        let row = row(&name, 8, 3, &[]);
        prop_assert_ne!(passes(&word, &row), passes(&format!("!{word}"), &row));
    }

    #[test]
    fn the_vector_search_finds_what_the_plain_one_finds(text in "[ab]{0,120}", word in "[ab]{0,6}") {
        prop_assert_eq!(haystack::contains(text.as_bytes(), word.as_bytes()), text.contains(&word));
    }
}

/// Prints how long it takes as well (`--nocapture`; in a release build 200,000 rows take two milliseconds).
#[test]
fn the_haystack_of_a_long_list_finds_what_each_row_would() {
    let rows: Vec<_> =
        (0..20_000).map(|n| row(&format!("web-{n}"), 8, n % 900, &[("Name", "web"), ("team", "data")])).collect();
    let mut haystack = Haystack::default();
    rows.iter().for_each(|row| haystack.push(row));
    for text in ["web-1234", "zzz", "size:>500GiB", "age:>90d web"] {
        let filter = Filter::parse(text, now()).expect("a filter");
        let start = std::time::Instant::now();
        let found = rows.iter().enumerate().filter(|(at, row)| filter.matches_in(&haystack, *at, *row)).count();
        println!("{text}: {found} in {:?}", start.elapsed());
        assert_eq!(found, rows.iter().filter(|row| filter.matches(*row)).count(), "{text}");
    }
}

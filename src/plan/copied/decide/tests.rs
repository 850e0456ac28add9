use super::*;
use crate::aws::S3Sum;
use crate::units::Bytes;

const NEAR: Near = Near { region: true, account: true };
const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/0a1b";

fn object(bytes: u64, etag: &str, sum: Option<(&str, &str, bool)>) -> Known {
    Known {
        facts: S3Facts {
            bytes: Bytes(bytes),
            etag: etag.to_owned(),
            version: None,
            class: "STANDARD".to_owned(),
            restored: false,
            sse: Sse::Default,
            properties: Properties::default(),
            tag_count: 0,
            sum: sum.map(|(algorithm, value, whole)| S3Sum {
                algorithm: algorithm.to_owned(),
                value: value.to_owned(),
                whole,
            }),
            modified: 0,
        },
        tags: Vec::new(),
    }
}

#[test]
fn the_same_bytes_are_known_by_checksum_or_etag_and_never_by_size_alone() {
    let (a, b) = (object(9, "x-2", Some(("CRC64NVME", "s", true))), object(9, "y", Some(("CRC64NVME", "s", true))));
    assert_eq!(same_bytes(&a.facts, &b.facts).as_deref(), Some("size and CRC64NVME"));
    let other = object(9, "x-2", Some(("CRC64NVME", "t", true)));
    assert_eq!(same_bytes(&a.facts, &other.facts), None, "a checksum counts more than an ETag");
    assert_eq!(same_bytes(&object(9, "x", None).facts, &object(9, "x", None).facts).as_deref(), Some("size and ETag"));
    assert_eq!(same_bytes(&object(9, "x", None).facts, &object(8, "x", None).facts), None);
    assert_eq!(same_bytes(&object(9, "x", None).facts, &object(9, "y", None).facts), None);
    let parts = |value| object(9, value, Some(("SHA256", value, false)));
    assert_eq!(
        same_bytes(&parts("a-2").facts, &parts("b-3").facts),
        None,
        "checksums of parts say nothing of the whole"
    );
}

#[test]
fn what_exists_and_differs_is_replaced_only_when_that_was_said() {
    let (from, there) = (object(9, "x", None), object(9, "y", None));
    let rules = Rules::default();
    assert_eq!(decide(&from, None, &rules, NEAR), Action::Copy { replaces: false });
    assert!(matches!(decide(&from, Some(&there), &rules, NEAR), Action::Refuse { .. }));
    let force = Rules { replace: true, ..Rules::default() };
    assert_eq!(decide(&from, Some(&there), &force, NEAR), Action::Copy { replaces: true });
    assert!(matches!(decide(&from, Some(&from.clone()), &force, NEAR), Action::Skip { .. }));
    let again = Rules { replace: true, force: true, ..Rules::default() };
    assert_eq!(decide(&from, Some(&from.clone()), &again, NEAR), Action::Copy { replaces: true });
}

#[test]
fn only_what_differs_is_set() {
    let from = object(9, "x", None);
    let mut there = from.clone();
    let rules = Rules { tags: vec![("a".to_owned(), "b".to_owned())], ..Rules::default() };
    let set = |there: &Known, rules: &Rules| match decide(&from, Some(there), rules, NEAR) {
        Action::Set { properties, tags, .. } => (properties, tags),
        other => panic!("{other:?}"),
    };
    assert_eq!(set(&there, &rules), (false, true));
    there.facts.properties.cache_control = Some("no-store".to_owned());
    assert_eq!(set(&there, &Rules::default()), (true, false));
    assert_eq!(set(&there, &rules), (true, true));
    let mut large = (from.clone(), there.clone());
    (large.0.facts.bytes, large.1.facts.bytes) = (Bytes::gib(6), Bytes::gib(6));
    let told = decide(&large.0, Some(&large.1), &Rules::default(), NEAR);
    assert!(matches!(told, Action::Refuse { ref todo, .. } if todo.contains("--force-copy")), "{told:?}");
}

#[test]
fn encryption_never_gets_less() {
    let kms = Sse::Kms { key: Some(KEY.to_owned()), dual: false };
    assert_eq!(encryption(&kms, None, NEAR).0, kms);
    for far in [Near { region: false, account: true }, Near { region: true, account: false }] {
        assert_eq!(encryption(&kms, None, far).0, Sse::Kms { key: None, dual: false });
    }
    assert_eq!(encryption(&Sse::Default, None, NEAR).0, Sse::Default);
    assert_eq!(encryption(&Sse::Default, Some(KEY), NEAR).0, kms);
    let mut from = object(9, "x", None);
    from.facts.sse = kms;
    let there = object(9, "x", None);
    assert!(
        matches!(decide(&from, Some(&there), &Rules::default(), NEAR), Action::Set { properties: true, .. }),
        "the same bytes under less are not the same"
    );
}

#[test]
fn what_cannot_be_proved_as_asked_is_refused_before() {
    let rules = Rules { verify: Verify::Checksum, ..Rules::default() };
    let refused = |known: &Known| matches!(decide(known, None, &rules, NEAR), Action::Refuse { .. });
    assert!(refused(&object(9, "x", None)));
    assert!(refused(&object(9, "x-2", Some(("SHA256", "s-2", false)))));
    assert!(!refused(&object(9, "x", Some(("CRC32", "s", true)))));
    let mut cold = object(9, "x", None);
    cold.facts.class = "GLACIER".to_owned();
    assert!(matches!(decide(&cold, None, &Rules::default(), NEAR), Action::Refuse { .. }));
    cold.facts.restored = true;
    assert!(matches!(decide(&cold, None, &Rules::default(), NEAR), Action::Copy { .. }));
}

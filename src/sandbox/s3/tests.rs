//! The state outlives the process, and nothing else is kept.

use bytes::Bytes;

use super::blob::Blob;
use super::store::{Bucket, Buckets, Meta, Object, Store};

fn bucket() -> Bucket {
    let made = "2026-11-20T00:00:00Z".parse().unwrap();
    Bucket::new("111111111111".parse().unwrap(), "eu-west-1".parse().unwrap(), made)
}

fn object(blob: Blob) -> Object {
    Object {
        blob,
        etag: "e".into(),
        modified: "2026-11-20T00:00:00Z".parse().unwrap(),
        meta: Meta { tags: vec![("k".into(), "v".into())], ..Meta::default() },
        checksum: None,
        parts: Vec::new(),
        restored: None,
        version: None,
    }
}

fn put(store: &Store, bucket: &str, key: &str, bytes: &'static [u8]) {
    let blob = store.keep(Bytes::from_static(bytes).into()).unwrap();
    let mut buckets = store.lock();
    buckets.all.get_mut(bucket).unwrap().objects.insert(key.into(), object(blob));
    store.save_object(&buckets, bucket, key).unwrap();
}

fn remove(store: &Store, bucket: &str, key: &str) {
    let mut buckets = store.lock();
    buckets.all.get_mut(bucket).unwrap().objects.remove(key);
    store.save_object(&buckets, bucket, key).unwrap();
}

fn read(store: &Store, bucket: &str, key: &str) -> Vec<u8> {
    store.lock().all[bucket].objects[key].blob.whole(100).unwrap().to_vec()
}

#[test]
fn what_was_answered_is_there_after_a_kill_and_what_was_not_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Buckets::default()).unwrap();
    {
        let mut buckets = store.lock();
        buckets.all.insert("vault".into(), bucket());
        store.save_bucket(&buckets, "vault").unwrap();
    }
    for (key, bytes) in [("a", &b"one"[..]), ("a", b"two"), ("b", b"gone")] {
        put(&store, "vault", key, bytes);
    }
    remove(&store, "vault", "b");
    // Written, and killed before its line: nobody was told of it.
    let lost = store.keep(Bytes::from_static(b"lost").into()).unwrap();
    std::mem::forget(lost);
    drop(store);
    // A torn last line.
    let journal = dir.path().join("journal.ndjson");
    let mut text = std::fs::read_to_string(&journal).unwrap();
    text.push_str("{\"v\":1,\"obj");
    std::fs::write(&journal, text).unwrap();

    let store = Store::open(dir.path(), Buckets::default()).unwrap();
    assert_eq!(store.lock().all["vault"].objects.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(store.lock().all["vault"].objects["a"].meta.tags.len(), 1);
    assert_eq!(read(&store, "vault", "a"), b"two");
    assert_eq!(std::fs::read_dir(dir.path().join("data")).unwrap().count(), 1, "one file for one object");
    drop(store);
    let text = std::fs::read_to_string(&journal).unwrap().replace("\"v\":1", "\"v\":2");
    std::fs::write(&journal, text).unwrap();
    let refused = Store::open(dir.path(), Buckets::default()).unwrap_err().to_string();
    assert!(refused.contains("version 2"), "{refused}");
}

#[test]
fn what_became_of_a_scenarios_objects_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let base = || {
        let mut vault = bucket();
        for key in ["kept", "replaced", "removed"] {
            vault.objects.insert(key.into(), object(Blob::from(Bytes::from_static(b"scenario"))));
        }
        Buckets { all: [("vault".to_owned(), vault), ("gone".to_owned(), bucket())].into_iter().collect() }
    };
    let store = Store::open(dir.path(), base()).unwrap();
    put(&store, "vault", "replaced", b"ours");
    remove(&store, "vault", "removed");
    {
        let mut buckets = store.lock();
        buckets.all.remove("gone");
        store.save_bucket(&buckets, "gone").unwrap();
    }
    drop(store);
    for start in 1..3 {
        let store = Store::open(dir.path(), base()).unwrap();
        assert_eq!(store.lock().all.keys().collect::<Vec<_>>(), ["vault"], "start {start}");
        assert_eq!(store.lock().all["vault"].objects.keys().collect::<Vec<_>>(), ["kept", "replaced"], "start {start}");
        assert_eq!(read(&store, "vault", "kept"), b"scenario");
        assert_eq!(read(&store, "vault", "replaced"), b"ours");
    }
}

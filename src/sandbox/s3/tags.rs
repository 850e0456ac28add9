//! The tags of objects.

use http::{Response, StatusCode};

use super::element::Element;
use super::meta::checked_tags;
use super::store::Store;
use super::{Ask, NAMESPACE, Refusal, document, empty};
use crate::sandbox::body::Body;
use crate::sandbox::xml::Xml;

pub(super) fn get(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let buckets = store.lock();
    let object = ask.bucket(&buckets)?.find(&ask.route.key, ask.route.version())?;
    Ok(document(Xml::document("Tagging", NAMESPACE, |xml| {
        xml.nest("TagSet", |xml| {
            for (key, value) in &object.meta.tags {
                xml.nest("Tag", |xml| {
                    xml.text("Key", key);
                    xml.text("Value", value);
                });
            }
        });
    })))
}

pub(super) fn put(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let root = ask.document()?;
    let set = root.child("TagSet").ok_or_else(Refusal::malformed)?;
    let text = |tag: &Element, name: &str| tag.get(name).unwrap_or_default().to_owned();
    let tags = set.all("Tag").map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect();
    retag(store, ask, checked_tags(tags)?)?;
    Ok(empty(StatusCode::OK))
}

pub(super) fn delete(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    retag(store, ask, Vec::new())?;
    Ok(empty(StatusCode::NO_CONTENT))
}

fn retag(store: &Store, ask: &Ask<'_>, tags: Vec<(String, String)>) -> Result<(), Refusal> {
    let mut buckets = store.lock();
    let bucket = ask.bucket_mut(&mut buckets)?;
    bucket.find_mut(&ask.route.key, ask.route.version())?.meta.tags = tags;
    store.save_object(&buckets, &ask.route.bucket, &ask.route.key).map_err(|e| Refusal::internal(&e))
}

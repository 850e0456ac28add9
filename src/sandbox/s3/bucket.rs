//! Buckets: made, found, asked where they are, and removed when they are empty.

use http::{Response, StatusCode};

use super::store::{Bucket, Store};
use super::{Ask, NAMESPACE, Refusal, document, empty, set};
use crate::sandbox::body::Body;
use crate::sandbox::xml::Xml;

pub(super) fn create(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let name = &ask.route.bucket;
    if !is_name(name) {
        return Err(Refusal::bad("InvalidBucketName", "The specified bucket is not valid.").naming("BucketName", name));
    }
    let region = ask.caller.region.as_str();
    let wanted = match ask.payload().is_empty() {
        true => None,
        false => ask.document()?.get("LocationConstraint").map(str::to_owned),
    };
    // In us-east-1 the constraint is left out; elsewhere it names the region that is asked.
    let right = match wanted.as_deref() {
        None | Some("") => region == "us-east-1",
        Some("EU") => region == "eu-west-1",
        Some("us-east-1") => {
            return Err(Refusal::bad("InvalidLocationConstraint", "The specified location-constraint is not valid")
                .naming("LocationConstraint", "us-east-1"));
        }
        Some(wanted) => wanted == region,
    };
    if !right {
        let which = wanted.unwrap_or_else(|| "unspecified".to_owned());
        let message = format!(
            "The {which} location constraint is incompatible for the region specific endpoint this request was sent to."
        );
        return Err(Refusal::bad("IllegalLocationConstraintException", message));
    }
    let mut buckets = store.lock();
    if let Some(known) = buckets.all.get(name) {
        // The oldest region takes a second making for the first.
        if known.owner == ask.caller.account && known.region == ask.caller.region && region == "us-east-1" {
            let mut answer = empty(StatusCode::OK);
            set(&mut answer, "location", &format!("/{name}"));
            return Ok(answer);
        }
        let (code, message) = if known.owner == ask.caller.account {
            (
                "BucketAlreadyOwnedByYou",
                "Your previous request to create the named bucket succeeded and you already own it.",
            )
        } else {
            (
                "BucketAlreadyExists",
                "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.",
            )
        };
        return Err(Refusal::new(StatusCode::CONFLICT, code, message).naming("BucketName", name));
    }
    let bucket = Bucket::new(ask.caller.account.clone(), ask.caller.region.clone(), ask.now);
    buckets.all.insert(name.clone(), bucket);
    store.save_bucket(&buckets, name).map_err(|e| Refusal::internal(&e))?;
    drop(buckets);
    let mut answer = empty(StatusCode::OK);
    set(&mut answer, "location", &format!("/{name}"));
    Ok(answer)
}

/// 3 to 63 of lower-case letters, digits, hyphens and dots; begins and ends with a letter or digit; no address.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=63).contains(&name.len())
        && name.chars().all(|c| plain(c) || c == '-' || c == '.')
        && name.starts_with(plain)
        && name.ends_with(plain)
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
}

pub(super) fn delete(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let mut buckets = store.lock();
    let bucket = ask.bucket(&buckets)?;
    if !bucket.objects.is_empty() || !bucket.older.is_empty() {
        let message = "The bucket you tried to delete is not empty";
        return Err(
            Refusal::new(StatusCode::CONFLICT, "BucketNotEmpty", message).naming("BucketName", &ask.route.bucket)
        );
    }
    // Uploads under way end with it, also in the journal: the name may be taken again.
    let uploads = std::mem::take(&mut ask.bucket_mut(&mut buckets)?.uploads);
    for id in uploads.keys() {
        store.save_upload(&buckets, &ask.route.bucket, id).map_err(|e| Refusal::internal(&e))?;
    }
    buckets.all.remove(&ask.route.bucket);
    store.save_bucket(&buckets, &ask.route.bucket).map_err(|e| Refusal::internal(&e))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) fn head(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let buckets = store.lock();
    let named = buckets.all.get(&ask.route.bucket).ok_or_else(|| Refusal::no_bucket(&ask.route.bucket))?;
    // Also who may not use it hears where it is.
    let region = named.region.as_str().to_owned();
    ask.may_use(named).map_err(|refusal| match refusal.headers.is_empty() {
        true => refusal.with_header("x-amz-bucket-region", region.clone()),
        false => refusal,
    })?;
    drop(buckets);
    let mut answer = empty(StatusCode::OK);
    set(&mut answer, "x-amz-bucket-region", &region);
    Ok(answer)
}

/// Where it is: answered in its own region and, for all buckets, in us-east-1.
pub(super) fn location(store: &Store, ask: &Ask<'_>) -> Result<Response<Body>, Refusal> {
    let buckets = store.lock();
    let bucket = buckets.all.get(&ask.route.bucket).ok_or_else(|| Refusal::no_bucket(&ask.route.bucket))?;
    if ask.caller.region.as_str() == "us-east-1" {
        ask.owns(bucket, "x-amz-expected-bucket-owner")?;
    } else {
        ask.may_use(bucket)?;
    }
    let region = match bucket.region.as_str() {
        "us-east-1" => "",
        region => region,
    };
    Ok(document(Xml::leaf("LocationConstraint", NAMESPACE, region)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules() {
        for good in ["abc", "my-vault.eu", "0a0"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["ab", "Abc", "-abc", "abc-", "a..b", "a_b", "192.168.0.1", &"a".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}

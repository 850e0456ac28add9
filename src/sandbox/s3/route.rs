//! Which operation a request is: by its method, host, path, query and headers.

use http::Request;

use crate::sandbox::sigv4::decode;
use crate::sandbox::wire::pairs;

/// Which operation on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `GetObject`, …; `NotImplemented` for what is not here.
    pub api: &'static str,
    /// The bucket; empty for none.
    pub bucket: String,
    /// The key; empty for none.
    pub key: String,
    /// Set when the host names the bucket: to the region that it names too, if any.
    pub(super) host: Option<Option<String>>,
    query: Vec<(String, String)>,
}

impl Route {
    /// The version that is asked for.
    pub(in crate::sandbox) fn version(&self) -> Option<&str> {
        self.get("versionId")
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Query parameters that ask for something that is not here.
const NOT_HERE: [&str; 21] = [
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "select",
    "website",
];

/// Reads a request's operation from its method, path, query and headers.
#[must_use]
pub fn route<B>(request: &Request<B>) -> Route {
    let uri = request.uri();
    let path = uri.path().strip_prefix('/').unwrap_or_default();
    let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let (bucket, key, host) = match virtual_host(host) {
        Some((bucket, region)) => (bucket, decode(path, false), Some(region)),
        None => {
            let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
            (decode(bucket, false), decode(key, false), None)
        }
    };
    let query: Vec<(String, String)> =
        pairs(uri).map(|(name, value)| (decode(name, true), decode(value, true))).collect();
    let has = |name: &str| query.iter().any(|(key, _)| key == name);
    let copies = request.headers().contains_key("x-amz-copy-source");
    let method = request.method().as_str();
    let api = if NOT_HERE.iter().any(|name| has(name)) {
        "NotImplemented"
    } else if bucket.is_empty() {
        if method == "GET" { "ListBuckets" } else { "NotImplemented" }
    } else if key.is_empty() {
        match method {
            "PUT" if has("versioning") => "PutBucketVersioning",
            "PUT" if !has("tagging") => "CreateBucket",
            "DELETE" => "DeleteBucket",
            "HEAD" => "HeadBucket",
            "POST" if has("delete") => "DeleteObjects",
            "GET" if has("location") => "GetBucketLocation",
            "GET" if has("versioning") => "GetBucketVersioning",
            "GET" if has("uploads") => "ListMultipartUploads",
            "GET" if query.iter().any(|(key, value)| key == "list-type" && value == "2") => "ListObjectsV2",
            "GET" if !has("tagging") && !has("versions") => "ListObjects",
            _ => "NotImplemented",
        }
    } else {
        match method {
            "POST" if has("versionId") => "NotImplemented",
            "PUT" if has("versionId") && !has("tagging") => "NotImplemented",
            "PUT" if has("tagging") => "PutObjectTagging",
            "PUT" if has("partNumber") && copies => "UploadPartCopy",
            "PUT" if has("partNumber") || has("uploadId") => "UploadPart",
            "PUT" if copies => "CopyObject",
            "PUT" => "PutObject",
            "GET" if has("tagging") => "GetObjectTagging",
            "GET" if has("attributes") => "GetObjectAttributes",
            "GET" if has("uploadId") => "ListParts",
            "GET" => "GetObject",
            "HEAD" => "HeadObject",
            "DELETE" if has("tagging") => "DeleteObjectTagging",
            "DELETE" if has("uploadId") => "AbortMultipartUpload",
            "DELETE" => "DeleteObject",
            "POST" if has("uploads") => "CreateMultipartUpload",
            "POST" if has("uploadId") => "CompleteMultipartUpload",
            "POST" if has("restore") => "RestoreObject",
            _ => "NotImplemented",
        }
    };
    Route { api, bucket, key, host, query }
}

/// The bucket that a host names, and the region where it names one: `vault.localhost:4571`,
/// `vault.s3.eu-west-1.amazonaws.com`.
fn virtual_host(host: &str) -> Option<(String, Option<String>)> {
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host).to_ascii_lowercase();
    if let Some(inside) = host.strip_suffix(".localhost") {
        let bucket = inside.strip_suffix(".s3").unwrap_or(inside);
        return (bucket != "s3").then(|| (bucket.to_owned(), None));
    }
    let inside = host.strip_suffix(".cn").unwrap_or(&host).strip_suffix(".amazonaws.com")?;
    if let Some(bucket) = inside.strip_suffix(".s3") {
        return Some((bucket.to_owned(), None));
    }
    let (bucket, region) = inside.rsplit_once(".s3.").or_else(|| inside.rsplit_once(".s3-"))?;
    let region = region.strip_prefix("dualstack.").unwrap_or(region);
    Some((bucket.to_owned(), Some(region.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, host: &str, uri: &str) -> (&'static str, String, String, Option<Option<String>>) {
        let request = Request::builder().method(method).uri(uri).header("host", host).body(()).unwrap();
        let Route { api, bucket, key, host, .. } = route(&request);
        (api, bucket, key, host)
    }

    #[test]
    fn the_bucket_stands_in_the_path_or_in_the_host() {
        let named = |region: Option<&str>| Some(region.map(str::to_owned));
        for (host, uri, in_host) in [
            ("127.0.0.1:4571", "/vault/a/b%20c", None),
            ("localhost", "/vault/a/b%20c", None),
            ("s3.eu-west-1.amazonaws.com", "/vault/a/b%20c", None),
            ("s3.localhost:80", "/vault/a/b%20c", None),
            ("vault.localhost:4571", "/a/b%20c", named(None)),
            ("vault.s3.localhost", "/a/b%20c", named(None)),
            ("vault.s3.amazonaws.com", "/a/b%20c", named(None)),
            ("vault.s3.eu-west-1.amazonaws.com", "/a/b%20c", named(Some("eu-west-1"))),
            ("vault.s3.dualstack.eu-west-1.amazonaws.com:443", "/a/b%20c", named(Some("eu-west-1"))),
        ] {
            let expected = ("GetObject", "vault".to_owned(), "a/b c".to_owned(), in_host);
            assert_eq!(of("GET", host, uri), expected, "{host}{uri}");
        }
        assert_eq!(of("GET", "my.vault.s3.eu-west-1.amazonaws.com", "/?list-type=2").1, "my.vault");
    }

    #[test]
    fn operations_are_told_apart_by_their_query() {
        for (method, uri, api) in [
            ("GET", "/", "ListBuckets"),
            ("PUT", "/vault", "CreateBucket"),
            ("GET", "/vault/?location", "GetBucketLocation"),
            ("GET", "/vault?list-type=2&prefix=a", "ListObjectsV2"),
            ("POST", "/vault?delete=", "DeleteObjects"),
            ("POST", "/vault/k?uploads", "CreateMultipartUpload"),
            ("PUT", "/vault/k?partNumber=1&uploadId=u", "UploadPart"),
            ("GET", "/vault/k?uploadId=u", "ListParts"),
            ("POST", "/vault/k?restore", "RestoreObject"),
            ("GET", "/vault/k?attributes", "GetObjectAttributes"),
            ("GET", "/vault/k?versionId=7", "GetObject"),
            ("POST", "/vault/k?restore&versionId=7", "NotImplemented"),
            ("PUT", "/vault?versioning", "PutBucketVersioning"),
        ] {
            assert_eq!(of(method, "localhost", uri).0, api, "{method} {uri}");
        }
    }
}

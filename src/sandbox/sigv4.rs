//! Verification of AWS Signature Version 4, as it stands in the `Authorization` header.
//!
//! The server's side, written from the specification; the tests sign with the SDK's own signer. A request is read
//! in two steps: [`Claim::read`] says who it claims to be (so that even a refusal is written in the right service's
//! form), [`Verifier::check`] says whether that is true.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::hmac;
use http::Request;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::model::AccessKey;
use super::pool::sha256;
use crate::sandbox::wire::pairs;
use crate::units::Digest;

/// How far a client's clock may be off.
const SKEW_SECONDS: i64 = 300;
/// Derived keys kept: one per key, day, region and service.
const DERIVED: usize = 256;
/// The payload hash of a body that is not signed.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// The hash of a body that did not travel with its request: see `s3::intake`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyHash(pub Digest);

/// A signature inside a body, and what it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// As it stood there; empty when there was none.
    pub signature: String,
    /// The hash of the chunk, or of the trailers.
    pub hash: Digest,
}

/// The signatures of a body in signed chunks; each is over the one before, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seals {
    /// The last is of the empty chunk.
    pub chunks: Vec<Seal>,
    /// Of the trailers, where there may be some.
    pub trailer: Option<Seal>,
}

impl Seals {
    fn hold(&self, signing: &hmac::Key, stamp: &str, scope: &str, seed: &str) -> bool {
        let empty = sha256(b"").hex();
        let mut before = seed;
        for seal in &self.chunks {
            let hash = seal.hash.hex();
            let to_sign = format!("AWS4-HMAC-SHA256-PAYLOAD\n{stamp}\n{scope}\n{before}\n{empty}\n{hash}");
            if Digest(sign(signing, to_sign.as_bytes())).hex() != seal.signature {
                return false;
            }
            before = &seal.signature;
        }
        self.trailer.as_ref().is_none_or(|seal| {
            let to_sign = format!("AWS4-HMAC-SHA256-TRAILER\n{stamp}\n{scope}\n{before}\n{}", seal.hash.hex());
            Digest(sign(signing, to_sign.as_bytes())).hex() == seal.signature
        })
    }
}

/// Why a request is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No signature at all.
    Missing,
    /// It does not parse; what is wrong with it.
    Malformed(String),
    /// Nobody has this key, or a session token is missing or wrong.
    UnknownKey,
    /// The signature is another one.
    Wrong(String),
    /// The request's time is too far from ours.
    Skewed(String),
    /// The session is over.
    Expired,
}

/// What a request claims about itself.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who signed.
    pub access_key: String,
    /// `20261120`.
    pub date: String,
    /// The region of the scope.
    pub region: String,
    /// The service of the scope: `ebs`, `ec2`, …
    pub service: String,
    signed_headers: Vec<String>,
    signature: String,
}

impl Claim {
    /// Reads the `Authorization` header.
    ///
    /// # Errors
    /// [`Refusal::Missing`] or [`Refusal::Malformed`].
    pub fn read<B>(request: &Request<B>) -> Result<Self, Refusal> {
        let header = request.headers().get(AUTHORIZATION).ok_or(Refusal::Missing)?;
        let malformed = |what: &str| Refusal::Malformed(format!("Authorization header {what}."));
        let text = header.to_str().map_err(|_| malformed("is not text"))?;
        let fields = text.strip_prefix("AWS4-HMAC-SHA256").ok_or_else(|| malformed("requires 'AWS4-HMAC-SHA256'"))?;
        let field = |name: &str| {
            let find = |part: &str| part.trim().strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
            fields.split(',').find_map(find).ok_or_else(|| malformed(&format!("requires '{name}' parameter")))
        };
        let (credential, signed, signature) = (field("Credential")?, field("SignedHeaders")?, field("Signature")?);
        let scope: Vec<&str> = credential.rsplitn(5, '/').collect();
        let [terminator, service, region, date, access_key] = scope[..] else {
            return Err(malformed("holds a Credential that is not KEY/DATE/REGION/SERVICE/aws4_request"));
        };
        if terminator != "aws4_request" {
            return Err(Refusal::Malformed(
                "Credential should be scoped with a valid terminator: 'aws4_request'".into(),
            ));
        }
        Ok(Self {
            access_key: access_key.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            signed_headers: signed.split(';').map(str::to_ascii_lowercase).collect(),
            signature,
        })
    }
}

/// Checks signatures and keeps the keys that it derived.
#[derive(Default)]
pub struct Verifier {
    derived: Mutex<HashMap<String, hmac::Key>>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    /// Whether `request` was signed with `key` about `now`.
    ///
    /// # Errors
    /// Why it was not.
    pub fn check(
        &self,
        claim: &Claim,
        key: &AccessKey,
        request: &Request<impl AsRef<[u8]>>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let stamp = header(request, "x-amz-date").ok_or_else(|| Refusal::Malformed("X-Amz-Date is missing.".into()))?;
        check_time(claim, &stamp, now)?;
        check_session(key, request, now)?;
        for name in ["host", "x-amz-date"] {
            if !claim.signed_headers.iter().any(|signed| signed == name) {
                return Err(Refusal::Wrong(format!("'{name}' must be a 'SignedHeader' in the AWS Authorization.")));
            }
        }
        let payloads = payload_hashes(claim, request)?;
        let signing = self.signing_key(claim, key);
        let scope = format!("{}/{}/{}/aws4_request", claim.date, claim.region, claim.service);
        let right = payloads.iter().any(|payload| {
            let canonical = canonical_request(claim, request, payload);
            let hash = sha256(canonical.as_bytes()).hex();
            let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hash}");
            let ours = Digest(sign(&signing, to_sign.as_bytes())).hex();
            ours == claim.signature
        });
        let seals = request.extensions().get::<Seals>();
        if right && seals.is_none_or(|seals| seals.hold(&signing, &stamp, &scope, &claim.signature)) {
            return Ok(());
        }
        Err(Refusal::Wrong(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
             Access Key and signing method. Consult the service documentation for details."
                .into(),
        ))
    }

    fn signing_key(&self, claim: &Claim, key: &AccessKey) -> hmac::Key {
        let name = format!("{}/{}/{}/{}", claim.access_key, claim.date, claim.region, claim.service);
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = derived.get(&name) {
            return known.clone();
        }
        let mut step = sign(&hmac_key(format!("AWS4{}", key.secret).as_bytes()), claim.date.as_bytes());
        for part in [claim.region.as_str(), claim.service.as_str(), "aws4_request"] {
            step = sign(&hmac_key(&step), part.as_bytes());
        }
        if derived.len() >= DERIVED {
            derived.clear();
        }
        derived.entry(name).or_insert_with(|| hmac_key(&step)).clone()
    }
}

fn hmac_key(bytes: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, bytes)
}

fn sign(key: &hmac::Key, bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(hmac::sign(key, bytes).as_ref());
    out
}

fn header<B>(request: &Request<B>, name: &str) -> Option<String> {
    request.headers().get(name)?.to_str().ok().map(str::to_owned)
}

fn check_time(claim: &Claim, stamp: &str, now: Timestamp) -> Result<(), Refusal> {
    let wrong = || Refusal::Malformed(format!("X-Amz-Date must be in ISO8601 'basic format'. Got '{stamp}'."));
    let civil = DateTime::strptime("%Y%m%dT%H%M%SZ", stamp).map_err(|_| wrong())?;
    let at = civil.to_zoned(TimeZone::UTC).map_err(|_| wrong())?.timestamp();
    if !stamp.starts_with(&claim.date) {
        let text = format!("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date: {stamp}.");
        return Err(Refusal::Wrong(text));
    }
    let basic = |time: i64| {
        Timestamp::from_second(time).map_or_else(|_| String::new(), |t| t.strftime("%Y%m%dT%H%M%SZ").to_string())
    };
    let (theirs, ours) = (at.as_second(), now.as_second());
    if theirs < ours - SKEW_SECONDS {
        let limit = basic(ours - SKEW_SECONDS);
        let text = format!("Signature expired: {stamp} is now earlier than {limit} ({} - 5 min.)", basic(ours));
        return Err(Refusal::Skewed(text));
    }
    if theirs > ours + SKEW_SECONDS {
        let limit = basic(ours + SKEW_SECONDS);
        let text = format!("Signature not yet current: {stamp} is still later than {limit} ({} + 5 min.)", basic(ours));
        return Err(Refusal::Skewed(text));
    }
    Ok(())
}

fn check_session<B>(key: &AccessKey, request: &Request<B>, now: Timestamp) -> Result<(), Refusal> {
    match (&key.session, header(request, "x-amz-security-token")) {
        (None, None) => Ok(()),
        (Some(session), Some(token)) if session.token == token => {
            if session.expires <= now {
                Err(Refusal::Expired)
            } else {
                Ok(())
            }
        }
        _ => Err(Refusal::UnknownKey),
    }
}

/// What the payload's hash may be in the canonical request: what the header says once it is true, else what the body
/// gives, and for EBS (whose put is modelled as unsigned, and whose signers then send no header) the unsigned mark.
fn payload_hashes(claim: &Claim, request: &Request<impl AsRef<[u8]>>) -> Result<Vec<String>, Refusal> {
    let body = request.body().as_ref();
    let hash = || request.extensions().get().map_or_else(|| sha256(body), |BodyHash(hash)| *hash).hex();
    match header(request, "x-amz-content-sha256") {
        Some(said) if said == UNSIGNED || said.starts_with("STREAMING-") => Ok(vec![said]),
        Some(said) if said == hash() => Ok(vec![said]),
        Some(_) => Err(Refusal::Wrong("The provided 'x-amz-content-sha256' header does not match the body.".into())),
        None if claim.service == "ebs" && body.len() > 64 * 1024 => {
            // The common case first: hashing a block costs more than everything else here.
            Ok(vec![UNSIGNED.into(), sha256(body).hex()])
        }
        None if claim.service == "ebs" => Ok(vec![sha256(body).hex(), UNSIGNED.into()]),
        None => Ok(vec![hash()]),
    }
}

fn canonical_request<B>(claim: &Claim, request: &Request<B>, payload: &str) -> String {
    let uri = request.uri();
    // S3 signs the path as it is sent; every other service signs it encoded once more.
    let path = if claim.service == "s3" { uri.path().to_owned() } else { encode(uri.path(), true) };
    let once = |text: &str| encode(&decode(text, false), false);
    let mut query: Vec<(String, String)> = pairs(uri).map(|(name, value)| (once(name), once(value))).collect();
    query.sort();
    let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut out = format!("{}\n{path}\n{}\n", request.method(), query.join("&"));
    for name in &claim.signed_headers {
        let values: Vec<String> =
            request.headers().get_all(name).iter().map(|v| squeeze(&String::from_utf8_lossy(v.as_bytes()))).collect();
        out.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    out.push_str(&format!("\n{}\n{payload}", claim.signed_headers.join(";")));
    out
}

/// Trims, and makes every run of spaces one.
fn squeeze(text: &str) -> String {
    text.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Percent-encodes all but the unreserved characters (and slashes, in a path).
fn encode(text: &str, path: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            b'/' if path => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Undoes percent-encoding; in a form (`plus`), `+` is a space.
#[must_use]
pub fn decode(text: &str, plus: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[at], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) if plus => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use aws_credential_types::Credentials;
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings};
    use aws_sigv4::sign::v4;

    use super::*;

    fn key() -> AccessKey {
        AccessKey { id: "AKIAEXAMPLE".into(), secret: "s3cr3t/+key".into(), session: None }
    }

    /// Signs with the SDK's own signer.
    fn signed(service: &str, uri: &str, body: &'static [u8], unsigned: bool, at: Timestamp) -> Request<&'static [u8]> {
        let identity = Credentials::new("AKIAEXAMPLE", "s3cr3t/+key", None, None, "test").into();
        let mut settings = SigningSettings::default();
        if service == "s3" {
            settings.percent_encoding_mode = aws_sigv4::http_request::PercentEncodingMode::Single;
        }
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name(service)
            .time(SystemTime::from(at))
            .settings(settings)
            .build()
            .unwrap();
        let mut request =
            Request::put(uri).header("host", "localhost").header("x-amz-checksum", "a  b   c=").body(body).unwrap();
        let headers = request.headers().iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap()));
        let payload = if unsigned { SignableBody::UnsignedPayload } else { SignableBody::Bytes(body) };
        let signable = SignableRequest::new("PUT", uri, headers, payload).unwrap();
        let (instructions, _) = aws_sigv4::http_request::sign(signable, &params.into()).unwrap().into_parts();
        instructions.apply_to_request_http1x(&mut request);
        request
    }

    fn verdict(request: &Request<&'static [u8]>, key: &AccessKey, now: Timestamp) -> Result<(), Refusal> {
        let claim = Claim::read(request).unwrap();
        Verifier::default().check(&claim, key, request, now)
    }

    #[test]
    fn what_the_sdk_signs_is_believed() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        for (service, uri) in [
            ("ebs", "http://localhost/snapshots/snap-0abc1234/blocks/7?blockToken=AA%2B%2F%3D&b=&a=2&a=1"),
            ("ec2", "http://localhost/"),
            ("s3", "http://localhost/bucket/a%20key/with%2Bplus?list-type=2&prefix=x%2Fy"),
            ("ebs", "http://localhost/odd%20path/%7Etilde"),
        ] {
            for unsigned in [false, true] {
                if unsigned && service == "ec2" {
                    continue;
                }
                let mut request = signed(service, uri, b"body", unsigned, now);
                if unsigned && service == "s3" {
                    request.headers_mut().insert("x-amz-content-sha256", UNSIGNED.parse().unwrap());
                }
                assert_eq!(verdict(&request, &key(), now), Ok(()), "{service} {uri} unsigned={unsigned}");
            }
        }
    }

    #[test]
    fn anything_changed_after_signing_is_refused() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let uri = "http://localhost/snapshots/snap-0abc1234/blocks/7?blockToken=AA";
        let wrong = |request: &Request<&'static [u8]>| matches!(verdict(request, &key(), now), Err(Refusal::Wrong(_)));
        let mut other = signed("ebs", uri, b"body", false, now);
        *other.body_mut() = b"tampered";
        assert!(wrong(&other));
        let mut other = signed("ebs", uri, b"body", false, now);
        *other.uri_mut() = "http://localhost/snapshots/snap-0abc1234/blocks/8?blockToken=AA".parse().unwrap();
        assert!(wrong(&other));
        let mut other = signed("ebs", uri, b"body", false, now);
        other.headers_mut().insert("x-amz-checksum", "other".parse().unwrap());
        assert!(wrong(&other));
        let stranger = AccessKey { secret: "another".into(), ..key() };
        assert!(matches!(verdict(&signed("ebs", uri, b"", true, now), &stranger, now), Err(Refusal::Wrong(_))));
    }

    #[test]
    fn clocks_may_differ_by_five_minutes() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        for (off, right) in [(-300, true), (300, true), (-301, false), (301, false)] {
            let at = Timestamp::from_second(1_800_000_000 + off).unwrap();
            let request = signed("ebs", "http://localhost/", b"", false, at);
            let verdict = verdict(&request, &key(), now);
            assert_eq!(verdict.is_ok(), right, "{off}: {verdict:?}");
            assert!(right || matches!(verdict, Err(Refusal::Skewed(_))));
        }
    }

    #[test]
    fn a_session_needs_its_token_and_ends() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let session = |expires| super::super::model::Session { token: "tok".into(), expires };
        let with = |expires| AccessKey { session: Some(session(expires)), ..key() };
        let mut request = signed("ebs", "http://localhost/", b"", false, now);
        assert_eq!(verdict(&request, &with(now), now), Err(Refusal::UnknownKey));
        request.headers_mut().insert("x-amz-security-token", "tok".parse().unwrap());
        assert_eq!(verdict(&request, &with(now), now), Err(Refusal::Expired));
        let later = Timestamp::from_second(1_800_000_001).unwrap();
        assert_eq!(verdict(&request, &with(later), now), Ok(()));
        assert_eq!(verdict(&request, &key(), now), Err(Refusal::UnknownKey));
    }

    #[test]
    fn a_header_that_is_not_one_says_so() {
        let read = |text: &str| Claim::read(&Request::get("/").header("authorization", text).body(()).unwrap());
        assert_eq!(Claim::read(&Request::get("/").body(()).unwrap()).unwrap_err(), Refusal::Missing);
        for wrong in ["Bearer x", "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0"] {
            assert!(matches!(read(wrong), Err(Refusal::Malformed(_))), "{wrong}");
        }
        let claim = read(
            "AWS4-HMAC-SHA256 Credential=K/20270115/eu-west-1/ebs/aws4_request,SignedHeaders=host;X-A,Signature=0",
        );
        assert_eq!(claim.unwrap().region, "eu-west-1");
    }
}

//! The shapes of answers that several services share.

use http::{StatusCode, Uri};

/// An error as EC2 writes it.
#[must_use]
pub fn ec2_error(status: StatusCode, code: &str, message: &str, request_id: &str) -> (StatusCode, String) {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{}</Code><Message>{}</Message></Error></Errors><RequestID>{request_id}</RequestID></Response>",
        escape(code),
        escape(message)
    );
    (status, body)
}

/// An error as the other query services (STS, IAM) write it.
#[must_use]
pub fn query_error(status: StatusCode, code: &str, message: &str, request_id: &str) -> (StatusCode, String) {
    let fault = if status.is_server_error() { "Receiver" } else { "Sender" };
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error><Type>{fault}</Type><Code>{}</Code><Message>{}</Message></Error>\n  <RequestId>{request_id}</RequestId>\n</ErrorResponse>",
        escape(code),
        escape(message)
    );
    (status, body)
}

/// An error as the JSON 1.1 services (Service Quotas) write it.
#[must_use]
pub fn json_error(status: StatusCode, code: &str, message: &str) -> (StatusCode, String) {
    (status, serde_json::json!({ "__type": code, "message": message, "Message": message }).to_string())
}

/// Names and values of a query, as they were sent; what has no `=` has an empty value.
pub fn pairs(uri: &Uri) -> impl Iterator<Item = (&str, &str)> {
    let query = uri.query().unwrap_or_default();
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Text for the inside of an XML element or attribute.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c => out.push(c),
        }
    }
    out
}

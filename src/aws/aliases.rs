//! `iam:ListAccountAliases`: what people call an account. One signed request of the query protocol, so no SDK crate is
//! taken for it. IAM is one service for a whole partition, whatever region a session is of.

use std::time::Duration;

use http::Method;

use super::context::Context;
use super::wire::{self, Call, Payload};
use crate::error::{Error, Result};
use crate::ids::Region;

/// One alias at most, and some XML.
const ANSWER_MAX: usize = 64 * 1024;
/// A name is worth no more waiting.
const WITHIN: Duration = Duration::from_secs(10);
/// The version of the protocol.
const VERSION: &str = "2010-05-08";

/// Where IAM of a partition answers, and the region that is signed for.
fn home(partition: &str) -> Option<(&'static str, &'static str)> {
    Some(match partition {
        "aws" => ("https://iam.amazonaws.com", "us-east-1"),
        "aws-cn" => ("https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        "aws-us-gov" => ("https://iam.us-gov.amazonaws.com", "us-gov-west-1"),
        _ => return None,
    })
}

/// The alias of the session's account; none where it has none.
pub(super) async fn alias(context: &Context) -> Result<Option<String>> {
    let what = || "could not ask for the alias of the account".to_owned();
    let partition = context.region().partition();
    let Some((address, signed)) = home(partition) else {
        return Err(Error::failed(format!("{}: where IAM of partition {partition} is, is not known", what())));
    };
    let region: Region = signed.parse().map_err(Error::failed)?;
    let endpoint = context.endpoint_of("IAM").unwrap_or_else(|| address.to_owned());
    let call = Call {
        operation: "iam:ListAccountAliases",
        method: Method::POST,
        uri: format!("{}/", endpoint.trim_end_matches('/')),
        headers: vec![("content-type", "application/x-www-form-urlencoded".to_owned())],
        service: "iam",
        region: Some(region),
        body: Payload::Signed(format!("Action=ListAccountAliases&Version={VERSION}").into()),
    };
    let asked = async {
        let answer = wire::send(context, call, what).await?;
        let text = wire::read_whole(answer.into_body(), ANSWER_MAX).await;
        text.map_err(|why| wire::broken(what(), why, context.region()))
    };
    let text = tokio::time::timeout(WITHIN, asked)
        .await
        .map_err(|_| Error::transient(format!("{}: no answer within {} s", what(), WITHIN.as_secs())))??;
    Ok(first(&String::from_utf8_lossy(&text)))
}

/// The first `<member>`. An alias is letters, digits and dashes: anything else is none, because it is shown and typed.
fn first(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("<member>")?;
    let (alias, _) = rest.split_once("</member>")?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ((3..=63).contains(&alias.len()) && alias.chars().all(plain)).then(|| alias.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_read_and_anything_else_is_none() {
        let answer = |inside: &str| first(&format!("<AccountAliases>{inside}</AccountAliases>"));
        assert_eq!(answer("<member>acme-prod</member>").as_deref(), Some("acme-prod"));
        for other in ["", "<member></member>", "<member>acme prod</member>", "<member>\u{1b}[31m</member>", "<member>x"]
        {
            assert_eq!(answer(other), None, "{other}");
        }
    }

    #[test]
    fn iam_is_signed_for_the_home_of_its_partition() {
        assert_eq!(home("aws").map(|(_, region)| region), Some("us-east-1"));
        assert_eq!(home("aws-us-gov").map(|(_, region)| region), Some("us-gov-west-1"));
        assert_eq!(home("aws-iso"), None);
    }
}

//! IAM (query protocol): the alias of an account, and nothing else.

use http::StatusCode;

use super::wire::{escape, query_error};
use super::{Caller, Sandbox};

const VERSION: &str = "2010-05-08";

/// Answers one IAM request: `params` are the decoded form fields, in order.
pub fn handle(sandbox: &Sandbox, caller: &Caller, params: &[(String, String)]) -> (StatusCode, String) {
    let get = |name: &str| params.iter().rev().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let refuse = |status, code, message: &str| query_error(status, code, message, &caller.request_id);
    let (action, version) = (get("Action"), get("Version"));
    if action != "ListAccountAliases" || version != VERSION {
        let message = format!("Could not find operation {action} for version {version}");
        return refuse(StatusCode::BAD_REQUEST, "InvalidAction", &message);
    }
    let model = sandbox.model();
    let Some(account) = model.accounts.get(&caller.account) else {
        let message = "The security token included in the request is invalid.";
        return refuse(StatusCode::FORBIDDEN, "InvalidClientTokenId", message);
    };
    let member = match account.alias.as_str() {
        "" => String::new(),
        alias => format!("<member>{}</member>", escape(alias)),
    };
    let body = format!(
        "<ListAccountAliasesResponse xmlns=\"https://iam.amazonaws.com/doc/{VERSION}/\">\n  <ListAccountAliasesResult>\n    \
         <IsTruncated>false</IsTruncated>\n    <AccountAliases>{member}</AccountAliases>\n  </ListAccountAliasesResult>\n  \
         <ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata>\n</ListAccountAliasesResponse>",
        escape(&caller.request_id),
    );
    (StatusCode::OK, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Options;

    fn ask(account: &str, action: &str) -> (StatusCode, String) {
        let sandbox = Sandbox::new(&Options::default()).unwrap();
        let caller = Caller::of(account, "us-east-1");
        let params = [("Action".to_owned(), action.to_owned()), ("Version".to_owned(), VERSION.to_owned())];
        handle(&sandbox, &caller, &params)
    }

    #[test]
    fn the_alias_is_told_and_other_actions_and_accounts_are_refused() {
        let (status, body) = ask("123456789012", "ListAccountAliases");
        assert!(
            status.is_success() && body.contains("<member>") && body.contains("<RequestId>id-1</RequestId>"),
            "{body}"
        );
        let (status, body) = ask("123456789012", "ListUsers");
        assert!(status == StatusCode::BAD_REQUEST && body.contains("<Code>InvalidAction</Code>"), "{body}");
        assert_eq!(ask("000000000000", "ListAccountAliases").0, StatusCode::FORBIDDEN);
    }
}

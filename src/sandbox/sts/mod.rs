//! STS (query protocol): who signs, and keys of a role. GetCallerIdentity needs no permission, so no policy or opt-in
//! refuses it.

mod role;

use http::StatusCode;

use crate::ids::{AccountId, Region};
use crate::sandbox::synth::mix;
use crate::sandbox::wire::{escape, query_error};
use crate::sandbox::{Caller, Sandbox};

const VERSION: &str = "2011-06-15";

/// Answers one STS request: `params` are the decoded form fields, in order.
pub fn handle(sandbox: &Sandbox, caller: &Caller, params: &[(String, String)]) -> (StatusCode, String) {
    let get = |name: &str| params.iter().rev().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let refuse = |status, code, message: &str| query_error(status, code, message, &caller.request_id);
    let (action, version) = (get("Action"), get("Version"));
    if action == "AssumeRole" && version == VERSION {
        return role::assume(sandbox, caller, get);
    }
    if action != "GetCallerIdentity" || version != VERSION {
        let message = format!("Could not find operation {action} for version {version}");
        return refuse(StatusCode::BAD_REQUEST, "InvalidAction", &message);
    }
    let model = sandbox.model();
    let Some(account) = model.accounts.get(&caller.account) else {
        let message = "The security token included in the request is invalid.";
        return refuse(StatusCode::FORBIDDEN, "InvalidClientTokenId", message);
    };
    let body = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/{VERSION}/\">\n  <GetCallerIdentityResult>\n    \
         <Arn>{}</Arn>\n    <UserId>{}</UserId>\n    <Account>{}</Account>\n  </GetCallerIdentityResult>\n  \
         <ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata>\n</GetCallerIdentityResponse>",
        escape(&arn(&account.id, &caller.region, &account.user)),
        escape(&user_id(&account.id, &account.user)),
        account.id,
        escape(&caller.request_id),
    );
    (StatusCode::OK, body)
}

/// The ARN behind an account's keys. `user` is `user/NAME` or `assumed-role/ROLE/SESSION`.
#[must_use]
pub fn arn(account: &AccountId, region: &Region, user: &str) -> String {
    let service = if user.starts_with("assumed-role/") { "sts" } else { "iam" };
    format!("arn:{}:{service}::{account}:{user}", region.partition())
}

/// `AIDA…` for users, `AROA…:SESSION` for roles: 16 characters that stay the same.
fn user_id(account: &AccountId, user: &str) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bits = account.as_str().bytes().chain(user.bytes()).fold(0, |bits, byte| mix(bits, u64::from(byte)));
    let mut name = String::with_capacity(17);
    for _ in 0..17 {
        name.push(char::from(ALPHABET[(bits >> 59) as usize]));
        bits = mix(bits, 1);
    }
    match user.strip_prefix("assumed-role/").and_then(|rest| rest.split_once('/')) {
        Some((_, session)) => format!("AROA{name}:{session}"),
        None => format!("AIDA{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Options;

    fn ask(region: &str, account: &str, action: &str) -> (StatusCode, String) {
        let sandbox = Sandbox::new(&Options::default()).unwrap();
        let caller = Caller::of(account, region);
        let params = [("Action".to_owned(), action.to_owned()), ("Version".to_owned(), VERSION.to_owned())];
        handle(&sandbox, &caller, &params)
    }

    #[test]
    fn users_and_roles_are_named_as_iam_names_them() {
        let (_, user) = ask("us-east-1", "123456789012", "GetCallerIdentity");
        assert!(user.contains("<Arn>arn:aws:iam::123456789012:user/ops</Arn>"), "{user}");
        assert!(user.contains("<UserId>AIDA") && user.contains("<Account>123456789012</Account>"), "{user}");
        let (_, role) = ask("eu-west-1", "998877665544", "GetCallerIdentity");
        assert!(role.contains("<Arn>arn:aws:sts::998877665544:assumed-role/DisasterRecovery/ops</Arn>"), "{role}");
        assert!(role.contains(":ops</UserId>"), "{role}");
        let region: Region = "us-gov-west-1".parse().unwrap();
        assert_eq!(arn(&"111122223333".parse().unwrap(), &region, "user/x"), "arn:aws-us-gov:iam::111122223333:user/x");
    }

    #[test]
    fn other_actions_and_accounts_are_refused() {
        let (status, body) = ask("us-east-1", "123456789012", "GetFederationToken");
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(body.contains("<Code>InvalidAction</Code>") && body.contains("<RequestId>id-1</RequestId>"), "{body}");
        assert_eq!(ask("us-east-1", "000000000000", "GetCallerIdentity").0, StatusCode::FORBIDDEN);
    }
}

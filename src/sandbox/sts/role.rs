//! AssumeRole: keys with an end, of the account whose role it is. The roles that there are, are those behind the keys of
//! other accounts of the scenario; each of them trusts every account of it.

use http::StatusCode;
use jiff::SignedDuration;

use super::{VERSION, arn, user_id};
use crate::sandbox::model::{AccessKey, Session};
use crate::sandbox::synth::mix;
use crate::sandbox::wire::{escape, query_error};
use crate::sandbox::{Caller, Sandbox};

/// Seconds that keys last where nothing is asked for, and at least and at most: a role's own most is an hour unless
/// somebody raised it.
const SECONDS: i64 = 3_600;
const LEAST: i64 = 900;

pub(super) fn assume<'a>(sandbox: &Sandbox, caller: &Caller, get: impl Fn(&str) -> &'a str) -> (StatusCode, String) {
    let refuse = |status, code, message: &str| query_error(status, code, message, &caller.request_id);
    let invalid = |message: &str| refuse(StatusCode::BAD_REQUEST, "ValidationError", message);
    let (role, name) = (get("RoleArn"), get("RoleSessionName"));
    let legal = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if !(2..=64).contains(&name.len()) || !name.chars().all(legal) {
        return invalid("1 validation error detected: Value at 'roleSessionName' failed to satisfy constraint");
    }
    let seconds = match get("DurationSeconds") {
        "" => SECONDS,
        text => text.parse().unwrap_or(0),
    };
    if !(LEAST..=SECONDS).contains(&seconds) {
        return invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.");
    }
    let now = sandbox.now();
    let mut model = sandbox.model_mut();
    let who = model.accounts.get(&caller.account).map(|account| arn(&account.id, &caller.region, &account.user));
    let of = |user: &str| user.strip_prefix("assumed-role/").and_then(|rest| rest.split('/').next()).map(str::to_owned);
    let found = model.accounts.values_mut().find_map(|account| {
        let owned = of(&account.user)?;
        let known = format!("arn:{}:iam::{}:role/{owned}", caller.region.partition(), account.id);
        (known == role).then_some((account, owned))
    });
    let Some((account, owned)) = found else {
        let who = who.unwrap_or_default();
        let message = format!("User: {who} is not authorized to perform: sts:AssumeRole on resource: {role}");
        return refuse(StatusCode::FORBIDDEN, "AccessDenied", &message);
    };
    let key = key(&caller.request_id, name, now + SignedDuration::from_secs(seconds));
    // Of those that ended nobody asks for more than that they did: a few tell it as well as all.
    let ended = |key: &AccessKey| key.session.as_ref().is_some_and(|session| session.expires <= now);
    while account.keys.iter().filter(|key| ended(key)).count() > KEPT {
        let Some(at) = account.keys.iter().position(ended) else { break };
        account.keys.remove(at);
    }
    account.keys.push(key.clone());
    let user = format!("assumed-role/{owned}/{name}");
    (
        StatusCode::OK,
        answer(&arn(&account.id, &caller.region, &user), &user_id(&account.id, &user), &key, &caller.request_id),
    )
}

/// Sessions that ended, kept so that their keys are refused as expired and not as unknown.
const KEPT: usize = 16;

fn key(request: &str, name: &str, expires: jiff::Timestamp) -> AccessKey {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bits = request.bytes().chain(name.bytes()).fold(0, |bits, byte| mix(bits, u64::from(byte)));
    let mut letters = |count: usize| -> String {
        (0..count)
            .map(|_| {
                bits = mix(bits, 1);
                char::from(ALPHABET[(bits >> 59) as usize])
            })
            .collect()
    };
    let (id, secret, token) = (format!("ASIA{}", letters(16)), letters(40), letters(64));
    AccessKey { id, secret, session: Some(Session { token, expires }) }
}

fn answer(arn: &str, id: &str, key: &AccessKey, request: &str) -> String {
    let (token, ends) = key.session.as_ref().map_or((String::new(), String::new()), |session| {
        (session.token.clone(), session.expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    });
    format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/{VERSION}/\">\n  <AssumeRoleResult>\n    \
         <AssumedRoleUser>\n      <Arn>{}</Arn>\n      <AssumedRoleId>{}</AssumedRoleId>\n    </AssumedRoleUser>\n    \
         <Credentials>\n      <AccessKeyId>{}</AccessKeyId>\n      <SecretAccessKey>{}</SecretAccessKey>\n      \
         <SessionToken>{token}</SessionToken>\n      <Expiration>{ends}</Expiration>\n    </Credentials>\n  \
         </AssumeRoleResult>\n  <ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata>\n</AssumeRoleResponse>",
        escape(arn),
        escape(id),
        key.id,
        key.secret,
        escape(request),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Options;

    fn ask(sandbox: &Sandbox, more: &[(&str, &str)]) -> (StatusCode, String) {
        let caller = Caller::of("123456789012", "us-east-1");
        let all = [("Action", "AssumeRole"), ("Version", VERSION), ("RoleSessionName", "a-test")];
        let params: Vec<_> = all.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        super::super::handle(sandbox, &caller, &params)
    }

    const ROLE: &str = "arn:aws:iam::998877665544:role/DisasterRecovery";

    #[test]
    fn keys_of_a_role_that_is_there_end_and_no_others_are_given() {
        let sandbox = Sandbox::new(&Options::default()).unwrap();
        let (status, body) = ask(&sandbox, &[("RoleArn", ROLE)]);
        assert_eq!(status, StatusCode::OK, "{body}");
        assert!(body.contains("<Arn>arn:aws:sts::998877665544:assumed-role/DisasterRecovery/a-test</Arn>"), "{body}");
        let model = sandbox.model();
        let keys = &model.accounts[&"998877665544".parse().unwrap()].keys;
        let made = keys.iter().find(|key| body.contains(&key.id)).expect("it signs from now on");
        let session = made.session.as_ref().expect("with an end");
        assert!(body.contains(&session.token) && body.contains(&made.secret));
        assert!((3_500..=3_600).contains(&session.expires.duration_since(sandbox.now()).as_secs()));
        drop(model);
        for (more, status, code) in [
            (vec![("RoleArn", "arn:aws:iam::998877665544:role/Other")], StatusCode::FORBIDDEN, "AccessDenied"),
            (vec![("RoleArn", "arn:aws:iam::123456789012:role/ops")], StatusCode::FORBIDDEN, "AccessDenied"),
            (vec![("RoleArn", ROLE), ("DurationSeconds", "7200")], StatusCode::BAD_REQUEST, "ValidationError"),
            (vec![("RoleArn", ROLE), ("RoleSessionName", "a b")], StatusCode::BAD_REQUEST, "ValidationError"),
        ] {
            let (refused, body) = ask(&sandbox, &more);
            assert!(refused == status && body.contains(&format!("<Code>{code}</Code>")), "{more:?}: {body}");
        }
    }
}

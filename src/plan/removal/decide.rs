//! What would happen to one thing, by its verdict and its facts: the one function that plans and re-checks by.

use std::collections::BTreeSet;

use super::facts::{Facts, Rules};
use super::model::{Back, Item, Skip, Stored, Wishes, Would};
use super::target::Target;
use crate::ids::{ImageId, SnapshotId};
use crate::inventory::verdict::{Answer, Evidence, Judged, Verdict};
use crate::rows::{State, Tag, Tier};
use crate::units::Bytes;

/// Tags of services that delete their own snapshots: EC2 refuses, or the service loses track of what it has.
const MANAGERS: [(&str, &str); 4] = [
    ("aws:backup:source-resource", "AWS Backup manages it: delete its recovery point in the backup vault"),
    ("aws:dlm:lifecycle-policy-id", "Data Lifecycle Manager manages it: its policy deletes it"),
    ("aws:dlm:lifecycle-schedule-name", "Data Lifecycle Manager manages it: its policy deletes it"),
    ("dlm:managed", "Data Lifecycle Manager manages it: its policy deletes it"),
];

/// Decides one thing. `leaving` are the images of the same plan that would be gone before it.
#[must_use]
pub fn decide(target: &Target, judged: &Judged, facts: &Facts, wishes: &Wishes, leaving: &BTreeSet<ImageId>) -> Item {
    let after: Vec<ImageId> = match target {
        Target::Snapshot(id) => facts.users.get(id).into_iter().flatten().cloned().collect(),
        Target::Volume(_) | Target::Image(_) => Vec::new(),
    };
    let size = size(target, facts);
    let (would, back) = match skip(target, judged, facts, wishes, leaving) {
        Some(skip) => (Would::Skip(skip), Back::Untouched),
        None => removal(target, facts, wishes),
    };
    let after = if would.removes() { after } else { Vec::new() };
    Item { target: target.clone(), judged: judged.clone(), size, would, back, after, stored: stored(target, facts) }
}

fn size(target: &Target, facts: &Facts) -> Bytes {
    match target {
        Target::Snapshot(id) => facts.snapshots.get(id).map(|row| row.size),
        Target::Volume(id) => facts.volumes.get(id).map(|row| row.size),
        Target::Image(id) => facts.images.get(id).map(|row| row.size),
    }
    .unwrap_or_default()
}

fn stored(target: &Target, facts: &Facts) -> Stored {
    match target {
        Target::Snapshot(id) if facts.snapshots.get(id).is_some_and(|row| row.tier == Tier::Archive) => {
            Stored::Archive { since: facts.archived.get(id).copied() }
        }
        _ => Stored::Standard,
    }
}

fn skip(target: &Target, judged: &Judged, facts: &Facts, wishes: &Wishes, leaving: &BTreeSet<ImageId>) -> Option<Skip> {
    let tags: Option<&[Tag]> = match target {
        Target::Snapshot(id) => facts.snapshots.get(id).map(|row| row.tags.as_slice()),
        Target::Volume(id) => facts.volumes.get(id).map(|row| row.tags.as_slice()),
        Target::Image(id) => facts.images.get(id).map(|row| row.tags.as_slice()),
    };
    let Some(tags) = tags else { return Some(gone()) };
    // Whatever the verdict says: these are never attempted.
    if let Some((_, why)) = MANAGERS.iter().find(|(key, _)| tags.iter().any(|(k, _)| k == key)) {
        return Some(Skip::Managed((*why).to_owned()));
    }
    if let Some(state) = forbidden_state(target, facts) {
        return Some(state);
    }
    let users = |id: &SnapshotId| facts.users.get(id).cloned().unwrap_or_default();
    if let Target::Snapshot(id) = target
        && let Some(image) = users(id).difference(leaving).next()
    {
        return Some(Skip::InUse(format!("{image} is made of it")));
    }
    match judged.verdict {
        // The images that it is in use by go before it, and nothing else uses it.
        Verdict::InUse if only_by(target, &judged.evidence, leaving) => unknown(&judged.evidence, wishes),
        Verdict::InUse => Some(Skip::InUse(said(&judged.evidence, Answer::Yes))),
        Verdict::Managed => Some(Skip::Managed(said(&judged.evidence, Answer::Yes))),
        Verdict::Protected => Some(Skip::Protected(said(&judged.evidence, Answer::Yes))),
        Verdict::Unknown => unknown(&judged.evidence, wishes).or_else(|| {
            // Unknown without saying what: nobody can have accepted that.
            let told = judged.evidence.iter().any(|evidence| evidence.answer == Answer::Unknown);
            (!told).then(|| Skip::Unknown("its verdict is unknown, and nothing says why".to_owned()))
        }),
        Verdict::Stale | Verdict::Orphan => unknown(&judged.evidence, wishes),
    }
}

fn unknown(evidence: &[Evidence], wishes: &Wishes) -> Option<Skip> {
    let any = evidence.iter().any(|evidence| evidence.answer == Answer::Unknown);
    (any && !wishes.accept_unknown).then(|| Skip::Unknown(said(evidence, Answer::Unknown)))
}

fn forbidden_state(target: &Target, facts: &Facts) -> Option<Skip> {
    match target {
        Target::Snapshot(id) => match facts.snapshots.get(id)?.state {
            State::Completed | State::Error => None,
            State::Pending => Some(Skip::State("it is still being written".to_owned())),
            State::Recoverable | State::Recovering => Some(Skip::State("it is in the Recycle Bin already".to_owned())),
        },
        Target::Volume(id) => {
            let row = facts.volumes.get(id)?;
            match (row.attached_to.first(), row.state.as_str()) {
                (Some(instance), _) => Some(Skip::InUse(format!("it is attached to {instance}"))),
                (None, "available" | "error") => None,
                (None, state) => Some(Skip::State(format!("it is {state}"))),
            }
        }
        Target::Image(_) => None,
    }
}

/// What the rules of one answer say, in one line.
fn said(evidence: &[Evidence], answer: Answer) -> String {
    let texts: Vec<&str> =
        evidence.iter().filter(|evidence| evidence.answer == answer).map(|evidence| evidence.text.as_str()).collect();
    if texts.is_empty() { "its verdict says so, and no rule says why".to_owned() } else { texts.join("; ") }
}

/// Rules that tell what a thing is good for, and not what would miss it: that its volume, or an instance that has it, is
/// there makes a snapshot somebody's backup; that an image was launched lately leaves it to be launched again. Whoever
/// names such a thing means it.
fn is_soft(target: &Target, rule: &str) -> bool {
    match target {
        Target::Snapshot(_) => matches!(rule, "volume" | "instances"),
        Target::Image(_) => rule == "launched",
        Target::Volume(_) => false,
    }
}

/// Whether every yes is about images that leave first, each named, or about what a snapshot is only a backup of.
fn only_by(target: &Target, evidence: &[Evidence], leaving: &BTreeSet<ImageId>) -> bool {
    let mut yes = evidence.iter().filter(|evidence| evidence.answer == Answer::Yes).peekable();
    yes.peek().is_some()
        && yes.all(|evidence| {
            if is_soft(target, &evidence.rule) {
                return true;
            }
            let words = evidence.text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            let mut images = words.filter_map(|word| word.parse::<ImageId>().ok()).peekable();
            images.peek().is_some() && images.all(|image| leaving.contains(&image)) && !names_others(&evidence.text)
        })
}

/// Whether a text names something that is no image and could hold it.
fn names_others(text: &str) -> bool {
    ["i-", "lt-", "vol-"]
        .iter()
        .any(|start| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|word| word.starts_with(start)))
}

fn removal(target: &Target, facts: &Facts, wishes: &Wishes) -> (Would, Back) {
    let kept = |rules: &Rules, tags: &[Tag]| match rules.keeping(tags) {
        Ok(rule) => Back::Bin { days: rule.days, rule: rule.id.clone() },
        Err(why) => Back::Final { why },
    };
    match target {
        Target::Snapshot(id) => {
            let Some(row) = facts.snapshots.get(id) else { return (Would::Skip(gone()), Back::Untouched) };
            let bin = kept(&facts.snapshot_rules, &row.tags);
            let readable = row.state == State::Completed && row.tier == Tier::Standard;
            let meant = wishes.archive_only.is_empty() || wishes.archive_only.contains(id);
            match &wishes.archive_to {
                Some(to) if readable && meant => {
                    (Would::ArchiveThenDelete, Back::Archive { to: format!("{to}{id}/"), days: bin.days() })
                }
                _ => (Would::Delete, bin),
            }
        }
        Target::Volume(_) if wishes.snapshot_first => (Would::SnapshotThenDelete, Back::Snapshot),
        Target::Volume(_) => (Would::Delete, Back::Final { why: "no snapshot of it is made first".to_owned() }),
        Target::Image(id) => match facts.images.get(id) {
            Some(row) => (Would::Deregister, kept(&facts.image_rules, &row.tags)),
            None => (Would::Skip(gone()), Back::Untouched),
        },
    }
}

fn gone() -> Skip {
    Skip::Gone("it is not there, or belongs to another account".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::inventory::verdict::Frees;
    use crate::plan::removal::Skip;
    use crate::rows::{BinRule, Origin, SnapshotRow};

    const ID: &str = "snap-0abc1234";
    const IMAGE: &str = "ami-0abc1234";

    fn origin() -> Arc<Origin> {
        let (account, region) = ("123456789012".parse().unwrap(), "us-east-1".parse().unwrap());
        Arc::new(Origin { profile: None, account, region })
    }

    fn facts(tags: &[(&str, &str)]) -> Facts {
        let row = SnapshotRow {
            origin: origin(),
            id: ID.parse().unwrap(),
            name: None,
            owner: "123456789012".parse().unwrap(),
            volume: None,
            size: Bytes::gib(8),
            full: None,
            state: State::Completed,
            state_message: None,
            progress: None,
            started: jiff::Timestamp::UNIX_EPOCH,
            tier: Tier::Standard,
            encrypted: false,
            kms_key: None,
            data_key_id: None,
            description: String::new(),
            tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        };
        let rule = BinRule { id: "rule".into(), days: 14, tags: Vec::new(), except: vec![("purge".into(), None)] };
        let mut facts = Facts { snapshot_rules: Rules::Known(vec![rule]), ..Facts::default() };
        facts.snapshots.insert(row.id.clone(), row);
        facts
    }

    fn judged(verdict: Verdict, evidence: &[(&str, Answer, &str)]) -> Judged {
        let one = |(rule, answer, text): &(&str, Answer, &str)| Evidence {
            rule: (*rule).to_owned(),
            answer: *answer,
            text: (*text).to_owned(),
            when: None,
        };
        Judged {
            id: ID.to_owned(),
            kind: crate::inventory::verdict::Subject::Snapshot,
            origin: (*origin()).clone(),
            name: String::new(),
            made: None,
            verdict,
            evidence: evidence.iter().map(one).collect(),
            frees: Frees::UNKNOWN,
            usd_per_month: None,
        }
    }

    fn with(judged: &Judged, facts: &Facts, wishes: &Wishes, leaving: &[&str]) -> Item {
        let leaving = leaving.iter().map(|id| id.parse().unwrap()).collect();
        decide(&Target::Snapshot(ID.parse().unwrap()), judged, facts, wishes, &leaving)
    }

    #[test]
    fn an_orphan_goes_to_the_bin_where_a_rule_keeps_it_and_is_final_where_none_does() {
        let orphan = judged(Verdict::Orphan, &[("images", Answer::No, "none")]);
        let item = with(&orphan, &facts(&[]), &Wishes::default(), &[]);
        assert_eq!((item.would, item.back.days()), (Would::Delete, Some(14)));
        let item = with(&orphan, &facts(&[("purge", "yes")]), &Wishes::default(), &[]);
        assert!(item.back.is_final());
        let denied = Facts { snapshot_rules: Rules::Unknown("denied".into()), ..facts(&[]) };
        let item = with(&orphan, &denied, &Wishes::default(), &[]);
        assert!(
            matches!(&item.back, Back::Final { why } if why.contains("denied")),
            "what nobody knows counts as final"
        );
    }

    #[test]
    fn one_unknown_is_enough_to_leave_it_alone_whatever_the_verdict_says() {
        for verdict in [Verdict::Orphan, Verdict::Stale, Verdict::Unknown] {
            let doubted = judged(verdict, &[("locks", Answer::Unknown, "not asked")]);
            let item = with(&doubted, &facts(&[]), &Wishes::default(), &[]);
            assert!(matches!(item.would, Would::Skip(Skip::Unknown(_))), "{verdict:?}");
            let accepted = Wishes { accept_unknown: true, ..Wishes::default() };
            assert_eq!(with(&doubted, &facts(&[]), &accepted, &[]).would, Would::Delete);
        }
        let accepted = Wishes { accept_unknown: true, ..Wishes::default() };
        let silent = judged(Verdict::Unknown, &[]);
        assert!(!with(&silent, &facts(&[]), &accepted, &[]).would.removes(), "nobody can accept what is not named");
    }

    #[test]
    fn what_is_managed_in_use_or_protected_is_left_alone_and_accepting_unknowns_changes_nothing() {
        let wishes = Wishes { accept_unknown: true, ..Wishes::default() };
        for key in ["aws:backup:source-resource", "aws:dlm:lifecycle-policy-id", "dlm:managed"] {
            let orphan = judged(Verdict::Orphan, &[]);
            let item = with(&orphan, &facts(&[(key, "x")]), &wishes, &[]);
            assert!(matches!(item.would, Would::Skip(Skip::Managed(_))), "{key}");
        }
        let shared = judged(Verdict::Protected, &[("shared", Answer::Yes, "with 998877665544")]);
        assert!(matches!(with(&shared, &facts(&[]), &wishes, &[]).would, Would::Skip(Skip::Protected(_))));
        let templated = judged(Verdict::InUse, &[("launch-templates", Answer::Yes, "lt-04ab names it")]);
        assert!(matches!(with(&templated, &facts(&[]), &wishes, &[IMAGE]).would, Would::Skip(Skip::InUse(_))));
        assert!(matches!(with(&shared, &Facts::default(), &wishes, &[]).would, Would::Skip(Skip::Gone(_))));
    }

    #[test]
    fn an_image_that_leaves_first_frees_what_only_it_uses() {
        let used = judged(Verdict::InUse, &[("images", Answer::Yes, "ami-0abc1234 is made of it")]);
        let mut facts = facts(&[]);
        facts.users.insert(ID.parse().unwrap(), [IMAGE.parse().unwrap()].into());
        assert!(!with(&used, &facts, &Wishes::default(), &[]).would.removes());
        let item = with(&used, &facts, &Wishes::default(), &[IMAGE]);
        assert_eq!((item.would.removes(), item.after.len()), (true, 1));
        let both = judged(Verdict::InUse, &[("images", Answer::Yes, "ami-0abc1234, ami-0abc1235 are made of it")]);
        assert!(!with(&both, &facts, &Wishes::default(), &[IMAGE]).would.removes());
        let instance = judged(Verdict::InUse, &[("use", Answer::Yes, "i-0abc1234 by ami-0abc1234")]);
        assert!(!with(&instance, &facts, &Wishes::default(), &[IMAGE]).would.removes());
    }
}
